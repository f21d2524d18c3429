"""Measured truth as a judge: statistics against plain ones, effects that a model made, and effects that nobody made."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.stats import rankdata, spearmanr
from statsmodels.api import OLS

import kmerit as km
from kmerit.attribution.method import Batch, NucleotideScores
from kmerit.biology.measured import (
    ISM,
    Predictions,
    _interval,
    _Request,
    judge_element,
    judgements,
    partial_spearman,
    pool,
    read_measured,
    read_predictions,
)
from kmerit.errors import FormatError, RunMismatch, TargetError, UsageError
from kmerit.io.elements import Assay
from kmerit.report.page import measured_page, write_measured
from kmerit.sequences import Floats, decode

LENGTH = 120


def assay(bases: np.ndarray, effect: Floats, name: str = "one", element: str = "one", start: int = 0) -> Assay:
    size = bases.size
    rows = 3 * size
    return Assay(
        element, name, "1", start, bases, np.repeat(np.arange(size), 3), np.tile([1, 2, 3], size), effect.ravel(),
        np.full(rows, 0.1), np.full(rows, np.nan), {},
    )  # fmt: skip


@pytest.fixture(scope="module")
def model() -> km.Model:
    torch.manual_seed(1)
    module = torch.nn.Sequential(
        torch.nn.Conv1d(4, 6, 9), torch.nn.Softplus(), torch.nn.Flatten(), torch.nn.Linear(6 * (LENGTH - 8), 1)
    )
    return km.wrap(module, LENGTH, ["activity"], problem="value", dtype="float64", micro_batch=64)


def exact(model: km.Model, bases: np.ndarray) -> Floats:
    """In-silico mutagenesis by strings, of an element as long as the window."""
    text = decode(bases.astype(np.int8))
    before = float(model.logits([text])[0, 0])
    effects = np.zeros((bases.size, 3))
    for i in range(bases.size):
        mutants = [text[:i] + "ACGT"[(bases[i] + step) % 4] + text[i + 1 :] for step in (1, 2, 3)]
        effects[i] = model.logits(mutants)[:, 0] - before
    return effects


def test_partial_correlations_are_those_of_residuals() -> None:
    rng = np.random.default_rng(0)
    others = np.column_stack([rng.normal(size=60), rng.integers(0, 2, 60), np.ones(60)])
    effect = others[:, 0] + rng.normal(size=60).round(1)  # with ties
    columns = np.column_stack([effect + rng.normal(size=60), rng.normal(size=60), np.zeros(60)])
    ours = partial_spearman(np.ones((1, 60)), columns, effect, others)[0]
    design = np.column_stack([np.ones(60), others[:, :2]])

    def rest(values: Floats) -> Floats:
        return OLS(rankdata(values), design).fit().resid

    assert ours[:2] == pytest.approx([np.corrcoef(rest(effect), rest(c))[0, 1] for c in columns.T[:2]])
    assert np.isnan(ours[2])
    plain = partial_spearman(np.ones((1, 60)), columns[:, :2], effect, np.zeros((60, 0)))[0]
    assert plain == pytest.approx([spearmanr(effect, c).statistic for c in columns.T[:2]])
    # A resample is the same as its rows written out.
    weights = rng.multinomial(60, np.full(60, 1 / 60)).astype(float)
    drawn = np.repeat(np.arange(60), weights.astype(int))
    out = partial_spearman(np.ones((1, 60)), columns[drawn][:, :2], effect[drawn], others[drawn])
    assert partial_spearman(weights[None], columns[:, :2], effect, others) == pytest.approx(out)


def test_pooling() -> None:
    alike = pool(np.array([-0.2, -0.2, -0.2]), np.array([0.1, 0.2, 0.1]))
    assert (alike.elements, alike.tau2) == (3, pytest.approx(0.0, abs=1e-6))
    assert alike.value == pytest.approx(-0.2)
    apart = pool(np.array([-0.5, 0.0, 0.5, np.nan]), np.array([0.05, 0.05, 0.05, 0.05]))
    assert apart.elements == 3
    assert apart.tau2 == pytest.approx(0.25 - 0.05**2, abs=0.01)
    assert apart.low < 0 < apart.high
    assert pool(np.array([0.1]), np.array([0.1])).high == pytest.approx(0.296, abs=1e-3)
    assert np.isnan(pool(np.zeros(0), np.zeros(0)).value)


def test_what_the_model_made_is_recognised(model: km.Model, tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    bases = rng.integers(0, 4, LENGTH).astype(np.int8)
    truth = exact(model, bases)
    noise = rng.normal(size=truth.shape)
    assays = [
        assay(bases, truth / truth.std() + noise, "a"),
        assay(bases, truth / truth.std() - noise, "b"),
        assay(bases, rng.normal(size=truth.shape), "noise", "noise"),
    ]
    result = km.measured(
        model, assays, methods=["input_x_gradient", "random"], strands="forward", resamples=300, out=tmp_path / "r"
    )
    elements = result.elements.set_index("element")
    assert elements["judges"].to_dict() == {"one": True, "noise": False}
    assert elements["assays"].to_dict() == {"one": 2, "noise": 1}
    assert elements.loc["noise", "reason"] == "ism_disagrees"
    one = elements.loc["one"]
    assert one["null_high"] < one["low"] < one["ism"] < one["ism_high"] < one["ceiling"] < 1
    methods = result.methods.set_index(["element", "method"])
    assert methods.loc[("one", "random"), "high"] < 0
    assert methods.loc[("one", "input_x_gradient"), "correlation"] > methods.loc[("one", "random"), "correlation"]
    assert (result.pooled["elements"] == 1).all()
    known = read_predictions(tmp_path / "r", bases)
    assert known is not None
    assert known.ism == pytest.approx(truth)
    assert known.methods["random"].shape == (LENGTH,)
    codes = [each.code for each in judgements(result)]
    assert codes[:2] == ["judges", "ism_disagrees"]
    assert "below" in codes
    again = read_measured(tmp_path / "r")
    pd.testing.assert_frame_equal(again.methods, result.methods, check_dtype=False)
    assert measured_page(again) == measured_page(result)
    page = write_measured(again, tmp_path / "r").read_text(encoding="utf-8")
    assert "<polygon" in page
    assert "Cannot judge: noise." in page
    with pytest.raises(RunMismatch, match="seed was 0, now it is 1"):
        km.measured(
            model, assays, methods=["input_x_gradient", "random"], strands="forward", resamples=300, seed=1,
            out=tmp_path / "r",
        )  # fmt: skip


def test_windows_and_flanks(model: km.Model) -> None:
    rng = np.random.default_rng(3)
    long, short = (rng.integers(0, 4, size).astype(np.int8) for size in (150, 100))
    left, right = ("".join(rng.choice(list("ACGT"), 10)) for _ in range(2))
    request = {"strands": "forward", "resamples": 100, "flanks": (left, right)}
    result = _Request(model, (), {}, 0, LENGTH, (left, right), 3, "forward", 0)
    whole = exact(model, np.array(["ACGT".index(c) for c in left + decode(short) + right]))
    assert result.predict(short).ism == pytest.approx(whole[10:110])
    starts = result._windows(long, 0)[1]
    assert starts == [0, 30]
    middle = np.abs(np.arange(150)[:, None] - (np.array(starts) + 59.5)).argmin(1)
    parts = [exact(model, long[s : s + LENGTH]) for s in starts]
    expected = np.stack([parts[w][i - starts[w]] for i, w in enumerate(middle)])
    assert result.predict(long).ism == pytest.approx(expected)
    drawn = _Request(model, (), {}, 0, LENGTH, ("", right), 2, "forward", 0)
    assert drawn.predict(short).ism == pytest.approx(
        np.mean([drawn._predict(short, draw).ism for draw in range(2)], axis=0)
    )
    assert not np.allclose(drawn._windows(short, 0)[0][0, :10], drawn._windows(short, 1)[0][0, :10])
    assert km.measured(model, [assay(short, rng.normal(size=(100, 3)))], **request).elements["judges"].tolist() in (
        [True],
        [False],
    )


def test_both_strands_and_methods_that_score_substitutions() -> None:
    promoter = km.load_model("bundled:promoter")
    rng = np.random.default_rng(4)
    bases = rng.integers(0, 4, 30).astype(np.int8)
    result = _Request(promoter, ("ism_first_order",), {}, 1, None, ("", ""), 1, "both", 0)
    predicted = result.predict(bases)
    text = decode(bases)
    scores = km.attribute(promoter, [text], ["ism"], target=1, strands="both")["ism"]
    assert scores.substitutions is not None
    at = (bases[:, None] + np.arange(1, 4)) % 4
    assert predicted.ism == pytest.approx(scores.substitutions[0, np.arange(30)[:, None], at], abs=2e-5)
    assert predicted.methods["ism_first_order"].shape == (30, 3)
    assert np.corrcoef(predicted.ism.ravel(), predicted.methods["ism_first_order"].ravel())[0, 1] > 0.5


def test_a_copy_with_other_noise_is_no_better_and_turned_effects_open_no_gate() -> None:
    opened, holds, tables = 0, 0, 20
    for seed in range(tables):
        rng = np.random.default_rng(seed)
        signal = rng.normal(size=(200, 3))
        bases = rng.integers(0, 4, 200).astype(np.int8)
        ism, copy = (signal + rng.normal(size=(200, 3)) for _ in range(2))
        effect = signal + rng.normal(size=(200, 3))
        predictions = {"one": Predictions(ism, {"copy": copy})}
        judged = judge_element([assay(bases, effect)], predictions, resamples=200, null=False)
        result = judged["methods"]["copy"]
        holds += result["low"] <= 0 <= result["high"]
        assert judged["judges"]
        turned = assay(bases, np.roll(effect, 80, axis=0))
        opened += judge_element([turned], predictions, resamples=200, null=False)["judges"]
    assert opened <= 4
    assert holds >= 16


def test_neighbouring_blocks_that_pull_the_same_way_widen_an_interval() -> None:
    pulls = np.array([1.0, 1.0, -1.0, -1.0, 1.0, 1.0, -1.0, -1.0])
    blocks = np.arange(8)

    def error(pulls: Floats, blocks: np.ndarray) -> float:
        low, high, error = _interval(np.concatenate([[0.5], 0.5 - pulls, [0.5, 0.5]]), blocks)
        assert (low + high) / 2 == pytest.approx(0.5)
        return error

    jackknife = (7 / 8 * 8) ** 0.5
    assert error(pulls, blocks) == pytest.approx(jackknife * (1 + 2 * (4 - 3) / 8) ** 0.5)
    assert error(pulls, 2 * blocks) == pytest.approx(jackknife)  # no two are neighbours
    assert error(np.array([1.0, -1.0] * 4), blocks) == pytest.approx(jackknife)  # never narrower


def test_what_cannot_judge(model: km.Model) -> None:
    rng = np.random.default_rng(5)
    gap = rng.integers(0, 4, LENGTH).astype(np.int8)
    gap[50] = 4
    short = rng.integers(0, 4, 40).astype(np.int8)
    assays = [
        assay(gap, rng.normal(size=(LENGTH, 3)), "gap", "gap"),
        assay(short, rng.normal(size=(40, 3)), "short", "short"),
    ]
    result = km.measured(model, assays, flank_draws=1, resamples=100)
    assert result.elements["reason"].tolist() == ["letter_missing", "few_blocks"]
    assert repr(result) == "<Measured: 0 of 2 elements judge 0 methods>"
    assert [each.code for each in judgements(result)] == ["none_judges", "few_blocks", "letter_missing"]
    assert "No element of 2 can judge" in measured_page(result)


def test_what_lacks_scores_has_no_result(model: km.Model) -> None:
    rng = np.random.default_rng(6)
    bases = rng.integers(0, 4, LENGTH).astype(np.int8)
    truth = exact(model, bases)
    gap = np.where(np.arange(LENGTH) == 70, np.nan, 1.0)
    predictions = {"one": Predictions(truth, {"whole": truth, "gap": truth * gap[:, None], "equal": np.ones(LENGTH)})}
    judged = judge_element([assay(bases, truth + rng.normal(size=truth.shape) * truth.std())], predictions)
    for name in ("gap", "equal"):
        row = judged["methods"][name]
        assert np.isnan([row[key] for key in ("correlation", "difference", "low", "high", "error")]).all()
        assert row["ism"] > 0.3
    assert np.isnan(judged["methods"]["equal"]["null_high"])
    assert judged["methods"]["whole"]["correlation"] == pytest.approx(judged["ism"])


def test_scores_that_are_withheld_in_one_window_are_no_result_and_this_is_said(model: km.Model) -> None:
    rng = np.random.default_rng(7)
    bases = rng.integers(0, 4, LENGTH + 30).astype(np.int8)

    def ask(batch: Batch, options: Mapping[str, Any]) -> NucleotideScores:
        scores = np.random.default_rng(0).random(batch.bases.shape)
        scores[0] = np.nan
        return NucleotideScores(scores)

    some = km.Method("some", "withheld in one window", "none", signed=True, cost=0, ask=ask, level="nucleotide")
    effect = _Request(model, (), {}, 0, LENGTH, ("", ""), 1, "forward", 0).predict(bases).ism
    result = km.measured(model, [assay(bases, effect)], methods=[some, "random"], strands="forward", resamples=100)
    assert result.elements["judges"].tolist() == [True]
    assert result.methods["difference"].isna().tolist() == [True, False]
    assert result.pooled["elements"].tolist() == [0, 1]
    assert "some has no result in one: there scores are withheld or missing" in measured_page(result)


def test_what_is_refused(model: km.Model, tmp_path: Path) -> None:
    one = [assay(np.zeros(LENGTH, dtype=np.int8), np.zeros((LENGTH, 3)))]
    with pytest.raises(UsageError, match="ism is what the others are compared with"):
        km.measured(model, one, methods=[ISM])
    with pytest.raises(UsageError, match="expected at least one assay"):
        km.measured(model, [])
    for length in (0, -1):
        with pytest.raises(UsageError, match="length: expected windows of at least 1 nt"):
            km.measured(model, one, length=length)
    with pytest.raises(UsageError, match="resamples: expected at least 2, got 1"):
        km.measured(model, one, resamples=1)
    with pytest.raises(UsageError, match="flanks: expected letters A, C, G, T"):
        km.measured(model, one, flanks=("ACN", ""))
    with pytest.raises(TargetError, match="Name the one whose change is compared"):
        km.measured(km.load_model("bundled:promoter"), one)
    with pytest.raises(FormatError, match=r"measured\.json is missing"):
        read_measured(tmp_path)
