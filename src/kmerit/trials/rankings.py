"""From scores to sets of positions: rankings, ties, orders and counts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from kmerit.errors import CountError, UnknownName
from kmerit.sequences import Bool, Float, Floats, Int64, generator


@dataclass(frozen=True)
class Order:
    """An order of mutation.

    Attributes:
        name: Its registered name.
        summary: What it does, in a line.
        descending: Whether the largest score comes first.
        restores: Whether the first n positions are those that stay, in a sequence mutated everywhere else.
    """

    name: str
    summary: str
    descending: bool = True
    restores: bool = False

    def mutated(self, ranks: Int64, counts: Int64) -> Bool:
        """Choose positions: ranks ``[..., position]`` and counts ``[count]`` to ``[..., count, position]``."""
        first = ranks[..., None, :] < counts[:, None]
        return ~first if self.restores else first


ORDERS: dict[str, Order] = {
    order.name: order
    for order in (
        Order("morf", "the most relevant first"),
        Order("lerf", "the least relevant first", descending=False),
        Order("insertion", "the most relevant restored first, in a fully mutated sequence", restores=True),
    )
}


def order_named(name: str) -> Order:
    """Find an order.

    Raises:
        UnknownName: With the nearest name.
    """
    if name not in ORDERS:
        raise UnknownName("order", name, ORDERS)
    return ORDERS[name]


def rank(scores: Float, ties: Floats, *, descending: bool = True) -> Int64:
    """Rank positions by score, equal scores by their tie key.

    A score that is not finite (no token covers the nucleotide) says nothing, so it ranks last in either direction.

    Args:
        scores: ``[..., position]``.
        ties: Tie keys in 0..1, of a shape that broadcasts against the scores.
        descending: Whether the largest score has rank 0.

    Returns:
        Ranks ``[..., position]``, a permutation of ``0 .. positions - 1`` in every row.

    Example:
        >>> rank(np.array([0.5, np.nan, 2.0, 0.5]), np.array([0.9, 0.1, 0.1, 0.3])).tolist()
        [2, 3, 0, 1]
    """
    scores, ties = np.broadcast_arrays(scores, ties)
    key = np.where(np.isfinite(scores), -scores if descending else scores, np.inf)
    positions = np.lexsort((ties, key), axis=-1)
    ranks: Int64 = np.empty(positions.shape, dtype=np.int64)
    np.put_along_axis(ranks, positions, np.arange(positions.shape[-1]), axis=-1)
    return ranks


def tied(scores: Float) -> Int64:
    """Count the positions whose score another position has too; scores that are not finite tie with one another.

    Args:
        scores: ``[..., position]``.

    Returns:
        ``int64 [...]``.

    Example:
        >>> int(tied(np.array([0.0, 0.0, 1.0, np.nan])))
        2
    """
    # One more element that equals nothing closes the row: a run of equals is seen from both of its ends.
    ordered = np.sort(np.where(np.isfinite(scores), scores, np.inf), axis=-1)
    equal = ordered[..., 1:] == ordered[..., :-1]
    edge = np.zeros((*equal.shape[:-1], 1), dtype=np.bool_)
    count: Int64 = (np.concatenate([edge, equal], axis=-1) | np.concatenate([equal, edge], axis=-1)).sum(axis=-1)
    return count


def check_counts(counts: Sequence[int | str], shortest: int, name: str, *, key: str = "counts") -> None:
    """Refuse counts that are negative, not numbers, or above the shortest sequence's length.

    Args:
        counts: Whole numbers, or ``all``.
        shortest: Length of the shortest sequence, nt.
        name: Of that sequence.
        key: What the counts are called where they were given.

    Raises:
        CountError: With the sequence that is too short.
    """
    for count in counts:
        if count == "all":
            continue
        if not isinstance(count, int) or isinstance(count, bool) or count < 0:
            raise CountError(f"{key}: expected whole numbers from 0, or 'all', got {count!r}.")
        if count > shortest:
            raise CountError(
                f"{key}: cannot substitute {count} nucleotides in {name!r}, which has {shortest}. "
                f"Lower it, or use 'all'."
            )


def mutation_order(scores: Float, name: str, seed: int, order: str = "morf", draw: int = 0) -> Int64:
    """List a sequence's positions in the order in which a trial took them.

    With ``n`` substitutions the trial mutated the first ``n`` (order ``insertion``: all but the first ``n``).

    Args:
        scores: ``[..., position]``, the sequence's own, without padding.
        name: The sequence's name; with the seed it decides ties.
        seed: Of the trial.
        order: The order's registered name.
        draw: Which draw of the trial; they differ where scores tie.

    Returns:
        Positions ``int64 [..., position]``.

    Raises:
        UnknownName: An order that does not exist.

    Example:
        >>> mutation_order(np.array([0.1, 0.9, np.nan, 0.5]), "seq0", seed=0).tolist()
        [1, 3, 0, 2]
    """
    ties = generator(seed, "ties", draw, name).random(scores.shape[-1:])
    return np.argsort(rank(scores, ties, descending=order_named(order).descending), axis=-1)
