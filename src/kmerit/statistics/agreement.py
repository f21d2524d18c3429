"""Agreement of rankings: within each row, and between two ways to rank methods."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from kmerit.errors import LabelError
from kmerit.statistics.bootstrap import Interval, bootstrap_means
from kmerit.types import Floats


def rank_correlations(first: ArrayLike, second: ArrayLike) -> Floats:
    """Correlate the ranks of two tables row by row (Spearman), ties sharing their mean rank.

    Args:
        first: ``[row, column]``; a column counts where both tables are finite.
        second: Likewise.

    Returns:
        ``[row]`` between -1 and 1; NaN for a row that is constant in either table, or has fewer than two columns.

    Raises:
        LabelError: Tables of different shapes.

    Example:
        >>> rank_correlations([[1.0, 2.0, 3.0], [1.0, 1.0, 1.0]], [[1.0, 2.0, 9.0], [1.0, 2.0, 3.0]]).tolist()
        [1.0, nan]
    """
    from scipy.stats import rankdata

    a, b = np.asarray(first, dtype=np.float64), np.asarray(second, dtype=np.float64)
    if a.ndim != 2 or a.shape != b.shape:
        raise LabelError(f"Expected two tables of one shape [row, column], got {a.shape} and {b.shape}.")
    finite = np.isfinite(a) & np.isfinite(b)
    ranks = [rankdata(np.where(finite, table, np.nan), axis=1, nan_policy="omit") for table in (a, b)]
    count = finite.sum(axis=1, keepdims=True)
    x, y = (np.where(finite, rank - (count + 1) / 2, 0.0) for rank in ranks)
    spread = np.sqrt((x**2).sum(axis=1) * (y**2).sum(axis=1))
    return np.asarray(np.where(spread > 0, (x * y).sum(axis=1) / np.where(spread > 0, spread, 1.0), np.nan))


def mean_interval(
    values: ArrayLike,
    *,
    clusters: ArrayLike | None = None,
    resamples: int = 2000,
    level: float = 0.95,
    seed: int = 0,
) -> Interval:
    """Average rows, with a percentile bootstrap interval over them; rows of NaN are left out.

    Args:
        values: ``[row]``.
        clusters: ``[row]``; rows of one cluster (a locus) are drawn together.
        resamples: Bootstrap draws.
        level: Coverage, between 0 and 1.
        seed: Of the draws.

    Returns:
        Value, low, high; all NaN without any finite row.

    Example:
        >>> mean_interval([1.0, 1.0, float("nan")])
        Interval(value=1.0, low=1.0, high=1.0)
    """
    rows = np.asarray(values, dtype=np.float64)
    finite = np.isfinite(rows)
    rows = rows[finite]
    if not rows.size:
        return Interval(float("nan"), float("nan"), float("nan"))
    of_known = None if clusters is None else np.asarray(clusters)[finite]
    draws = bootstrap_means(rows[:, None], clusters=of_known, resamples=resamples, seed=seed)[:, 0]
    low, high = np.quantile(draws, [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(rows.mean()), float(low), float(high))


def kendall_tau(first: ArrayLike, second: ArrayLike) -> Floats:
    """Compute Kendall's tau-b of two rankings of the same things.

    Source: kendall1945, tau-b.

    Args:
        first: ``[..., thing]``.
        second: ``[..., thing]``.

    Returns:
        ``[...]``; NaN where either ranks all things alike.

    Example:
        >>> float(kendall_tau([1.0, 2.0, 3.0], [1.0, 3.0, 2.0]))
        0.3333333333333333
    """
    a, b = np.asarray(first, dtype=np.float64), np.asarray(second, dtype=np.float64)
    i, j = np.triu_indices(a.shape[-1], 1)
    x, y = np.sign(a[..., i] - a[..., j]), np.sign(b[..., i] - b[..., j])
    scale = np.sqrt((x**2).sum(-1) * (y**2).sum(-1))
    return np.asarray(np.where(scale > 0, (x * y).sum(-1) / np.where(scale > 0, scale, 1.0), np.nan))


def ranking_agreement(
    first: ArrayLike,
    second: ArrayLike,
    *,
    clusters: ArrayLike | None = None,
    resamples: int = 2000,
    level: float = 0.95,
    seed: int = 0,
) -> Interval:
    """Compare how two measurements of the same rows rank methods: Kendall's tau of the means over rows.

    Both measurements are resampled together, row by row.

    Args:
        first: ``[row, method]``; NaN where a row has no value.
        second: Likewise.
        clusters: ``[row]``; rows of one cluster are drawn together.
        resamples: Bootstrap draws.
        level: Coverage, between 0 and 1.
        seed: Of the draws.

    Returns:
        Tau-b, low, high; NaN for fewer than two methods.

    Raises:
        LabelError: Measurements of different shapes.

    Example:
        >>> truth = [[0.9, 0.6, 0.5], [0.8, 0.7, 0.4]]
        >>> ranking_agreement(truth, [[3.0, 2.0, 1.0], [2.5, 2.0, 0.5]]).value
        1.0
    """
    a, b = np.asarray(first, dtype=np.float64), np.asarray(second, dtype=np.float64)
    if a.ndim != 2 or a.shape != b.shape:
        raise LabelError(f"Expected two tables of one shape [row, method], got {a.shape} and {b.shape}.")
    draws = [bootstrap_means(table, clusters=clusters, resamples=resamples, seed=seed) for table in (a, b)]
    with np.errstate(invalid="ignore"):
        taus = kendall_tau(*draws)
        value = float(kendall_tau(*(_means(table) for table in (a, b))))
    taus = taus[np.isfinite(taus)]
    if not taus.size:
        return Interval(value, float("nan"), float("nan"))
    low, high = np.quantile(taus, [(1 - level) / 2, (1 + level) / 2])
    return Interval(value, float(low), float(high))


def _means(table: Floats) -> Floats:
    finite = np.isfinite(table)
    return np.asarray(np.where(finite, table, 0.0).sum(axis=0) / finite.sum(axis=0))


def paired_reversals(
    first: ArrayLike,
    second: ArrayLike,
    resamples: int = 2000,
    *,
    clusters: ArrayLike | None = None,
    level: float = 0.95,
    seed: int = 0,
) -> list[tuple[int, int, float, float]]:
    """List the pairs of methods that two measurements of the same rows rank oppositely, beyond chance.

    A pair counts if the paired bootstrap interval of the difference lies above 0 by the first measurement and below
    0 by the second.

    Args:
        first: ``[row, method]``; NaN where a row has no value.
        second: Likewise.
        resamples: Bootstrap draws.
        clusters: ``[row]``; rows of one cluster are drawn together.
        level: Coverage of each interval, between 0 and 1.
        seed: Of the draws.

    Returns:
        For each: the method that the first prefers, the one that the second prefers, and by how much each does.

    Example:
        >>> paired_reversals([[0.9, 0.6], [0.8, 0.7]], [[1.0, 2.0], [1.0, 1.5]], resamples=100)
        [(0, 1, 0.2, 0.75)]
    """
    tables = [np.asarray(table, dtype=np.float64) for table in (first, second)]
    draws = [bootstrap_means(table, clusters=clusters, resamples=resamples, seed=seed) for table in tables]
    tail = (1 - level) / 2
    reversals = []
    for a in range(tables[0].shape[1]):
        for b in range(tables[0].shape[1]):
            worse = np.nanquantile(draws[0][:, a] - draws[0][:, b], tail) > 0
            better = np.nanquantile(draws[1][:, b] - draws[1][:, a], tail) > 0
            if a != b and worse and better:
                margins = [float(np.diff(_means(table[:, [b, a]]))[0]) for table in tables]
                reversals.append((a, b, round(margins[0], 12), round(-margins[1], 12)))
    return reversals
