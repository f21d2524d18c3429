"""How sparse and how spread scores are, sequence by sequence."""

from __future__ import annotations

import numpy as np

from kmerit.types import Float, Floats


def gini(scores: Float) -> Floats:
    """Measure how sparse scores are: Gini's index of their sizes, sequence by sequence.

    Source: hurley2009, eq. 4.

    Args:
        scores: ``[sequence, position]``; what is not finite is left out.

    Returns:
        ``[sequence]``: 0 if all are of one size, towards 1 if one position has everything; NaN if all are 0.

    Example:
        >>> gini(np.array([[1.0, 1.0, 1.0, 1.0], [0.0, 0.0, 0.0, 1.0]])).tolist()
        [0.0, 0.75]
    """
    found = np.full(len(scores), np.nan)
    for i, row in enumerate(scores):
        sizes = np.sort(np.abs(row[np.isfinite(row)].astype(np.float64)))
        if sizes.sum() > 0:
            rank = np.arange(1, sizes.size + 1)
            found[i] = 1 - 2 * (sizes / sizes.sum() * (sizes.size - rank + 0.5) / sizes.size).sum()
    return found


def entropy(scores: Float) -> Floats:
    """Measure how spread scores are: the entropy of their sizes as shares, over that of equal shares.

    Args:
        scores: ``[sequence, position]``; what is not finite is left out.

    Returns:
        ``[sequence]``: 1 if all are of one size, 0 if one position has everything; NaN if all are 0, or with fewer
        than two positions.

    Example:
        >>> entropy(np.array([[1.0, 1.0, 1.0, 1.0], [0.0, 0.0, 0.0, 1.0]])).tolist()
        [1.0, 0.0]
    """
    found = np.full(len(scores), np.nan)
    for i, row in enumerate(scores):
        sizes = np.abs(row[np.isfinite(row)].astype(np.float64))
        if sizes.sum() > 0 and sizes.size > 1:
            shares = sizes[sizes > 0] / sizes.sum()
            found[i] = abs((shares * np.log(shares)).sum()) / np.log(sizes.size)
    return found
