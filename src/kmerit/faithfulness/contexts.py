"""Contexts of nucleotides, for the control that knows what letters alone say.

A position's context is its letter with both neighbours, the number of G and C in the 11 nt around, and the quarter of
the sequence that it lies in. The control ``context`` exchanges scores among positions of equal context.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from kmerit.types import Bool, Float, Floats, Int8, Int64, Sequences

REACH = 5
"""How many nucleotides on either side are looked at for G and C."""
QUARTERS = 4
FEWEST = 5
"""Positions of one stratum; fewer join others."""
_SHARES = 2 * REACH + 2
_MISSING = 4
"""The letter of a neighbour that is not there."""


@dataclass(frozen=True, eq=False)
class Strata:
    """Which positions may exchange their scores.

    Attributes:
        of: ``int64 [position]``, the stratum of each position of all sequences, one after another.
        joined_quarters: Positions whose context had too few others in their quarter, and joined another one's.
        joined_gc: Positions that then joined the nearest number of G and C, too.
        alone: Positions that have no other to exchange with.
    """

    of: Int64
    joined_quarters: int
    joined_gc: int
    alone: int

    def exchange(self, rng: np.random.Generator) -> Int64:
        """Draw an exchange within strata: ``int64 [position]``, whose score each position gets."""
        by_stratum = np.argsort(self.of, kind="stable")
        drawn = np.lexsort((rng.random(self.of.size), self.of))
        source: Int64 = np.empty(self.of.size, dtype=np.int64)
        source[by_stratum] = drawn
        return source


def strata(sequences: Sequence[Int8]) -> Strata:
    """Part the positions of sequences by context; a stratum of under five positions joins others.

    First a quarter joins the nearest other quarter of the same letters and the same number of G and C; what is still
    too small then joins the nearest number of G and C of the same letters.

    Args:
        sequences: Bases ``int8 [position]`` of each, 0..3.

    Example:
        >>> found = strata([np.array([0, 1, 2, 3], dtype=np.int8)] * 5)
        >>> len(set(found.of.reshape(5, 4)[:, 0].tolist())), found.alone
        (1, 0)
    """
    letters, shares, quarters = (np.concatenate(parts) for parts in zip(*map(_contexts, sequences), strict=True))
    cells = np.ravel_multi_index((letters, shares, quarters), (_LETTERS, _SHARES, QUARTERS))
    counts = np.bincount(cells, minlength=_LETTERS * _SHARES * QUARTERS).reshape(_LETTERS, _SHARES, QUARTERS)
    number, moved = np.arange(counts.size).reshape(counts.shape), np.zeros(counts.shape, dtype=np.int64)
    for letter in np.flatnonzero(counts.sum(axis=(1, 2))).tolist():
        _join(counts[letter], number[letter], moved[letter])
    of, steps = number.ravel()[cells], moved.ravel()[cells]
    _, of, sizes = np.unique(of, return_inverse=True, return_counts=True)
    return Strata(of, int((steps == 1).sum()), int((steps == 2).sum()), int((sizes == 1).sum()))


_LETTERS = 5 * 4 * 5


def _contexts(bases: Int8) -> tuple[Int64, Int64, Int64]:
    """Give each position's letters, share of G and C in 11ths, and quarter."""
    padded = np.concatenate([[_MISSING], bases, [_MISSING]]).astype(np.int64)
    letters: Int64 = (padded[:-2] * 4 + padded[1:-1]) * 5 + padded[2:]
    upto = np.concatenate([[0], np.cumsum((bases == 1) | (bases == 2))])
    at = np.arange(bases.size)
    first, last = np.maximum(at - REACH, 0), np.minimum(at + REACH + 1, bases.size)
    share: Floats = (upto[last] - upto[first]) / (last - first)
    return letters, np.rint(share * (_SHARES - 1)).astype(np.int64), at * QUARTERS // bases.size


def _join(counts: Int64, number: Int64, moved: Int64) -> None:
    """Join small strata of the same letters, in place: ``[share, quarter]``."""
    for share in np.flatnonzero(counts.sum(axis=1)).tolist():
        while True:
            groups, sizes = _sizes(counts[share], number[share])
            if len(groups) == 1 or min(sizes) >= FEWEST:
                break
            small = int(np.argmin(sizes))
            here = number[share] == groups[small]
            others = [at for at in range(len(groups)) if at != small]
            target = min(others, key=lambda at: (_apart(here, number[share] == groups[at], counts[share]), -sizes[at]))
            moved[share][here] = 1
            number[share][here] = groups[target]
    while True:
        groups, sizes = _sizes(counts, number)
        if len(groups) == 1 or min(sizes) >= FEWEST:
            return
        small = int(np.argmin(sizes))
        here = number == groups[small]
        others = [at for at in range(len(groups)) if at != small]
        target = min(
            others,
            key=lambda at: (_farness(here, number == groups[at], counts), -sizes[at]),
        )
        moved[here] = 2
        number[here] = groups[target]


def _sizes(counts: Int64, number: Int64) -> tuple[list[int], list[int]]:
    """List the strata that have positions, and how many."""
    groups = np.unique(number[counts > 0])
    return groups.tolist(), [int(counts[number == group].sum()) for group in groups]


def _apart(one: Bool, other: Bool, counts: Int64) -> int:
    """Count the steps between the nearest quarters of two strata."""
    a, b = np.flatnonzero(one & (counts > 0)), np.flatnonzero(other & (counts > 0))
    return int(np.abs(a[:, None] - b).min())


def _farness(one: Bool, other: Bool, counts: Int64) -> tuple[int, int]:
    """Say how far two strata lie apart: in the share of G and C, then in quarters."""
    a, b = np.argwhere(one & (counts > 0)), np.argwhere(other & (counts > 0))
    steps = np.abs(a[:, None] - b[None]).reshape(-1, 2)
    return min((int(share), int(quarter)) for share, quarter in steps)


def explained(parted: Strata, scores: Floats) -> float:
    """Say which share of the variance of scores lies between strata: what letters alone explain.

    Args:
        parted: Of the sequences.
        scores: ``[position]``, of all of them, one after another; those that are not finite are left out.

    Returns:
        From 0 to 1; NaN where scores have no variance.

    Example:
        >>> parted = strata([np.array([0, 1, 0, 1, 0, 1], dtype=np.int8)] * 5)
        >>> explained(parted, np.tile([0.0, 1.0], 15).astype(float))
        1.0
    """
    known = np.isfinite(scores)
    values, of = scores[known] - scores[known].mean(), parted.of[known]
    total = float((values**2).sum())
    means = np.bincount(of, weights=values) / np.maximum(np.bincount(of), 1)
    return float((means[of] ** 2).sum() / total) if total > 0 else float("nan")


def context_share(sequences: Sequences, scores: Float) -> float:
    """Say which share of the variance of scores the strata of the control ``context`` explain.

    Args:
        sequences: What was scored.
        scores: ``[sequence, position]``.

    Returns:
        From 0 to 1; NaN where scores have no variance.

    Example:
        >>> context_share(Sequences.from_strings(["ACACAC"] * 5), np.tile([0.0, 1.0], (5, 3)))
        1.0
    """
    return explained(strata(list(sequences)), scores.ravel().astype(np.float64))
