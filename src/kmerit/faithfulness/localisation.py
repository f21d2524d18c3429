"""Attribution against planted truth: does the score lie where the signal is?"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from kmerit.errors import SequenceError
from kmerit.statistics import auprc, auroc
from kmerit.statistics.agreement import rank_correlations
from kmerit.types import Bool, Float, Floats


def localisation(scores: Float, mask: Bool) -> dict[str, Floats]:
    """Measure, sequence by sequence, how well scores find the positions of a mask.

    A score that is not finite (no token covers the nucleotide) counts as the lowest.

    Args:
        scores: ``[sequence, position]``, signed.
        mask: ``[sequence, position]``, where the signal is.

    Returns:
        ``[sequence]`` each: ``auroc`` (0.5 by chance), ``auprc`` (the mask's share by chance), ``mass_inside``: the
        share of the positive scores' sum that lies inside (the mask's share by chance; NaN if no score is positive).
        All NaN for a sequence whose mask is empty or full.

    Raises:
        SequenceError: Scores and mask of different shapes.

    Example:
        >>> found = localisation(np.array([[0.1, 0.9, 0.0]]), np.array([[False, True, False]]))
        >>> {name: values.tolist() for name, values in found.items()}
        {'auroc': [1.0], 'auprc': [1.0], 'mass_inside': [0.9]}
    """
    _check(scores, mask)
    found = {name: np.full(len(scores), np.nan) for name in ("auroc", "auprc", "mass_inside")}
    values = np.where(np.isfinite(scores), scores, -np.inf).astype(np.float64)
    for i in np.flatnonzero(mask.any(axis=1) & ~mask.all(axis=1)).tolist():
        ones = np.ones(mask.shape[1])
        # Ranks: infinities have no difference, and auprc negates.
        ranks = np.unique(values[i], return_inverse=True)[1].astype(np.float64)
        found["auroc"][i] = auroc(mask[i], ranks, ones)
        found["auprc"][i] = auprc(mask[i], ranks, ones)
        positive = np.maximum(np.where(np.isfinite(values[i]), values[i], 0.0), 0.0)
        if positive.sum() > 0:
            found["mass_inside"][i] = positive[mask[i]].sum() / positive.sum()
    return found


def needed(effects: Float, mask: Bool) -> Bool:
    """Find the letters that the model needs: as many as the mask has, those that in-silico mutagenesis ranks first.

    Args:
        effects: Of exact in-silico mutagenesis, ``[sequence, position]``.
        mask: ``[sequence, position]``, what was planted.

    Returns:
        ``bool [sequence, position]``.

    Example:
        >>> needed(np.array([[0.1, 0.9, 0.3]]), np.array([[True, False, True]])).tolist()
        [[False, True, True]]
    """
    _check(effects, mask)
    order = np.argsort(-np.where(np.isfinite(effects), effects, -np.inf), axis=1, kind="stable")
    ranks = np.argsort(order, axis=1)
    return np.asarray(ranks < mask.sum(axis=1, keepdims=True))


def composition_correlations(scores: Float, log_odds: Floats) -> Floats:
    """Correlate scores with what each letter adds to the true log-odds (Spearman), sequence by sequence.

    Args:
        scores: ``[sequence, position]``, signed.
        log_odds: ``[sequence, position]``, of the class that the scores explain.

    Returns:
        ``[sequence]``; NaN where either is constant.

    Raises:
        SequenceError: Scores and truth of different shapes.

    Example:
        >>> composition_correlations(np.array([[0.1, 0.9, 0.0]]), np.array([[0.0, 0.5, -0.5]])).tolist()
        [1.0]
    """
    _check(scores, log_odds)
    return rank_correlations(scores, log_odds)


def _check(scores: Float, truth: NDArray[np.generic]) -> None:
    if scores.ndim != 2 or scores.shape != truth.shape:
        raise SequenceError(
            f"Expected scores and truth of the same sequences, got {scores.shape} and {truth.shape}. "
            f"Attribute the sequences that were planted, at the level of nucleotides."
        )
