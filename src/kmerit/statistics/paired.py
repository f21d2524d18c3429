"""Paired comparisons: intervals of mean differences, McNemar's test, Holm's correction, what a sample could detect."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from kmerit.errors import LabelError
from kmerit.statistics.bootstrap import bootstrap_means, percentiles
from kmerit.statistics.studentised import Studentised, studentised
from kmerit.types import Floats, Int64

POWER = 0.8
"""With which probability a minimum detectable difference would be seen."""


class MeanDifferences(NamedTuple):
    """Mean of each column of differences ``[row, column]``, with intervals; NaN where undefined.

    Attributes:
        rows: ``int64 [column]``, rows with a value.
        clusters: ``int64 [column]``, clusters with a value.
        mean: In the unit of the differences.
        low: Of the studentised bootstrap interval; of the percentile one where too many resamples have no spread (as
            shares have that are nearly all 0).
        high: Of that interval.
        effect_size: Cohen's d of paired differences: the mean in standard deviations over rows.
        detectable: The smallest mean that this sample would tell from 0 at the level, with a power of 80 %.
    """

    rows: Int64
    clusters: Int64
    mean: Floats
    low: Floats
    high: Floats
    effect_size: Floats
    detectable: Floats


def mean_differences(
    differences: ArrayLike,
    *,
    clusters: ArrayLike | None = None,
    resamples: int = 2000,
    level: float = 0.95,
    seed: int = 0,
) -> MeanDifferences:
    """Average paired differences over rows, with bootstrap intervals over clusters of rows.

    Source: cohen1988, chapter 2, for the effect size and the detectable difference; davison1997, section 5.2, for the
    intervals.

    Args:
        differences: ``[row, column]``; NaN where a row has no value in a column.
        clusters: ``[row]``; rows of one cluster are drawn together. None: each alone.
        resamples: Bootstrap draws.
        level: Coverage, between 0 and 1.
        seed: Of the draws; the same draws for every column.

    Raises:
        LabelError: No table.

    Example:
        >>> found = mean_differences([[1.0], [2.0], [3.0]])
        >>> found.rows.tolist(), found.mean.tolist(), found.effect_size.tolist()
        ([3], [2.0], [2.0])
    """
    from scipy.stats import norm

    table = np.asarray(differences, dtype=np.float64)
    means = studentised(table, clusters=clusters, resamples=resamples, seed=seed)
    low, high = intervals(means, table, clusters, resamples, level, seed)
    reach = float(norm.ppf((1 + level) / 2) + norm.ppf(POWER))
    effect = effect_sizes(table)
    return MeanDifferences(means.rows, means.clusters, means.mean, low, high, effect, reach * means.error)


def intervals(
    means: Studentised, table: Floats, clusters: ArrayLike | None, resamples: int, level: float, seed: int
) -> tuple[Floats, Floats]:
    """Return the studentised interval of every column, and the percentile interval where an end of that is infinite."""
    low, high = means.interval(level)
    open_ended = np.isinf(low) | np.isinf(high)
    if open_ended.any():
        draws = bootstrap_means(table[:, open_ended], clusters=clusters, resamples=resamples, seed=seed)
        low[open_ended], high[open_ended] = percentiles(draws, level)
    return low, high


def effect_sizes(table: Floats) -> Floats:
    """Return Cohen's d of every column of paired differences: the mean in standard deviations over rows; NaN for none.

    Example:
        >>> effect_sizes(np.array([[1.0, 2.0], [2.0, 2.0], [3.0, np.nan]])).tolist()
        [2.0, nan]
    """
    rows = np.isfinite(table).sum(axis=0)
    out = np.full(table.shape[1], np.nan)
    several = rows > 1
    if several.any():
        mean, spread = np.nanmean(table[:, several], axis=0), np.nanstd(table[:, several], axis=0, ddof=1)
        out[several] = np.divide(mean, spread, out=np.full(mean.shape, np.nan), where=spread > 0)
    return out


def mcnemar(first: ArrayLike, second: ArrayLike) -> float:
    """Test whether two classifiers are right equally often on the same rows: McNemar's exact test, two-sided.

    Source: mcnemar1947.

    Args:
        first: ``bool [row]``, whether each row is classified correctly.
        second: ``bool [row]``, likewise.

    Returns:
        The p value; 1 where they never disagree, NaN for no rows.

    Raises:
        LabelError: The measurements are not of the same rows.

    Example:
        >>> mcnemar([True] * 6 + [False], [False] * 6 + [False])
        0.03125
    """
    from statsmodels.stats.contingency_tables import mcnemar as exact

    a, b = np.asarray(first, dtype=np.bool_), np.asarray(second, dtype=np.bool_)
    if a.ndim != 1 or a.shape != b.shape:
        raise LabelError(f"Expected two measurements of the same rows, got {a.shape} and {b.shape}.")
    if not a.size:
        return float("nan")
    table = [[np.sum(a & b), np.sum(a & ~b)], [np.sum(~a & b), np.sum(~a & ~b)]]
    return float(exact(table, exact=True).pvalue)


def holm(p_values: ArrayLike) -> Floats:
    """Correct p values for their number, stepping down; NaN is no test and stays. Source: holm1979.

    Example:
        >>> holm([0.01, 0.04, float("nan"), 0.03]).round(4).tolist()
        [0.03, 0.06, nan, 0.06]
    """
    from statsmodels.stats.multitest import multipletests

    values = np.asarray(p_values, dtype=np.float64)
    finite = np.isfinite(values)
    corrected = np.full(values.shape, np.nan)
    if finite.any():
        corrected[finite] = multipletests(values[finite], method="holm")[1]
    return corrected
