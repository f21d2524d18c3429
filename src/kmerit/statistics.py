"""Bootstrap intervals, and the metrics of classifiers and regressors with their intervals.

A statistic here is a function of integer weights ``[..., row]``: how often each row was drawn. All ones give the
observed value, a multinomial draw gives one resample, and a whole batch of resamples is computed at once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from kmerit.errors import LabelError
from kmerit.types import Floats, Int64, Locus

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
    """Give a statistic its percentile bootstrap interval.

    Args:
        statistic: A function of weights ``[..., row]``.
        rows: How many rows there are.
        clusters: ``[row]``, any hashable names; rows of one cluster (a locus) are drawn together. None: each alone.
        resamples: Bootstrap draws; with 0 the interval is NaN.
        level: Coverage, between 0 and 1.
        seed: Of the draws.

    Returns:
        Value, low, high. Resamples on which the statistic is undefined (NaN) are left out.

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
    draws = np.concatenate([np.empty(0), *(statistic(w) for w in _resampled(rows, clusters, resamples, seed))])
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
        Means ``[resample, column]``; NaN where no row with a value was drawn.

    Example:
        >>> bootstrap_means([[1.0, 0.0], [1.0, 0.5]], resamples=3).shape
        (3, 2)
    """
    table = np.asarray(values, dtype=np.float64)
    known = np.isfinite(table)
    filled = np.where(known, table, 0.0)
    parts = [_ratio(w @ filled, w @ known) for w in _resampled(len(table), clusters, resamples, seed)]
    return np.concatenate(parts)


def percentiles(draws: Floats, level: float = 0.95) -> tuple[Floats, Floats]:
    """Take the percentile interval of every column of draws ``[resample, column]``, leaving out NaN: low, high.

    Example:
        >>> low, high = percentiles(np.arange(101.0)[:, None], level=0.9)
        >>> low.tolist(), high.tolist()
        ([5.0], [95.0])
    """
    known = np.isfinite(draws).any(axis=0)
    bounds = np.full((2, draws.shape[1]), np.nan)
    bounds[:, known] = np.nanquantile(draws[:, known], [(1 - level) / 2, (1 + level) / 2], axis=0)
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


def wilson(successes: ArrayLike, trials: ArrayLike, level: float = 0.95) -> tuple[Floats, Floats]:
    """Give a proportion its Wilson score interval: low, high; NaN for no trials.

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


def aopc(start: ArrayLike, curve: ArrayLike) -> Floats:
    """Compute the area over the perturbation curve: the mean drop ``s(0) - s(n)`` over the counts n > 0.

    Source: samek2017, eq. 12, without its term at n = 0, where the drop is zero by definition.

    Args:
        start: ``[...]``, the score of the unmutated sequence.
        curve: ``[..., count]``, the score at each n > 0.

    Example:
        >>> float(aopc(1.0, [0.75, 0.25]))
        0.5
    """
    drop = np.asarray(start, dtype=np.float64)[..., None] - np.asarray(curve, dtype=np.float64)
    return np.asarray(drop.mean(axis=-1))


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
    known = sorted((locus.chrom, locus.start, locus.end, row) for row, locus in enumerate(loci) if locus is not None)
    cluster = np.arange(len(loci), dtype=np.int64)
    open_chrom, open_end, open_row = "", 0, 0
    for chrom, start, end, row in known:
        if chrom != open_chrom or start >= open_end:
            open_chrom, open_end, open_row = chrom, end, row
        cluster[row] = open_row
        open_end = max(open_end, end)
    renumbered: Int64 = np.unique(cluster, return_inverse=True)[1].astype(np.int64)
    return renumbered


