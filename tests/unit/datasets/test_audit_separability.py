"""What is called separable: only what is, for certain, more than the threshold; and what is too little to tell."""

from __future__ import annotations

import numpy as np
import pytest

from helpers.faulty_sets import Parts, made, random_parts
from kmerit.datasets.audit import audit
from kmerit.datasets.findings import Audit, Config
from kmerit.datasets.negatives import make_negatives
from kmerit.datasets.task import load_task
from kmerit.metrics import auroc, auroc_interval
from kmerit.report import text as words
from kmerit.sequences import Sequences

TOO_FEW = "Could not be checked; too few rows: "


def flagged(found: Audit) -> set[tuple[str, str]]:
    codes = ("feature_auroc", "baseline_auroc", "ends", "leak_gain")
    return {(finding.code, finding.where) for finding in found.findings if finding.code in codes}


def richer_in_gc(parts: Parts, share: float) -> Parts:
    """Make so many letters of every second row G or C."""
    rng = np.random.default_rng(5)
    for i in range(1, len(parts), 2):
        chosen = rng.random(parts[i].size) < share
        parts[i] = np.where(chosen, rng.integers(1, 3, parts[i].size), parts[i]).astype(np.int8)
    return parts


@pytest.mark.parametrize("pairs", [10, 20, 50])
def test_rows_beside_their_own_shuffles_have_no_feature(pairs: int) -> None:
    test = load_task("epdnew_nontata", "test")
    promoters = test.take(np.flatnonzero(test.labels == 1))
    for seed in range(5):
        rows = promoters.take(np.random.default_rng(seed).permutation(len(promoters))[:pairs])
        shuffled = make_negatives(rows, "shuffled", seed=seed)
        both = Sequences.from_strings([*rows.strings(), *shuffled.strings()], [1] * pairs + [0] * pairs)
        result = audit(both, baselines=())
        assert flagged(result) == set()
        assert next(entry for entry in result.features if entry["feature"] == "GC")["auroc"] == pytest.approx(0.5)


@pytest.mark.parametrize("rows", [20, 40, 100])
def test_a_single_split_is_judged_by_rows_held_out(rows: int) -> None:
    for seed in range(3):
        config = Config.parse({"settings": {"trees": 20, "resamples": 100, "seed": seed}})
        assert flagged(audit(made(random_parts(rows, seed=seed)), config=config)) == set()


def test_a_true_confounder_is_found_among_few_rows() -> None:
    result = audit(made(richer_in_gc(random_parts(40), 0.6)), baselines=())
    assert ("feature_auroc", "GC") in flagged(result)
    entry = next(entry for entry in result.features if entry["feature"] == "GC")
    assert 0.8 < entry["at_least"] < entry["strength"] <= 1
    finding = next(finding for finding in result.findings if finding.where == "GC")
    assert words.finding(finding).text.startswith("GC alone distinguishes the classes: AUROC ")
    assert f"at least {entry['at_least']:.2f}" in words.finding(finding).text


def test_all_rows_of_a_small_split_are_judged_in_turn() -> None:
    parts = random_parts(120)
    for i in range(1, 120, 2):
        parts[i][:4] = [0, 1, 2, 3]
    assert {("baseline_auroc", "ends"), ("ends", "ends")} <= flagged(audit(made(parts), baselines=["ends"]))


def test_a_split_that_is_too_small_is_named() -> None:
    result = audit(made(richer_in_gc(random_parts(12), 0.9)), baselines=["GC"])
    assert flagged(result) == set()
    few = [line for line in map(words.sentence, result.unchecked) if line.startswith(TOO_FEW)]
    assert [line.removeprefix(TOO_FEW).split(" (")[0] for line in few] == [
        "whether any feature exceeds feature_auroc 0.8",
        "whether any baseline exceeds baseline_auroc 0.95",
    ]
    assert words.in_a_line(result.concerns).endswith("too few rows to see easy separation")


def test_an_interval_that_reaches_below_the_threshold_is_named() -> None:
    parts = richer_in_gc(random_parts(60), 0.2)
    result = audit(made(parts), baselines=())
    entry = next(entry for entry in result.features if entry["feature"] == "GC")
    between = (entry["at_least"] + entry["strength"]) / 2
    result = audit(made(parts), baselines=(), config=Config.parse({"thresholds": {"feature_auroc": between}}))
    assert ("feature_auroc", "GC") not in flagged(result)
    assert not result.stops
    assert any(
        f"whether GC exceeds feature_auroc {between:g}" in line for line in map(words.sentence, result.unchecked)
    )


def test_repeated_rows_do_not_make_an_audit_surer() -> None:
    parts = richer_in_gc(random_parts(40), 0.4)
    once, often = audit(made(parts), baselines=()), audit(made([*parts, *parts, *parts]), baselines=())
    for alone, repeated in zip(once.features, often.features, strict=True):
        if alone["feature"] != "repeats":
            assert repeated["strength"] == pytest.approx(alone["strength"])
            assert repeated["at_least"] == pytest.approx(alone["at_least"])


@pytest.mark.parametrize(("value", "positives", "negatives"), [(0.5, 20, 20), (0.83, 10, 35), (1.0, 10, 10)])
def test_the_interval_is_the_score_interval(value: float, positives: int, negatives: int) -> None:
    result = auroc_interval(value, positives, negatives)
    mirrored = auroc_interval(1 - value, positives, negatives)
    assert (mirrored.low, mirrored.high) == pytest.approx((1 - result.high, 1 - result.low))
    # Each bound lies 1.96 standard errors from the value, by Hanley and McNeil's formula at that bound.
    for bound in (result.low, result.high):
        q1, q2 = bound / (2 - bound), 2 * bound**2 / (1 + bound)
        shared = (positives + negatives) / 2 - 1
        variance = bound * (1 - bound) + shared * (q1 + q2 - 2 * bound**2)
        assert abs(value - bound) == pytest.approx(1.959964 * np.sqrt(variance / (positives * negatives)), abs=1e-6)


@pytest.mark.parametrize("shift", [0.0, 1.19, 2.3])
def test_the_interval_covers(shift: float) -> None:
    from scipy.stats import norm

    rng, truth = np.random.default_rng(0), norm.cdf(shift / np.sqrt(2))
    positive = np.arange(30) < 12
    covered = 0
    for _ in range(400):
        value = float(auroc(positive, rng.normal(size=30) + shift * positive, np.ones(30)))
        result = auroc_interval(value, 12, 18)
        covered += result.low <= truth <= result.high
    assert covered >= 0.93 * 400
