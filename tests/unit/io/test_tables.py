"""CSV, TSV and Parquet: columns found or named, labels and loci understood, faults refused."""

from __future__ import annotations

import gzip
import tracemalloc
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest

from helpers.text_files import write
from kmerit.errors import DataError, FormatError, LabelError, SequenceError
from kmerit.io.readers import read_sequences
from kmerit.sequences import Locus


@pytest.mark.parametrize("sequence", ["sequence", "seq", "DNA", "dna_sequence", "text"])
@pytest.mark.parametrize("label", ["label", "labels", "y", "Target", "class"])
def test_finds_columns_of_usual_names(tmp_path: Path, sequence: str, label: str) -> None:
    sequences = read_sequences(write(tmp_path, f"id,{label},{sequence},other\na,1,ACGT,q\nb,0,TT,q\n"))
    assert sequences.names == ("a", "b")
    assert sequences.strings() == ["ACGT", "TT"]
    assert sequences.labels is not None
    assert sequences.labels.tolist() == [1, 0]
    assert sequences.labels.dtype == np.int64


def test_takes_the_columns_that_are_named(tmp_path: Path) -> None:
    path = write(tmp_path, "sequence,left,truth,label,who\nAC,GGT,3,0,x\nAC,TT,1,0,y\n")
    sequences = read_sequences(path, sequence_column="left", label_column="truth", name_column="who")
    assert sequences.strings() == ["GGT", "TT"]
    assert sequences.labels is not None
    assert sequences.labels.tolist() == [3, 1]
    assert sequences.names == ("x", "y")


def test_numbers_sequences_without_names_and_does_without_labels(tmp_path: Path) -> None:
    sequences = read_sequences(write(tmp_path, "sequence\nAC\nGT\n"))
    assert sequences.names == ("seq0", "seq1")
    assert sequences.labels is None


def test_reads_tsv_crlf_bom_quotes_and_gzip(tmp_path: Path) -> None:
    text = '\ufeffname\tsequence\tlabel\r\n"a, b"\tACGT\t1\r\nc\tTTN\t0\r\n'
    path = tmp_path / "x.tsv.gz"
    path.write_bytes(gzip.compress(text.encode()))
    sequences = read_sequences(path)
    assert sequences.names == ("a, b", "c")
    assert sequences.strings() == ["ACGT", "TTN"]


@pytest.mark.parametrize(
    ("cells", "kind", "expected"),
    [
        (["0", "1"], np.int64, [0, 1]),
        (["0.0", "2.0"], np.int64, [0, 2]),
        (["0.5", "2"], np.float64, [0.5, 2.0]),
        (["-1.5", "1e-3"], np.float64, [-1.5, 0.001]),
    ],
)
def test_whole_numbers_are_classes_and_others_values(
    tmp_path: Path, cells: list[str], kind: type, expected: list[float]
) -> None:
    sequences = read_sequences(write(tmp_path, f"sequence,label\nAC,{cells[0]}\nGT,{cells[1]}\n"))
    assert sequences.labels is not None
    assert sequences.labels.dtype == kind
    assert sequences.labels.tolist() == expected


@pytest.mark.parametrize(
    ("chrom", "ending"), [("chrom", ""), ("chr", "_grch38"), ("chromosome", "_grch37"), ("region", "")]
)
def test_finds_coordinates(tmp_path: Path, chrom: str, ending: str) -> None:
    path = write(tmp_path, f"sequence,{chrom},start{ending},end{ending},strand\nACG,chr1,7,10,-\nGT,,,,\nTT,2,0,2,\n")
    assert read_sequences(path).loci == (Locus("chr1", 7, 10, "-"), None, Locus("2", 0, 2, "+"))


@pytest.mark.parametrize("ends", ["\r", "\r\n", "\n", "\n\n", "\r\r\n"])
def test_lines_end_as_on_any_system(tmp_path: Path, ends: str) -> None:
    lines = ["name ,sequence,label", "a,ACGT,1", '"b,""\rb",TTN,0', "", ",,", ""]
    sequences = read_sequences(write(tmp_path, ends.join(lines)))
    assert sequences.names == ("a", 'b,"\rb')
    assert sequences.strings() == ["ACGT", "TTN"]


