"""Tiles: overlapping parts, of one length, of sequences longer than a model takes."""

from __future__ import annotations

import logging
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kmerit.data.filters import crop_locus
from kmerit.errors import ConfigError
from kmerit.types import Float, Int64, Sequences

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Pieces:
    """Sequences in tiles.

    Attributes:
        sequences: The tiles, those of a sequence one after the other.
        owner: ``int64 [tile]``, index of the sequence that each is of.
        start: ``int64 [tile]``, where it begins there.
    """

    sequences: Sequences
    owner: Int64
    start: Int64

    @property
    def first(self) -> Int64:
        """Index of the first tile of each sequence, ``int64 [sequence]``."""
        return np.flatnonzero(np.diff(self.owner, prepend=-1))

    def mean(self, values: NDArray[np.floating]) -> Float:
        """Average ``[tile, ...]`` over the tiles of each sequence, ``[sequence, ...]``."""
        sums = np.add.reduceat(values.astype(np.float64), self.first, axis=0)
        counts = np.bincount(self.owner).reshape(-1, *[1] * (values.ndim - 1))
        return np.asarray(sums / counts, dtype=values.dtype)


@dataclass(frozen=True)
class Tiles:
    """Tiling of long sequences; shorter ones stay whole.

    Attributes:
        length: Nucleotides of a tile.
        stride: From one tile's beginning to the next one's; the last tile ends where the sequence ends. By default
            tiles lie end to end.

    Example:
        >>> Tiles(4, 2).starts(9)
        [0, 2, 4, 5]
        >>> pieces = Tiles(4, 2).cut(Sequences.from_strings(["ACGTTGCAA", "ACG"]))
        >>> pieces.sequences.strings(), pieces.owner.tolist()
        (['ACGT', 'GTTG', 'TGCA', 'GCAA', 'ACG'], [0, 0, 0, 0, 1])
    """

    length: int
    stride: int | None = None

    def __post_init__(self) -> None:
        if self.length < 1 or not 1 <= self.step <= self.length:
            raise ConfigError(
                f"tiles: expected a length of at least 1 nt and a stride from 1 to it, so that no nucleotide is left "
                f"out; got {self.length} and {self.stride}."
            )

    @property
    def step(self) -> int:
        """Nucleotides from one tile to the next."""
        return self.length if self.stride is None else self.stride

    def starts(self, length: int) -> list[int]:
        """List where tiles begin in a sequence of ``length`` nucleotides.

        Example:
            >>> Tiles(4).starts(9)
            [0, 4, 5]
        """
        if length <= self.length:
            return [0]
        starts = list(range(0, length - self.length + 1, self.step))
        return starts if starts[-1] == length - self.length else [*starts, length - self.length]

    def cut(self, sequences: Sequences) -> Pieces:
        """Cut sequences into tiles. A sequence that stays whole keeps its name.

        Example:
            >>> Tiles(4).cut(Sequences.from_strings(["ACGTTGCAA"])).sequences.strings()
            ['ACGT', 'TGCA', 'GCAA']
        """
        names, parts, owners, begins, loci = [], [], [], [], []
        for i, bases in enumerate(sequences):
            starts = self.starts(bases.size)
            for start in starts:
                end = min(start + self.length, bases.size)
                names.append(sequences.names[i] if len(starts) == 1 else f"{sequences.names[i]} [{start}, {end})")
                parts.append(bases[start:end])
                locus = None if sequences.loci is None else sequences.loci[i]
                loci.append(locus and crop_locus(locus, start, end))
                owners.append(i)
                begins.append(start)
        offsets = np.concatenate([[0], np.cumsum([part.size for part in parts])]).astype(np.int64)
        bases = np.concatenate(parts) if parts else np.zeros(0, dtype=np.int8)
        tiles = Sequences(tuple(names), bases, offsets, None, None if sequences.loci is None else tuple(loci))
        return Pieces(tiles, np.array(owners, dtype=np.int64), np.array(begins, dtype=np.int64))

    def log(self, sequences: Sequences) -> None:
        """Log how many sequences are tiled, and that overlaps are averaged.

        Example:
            >>> Tiles(4).log(Sequences.from_strings(["ACGT"]))
        """
        long = sequences.lengths[sequences.lengths > self.length]
        if long.size:
            count = sum(len(self.starts(length)) for length in long.tolist())
            _LOG.warning(
                f"Sequences longer than {self.length} nt: {long.size:,}, read in {count:,} tiles, one every "
                f"{self.step} nt and one at the end. What overlaps is averaged."
            )
