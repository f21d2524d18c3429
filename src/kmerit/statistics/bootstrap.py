"""The bootstrap: rows, or clusters of rows, drawn again and again.

A statistic here is a function of integer weights ``[..., row]``: how often each row was drawn. All ones give the
observed value, a multinomial draw gives one resample, and a whole batch of resamples is computed at once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from kmerit.errors import LabelError
from kmerit.types import Floats

Statistic = Callable[[Floats], Floats]
"""Weights ``[..., row]`` to values ``[...]``; NaN where a resample leaves it undefined."""

_CELLS_AT_ONCE = 2_000_000


class Interval(NamedTuple):
    """An observed value and its percentile interval."""

    value: float
    low: float
    high: float


def bootstrap_interval(
    statistic: Statistic,
    rows: int,
    *,
    clusters: ArrayLike | None = None,
    resamples: int = 2000,
    level: float = 0.95,
    seed: int = 0,
) -> Interval:
    """Return the percentile bootstrap interval of a statistic.

    Args:
        statistic: A function of weights ``[..., row]``.
        rows: How many rows there are.
        clusters: ``[row]``, any hashable names; rows of one cluster (a locus) are drawn together. None: each alone.
        resamples: Bootstrap draws; with 0 the interval is NaN.
        level: Coverage, between 0 and 1.
        seed: Of the draws.

    Returns:
        Value, low, high. Resamples on which the statistic is undefined (NaN) are left out; one cluster has no interval.

    Raises:
        LabelError: No rows.

    Example:
        >>> correct = np.array([1.0, 1.0, 0.0, 1.0])
        >>> bootstrap_interval(lambda w: w @ correct / w.sum(-1), 4).value
        0.75
    """
    if rows < 1:
        raise LabelError("Expected at least one row to measure on, got none.")
    value = float(statistic(np.ones(rows)))
    if np.unique(np.arange(rows) if clusters is None else np.asarray(clusters)).size < 2:
        return Interval(value, float("nan"), float("nan"))
    draws = np.concatenate([np.empty(0), *(statistic(w) for w in resampled(rows, clusters, resamples, seed))])
    draws = draws[np.isfinite(draws)]
    if not draws.size:
        return Interval(value, float("nan"), float("nan"))
    low, high = np.quantile(draws, [(1 - level) / 2, (1 + level) / 2])
    return Interval(value, float(low), float(high))


def bootstrap_means(
    values: ArrayLike,
    *,
    clusters: ArrayLike | None = None,
    resamples: int = 2000,
    seed: int = 0,
) -> Floats:
    """Resample rows and average every column, all columns over the same rows, so that columns compare in pairs.

    Args:
        values: ``[row, column]``; NaN where a row has no value in a column.
        clusters: ``[row]``; rows of one cluster are drawn together.
        resamples: Bootstrap draws.
        seed: Of the draws.

    Returns:
        Means ``[resample, column]``; NaN where no row with a value was drawn, and in a column whose values are all of
        one cluster: drawn again and again it has no spread, and an interval of no width would claim to be sure.

    Example:
        >>> bootstrap_means([[1.0, 0.0], [1.0, 0.5]], resamples=3).shape
        (3, 2)
    """
    table = np.asarray(values, dtype=np.float64)
    finite = np.isfinite(table)
    groups = np.arange(len(table)) if clusters is None else np.unique(np.asarray(clusters), return_inverse=True)[1]
    alone = [np.unique(groups[column]).size < 2 for column in finite.T]
    zeroed = np.where(finite, table, 0.0)
    parts = [ratio(w @ zeroed, w @ finite) for w in resampled(len(table), clusters, resamples, seed)]
    means = np.concatenate(parts) if parts else np.empty((0, table.shape[1]))
    means[:, alone] = np.nan
    return means


def percentiles(draws: Floats, level: float = 0.95) -> tuple[Floats, Floats]:
    """Take the percentile interval of every column of draws ``[resample, column]``, leaving out NaN: low, high.

    Example:
        >>> low, high = percentiles(np.arange(101.0)[:, None], level=0.9)
        >>> low.tolist(), high.tolist()
        ([5.0], [95.0])
    """
    finite = np.isfinite(draws).any(axis=0)
    bounds = np.full((2, draws.shape[1]), np.nan)
    bounds[:, finite] = np.nanquantile(draws[:, finite], [(1 - level) / 2, (1 + level) / 2], axis=0)
    return bounds[0], bounds[1]


def paired_difference(
    first: ArrayLike,
    second: ArrayLike,
    *,
    clusters: ArrayLike | None = None,
    resamples: int = 2000,
    level: float = 0.95,
    seed: int = 0,
) -> Interval:
    """Compare two measurements of the same rows: mean of first - second, with its bootstrap interval over rows.

    Args:
        first: ``[row]``.
        second: ``[row]``, in the same order and unit.
        clusters: ``[row]``; rows of one cluster are drawn together.
        resamples: Bootstrap draws; with 0 the interval is NaN.
        level: Coverage, between 0 and 1.
        seed: Of the draws.

    Raises:
        LabelError: The measurements are not of the same rows.

    Example:
        >>> paired_difference([3.0, 5.0], [1.0, 3.0])
        Interval(value=2.0, low=2.0, high=2.0)
    """
    a, b = np.asarray(first, dtype=np.float64), np.asarray(second, dtype=np.float64)
    if a.ndim != 1 or a.shape != b.shape:
        raise LabelError(f"Expected two measurements of the same rows, got {a.shape} and {b.shape}.")
    difference = a - b
    return bootstrap_interval(
        lambda w: w @ difference / w.sum(-1),
        a.size,
        clusters=clusters,
        resamples=resamples,
        level=level,
        seed=seed,
    )


def resampled(rows: int, clusters: ArrayLike | None, resamples: int, seed: int) -> Iterator[Floats]:
    rng = np.random.default_rng(seed)
    cluster = np.arange(rows) if clusters is None else np.unique(np.asarray(clusters), return_inverse=True)[1]
    count = int(cluster.max()) + 1
    batch = max(1, _CELLS_AT_ONCE // rows)
    for start in range(0, resamples, batch):
        counts = rng.multinomial(count, np.full(count, 1 / count), size=min(batch, resamples - start))
        yield counts[:, cluster].astype(float)


def ratio(numerator: Floats, denominator: Floats) -> Floats:
    """Divide, giving NaN for a denominator of 0 (or a rounding error of 0)."""
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(denominator > 0, numerator / denominator, np.nan)
