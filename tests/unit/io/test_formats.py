"""Data as people have them: named labels, k-mers, other separators, FASTQ, JSON, compressions, bedtools' headers."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from helpers.text_files import write
from kmerit.errors import DataError, FormatError, LabelError, SequenceError
from kmerit.io.files import open_to_write
from kmerit.io.readers import read_sequences, write_sequences
from kmerit.sequences import Locus, Sequences


def labels(sequences: Sequences) -> list[int]:
    assert sequences.labels is not None
    return list(sequences.labels.tolist())


class TestNamedLabels:
    """Labels that are names are numbered alphabetically, or in the order that is known."""

    TEXT = "sequence,label\nAC,promoter\nGT,background\nTT,promoter\n"

    def test_alphabetical_and_said(self, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
        sequences = read_sequences(write(tmp_path, self.TEXT, "x.csv"))
        assert labels(sequences) == [1, 0, 1]
        assert sequences.classes == ("background", "promoter")
        assert "the classes, in alphabetical order: 0 background, 1 promoter." in caplog.text

    def test_in_the_order_given(self, tmp_path: Path) -> None:
        path = write(tmp_path, self.TEXT, "x.csv")
        sequences = read_sequences(path, classes=["promoter", "background", "none"])
        assert labels(sequences) == [0, 1, 0]
        assert sequences.classes == ("promoter", "background", "none")
        with pytest.raises(
            LabelError, match=r"line 3: the label 'background' is not one of the classes promoter, other"
        ):
            read_sequences(path, classes=["promoter", "other"])

    def test_of_another_file_are_numbered_alike(self, tmp_path: Path) -> None:
        sequences = read_sequences(write(tmp_path, self.TEXT, "x.csv"))
        other = sequences.numbered(["promoter", "enhancer", "background"])
        assert labels(other) == [0, 2, 0]
        assert other.classes == ("promoter", "enhancer", "background")
        with pytest.raises(LabelError, match="'background' is not one of the classes 'promoter', 'x'"):
            sequences.numbered(["promoter", "x"])

    def test_crops_and_choices_keep_them(self, tmp_path: Path) -> None:
        from kmerit.io.crops import Crop, prepare

        sequences = read_sequences(write(tmp_path, self.TEXT, "x.csv"))
        assert prepare(sequences.take([1]), crop=Crop(1))[0].classes == ("background", "promoter")

    @pytest.mark.parametrize("suffix", ["csv", "tsv", "fa", "parquet", "csv.xz"])
    def test_are_written_and_read_back(self, tmp_path: Path, suffix: str) -> None:
        sequences = read_sequences(write(tmp_path, self.TEXT, "x.csv"))
        write_sequences(sequences, tmp_path / f"y.{suffix}")
        again = read_sequences(tmp_path / f"y.{suffix}")
        assert labels(again) == [1, 0, 1]
        assert again.classes == sequences.classes

    def test_parquet_keeps_an_order_that_is_not_alphabetical(self, tmp_path: Path) -> None:
        order = ["promoter", "unused", "background"]
        sequences = read_sequences(write(tmp_path, self.TEXT, "x.csv"), classes=order)
        write_sequences(sequences, tmp_path / "y.parquet")
        again = read_sequences(tmp_path / "y.parquet")
        assert labels(again) == labels(sequences) == [0, 2, 0]
        assert again.classes == tuple(order)

    def test_pandas_categories_have_their_own_order(self, tmp_path: Path) -> None:
        kinds = pd.Categorical(["low", "high", "low"], categories=["low", "high"])
        pd.DataFrame({"seq": ["AC", "GT", "TT"], "label": kinds}).to_parquet(tmp_path / "x.parquet")
        assert labels(read_sequences(tmp_path / "x.parquet")) == [0, 1, 0]

    @pytest.mark.parametrize("cells", [["1", "0", "1"], ["1", "1", "1"], ["2", "1", "2"]])
    def test_numbers_that_a_program_listed_as_it_met_them_are_numbers(self, tmp_path: Path, cells: list[str]) -> None:
        column = pa.array(cells).dictionary_encode()
        pq.write_table(pa.table({"seq": ["AC", "GT", "TT"], "label": column}), tmp_path / "x.parquet")
        sequences = read_sequences(tmp_path / "x.parquet")
        assert (labels(sequences), sequences.classes) == ([int(cell) for cell in cells], None)

    def test_numbers_in_an_order_of_their_own_are_names(self, tmp_path: Path) -> None:
        kinds = pd.Categorical(["1", "0", "1"], categories=["1", "0"], ordered=True)
        pd.DataFrame({"seq": ["AC", "GT", "TT"], "label": kinds}).to_parquet(tmp_path / "x.parquet")
        sequences = read_sequences(tmp_path / "x.parquet")
        write_sequences(sequences, tmp_path / "y.parquet")
        for each in (sequences, read_sequences(tmp_path / "y.parquet")):
            assert (labels(each), each.classes) == ([0, 1, 0], ("1", "0"))

    def test_class_labels_of_a_data_set(self, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
        import datasets

        features = datasets.Features(
            seq=datasets.Value("string"), label=datasets.ClassLabel(names=["promoter", "enhancer"])
        )
        whole = datasets.Dataset.from_dict({"seq": ["AC", "GT"], "label": [1, 0]}, features=features)
        whole.save_to_disk(str(tmp_path / "set"))
        whole.to_parquet(tmp_path / "x.parquet")
        for path in (tmp_path / "set", tmp_path / "x.parquet"):
            caplog.clear()
            sequences = read_sequences(path)
            assert labels(sequences) == [1, 0]
            assert sequences.classes == ("promoter", "enhancer")
            assert "the classes, in the order of the file: 0 promoter, 1 enhancer." in caplog.text

    def test_class_labels_that_are_numbers_keep_their_place(self, tmp_path: Path) -> None:
        import datasets

        features = datasets.Features(seq=datasets.Value("string"), label=datasets.ClassLabel(names=["1", "0"]))
        whole = datasets.Dataset.from_dict({"seq": ["AC", "GT"], "label": [1, 0]}, features=features)
        whole.to_parquet(tmp_path / "x.parquet")
        sequences = read_sequences(tmp_path / "x.parquet")
        assert labels(sequences) == [1, 0]
        write_sequences(sequences, tmp_path / "y.csv")
        assert labels(read_sequences(tmp_path / "y.csv")) == [1, 0]

    def test_unlabelled_rows_of_a_data_set(self, tmp_path: Path) -> None:
        import datasets

        features = datasets.Features(seq=datasets.Value("string"), label=datasets.ClassLabel(names=["a", "b"]))
        for values, name in (([-1, -1], "none"), ([-1, 1], "some")):
            whole = datasets.Dataset.from_dict({"seq": ["AC", "GT"], "label": values}, features=features)
            whole.to_parquet(tmp_path / f"{name}.parquet")
        assert read_sequences(tmp_path / "none.parquet").labels is None
        with pytest.raises(LabelError, match="row 0: the label is missing"):
            read_sequences(tmp_path / "some.parquet")


class TestKmers:
    """DNABERT's own files."""

    def test_are_joined(self, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
        letters = ["ACGTTGCA", "TTGACC"]
        cells = [" ".join(text[i : i + 6] for i in range(len(text) - 5)) for text in letters]
        path = write(tmp_path, f"sequence\tlabel\n{cells[0]} \t1\n{cells[1]}\t0\n", "dev.tsv")
        sequences = read_sequences(path)
        assert sequences.strings() == letters
        assert labels(sequences) == [1, 0]
        assert "the sequences are overlapping 6-mers, joined to their letters" in caplog.text

    @pytest.mark.parametrize(
        ("cells", "message"),
        [
            ("ACG CGT\nACG TTT", "line 3: the 3-mers do not overlap: 'ACG' is not followed by 'TTT' (word 2)"),
            ("ACG CGT\nACGT CGTT", "line 3: expected overlapping 3-mers with spaces between, found 'ACGT'"),
            ("ACG CGT\nACGTTT", "line 3: expected overlapping 3-mers with spaces between, found 'ACGTTT'"),
            ("ACG CGX", "position 3: expected one of A, C, G, T, N, found 'X'"),
        ],
    )
    def test_that_do_not_fit_are_refused(self, tmp_path: Path, cells: str, message: str) -> None:
        with pytest.raises(SequenceError) as caught:
            read_sequences(write(tmp_path, f"seq\n{cells}\n", "x.csv"))
        assert message in str(caught.value)


class TestSpreadsheets:
    """What Excel and its like leave."""

    def test_semicolons_bom_quotes_and_blank_rows(self, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
        text = '\ufeffSample ID;Sequence;Class\r\n"a; b";ACGT;1\r\nc; TTN ;0\r\n;;\r\n;;\r\n'
        sequences = read_sequences(write(tmp_path, text, "x.csv"))
        assert sequences.names == ("a; b", "c")
        assert sequences.strings() == ["ACGT", "TTN"]
        assert labels(sequences) == [1, 0]
        assert "blank rows at the end were left out: 2." in caplog.text

    def test_tabs_in_a_csv_and_commas_in_a_tsv(self, tmp_path: Path) -> None:
        assert read_sequences(write(tmp_path, "id\tseq\na\tAC\n", "x.csv")).names == ("a",)
        assert read_sequences(write(tmp_path, "id,seq\na,AC\n", "x.tsv")).names == ("a",)

    def test_separators_that_could_be_several_are_refused(self, tmp_path: Path) -> None:
        with pytest.raises(FormatError, match=r"has no ',', and could be separated by '\\t' or by ';'"):
            read_sequences(write(tmp_path, "id\tseq;x\na\tAC;1\n", "x.csv"))


PACKERS = {"gz": gzip.compress, "bz2": bz2.compress, "xz": lzma.compress, "zst": lambda data: zstandard(data)}


def zstandard(data: bytes) -> bytes:
    return bytes(pa.compress(data, codec="zstd", asbytes=True))


@pytest.mark.parametrize("suffix", PACKERS)
def test_compressed_files_are_read_and_written(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"x.csv.{suffix}"
    path.write_bytes(PACKERS[suffix](b"id,seq\na,ACGT\n") + PACKERS[suffix](b"b,TT\n"))
    sequences = read_sequences(path)
    assert sequences.strings() == ["ACGT", "TT"]
    for name in ("first", "second"):
        write_sequences(sequences, tmp_path / f"{name}.fa.{suffix}")
    assert (tmp_path / f"first.fa.{suffix}").read_bytes() == (tmp_path / f"second.fa.{suffix}").read_bytes()
    assert read_sequences(tmp_path / f"first.fa.{suffix}").names == ("a", "b")
    first, second = (PACKERS[suffix](f"{name},ACGT\n".encode() * 50) for name in "ab")
    for damaged in (first[:-9], first + bytes([second[0] ^ 1]) + second[1:], first + b"ACGT"):
        path.write_bytes(damaged)
        with pytest.raises(FormatError, match=r"x\.csv\..*: the \w+ file is truncated or damaged"):
            read_sequences(path)


def test_what_compresses_is_told_by_the_contents(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_bytes(bz2.compress(b"id,seq\na,ACGT\n"))
    assert read_sequences(tmp_path / "x.csv").names == ("a",)
    with open_to_write(tmp_path / "plain.txt") as file:
        file.write(b"text")
    assert (tmp_path / "plain.txt").read_bytes() == b"text"


class TestFastq:
    """Reads; their qualities are not used."""

    def test_are_read(self, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
        sequences = read_sequences(write(tmp_path, "@r1 first\nACGT\n+\n@@@@\n@r2\r\nTTN\r\n+r2\r\nIII\r\n", "x.fq"))
        assert sequences.names == ("r1", "r2")
        assert sequences.strings() == ["ACGT", "TTN"]
        assert "the qualities of the 2 reads are not used" in caplog.text

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("@a\nACGT\n+\nII\n", "line 1: expected four lines"),
            ("@a\nAC\n+\nII\n@b\nAC\n", "line 5: expected four lines"),
            ("@a\nAC\nAC\n+\nIIII\n", "line 1: expected four lines"),
            ("@a\nAC\n+\nII\n@a\nAC\n+\nII\n", "line 5: the name 'a' occurs twice"),
            ("@a\nAX\n+\nII\n", "line 1: 'a', position 1"),
        ],
    )
    def test_refuses(self, tmp_path: Path, text: str, message: str) -> None:
        with pytest.raises(DataError) as caught:
            read_sequences(write(tmp_path, text, "x.fastq"))
        assert message in str(caught.value)


class TestJson:
    """Objects, one a line or in a list."""

    ROWS = ({"id": "a", "seq": "ACGT", "label": "peak"}, {"id": "b", "seq": "TT", "label": "none", "more": [1]})

    def test_are_read(self, tmp_path: Path) -> None:
        lines = write(tmp_path, "".join(json.dumps(row) + "\n\n" for row in self.ROWS), "x.jsonl")
        listed = write(tmp_path, json.dumps(self.ROWS), "x.json")
        for path in (lines, listed):
            sequences = read_sequences(path)
            assert sequences.names == ("a", "b")
            assert labels(sequences) == [1, 0]

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ('{"seq": "AC"}\n{"seq": \n', "x.jsonl, line 2: not JSON"),
            ('{"seq": "AC"}\n["AC"]\n', "x.jsonl, line 2: expected an object"),
            ('{"seq": "AC", "seq": "GT"}\n', "line 1: not JSON: an object has a key twice: 'seq'"),
            ('{"seq": "AC"}\n\n{"seq": "AX"}\n', "x.jsonl, line 3: 'seq1', position 1"),
            ('{"seq": "AC", "label": 1}\n{"seq": "AC", "label": "x"}\n', "a key has values of several types"),
            ('{"seq": "AC", "id": "\\ud800"}\n', "several types"),
            ('{"seq": 1}\n', "column 'seq' holds int"),
        ],
    )
    def test_refuses(self, tmp_path: Path, text: str, message: str) -> None:
        with pytest.raises(DataError) as caught:
            read_sequences(write(tmp_path, text, "x.jsonl"))
        assert message in str(caught.value)


@pytest.mark.parametrize(
    "text", [">a\nACGT\n", "@a\nACGT\n+\nIIII\n", "id,seq\na,ACGT\n", "id;seq\na;ACGT\n", '{"id": "a", "seq": "ACGT"}']
)
@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_standard_input_is_told_by_how_it_begins(text: str, pack: object) -> None:
    code = "import kmerit as km; s = km.read_sequences('-'); print(s.names, s.strings())"
    data = pack(text.encode())  # type: ignore[operator]
    process = subprocess.run([sys.executable, "-c", code], input=data, capture_output=True, check=True)
    assert process.stdout.decode().strip() == "('a',) ['ACGT']"


def test_parquet_on_standard_input() -> None:
    buffer = io.BytesIO()
    pd.DataFrame({"seq": ["ACGT"]}).to_parquet(buffer)
    code = "import kmerit as km; print(km.read_sequences('-').strings())"
    process = subprocess.run([sys.executable, "-c", code], input=buffer.getvalue(), capture_output=True, check=True)
    assert process.stdout.decode().strip() == "['ACGT']"


class TestNamesThatAreLoci:
    """Headers of bedtools getfasta and samtools faidx."""

    def test_are_loci_where_the_length_agrees(self, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
        heads = ["chr1:100-104(+)", "chr1:100-104(-)", "chrX:7-11", "p1::chr2:0-4(.)", "chr3:5-8", "chr4:1-99", "plain"]
        path = write(tmp_path, "".join(f">{head}\nACGT\n" for head in heads), "x.fa")
        sequences = read_sequences(path)
        assert sequences.names == tuple(heads)
        assert sequences.loci == (
            Locus("chr1", 100, 104, "+"),
            Locus("chr1", 100, 104, "-"),
            Locus("chrX", 7, 11, "+"),
            Locus("chr2", 0, 4, "+"),
            Locus("chr3", 4, 8, "+"),
            None,
            None,
        )
        assert "names are loci, 0-based and half-open as bedtools writes them: 4." in caplog.text
        assert "names are loci, 1-based and with both ends as samtools and browsers write them: 1." in caplog.text
        assert "names look like loci, of another length than the letters': 1;" in caplog.text

    def test_a_field_locus_goes_before(self, tmp_path: Path) -> None:
        path = write(tmp_path, ">chr1:100-104 locus=chr9:7-11:-\nACGT\n", "x.fa")
        assert read_sequences(path).loci == (Locus("chr9", 7, 11, "-"),)

    def test_are_not_made_up_by_a_round_trip(self, tmp_path: Path) -> None:
        sequences = read_sequences(write(tmp_path, "name,seq\nchr1:5-9,ACGT\nb,AC\n", "x.csv"))
        assert sequences.loci is None
        write_sequences(sequences, tmp_path / "y.fa")
        assert read_sequences(tmp_path / "y.fa").loci is None


def test_names_that_occur_twice(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for path in (
        write(tmp_path, ">a\nAC\n>a\nGT\n>a_2\nTT\n>a\nGG\n", "x.fa"),
        write(tmp_path, "id,seq\na,AC\na,GT\na_2,TT\na,GG\n", "x.csv"),
    ):
        with pytest.raises(SequenceError, match=r"the name 'a' occurs twice .*--rename"):
            read_sequences(path)
        caplog.clear()
        assert read_sequences(path, rename=True).names == ("a", "a_3", "a_2", "a_4")
        assert "names that occurred before were numbered (2); the first: 'a' is now 'a_3'" in caplog.text


def test_classes_must_fit_the_labels() -> None:
    bases, offsets = np.zeros(2, dtype=np.int8), np.array([0, 1, 2])
    with pytest.raises(LabelError, match="expected a name of its own for each of 0 to 1"):
        Sequences(("a", "b"), bases, offsets, np.array([0, 1]), classes=("only",))
    with pytest.raises(LabelError, match="name the labels"):
        Sequences(("a", "b"), bases, offsets, classes=("x", "y"))
