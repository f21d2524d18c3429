"""Loci as text: chromosomes whose names hold colons, both notations of strands, and what is no locus."""

from __future__ import annotations

import pytest

from kmerit.data.loci import parse_locus, spell_locus, split_locus
from kmerit.errors import FormatError
from kmerit.types import Locus


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
