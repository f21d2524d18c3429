"""Which positions a trial mutated: recomputed from the scores and the trial's settings, to be shown."""

from __future__ import annotations

import numpy as np

from kmerit.draws import generator
from kmerit.faithfulness.rankings import order_named, rank
from kmerit.types import Float, Int64


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
