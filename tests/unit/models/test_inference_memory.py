"""What happens when memory runs out, with an encoder that really raises."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import kmerit as km
from helpers.cramped import ERRORS, cramped
from kmerit.errors import OutOfMemory
from kmerit.io.scores import read_attributions
from kmerit.models.inference import fitting, slices
from kmerit.models.model import Model

METHODS = ["attention", "lrp", "saliency", "ism"]


@pytest.fixture(scope="module")
def model(tiny_checkpoint: Path) -> Model:
    return km.load_model(tiny_checkpoint)


@pytest.fixture(scope="module")
def sequences() -> km.Sequences:
    generator = np.random.default_rng(0)
    return km.Sequences.from_strings(["".join(generator.choice(list("ACGT"), 14)) for _ in range(11)])


@pytest.mark.parametrize("error", ERRORS, ids=["card", "processor"])
def test_prediction_goes_on_with_half(model: Model, sequences: km.Sequences, error: RuntimeError, caplog: Any) -> None:
    expected = replace(model, micro_batch=2).logits(sequences)
    assert np.array_equal(cramped(model, 2, error).logits(sequences), expected)
    assert "Out of memory on cpu; going on with a micro-batch of 2." in caplog.messages


def test_scores_are_those_of_the_smaller_micro_batch_and_say_so(
    model: Model, sequences: km.Sequences, tmp_path: Path
) -> None:
    expected = km.attribute(replace(model, micro_batch=2), sequences, METHODS)
    result = km.attribute(cramped(model, 3), sequences, METHODS)
    stored = read_attributions(km.attribute(cramped(model, 3), sequences, METHODS, out=tmp_path / "s.parquet"))
    for name in METHODS:
        assert np.array_equal(result[name].scores, expected[name].scores, equal_nan=True)
        assert np.array_equal(stored[name].scores, expected[name].scores, equal_nan=True)
        for each in (result[name], stored[name]):
            assert each.settings["micro_batch"] == 8
            assert each.diagnostics["micro_batch"].tolist() == [2] * 11


def test_only_what_does_not_fit_is_made_smaller(model: Model, tmp_path: Path) -> None:
    strings = ["ACGTTGCA" * 2] * 11  # a micro-batch of 8 does not fit, the last one, of 3, does
    result = km.attribute(cramped(model, 7), km.Sequences.from_strings(strings), ["lrp"])["lrp"]
    assert result.diagnostics["micro_batch"].tolist() == [4] * 8 + [8] * 3


def test_a_trial_goes_on_with_half_and_says_so(model: Model, sequences: km.Sequences, tmp_path: Path) -> None:
    scores = km.attribute(model, sequences, ["attention"])
    few = {"counts": [0, 2], "replicates": 2}
    expected = km.mutate(replace(model, micro_batch=4), sequences, scores, **few)
    result = km.mutate(cramped(model, 4), sequences, scores, **few)
    assert result.mutants.equals(expected.mutants)
    assert result.settings["micro_batch"] == 8
    assert result.diagnostics["evaluations_by_micro_batch"] == {"4": result.mutants.num_rows}
    folder = km.mutate(cramped(model, 4), sequences, scores, **few, out=tmp_path / "trial")
    about = next(file for file in folder.glob("*.json"))
    assert json.loads(about.read_text())["diagnostics"]["evaluations_by_micro_batch"] == {"4": result.mutants.num_rows}


def test_not_even_one_fits(model: Model, sequences: km.Sequences) -> None:
    for ask in (
        lambda: cramped(model, 0).logits(sequences),
        lambda: km.attribute(cramped(model, 0), sequences, ["lrp"]),
    ):
        with pytest.raises(OutOfMemory, match=r"cpu has too little memory for .* even with one sequence at a time"):
            ask()


def test_other_errors_are_not_taken_for_it(model: Model, sequences: km.Sequences) -> None:
    with pytest.raises(RuntimeError, match="shapes"):
        cramped(model, 3, RuntimeError("mat1 and mat2 shapes cannot be multiplied")).logits(sequences)


def test_fitting_leaves_the_model_as_it_was(model: Model) -> None:
    tried = []

    def work(smaller: Model) -> int:
        tried.append(smaller.micro_batch)
        if smaller.micro_batch > 1:
            raise torch.OutOfMemoryError("out of memory")
        return len(list(slices(5, smaller)))

    assert fitting(model, work) == 5
    assert tried == [8, 4, 2, 1]
    assert model.micro_batch == 8
