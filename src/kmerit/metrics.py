"""The metrics of classifiers and regressors, with their intervals."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from kmerit.errors import LabelError, NotFinite
from kmerit.sequences import Floats
from kmerit.uncertainty import Interval, Statistic, bootstrap_interval, ratio, student_interval


def _midranks(values: Floats, weights: Floats) -> Floats:
    """Rank values within each resample, ties sharing their mean rank; ``[..., row]``, from 1."""
    distinct, group = np.unique(values, return_inverse=True)
    order = np.argsort(group, kind="stable")
    starts = np.searchsorted(group[order], np.arange(distinct.size))
    tie_weights = np.add.reduceat(weights[..., order], starts, axis=-1)
    rank: Floats = (np.cumsum(tie_weights, axis=-1) - (tie_weights - 1) / 2)[..., group]
    return rank


def auroc(positive: NDArray[np.bool_], scores: Floats, weights: Floats) -> Floats:
    """Compute the area under the ROC curve: how often a positive row outranks a negative one, ties counting half.

    Args:
        positive: ``[row]``.
        scores: ``[row]``.
        weights: ``[..., row]``, how often each row counts, as in a bootstrap's draws.

    Returns:
        ``[...]``; NaN where there is but one class.

    Example:
        >>> positive, scores = np.array([True, False, True, False]), np.array([3.0, 1.0, 2.0, 2.0])
        >>> float(auroc(positive, scores, np.ones(4)))
        0.875
    """
    p = weights @ positive.astype(float)
    n = weights.sum(-1) - p
    rank_sum = np.sum(weights * positive * _midranks(scores, weights), axis=-1)
    # The mean rank of p tied rows already counts each against the others, hence p (p + 1) / 2.
    with np.errstate(invalid="ignore"):
        return np.asarray((rank_sum - p * (p + 1) / 2) / (p * n))


def auroc_interval(value: float, positives: float, negatives: float, level: float = 0.95) -> Interval:
    """Return the score interval of an AUROC; its width stays positive for fully separated classes.

    Source: newcombe2006, method 5.

    Args:
        value: The AUROC, 0 to 1.
        positives: Independent rows of the class; of clustered rows their effective number.
        negatives: Likewise, of the others.
        level: Coverage, between 0 and 1.

    Returns:
        Value, low, high; all NaN where a class has no rows.

    Example:
        >>> [round(bound, 2) for bound in auroc_interval(1.0, 10, 10)]
        [1.0, 0.8, 1.0]
    """
    from scipy.optimize import brentq
    from scipy.stats import norm

    if not (np.isfinite(value) and positives > 0 and negatives > 0):
        return Interval(float("nan"), float("nan"), float("nan"))
    z, mean = norm.ppf((1 + level) / 2), (positives + negatives) / 2

    def lowest(area: float) -> float:
        """Find the smallest AUROC from which an observed one is at most z standard errors away."""

        def beyond(theta: float) -> float:
            spread = 1 + (mean - 1) * ((1 - theta) / (2 - theta) + theta / (1 + theta))
            return float(area - theta - z * np.sqrt(theta * (1 - theta) * spread / (positives * negatives)))

        return 0.0 if area <= 0 else float(brentq(beyond, 0.0, min(area, 1 - 1e-9)))

    return Interval(value, lowest(value), 1 - lowest(1 - value))


def auprc(positive: NDArray[np.bool_], scores: Floats, weights: Floats) -> Floats:
    """Compute the average precision: precision at each score, weighted by the recall gained there.

    Args:
        positive: ``[row]``.
        scores: ``[row]``.
        weights: ``[..., row]``, how often each row counts, as in a bootstrap's draws.

    Returns:
        ``[...]``; NaN where nothing is positive.

    Example:
        >>> positive, scores = np.array([True, False, True]), np.array([3.0, 2.0, 1.0])
        >>> float(auprc(positive, scores, np.ones(3))).__round__(4)
        0.8333
    """
    distinct, group = np.unique(-scores, return_inverse=True)
    order = np.argsort(group, kind="stable")
    starts = np.searchsorted(group[order], np.arange(distinct.size))
    hits = np.add.reduceat((weights * positive)[..., order], starts, axis=-1)
    cumulative = np.cumsum(np.add.reduceat(weights[..., order], starts, axis=-1), axis=-1)
    with np.errstate(invalid="ignore"):
        precision = np.cumsum(hits, axis=-1) / np.maximum(cumulative, 1)
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
        NotFinite: A logit that is no number; it would count for the first class.

    Example:
        >>> classification_metrics([0, 1, 1], [[2.0, 0.0], [0.0, 1.0], [1.0, 0.0]])["accuracy"]["value"]
        0.6666666666666666
    """
    y, statistics = _classified(labels, logits)
    return {"rows": int(y.size), **_measured(statistics, y.size, clusters, resamples, seed)}


