"""Loci as text: the one reader of ``chrom:start-end`` and the one writer. 0-based, half-open."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from kmerit.errors import FormatError, short
from kmerit.types import Locus

_LOCUS = re.compile(r"(\S+):([0-9]{1,19})-([0-9]{1,19})(?::([+-])|\(([+.-])\))?")
_WHOLE = re.compile(r"([0-9]+)(?:\.0*)?", re.ASCII)
_END = 2**63
"""Positions are held in 64 bits."""


def split_locus(text: str) -> tuple[str, str, str, str | None] | None:
    """Take ``chrom:start-end`` apart, with ``:+`` or ``(+)`` behind it or without; None if it is something else.

    The chromosome ends at the last colon that leaves an interval: names of HLA contigs hold colons.

    Example:
        >>> split_locus("HLA-A*01:01:01:01:1-200(-)"), split_locus("HLA-A*01:01:01:01")
        (('HLA-A*01:01:01:01', '1', '200', '-'), None)
    """
    match = _LOCUS.fullmatch(text)
    return None if match is None else (match[1], match[2], match[3], match[4] or match[5])


def spell_locus(locus: Locus) -> str:
    """Write a locus as :func:`split_locus` takes it apart.

    Example:
        >>> spell_locus(Locus("chr1", 100, 300, "-"))
        'chr1:100-300:-'
    """
    return f"{locus.chrom}:{locus.start}-{locus.end}:{locus.strand}"


def parse_locus(cells: Sequence[Any], place: str) -> Locus | None:
    """Make a locus of what a file says; None where it says nothing.

    Args:
        cells: Chromosome; first position, 0-based; position after the last; strand: ``+``, ``-``, or nothing or
            ``.``, which mean ``+``.
        place: Where this stands, for an error.

    Raises:
        FormatError: Only a part is there, or it is no interval.

    Example:
        >>> parse_locus(["chr1", "7", 10.0, None], "x.csv, line 2")
        Locus(chrom='chr1', start=7, end=10, strand='+')
    """
    # NaN, unlike everything else, does not equal itself: pandas writes it for whole numbers that are missing.
    values: list[Any] = [None if cell == "" or cell != cell else cell for cell in cells]
    chrom, first, last, strand = values
    present = [cell is not None for cell in (chrom, first, last)]
    if not any(present):
        return None
    start, end = _position(first), _position(last)
    strand = "+" if strand in (None, ".") else strand
    if not all(present) or start is None or end is None or not start < end < _END or strand not in ("+", "-"):
        raise FormatError(
            f"{place}: expected chromosome, start < end (0-based) and strand + or -, "
            f"found {', '.join(map(short, values))}."
        )
    return Locus(_name(chrom), start, end, strand)


def _name(cell: Any) -> str:
    """Spell a chromosome: 1.0 is what pandas makes of 1 where another is missing."""
    return str(int(cell) if isinstance(cell, float) and cell.is_integer() else cell)


def _position(cell: Any) -> int | None:
    """Understand a whole number of at least 0, as number or text; pandas makes floats of whole numbers."""
    match = None if isinstance(cell, bool) else _WHOLE.fullmatch(str(cell).strip())
    return int(match[1]) if match and len(match[1]) < 20 else None
