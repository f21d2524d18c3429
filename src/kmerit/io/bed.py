"""BED and narrowPeak, and regions as genome browsers write them: intervals, cut out of a genome."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from kmerit.errors import FormatError, short
from kmerit.io.files import Where, assemble, distinct_names, read_text, unpacked_name
from kmerit.io.genome import Genome
from kmerit.io.tables import TableIntervals
from kmerit.sequences import Int64, Locus, Sequences, parse_locus, reverse_complement, split_locus

_LOG = logging.getLogger(__name__)
NARROW_PEAK = (".narrowpeak",)
BED = (".bed", ".bed3", ".bed4", ".bed5", ".bed6", ".bed9", ".bed12", ".broadpeak", *NARROW_PEAK)
"""Suffixes of files of intervals."""
_HEADER = ("#", "track", "browser")
_THOUSANDS = re.compile(r"(?<=\d),(?=\d{3}(?!\d))")


@dataclass(frozen=True)
class Intervals:
    """Intervals of a BED file.

    Attributes:
        names: The fourth column; of intervals without one the locus, ``chr1:100-200(+)``.
        loci: 0-based, half-open; without a strand (``.``) on the forward strand.
        centres: Of a narrowPeak its summit; else the middle of the interval, ``int64 [interval]``.
        lines: Where each stands.
    """

    names: list[str]
    loci: list[Locus]
    centres: Int64
    lines: list[int]


def read_bed(path: Path, summits: bool) -> Intervals:
    """Read intervals.

    Args:
        path: A BED file, compressed or not; lines that begin with ``#``, ``track`` or ``browser`` are headers.
        summits: Whether it is a narrowPeak: its tenth column is the summit's distance from the start, -1 for none.

    Raises:
        FormatError: A line that is no interval, or none at all.
    """
    names, loci, centres, lines = [], [], [], []
    for number, line in enumerate(re.split("\r\n|\r|\n", read_text(path)), 1):
        if not line.strip() or line.startswith(_HEADER):
            continue
        place = f"{path}, line {number}"
        cells = [cell.strip() for cell in (line.split("\t") if "\t" in line else line.split())]
        if len(cells) < (10 if summits else 3):
            expected = "the ten columns of narrowPeak" if summits else "chromosome, start and end"
            raise FormatError(f"{place}: expected {expected}, with tabs between, found {short(line)}.")
        strand = cells[5] if len(cells) > 5 else None
        locus = parse_locus([*cells[:3], strand], place)
        if locus is None:
            raise FormatError(f"{place}: expected chromosome, start and end, found {short(line)}.")
        centre = (locus.start + locus.end) // 2
        if summits and cells[9] != "-1":
            if not cells[9].isascii() or not cells[9].isdecimal() or int(cells[9]) >= locus.end - locus.start:
                raise FormatError(
                    f"{place}: expected a summit from 0 to {locus.end - locus.start - 1} (or -1 for none) in column "
                    f"10, found {short(cells[9])}."
                )
            centre = locus.start + int(cells[9])
        has_name = len(cells) > 3 and cells[3] not in ("", ".")
        names.append(cells[3] if has_name else f"{locus.chrom}:{locus.start}-{locus.end}({locus.strand})")
        loci.append(locus)
        centres.append(centre)
        lines.append(number)
    if not loci:
        raise FormatError(f"{path}: no intervals; expected lines of chromosome, start and end.")
    return Intervals(names, loci, np.array(centres, dtype=np.int64), lines)


def bed_sequences(path: Path, genome: Path, *, summits: bool, width: int | None, rename: bool) -> Sequences:
    """Extract the intervals of a BED file from a genome.

    Args:
        path: The BED file.
        genome: FASTA, compressed or not; ``chr1`` there is ``1`` here, and the other way round.
        summits: Whether it is a narrowPeak.
        width: Nucleotides around each summit or middle; the intervals as they are where None.
        rename: Whether names that occur twice are numbered.

    Raises:
        FormatError: A line that is no interval; a chromosome that the genome lacks; nothing is inside the genome.
        SequenceError: A name that occurs twice.
    """
    intervals = read_bed(path, summits)

    def where(row: int) -> str:
        return f"{path}, line {intervals.lines[row]}"

    names = distinct_names(intervals.names, where, str(path), rename)
    if width is not None:
        around = "summits" if summits else "the middle of each interval"
        _LOG.warning(f"{path}: {width} nt around {around} are cut out of {genome}.")
    windows = _windows(intervals.loci, intervals.centres.tolist(), width)
    return cut_inside(Genome.open(genome), windows, names, str(path))


def table_windows(
    rows: TableIntervals, where: Where, source: str, genome: Path, width: int | None, rename: bool
) -> Sequences:
    """Extract the intervals of a table from a genome, as :func:`bed_sequences` does."""
    names = distinct_names(rows.names, where, source, rename)
    middles = [(locus.start + locus.end) // 2 for locus in rows.loci]
    windows = _windows(rows.loci, middles, width)
    sequences = cut_inside(Genome.open(genome), windows, names, source)
    if rows.labels is None:
        return sequences
    place = {name: row for row, name in enumerate(names)}
    labels = rows.labels[[place[name] for name in sequences.names]]
    return replace(sequences, labels=labels, classes=rows.classes, outputs=rows.outputs)


def _windows(loci: Sequence[Locus], centres: Sequence[int], width: int | None) -> list[tuple[Locus, int, int]]:
    if width is None:
        return [(locus, locus.start, locus.end) for locus in loci]
    starts = [centre - width // 2 for centre in centres]
    return [(locus, start, start + width) for locus, start in zip(loci, starts, strict=True)]


def cut_inside(
    genome: Genome, windows: Sequence[tuple[Locus, int, int]], names: Sequence[str], source: str
) -> Sequences:
    """Extract windows from a genome; drop, count and log those that reach beyond an end.

    Args:
        genome: To cut from.
        windows: Where: chromosome and strand of the locus, and first position and the one after the last.
        names: Of the windows.
        source: What to call their file.

    Raises:
        FormatError: A chromosome that the genome lacks, or no window inside it.
    """
    for locus, _, _ in windows:
        if not genome.has(locus.chrom):
            raise FormatError(
                f"{source}: {locus.chrom!r} is not a chromosome of {genome.path}, which has {genome.listed}. Is it of "
                f"another assembly?"
            )
    loci = [locus._replace(start=start, end=end) for locus, start, end in windows]
    pieces = genome.find(loci)
    inside = np.flatnonzero([locus.start >= 0 and piece >= 0 for locus, piece in zip(loci, pieces, strict=True)])
    if inside.size < len(loci):
        _LOG.warning(
            f"{source}: dropped windows that reach beyond the ends of their chromosomes: "
            f"{len(loci) - inside.size:,} of {len(loci):,}."
        )
    if not inside.size:
        raise FormatError(f"{source}: none of {len(loci):,} windows lies inside {genome.path}: another assembly?")
    parts = []
    for i in inside.tolist():
        locus, piece = loci[i], int(pieces[i])
        bases = genome.letters(piece, locus.start - int(genome.start[piece]), locus.end - locus.start)
        parts.append(reverse_complement(bases) if locus.strand == "-" else bases)
    offsets = np.concatenate([[0], np.cumsum([part.size for part in parts])]).astype(np.int64)
    inside_loci = [loci[i] for i in inside.tolist()]
    kept_names = [names[i] for i in inside.tolist()]
    return assemble(kept_names, np.concatenate(parts), offsets, None, inside_loci, lambda _: source)


def are_intervals(path: str) -> bool:
    """Return whether sequences are given as intervals, by the suffix or as a region.

    Example:
        >>> are_intervals("x.bed.gz"), are_intervals("x.narrowPeak"), are_intervals("x.fa")
        (True, True, False)
    """
    return Path(unpacked_name(Path(path))).suffix.lower() in BED or (not os.path.exists(path) and bool(as_region(path)))


def as_region(text: str) -> Locus | None:
    """Read ``chr20:1-2,000`` as genome browsers write it: 1-based, both ends included; None if it is none.

    Raises:
        FormatError: It looks like one, but does not begin at 1 or later, or ends before it begins.

    Example:
        >>> as_region("chr20:1-2,000"), as_region("x.fa")
        (Locus(chrom='chr20', start=0, end=2000, strand='+'), None)
    """
    cells = split_locus(_THOUSANDS.sub("", text))
    if cells is None or max(len(cells[1]), len(cells[2])) > 18:
        return None
    if not 0 < int(cells[1]) <= int(cells[2]):
        raise FormatError(
            f"{text}: a region counts from 1 and includes both ends; expected a start of at least 1 and an end "
            f"not before it, got {cells[1]} and {cells[2]}."
        )
    return Locus(cells[0], int(cells[1]) - 1, int(cells[2]), "-" if cells[3] == "-" else "+")


def region_sequences(text: str, locus: Locus, genome: Path) -> Sequences:
    """Extract a region from a genome, and log how its coordinates were read.

    Raises:
        FormatError: The genome lacks it, or a part of it.
    """
    _LOG.warning(
        f"{text}: 1-based, both ends included, as genome browsers write it: {locus.end - locus.start:,} nt (0-based, "
        f"half-open: {locus})."
    )
    return cut_inside(Genome.open(genome), [(locus, locus.start, locus.end)], [text], text)
