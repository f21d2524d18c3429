"""Where in a genome there is room for background: away from the positives, and from what was taken before."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from kmerit.audit.assembly import SAME_GENOME, another_assembly
from kmerit.data.genome import Genome
from kmerit.data.locating import locate
from kmerit.errors import FormatError
from kmerit.sequence import reverse_complement
from kmerit.types import Int8, Int64, Locus, N, Sequences

TRIES = 400
"""A window is given up after so many draws."""
_BLOCK = 14
_TOGETHER = 1 << 25
Window = tuple[Locus, Int8]


class Room:
    """Places of the genome that are still free.

    Raises:
        FormatError: The positives' loci are of another assembly.
    """

    def __init__(self, genome: Genome, positives: Sequences) -> None:
        self.genome = genome
        self._taken: dict[str, list[tuple[int, int]]] = {}
        for locus in places(genome, positives):
            self.take(locus)
        self._weights = np.cumsum(genome.length / genome.length.sum())

    def take(self, locus: Locus) -> None:
        """Mark a place as taken."""
        # Kept by blocks, so that a place is compared with few others.
        for block in range(locus.start >> _BLOCK, (locus.end - 1 >> _BLOCK) + 1):
            self._taken.setdefault(f"{locus.chrom.removeprefix('chr')}/{block}", []).append((locus.start, locus.end))

    def free(self, locus: Locus) -> bool:
        """Say whether nothing that is taken overlaps a place."""
        return not any(
            start < locus.end and locus.start < end
            for block in range(locus.start >> _BLOCK, (locus.end - 1 >> _BLOCK) + 1)
            for start, end in self._taken.get(f"{locus.chrom.removeprefix('chr')}/{block}", ())
        )

    def look(self, piece: int, at: int, length: int, strand: str) -> Window | None:
        """Read a window, unless it is taken, has an N, or does not fit."""
        genome = self.genome
        if at < 0 or at + length > genome.length[piece]:
            return None
        start = int(genome.start[piece]) + at
        locus = Locus(genome.chrom[piece], start, start + length, strand)
        if not self.free(locus):
            return None
        bases = genome.letters(piece, at, length)
        if bases.max() >= N:
            return None
        return locus, reverse_complement(bases) if strand == "-" else bases

    def candidate(self, length: int, rng: np.random.Generator) -> Window | None:
        """Look at one random place, on a random strand."""
        piece = int(np.searchsorted(self._weights, rng.random()))
        piece = min(piece, self._weights.size - 1)
        spare = int(self.genome.length[piece]) - length
        return None if spare < 0 else self.look(piece, int(rng.integers(spare + 1)), length, "+-"[int(rng.integers(2))])

    def draw(self, length: int, rng: np.random.Generator) -> Window:
        """Take a random free window.

        Raises:
            FormatError: None is found.
        """
        for _ in range(TRIES):
            if (found := self.candidate(length, rng)) is not None:
                self.take(found[0])
                return found
        raise self.full(length)

    def full(self, length: int) -> FormatError:
        """Explain that there is no room."""
        return FormatError(
            f"{self.genome.path}: no free window of {length} nt without an N was found in {TRIES} tries. "
            f"Give more genome."
        )


def places(genome: Genome, positives: Sequences) -> Iterator[Locus]:
    """Say where positives lie: by their loci, where these have their letters, else where they are found by letters.

    Loci are told even where the letters are not there, or the genome lacks a part: the positive may differ in a letter.

    Args:
        genome: To look in.
        positives: With or without loci. Those without, with others' letters at theirs, or with a locus that the genome
            lacks, are looked for on both strands, from 32 nt on.

    Raises:
        FormatError: Of the loci that the genome has, fewer than nine tenths have the letters.
    """
    sought = []
    inside = agree = 0
    loci = positives.loci or (None,) * len(positives)
    pieces = iter(genome.find(locus for locus in loci if locus is not None).tolist())
    for i, locus in enumerate(loci):
        if locus is None:
            sought.append(i)
            continue
        yield locus
        if (piece := next(pieces)) < 0:
            sought.append(i)
            continue
        inside += 1
        there = genome.letters(piece, locus.start - int(genome.start[piece]), locus.end - locus.start)
        mine = positives.bases[positives.offsets[i] : positives.offsets[i + 1]]
        if np.array_equal(there, mine) or np.array_equal(reverse_complement(there), mine):
            agree += 1
        else:
            sought.append(i)
    if agree < SAME_GENOME * inside:
        raise another_assembly(genome.path, agree, inside, "positives")
    yield from _found(genome, positives.take(sought))


def _found(genome: Genome, sought: Sequences) -> Iterator[Locus]:
    """Find sequences letter for letter, each at its first place."""
    for first, last in _batches(genome.length):
        if not len(sought):
            return
        length = genome.length[first:last]
        bases = [genome.letters(piece, 0, int(genome.length[piece])) for piece in range(first, last)]
        offsets = np.concatenate([[0], np.cumsum(length)]).astype(np.int64)
        place, _ = locate(sought, Sequences(genome.names[first:last], np.concatenate(bases), offsets))
        piece = np.searchsorted(offsets, place, side="right") - 1
        start = genome.start[first + piece] + place - offsets[piece]
        for i in np.flatnonzero(place >= 0).tolist():
            chrom = genome.chrom[first + int(piece[i])]
            yield Locus(chrom, int(start[i]), int(start[i] + sought.lengths[i]))
        sought = sought.take(np.flatnonzero(place < 0))


def _batches(length: Int64) -> Iterator[tuple[int, int]]:
    """Gather pieces, so that small ones are searched together: first and last (not included) of each batch."""
    ends = np.cumsum(length)
    first = 0
    while first < length.size:
        last = int(np.searchsorted(ends, ends[first] - length[first] + _TOGETHER, side="right"))
        last = max(last, first + 1)
        yield first, last
        first = last
