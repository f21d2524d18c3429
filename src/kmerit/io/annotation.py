"""Gene annotation: transcripts and their exons, of GTF, GFF3 or BED12."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from kmerit.errors import FormatError, short
from kmerit.io.files import read_text, unpacked_name
from kmerit.sequences import Int64, Locus, parse_locus

GTF, GFF, BED12 = (".gtf",), (".gff", ".gff3"), (".bed", ".bed12")
_ATTRIBUTE = re.compile(r'\s*([^\s=;"]+)[\s=]+(?:"([^"]*)"|([^;]*))\s*(?:;|$)')


@dataclass(frozen=True, eq=False)
class Transcript:
    """A transcript: 0-based, half-open.

    Attributes:
        name: Its identifier.
        locus: From its first to its last exon.
        exons: ``int64 [exon, 2]``, along the chromosome; they do not overlap.
    """

    name: str
    locus: Locus
    exons: Int64

    @property
    def introns(self) -> Int64:
        """``int64 [intron, 2]``, along the chromosome."""
        between = np.stack([self.exons[:-1, 1], self.exons[1:, 0]], axis=1)
        return between[between[:, 1] > between[:, 0]]


def read_annotation(path: str | Path) -> tuple[Transcript, ...]:
    """Read the transcripts of a GTF, GFF3 or BED12 file, compressed or not.

    Of GTF and GFF3 the lines of exons are read, and grouped by ``transcript_id`` or ``Parent``.

    Raises:
        FormatError: A line that cannot be understood, an exon of no transcript, or no exon at all.
    """
    return _read(Path(path).resolve(), Path(path).stat().st_mtime_ns if Path(path).is_file() else 0)


@lru_cache(maxsize=4)
def _read(path: Path, changed: int) -> tuple[Transcript, ...]:
    """Read a file once for all features that are made of it."""
    suffix = Path(unpacked_name(path)).suffix.lower()
    if suffix not in (*GTF, *GFF, *BED12):
        raise FormatError(f"{path}: expected .gtf, .gff3 or .bed (12 columns), got {suffix!r}.")
    lines = _bed12(path) if suffix in BED12 else _exons(path, gtf=suffix in GTF)
    groups: dict[tuple[str, str, str], list[tuple[int, int]]] = {}
    for name, chrom, strand, start, end in lines:
        groups.setdefault((name, chrom, strand), []).append((start, end))
    if not groups:
        raise FormatError(f"{path}: no transcripts; expected lines of BED with 12 columns.")
    transcripts = []
    for (name, chrom, strand), pairs in groups.items():
        exons = np.array(sorted(pairs), dtype=np.int64)
        if (exons[1:, 0] < exons[:-1, 1]).any():
            raise FormatError(f"{path}: exons of {short(name)} on {chrom} overlap.")
        transcripts.append(Transcript(name, Locus(chrom, int(exons[0, 0]), int(exons[-1, 1]), strand), exons))
    return tuple(transcripts)


Exon = tuple[str, str, str, int, int]


_HEADER = ("#", "track", "browser")


def _exons(path: Path, gtf: bool) -> Iterator[Exon]:
    kinds: dict[str, None] = {}
    for number, line in enumerate(re.split("\r\n|\r|\n", read_text(path)), 1):
        if line.startswith("##FASTA"):
            break
        if not line.strip() or line.startswith(_HEADER):
            continue
        cells = line.split("\t")
        if len(cells) != 9:
            raise FormatError(f"{path}, line {number}: expected 9 columns with tabs between, found {len(cells)}.")
        kinds[cells[2]] = None
        if cells[2] != "exon":
            continue
        (start, end), strand = _ends(cells[3], cells[4], path, number), _strand(cells[6], path, number)
        attributes = {key: quoted or plain for key, quoted, plain in _ATTRIBUTE.findall(cells[8])}
        parents = attributes.get("transcript_id" if gtf else "Parent", attributes.get("transcript_id", "")).strip()
        if not parents:
            key = "transcript_id" if gtf else "Parent"
            raise FormatError(f"{path}, line {number}: an exon without {key}; expected it in column 9.")
        for parent in parents.split(",") if not gtf else [parents]:
            yield parent, cells[0], strand, start - 1, end
    if "exon" not in kinds:
        raise FormatError(f"{path}: no lines of type exon; found {', '.join(map(short, kinds)) or 'none at all'}.")


def _ends(start: str, end: str, path: Path, number: int) -> tuple[int, int]:
    if not all(each.isascii() and each.isdecimal() for each in (start, end)) or not 0 < int(start) <= int(end):
        raise FormatError(
            f"{path}, line {number}: expected a first and a last position from 1, got {short(start)}, {short(end)}."
        )
    return int(start), int(end)


def _strand(cell: str, path: Path, number: int) -> str:
    if cell not in ("+", "-"):
        raise FormatError(
            f"{path}, line {number}: expected a strand, + or -, got {short(cell)}. Remove transcripts without one."
        )
    return cell


def _bed12(path: Path) -> Iterator[Exon]:
    for number, line in enumerate(re.split("\r\n|\r|\n", read_text(path)), 1):
        if not line.strip() or line.startswith(_HEADER):
            continue
        cells = line.split("\t")
        try:
            count = int(cells[9])
            sizes, offsets = ([int(each) for each in cells[i].strip().rstrip(",").split(",")] for i in (10, 11))
        except (ValueError, IndexError):
            raise FormatError(
                f"{path}, line {number}: expected the 12 columns of BED12, with blocks, found {short(line)}."
            ) from None
        strand = _strand(cells[5], path, number)
        locus = parse_locus([*cells[:3], strand], f"{path}, line {number}")
        inside = min(sizes) > 0 and offsets[0] == 0 == min(offsets) and len(sizes) == len(offsets) == count
        if locus is None or not inside or locus.start + offsets[-1] + sizes[-1] != locus.end:
            raise FormatError(f"{path}, line {number}: the blocks are not those of {cells[1]} to {cells[2]}.")
        for size, offset in zip(sizes, offsets, strict=True):
            start = locus.start + offset
            yield f"{cells[3]} (line {number})", locus.chrom, strand, start, start + size