def test_a_cell_may_be_as_long_as_a_chromosome(tmp_path: Path) -> None:
    assert read_sequences(write(tmp_path, f"sequence\n{'ACGT' * 100_000}\n")).lengths.tolist() == [400_000]


@pytest.fixture(params=[1, 2, 4096])
def few_rows(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Read tables and letters this many rows at a time."""
    monkeypatch.setattr("kmerit.io.tables._TOGETHER", request.param)
    monkeypatch.setattr("kmerit.io.files._TOGETHER", request.param)


@pytest.mark.usefixtures("few_rows")
def test_tables_are_read_some_rows_at_a_time(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    text = 'name,sequence,label\na,acgt,0\n\n"b\nb", GGT ,1\nc,TTN,1\nd,aA,0\n,,\n , ,\n'
    sequences = read_sequences(write(tmp_path, text))
    assert sequences.names == ("a", "b\nb", "c", "d")
    assert sequences.strings() == ["ACGT", "GGT", "TTN", "AA"]
    assert sequences.labels is not None
    assert sequences.labels.tolist() == [0, 1, 1, 0]
    assert "blank rows at the end were left out: 2." in caplog.text
    assert "in 2 of 4 sequences" in caplog.text


@pytest.mark.usefixtures("few_rows")
@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (["a,ACGT", "b,AC", "c,AXC"], "line 4: 'c', position 1: .* found 'X'"),
        (["a,ACGT", "b,AC", '"c', 'c",AC', "d,"], "line 6: 'd' is empty"),
        (["a,ACGT", ",", "", "c,AC,1", "d,A,1", 'e,"A'], "line 7: .* a quote is never closed"),
        (["a,ACGT", "b,A", "", "c,AC,1", "d,A,1"], "line 5: .* expected 2 cells as in the header, found 3"),
        (["a,ACGT", "", ",,", "c,AC"], "line 4: .* expected 2 cells as in the header, found 3"),
        (["a,ACGT", ",", "c,AC"], "line 3: the name is empty"),
        (["a,ACGT", "b,AC", "a,AC"], r"line 4: the name 'a' occurs twice \(first: .*line 2\)"),
        (["a,AC", "b,ACG", "c,ACG CGT"], "line 2: expected overlapping 3-mers with spaces between, found 'AC'"),
        (["a,ACG", "b,ACG CGT", "c,ACG GGT"], "line 4: the 3-mers do not overlap"),
    ],
)
def test_the_line_is_told_whatever_is_read_together(tmp_path: Path, rows: list[str], message: str) -> None:
    with pytest.raises(DataError, match=message):
        read_sequences(write(tmp_path, "\n".join(["name,sequence", *rows, ""])))


def test_rows_cost_little_more_than_their_letters(tmp_path: Path) -> None:
    path = write(tmp_path, "name,sequence,label\n" + "".join(f"s{i},{'ACGT' * 10},{i % 2}\n" for i in range(20_000)))
    read_sequences(path)  # what is loaded for it
    tracemalloc.start()
    sequences = read_sequences(path)
    held, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(sequences) == 20_000
    assert held / 20_000 < 150  # letters, name, label, offset
    assert peak / 20_000 < 320  # and the file, and Python's own numbers and names of some rows


def test_text_that_is_not_utf8_is_told_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_bytes("name,sequence\na,ACGT\nMüller,TT\n".encode("latin-1"))
    with pytest.raises(FormatError, match=r"x\.csv, line 3: the byte 0xfc is not UTF-8 text; perhaps .* Latin-1"):
        read_sequences(path)


def test_columns_without_names_play_no_part(tmp_path: Path) -> None:
    path = write(tmp_path, " label , sequence, start,end,chrom,,\n1,ACGT,3,7,x,,\n0,TT,,,,,\n")
    sequences = read_sequences(path)
    assert sequences.loci == (Locus("x", 3, 7), None)


def test_parquet_with_text_that_is_not_utf8(tmp_path: Path) -> None:
    path = tmp_path / "x.parquet"
    offsets = pa.py_buffer(np.array([0, 2], dtype=np.int32))
    broken = pa.Array.from_buffers(pa.string(), 1, [None, offsets, pa.py_buffer(b"A\xff")])
    pa.parquet.write_table(pa.table({"sequence": broken}), path)
    with pytest.raises(FormatError, match="the column 'sequence' cannot be read"):
        read_sequences(path)


def test_parquet_with_two_columns_of_one_name(tmp_path: Path) -> None:
    path = tmp_path / "x.parquet"
    pa.parquet.write_table(pa.Table.from_arrays([pa.array(["AC"]), pa.array(["GT"])], names=["seq", "seq"]), path)
    with pytest.raises(FormatError, match="2 columns are named 'seq'"):
        read_sequences(path)


def test_whole_numbers_that_pandas_made_floats_are_coordinates(tmp_path: Path) -> None:
    path = tmp_path / "x.parquet"
    table = {"sequence": ["ACG", "GT"], "chrom": [1.0, np.nan], "start": [7.0, np.nan], "end": [10.0, np.nan]}
    pa.parquet.write_table(pa.table(table), path)
    assert read_sequences(path).loci == (Locus("1", 7, 10), None)


def test_parquet_keeps_its_types(tmp_path: Path) -> None:
    path = tmp_path / "x.parquet"
    table = pa.table({"id": [7, 8], "seq": pa.array(["ACG", "GT"], pa.large_string()), "label": [True, False]})
    pa.parquet.write_table(table, path)
    sequences = read_sequences(path)
    assert sequences.names == ("7", "8")
    assert sequences.labels is not None
    assert sequences.labels.tolist() == [1, 0]


@pytest.mark.parametrize(
    ("text", "error", "message"),
    [
        ("", FormatError, "x.csv: the file is empty"),
        ("sequence,label\n", FormatError, "x.csv: the table has no rows"),
        (
            "word,label\nAC,1\n",
            FormatError,
            "x.csv: no sequence column among 'word', 'label'; expected one of 'sequence'",
        ),
        (
            "seq,dna\nAC,GT\n",
            FormatError,
            "'seq', 'dna' could each be the sequence column. Name one with sequence_column",
        ),
        (
            "seq,y,label\nAC,1,0\n",
            LabelError,
            "'y', 'label' could each be the label column. Name one with label_column",
        ),
        ("seq,label\nAC,1\nAC,enhancer\n", LabelError, "x.csv, line 3: expected a number as label, found 'enhancer'"),
        ("seq,label\nAC,enhancer\nAC,\n", LabelError, "x.csv, line 3: the label is missing"),
        (
            'seq,label\nAC,"0,5"\nAC,"1,5"\n',
            LabelError,
            "line 2: expected a number or a name as label, found '0,5'. Write 0.5",
        ),
        ("seq,value\nAC,enhancer\n", LabelError, "line 2: expected a number as label, found 'enhancer'"),
        ("seq,label\nAC,1\nAC,\n", LabelError, "x.csv, line 3: the label is missing"),
        ("seq,label\nAC,1\nAC,nan\n", LabelError, "x.csv, line 3: expected a number as label, found 'nan'"),
        ("seq,label\nAC,-1\n", LabelError, "x.csv, line 2: the class '-1' is negative"),
        ("seq,label\nAC,0\nAC,1e300\n", LabelError, "x.csv, line 3: the class '1e300' is too large"),
        ("seq,label\nAC,9223372036854775808\n", LabelError, "line 2: the class '9223372036854775808' is too large"),
        ("seq,label\nAC,2147483648\n", LabelError, "line 2: the class '2147483648' is too large"),
        ("seq,label\nAC,1_0\n", LabelError, "line 2: expected a number as label, found '1_0'"),
        ("seq,chrom,start,end\nAC,chr1,1_0,12\n", FormatError, "line 2: expected chromosome, start < end"),
        ("seq,chrom,start,end\nAC,chr1,10.5,12.5\n", FormatError, "line 2: expected chromosome, start < end"),
        ("seq,label\nAC,1\nACx,1\n", SequenceError, "x.csv, line 3: 'seq1', position 2"),
        (
            "seq,label\nAC,1\nacgx,1\n",
            SequenceError,
            "line 3: 'seq1', position 3: expected one of A, C, G, T, N, found 'x'",
        ),
        (
            "seq,label\nAC,1\nAÄC,1\n",
            SequenceError,
            "line 3: 'seq1', position 1: expected one of A, C, G, T, N, found 'Ä'",
        ),
        ("seq,label\nAC,1\n,1\n", SequenceError, "x.csv, line 3: 'seq1' is empty"),
        ("id,seq\na,AC\na,GT\n", SequenceError, "x.csv, line 3: the name 'a' occurs twice (first: "),
        ("id,seq\na,AC\n,GT\n", SequenceError, "x.csv, line 3: the name is empty"),
        ("seq,label\nAC,1\n\nAC\n", FormatError, "line 4: not a table separated by ',': expected 2 cells as in the"),
        ("seq,label\nAC,1,2\n", FormatError, "line 2: not a table separated by ',': expected 2 cells as in the header"),
        (
            'seq,label\nAC,1\n"AC,1\nAC,0\n',
            FormatError,
            "x.csv, line 3: not a table separated by ',': a quote is never",
        ),
        ('seq,label\n"A"C,1\n', FormatError, "line 2: not a table separated by ',': a quote is not doubled"),
        ("seq,label\n,\nAC,1\n", SequenceError, "x.csv, line 2: 'seq0' is empty"),
        ("seq,label,label\nAC,1,0\n", FormatError, "x.csv: 2 columns are named 'label'"),
        ("seq,start,end,chrom,Start\nAC,1,3,x,5\n", FormatError, "'start', 'Start' could each be the start column"),
        ('name,seq\n"a\nb",AC\nc,AX\n', SequenceError, "x.csv, line 4: 'c', position 1"),
        ("seq,label\nAC,1\nA\0C,0\n", FormatError, "x.csv, line 3: expected text, found a binary file (a NUL byte)"),
        ("seq,label\rAC,1\rAX,0\r", SequenceError, "x.csv, line 3: 'seq1', position 1"),
        ("seq,chrom,start,end\nAC,chr1,5,\n", FormatError, "x.csv, line 2: expected chromosome, start < end"),
        ("seq,chrom,start,end,strand\nAC,chr1,5,7,x\n", FormatError, "x.csv, line 2: expected chromosome, start < end"),
    ],
)
def test_refuses(tmp_path: Path, text: str, error: type[DataError], message: str) -> None:
    with pytest.raises(error) as caught:
        read_sequences(write(tmp_path, text))
    assert message in str(caught.value)
    assert len(str(caught.value).splitlines()) <= 2


def test_named_columns_must_exist(tmp_path: Path) -> None:
    path = write(tmp_path, "sequence,label\nAC,1\n")
    with pytest.raises(FormatError, match="no column 'dna' for the sequence; the columns are 'sequence', 'label'"):
        read_sequences(path, sequence_column="dna")
    with pytest.raises(LabelError, match="no column 'y' for the label; the columns are 'sequence', 'label'"):
        read_sequences(path, label_column="y")


def test_refuses_damaged_parquet(tmp_path: Path) -> None:
    path = tmp_path / "x.parquet"
    pa.parquet.write_table(pa.table({"sequence": ["ACGT"] * 100}), path)
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(FormatError, match=r"x\.parquet: not a Parquet file, or truncated"):
        read_sequences(path)


def test_refuses_letters_that_are_numbers(tmp_path: Path) -> None:
    path = tmp_path / "x.parquet"
    pa.parquet.write_table(pa.table({"sequence": [1, 2]}), path)
    with pytest.raises(FormatError, match="column 'sequence' holds int; expected letters"):
        read_sequences(path)


def test_refuses_unknown_suffixes(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match=r"the suffix '\.xlsx' is not known; expected \.fa, "):
        read_sequences(write(tmp_path, "x", "x.xlsx"))
