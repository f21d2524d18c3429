"""Leaks planted on purpose: copies of test rows, or windows that overlap them, in place of training rows."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np

from kmerit.data.locating import locate
from kmerit.errors import FormatError, LabelError
from kmerit.sequence import reverse_complement
from kmerit.types import Int64, Sequences

_CLASSES = np.dtype(np.int64)
NEAREST, FARTHEST = 25, 125
"""A planted neighbour begins so many nucleotides beside its test row."""


def plant_leaks(train: Sequences, leaks: Sequences, classes: Collection[int], seed: int) -> Sequences:
    """Put leaks of some classes in place of training rows of the same class.

    Which rows give way depends on class and seed alone: what one class's leaks replace is the same whether or not
    another class leaks, too. The size and the classes' shares stay.

    Args:
        train: With classes as labels.
        leaks: What is planted, labelled; only those of ``classes`` are.
        classes: Which leak.
        seed: Of the draw.

    Returns:
        Rows in the order of ``train``; planted ones are called ``leak/NAME``.

    Raises:
        LabelError: No classes as labels, or more leaks than rows of their class.

    Example:
        >>> train = Sequences.from_strings(["AAAA", "CCCC"], labels=[0, 1], names=["a", "b"])
        >>> leak = Sequences.from_strings(["GGGG"], labels=[1], names=["t"])
        >>> plant_leaks(train, leak, [1], seed=0).names
        ('a', 'leak/t')
    """
    if train.labels is None or leaks.labels is None or {train.labels.dtype, leaks.labels.dtype} != {_CLASSES}:
        raise LabelError("Planting leaks needs classes as labels, of training rows and of leaks.")
    strings, names = train.strings(), list(train.names)
    loci = None if train.loci is None else list(train.loci)
    for label in sorted(classes):
        mine = np.flatnonzero(train.labels == label)
        new = np.flatnonzero(leaks.labels == label)
        if new.size > mine.size:
            raise LabelError(f"{new.size} leaks of class {label} cannot replace {mine.size} training rows of it.")
        given_way = np.random.default_rng([seed, label]).permutation(mine)[: new.size]
        for row, leak in zip(given_way.tolist(), new.tolist(), strict=True):
            strings[row], names[row] = leaks.string(leak), f"leak/{leaks.names[leak]}"
            if loci is not None:
                loci[row] = None if leaks.loci is None else leaks.loci[leak]
    return Sequences.from_strings(strings, train.labels.copy(), names, loci)


def draw_leaking(test: Sequences, share: float, seed: int) -> Int64:
    """Choose the test rows that leak: of every class the same share.

    Raises:
        LabelError: No classes as labels.

    Example:
        >>> draw_leaking(Sequences.from_strings(["AA", "CC", "GG", "TT"], labels=[0, 0, 1, 1]), 0.5, seed=0).size
        2
    """
    if test.labels is None or test.labels.dtype != np.int64:
        raise LabelError("Planting leaks needs classes as labels.")
    chosen = []
    for label in np.unique(test.labels).tolist():
        mine = np.flatnonzero(test.labels == label)
        chosen.append(np.random.default_rng([seed, label]).permutation(mine)[: round(share * mine.size)])
    return np.sort(np.concatenate(chosen))


def placed(sequences: Sequences, pieces: Sequences) -> Int64:
    """List the sequences that are found in pieces of a genome with room beside them for a neighbour.

    Example:
        >>> placed(Sequences.from_strings(["ACGTTGCA" * 5]), Sequences.from_strings(["T" * 90])).tolist()
        []
    """
    place, _ = locate(sequences, pieces)
    room = [i for i in np.flatnonzero(place >= 0) if _shifts(sequences, pieces, place, int(i)).size]
    return np.array(room, dtype=np.int64)


def overlapping_windows(sequences: Sequences, pieces: Sequences, seed: int) -> Sequences:
    """Cut, for each sequence, a window of the same length and strand that overlaps it out of pieces of a genome.

    Args:
        sequences: Each lies in the pieces, letter for letter.
        pieces: Of a genome.
        seed: Of the shifts, 25 to 125 nt to either side.

    Raises:
        FormatError: One does not lie there, or has no room beside it.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> text = "".join(rng.choice(list("ACGT"), 300))
        >>> window = overlapping_windows(Sequences.from_strings([text[100:200]]), Sequences.from_strings([text]), 0)
        >>> window.string(0) in text, window.names
        (True, ('beside/seq0',))
    """
    rng = np.random.default_rng(seed)
    place, strand = locate(sequences, pieces)
    parts = []
    for i in range(len(sequences)):
        shifts = _shifts(sequences, pieces, place, i) if place[i] >= 0 else np.zeros(0, dtype=np.int64)
        if not shifts.size:
            raise FormatError(f"{sequences.names[i]!r} is not in the genome, or has no room beside it for a neighbour.")
        start = int(place[i] + rng.choice(shifts))
        bases = pieces.bases[start : start + int(sequences.lengths[i])]
        parts.append(bases if strand[i] > 0 else reverse_complement(bases))
    names = tuple(f"beside/{name}" for name in sequences.names)
    labels = None if sequences.labels is None else sequences.labels.copy()
    return Sequences(names, np.concatenate(parts), sequences.offsets.copy(), labels)


def _shifts(sequences: Sequences, pieces: Sequences, place: Int64, i: int) -> Int64:
    """List the shifts that leave a window inside its piece."""
    piece = int(np.searchsorted(pieces.offsets, place[i], side="right")) - 1
    steps = np.arange(NEAREST, min(FARTHEST, int(sequences.lengths[i]) - 1) + 1)
    both = np.concatenate([-steps[::-1], steps])
    first, last = pieces.offsets[piece] - place[i], pieces.offsets[piece + 1] - place[i] - sequences.lengths[i]
    return np.asarray(both[(both >= first) & (both <= last)], dtype=np.int64)
