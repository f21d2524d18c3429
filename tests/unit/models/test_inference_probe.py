"""The micro-batch where nobody named one: found by trying, recorded, and kept by whatever goes on with the work."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import kmerit as km
from helpers.cramped import ERRORS, cramped
from kmerit.attribution import attribute
from kmerit.attribution.attribute import _REPEATS, fitted
from kmerit.attribution.method import TokenScores, methods
from kmerit.errors import RunMismatch, UsageError
from kmerit.io.scores import read_attributions
from kmerit.models import inference
from kmerit.models.encoder import Encoder
from kmerit.models.inference import micro_batch_of, of_length, probed
from kmerit.models.model import Model
from kmerit.store import Share
from kmerit.trials.departures import states

METHODS = ["attention", "lrp"]
FEW = {"counts": [0, 2], "replicates": 2}


@pytest.fixture
def model(tiny_checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> Model:
    """A model whose device is probed, as graphics cards are."""
    monkeypatch.setattr(inference, "_PROBED", ("cpu",))
    model = km.load_model(tiny_checkpoint, device="cpu")
    assert model.undecided
    return model


@pytest.fixture(scope="module")
def sequences() -> km.Sequences:
    draws = np.random.default_rng(0)
    lengths = [9, 14, 23, 11] * 10
    return km.Sequences.from_strings(["".join(draws.choice(list("ACGT"), length)) for length in lengths])


@pytest.mark.parametrize(
    ("most", "expected"),
    [(0, 1), (1, 1), (2, 1), (3, 1), (4, 2), (8, 4), (15, 4), (16, 8), (40, 16), (127, 32), (128, 64), (5000, 64)],
)
@pytest.mark.parametrize("error", ERRORS, ids=["card", "processor"])
def test_half_of_what_fits_is_left(
    model: Model, sequences: km.Sequences, most: int, expected: int, error: RuntimeError
) -> None:
    smaller = cramped(model, most, error).fitted(sequences)
    assert (smaller.micro_batch, smaller.undecided) == (expected, False)
    assert smaller.fitted(sequences) is smaller


def test_the_longest_sequence_is_tried(model: Model, sequences: km.Sequences) -> None:
    seen = []
    model.fitted(sequences, lambda model, batch: seen.append((model.micro_batch, len(batch), set(batch.lengths))))
    assert seen == [(size, size, {23}) for size in (8, 16, 32, 64, 128)]
    seen.clear()
    tiled = replace(model, tiles=km.Tiles(12, 6))
    tiled.fitted(sequences, lambda model, batch: seen.append((model.tiles, set(batch.lengths))))
    assert seen == [(None, {12})] * 5


def test_other_errors_are_not_taken_for_it(model: Model, sequences: km.Sequences) -> None:
    with pytest.raises(RuntimeError, match="shapes"):
        cramped(model, 3, RuntimeError("mat1 and mat2 shapes cannot be multiplied")).fitted(sequences)


def test_what_a_model_does_not_take_is_left_for_the_verb_to_refuse(model: Model) -> None:
    too_short = km.Sequences.from_strings(["AC"])
    assert model.fitted(too_short) is model
    with pytest.raises(km.errors.SequenceError, match="seq0"):
        km.attribute(model, too_short, METHODS)


def test_a_processor_is_not_probed(tiny_checkpoint: Path) -> None:
    model = cramped(km.load_model(tiny_checkpoint, device="cpu"), 3)
    fitted = model.fitted(km.Sequences.from_strings(["ACGTTGCA"]))
    assert (fitted.micro_batch, fitted.undecided) == (8, False)


def test_a_micro_batch_is_a_whole_number(tiny_checkpoint: Path) -> None:
    assert micro_batch_of(np.int64(5)) == (5, False)
    for wrong in (0, -1, True, 2.5, "many", None, 10**20):
        with pytest.raises(UsageError, match="micro_batch: expected a whole number from 1 to 1,000,000, or 'auto'"):
            km.load_model(tiny_checkpoint, micro_batch=wrong)  # type: ignore[arg-type]


def test_what_was_begun_keeps_its_own_on_a_processor_too(
    tiny_checkpoint: Path, sequences: km.Sequences, tmp_path: Path
) -> None:
    scores = km.attribute(km.load_model(tiny_checkpoint), sequences, ["attention"])
    begun = km.load_model(tiny_checkpoint, device="cpu", micro_batch=3)
    out = km.mutate(begun, sequences, scores, **FEW, out=tmp_path / "trial")
    km.mutate(km.load_model(tiny_checkpoint, device="cpu"), sequences, scores, **FEW, out=out)
    with pytest.raises(RunMismatch, match="micro_batch was 3, now it is 8"):
        km.mutate(km.load_model(tiny_checkpoint, device="cpu", micro_batch=8), sequences, scores, **FEW, out=out)


def test_memory_may_run_out_wherever_the_model_is_asked(
    tiny_checkpoint: Path, sequences: km.Sequences, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, few = km.load_model(tiny_checkpoint, device="cpu", micro_batch=8), sequences.take(list(range(8)))
    scores = km.attribute(model, few, ["attention"])
    grid = km.Grid((1, 3, "all"), 2, 2, satellite_per_class=2, operator_count=3, ism_per_class=2, greedy_per_class=1)
    tight, smaller = cramped(model, 3), replace(model, micro_batch=2)
    found, expected = (km.trial(each, few, scores, grid) for each in (tight, smaller))
    assert found.mutants.equals(expected.mutants)
    assert found.cells.equals(expected.cells)
    found_pairs, expected_pairs = (km.pairs(each, few, scores, top=3, per_class=2) for each in (tight, smaller))
    assert found_pairs.pairs.equals(expected_pairs.pairs)
    expected_states, expected_gradients = states(smaller, few), km.hypothetical(smaller, few)
    record, bridge = Encoder.record, attribute.one_hot_model

    def little(work: Any) -> Any:
        def tried(*arguments: Any, **options: Any) -> Any:
            x = next(each for each in arguments if isinstance(each, torch.Tensor))
            if len(x) > 3:
                raise ERRORS[0]
            return work(*arguments, **options)

        return tried

    monkeypatch.setattr(Encoder, "record", little(record))
    monkeypatch.setattr(attribute, "one_hot_model", lambda model: little(bridge(model)))
    assert np.array_equal(states(model, few), expected_states)
    assert np.array_equal(km.hypothetical(model, few), expected_gradients, equal_nan=True)


def test_a_probe_ends_where_it_should(model: Model) -> None:
    assert probed(model, lambda model: None, most=16) == 16
    assert of_length(7).strings() == of_length(7).strings()


def test_scores_are_those_of_the_micro_batch_found(model: Model, sequences: km.Sequences, tmp_path: Path) -> None:
    expected = km.attribute(replace(model, micro_batch=16, undecided=False), sequences, METHODS)
    result = km.attribute(cramped(model, 33), sequences, METHODS)
    stored = read_attributions(km.attribute(cramped(model, 33), sequences, METHODS, out=tmp_path / "s.parquet"))
    for name in METHODS:
        for each in (result[name], stored[name]):
            assert np.array_equal(each.scores, expected[name].scores, equal_nan=True)
            assert each.settings["micro_batch"] == 16
            assert set(each.diagnostics["micro_batch"]) == {16}


def test_more_memory_is_needed_for_scores_than_for_answers(model: Model, sequences: km.Sequences) -> None:
    def record(x: Any, mask: Any, *more: Any, **others: Any) -> Any:
        if len(x) > 16:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return whole.encoder.record(x, mask, *more, **others)

    whole, cramped_model = model, cramped(model, 64)
    cramped_model.encoder.record = record
    assert cramped_model.fitted(sequences).micro_batch == 32
    assert km.attribute(cramped_model, sequences, ["lrp"])["lrp"].settings["micro_batch"] == 8


def test_a_trial_keeps_what_it_was_begun_with(model: Model, sequences: km.Sequences, tmp_path: Path) -> None:
    scores = km.attribute(model, sequences, ["attention"])
    out = km.mutate(cramped(model, 64), sequences, scores, **FEW, out=tmp_path / "trial")
    assert km.read_outcomes(out).settings["micro_batch"] == 32
    for other in (cramped(model, 8), replace(model, micro_batch=32, undecided=False)):
        km.mutate(other, sequences, scores, **FEW, out=out)  # it is finished
    with pytest.raises(RunMismatch, match="micro_batch was 32, now it is 4"):
        km.mutate(replace(model, micro_batch=4, undecided=False), sequences, scores, **FEW, out=out)


def test_shares_keep_the_micro_batch_of_the_plan(model: Model, sequences: km.Sequences, tmp_path: Path) -> None:
    def score(model: Model, out: Path, share: Any) -> Path:
        return km.attribute(model, sequences, METHODS, out=out, share=share)

    whole = score(replace(model, micro_batch=2, undecided=False), tmp_path / "whole.parquet", None)
    out = tmp_path / "shared.parquet"
    score(cramped(model, 5), out, "plan")
    with pytest.raises(RunMismatch, match="micro_batch was 2, now it is 8"):
        score(replace(model, micro_batch=8, undecided=False), out, Share(1, 2))
    score(cramped(model, 3), out, Share(1, 2))  # whose own probe would find 1
    score(model, out, Share(2, 2))  # and this one's 64
    assert score(model, out, "gather").read_bytes() == whole.read_bytes()


def test_a_probe_repeats_no_pass_and_leaves_own_methods_alone(model: Model, sequences: km.Sequences) -> None:
    asked = []

    def ask(batch: Any, options: Any) -> Any:
        asked.extend(batch.names)
        return TokenScores(torch.zeros(batch.tokens.mask.shape))

    own = km.Method("own", "nothing", "none", signed=True, cost=0, ask=ask)
    repeated = ["integrated_gradients", "gradient_shap", "smoothgrad", "ism", "occlusion"]
    found = fitted(cramped(model, 21), sequences.take([0, 1]), [own, *repeated])
    assert (found.micro_batch, asked) == (8, [])
    scores = km.attribute(cramped(model, 21), sequences.take([0, 1]), [own, *repeated])
    assert asked == ["seq0", "seq1"]
    assert {each.settings["micro_batch"] for each in scores.values()} == {8}
    few = km.attribute(model, sequences.take([0]), ["smoothgrad"], options={"smoothgrad": {"samples": 2}})
    assert few["smoothgrad"].settings["options"]["samples"] == 2


def test_every_method_that_repeats_a_pass_says_how_often() -> None:
    for name, method in methods().items():
        if isinstance(method.cost, str):
            assert "per nucleotide" in method.cost or set(method.options) & set(_REPEATS), name


def test_predictions_are_those_of_the_micro_batch_found(model: Model, sequences: km.Sequences) -> None:
    few = cramped(model, 70).predict(sequences)
    assert few.settings["micro_batch"] == 8  # not worth a probe
    many = km.Sequences.from_strings(sequences.strings() * 7)
    found, named = cramped(model, 70).predict(many), replace(model, micro_batch=32, undecided=False).predict(many)
    assert np.array_equal(found, named)
    assert found.settings == {**named.settings, "micro_batch": 32}
    assert cramped(model, 9).predict(many, tiles=km.Tiles(12, 6)).settings["micro_batch"] == 4
