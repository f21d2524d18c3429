"""Parts of a trial: sequences taken out with their mutants and cells, and put together again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import kmerit as km
from kmerit.errors import SequenceError, UsageError

GRID = km.Grid(counts=(5, "all"), draws=1, random_sets=1, satellite_per_class=2, ism_per_class=2, greedy_per_class=1)
TABLES = ("mutants", "cells", "sequences")


def strings(count: int, seed: int = 0) -> list[str]:
    rng = np.random.default_rng(seed)
    return ["".join(rng.choice(list("ACGT"), 48)) for _ in range(count)]


@pytest.fixture(scope="module")
def model(tiny_checkpoint: Path) -> Any:
    return km.load_model(tiny_checkpoint)


@pytest.fixture(scope="module")
def whole(model: Any) -> km.Outcomes:
    sequences = km.Sequences.from_strings([*strings(5), strings(5)[0]], labels=[0, 1] * 3)
    return km.trial(model, sequences, km.attribute(model, sequences, ["lrp", "rollout"]), GRID)


def test_parts_of_a_trial_make_it_up_again(whole: km.Outcomes) -> None:
    again = km.Outcomes.concat([whole[:2], whole[2:]])
    for name in TABLES:
        assert getattr(again, name).equals(getattr(whole, name)), name
    assert again.settings["grid"] == whole.settings["grid"]
    for key in ("evaluations", "naive_evaluations"):
        assert again.diagnostics[key] == whole.diagnostics[key]
    assert again.clusters[0] == again.clusters[5]  # copies of each other


def test_a_part_in_another_order(whole: km.Outcomes) -> None:
    part = whole[[3, 1]]
    assert part.names == ("seq3", "seq1")
    assert part.labels is not None
    assert part.labels.tolist() == [1, 1]
    for row, old in enumerate((3, 1)):
        own, before = part.to_frame().query(f"sequence == {row}"), whole.to_frame().query(f"sequence == {old}")
        columns = ["method", "operator", "order", "n", "draw", "predicted", "logit_0", "logit_1", "tokens_changed"]
        assert own[columns].to_numpy().tolist() == before[columns].to_numpy().tolist()
    assert part.settings["part_of"] == whole[:1].settings["part_of"]
    digests = {each.settings["sequences_sha256"] for each in (whole, part, whole[[1, 3]])}
    assert len(digests) == 3
    assert "context_strata" not in part.diagnostics


def test_verdicts_of_a_part_rest_on_its_sequences(whole: km.Outcomes) -> None:
    for verdict in km.judge(whole[[1, 3]], resamples=100):
        assert verdict.sequences + verdict.mistaken == (2 if verdict.label == 1 else 0)


def test_a_part_is_saved_and_read(whole: km.Outcomes, tmp_path: Path) -> None:
    part = whole["seq2"]
    again = km.Outcomes.load(part.save(tmp_path / "part"))
    assert again.settings == part.settings
    assert all(getattr(again, name).equals(getattr(part, name)) for name in TABLES)


def test_trials_of_equal_settings_are_put_together(model: Any) -> None:
    def tried(names: str, seed: int = 0, **options: Any) -> km.Outcomes:
        sequences = dict(zip(names, strings(2, seed), strict=True))
        return km.mutate(model, sequences, km.attribute(model, sequences, ["lrp"]), **{"counts": [3], **options})

    both = km.Outcomes.concat([tried("ab"), tried("cd", 1)])
    assert both.names == ("a", "b", "c", "d")
    assert both.clusters.tolist() == [0, 1, 2, 3]
    assert "composition" not in both.settings
    assert np.isfinite(km.summarise(both)["accuracy"]).all()
    with pytest.raises(UsageError, match="expected the same counts in all parts"):
        km.Outcomes.concat([tried("ab"), tried("cd", counts=[4])])
    with pytest.raises(SequenceError, match="a name occurs twice"):
        km.Outcomes.concat([tried("ab"), tried("bc")])


def test_a_sequence_twice_or_none_is_refused(whole: km.Outcomes) -> None:
    for rows in ([0, 0], []):
        with pytest.raises(UsageError, match="at least one sequence, and each of them once"):
            whole[rows]
