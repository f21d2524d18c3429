"""The two studies of data sets, whole, on tiny models and few rows."""

from __future__ import annotations

import gzip
import json
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import kmerit as km
from helpers.faulty_sets import random_parts
from kmerit.datasets.findings import Audit
from kmerit.datasets.leaks import LeakingTask, leaking_rows, plant_leaks
from kmerit.datasets.task import load_task
from kmerit.errors import ConfigError, RunMismatch
from kmerit.report.text import NO_CHANGE, collapse, sentence
from kmerit.runs import study
from kmerit.runs.study import Trial, study_folder
from kmerit.sequences import decode
from kmerit.studies.backgrounds import BackgroundsConfig, run_backgrounds
from kmerit.studies.leakage import ARMS, CONTRASTS, Arm, LeakageConfig, run_leakage
from kmerit.training.data import leaking_splits
from kmerit.trials.measures import (
    Change,
    changes,
    class_contrasts,
    collapse_counts,
    drops,
    falls_further,
    losses,
    rank_by_drop,
)
from kmerit.uncertainty import class_difference

CONFIGS = Path(__file__).resolve().parents[3] / "configs"
TINY = {"base": None, "k": 3, "hidden": 8, "layers": 1, "heads": 1, "intermediate": 8, "max_steps": 1, "device": "cpu"}
TRIAL = {"per_class": 4, "methods": ["attention", "saliency"], "counts": [0, 5, "all"], "compared": 5, "replicates": 1}
TRIAL |= {"random_sets": 1, "resamples": 100}


@pytest.mark.parametrize(("name", "kind"), [("leakage.toml", LeakageConfig), ("negatives.toml", BackgroundsConfig)])
def test_shipped_configs_are_understood(name: str, kind: type[LeakageConfig] | type[BackgroundsConfig]) -> None:
    kind.parse(tomllib.loads((CONFIGS / name).read_text(encoding="utf-8")))


FEW = {"task": "ienhancer_2l", "leaks": "copies", "train_rows": 60, "test_per_class": 12}
LEAKY = {
    "sets": {"mine": FEW},
    "arms": ["none"],
    "seeds": [0],
    "training": TINY,
    "trial": TRIAL,
}
BACKED = {"kinds": ["shuffled"], "train_rows": 40, "training": TINY, "trial": TRIAL}


