"""A genome with random access: a FASTA of any size, or gzipped pieces of one in memory."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from kmerit.data.fasta import read_fasta
from kmerit.data.files import GZIP
from kmerit.data.intervals import genome_letters, open_genome
from kmerit.data.loci import split_locus
from kmerit.errors import FormatError
from kmerit.sequence import reverse_complement
from kmerit.types import Int8, Int64, Locus, Sequences, decode, encode


@dataclass(frozen=True, eq=False)
class Genome:
    """Pieces of chromosomes.

    Attributes:
        path: The file.
        names: Of the records; one like ``chr20:60000-119959`` is a piece, any other a whole chromosome.
        chrom: ``[piece]``, as the file names it.
        start: ``int64 [piece]``, on the chromosome.
        length: ``int64 [piece]``.
    """

    path: Path
    names: tuple[str, ...]
    chrom: tuple[str, ...]
    start: Int64
    length: Int64
    _letters: Any

    @classmethod
    def open(cls, path: str | Path) -> Genome:
        """Open a FASTA: a gzipped one is read into memory, another one is indexed, next to itself, and read at random.

        Raises:
            FormatError: No FASTA.
            MissingExtra: pyfaidx is not installed, and the file is not gzipped.
        """
        path = Path(path)
        letters: Any
        if path.is_file() and _is_packed(path):
            letters = read_fasta(path, "upper", ambiguous_as_n=True, coordinates=False)
            sizes = dict(zip(letters.names, letters.lengths.tolist(), strict=True))
        else:
            letters = open_genome(path, None)
            sizes = {name: len(letters[name]) for name in letters.keys()}  # noqa: SIM118 - pyfaidx iterates records
        places = [_place(name, size) for name, size in sizes.items()]
        chrom = tuple(name for name, _ in places)
        start, length = np.array([at for _, at in places]), np.array(list(sizes.values()))
        return cls(path, tuple(sizes), chrom, start, length, letters)

    @cached_property
    def _index(self) -> dict[str, Int64]:
        """List the pieces of every chromosome from its beginning to its end."""
        pieces: dict[str, list[int]] = {}
        for i in np.argsort(self.start, kind="stable").tolist():
            pieces.setdefault(_bare(self.chrom[i]), []).append(i)
        return {chrom: np.array(mine, dtype=np.int64) for chrom, mine in pieces.items()}

    def letters(self, piece: int, start: int, length: int) -> Int8:
        """Read letters of a piece, counted from its own beginning; letters for several bases (R, Y, ...) are N."""
        if isinstance(self._letters, Sequences):
            at = int(self._letters.offsets[piece]) + start
            return self._letters.bases[at : at + length]
        name = self.names[piece]
        return encode(genome_letters(self._letters, name, start, start + length, self.path), name)

    def find(self, loci: Iterable[Locus]) -> Int64:
        """Find the piece that holds each locus whole; -1 where none does."""
        hits = []
        for locus in loci:
            mine = self._index.get(_bare(locus.chrom), np.zeros(0, dtype=np.int64))
            at = int(np.searchsorted(self.start[mine], locus.start, side="right")) - 1
            inside = at >= 0 and locus.end <= self.start[mine[at]] + self.length[mine[at]]
            hits.append(int(mine[at]) if inside else -1)
        return np.array(hits, dtype=np.int64)

    def has(self, chrom: str) -> bool:
        """Return whether there is a piece of a chromosome, with or without ``chr`` in front."""
        return _bare(chrom) in self._index

    @property
    def listed(self) -> str:
        """Chromosomes, as text for messages."""
        names = list(dict.fromkeys(self.chrom))
        return ", ".join(names[:8]) + (f", ... ({len(names):,})" if len(names) > 8 else "")

    def cut(self, loci: list[Locus], names: list[str], labels: Int64) -> Sequences:
        """Extract loci; minus strands are reverse-complemented.

        Raises:
            FormatError: A locus that is not inside one piece.
        """
        strings = []
        for locus, piece in zip(loci, self.find(loci).tolist(), strict=True):
            if piece < 0:
                raise FormatError(
                    f"{self.path}: {locus.chrom}:{locus.start}-{locus.end} is not in this genome, or beyond an end: "
                    f"another assembly, or a part of it?"
                )
            bases = self.letters(piece, locus.start - int(self.start[piece]), locus.end - locus.start)
            strings.append(decode(reverse_complement(bases) if locus.strand == "-" else bases))
        return Sequences.from_strings(strings, labels, names, loci)


def _bare(chrom: str) -> str:
    """Normalise the name of a chromosome: ``chr1`` and ``1``, ``chrM`` and ``MT``."""
    bare = chrom.removeprefix("chr")
    return "M" if bare == "MT" else bare


def _is_packed(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(2) == GZIP


def _place(name: str, length: int) -> tuple[str, int]:
    locus = split_locus(name)
    if locus is not None and int(locus[2]) - int(locus[1]) == length:
        return locus[0], int(locus[1])
    return name, 0
