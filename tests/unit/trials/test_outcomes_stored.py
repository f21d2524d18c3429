"""Outcomes that stay in their folder give what those in memory give, to the byte."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from kmerit import disk
from kmerit.errors import FormatError
from kmerit.models.model import Model
from kmerit.results import Attribution, Outcomes
from kmerit.sequences import Sequences
from kmerit.trials import outcomes as stored
from kmerit.trials import verdicts
from kmerit.trials.measures import FILES, default_label, summarise, write_cards
from kmerit.trials.outcomes import CELLS, MUTANTS, StoredOutcomes, finish, read_outcomes, write_outcomes
from kmerit.trials.trial import Grid, mutate, trial
from kmerit.trials.verdicts import Endpoint

GRID = Grid(
    counts=(0, 3, "all"), draws=2, random_sets=3, satellite_per_class=4, operators=("complement", "delete"),
    operator_count=3, ism_per_class=12, greedy_per_class=2, greedy_count=2, greedy_candidates=4,
)  # fmt: skip


@pytest.fixture
def in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep nothing in memory that a file can hold, and little of the files."""
    monkeypatch.setattr(disk, "_IN_MEMORY", 0)
    monkeypatch.setattr(stored, "_WHOLE", 0)
    monkeypatch.setattr(stored, "_TOGETHER", 700)
    monkeypatch.setattr(verdicts, "_TOGETHER", 7)


@pytest.fixture
def inputs(
    make_sequences: Callable[..., Sequences], make_scores: Callable[..., Attribution]
) -> tuple[Sequences, dict[str, Attribution]]:
    """Sequences of several lengths; some are too short for `shifted`, the scores of one were withheld."""
    sequences = make_sequences(np.random.default_rng(1).integers(38, 50, 26).tolist())
    scores = {name: make_scores(sequences, name, seed) for seed, name in enumerate(["one", "two"])}
    delta = np.zeros(len(sequences))
    delta[3] = np.nan
    withheld = replace(scores["two"], settings={"tolerance": 0.01}, diagnostics={"delta": delta})
    return sequences, {**scores, "two": withheld}


def rewritten(outcomes: Outcomes, folder: Path) -> Path:
    """Write outcomes in row groups that end in the midst of sequences and parts."""
    write_outcomes(outcomes, folder)
    pq.write_table(outcomes.mutants, folder / MUTANTS, row_group_size=173)
    pq.write_table(outcomes.cells, folder / CELLS, row_group_size=211)
    finish(folder, outcomes.sequences, outcomes.settings, outcomes.diagnostics)
    return folder


def same(one: object, other: object) -> bool:
    return np.array_equal(np.asarray(one), np.asarray(other), equal_nan=True)


@pytest.mark.slow
def test_cards_and_summaries_are_equal_to_the_byte(
    model: Model, inputs: tuple[Sequences, dict[str, Attribution]], tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    whole = trial(model, *inputs, GRID)
    write_cards(whole, tmp_path / "whole", resamples=300)
    tables = [summarise(whole, by=by, resamples=300) for by in (None, "predicted")]
    request.getfixturevalue("in_parts")
    parts = read_outcomes(rewritten(whole, tmp_path / "outcomes"))
    assert isinstance(parts, StoredOutcomes)
    assert len(list(parts.parts())) > 3
    write_cards(parts, tmp_path / "parts", resamples=300)
    for name in FILES:
        assert (tmp_path / "parts" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes(), name
    for table, by in zip(tables, (None, "predicted"), strict=True):
        assert summarise(parts, by=by, resamples=300).to_csv() == table.to_csv()


def test_arrays_are_equal(
    model: Model, inputs: tuple[Sequences, dict[str, Attribution]], tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    sequences, scores = inputs
    whole = mutate(model, sequences, scores, [0, 2, "all"], 2, 3, ["random_other", "delete"], controls=["context"])
    request.getfixturevalue("in_parts")
    parts = read_outcomes(rewritten(whole, tmp_path / "outcomes"))
    assert isinstance(parts, StoredOutcomes)
    assert parts.groups.equals(whole.groups)
    assert (parts.methods, parts.operators, parts.outputs) == (whole.methods, whole.operators, whole.outputs)
    for name in ("draws", "tokens_by_draw", "predicted", "classes", "group", "logit", "gc_shift", "positions_changed"):
        assert same(getattr(parts, name), getattr(whole, name)), name
    for measure in ("logit", "probability", "accuracy", "flips"):
        assert same(parts.drops(measure), whole.drops(measure)), measure
    assert same(parts.per_sequence(parts.flipped), whole.per_sequence(whole.flipped))
    assert same(parts.per_draw(parts.correct, 1), whole.per_draw(whole.correct, 1))
    assert default_label(parts) == default_label(whole)
    one, two = Endpoint(parts), Endpoint(whole)
    assert one.methods == two.methods
    assert all(same(one.aopc[name], two.aopc[name]) for name in two.aopc)
    assert same(one.excess("one", "context"), two.excess("one", "context"))
    assert parts.to_frame().equals(whole.to_frame())
    copy = read_outcomes(parts.save(tmp_path / "copy"))
    assert copy.mutants.read().equals(whole.mutants.combine_chunks())
    assert repr(parts) == repr(whole)


def test_a_part_whose_sequences_no_ranking_has(
    model: Model,
    make_sequences: Callable[..., Sequences],
    make_scores: Callable[..., Attribution],
    tmp_path: Path,
    request: pytest.FixtureRequest,
) -> None:
    sequences = make_sequences([40] * 30)
    delta = np.zeros(30)
    delta[:20] = np.nan
    scores = replace(make_scores(sequences), settings={"tolerance": 0.01}, diagnostics={"delta": delta})
    whole = mutate(model, sequences, scores, [0, 2], 2)
    table = summarise(whole, resamples=100)
    request.getfixturevalue("in_parts")
    request.getfixturevalue("monkeypatch").setattr(stored, "_TOGETHER", 10)
    parts = read_outcomes(write_outcomes(whole, tmp_path / "outcomes"))
    assert [part.cells.num_rows for part in parts.parts()][:2] == [0, 0]
    assert same(parts.drops("logit"), whole.drops("logit"))
    assert summarise(parts, resamples=100).equals(table)


def test_rows_in_another_order_are_refused(
    model: Model, inputs: tuple[Sequences, dict[str, Attribution]], tmp_path: Path, in_parts: None
) -> None:
    whole = mutate(model, inputs[0], inputs[1], [0, 2], 2)
    turned = replace(whole, cells=whole.cells.take(np.arange(whole.cells.num_rows)[::-1]))
    outcomes = read_outcomes(write_outcomes(turned, tmp_path / "outcomes"))
    with pytest.raises(FormatError, match=r"cells\.parquet: expected the rows in the order of the sequences"):
        summarise(outcomes, resamples=100)