def begin(out: Path, config: LeakageConfig | BackgroundsConfig) -> None:
    with study_folder(out, config, free=("arms", "seeds")):
        pass


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"sets": {"mine": {**FEW, "share": 0.5}}}, r"sets\.mine\.share was 0\.755, now it is 0\.5"),
        ({"sets": {"mine": {**FEW, "train_rows": None}}}, "train_rows was 60, now it is None"),
        ({"seed": 1}, "another config: seed was 0, now it is 1"),
        ({"training": {**TINY, "hidden": 16}}, r"training\.hidden was 8"),
        ({"training": {**TINY, "epochs": 1}}, r"training\.epochs was absent"),
        ({"trial": {**TRIAL, "resamples": 200}}, r"trial\.resamples was 100, now it is 200"),
    ],
)
def test_a_study_of_another_config_is_refused_before_anything_is_done(
    tmp_path: Path, change: dict[str, object], told: str
) -> None:
    begin(tmp_path, LeakageConfig.parse(LEAKY))
    before = (tmp_path / "study.json").read_bytes()
    with pytest.raises(RunMismatch, match=told):
        run_leakage(LeakageConfig.parse({**LEAKY, **change}), tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["study.json"]
    assert (tmp_path / "study.json").read_bytes() == before


def test_a_study_may_be_computed_in_parts(tmp_path: Path) -> None:
    begin(tmp_path, LeakageConfig.parse(LEAKY))
    (tmp_path / "mine" / "none").mkdir(parents=True)
    more = LeakageConfig.parse({**LEAKY, "arms": ["none", "both"], "seeds": [0, 1]})
    begin(tmp_path, more)
    assert LeakageConfig.parse(json.loads((tmp_path / "study.json").read_text())) == more


@pytest.mark.parametrize("change", [{"train_rows": 60}, {"seed": 3}, {"task": "ienhancer_2l"}, {"genome": "g.fa"}])
def test_backgrounds_of_another_config_are_refused(tmp_path: Path, change: dict[str, object]) -> None:
    begin(tmp_path, BackgroundsConfig.parse(BACKED))
    with pytest.raises(RunMismatch, match=f"another config: {next(iter(change))} was"):
        run_backgrounds(BackgroundsConfig.parse({**BACKED, "kinds": ["shuffled", "gc"], **change}), tmp_path)


def test_results_of_an_unknown_config_are_refused(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    (tmp_path / "shuffled").mkdir()
    with pytest.raises(RunMismatch, match=r"holds no study \(there is 'shuffled'\)"):
        run_backgrounds(BackgroundsConfig.parse(BACKED), tmp_path)
    with pytest.raises(RunMismatch, match=r"holds no study \(there is 'shuffled'\)"):
        run_leakage(LeakageConfig.parse(LEAKY), tmp_path)
    (tmp_path / "study.json").write_text(json.dumps({"sets": {}}))
    with pytest.raises(RunMismatch, match="holds a study of another config"):
        run_backgrounds(BackgroundsConfig.parse(BACKED), tmp_path)


def test_what_is_drawn_for_one_background_does_not_depend_on_the_others(tmp_path: Path) -> None:
    with gzip.open(tmp_path / "genome.fa.gz", "wt") as file:
        file.write(f">chr1\n{decode(random_parts(1, 60_000)[0])}\n")
    few = {**BACKED, "genome": str(tmp_path / "genome.fa.gz"), "validation_rows": 8, "test_rows": 16}
    both, alone = (BackgroundsConfig.parse({**few, "kinds": kinds}).splits() for kinds in (["random", "gc"], ["gc"]))
    assert both["gc"].train.strings() == alone["gc"].train.strings()


def test_arms_differ_in_what_leaks_into_training_alone() -> None:
    leaks = {str(arm): classes for arm, classes in ARMS.items()}
    arms = leaking_splits(LeakingTask.parse(FEW), leaks, seed=0)
    assert list(arms) == list(leaks)
    for arm, splits in arms.items():
        assert splits.train.labels is not None
        assert splits.test is not None
        assert splits.validation is not None
        leaked = [name.startswith("leak/") for name in splits.train.names]
        assert set(splits.train.labels[leaked].tolist()) == set(leaks[arm])
        assert splits.sizes == arms["none"].sizes
        assert splits.test is arms["none"].test
        assert splits.validation is arms["none"].validation


@pytest.mark.slow
def test_the_crossed_design(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = LeakageConfig.parse(
        {
            "sets": {"mine": {"task": "ienhancer_2l", "leaks": "copies", "train_rows": 60, "test_per_class": 12}},
            "arms": ["none", "positives"],
            "seeds": [0, 1],
            "training": TINY,
            "trial": TRIAL,
        }
    )
    report = run_leakage(config, tmp_path / "out")
    table = pd.read_csv(report.with_suffix(".csv"))
    assert set(zip(table["arm"], table["seed"], strict=True)) == {(a, s) for a in ("none", "positives") for s in (0, 1)}
    assert {"attention", "saliency", "random", "shifted(attention)"} <= set(table["method"])
    message = json.loads((tmp_path / "out" / "leakage.json").read_text())
    judged = {(v["method"], v["label"]) for model in message["models"] for v in model["verdicts"]}
    assert judged == {(method, label) for method in ("attention", "saliency") for label in (0, 1)}
    assert [model["leaked"] for model in message["models"]] == [[], [], [1], [1]]
    assert set(message["answers"]["mine"]["against_none"]["positives"]) == {"0", "1"}
    shares = {
        arm: Audit.from_json((tmp_path / "out" / "mine" / arm / "audit.json").read_text()).classes
        for arm in config.arms
    }
    assert shares["none"]["1"]["test_rows_copied_from_train"] == shares["none"]["0"]["test_rows_copied_from_train"] == 0
    assert shares["positives"]["1"]["test_rows_copied_from_train"] == 9 / 12
    before = (tmp_path / "out" / "leakage.csv").read_bytes()
    # Scores are kept: made anew with another number of threads, they would be of another trial.
    (tmp_path / "out" / "mine" / "none" / "seed0" / "outcomes" / "outcomes.json").unlink()
    monkeypatch.setattr(study, "attribute", None)
    assert run_leakage(config, tmp_path / "out").with_suffix(".csv").read_bytes() == before
    contrasts = message["answers"]["mine"]["effects"]
    assert {n: set(by) for n, by in contrasts.items()} == {"5": {"methods", "random"}, "all": {"methods"}}
    assert {name: len(message["trainings"]) for name, message in contrasts["5"]["methods"].items()} == {
        "unleaked": 2,
        "positives": 2,
    }
    falls = [model["drops"] for model in message["models"] if model["leaked"] == []]
    further = [drops[method]["1"] - drops[method]["0"] for drops in falls for method in ("attention", "saliency")]
    assert contrasts["5"]["methods"]["unleaked"]["value"] == pytest.approx(np.mean(further))
    text = report.read_text(encoding="utf-8")
    assert "| attention | 0 | " in text
    assert "| 5 | by the methods | " in text
    assert len([line for line in text.splitlines() if line.startswith(("| none |", "| positives |"))]) == 4
    drawn = pd.read_csv(tmp_path / "out" / "figure.csv")
    assert len(drawn) == 8
    model = message["models"][0]["drops"]
    mean = np.mean([model[method]["1"] for method in ("attention", "saliency")])
    assert drawn.query("arm == 'none' and seed == 0 and label == 1")["drop"].item() == pytest.approx(mean, abs=1e-6)


def test_the_arms_differ_in_leaks_alone() -> None:
    rows = leaking_rows(LeakingTask(task="human_enhancers_dedup", leaks="copies", train_min_length=50), seed=0)
    arms = {name: plant_leaks(rows.train, rows.leaks, classes, 0) for name, classes in ARMS.items()}
    assert {len(train) for train in arms.values()} == {len(rows.train)}
    planted = {name: [row.startswith("leak/") for row in train.names] for name, train in arms.items()}
    labels = np.asarray(rows.train.labels)
    counts = {name: tuple(np.bincount(labels[mine], minlength=2).tolist()) for name, mine in planted.items()}
    assert counts == {"none": (0, 0), "positives": (0, 205), "negatives": (346, 0), "both": (346, 205)}


def test_overlaps_need_a_corpus_and_are_cut_out_of_it(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="needs a corpus"):
        leaking_rows(LeakingTask(task="epdnew_nontata", leaks="overlaps"), seed=0)
    test = load_task("epdnew_nontata", "test")
    flank = [decode(part) for part in random_parts(24, 150)]
    chosen = [*np.flatnonzero(test.labels == 0)[:6].tolist(), *np.flatnonzero(test.labels == 1)[:6].tolist()]
    with gzip.open(tmp_path / "corpus.fa.gz", "wt") as file:
        for j, i in enumerate(chosen):
            file.write(f">p{j}\n{flank[2 * j]}{test.string(i)}{flank[2 * j + 1]}\n")
    arguments = LeakingTask(
        task="epdnew_nontata", leaks="overlaps", share=0.5, train_rows=40, corpus=[str(tmp_path / "corpus.fa.gz")]
    )
    rows = leaking_rows(arguments, seed=0)
    assert sorted(rows.test.names) == sorted(test.names[i] for i in chosen)
    assert len(rows.train) == 40
    assert len(rows.leaks) == 6
    assert not set(rows.leaks.strings()) & set(test.strings())


def test_what_the_collapse_follows() -> None:
    def model(arm: str, leaked: list[int], further: int, default: int, drop: float) -> dict[str, object]:
        drops = {"lrp": {"0": 0.1, "1": drop}, "random": {"0": 0.0, "1": 0.0}}
        return {
            "set": "a", "arm": arm, "seed": 0, "leaked": leaked, "default_label": default, "falls_further": further,
            "drops": drops,
        }  # fmt: skip

    message = collapse_counts(
        [
            model("none", [], 1, 0, 0.2),
            model("positives", [1], 1, 0, 0.5),
            model("negatives", [0], 1, 0, 0.2),
            model("both", [0, 1], 1, 0, 0.4),
        ],
        ["lrp"],
        [*ARMS],
    )
    assert (message["models"], message["leaked"], message["not_default"]) == (2, 1, 2)
    assert message["against_none"]["positives"] == {"0": 0.0, "1": pytest.approx(0.3)}
    assert collapse(message["models"], message["leaked"], message["not_default"]).startswith(
        "of 2 models with one leaked class"
    )


class TestEffects:
    labels = np.array([0] * 60 + [1] * 60)

    def model(self, arm: Arm, seed: int, further: float) -> pd.DataFrame:
        """Lose something of each sequence's own, and in class 1 more."""
        own = np.random.default_rng(0).normal(scale=0.1, size=120)
        lost = 0.2 + own - np.where(self.labels == 1, own[60:].mean(), own[:60].mean()) + further * (self.labels == 1)
        rows = pd.DataFrame({"sequence": range(120), "label": self.labels, "cluster": range(120)})
        by_ranking = {"methods": lost, "random": 0.0}
        return pd.concat(
            [rows.assign(n="20", ranking=name, arm=arm, seed=seed, lost=each) for name, each in by_ranking.items()]
        )

    def test_what_leaks_add_is_told_apart_from_what_the_classes_are(self) -> None:
        further = {"none": 0.12, "positives": 0.14, "negatives": -0.05, "both": 0.03}
        models = [self.model(arm, seed, by + 0.01 * seed) for seed in (0, 1) for arm, by in further.items()]
        result = class_contrasts(pd.concat(models), CONTRASTS, resamples=500)["20"]
        expected = {"unleaked": 0.125, "positives": 0.02, "negatives": 0.17, "leaked": 0.095}
        assert {name: message["value"] for name, message in result["methods"].items()} == pytest.approx(expected)
        assert result["methods"]["unleaked"]["trainings"] == pytest.approx([0.12, 0.13])
        assert {message["value"] for message in result["random"].values()} == {0}
        half = 1.96 * 0.1 * np.sqrt(2 / 60)
        low, high = (result["methods"]["unleaked"][end] for end in ("low", "high"))
        assert [low, high] == pytest.approx([0.125 - half, 0.125 + half], abs=0.01)

    def test_arms_that_were_not_run_leave_their_contrasts_out(self) -> None:
        two = pd.concat([self.model("none", 0, 0.1), self.model("positives", 0, 0.1)])
        some = class_contrasts(two, CONTRASTS, resamples=100)["20"]["methods"]
        assert {name: message["value"] for name, message in some.items()} == pytest.approx(
            {"unleaked": 0.1, "positives": 0}
        )
        assert class_contrasts(self.model("positives", 0, 0.1), CONTRASTS, resamples=100)["20"]["methods"] == {}


@pytest.mark.slow
def test_four_backgrounds(tmp_path: Path) -> None:
    with gzip.open(tmp_path / "genome.fa.gz", "wt") as file:
        file.write(f">chr1\n{decode(random_parts(1, 60_000)[0])}\n")
    config = BackgroundsConfig.parse(
        {
            "genome": str(tmp_path / "genome.fa.gz"),
            "train_rows": 40,
            "validation_rows": 8,
            "test_rows": 16,
            "training": TINY,
            "trial": TRIAL,
        }
    )
    sets = config.splits()
    assert list(sets) == ["random", "gc", "shuffled", "gene_body"]
    positives = [set(s.train.take(np.flatnonzero(s.train.labels == 1)).strings()) for s in sets.values()]
    assert all(result == positives[0] for result in positives)
    assert all(set(s.train.lengths.tolist()) == {200} for s in sets.values())
    report = run_backgrounds(config, tmp_path / "out")
    table = pd.read_csv(report.with_suffix(".csv"))
    assert set(table["negatives"]) == set(sets)
    message = json.loads((tmp_path / "out" / "negatives.json").read_text())
    assert all(sorted(result["ranking"]) == ["attention", "saliency"] for result in message["sets"].values())
    assert all(set(result["drops"]) == {"attention", "saliency", "random"} for result in message["sets"].values())
    text = report.read_text(encoding="utf-8")
    assert [line[2:] for line in text.splitlines() if line.startswith("- ")] == (
        [sentence(Change(**change)) for change in message["changes"]] or [NO_CHANGE]
    )
    assert len([line for line in text.splitlines() if line.startswith("| gc |")]) == 1


def summary(*rows: tuple[int, str, int, float]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=["label", "method", "n", "accuracy"]).assign(full=False, order="morf")


def test_drops_leave_full_mutation_out() -> None:
    table = summary((0, "a", 0, 0.9), (0, "a", 20, 0.4), (0, "a", 5, 0.8))
    full = summary((0, "a", 20, 0.1)).assign(full=True)
    assert drops(pd.concat([table, full]), 20) == {"a": {"0": pytest.approx(0.5)}}


@pytest.mark.parametrize("counts", [[0, 5], [20, "all"]])
def test_a_trial_needs_the_counts_of_a_drop(counts: list[object]) -> None:
    with pytest.raises(ConfigError, match="counts: expected 0 and the n compared, 20, among them"):
        Trial.parse({"methods": ["lrp"], "counts": counts})


def test_ranking_and_asymmetry_leave_the_control_out() -> None:
    result = {"random": {"0": 0.9, "1": 0.0}, "b": {"0": 0.1, "1": 0.3}, "a": {"0": 0.3, "1": 0.5}}
    assert rank_by_drop(result, ["b", "a"]) == ["a", "b"]
    assert falls_further(result, ["b", "a"]) == 1
    assert falls_further({"a": {"0": 0.31, "1": 0.3}}, ["a"]) is None


def test_what_each_sequence_loses_is_what_its_class_loses_on_average() -> None:
    rng = np.random.default_rng(3)
    strings = ["".join(rng.choice(list("ACGT"), 14)) for _ in range(12)]
    sequences = km.Sequences.from_strings(strings, labels=[0, 1] * 6)
    model = km.load_model("bundled:promoter")
    scores = km.attribute(model, sequences, ["attention", "saliency"])
    curve = km.mutate(model, sequences, scores, counts=[0, 5, "all"], replicates=2, controls=["random", "shifted"])
    trial = Trial.parse({"methods": ["attention", "saliency"], "counts": [0, 5, "all"], "compared": 5})
    lost = losses(curve, trial.methods, trial.compared).set_index(["n", "ranking"])
    assert set(lost.index) == {("5", "methods"), ("5", "random"), ("all", "methods")}
    result = drops(km.summarise(curve, resamples=100), 5)
    for label in (0, 1):
        mean = np.mean([result[method][str(label)] for method in ("attention", "saliency")])
        of_class = lost[lost["label"] == label]["lost"]
        assert of_class["5", "methods"].mean() == pytest.approx(mean)
        assert of_class["5", "random"].mean() == pytest.approx(result["random"][str(label)])
    assert any(drop for by in result.values() for drop in by.values())


def test_difference_of_classes_and_its_interval() -> None:
    rng = np.random.default_rng(0)
    labels = np.repeat([0, 1], 100)
    values = np.where(labels == 1, 0.3, 0.1) + rng.normal(scale=0.2, size=200)
    result = class_difference(values, labels)
    zero, one = (values[labels == label] for label in (0, 1))
    assert result.value == pytest.approx(one.mean() - zero.mean())
    error = 1.96 * np.sqrt(one.var() / 100 + zero.var() / 100)
    assert [result.low, result.high] == pytest.approx([result.value - error, result.value + error], abs=0.01)
    twins = class_difference(np.repeat(values, 2), np.repeat(labels, 2), clusters=np.arange(400) // 2)
    assert [twins.low, twins.high] == pytest.approx([result.low, result.high], abs=0.01)
    gone = np.where(np.arange(200) % 2, values, np.nan)
    assert class_difference(gone, labels).value == pytest.approx(one[1::2].mean() - zero[1::2].mean())
    assert np.isnan(class_difference(values, labels, clusters=np.zeros(200, dtype=np.int64)).low)


def test_changes_are_named() -> None:
    def model(drops: dict[str, dict[str, float]]) -> dict[str, Any]:
        return {"ranking": rank_by_drop(drops, list("abc")), "falls_further": falls_further(drops, list("abc"))}

    first = {"a": {"0": 0.1, "1": 0.3}, "b": {"0": 0.1, "1": 0.2}, "c": {"0": 0.0, "1": 0.1}}
    second = {"a": {"0": 0.1, "1": 0.2}, "b": {"0": 0.2, "1": 0.3}, "c": {"0": 0.0, "1": 0.1}}
    third = {name: {"0": by["1"], "1": by["0"]} for name, by in first.items()}
    assert changes({"x": model(first), "y": model(first)}) == []
    (ranked,) = changes({"x": model(first), "y": model(second)})
    assert ranked.values["tau"] == pytest.approx(1 / 3)
    assert sentence(ranked) == "The ranking of methods changes (Kendall's tau 0.33): a, b, c with x, b, a, c with y."
    (fallen,) = changes({"x": model(first), "y": model(third)})
    assert sentence(fallen) == "The class that falls further changes: 1 with x, 0 with y."
