"""Round trips through every format, data-set folders, and names on the hub."""

from __future__ import annotations

import resource
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from kmerit.errors import DiskFull, FormatError, OfflineError
from kmerit.io import readers
from kmerit.io.readers import read_sequences, read_table, write_sequences
from kmerit.sequences import Locus, Sequences

SUFFIXES = ("fa", "fasta.gz", "csv", "csv.gz", "tsv", "tsv.gz", "parquet")


def equal(a: Sequences, b: Sequences) -> bool:
    labels = (a.labels is None) == (b.labels is None)
    if a.labels is not None and b.labels is not None:
        labels = a.labels.dtype == b.labels.dtype and np.array_equal(a.labels, b.labels)
    return labels and a.names == b.names and a.strings() == b.strings() and a.loci == b.loci


@pytest.fixture
def labelled() -> Sequences:
    loci = [Locus("chr1", 5, 9), None, Locus("X", 0, 2, "-")]
    return Sequences.from_strings(["ACGT", "TTN", "GA"], labels=[1, 0, 2], names=["a", "b|2", "c"], loci=loci)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_what_is_written_is_read_back(tmp_path: Path, suffix: str, labelled: Sequences) -> None:
    path = tmp_path / f"x.{suffix}"
    write_sequences(labelled, path)
    assert equal(read_sequences(path), labelled)
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("labels", [None, [1.0, 2.0], [0.1 + 0.2, -1e-300]])
def test_values_stay_values_and_nothing_stays_nothing(tmp_path: Path, suffix: str, labels: list[float] | None) -> None:
    sequences = Sequences.from_strings(["ACGT", "TTN"], labels=labels)
    write_sequences(sequences, tmp_path / f"x.{suffix}")
    assert equal(read_sequences(tmp_path / f"x.{suffix}"), sequences)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_equal_sequences_give_equal_bytes(tmp_path: Path, suffix: str, labelled: Sequences) -> None:
    first, second = tmp_path / f"first.{suffix}", tmp_path / f"second.{suffix}"
    write_sequences(labelled, first)
    write_sequences(labelled, second)
    assert first.read_bytes() == second.read_bytes()


@pytest.mark.parametrize("suffix", ["csv", "fa", "parquet"])
def test_a_file_that_cannot_grow_leaves_the_old_one(tmp_path: Path, suffix: str) -> None:
    """A limit on the size of files stops the writing in its middle, for real, in another process."""
    path = tmp_path / f"x.{suffix}"
    path.write_text("old")
    code = f"""
import signal, resource, numpy as np
from kmerit.io.readers import write_sequences
from kmerit.sequences import Sequences
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (20000, resource.RLIM_INFINITY))
bases = np.random.default_rng(0).integers(0, 4, 400_000).astype(np.int8)
write_sequences(Sequences(("a",), bases, np.array([0, bases.size])), {str(path)!r})
"""
    process = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "File too large" in process.stderr
    assert path.read_text() == "old"
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize("suffix", ["csv", "fa.gz", "parquet"])
def test_a_full_disk_is_said(tmp_path: Path, suffix: str, labelled: Sequences) -> None:
    path = tmp_path / f"x.{suffix}"
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (8, hard))  # the kernel lets no file grow further
    try:
        with pytest.raises(DiskFull, match="no space left"):
            write_sequences(labelled, path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("suffix", "name", "locus", "message"),
    [
        ("fa", "a\x0b", None, "white space"),
        ("fa", "a\xa0b", None, "white space"),
        ("fa", "a", Locus("chr 1", 0, 1), "the chromosome 'chr 1' has white space"),
        ("csv", "a\0", None, "cannot be written as text"),
        ("tsv", "a", Locus("", 0, 1), "the chromosome '' cannot be written"),
        ("fa", "a", Locus("x", 2**63 - 1, 2**63), "expected chromosome, start < end"),
        ("parquet", "a", Locus("x", 2**63 - 1, 2**63), "expected chromosome, start < end"),
        ("csv", "a", Locus("x", 3, 4, "."), "would not be read back as it is"),
        ("parquet", "\ud800", None, "cannot be written as text"),
        ("csv", "", None, "the name '' cannot be written"),
    ],
)
def test_what_a_format_cannot_hold_is_not_written(
    tmp_path: Path, suffix: str, name: str, locus: Locus | None, message: str
) -> None:
    sequences = Sequences.from_strings(["A"], names=[name], loci=[locus])
    with pytest.raises(FormatError, match=message):
        write_sequences(sequences, tmp_path / f"x.{suffix}")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("suffix", SUFFIXES[2:])
def test_names_with_quotes_and_line_ends(tmp_path: Path, suffix: str) -> None:
    names = ['"', "a\rb", "a\r\nb", "\n", "a,b", "a\tb", " a ", "\ufeff", "\u2028", "NA", "None", "1.0", "a\x1f"]
    loci = [Locus(name, 0, 1) for name in names]
    sequences = Sequences.from_strings(["A"] * len(names), names=names, loci=loci)
    write_sequences(sequences, tmp_path / f"x.{suffix}")
    assert equal(read_sequences(tmp_path / f"x.{suffix}"), sequences)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_name_that_looks_like_a_locus_gives_none(tmp_path: Path, suffix: str) -> None:
    sequences = Sequences.from_strings(["ACGT", "TTT"], names=["chr1:5-9(+)", "HLA-A*01:01:01:01:3-5"])
    write_sequences(sequences, tmp_path / f"x.{suffix}")
    assert equal(read_sequences(tmp_path / f"x.{suffix}"), sequences)


