"""Trials of sequences that are longer than the model takes: each mutant by the mean over its tiles."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import kmerit as km
from kmerit.errors import LengthError, RunMismatch, UsageError
from kmerit.io.crops import Tiles
from kmerit.models.inference import over_tiles
from kmerit.models.model import Model
from kmerit.results import Problem
from kmerit.sequences import Sequences
from kmerit.trials.design import mutants_of
from kmerit.trials.outcomes import read_outcomes
from kmerit.trials.pairs import effects, pairs
from kmerit.trials.rankings import exact_effects

TILES = Tiles(60, 25)


@pytest.fixture(scope="module")
def model(tiny_checkpoint: Path) -> Model:
    return km.load_model(tiny_checkpoint, micro_batch=3)


@pytest.fixture(scope="module")
def sequences() -> Sequences:
    letters = ["".join(row) for row in np.random.default_rng(0).choice(list("ACGT"), (3, 130))]
    return Sequences.from_strings([letters[0], letters[1][:70], letters[2][:50]], labels=[1, 0, 1])


@pytest.mark.parametrize("problem", [Problem.CLASSES, Problem.LABELS, Problem.VALUES])
def test_the_mean_over_tiles_is_of_predictions(problem: Problem) -> None:
    logits = np.random.default_rng(1).normal(0, 4, (5, 7, 3))
    np.testing.assert_allclose(problem.answer(over_tiles(problem, logits)), problem.answer(logits).mean(0), rtol=1e-9)
    np.testing.assert_array_equal(over_tiles(problem, logits[:1]), logits[0])
    extreme = over_tiles(problem, np.float32([[900.0, -900.0, 0.0], [900.0, -900.0, 0.0]]))
    assert np.isfinite(extreme).all()


def test_every_mutant_is_classified_by_the_mean_over_its_tiles(
    model: Model, sequences: Sequences, monkeypatch: pytest.MonkeyPatch
) -> None:
    letters: dict[int, list[str]] = {}

    def noted(designs: object, name: str, *args: object) -> object:
        mutants = mutants_of(designs, name, *args)  # type: ignore[arg-type]
        letters[sequences.names.index(name)] = ["".join("ACGT"[base] for base in row) for row in mutants.distinct]
        return mutants

    monkeypatch.setattr("kmerit.trials.execution.mutants_of", noted)
    scores = km.attribute(model, sequences, ["lrp", "attention"], tiles=TILES)
    outcomes = km.mutate(model, sequences, scores, [0, 1, 9, "all"], 2, controls=["shifted"], tiles=TILES)
    assert (outcomes.settings["tile"], outcomes.settings["stride"]) == (60, 25)
    every = [string for i in range(3) for string in letters[i]]
    expected = model.predict(Sequences.from_strings(every), tiles=TILES)
    logits = np.array(outcomes.mutants["logits"].to_pylist())
    np.testing.assert_allclose(Problem.CLASSES.answer(logits), expected, rtol=1e-5)
    own = km.load_model(model.name).tokenizer(*sequences.take([2]).padded())
    assert outcomes.mutants["tokens_changed"].to_numpy().max() > own.ids.shape[1]  # tokens of all tiles are counted
    assert (outcomes.mutants["tokens_changed"].to_numpy()[outcomes.sequences["original"].to_numpy()] == 0).all()
    np.testing.assert_array_equal(scores["lrp"].target, outcomes.predicted)


def test_a_whole_trial_and_its_bounds_are_of_the_mean(model: Model, sequences: Sequences, tmp_path: Path) -> None:
    tiled = replace(model, tiles=TILES)
    targets = np.array([1, 0, 0])
    for i, (scores, changes) in enumerate(exact_effects(tiled, sequences, targets)):
        string, position = sequences.string(i), 33
        mutants = [string[:position] + base + string[position + 1 :] for base in "ACGT"]
        logits = tiled.logits(Sequences.from_strings([string, *mutants]))[:, targets[i]]
        np.testing.assert_allclose(changes[position], logits[1:] - logits[0], atol=1e-6)
        np.testing.assert_allclose(scores[position], -(logits[1:] - logits[0]).sum() / 3, atol=1e-6)
        whole = exact_effects(model, sequences.take([i]), targets[[i]])[0][0]
        assert np.allclose(scores, whole, atol=1e-6) == (i == 2)
    grid = km.Grid(counts=(2,), draws=1, satellite_per_class=0, ism_per_class=2, greedy_per_class=1, greedy_count=2)
    scores = km.attribute(model, sequences, ["lrp"], tiles=TILES)
    folder = km.trial(model, sequences, scores, grid, out=tmp_path / "out", tiles=TILES)
    in_memory = km.trial(model, sequences, scores, grid, tiles=TILES)
    assert read_outcomes(folder).mutants.equals(in_memory.mutants)
    assert in_memory.diagnostics["ranking_evaluations"]["bound(greedy)"] > 0


def test_joint_effects_are_of_the_mean(model: Model, sequences: Sequences) -> None:
    tiled, bases = replace(model, tiles=TILES), next(iter(sequences.rows()))
    _, joint = effects(tiled, "one", bases, 1, [3, 90], [(3, 90)])
    strings = [sequences.string(0)[:3] + a + sequences.string(0)[4:90] + b + sequences.string(0)[91:]
               for a in "ACGT" for b in "ACGT"]  # fmt: skip
    logits = tiled.logits(Sequences.from_strings([sequences.string(0), *strings]))[:, 1]
    changed = [s[3] != sequences.string(0)[3] and s[90] != sequences.string(0)[90] for s in strings]
    assert joint[3, 90] == pytest.approx(logits[0] - logits[1:][changed].mean(), abs=1e-6)
    scores = km.attribute(model, sequences, ["lrp"], tiles=TILES)
    assert pairs(model, sequences, scores, top=2, tiles=TILES).settings["tile"] == 60


@pytest.mark.parametrize(
    ("scored", "read", "words"),
    [
        (None, TILES, r"made of whole sequences; here the model reads tiles of 60 nt, one every 25 nt"),
        (TILES, None, r"made of tiles of 60 nt, one every 25 nt; here the model reads whole sequences"),
        (TILES, Tiles(60), r"one every 25 nt; here the model reads tiles of 60 nt, one every 60 nt"),
    ],
)
def test_scores_of_other_tiles_are_refused(
    model: Model, sequences: Sequences, tmp_path: Path, scored: Tiles | None, read: Tiles | None, words: str
) -> None:
    short = sequences.take([1, 2])
    scores = km.attribute(model, short, ["lrp"], tiles=scored)
    path = km.attribute(model, short, ["lrp"], tiles=scored, out=tmp_path / "scores.parquet")
    for each in (scores, path):
        with pytest.raises(UsageError, match=words):
            km.mutate(model, short, each, [1], 1, tiles=read)
    one = short.take([1])  # no longer than a tile: there is nothing to take apart
    km.mutate(model, one, km.attribute(model, one, ["lrp"], tiles=scored), [1], 1, tiles=read)


def test_own_scores_explain_the_class_of_the_mean(model: Model, sequences: Sequences, tmp_path: Path) -> None:
    arrays = [np.linspace(0, 1, length) for length in sequences.lengths]
    outcomes = km.mutate(model, sequences, {"mine": arrays}, [2], 1, tiles=TILES)
    mine = km.own_scores(model, sequences, {"mine": arrays}, tiles=TILES)
    np.testing.assert_array_equal(mine["mine"].target, model.predict(sequences, tiles=TILES).argmax(1))
    assert km.mutate(model, sequences, mine, [2], 1, tiles=TILES).mutants.equals(outcomes.mutants)
    with pytest.raises(LengthError, match="--tile"):
        km.own_scores(model, Sequences.from_strings(["ACGT" * 100]), np.ones((1, 400)))
    km.mutate(model, sequences, {"mine": arrays}, [2], 1, tiles=TILES, out=tmp_path / "out")
    with pytest.raises(RunMismatch, match="stride was 25, now it is 30"):
        km.mutate(model, sequences, {"mine": arrays}, [2], 1, tiles=Tiles(60, 30), out=tmp_path / "out")
