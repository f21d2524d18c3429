"""Several labels, and several values, of each sequence: read, learned, measured one by one, and predicted."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

import kmerit as km
from helpers.training_data import LEARN
from kmerit.cli.app import app
from kmerit.datasets.audit import audit
from kmerit.errors import ConfigError, FormatError, LabelError
from kmerit.io.crops import sample_per_class
from kmerit.io.readers import read_sequences, write_sequences
from kmerit.results import Problem
from kmerit.sequences import Sequences
from kmerit.training import finetune
from kmerit.training.data import Splits
from kmerit.training.recipe import FinetuneConfig

NAMES = ("rich", "poor", "ends in A")


def several(rows: int, seed: int, values: bool = False) -> Sequences:
    """Sequences of which some labels follow from their G and C, and one from the last letter; or their shares."""
    rng = np.random.default_rng(seed)
    strings = [
        "".join(rng.choice(list("ACGT"), 48, p=[0.5 - gc, gc, gc, 0.5 - gc])) for gc in rng.uniform(0.1, 0.4, rows)
    ]
    share = np.array([sum(map(string.count, "GC")) / 48 for string in strings])
    last = np.array([string.endswith("A") for string in strings])
    if values:
        return Sequences.from_strings(strings, np.stack([share, -2 * share, last * 1.0], 1), outputs=NAMES)
    return Sequences.from_strings(strings, np.stack([share > 0.5, share < 0.45, last], 1), outputs=NAMES)


@pytest.fixture(scope="module", params=["labels", "values"])
def table(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp(request.param)
    for split, rows in {"train": 160, "validation": 40, "test": 40}.items():
        write_sequences(several(rows, len(split), request.param == "values"), folder / f"{split}.csv")
    return {"folder": folder, "values": request.param == "values"}


@pytest.fixture(scope="module")
def trained(table: dict[str, Any]) -> Path:
    folder: Path = table["folder"]
    recipe = {**LEARN, "crop": "none", "max_steps": 80, "regression": table["values"], "labels": list(NAMES)}
    files = {split: str(folder / f"{split}.csv") for split in ("train", "validation", "test")}
    torch.set_num_threads(1)
    return finetune(FinetuneConfig.parse({**recipe, **files}), folder / "model")


def test_each_output_is_learned_and_measured(trained: Path, table: dict[str, Any]) -> None:
    model = km.load_model(trained)
    assert model.labels == NAMES
    assert model.problem is (Problem.VALUES if table["values"] else Problem.LABELS)
    measured = json.loads((trained / "metrics.json").read_text())
    metric = "pearson" if table["values"] else "auroc"
    each = {name: result[metric] for name, result in measured["outputs"].items()}
    assert tuple(each) == NAMES
    assert each["rich"]["value"] > 0.7
    assert each["ends in A"]["low"] < each["ends in A"]["value"] < each["ends in A"]["high"]
    assert measured["test"][metric]["value"] == pytest.approx(np.mean([one["value"] for one in each.values()]))
    card = (trained / "README.md").read_text()
    assert "| this model, mean of 3 |" in card
    assert all(f"| {name} |" in card for name in NAMES)
    assert f"| {'Values' if table['values'] else 'Labels, 0 or 1 each'} | rich, poor, ends in A |" in card
    log = json.loads((trained / "training_log.json").read_text())["log"]
    assert any(f"eval_{metric}" in entry for entry in log)


def test_predict_says_how_well_each_is_predicted(trained: Path, table: dict[str, Any]) -> None:
    options = ["--model", str(trained), "--sequences", str(table["folder"] / "test.csv")]
    result = CliRunner().invoke(app, ["predict", *options, "--labels", "poor,rich"])
    assert result.exit_code == 0, result.output
    measured = json.loads((trained / "metrics.json").read_text())["outputs"]
    metric = "pearson" if table["values"] else "auroc"
    for name in ("rich", "poor"):
        assert f"{metric} {measured[name][metric]['value']:.3f}" in next(
            line for line in result.stderr.splitlines() if line.startswith(f"{name}: ")
        )
    assert "mean of 2: " in result.stderr
    one = CliRunner().invoke(app, ["predict", *options, "--labels", "poor,rich", "--label", "rich"])
    assert [line.split(":")[0] for line in one.stderr.splitlines() if metric in line] == ["rich"]
    wrong = CliRunner().invoke(app, ["predict", *options, "--labels", "poor,name"])
    assert "column 'name': expected a number as label, found 'seq0'" in str(wrong.exception)


def test_one_label_of_many_is_attributed_mutated_and_tried(trained: Path, table: dict[str, Any]) -> None:
    model = km.load_model(trained)
    sequences = read_sequences(table["folder"] / "test.csv", label_column=NAMES).take(slice(0, 10))
    scores = km.attribute(model, sequences, ["saliency"], target="rich")
    curve = km.mutate(model, sequences, scores, counts=[0, 5], replicates=1)
    if table["values"]:
        assert curve.labels is None
        return
    assert curve.labels is not None
    assert curve.labels.tolist() == sequences.of_output("rich").labels.tolist()  # type: ignore[union-attr]
    with pytest.raises(LabelError, match="have no label 'x', but 'rich', 'poor', 'ends in A'"):
        sequences.of_output("x")


def test_a_stopped_training_goes_on_to_the_same_weights(tmp_path: Path) -> None:
    recipe = {**LEARN, "crop": "none", "max_steps": 30, "save_steps": 25}
    data = Splits(several(64, 1), several(16, 2))

    def stop(done: int, total: int) -> None:
        if done >= 27:
            raise KeyboardInterrupt

    whole = finetune(FinetuneConfig.parse(recipe), tmp_path / "whole", data=data)
    with pytest.raises(KeyboardInterrupt):
        finetune(FinetuneConfig.parse(recipe), tmp_path / "stopped", data=data, progress=stop)
    again = finetune(FinetuneConfig.parse(recipe), tmp_path / "stopped", data=data)
    assert (again / "model.safetensors").read_bytes() == (whole / "model.safetensors").read_bytes()


@pytest.mark.parametrize(
    ("cells", "message"),
    [
        ("1,", "line 3, column 'b': the label is missing"),
        ("1,nan", "line 3, column 'b': expected a number as label, found 'nan'"),
        ("x,1", "line 3, column 'a': expected a number as label, found 'x'"),
    ],
)
def test_missing_labels_are_refused_by_name(cells: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text(f"sequence,a,b\nACGT,0,1\nTTGA,{cells}\n")
    with pytest.raises(LabelError, match=message):
        read_sequences(tmp_path / "t.csv", label_column=["a", "b"])


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".parquet"])
def test_written_labels_are_read_back(suffix: str, tmp_path: Path) -> None:
    for values in (False, True):
        rows = several(5, 0, values)
        write_sequences(rows, tmp_path / f"t{suffix}")
        back = read_sequences(tmp_path / f"t{suffix}", label_column=NAMES)
        assert back.outputs == NAMES
        assert back.labels is not None
        assert rows.labels is not None
        assert back.labels.dtype == rows.labels.dtype
        np.testing.assert_array_equal(back.labels, rows.labels)
    with pytest.raises(FormatError, match="FASTA has one label a sequence"):
        write_sequences(rows, tmp_path / "t.fa")


def test_where_one_label_is_needed_several_are_refused() -> None:
    rows = several(6, 0)
    with pytest.raises(LabelError, match="several labels each"):
        audit(rows)
    with pytest.raises(LabelError, match="needs classes"):
        sample_per_class(rows, 1, seed=0)
    model = km.load_model("bundled:promoter")
    scores = km.attribute(model, rows, ["saliency"])
    with pytest.raises(LabelError, match="have no label 'promoter'"):
        km.mutate(model, rows, scores, counts=[5])


def test_recipes_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ConfigError, match="class_weights is for one label"):
        FinetuneConfig.parse({"labels": ["a"], "class_weights": "balanced"})
    rows = several(6, 0)
    half = Sequences.from_strings(rows.strings(), np.full((6, 3), 0.5), outputs=NAMES)
    for data, recipe, message in (
        (half, {}, "'seq0' has 0.5 for 'rich'"),
        (rows, {"labels": ["rich"]}, "expected the labels rich, in this order"),
        (rows.of_output("rich"), {"labels": ["rich"]}, "found one label a row"),
    ):
        with pytest.raises(LabelError, match=message):
            finetune(FinetuneConfig.parse({**LEARN, **recipe}), "unused", data=Splits(data))