def _resampled(rows: int, clusters: ArrayLike | None, resamples: int, seed: int) -> Iterator[Floats]:
    rng = np.random.default_rng(seed)
    cluster = np.arange(rows) if clusters is None else np.unique(np.asarray(clusters), return_inverse=True)[1]
    count = int(cluster.max()) + 1
    batch = max(1, _CELLS_AT_ONCE // rows)
    for start in range(0, resamples, batch):
        drawn = rng.multinomial(count, np.full(count, 1 / count), size=min(batch, resamples - start))
        yield drawn[:, cluster].astype(float)


def _midranks(values: Floats, weights: Floats) -> Floats:
    """Rank values within each resample, ties sharing their mean rank; ``[..., row]``, from 1."""
    distinct, group = np.unique(values, return_inverse=True)
    order = np.argsort(group, kind="stable")
    starts = np.searchsorted(group[order], np.arange(distinct.size))
    held = np.add.reduceat(weights[..., order], starts, axis=-1)
    rank: Floats = (np.cumsum(held, axis=-1) - (held - 1) / 2)[..., group]
    return rank


def auroc(positive: NDArray[np.bool_], scores: Floats, weights: Floats) -> Floats:
    """Compute the area under the ROC curve: how often a positive row outranks a negative one, ties counting half."""
    p = weights @ positive.astype(float)
    n = weights.sum(-1) - p
    rank_sum = np.sum(weights * positive * _midranks(scores, weights), axis=-1)
    # The mean rank of p tied rows already counts each against the others, hence p (p + 1) / 2.
    with np.errstate(invalid="ignore"):
        return np.asarray((rank_sum - p * (p + 1) / 2) / (p * n))


def auprc(positive: NDArray[np.bool_], scores: Floats, weights: Floats) -> Floats:
    """Compute the average precision: precision at each score, weighted by the recall gained there."""
    distinct, group = np.unique(-scores, return_inverse=True)
    order = np.argsort(group, kind="stable")
    starts = np.searchsorted(group[order], np.arange(distinct.size))
    hits = np.add.reduceat((weights * positive)[..., order], starts, axis=-1)
    held = np.cumsum(np.add.reduceat(weights[..., order], starts, axis=-1), axis=-1)
    with np.errstate(invalid="ignore"):
        precision = np.cumsum(hits, axis=-1) / np.maximum(held, 1)
        return np.asarray((hits * precision).sum(-1) / hits.sum(-1))


def classification_metrics(
    labels: ArrayLike,
    logits: ArrayLike,
    *,
    clusters: ArrayLike | None = None,
    resamples: int = 2000,
    seed: int = 0,
) -> dict[str, Any]:
    """Measure a classifier, with 95 % bootstrap intervals over rows (or clusters of rows).

    Two classes: F1, AUROC and AUPRC are those of class 1, ranked by the difference of the logits. More classes: their
    unweighted mean over classes, each against the rest, ranked by probability; MCC is Gorodkin's.

    Args:
        labels: ``[row]``, whole numbers from 0.
        logits: ``[row, class]``.
        clusters: ``[row]``; rows of one cluster are drawn together.
        resamples: Bootstrap draws.
        seed: Of the draws.

    Returns:
        ``rows``, and per metric (``accuracy``, ``f1``, ``mcc``, ``auroc``, ``auprc``) a dict of ``value``, ``low``,
        ``high``; None where undefined (a class without rows).

    Raises:
        LabelError: Labels that do not fit the logits.

    Example:
        >>> classification_metrics([0, 1, 1], [[2.0, 0.0], [0.0, 1.0], [1.0, 0.0]])["accuracy"]["value"]
        0.6666666666666666
    """
    y, z = np.asarray(labels), np.asarray(logits, dtype=np.float64)
    if z.ndim != 2 or y.shape != z.shape[:1] or y.dtype.kind not in "iu":
        raise LabelError(f"Expected whole-number labels [row] and logits [row, class], got {y.shape} and {z.shape}.")
    classes = z.shape[1]
    if y.size and not 0 <= y.min() <= y.max() < classes:
        raise LabelError(f"Expected labels 0 to {classes - 1} for {classes} classes, got {y.min()} to {y.max()}.")
    predicted = z.argmax(axis=1)
    probability = np.exp(z - z.max(axis=1, keepdims=True))
    probability /= probability.sum(axis=1, keepdims=True)
    # The difference of two logits ranks like the probability, which saturates to ties in floating point.
    ranked = [(1, z[:, 1] - z[:, 0])] if classes == 2 else [(c, probability[:, c]) for c in range(classes)]
    pair = np.eye(classes * classes)[y * classes + predicted]

    def confusion(w: Floats) -> Floats:
        return np.asarray(w @ pair).reshape(*w.shape[:-1], classes, classes)

    def mean_over(curve: Callable[[NDArray[np.bool_], Floats, Floats], Floats]) -> Statistic:
        return lambda w: np.mean([curve(y == c, scores, w) for c, scores in ranked], axis=0)

    statistics: dict[str, Statistic] = {
        "accuracy": lambda w: w @ (y == predicted) / w.sum(-1),
        "f1": lambda w: _f1(confusion(w))[..., [c for c, _ in ranked]].mean(-1),
        "mcc": lambda w: _mcc(confusion(w)),
        "auroc": mean_over(auroc),
        "auprc": mean_over(auprc),
    }
    return {"rows": int(y.size), **_measured(statistics, y.size, clusters, resamples, seed)}


def regression_metrics(
    labels: ArrayLike,
    predictions: ArrayLike,
    *,
    clusters: ArrayLike | None = None,
    resamples: int = 2000,
    seed: int = 0,
) -> dict[str, Any]:
    """Measure a regressor, with 95 % bootstrap intervals over rows (or clusters of rows).

    Args:
        labels: ``[row]``, the true values.
        predictions: ``[row]`` or ``[row, 1]``, in the unit of the labels.
        clusters: ``[row]``; rows of one cluster are drawn together.
        resamples: Bootstrap draws.
        seed: Of the draws.

    Returns:
        ``rows``, and per metric (``r2``, ``pearson``, ``spearman``, ``rmse``) a dict of ``value``, ``low``, ``high``;
        None where undefined (constant values).

    Raises:
        LabelError: Labels that do not fit the predictions.

    Example:
        >>> regression_metrics([1.0, 2.0, 3.0], [1.0, 2.0, 4.0])["r2"]["value"]
        0.5
    """
    y, p = np.asarray(labels, dtype=np.float64), np.asarray(predictions, dtype=np.float64)
    p = p[:, 0] if p.ndim == 2 and p.shape[1] == 1 else p
    if y.ndim != 1 or p.shape != y.shape:
        raise LabelError(f"Expected one prediction for each of {y.size} labels, got {p.shape}.")
    squared = (y - p) ** 2
    statistics: dict[str, Statistic] = {
        "r2": lambda w: 1 - _ratio(w @ squared, _covariance(y, y, w) * w.sum(-1)),
        "pearson": lambda w: _correlation(y, p, w),
        "spearman": lambda w: _correlation(_midranks(y, w), _midranks(p, w), w),
        "rmse": lambda w: np.sqrt(w @ squared / w.sum(-1)),
    }
    return {"rows": int(y.size), **_measured(statistics, y.size, clusters, resamples, seed)}


def _measured(
    statistics: dict[str, Statistic], rows: int, clusters: ArrayLike | None, resamples: int, seed: int
) -> dict[str, dict[str, float | None]]:
    intervals = {
        name: bootstrap_interval(statistic, rows, clusters=clusters, resamples=resamples, seed=seed)
        for name, statistic in statistics.items()
    }
    return {
        name: {field: x if np.isfinite(x) else None for field, x in interval._asdict().items()}
        for name, interval in intervals.items()
    }


def _ratio(numerator: Floats, denominator: Floats) -> Floats:
    """Divide, giving NaN for a denominator of 0 (or of rounding error beside it)."""
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(denominator > 0, numerator / denominator, np.nan)


def _f1(confusion: Floats) -> Floats:
    """F1 per class of ``[..., label, predicted]`` counts; 0 for a class never right, NaN for one that never occurs."""
    right = np.diagonal(confusion, axis1=-2, axis2=-1)
    return _ratio(2 * right, confusion.sum(-1) + confusion.sum(-2))


def _mcc(confusion: Floats) -> Floats:
    """Matthews' correlation of ``[..., label, predicted]`` counts, in Gorodkin's form for any number of classes."""
    total = confusion.sum((-1, -2))
    right = np.trace(confusion, axis1=-2, axis2=-1)
    true, said = confusion.sum(-1), confusion.sum(-2)
    spread = (total**2 - (said**2).sum(-1)) * (total**2 - (true**2).sum(-1))
    return np.where(spread > 0, (right * total - (true * said).sum(-1)) / np.sqrt(np.where(spread > 0, spread, 1)), 0.0)


def _covariance(a: Floats, b: Floats, weights: Floats) -> Floats:
    total = weights.sum(-1, keepdims=True)
    a = a - (weights * a).sum(-1, keepdims=True) / total
    b = b - (weights * b).sum(-1, keepdims=True) / total
    return np.asarray((weights * a * b).sum(-1) / total[..., 0])


def _correlation(a: Floats, b: Floats, weights: Floats) -> Floats:
    spread = _covariance(a, a, weights) * _covariance(b, b, weights)
    return _ratio(_covariance(a, b, weights), np.sqrt(spread))
