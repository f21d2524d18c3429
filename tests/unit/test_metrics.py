"""The metrics equal scikit-learn's and scipy's, on the rows themselves and on a resample of them."""

import numpy as np
import pytest
from scipy import stats
from sklearn import metrics

from kmerit.errors import LabelError
from kmerit.metrics import (
    auprc,
    auroc,
    classification_metrics,
    metric_differences,
    over_seeds,
    regression_metrics,
)
from kmerit.uncertainty import bootstrap_interval


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(7)


def scored(rng: np.random.Generator, rows: int = 300) -> tuple[np.ndarray, np.ndarray]:
    labels = rng.integers(0, 2, rows)
    # Rounded, so that scores tie within and across classes.
    return labels, np.round(rng.normal(size=(rows, 2)) + np.eye(2)[labels], 1)


def test_two_classes_equal_sklearn(rng: np.random.Generator) -> None:
    labels, logits = scored(rng)
    result = classification_metrics(labels, logits, resamples=20)
    sentence, score = logits.argmax(1), logits[:, 1] - logits[:, 0]
    expected = {
        "accuracy": metrics.accuracy_score(labels, sentence),
        "f1": metrics.f1_score(labels, sentence),
        "mcc": metrics.matthews_corrcoef(labels, sentence),
        "auroc": metrics.roc_auc_score(labels, score),
        "auprc": metrics.average_precision_score(labels, score),
    }
    assert result.pop("rows") == 300
    assert {name: m["value"] for name, m in result.items()} == pytest.approx(expected, abs=1e-12)
    assert all(m["low"] <= m["value"] <= m["high"] for m in result.values())


def test_three_classes_equal_sklearn(rng: np.random.Generator) -> None:
    labels = rng.integers(0, 3, 300)
    logits = rng.normal(size=(300, 3)) + np.eye(3)[labels]
    result = classification_metrics(labels, logits, resamples=5)
    probability = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    sentence = logits.argmax(1)
    assert result["f1"]["value"] == pytest.approx(metrics.f1_score(labels, sentence, average="macro"))
    assert result["mcc"]["value"] == pytest.approx(metrics.matthews_corrcoef(labels, sentence))
    assert result["auroc"]["value"] == pytest.approx(metrics.roc_auc_score(labels, probability, multi_class="ovr"))
    assert result["auprc"]["value"] == pytest.approx(
        metrics.average_precision_score(np.eye(3, dtype=int)[labels], probability, average="macro")
    )


@pytest.mark.parametrize(
    ("ours", "sklearns"), [(auroc, metrics.roc_auc_score), (auprc, metrics.average_precision_score)]
)
def test_weights_mean_repeated_rows(ours, sklearns, rng: np.random.Generator) -> None:
    labels, logits = scored(rng, 60)
    score = logits[:, 1]
    weights = rng.multinomial(60, np.full(60, 1 / 60), size=4)
    result = ours(labels == 1, score, weights.astype(float))
    for one, times in zip(result, weights, strict=True):
        rows = np.repeat(np.arange(60), times)
        assert one == pytest.approx(sklearns(labels[rows], score[rows]))


def test_regression_equals_scipy(rng: np.random.Generator) -> None:
    y = np.round(rng.normal(size=200), 1)
    p = np.round(y + rng.normal(size=200), 1)
    result = regression_metrics(y, p[:, None], resamples=50)
    expected = {
        "r2": metrics.r2_score(y, p),
        "pearson": stats.pearsonr(y, p).statistic,
        "spearman": stats.spearmanr(y, p).statistic,
        "rmse": metrics.root_mean_squared_error(y, p),
    }
    assert result.pop("rows") == 200
    assert {name: m["value"] for name, m in result.items()} == pytest.approx(expected, abs=1e-12)
    assert all(m["low"] < m["value"] < m["high"] for m in result.values())


