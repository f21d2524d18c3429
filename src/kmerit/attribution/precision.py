"""Numerical precision of scores, checked in float64."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from scipy.stats import rankdata

from kmerit.types import Attribution, Float, Int64

TOP = 20
"""Positions at the top whose overlap is reported."""


def sample(count: int, size: int, seed: int = 0) -> Int64:
    """Draw which of ``count`` sequences are checked: ``size`` of them, or all, in their order.

    Example:
        >>> len(sample(1000, 20)), sample(3, 20).tolist()
        (20, [0, 1, 2])
    """
    rows = np.random.default_rng(seed).choice(count, min(size, count), replace=False)
    return np.asarray(np.sort(rows), dtype=np.int64)


def agreement(attributions: Mapping[str, Attribution], exact: Mapping[str, Attribution]) -> dict[str, dict[str, Any]]:
    """Compare scores with the same in float64, sequence by sequence.

    Args:
        attributions: Scores by method.
        exact: Scores of the same sequences for the same targets, in float64.

    Returns:
        For each method: ``sequences``, how many were compared; ``undefined``, for how many of them there is no rank
        correlation, since all scores are equal or one is not finite; over the others ``spearman`` and ``top`` (the
        share of the highest ``TOP`` positions that are the same), each with ``min`` and ``median``, or None without
        any; and ``each``, the two of every sequence, or None.
    """
    report: dict[str, dict[str, Any]] = {}
    for name, these in attributions.items():
        width = exact[name].scores.shape[1]  # the others may be padded to a longer sequence that was not drawn
        pairs = [_agreement(*each) for each in zip(these.scores[:, :width], exact[name].scores, strict=True)]
        defined = np.array([pair for pair in pairs if pair is not None]).reshape(-1, 2)
        report[name] = {
            "sequences": len(pairs),
            "undefined": len(pairs) - len(defined),
            **{key: summary(values) for key, values in zip(("spearman", "top"), defined.T, strict=True)},
            "each": [None if pair is None else list(pair) for pair in pairs],
        }
    return report


def _agreement(scores: Float, exact: Float) -> tuple[float, float] | None:
    """Spearman's correlation and the overlap of the top, or None where there is no order."""
    has_score = ~(np.isnan(scores) & np.isnan(exact))  # padding, and nucleotides under no token
    scores, exact = scores[has_score], exact[has_score]
    if (
        not has_score.any()
        or not (np.isfinite(scores).all() and np.isfinite(exact).all())
        or np.ptp(scores) == 0
        or np.ptp(exact) == 0
    ):
        return None
    count = min(TOP, scores.size)
    top, exact_top = (set(np.argsort(-values, kind="stable")[:count].tolist()) for values in (scores, exact))
    correlation = np.corrcoef(rankdata(scores), rankdata(exact))[0, 1]
    return float(correlation), len(top & exact_top) / count


def summary(values: Float) -> dict[str, float] | None:
    """Return the least and the median of some values; None of none.

    Example:
        >>> summary(np.array([0.25, 0.5, 0.75]))
        {'min': 0.25, 'median': 0.5}
    """
    return {"min": float(values.min()), "median": float(np.median(values))} if values.size else None
