"""An answer that is no number is an error with the sequence and the layer, wherever a model is asked."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

import kmerit as km
from helpers.checkpoints import write_library
from helpers.command import type_command
from kmerit.attribution.attribute import hypothetical
from kmerit.biology.heads import head_attention
from kmerit.errors import NotFinite
from kmerit.metrics import classification_metrics, regression_metrics
from kmerit.models.inference import where_it_began
from kmerit.models.model import window_of
from kmerit.training import finetune
from kmerit.training.data import Splits
from kmerit.training.recipe import FinetuneConfig
from kmerit.trials.measures import summarise

SEQUENCES = km.Sequences.from_strings(["ACGTTGCAACGGTTAC", "GATTACAGATTACA"], labels=[0, 1], names=["first", "second"])


def broken(source: Path, folder: Path, tensor: str, factor: float = 1e25) -> Path:
    """Multiply one tensor of a checkpoint: finite weights, and numbers that overflow."""
    shutil.copytree(source, folder)
    weights = load_file(folder / "model.safetensors")
    key = next(name for name in weights if name.endswith(tensor))
    weights[key] = (weights[key].double() * factor).to(torch.float32)
    assert all(bool(torch.isfinite(value).all()) for value in weights.values())
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    return folder


@pytest.fixture(scope="module")
def model(tiny_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = broken(tiny_checkpoint, tmp_path_factory.mktemp("broken") / "m", "layer.1.output.dense.weight", 1e30)
    return km.load_model(folder)


def test_the_layer_where_it_began_is_named(
    model: Any, tiny_checkpoint: Path, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    with pytest.raises(NotFinite, match=r"'first': .* answers .*nan.* it began in layers\.1\."):
        model.predict(SEQUENCES)
    words = km.load_model(broken(tiny_checkpoint, tmp_path / "w", "word_embeddings.weight"))
    with pytest.raises(NotFinite, match="it began in norm"):
        words.logits(SEQUENCES)
    assert np.isfinite(km.load_model(tmp_path / "w", dtype="float64").predict(SEQUENCES)).all()
    library = write_library(tmp_path / "library", "distilbert", dim=16, n_layers=2, n_heads=4, hidden_dim=24)
    other = km.load_model(broken(library, tmp_path / "o", "layer.1.ffn.lin2.weight", 1e38))
    with pytest.raises(NotFinite, match=r"it began in distilbert\.transformer\.layer\.1\.ffn\.lin2"):
        other.predict(SEQUENCES)


ASKED: dict[str, Callable[[Any], object]] = {
    "predict": lambda model: model.predict(SEQUENCES),
    "attribute": lambda model: km.attribute(model, SEQUENCES, ["attention"]),
    "heads": lambda model: head_attention(model, SEQUENCES),
    "hypothetical": lambda model: hypothetical(model, SEQUENCES),
}


@pytest.mark.parametrize("what", ASKED)
def test_wherever_a_model_is_asked(what: str, model: Any) -> None:
    with pytest.raises(NotFinite, match=r"'(first|second)'.* it began in "):
        ASKED[what](model)


@pytest.mark.parametrize("name", ["ism", "occlusion", "integrated_gradients", "gradient_shap"])
def test_answers_to_changed_sequences(name: str, tiny_checkpoint: Path, tmp_path: Path) -> None:
    """The sequences are answered; what the methods ask besides is not."""
    folder = tmp_path / "m"
    shutil.copytree(tiny_checkpoint, folder)
    weights = load_file(folder / "model.safetensors")
    key = next(key for key in weights if key.endswith("word_embeddings.weight"))
    observation = km.load_model(tiny_checkpoint).tokenize(*SEQUENCES.padded()).ids
    others = np.setdiff1d(np.arange(len(weights[key])), observation)
    weights[key][torch.from_numpy(others)] = 3e38
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(NotFinite, match=r"'(a mutant of )?(first|second)(, changed)?'.* it began in "):
        km.attribute(km.load_model(folder), SEQUENCES, [name])


def test_mutants(tiny_checkpoint: Path, tmp_path: Path) -> None:
    folder = tmp_path / "m"
    shutil.copytree(tiny_checkpoint, folder)
    weights = load_file(folder / "model.safetensors")
    key = next(key for key in weights if key.endswith("word_embeddings.weight"))
    good = km.load_model(tiny_checkpoint)
    others = np.setdiff1d(np.arange(len(weights[key])), good.tokenize(*SEQUENCES.padded()).ids)
    weights[key][torch.from_numpy(others)] = 3e38
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    scores = km.attribute(good, SEQUENCES, ["attention"])
    with pytest.raises(NotFinite, match="'a mutant of first'"):
        km.mutate(km.load_model(folder), SEQUENCES, scores, counts=[3], replicates=1)
    curve = km.mutate(good, SEQUENCES, scores, counts=[3], replicates=1)
    rows = curve.mutants.to_pylist()
    rows[-1]["logits"] = [float("nan")] * 2
    mutants = pa.Table.from_pylist(rows, curve.mutants.schema)
    with pytest.raises(NotFinite, match="mutant of 'second'"):
        summarise(replace(curve, mutants=mutants))


def test_metrics_count_no_class_for_it() -> None:
    for bad in (np.nan, np.inf):
        with pytest.raises(NotFinite, match="Row 1 of 2"):
            classification_metrics([0, 0], [[1.0, 0.0], [bad, 0.0]])
        with pytest.raises(NotFinite, match="Row 1 of 2"):
            regression_metrics([0.0, 1.0], [1.0, bad])


def test_a_training_that_diverges_stops(tmp_path: Path) -> None:
    tiny = {"k": 3, "hidden": 8, "layers": 1, "heads": 1, "intermediate": 8, "device": "cpu", "max_steps": 40}
    config = FinetuneConfig.parse({**tiny, "learning_rate": 1e30, "warmup": 0.0, "max_gradient_norm": 1e30})
    with pytest.raises(
        NotFinite, match=r"Step \d+: the (loss|answer on a validation row) is not a finite number; it began"
    ):
        finetune(config, tmp_path / "model", data=Splits(SEQUENCES, SEQUENCES))
    assert not (tmp_path / "model" / "training_log.json").exists()


def test_masks_may_be_infinite() -> None:
    """Negative infinity on purpose is not where it began."""
    layer = nn.Linear(2, 2).double()
    layer.weight.data.fill_(1e308)

    def run() -> torch.Tensor:
        masked = (
            torch.zeros(1, 2, dtype=torch.float64).masked_fill(torch.tensor([[True, False]]), -torch.inf).softmax(-1)
        )
        return layer(masked + 100)

    assert where_it_began(nn.ModuleDict({"last": layer}), run) == "last"


def test_the_command_says_so(tiny_checkpoint: Path, tmp_path: Path) -> None:
    folder = broken(tiny_checkpoint, tmp_path / "m", "word_embeddings.weight")
    (tmp_path / "x.fa").write_text(">one\nACGTTGCAACGG\n")
    result = type_command("predict", "--model", folder, "--sequences", tmp_path / "x.fa")
    assert (result.code, result.out) == (1, "")
    assert result.err.startswith("NotFinite: 'one': ")


def test_lengths_of_the_training_are_recorded(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    tiny = {"k": 3, "hidden": 8, "layers": 1, "heads": 1, "intermediate": 8, "device": "cpu", "max_steps": 1}
    config = FinetuneConfig.parse({**tiny, "baselines": False, "crop": {"length": 15, "anchor": "right"}})
    folder = finetune(config, tmp_path / "model", data=Splits(SEQUENCES, crop=None))
    assert json.loads((folder / "config.json").read_text())["kmerit"]["lengths"] == [14, 16]
    model = km.load_model(folder)
    assert model.trained == (14, 16, "none")
    model.logits(SEQUENCES)
    assert caplog.messages == []
    longer = km.Sequences.from_strings(["ACGT" * 5, "ACGT" * 4])
    model.logits(longer)
    model.predict(longer)
    (message,) = caplog.messages
    assert message.endswith(
        "was trained on 14 to 16 nt; these sequences have 16 to 20 nt. Its answers at other lengths are not tested."
    )
    assert km.load_model("bundled:promoter").trained == (251, 251, "251 nt, left")
    enhancer = km.load_model("bundled:enhancer")
    assert enhancer.trained == (51, 200, "200 nt, center")
    assert (window_of(model), window_of(enhancer)) == (None, 200), "the crop, where only shorter rows fell short of it"
