"""Loci as text: chromosomes whose names hold colons, both notations of strands, and what is no locus."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from kmerit.errors import FormatError, SequenceError
from kmerit.io.crops import Crop, prepare
from kmerit.io.readers import as_sequences, read_sequences
from kmerit.sequences import Locus, Sequences, parse_locus, spell_locus, split_locus


@pytest.mark.parametrize("chrom", ["chr1", "X", "HLA-A*01:01:01:01", "chr6:5-10", "HLA-DRB1*15:01:01:01:3-9:+", "chrÄ"])
@pytest.mark.parametrize("strand", ["+", "-"])
def test_a_locus_is_read_as_it_was_written(chrom: str, strand: str) -> None:
    locus = Locus(chrom, 0, 2**63 - 1, strand)
    cells = split_locus(spell_locus(locus))
    assert cells is not None
    assert parse_locus(cells, "here") == locus


@pytest.mark.parametrize(
    ("text", "cells"),
    [
        ("chr1:100-200", ("chr1", "100", "200", None)),
        ("chr1:100-200(+)", ("chr1", "100", "200", "+")),
        ("HLA-A*01:01:01:01:1-200(-)", ("HLA-A*01:01:01:01", "1", "200", "-")),
        ("chr1:100-200(.)", ("chr1", "100", "200", ".")),
        ("HLA-A*01:01:01:01", None),
        ("chr1:1,000-2,000", None),
        ("chr1:١-٢", None),
        ("chr 1:1-2", None),
        (":1-2", None),
    ],
)
def test_split(text: str, cells: tuple[str, str, str, str | None] | None) -> None:
    assert split_locus(text) == cells


@pytest.mark.parametrize("end", [True, -1, 2.5, "1e3", "5 0", 2**63, 10**400, float("inf"), b"7"])
def test_what_is_no_position(end: object) -> None:
    with pytest.raises(FormatError, match=r"^here: expected chromosome, start < end"):
        parse_locus(["chr1", 0, end, "+"], "here")


@pytest.mark.parametrize(
    ("name", "text", "place"),
    [
        ("x.csv", "name,sequence,chrom,start,end\na,ACGT,chr1,0,4\nb,ACGT,chr1,10,13\n", "x.csv, line 3"),
        ("x.tsv", "sequence\tchr\tstart\tend\tstrand\nACGT\tchr1\t0\t3\t-\n", "x.tsv, line 2"),
        ("x.jsonl", '{"seq": "ACGT", "chrom": "chr1", "start": 0, "end": 3}\n', "x.jsonl, line 1"),
        ("x.fa", ">a locus=chr1:5-9:-\nACGT\n>b locus=chr1:5-8:-\nACGT\n", "x.fa, line 3"),
    ],
)
def test_a_locus_is_as_long_as_its_letters(tmp_path: Path, name: str, text: str, place: str) -> None:
    path = tmp_path / name
    path.write_text(text)
    with pytest.raises(FormatError, match=rf"{place}: .* has 3 nt, its letters 4: .*--ignore-coordinates"):
        read_sequences(path)
    assert read_sequences(path, coordinates=False).loci is None


@pytest.mark.parametrize("kind", ["csv", "tsv", "parquet", "frame"])
def test_loci_of_a_frame_come_back(tmp_path: Path, kind: str) -> None:
    loci = [Locus("chr20", 100, 104, "-"), None, Locus("HLA-A*01:01", 0, 4)]
    frame = Sequences.from_strings(["ACGT", "CCCC", "TTTT"], [1, 0, 1], loci=loci).to_frame()
    path = tmp_path / f"x.{kind}"
    if kind == "frame":
        assert as_sequences(frame).loci == tuple(loci)
        return
    frame.to_parquet(path) if kind == "parquet" else frame.to_csv(path, index=False, sep="\t" if kind == "tsv" else ",")
    assert read_sequences(path).loci == tuple(loci)
    assert read_sequences(path, coordinates=False).loci is None


def test_a_column_locus_of_something_else_names_no_place(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_text("sequence,locus\nACGT,LOC123\nACGT,chr1:5-9\n")
    assert read_sequences(path).loci is None
    path.write_text("sequence,locus\nACGT,chr1:5-9:+\nACGT,LOC123\n")
    with pytest.raises(FormatError, match=r"x.csv, line 3: expected chrom:start-end:strand as locus, found 'LOC123'"):
        read_sequences(path)


def test_a_locus_of_a_parquet_file_is_as_long_as_its_letters(tmp_path: Path) -> None:
    pd.DataFrame({"sequence": ["ACGT"], "chrom": ["chr1"], "start": [1], "end": [6]}).to_parquet(tmp_path / "x.parquet")
    with pytest.raises(FormatError, match=r"row 0: 'seq0': its locus chr1:1-6:\+ has 5 nt, its letters 4"):
        read_sequences(tmp_path / "x.parquet")


def test_sequences_are_not_made_with_other_loci() -> None:
    with pytest.raises(SequenceError, match=r"'seq1': its locus chr1:1-4:\+ has 3 nt, .* 1-based"):
        Sequences.from_strings(["ACGT", "ACGT"], loci=[Locus("chr1", 0, 4), Locus("chr1", 1, 4)])


def test_a_crop_keeps_the_locus_in_step() -> None:
    whole = Sequences.from_strings(["ACGTA"] * 2, loci=[Locus("chr1", 10, 15), Locus("chr1", 10, 15, "-")])
    cropped, _ = prepare(whole, crop=Crop(3, "left"), drop_n=False)
    assert cropped.loci == (Locus("chr1", 10, 13), Locus("chr1", 12, 15, "-"))