def test_other_suffixes_cannot_be_written(tmp_path: Path, labelled: Sequences) -> None:
    with pytest.raises(FormatError, match=r"the suffix '\.txt' is not known"):
        write_sequences(labelled, tmp_path / "x.txt")


class TestFolders:
    """Folders of the library ``datasets``, and of plain files."""

    @pytest.fixture(autouse=True)
    def own_cache(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        import datasets.config

        monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")

    @pytest.fixture
    def rows(self) -> dict[str, list[str] | list[int]]:
        return {"seq": ["ACGT", "TTN"], "label": [1, 0]}

    def test_one_set(self, tmp_path: Path, rows: dict[str, list[str] | list[int]]) -> None:
        import datasets

        with_classes = datasets.Features(seq=datasets.Value("string"), label=datasets.ClassLabel(names=["no", "yes"]))
        datasets.Dataset.from_dict(rows, features=with_classes).save_to_disk(str(tmp_path / "set"))
        sequences = read_sequences(tmp_path / "set")
        assert sequences.strings() == rows["seq"]
        assert sequences.labels is not None
        assert sequences.labels.tolist() == rows["label"]

    def test_several_splits(self, tmp_path: Path, rows: dict[str, list[str] | list[int]]) -> None:
        import datasets

        whole = datasets.Dataset.from_dict(rows)
        datasets.DatasetDict(train=whole, test=whole.select([1])).save_to_disk(str(tmp_path / "set"))
        assert read_sequences(tmp_path / "set", split="test").strings() == ["TTN"]
        with pytest.raises(FormatError, match=r"the splits are test, train; name one with split"):
            read_sequences(tmp_path / "set")
        with pytest.raises(FormatError, match=r"the splits are test, train; there is no 'dev'"):
            read_sequences(tmp_path / "set", split="dev")

    @pytest.mark.parametrize("suffix", ["csv", "parquet"])
    def test_plain_files_as_on_the_hub(self, tmp_path: Path, labelled: Sequences, suffix: str) -> None:
        unlocated = Sequences(labelled.names, labelled.bases, labelled.offsets, labelled.labels)
        for split in ("train", "test"):
            write_sequences(unlocated, tmp_path / "set" / "data" / f"{split}-00000-of-00001.{suffix}")
        assert equal(read_sequences(tmp_path / "set", split="test"), unlocated)

    def test_errors_name_split_and_row(self, tmp_path: Path) -> None:
        (tmp_path / "set").mkdir()
        (tmp_path / "set" / "train.csv").write_text("seq,label\nAC,1\nAX,1\n")
        with pytest.raises(Exception, match=r"set, split train, row 1: 'seq1', position 1: .*'X'"):
            read_sequences(tmp_path / "set")

    def test_a_folder_without_data_is_refused(self, tmp_path: Path) -> None:
        with pytest.raises(FormatError, match="not a data-set folder"):
            read_sequences(tmp_path)


def test_names_on_the_hub_fail_fast_offline(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import huggingface_hub.constants

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(
        OfflineError, match=r"someone/some_set: no such file or folder here, and HF_HUB_OFFLINE is set. Copy the data"
    ):
        read_sequences("someone/some_set")


def test_a_missing_file_is_not_looked_for_on_the_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(FormatError, match=r"data/x\.csv\.gz: no such file"):
        read_sequences("data/x.csv.gz")


def test_importing_the_package_is_light() -> None:
    heavy = ("torch", "pandas", "pyarrow", "datasets", "scipy", "huggingface_hub", "pyfaidx")
    code = f"import kmerit.io.readers, sys; print([name for name in {heavy!r} if name in sys.modules])"
    process = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert process.stdout.strip() == "[]"


def test_a_name_that_no_system_takes_is_no_file() -> None:
    with pytest.raises(FormatError, match="cannot be read: File name too long"):
        read_sequences("x" * 300 + ".fa")


def test_a_suffix_without_a_reader_is_not_read_as_a_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "x.gbk"
    path.write_text("name\tsequence\na\tACGT\n", encoding="utf-8")
    monkeypatch.setattr(readers, "READABLE", (*readers.READABLE, ".gbk"))
    with pytest.raises(FormatError, match=r"the suffix '\.gbk' is not known; expected \.csv, \.tsv, "):
        read_sequences(path)
    (fasta := tmp_path / "x.fa").write_text(">a\nACGT\n", encoding="utf-8")
    with pytest.raises(FormatError, match=r"the suffix '\.fa' is not known; expected \.csv, \.tsv, "):
        read_table(fasta)


@pytest.mark.parametrize("path", ["./ACGT", "ACGT.fastaa", "nowhere/"])
def test_a_path_that_does_not_exist_is_no_unknown_suffix(path: str) -> None:
    with pytest.raises(FormatError, match="no such file"):
        read_sequences(path)
