"""Paired comparisons: intervals of mean differences, McNemar's test, Holm's correction, what a sample could detect."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from kmerit.errors import LabelError
from kmerit.statistics.bootstrap import bootstrap_means, percentiles
from kmerit.types import Floats, Int64

POWER = 0.8
"""With which probability a minimum detectable difference would be seen."""


class MeanDifferences(NamedTuple):
    """The mean of each column of differences ``[row, column]``, and what is known of it; NaN where nothing is.

    Attributes:
        rows: ``int64 [column]``, rows with a value.
        clusters: ``int64 [column]``, clusters with a value.
        mean: In the unit of the differences.
        low: Of the percentile bootstrap interval.
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

    Source: cohen1988, chapter 2, for the effect size and the detectable difference; the standard error in it is the
    bootstrap's, so that clusters count as they should.

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
    if table.ndim != 2:
        raise LabelError(f"Expected differences [row, column], got {table.shape}.")
    columns = table.shape[1]
    known = np.isfinite(table)
    rows: Int64 = known.sum(axis=0).astype(np.int64)
    groups = np.arange(len(table)) if clusters is None else np.unique(np.asarray(clusters), return_inverse=True)[1]
    held = np.array([np.unique(groups[known[:, column]]).size for column in range(columns)], dtype=np.int64)
    mean, low, high, spread, error = (np.full(columns, np.nan) for _ in range(5))
    some = rows > 0
    if some.any():
        draws = bootstrap_means(table[:, some], clusters=groups, resamples=resamples, seed=seed)
        low[some], high[some] = percentiles(draws, level)
        mean[some] = np.nanmean(table[:, some], axis=0)
    several, apart = rows > 1, held > 1
    if several.any():
        spread[several] = np.nanstd(table[:, several], axis=0, ddof=1)
    if apart.any():
        error[apart] = np.nanstd(draws[:, apart[some]], axis=0, ddof=1)
    effect = np.divide(mean, spread, out=np.full(columns, np.nan), where=spread > 0)
    reach = float(norm.ppf((1 + level) / 2) + norm.ppf(POWER))
    return MeanDifferences(rows, held, mean, low, high, effect, reach * error)


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
    known = np.isfinite(values)
    corrected = np.full(values.shape, np.nan)
    if known.any():
        corrected[known] = multipletests(values[known], method="holm")[1]
    return corrected
