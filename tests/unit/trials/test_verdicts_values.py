"""Verdicts on a model that predicts a value: both directions, the same controls and rule, the floor in its unit."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import kmerit as km
from helpers.planted_value import model as grammar
from helpers.planted_value import strings
from kmerit.report.table1 import write_cards_md
from kmerit.results import Attribution, Attributions, Outcomes
from kmerit.trials.measures import differences, excesses, measures, write_cards
from kmerit.trials.trial import Grid
from kmerit.trials.verdicts import Endpoint, judge

GRID = Grid(
    counts=(4, 8, "all"),
    draws=2,
    random_sets=2,
    satellite_per_class=6,
    orders=("lerf",),
    operators=("complement",),
    operator_count=4,
    ism_per_class=20,
    greedy_per_class=0,
)
METHOD, NEGATIVE = "input_x_gradient", "negative(input_x_gradient)"


@pytest.fixture(scope="module")
def scores() -> Attributions:
    return km.attribute(grammar(), strings(40), [METHOD, "saliency"])


@pytest.fixture(scope="module")
def outcomes(scores: Attributions) -> Outcomes:
    return km.trial(grammar(), strings(40), scores, GRID)


def test_a_signed_method_is_judged_in_both_directions(outcomes: Outcomes) -> None:
    verdicts = judge(outcomes, resamples=500)
    assert [(each.method, each.sign) for each in verdicts] == [
        (METHOD, "signed"),
        ("saliency", "unsigned"),
        (NEGATIVE, "negative"),
    ]
    assert {each.class_name for each in verdicts} == {"activity"}
    for name in (METHOD, NEGATIVE):
        verdict = verdicts["activity", name]
        assert verdict.verdict == "faithful"
        assert verdict.beyond is True
        assert verdict.sequences == 40
        assert verdict.aopc is not None
        assert verdict.aopc > 1
        assert verdict.mistaken == 0
        margins = [each.margin for each in verdict.comparisons if each.control in ("shifted", "clump", "other")]
        assert all(margin is not None and margin > 0 for margin in margins)
        assert not {"mistaken", "floor_explains"} & {each.code for each in verdict.caveats}


def test_scores_turned_round_are_worse_than_their_controls(scores: Attributions) -> None:
    """What is claimed to raise the value lowers it, and the other way round: found out in both directions."""
    own = scores[METHOD]
    wrong = Attribution("wrong", -own.scores, "nucleotide", own.target, own.names)
    outcomes = km.trial(grammar(), strings(40), {"wrong": wrong}, replace(GRID, satellite_per_class=0))
    verdicts = judge(outcomes, resamples=500)
    assert [(each.method, each.verdict) for each in verdicts] == [
        ("wrong", "worse than its controls"),
        ("negative(wrong)", "worse than its controls"),
    ]


def test_drops_excesses_and_the_floor_are_recomputed_from_the_mutants(outcomes: Outcomes) -> None:
    cells = outcomes.to_frame()
    core = cells[(cells["operator"] == "random_other") & (cells["order"] == "morf")]
    intact = core[core["n"] == 0].groupby("name")["logit_0"].mean()

    def fall(method: str) -> pd.Series:
        rows = core[(core["method"] == method) & (core["n"] > 0)]
        return intact - rows.groupby(["name", "n", "full"])["logit_0"].mean().groupby("name").mean()

    endpoint, names = Endpoint(outcomes), list(outcomes.names)
    down, up = fall(METHOD) - fall(f"clump({METHOD})"), fall(f"clump({NEGATIVE})") - fall(NEGATIVE)
    np.testing.assert_allclose(endpoint.excess(METHOD, "clump"), down[names], atol=1e-9)
    np.testing.assert_allclose(endpoint.excess(NEGATIVE, "clump"), up[names], atol=1e-9)
    table = excesses(outcomes, resamples=50).set_index(["method", "control", "operator", "order", "n"])
    assert set(table["class_name"]) == {"activity"}
    assert table.loc[(NEGATIVE, "clump", "random_other", "morf", "aopc"), "value"] == pytest.approx(up.mean())
    (floor, *_) = (each for each in judge(outcomes, resamples=200).value_floors if each.operator == "random_other")
    full = core[core["full"] & (core["method"] == METHOD)].groupby("name")["logit_0"].mean()
    assert floor.floor == pytest.approx(full.mean())
    assert floor.intact == pytest.approx(intact.mean())
    assert floor.change == pytest.approx((full - intact).mean())
    assert floor.low is not None
    assert floor.high is not None
    assert floor.low < floor.change < floor.high
    assert not judge(outcomes, resamples=200).floors


def test_mutagenesis_bounds_a_method_in_its_own_direction(outcomes: Outcomes) -> None:
    table = measures(outcomes, resamples=50).set_index(["method", "measure"])["value"]
    assert set(table.index.get_level_values("measure")) == {"aopc_logit", "srg", "naopc_ism"}
    for name in (METHOD, NEGATIVE):
        assert 0.7 < table[name, "naopc_ism"] <= 1.1
        assert table[name, "aopc_logit"] > 1
    pairs = differences(outcomes, resamples=50)
    assert pairs.empty  # a line is compared with lines of its own sign


def test_labels_are_not_needed_and_values_are_no_classes(scores: Attributions, outcomes: Outcomes) -> None:
    labelled = km.Sequences.from_strings(strings(40), labels=np.linspace(0, 3, 40))
    again = km.trial(grammar(), labelled, km.attribute(grammar(), labelled, [METHOD, "saliency"]), GRID)
    assert again.class_names == {0: "activity"}
    first, second = (judge(each, resamples=200).to_frame() for each in (outcomes, again))
    pd.testing.assert_frame_equal(first, second)


def test_one_of_several_values(scores: Attributions) -> None:
    import torch
    from torch import nn

    from helpers.planted_value import LENGTH, Grammar

    class Two(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.one = Grammar()

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            value = self.one(x)
            return torch.cat([0 * value, 2 * value], 1)

    model = km.wrap(Two(), length=LENGTH, outputs=["none", "twice"], problem="values")
    outcomes = km.trial(model, strings(12), km.attribute(model, strings(12), [METHOD], target="twice"), Grid.quick())
    assert outcomes.class_names == {0: "twice"}
    assert {each.class_name for each in judge(outcomes, resamples=100)} == {"twice"}


def test_the_report_cards_speak_of_the_value(outcomes: Outcomes, tmp_path: Path) -> None:
    write_cards(outcomes, tmp_path, resamples=100)
    page = write_cards_md(tmp_path).read_text(encoding="utf-8")
    assert "Endpoint: AOPC of the predicted value (activity)" in page
    assert "in the value's unit" in page
    assert "mutating the lowest first, negative(METHOD), is to raise it" in page
    assert "With every nucleotide replaced (random_other), activity" in page
    for word in ("accuracy", "logit", "class's", "classified", "default"):
        assert word not in page
    assert json.loads((tmp_path / "cards.json").read_text())["endpoint"]["value"] == "activity"


def test_what_is_announced_speaks_of_no_calls(scores: Attributions) -> None:
    from kmerit.report.text import prospect

    lines: list[str] = []
    km.trial(
        grammar(), strings(40), scores, Grid.quick(), announce=lambda each: lines.extend(map(prospect, each))
    )  # fmt: skip
    (line,) = lines
    assert line.startswith("activity: 40 sequences, 40 of them independent. Smallest detectable effect")


def test_without_a_name_it_is_y() -> None:
    model = km.wrap(grammar().encoder.module, length=80, outputs=1, problem="value")
    outcomes = km.mutate(model, strings(3), km.attribute(model, strings(3), [METHOD]), counts=[4], replicates=1)
    assert outcomes.class_names == {0: "y"}
