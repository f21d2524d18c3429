"""Intervals of proportions, clusters of loci."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from kmerit.types import Floats, Int64, Locus


def wilson(successes: ArrayLike, trials: ArrayLike, level: float = 0.95) -> tuple[Floats, Floats]:
    """Return the Wilson score interval of a proportion: low, high; NaN for no trials.

    Example:
        >>> low, high = wilson([5], [10])
        >>> round(float(low[0]), 4), round(float(high[0]), 4)
        (0.2366, 0.7634)
    """
    from statsmodels.stats.proportion import proportion_confint

    hits, of = np.broadcast_arrays(np.asarray(successes, dtype=np.float64), np.asarray(trials, dtype=np.float64))
    some = np.where(of > 0, of, np.nan)
    low, high = proportion_confint(hits, some, alpha=1 - level, method="wilson")
    return np.asarray(low, dtype=np.float64), np.asarray(high, dtype=np.float64)


def clopper_pearson(successes: int, trials: int, level: float = 0.95) -> tuple[float, float]:
    """Return the exact interval of a proportion: low, high; NaN for no trials.

    The upper end of a one-sided 95 % interval is that of a two-sided one at the level 0.9.

    Source: clopper1934.

    Example:
        >>> low, high = clopper_pearson(0, 10)
        >>> low, round(high, 4)
        (0.0, 0.3085)
    """
    from scipy.stats import binomtest

    if not trials:
        return float("nan"), float("nan")
    interval = binomtest(successes, trials).proportion_ci(level, method="exact")
    return float(interval.low), float(interval.high)


def locus_clusters(loci: Sequence[Locus | None]) -> Int64:
    """Number the clusters of loci that overlap, on either strand, directly or through others.

    Args:
        loci: One per row; None (unknown) is a cluster of its own.

    Returns:
        ``int64 [row]``, from 0.

    Example:
        >>> a, b, c = Locus("chr1", 0, 10), Locus("chr1", 20, 30), Locus("chr1", 5, 21, "-")
        >>> locus_clusters([a, b, None, c]).tolist()
        [0, 0, 1, 0]
    """
    places = sorted((locus.chrom, locus.start, locus.end, row) for row, locus in enumerate(loci) if locus is not None)
    cluster = np.arange(len(loci), dtype=np.int64)
    open_chrom, open_end, open_row = "", 0, 0
    for chrom, start, end, row in places:
        if chrom != open_chrom or start >= open_end:
            open_chrom, open_end, open_row = chrom, end, row
        cluster[row] = open_row
        open_end = max(open_end, end)
    renumbered: Int64 = np.unique(cluster, return_inverse=True)[1].astype(np.int64)
    return renumbered
