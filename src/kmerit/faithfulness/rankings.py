"""From scores to sets of positions: rankings, ties, and the orders in which positions are mutated."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from kmerit.errors import UnknownName
from kmerit.types import Bool, Float, Floats, Int64


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

    A score that is not finite (no token covers the nucleotide) tells nothing, so it ranks last in either direction.

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
