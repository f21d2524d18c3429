"""Tracks along chromosomes: masks of BED and soft-masked FASTA, values of bedGraph and bigWig. Missing is missing."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from kmerit.errors import FormatError, MissingExtra, short
from kmerit.io.bed import BED, read_bed
from kmerit.io.files import read_text, read_text_bytes, unpacked_name
from kmerit.io.genome import bare_name
from kmerit.io.tables import first_line
from kmerit.sequences import Floats, Int64, Locus, split_locus

BEDGRAPH = (".bedgraph", ".bdg", ".bg")
BIGWIG = (".bw", ".bigwig")
FASTA = (".fa", ".fasta", ".fna")


class Readable(Protocol):
    """A source of values at loci."""

    def over(self, loci: Sequence[Locus]) -> Floats:
        """Return the values of each nucleotide ``[locus, position]``, 5' to 3'; NaN where missing."""


@dataclass(frozen=True, eq=False)
class Track:
    """Values on intervals.

    Attributes:
        start: By chromosome (without ``chr``) the starts of intervals that do not overlap, in order.
        end: Likewise their ends.
        value: Likewise.
        elsewhere: The value between intervals, on chromosomes that have any; NaN: missing there. Other chromosomes are
            missing always: whoever wrote the file may not have looked at them.
    """

    start: Mapping[str, Int64]
    end: Mapping[str, Int64]
    value: Mapping[str, Floats]
    elsewhere: float

    def over(self, loci: Sequence[Locus]) -> Floats:
        """Return the values of each nucleotide ``[locus, position]``, 5' to 3'; NaN where missing.

        Args:
            loci: All of one length.

        Example:
            >>> mask = mask_of([Locus("chr1", 2, 4)])
            >>> mask.over([Locus("1", 0, 5), Locus("1", 0, 5, "-"), Locus("2", 0, 5)]).tolist()
            [[0.0, 0.0, 1.0, 1.0, 0.0], [0.0, 1.0, 1.0, 0.0, 0.0], [nan, nan, nan, nan, nan]]
        """
        length = loci[0].end - loci[0].start if loci else 0
        out = np.full((len(loci), length), np.nan)
        for row, locus in enumerate(loci):
            chrom = bare_name(locus.chrom)
            if chrom not in self.start:
                continue
            out[row] = self.elsewhere
            first = np.searchsorted(self.end[chrom], locus.start, side="right")
            last = np.searchsorted(self.start[chrom], locus.end, side="left")
            for i in range(int(first), int(last)):
                low, high = int(self.start[chrom][i]) - locus.start, int(self.end[chrom][i]) - locus.start
                out[row, max(low, 0) : high] = self.value[chrom][i]
            if locus.strand == "-":
                out[row] = out[row, ::-1]
        return out


def mask_of(intervals: Iterable[Locus], chromosomes: Iterable[str] = ()) -> Track:
    """Make a mask of intervals, which may overlap: 1 inside, 0 elsewhere on their chromosomes.

    Args:
        intervals: Strands do not matter.
        chromosomes: Further ones that were looked at, and have none.
    """
    by_chrom: dict[str, list[tuple[int, int]]] = {bare_name(chrom): [] for chrom in chromosomes}
    for locus in intervals:
        by_chrom.setdefault(bare_name(locus.chrom), []).append((locus.start, locus.end))
    starts, ends, values = {}, {}, {}
    for chrom, pairs in by_chrom.items():
        each = np.array(sorted(pairs), dtype=np.int64).reshape(-1, 2)
        reach = np.maximum.accumulate(each[:, 1]) if len(each) else each[:, 1]
        new = np.ones(len(each), dtype=np.bool_)
        new[1:] = each[1:, 0] > reach[:-1]
        first = np.flatnonzero(new)
        starts[chrom] = each[first, 0]
        ends[chrom] = np.append(reach[first[1:] - 1], reach[-1:]).astype(np.int64)
        values[chrom] = np.ones(first.size)
    return Track(starts, ends, values, 0.0)


def read_mask(path: str | Path, named: Sequence[str] = ()) -> Track:
    """Read a mask: the intervals of a BED file, or the lower-case letters of a soft-masked FASTA.

    Args:
        path: Compressed or not.
        named: Of a BED file only the intervals with one of these names.

    Raises:
        FormatError: Neither, no interval, or none with a name.
    """
    path = Path(path)
    suffix = Path(unpacked_name(path)).suffix.lower()
    if suffix in FASTA:
        if named:
            raise FormatError(f"{path}: letters have no names; names choose among the intervals of a BED file.")
        return read_soft_mask(path)
    if suffix not in BED:
        raise FormatError(f"{path}: expected BED ({', '.join(BED[:3])} ...) or a soft-masked FASTA, got {suffix!r}.")
    intervals = read_bed(path, summits=False)
    loci = intervals.loci
    if named:
        if missing := sorted(set(named) - set(intervals.names)):
            raise FormatError(f"{path}: no interval is named {missing[0]!r} (column 4).")
        loci = [each for each, name in zip(loci, intervals.names, strict=True) if name in named]
    return mask_of(loci, {each.chrom for each in intervals.loci})


def read_soft_mask(path: str | Path) -> Track:
    """Read which letters of a FASTA are lower-case: 1, upper-case ones 0, N and what is not in the file missing.

    Records are whole chromosomes, or pieces named ``chr22:100-300`` (0-based).

    Raises:
        FormatError: No FASTA, no lower-case letter at all, or pieces that overlap.
    """
    path = Path(path)
    rows: list[tuple[str, int, int, float]] = []
    for name, letters in _records(path):
        cells = split_locus(name)
        chrom, start = (cells[0], int(cells[1])) if cells is not None else (name, 0)
        if cells is not None and int(cells[2]) - start != letters.size:
            raise FormatError(f"{path}: {short(name)} has {letters.size:,} letters.")
        unknown = (letters | 32) == ord("n")
        kind = np.where(unknown, 2, letters >= ord("a")).astype(np.int8)
        edges = np.flatnonzero(np.diff(kind, prepend=-1))
        for low, high in zip(edges.tolist(), [*edges[1:].tolist(), kind.size], strict=True):
            if kind[low] < 2:
                rows.append((chrom, start + low, start + high, float(kind[low])))
    if not any(value for *_, value in rows):
        raise FormatError(f"{path}: no letter is lower-case, so nothing is masked. Give the soft-masked genome.")
    return _values_of(rows, path)


def _records(path: Path) -> Iterable[tuple[str, Any]]:
    text = read_text_bytes(path)
    if not text.lstrip().startswith(b">"):
        raise FormatError(f"{path}: expected FASTA records ('>name').")
    for record in text.lstrip()[1:].split(b"\n>"):
        header, _, letters = record.partition(b"\n")
        words = header.decode("utf-8", "replace").split()
        plain = letters.translate(None, b" \t\r\n")
        if not words or not plain.isalpha():
            raise FormatError(f"{path}: {short((words or [''])[0])} is not a line of letters.")
        yield words[0], np.frombuffer(plain, dtype=np.uint8)


def read_values(path: str | Path) -> Readable:
    """Read values along chromosomes of a bedGraph or bigWig file; where it says nothing they are missing.

    Raises:
        FormatError: Neither, or a line that cannot be understood.
        MissingExtra: pyBigWig is not installed.
    """
    path = Path(path)
    suffix = Path(unpacked_name(path)).suffix.lower()
    if suffix in BIGWIG:
        return BigWig.open(path)
    if suffix not in BEDGRAPH:
        raise FormatError(f"{path}: expected bedGraph (.bedgraph) or bigWig (.bw), got {suffix!r}.")
    rows = []
    for number, line in enumerate(re.split("\r\n|\r|\n", read_text(path)), 1):
        if not line.strip() or line.startswith(("#", "track", "browser")):
            continue
        cells = line.split()
        try:
            chrom, start, end, value = cells[0], int(cells[1]), int(cells[2]), float(cells[3])
        except (ValueError, IndexError):
            start, end, value = 0, 0, 0.0
        if len(cells) != 4 or not 0 <= start < end or not np.isfinite(value):
            raise FormatError(f"{path}, line {number}: expected chromosome, start, end and value, found {short(line)}.")
        rows.append((chrom, start, end, value))
    if not rows:
        raise FormatError(f"{path}: no values.")
    return _values_of(rows, path)


def _values_of(rows: Iterable[tuple[str, int, int, float]], path: Path) -> Track:
    """Sort intervals with values; none may overlap."""
    by_chrom: dict[str, list[tuple[int, int, float]]] = {}
    for chrom, start, end, value in rows:
        by_chrom.setdefault(bare_name(chrom), []).append((start, end, value))
    starts, ends, values = {}, {}, {}
    for chrom, intervals in by_chrom.items():
        intervals.sort()
        starts[chrom] = np.array([each[0] for each in intervals], dtype=np.int64)
        ends[chrom] = np.array([each[1] for each in intervals], dtype=np.int64)
        values[chrom] = np.array([each[2] for each in intervals])
        if (twice := np.flatnonzero(starts[chrom][1:] < ends[chrom][:-1])).size:
            raise FormatError(f"{path}: two intervals overlap at {chrom}:{starts[chrom][twice[0] + 1]:,}.")
    return Track(starts, ends, values, float("nan"))


@dataclass(frozen=True, eq=False)
class BigWig:
    """An open bigWig file."""

    path: Path
    file: Any

    @classmethod
    def open(cls, path: Path) -> BigWig:
        """Open a file.

        Raises:
            FormatError: No bigWig.
            MissingExtra: pyBigWig is not installed.
        """
        try:
            import pyBigWig
        except ImportError:
            raise MissingExtra("pyBigWig", "genome", "Reading bigWig") from None
        if not path.is_file():
            raise FormatError(f"{path}: no such file. Check the path; it is relative to {Path.cwd()}.")
        try:
            file = pyBigWig.open(str(path))
            if not file.isBigWig():
                raise RuntimeError("it is a bigBed")
        except Exception as error:  # pyBigWig raises RuntimeError for all
            raise FormatError(f"{path}: no bigWig file ({first_line(error)}).") from None
        return cls(path, file)

    def over(self, loci: Sequence[Locus]) -> Floats:
        """Return the values of each nucleotide ``[locus, position]``, 5' to 3'; NaN where missing."""
        sizes = {bare_name(chrom): (chrom, size) for chrom, size in self.file.chroms().items()}
        out = np.full((len(loci), loci[0].end - loci[0].start if loci else 0), np.nan)
        for row, locus in enumerate(loci):
            chrom, size = sizes.get(bare_name(locus.chrom), ("", 0))
            if (end := min(locus.end, size)) > locus.start:
                out[row, : end - locus.start] = self.file.values(chrom, locus.start, end, numpy=True)
            if locus.strand == "-":
                out[row] = out[row, ::-1]
        return out
