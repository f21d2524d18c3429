"""The planted study on data sets and models of seconds: what it measures, that it resumes, what it refuses."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import kmerit as km
from kmerit.datasets.planting import read_planted
from kmerit.errors import ConfigError, RunMismatch
from kmerit.io.scores import read_attributions
from kmerit.studies.planted import Learned, PlantedConfig, run_planted
from kmerit.trials.truth import composition_correlations, learned

CONFIG: dict[str, Any] = {
    "sets": {
        "letters": {
            "regime": "composition",
            "length": 41,
            "strength": 2.0,
            "source": "human_enhancers_dedup",
            "train": 400,
            "validation": 40,
            "test": 40,
        },
        "never": {
            "regime": "localised",
            "motifs": ["CTCF"],
            "length": 41,
            "source": "human_enhancers_dedup",
            "train": 8,
            "validation": 4,
            "test": 8,
        },
    },
    "training": {
        "k": 3,
        "hidden": 8,
        "layers": 1,
        "heads": 1,
        "intermediate": 8,
        "learning_rate": 0.02,
        "epochs": 3,
        "batch_size": 20,
        "device": "cpu",
        "hidden_dropout": 0.0,
        "embedding_start": "composed",
    },
    "training_of": {"never": {"max_steps": 1}},
    "trial": {
        "sequences": 12,
        "methods": ["ism", "attention"],
        "counts": [0, 3, "all"],
        "replicates": 2,
        "hard": ["attention"],
    },
    "resamples": 100,
}


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return run_planted(PlantedConfig.parse(CONFIG), tmp_path_factory.mktemp("planted") / "out").parent


def test_what_is_learned_is_compared_and_what_is_not_is_said(study: Path) -> None:
    results = json.loads((study / "planted.json").read_text())
    assert not results["never"]["learned"]
    assert "methods" not in results["never"]
    letters = results["letters"]
    assert letters["learned"]
    assert letters["auroc"]["value"] >= 0.95
    assert letters["scrubbing_flips"] >= 0.8
    assert {row["method"] for row in letters["methods"]} == {"ism", "attention"}
    assert letters["sequences"] == 12
    assert letters["methods"][0]["method"] == "ism", "exact substitutions know a composition best"
    assert letters["methods"][0]["finds_by"] == ["correlation"]
    assert letters["kendall_tau"]["correlation"]["methods"] == 2


def test_the_numbers_follow_from_the_files(study: Path) -> None:
    letters = json.loads((study / "planted.json").read_text())["letters"]
    truth = read_planted(study / "letters" / "data", "test")
    scores = read_attributions(study / "letters" / "scores.parquet")
    rows = [truth.sequences.names.index(name) for name in scores["ism"].names]
    model = km.load_model(study / "letters" / "model", device="cpu")
    _, flipped = learned(model, truth, Learned().auroc, Learned().flips)
    assert rows == np.flatnonzero(flipped)[:12].tolist()
    assert truth.log_odds is not None
    for row in letters["methods"]:
        expected = composition_correlations(scores[row["method"]].scores, truth.log_odds[rows])
        assert row["truth"] == pytest.approx(np.nanmean(expected))
        assert scores[row["method"]].target.tolist() == [1] * 12
    table = (study / "planted.csv").read_text().splitlines()
    assert len(table) == 3
    assert table[0].startswith("set,method,measure,truth")


def test_hard_negatives_are_real_scores_spoilt_in_five_ways(study: Path) -> None:
    letters = json.loads((study / "planted.json").read_text())["letters"]
    ways = ["turned", "another sequence", "wrong class", "early layer", "shuffled labels"]
    names = [("ism", ""), ("attention", ""), *((f"attention, {way}", way) for way in ways)]
    assert [(case["ranking"], case["hard"]) for case in letters["cases"]] == names
    assert all(case["verdict"] for case in letters["cases"])
    assert letters["cases"][0]["truth"] == "finds"
    assert 0 < letters["context_explains"] <= 1
    scores = read_attributions(study / "letters" / "hard.parquet")["attention"].scores
    other = read_attributions(study / "letters" / "shuffled_labels.parquet")["attention"].scores
    assert not np.allclose(scores, other)
    counted = json.loads((study / "agreement.json").read_text())
    assert counted["cases"] + counted["unclear"] <= len(names)
    assert counted["lower"] <= counted["agree"] / max(1, counted["cases"])


def test_a_finished_study_is_not_done_again_and_another_is_refused(study: Path) -> None:
    times = {path: path.stat().st_mtime_ns for path in study.rglob("model.safetensors")}
    before = (study / "planted.json").read_bytes()
    run_planted(PlantedConfig.parse(CONFIG), study)
    assert (study / "planted.json").read_bytes() == before
    assert times == {path: path.stat().st_mtime_ns for path in study.rglob("model.safetensors")}
    with pytest.raises(RunMismatch, match="another config"):
        run_planted(PlantedConfig.parse({**CONFIG, "seed": 1}), study)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"sets": {}}, "sets"),
        ({"sets": {"x": {"regime": "localised"}}}, "localised takes 1 different motifs"),
        ({"sets": {"x": {"regime": "composition", "lenght": 4}}}, "sets.x.lenght"),
        ({"trail": {}}, "Did you mean 'trial'"),
        ({"training_of": {"nothing": {}}}, "training_of: 'nothing' is not among the sets"),
    ],
)
def test_configs_that_are_refused(changes: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        PlantedConfig.parse({**CONFIG, **changes})


def test_the_shipped_config_is_one(pytestconfig: pytest.Config) -> None:
    import tomllib

    config = PlantedConfig.parse(tomllib.loads((pytestconfig.rootpath / "configs" / "planted.toml").read_text()))
    assert {planting.regime for planting in config.sets.values()} == {
        "localised",
        "and",
        "or",
        "spacing",
        "composition",
    }
    assert len(config.sets) <= 8
