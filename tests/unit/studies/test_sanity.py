"""The sanity checks on a tiny model: every check for every method, with known answers where there are some."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import kmerit as km
from helpers.checkpoints import write_library
from kmerit.errors import ConfigError, LabelError, ModelError, RunMismatch
from kmerit.report.text import sentence
from kmerit.studies.sanity import SanityConfig, run_sanity
from kmerit.training.data import Splits, shuffle_labels
from kmerit.trials.checks import Omission, sanity_checks, summarise_checks

METHODS = ["attention", "input_x_gradient", "ism"]


@pytest.fixture
def sequences() -> km.Sequences:
    rng = np.random.default_rng(0)
    return km.Sequences.from_strings(["".join(rng.choice(list("ACGT"), n)) for n in (24, 30, 24, 20)])


def config(**changes: Any) -> SanityConfig:
    return SanityConfig.parse({"methods": METHODS, "resamples": 100, **changes})


def rows(folder: Path) -> dict[tuple[str, str, str], dict[str, Any]]:
    checks = json.loads((folder / "sanity.json").read_text())["checks"]
    return {(row["check"], row["stage"], row["method"]): row for row in checks}


def test_every_check_of_every_method(tmp_path: Path, tiny_checkpoint: Path, sequences: km.Sequences) -> None:
    model = km.load_model(tiny_checkpoint)
    folder = run_sanity(model, sequences, config(), tmp_path / "out").parent
    result = rows(folder)
    stages = ["classifier", "pooler", "layer 2", "layer 1", "embeddings"]
    checks = [(each, "") for each in ("sparsity", "entropy", "ism", "class swap", "strand")]
    checks += [("random weights", stage) for stage in stages]
    assert set(result) == {(*check, method) for check in checks for method in METHODS}
    assert all(row["sequences"] == 4 and row["low"] <= row["value"] <= row["high"] for row in result.values())
    # What must come out whatever the weights are: ISM agrees with itself, attention does not know the class or the
    # head, and of two logits' effects each has its own scores.
    assert result["ism", "", "ism"]["value"] == 1.0
    assert result["class swap", "", "attention"]["value"] == 1.0
    assert result["random weights", "classifier", "attention"]["value"] == 1.0
    assert result["random weights", "layer 2", "attention"]["value"] < 0.9
    assert result["class swap", "", "input_x_gradient"]["value"] < 1.0


def test_a_model_whose_parts_are_not_known_gets_the_other_checks(tmp_path: Path, sequences: km.Sequences) -> None:
    model = km.load_model(write_library(tmp_path / "model", "distilbert", dim=16, n_layers=2, n_heads=4, hidden_dim=24))
    small = SanityConfig.parse({"methods": ["saliency"], "resamples": 100})
    folder = run_sanity(model, sequences.take([0]), small, tmp_path / "out").parent
    result = rows(folder)
    assert [check for check, _, _ in result] == ["sparsity", "entropy", "ism", "class swap", "strand"]
    assert result["sparsity", "", "saliency"]["low"] is None  # one sequence has no interval
    (omission,) = json.loads((folder / "sanity.json").read_text())["left_out"]
    assert omission == {"code": "parts_unknown", "values": {"model": model.name}}
    assert sentence(Omission(**omission)) in (folder / "sanity.md").read_text(encoding="utf-8")


def test_checks_of_something_else_are_refused(tmp_path: Path, tiny_checkpoint: Path, sequences: km.Sequences) -> None:
    model = km.load_model(tiny_checkpoint)
    small = SanityConfig.parse({"methods": ["attention"], "resamples": 100})
    run_sanity(model, sequences.take([0]), small, tmp_path)
    with pytest.raises(RunMismatch, match="a study of another config: sequences was"):
        run_sanity(model, sequences.take([1]), small, tmp_path)


def test_a_check_is_averaged_over_the_sequences_that_have_a_value() -> None:
    (row,) = summarise_checks([("ism", "", {"lrp": np.array([0.2, 0.4, np.nan])})], resamples=100)
    assert (row["check"], row["stage"], row["method"], row["sequences"]) == ("ism", "", "lrp", 2)
    assert row["value"] == pytest.approx(0.3)
    assert 0.2 <= row["low"] <= row["high"] <= 0.4


def test_a_model_of_values_is_refused(
    tmp_path: Path, make_checkpoint: Callable[..., Path], sequences: km.Sequences
) -> None:
    with pytest.raises(ModelError, match="compare classes"):
        run_sanity(km.load_model(make_checkpoint(labels=("value",))), sequences, config(), tmp_path / "out")
    assert not (tmp_path / "out").exists()
    with pytest.raises(ModelError, match="compare classes"):
        next(sanity_checks(km.load_model(make_checkpoint(labels=("value",))), sequences, METHODS))


def test_an_unknown_key_is_refused() -> None:
    with pytest.raises(ConfigError, match="Did you mean 'seeds'"):
        SanityConfig.parse({"methods": ["attention"], "seds": 1})


def test_labels_are_dealt_out_anew_and_the_test_split_stays(sequences: km.Sequences) -> None:
    labels = np.arange(4, dtype=np.int64)
    labelled = replace(sequences, labels=labels)
    splits = Splits(labelled, labelled, labelled)
    shuffled = shuffle_labels(splits, seed=0)
    assert shuffled.train.labels is not None
    assert sorted(shuffled.train.labels) == labels.tolist() != shuffled.train.labels.tolist()
    assert shuffled.test is labelled
    with pytest.raises(LabelError, match="expected a label for each sequence"):
        shuffle_labels(Splits(sequences), seed=0)


@pytest.mark.slow
def test_the_model_is_trained_again(tmp_path: Path, tiny_checkpoint: Path, sequences: km.Sequences) -> None:
    data = tmp_path / "rows.csv"
    lines = [f"{'ACGT'[i % 4] * 9}{'ACGT'[i % 3] * 9},{i % 2}" for i in range(12)]
    data.write_text("\n".join(["sequence,label", *lines]))
    recipe = {
        "train": str(data),
        "validation": str(data),
        "k": 3,
        "hidden": 8,
        "layers": 1,
        "heads": 1,
        "intermediate": 8,
        "max_steps": 2,
        "batch_size": 4,
        "device": "cpu",
    }
    again = SanityConfig.parse({"methods": ["attention"], "resamples": 100, "recipe": recipe, "seeds": 1})
    folder = run_sanity(km.load_model(tiny_checkpoint), sequences, again, tmp_path / "out").parent
    assert {key[:2] for key in rows(folder)} >= {("shuffled labels", ""), ("another seed", "1")}
    weights = [(folder / name / "model.safetensors").read_bytes() for name in ("shuffled_labels", "seed1")]
    assert weights[0] != weights[1]
    three = tmp_path / "three.csv"
    three.write_text(
        "\n".join(["sequence,label", *(f"{'ACGT'[i % 4] * 9}{'ACGT'[i % 3] * 9},{i % 3}" for i in range(12))])
    )
    other = SanityConfig.parse(
        {**again.model_dump(), "recipe": {**recipe, "train": str(three), "validation": str(three)}}
    )
    with pytest.raises(ModelError, match="The recipe's model has 3 classes"):
        run_sanity(km.load_model(tiny_checkpoint), sequences, other, tmp_path / "other")
