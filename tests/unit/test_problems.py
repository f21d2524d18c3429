"""Several labels and several values, end to end: one output is chosen by number or name, and is a task of its own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

import kmerit as km
from helpers.checkpoints import change_config, random_strings
from kmerit.cli.app import app
from kmerit.errors import LabelError, TargetError
from kmerit.results import Problem
from kmerit.trials.trial import Grid

STRINGS = random_strings([30] * 6)
NAMES = ("one", "two", "three")


@pytest.fixture(scope="module", params=["multi_label_classification", "regression"])
def model(request: pytest.FixtureRequest, make_checkpoint: Any) -> km.Model:
    folder = make_checkpoint(k=3, labels=NAMES)
    change_config(folder, problem_type=request.param)
    return km.load_model(folder, dtype="float64")


def test_a_target_is_an_output_by_number_or_name(model: km.Model) -> None:
    sequences = km.Sequences.from_strings(STRINGS)
    by_number, by_name = (km.attribute(model, sequences, ["lrp", "saliency"], target=t) for t in (1, "two"))
    other = km.attribute(model, sequences, ["lrp"], target=2)["lrp"]
    assert (by_name["lrp"].target == 1).all()
    np.testing.assert_array_equal(by_number["lrp"].scores, by_name["lrp"].scores)
    assert not np.allclose(other.scores, by_name["lrp"].scores)
    for target in ("predicted", "label", "four", 3):
        with pytest.raises(TargetError, match="0 one, 1 two, 2 three"):
            km.attribute(model, sequences, ["lrp"], target=target)


def test_one_output_is_a_task_of_its_own(model: km.Model) -> None:
    sequences = km.Sequences.from_strings(STRINGS)
    task = model.task("two")
    assert task.digest != model.digest
    if model.problem is Problem.LABELS:
        assert (task.problem, task.labels) == (Problem.CLASSES, ("not two", "two"))
        np.testing.assert_allclose(task.predict(sequences)[:, 1], model.predict(sequences)[:, 1], rtol=1e-12)
        np.testing.assert_allclose(task.predict(sequences).sum(1), 1)
    else:
        assert (task.problem, task.labels) == (Problem.VALUE, ("two",))
        np.testing.assert_allclose(task.predict(sequences)[:, 0], model.predict(sequences)[:, 1], rtol=1e-12)


def test_mutagenesis_and_trial_are_of_the_output_that_the_scores_explain(model: km.Model) -> None:
    labels = np.array([0, 1] * 3) if model.problem is Problem.LABELS else None
    sequences = km.Sequences.from_strings(STRINGS, labels=labels)
    scores = km.attribute(model, sequences, ["saliency"], target="two")
    curve = km.mutate(model, sequences, scores, counts=[0, 5], replicates=1)
    first = np.array([row[-1] for row in curve.mutants["logits"].to_pylist()])[0]
    z = model.logits(sequences)[0, 1]
    assert first == pytest.approx(z / 2 if model.problem is Problem.LABELS else z, rel=1e-6)
    grid = Grid(counts=(1, "all"), draws=1, operator_count=2, ism_per_class=0, greedy_per_class=0)
    verdicts = km.judge(km.trial(model, sequences, scores, grid), resamples=100)
    if model.problem is Problem.VALUES:
        assert {verdict.class_name for verdict in verdicts} == {"two"}
        return
    assert {verdict.class_name for verdict in verdicts} == {"not two", "two"}
    with pytest.raises(LabelError, match="not two, two"):
        km.mutate(model, km.Sequences.from_strings(STRINGS, labels=[2] * 6), scores, counts=[5])
    of_task = km.mutate(model.task("two"), sequences, scores, counts=[0, 5], replicates=1)
    assert of_task.mutants["logits"].equals(curve.mutants["logits"])
    with pytest.raises(TargetError, match=r"are of output 1 of a model that predicts \w+; .*, one is another"):
        km.mutate(model.task("one"), sequences, scores, counts=[5])
    scores["saliency"].target[0] = 0
    with pytest.raises(TargetError, match=r"explain 2 of the labels .* each is a task of its own"):
        km.mutate(model, sequences, scores, counts=[5])


def test_predictions_as_a_table(make_checkpoint: Any, tmp_path: Path) -> None:
    folder = make_checkpoint(k=3, labels=NAMES)
    (tmp_path / "my.fa").write_text("".join(f">s{i}\n{text}\n" for i, text in enumerate(STRINGS)))
    head = {}
    for kind, more in (("multi_label_classification", []), ("regression", []), ("multi_label_classification", ["two"])):
        change_config(folder, problem_type=kind)
        options = ["--model", str(folder), "--sequences", str(tmp_path / "my.fa")]
        result = CliRunner().invoke(app, ["predict", *options, *(["--label", *more] if more else [])])
        head[kind, bool(more)] = result.stdout.splitlines()[0]
    assert list(head.values()) == [
        "name,p(one),p(two),p(three)",
        "name,one,two,three",
        "name,predicted,p(not two),p(two)",
    ]
