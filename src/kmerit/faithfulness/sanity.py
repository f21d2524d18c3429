"""Sanity checks: do scores depend on what they should, and on nothing else?

Each check compares two tables of scores of the same sequences, or looks at one. Source: adebayo2018.
"""

from __future__ import annotations

import numpy as np

from kmerit.errors import SequenceError
from kmerit.statistics.agreement import rank_correlations
from kmerit.types import Float, Floats, Int64


def same_ranking(first: Float, second: Float) -> Floats:
    """Correlate the ranks of two tables of scores, sequence by sequence (Spearman).

    High where it should be low means that scores do not depend on what changed between the two: the class explained,
    the weights, the labels. Low where it should be high means that they depend on what should not matter: the seed.

    Args:
        first: ``[sequence, position]``; NaN on padding.
        second: Likewise, of the same sequences.

    Returns:
        ``[sequence]``, -1 to 1; NaN where all scores of a sequence are equal.

    Raises:
        SequenceError: Scores of other sequences.

    Example:
        >>> same_ranking(np.array([[0.1, 0.5, 0.2]]), np.array([[3.0, 1.0, 2.0]])).tolist()
        [-1.0]
    """
    if first.shape != second.shape:
        raise SequenceError(f"Expected scores of the same sequences, got {first.shape} and {second.shape}.")
    return rank_correlations(first, second)


def reverse_complement_agreement(scores: Float, other_strand: Float, lengths: Int64) -> Floats:
    """Correlate scores with those of the reverse complements, position by position of the same base pair (Spearman).

    Args:
        scores: ``[sequence, position]``.
        other_strand: ``[sequence, position]``, scores of the reverse complements, in their own reading direction.
        lengths: ``int64 [sequence]``; beyond them is padding.

    Returns:
        ``[sequence]``, -1 to 1; NaN where all scores of a sequence are equal.

    Raises:
        SequenceError: Scores of other sequences.

    Example:
        >>> one = np.array([[1.0, 2.0, 3.0]])
        >>> reverse_complement_agreement(one, one[:, ::-1], np.array([3])).tolist()
        [1.0]
    """
    if scores.shape != other_strand.shape or lengths.shape != scores.shape[:1]:
        raise SequenceError(f"Expected scores of the same sequences, got {scores.shape} and {other_strand.shape}.")
    turned = np.full(other_strand.shape, np.nan)
    for line, row, length in zip(turned, other_strand, lengths.tolist(), strict=True):
        line[:length] = row[:length][::-1]
    return rank_correlations(scores, turned)


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