def test_interval_covers_the_mean_as_often_as_it_says(rng: np.random.Generator) -> None:
    covered = 0
    for seed in range(200):
        x = rng.normal(size=80)
        _, low, high = bootstrap_interval(lambda w, x=x: w @ x / w.sum(-1), 80, resamples=300, seed=seed)
        covered += low <= 0 <= high
    assert 0.88 <= covered / 200 <= 0.99


def test_clusters_widen_the_interval(rng: np.random.Generator) -> None:
    x = np.repeat(rng.normal(size=40), 25)
    alone = bootstrap_interval(lambda w: w @ x / w.sum(-1), x.size, resamples=400)
    together = bootstrap_interval(
        lambda w: w @ x / w.sum(-1), x.size, clusters=np.repeat([f"locus{i}" for i in range(40)], 25), resamples=400
    )
    assert together.high - together.low > 3 * (alone.high - alone.low)


def test_same_seed_same_interval(rng: np.random.Generator) -> None:
    labels, logits = scored(rng)
    first = classification_metrics(labels, logits, resamples=50, seed=3)
    assert classification_metrics(labels, logits, resamples=50, seed=3) == first
    assert classification_metrics(labels, logits, resamples=50, seed=4) != first


def test_one_class_leaves_ranking_metrics_undefined() -> None:
    result = classification_metrics([1, 1, 1], [[0.0, 1.0], [0.0, 2.0], [1.0, 0.0]], resamples=20)
    assert result["auroc"] == {"value": None, "low": None, "high": None}
    assert result["accuracy"]["value"] == pytest.approx(2 / 3)


def test_constant_values_leave_correlation_undefined() -> None:
    result = regression_metrics([1.0, 1.0], [0.0, 2.0], resamples=20)
    assert result["pearson"]["value"] is None
    assert result["rmse"]["value"] == 1.0


@pytest.mark.parametrize(
    ("labels", "logits", "says"),
    [([0, 2], [[0.0, 1.0]] * 2, "0 to 1"), ([0], [[0.0, 1.0]] * 2, "row"), ([0.5, 1.0], [[0.0, 1.0]] * 2, "whole")],
)
def test_labels_that_do_not_fit_are_refused(labels, logits, says) -> None:
    with pytest.raises(LabelError, match=says):
        classification_metrics(labels, logits)


def test_no_rows_are_refused() -> None:
    with pytest.raises(LabelError, match="at least one row"):
        regression_metrics([], [])


def test_differences_are_drawn_with_the_same_rows_for_both() -> None:
    rng = np.random.default_rng(3)
    labels = rng.integers(0, 2, 400)
    good = np.column_stack([np.zeros(400), labels + rng.normal(size=400)])
    worse = good + np.column_stack([np.zeros(400), 0.3 * rng.normal(size=400)])
    result = metric_differences(labels, good, worse, resamples=300)
    each = [classification_metrics(labels, logits, resamples=300) for logits in (good, worse)]
    for name in ("accuracy", "auroc", "auprc", "f1", "mcc"):
        assert result[name]["value"] == pytest.approx(each[0][name]["value"] - each[1][name]["value"])
    # What the two share falls out of the difference: its interval is far narrower than either one's.
    width = result["auroc"]["high"] - result["auroc"]["low"]
    assert 0 < width < 0.5 * (each[0]["auroc"]["high"] - each[0]["auroc"]["low"])
    same = metric_differences(labels, good, good, clusters=np.arange(400) // 4, resamples=20)
    assert (same["auroc"]["low"], same["auroc"]["high"]) == (0, 0)


def test_seeds_are_averaged_with_students_interval() -> None:
    tests = [{"rows": 9, "auroc": {"value": value}} for value in (0.7, 0.8, 0.9)]
    result = over_seeds(tests, [0, 1, 2])["auroc"]
    assert (result["value"], result["low"], result["high"]) == pytest.approx((0.8, 0.5516, 1.0484), abs=1e-4)
    assert over_seeds(tests[:1], [0])["auroc"]["low"] is None