def metric_differences(
    labels: ArrayLike,
    first: ArrayLike,
    second: ArrayLike,
    *,
    clusters: ArrayLike | None = None,
    resamples: int = 2000,
    seed: int = 0,
) -> dict[str, Any]:
    """Compare two classifiers on the same rows: metrics of the first less those of the second, drawn together.

    Args:
        labels: ``[row]``, whole numbers from 0.
        first: Logits, ``[row, class]``.
        second: Likewise, of the same rows.
        clusters: ``[row]``; rows of one cluster are drawn together.
        resamples: Bootstrap draws.
        seed: Of the draws.

    Returns:
        As :func:`classification_metrics`.

    Raises:
        LabelError: Labels that do not fit the logits.

    Example:
        >>> right, half = [[2.0, 0.0], [0.0, 1.0]], [[2.0, 0.0], [1.0, 0.0]]
        >>> metric_differences([0, 1], right, half)["accuracy"]["value"]
        0.5
    """
    y, first_metrics = _classified(labels, first)
    _, second_metrics = _classified(labels, second)

    def difference(name: str) -> Statistic:
        return lambda w: first_metrics[name](w) - second_metrics[name](w)

    return {
        "rows": int(y.size),
        **_measured({name: difference(name) for name in first_metrics}, y.size, clusters, resamples, seed),
    }


def _classified(labels: ArrayLike, logits: ArrayLike) -> tuple[NDArray[Any], dict[str, Statistic]]:
    """Check labels against logits; return each metric as a function of the rows' weights."""
    y, z = np.asarray(labels), np.asarray(logits, dtype=np.float64)
    if z.ndim != 2 or y.shape != z.shape[:1] or y.dtype.kind not in "iu":
        raise LabelError(f"Expected whole-number labels [row] and logits [row, class], got {y.shape} and {z.shape}.")
    classes = z.shape[1]
    if y.size and not 0 <= y.min() <= y.max() < classes:
        raise LabelError(f"Expected labels 0 to {classes - 1} for {classes} classes, got {y.min()} to {y.max()}.")
    _refuse_nonfinite(z)
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

    return y, {
        "accuracy": lambda w: w @ (y == predicted) / w.sum(-1),
        "f1": lambda w: _f1(confusion(w))[..., [c for c, _ in ranked]].mean(-1),
        "mcc": lambda w: _mcc(confusion(w)),
        "auroc": mean_over(auroc),
        "auprc": mean_over(auprc),
    }


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
        NotFinite: A prediction that is no number.

    Example:
        >>> regression_metrics([1.0, 2.0, 3.0], [1.0, 2.0, 4.0])["r2"]["value"]
        0.5
    """
    y, p = np.asarray(labels, dtype=np.float64), np.asarray(predictions, dtype=np.float64)
    p = p[:, 0] if p.ndim == 2 and p.shape[1] == 1 else p
    if y.ndim != 1 or p.shape != y.shape:
        raise LabelError(f"Expected one prediction for each of {y.size} labels, got {p.shape}.")
    _refuse_nonfinite(p[:, None])
    squared = (y - p) ** 2
    statistics: dict[str, Statistic] = {
        "r2": lambda w: 1 - ratio(w @ squared, _covariance(y, y, w) * w.sum(-1)),
        "pearson": lambda w: _correlation(y, p, w),
        "spearman": lambda w: _correlation(_midranks(y, w), _midranks(p, w), w),
        "rmse": lambda w: np.sqrt(w @ squared / w.sum(-1)),
    }
    return {"rows": int(y.size), **_measured(statistics, y.size, clusters, resamples, seed)}


def output_metrics(
    labels: ArrayLike,
    answers: ArrayLike,
    *,
    values: bool,
    clusters: ArrayLike | None = None,
    resamples: int = 2000,
    seed: int = 0,
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Measure each of several labels or values, and their mean.

    Args:
        labels: ``[row, output]``, 0 or 1, or true values.
        answers: ``[row, output]``, the logits of yes, or values.
        values: Whether they are values.
        clusters: ``[row]``; rows of one cluster are drawn together.
        resamples: Bootstrap draws.
        seed: Of the draws.

    Returns:
        ``rows``, and per metric the mean over those outputs of which it is defined (without an interval); and of each
        output what :func:`classification_metrics` says of the classes no and yes, or :func:`regression_metrics`.

    Raises:
        LabelError: Labels that do not fit the answers.
        NotFinite: An answer that is no number.

    Example:
        >>> mean, each = output_metrics([[0, 1], [1, 0]], [[-1.0, 2.0], [3.0, 4.0]], values=False)
        >>> mean["auroc"]["value"], [one["auroc"]["value"] for one in each]
        (0.5, [1.0, 0.0])
    """
    y, z = np.asarray(labels), np.asarray(answers, dtype=np.float64)
    if y.ndim != 2 or y.shape != z.shape:
        raise LabelError(f"Expected labels and answers [row, output] of one shape, got {y.shape} and {z.shape}.")
    settings: dict[str, Any] = {"clusters": clusters, "resamples": resamples, "seed": seed}
    each = []
    for truth, answer in zip(y.T, z.T, strict=True):
        if values:
            each.append(regression_metrics(truth, answer, **settings))
        else:
            each.append(classification_metrics(truth, np.stack([np.zeros_like(answer), answer], axis=1), **settings))
    means: dict[str, Any] = {"rows": len(y)}
    for name in each[0]:
        if name != "rows":
            numbers = [one[name]["value"] for one in each if one[name]["value"] is not None]
            means[name] = {"value": float(np.mean(numbers)) if numbers else None, "low": None, "high": None}
    return means, each


