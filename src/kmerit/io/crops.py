"""Crops, filters, samples and tiles: what is done to sequences before a model sees them."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from kmerit.errors import ConfigError, LabelError, NoneLeft
from kmerit.sequences import Float, Int8, Int64, Locus, N, Sequences, Window

if TYPE_CHECKING:
    from kmerit.io.readers import SequencesLike


Anchor = Literal["left", "center", "right"]


@dataclass(frozen=True)
class Crop:
    """Part of a longer sequence to keep.

    Attributes:
        length: Nucleotides kept; shorter sequences stay as they are.
        anchor: ``"left"`` keeps the 5' end as written, ``"right"`` the 3' end, ``"center"`` the middle (one
            nucleotide further left if it cannot be halved).

    Example:
        >>> Crop(200, "center").window(251)
        (25, 225)
    """

    length: int
    anchor: Anchor = "left"

    def __post_init__(self) -> None:
        if isinstance(self.length, bool) or not isinstance(self.length, int) or self.length < 1:
            raise ConfigError(f"crop: expected a length of at least 1 nucleotide, got {self.length!r}.")
        if self.anchor not in get_args(Anchor):
            raise ConfigError(f"crop: expected the anchor left, center or right, got {self.anchor!r}.")

    @classmethod
    def parse(cls, text: str) -> Crop | None:
        """Parse ``200``, ``200:center`` or ``none``.

        Raises:
            ConfigError: Anything else.

        Example:
            >>> Crop.parse("200:center")
            Crop(length=200, anchor='center')
        """
        if text == "none":
            return None
        length, _, anchor = text.partition(":")
        anchors: dict[str, Anchor] = {each: each for each in get_args(Anchor)}
        if not length.isdecimal() or (anchor or "left") not in anchors:
            raise ConfigError(f"crop: expected a length, 'length:left|center|right' or 'none', got {text!r}.")
        return cls(int(length), anchors[anchor or "left"])

    def window(self, length: int) -> tuple[int, int]:
        """Return the half-open part kept of a sequence of ``length`` nucleotides.

        Example:
            >>> Crop(4, "right").window(10)
            (6, 10)
        """
        spare = max(length - self.length, 0)
        start = {"left": 0, "center": spare // 2, "right": spare}[self.anchor]
        return start, start + min(length, self.length)


def prepare(
    sequences: SequencesLike,
    *,
    crop: Crop | None = None,
    min_length: int | None = None,
    drop_n: bool = True,
) -> tuple[Sequences, dict[str, int]]:
    """Filter sequences, then crop the remaining ones; count everything.

    Filters look at whole sequences, as the paper's do: an N outside the crop counts.

    Args:
        sequences: What was read; `Sequences`, strings, a DataFrame, a path, as ``as_sequences`` takes them.
        crop: The part kept, or None for all.
        min_length: Fewest nucleotides before the crop.
        drop_n: Whether sequences with an N go.

    Returns:
        The sequences, their loci cropped alike, with the window kept of each; and counts: ``rows``, ``with_n`` and
        ``too_short`` (dropped; one with both faults counts as ``with_n``), ``kept``, ``cropped`` (rows) and
        ``cropped_nt`` (nucleotides cut off).

    Raises:
        NoneLeft: Nothing is left.

    Example:
        >>> kept, report = prepare(["ACGTA", "ACN", "AC"], crop=Crop(4), min_length=3)
        >>> kept.strings(), report["with_n"], report["too_short"]
        (['ACGT'], 1, 1)
    """
    from kmerit.io.readers import as_sequences  # which reads tasks, and those have crops

    sequences = as_sequences(sequences)
    with_n = _has_n(sequences) if drop_n else np.zeros(len(sequences), dtype=np.bool_)
    too_short = ~with_n & (sequences.lengths < (min_length or 0))
    dropped = with_n | too_short
    remaining = sequences.take(~dropped) if dropped.any() else sequences
    if not len(remaining):
        raise NoneLeft(
            f"No sequence is left of {len(sequences)}: {with_n.sum()} have an N, {too_short.sum()} are shorter "
            f"than {min_length} nt. Relax min_length or drop_n."
        )
    result = remaining if crop is None else _crop(remaining, crop)
    return result, {
        "rows": len(sequences),
        "with_n": int(with_n.sum()),
        "too_short": int(too_short.sum()),
        "kept": len(result),
        "cropped": int((result.lengths < remaining.lengths).sum()),
        "cropped_nt": remaining.bases.size - result.bases.size,
    }


def sample_per_class(sequences: Sequences, per_class: int, seed: int) -> Sequences:
    """Draw sequences of every class, without replacement.

    Args:
        sequences: With classes as labels.
        per_class: How many of each; all there are if fewer.
        seed: Of the generator.

    Returns:
        The drawn sequences in their original order.

    Raises:
        LabelError: No labels, or values instead of classes.
        ConfigError: ``per_class`` is not positive.

    Example:
        >>> four = Sequences.from_strings(["ACGT", "AAAA", "CCCC", "GGGG"], labels=[0, 0, 1, 1])
        >>> sample_per_class(four, 1, seed=0).labels.tolist()
        [0, 1]
    """
    if per_class < 1:
        raise ConfigError(f"per_class: expected at least 1, got {per_class}.")
    if sequences.labels is None or sequences.labels.dtype != np.int64 or sequences.outputs is not None:
        raise LabelError("Sampling by class needs classes (whole numbers) as labels.")
    generator = np.random.default_rng(seed)
    picks = []
    for label in np.unique(sequences.labels):
        rows = np.flatnonzero(sequences.labels == label)
        picks.append(generator.permutation(rows)[:per_class])
    return sequences.take(np.sort(np.concatenate(picks)))


def _has_n(sequences: Sequences) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    has = np.zeros(len(sequences), dtype=np.bool_)
    positions = np.flatnonzero(sequences.bases == N)
    has[np.searchsorted(sequences.offsets, positions, side="right") - 1] = True
    return has


def _crop(sequences: Sequences, crop: Crop) -> Sequences:
    windows: Int64 = np.array([crop.window(length) for length in sequences.lengths.tolist()], dtype=np.int64)
    starts = sequences.offsets[:-1] + windows[:, 0]
    lengths = windows[:, 1] - windows[:, 0]
    offsets = np.concatenate([np.zeros(1, dtype=np.int64), np.cumsum(lengths)])
    bases = sequences.bases[np.repeat(starts - offsets[:-1], lengths) + np.arange(offsets[-1])]
    loci = sequences.loci and tuple(
        locus and crop_locus(locus, a, b) for locus, (a, b) in zip(sequences.loci, windows.tolist(), strict=True)
    )
    before = sequences.windows or tuple(Window(0, length, length) for length in sequences.lengths.tolist())
    parts = tuple(
        Window(whole.start + a, whole.start + b, whole.whole)
        for whole, (a, b) in zip(before, windows.tolist(), strict=True)
    )
    return replace(sequences, bases=bases, offsets=offsets, loci=loci, windows=parts)


def crop_locus(locus: Locus, start: int, end: int) -> Locus:
    """Locate positions ``start`` to ``end`` of a sequence, counted along its own strand.

    Example:
        >>> crop_locus(Locus("chr1", 100, 110, "-"), 0, 4)
        Locus(chrom='chr1', start=106, end=110, strand='-')
    """
    if locus.strand == "-":
        return locus._replace(start=locus.end - end, end=locus.end - start)
    return locus._replace(start=locus.start + start, end=locus.start + end)


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
        for i, bases in enumerate(sequences.rows()):
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

    def distinct(self, mutants: Int8) -> Iterator[tuple[Int8, Int64]]:
        """Cut mutants ``int8 [mutant, position]`` of one sequence into tiles, and keep each different tile once.

        Yields:
            Tile by tile, the different letters ``[tile, position]``, and which of them each mutant has, ``[mutant]``.

        Example:
            >>> letters, which = next(Tiles(4).distinct(np.array([[0, 1, 2, 3, 0], [0, 1, 2, 3, 1]], dtype=np.int8)))
            >>> letters.tolist(), which.tolist()
            ([[0, 1, 2, 3]], [0, 0])
        """
        for start in self.starts(mutants.shape[1]):
            letters, which = np.unique(mutants[:, start : start + self.length], axis=0, return_inverse=True)
            yield letters, which.ravel()

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
