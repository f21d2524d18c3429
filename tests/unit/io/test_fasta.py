"""FASTA: what is read, and what is refused with file and line."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest

from kmerit.errors import DataError, FormatError, LabelError, SequenceError
from kmerit.io.readers import read_sequences, write_sequences
from kmerit.sequences import Locus, Sequences


def written(folder: Path, content: bytes | str, name: str = "x.fa") -> Path:
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def test_reads_names_up_to_white_space_and_joins_lines(tmp_path: Path) -> None:
    sequences = read_sequences(written(tmp_path, ">a first one\nACGT\nNAC\n>b\tsecond\nTT\n\n>c\nG"))
    assert sequences.names == ("a", "b", "c")
    assert sequences.strings() == ["ACGTNAC", "TT", "G"]
    assert sequences.labels is None
    assert sequences.loci is None


@pytest.mark.parametrize("change", ["crlf", "cr", "mixed", "bom", "gzip", "blank lines first"])
def test_reads_alike_however_the_file_is_written(tmp_path: Path, change: str) -> None:
    text = b">a label=1\nACGT\nAC\n>b label=0\nTTT\n"
    same = {
        "crlf": text.replace(b"\n", b"\r\n"),
        "cr": text.replace(b"\n", b"\r"),
        "mixed": text.replace(b"\n", b"\r\n", 2).replace(b"\n>", b"\r>"),
        "bom": b"\xef\xbb\xbf" + text,
        "gzip": gzip.compress(text),
        "blank lines first": b"\n\n" + text,
    }[change]
    sequences = read_sequences(written(tmp_path, same))
    assert sequences.names == ("a", "b")
    assert sequences.strings() == ["ACGTAC", "TTT"]
    assert sequences.labels is not None
    assert sequences.labels.tolist() == [1, 0]


def test_reads_labels_and_loci_of_the_header(tmp_path: Path) -> None:
    sequences = read_sequences(written(tmp_path, ">a label=2 locus=chr1:10-14:-\nACGT\n>b other label=0\nTTT\n"))
    assert sequences.labels is not None
    assert sequences.labels.dtype == np.int64
    assert sequences.labels.tolist() == [2, 0]
    assert sequences.loci == (Locus("chr1", 10, 14, "-"), None)


def test_values_are_not_classes(tmp_path: Path) -> None:
    sequences = read_sequences(written(tmp_path, ">a value=2\nACGT\n>b value=0\nTTT\n"))
    assert sequences.labels is not None
    assert sequences.labels.dtype == np.float64


def test_soft_masked_letters_are_read_and_said_or_refused(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = written(tmp_path, ">a\nACgtn\n>b\nACG\n")
    assert read_sequences(path).strings() == ["ACGTN", "ACG"]
    assert "lower-case (soft-masked) letters are read as upper case, in 1 of 2 sequences" in caplog.text
    with pytest.raises(SequenceError, match=r"x\.fa, line 2: 'a', position 2: .*'g'.*case='upper'"):
        read_sequences(path, case="exact")


@pytest.mark.parametrize(
    ("content", "error", "message"),
    [
        ("", FormatError, "x.fa: the file is empty"),
        (" \n\n", FormatError, "x.fa: the file is empty"),
        ("ACGT\nACGT\n", FormatError, "x.fa, line 1: expected a FASTA record ('>name'), found 'ACGT': no records"),
        ("\n;old\n>a\nAC\n", FormatError, "line 2: expected a FASTA record"),
        (
            ">a\nACG\n>b\nACU\n",
            SequenceError,
            "x.fa, line 4: 'b', position 2: expected one of A, C, G, T, N, found 'U'",
        ),
        (
            ">a\nACG\nTTR\n",
            SequenceError,
            "line 3: 'a', position 5: expected one of A, C, G, T, N, found 'R': an IUPAC",
        ),
        (">a\nAC-G\n", SequenceError, "line 2: 'a', position 2: expected one of A, C, G, T, N, found '-'"),
        (">a\nAC G\n", SequenceError, "found ' '"),
        (">a\nACÄG\n", SequenceError, "line 2: 'a', position 2: expected one of A, C, G, T, N, found 'Ä'"),
        (">a\n>b\nACG\n", SequenceError, "line 1: 'a' is empty"),
        (">a\nACG\n>b\n", SequenceError, "line 3: 'b' is empty"),
        (">\nACG\n", SequenceError, "line 1: the name is empty"),
        (">a\nAC\n>b\nAC\n>a\nAC\n", SequenceError, "line 5: the name 'a' occurs twice (first: "),
        (">a label=1\nAC\n>b\nAC\n", LabelError, "line 3: the label is missing"),
        (">a label=1\nAC\n>b label=promoter\nAC\n", LabelError, "line 3: expected a number as label, found 'promoter'"),
        (">a label=1\nAC\n>b value=2\nAC\n", LabelError, "headers have label= and value="),
        (
            ">a locus=chr1\nAC\n",
            FormatError,
            "line 1: expected locus=chrom:start-end:strand, found 'chr1'. Correct it, or read without coordinates: --",
        ),
        (">a locus=chr1:9-3\nAC\n", FormatError, "line 1: expected chromosome, start < end"),
        (f">a\nAC\n>b locus=chr1:5-{10**30}\nAC\n", FormatError, "line 3: expected locus=chrom:start-end:strand"),
        (">a locus=x:1-3 locus=y:1-3\nAC\n", FormatError, "line 1: the header says label=, value= or locus= twice"),
        (">a label=1\nAC\n>b label=\nAC\n", LabelError, "line 3: the label is missing"),
        (">a label=1e300\nAC\n", LabelError, "line 1: the class '1e300' is too large"),
        (">a value=inf\nAC\n", LabelError, "line 1: expected a number as label, found 'inf'"),
        (">a\rAC\r>b\rAX\r", SequenceError, "line 4: 'b', position 1"),
        (b">a\nAC\n" * 3000 + b">b\n\0C\n", FormatError, "line 6002: expected text, found a binary file (a NUL byte)"),
        (b"PK\x03\x04 and more", FormatError, "found a zip archive"),
        (">" + "a" * 500_000 + "\nAX\n", SequenceError, "line 2: 'aaa"),
        (b">a\nAC\0\0", FormatError, "expected text, found a binary file"),
        (">a\nAC\n".encode("utf-16"), FormatError, "the text is UTF-16"),
        (b">\xff\nAC\n", FormatError, "line 1: the byte 0xff is not UTF-8"),
        (
            gzip.compress(b">a\n" + b"ACGT" * 1000, mtime=0)[:-12],
            FormatError,
            "x.fa: the gzip file is truncated or damaged",
        ),
    ],
)
def test_refuses(tmp_path: Path, content: bytes | str, error: type[DataError], message: str) -> None:
    with pytest.raises(error) as caught:
        read_sequences(written(tmp_path, content))
    assert message in str(caught.value)
    assert len(str(caught.value).splitlines()) <= 2
    assert len(str(caught.value)) < 600


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match=r"nothing\.fa: no such file"):
        read_sequences(tmp_path / "nothing.fa")


def test_columns_and_splits_are_not_for_fasta(tmp_path: Path) -> None:
    path = written(tmp_path, ">a\nAC\n")
    with pytest.raises(FormatError, match="FASTA and FASTQ have no columns"):
        read_sequences(path, label_column="y")
    with pytest.raises(FormatError, match="a single file has no splits"):
        read_sequences(path, split="test")


def test_a_name_with_white_space_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match="the name 'a b' has white space"):
        write_sequences(Sequences.from_strings(["ACGT"], names=["a b"]), tmp_path / "x.fa")
    assert list(tmp_path.iterdir()) == []


def test_a_chromosome_costs_a_few_bytes_per_nucleotide(tmp_path: Path) -> None:
    import tracemalloc

    letters = np.frombuffer(b"ACGT", dtype=np.uint8)[np.random.default_rng(0).integers(0, 4, 2_000_000)]
    lines = letters.tobytes()
    path = written(tmp_path, b">chr1\n" + b"\n".join(lines[a : a + 80] for a in range(0, len(lines), 80)))
    tracemalloc.start()
    sequences = read_sequences(path)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert sequences.string(0).encode() == lines
    assert peak < 6 * letters.size