def _refuse_nonfinite(answers: Floats) -> None:
    finite = np.isfinite(answers).all(axis=1)
    if not finite.all():
        row = int(np.argmin(finite))
        raise NotFinite(
            f"Row {row} of {len(answers)}: expected a finite answer, got {answers[row].tolist()}, which is no class "
            f"and no value. Did the model's training diverge?"
        )


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


def _f1(confusion: Floats) -> Floats:
    """F1 per class of ``[..., label, predicted]`` counts; 0 for a class never right, NaN for one that never occurs."""
    correct = np.diagonal(confusion, axis1=-2, axis2=-1)
    return ratio(2 * correct, confusion.sum(-1) + confusion.sum(-2))


def _mcc(confusion: Floats) -> Floats:
    """Matthews' correlation of ``[..., label, predicted]`` counts, in Gorodkin's form for any number of classes."""
    total = confusion.sum((-1, -2))
    right = np.trace(confusion, axis1=-2, axis2=-1)
    true, predicted = confusion.sum(-1), confusion.sum(-2)
    spread = (total**2 - (predicted**2).sum(-1)) * (total**2 - (true**2).sum(-1))
    return np.where(
        spread > 0, (right * total - (true * predicted).sum(-1)) / np.sqrt(np.where(spread > 0, spread, 1)), 0.0
    )


def _covariance(a: Floats, b: Floats, weights: Floats) -> Floats:
    total = weights.sum(-1, keepdims=True)
    a = a - (weights * a).sum(-1, keepdims=True) / total
    b = b - (weights * b).sum(-1, keepdims=True) / total
    return np.asarray((weights * a * b).sum(-1) / total[..., 0])


def _correlation(a: Floats, b: Floats, weights: Floats) -> Floats:
    spread = _covariance(a, a, weights) * _covariance(b, b, weights)
    return ratio(_covariance(a, b, weights), np.sqrt(spread))


def over_seeds(tests: Sequence[Mapping[str, Any]], seeds: Sequence[int]) -> dict[str, Any]:
    """Average metrics over trainings that differ in their seed, with Student's 95 % interval of the mean.

    Args:
        tests: Of each training, as `classification_metrics` gives them.
        seeds: Of the trainings, in the same order.

    Returns:
        ``seeds``, and by metric ``value``, ``low``, ``high`` and ``each``, the trainings' own values.

    Example:
        >>> over_seeds([{"rows": 9, "auroc": {"value": 0.8}}], [0])["auroc"]
        {'value': 0.8, 'low': None, 'high': None, 'each': [0.8]}
    """
    means: dict[str, Any] = {"seeds": list(seeds)}
    for name in (name for name in tests[0] if name != "rows"):
        values = [test[name]["value"] for test in tests]
        means[name] = student_interval(values).known() | {"each": values}
    return means
