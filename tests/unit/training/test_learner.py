"""Fine-tuning of every family: a new head, all weights or low-rank adapters, and a folder that loads."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

import kmerit as km
from helpers.checkpoints import REFERENCE, change_config, random_strings, write_library
from kmerit.errors import CheckpointError, ConfigError
from kmerit.models.checkpoint import read
from kmerit.training import finetune
from kmerit.training.data import Splits
from kmerit.training.learner import base_of, learner
from kmerit.training.recipe import FinetuneConfig

HEADS = ("classifier.", "score.", "bert.pooler.")
STEM = {"dnabert2": "bert.", "nucleotide_transformer_v2": "esm.", "hyenadna": "hyena.", "caduceus_ps": "caduceus."}
LIBRARY: dict[str, dict[str, Any]] = {
    "modernbert": {"local_attention": 8, "cls_token_id": 1, "sep_token_id": 2, "bos_token_id": 1, "eos_token_id": 2},
    "llama": {"num_key_value_heads": 2},
    "distilbert": {"dim": 16, "n_layers": 2, "n_heads": 4, "hidden_dim": 24},
}
FAMILY = {"caduceus_ps": "caduceus", "nucleotide_transformer_v2": "nucleotide_transformer", "distilbert": "huggingface"}
FAST = {"max_steps": 3, "batch_size": 4, "device": "cpu", "baselines": False, "hidden_dropout": 0.0, "resamples": 100}
STRINGS = random_strings([30, 24, 30, 18] * 4, seed=3)
ROWS = km.Sequences.from_strings(STRINGS, labels=[int(s.count("G") > 6) for s in STRINGS])


def write_base(folder: Path, name: str) -> Path:
    """A pre-trained model: without a head, and its encoder's names without what stands before them under one."""
    if name in LIBRARY:
        write_library(folder, name, **LIBRARY[name])
    else:
        shutil.copytree(REFERENCE / name, folder)
    weights = load_file(folder / "model.safetensors")
    stem = STEM.get(name, "")
    bare = {key.removeprefix(stem): value for key, value in weights.items() if not key.startswith(HEADS)}
    save_file(bare, folder / "model.safetensors", metadata={"format": "pt"})
    return folder


@pytest.fixture(scope="module", params=[*STEM, *LIBRARY])
def base(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_base(tmp_path_factory.mktemp("base") / request.param, request.param)


def contents(folder: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir()}


@pytest.mark.parametrize("lora", [None, {"rank": 2, "alpha": 4}])
def test_a_family_is_trained_published_and_loaded(lora: Any, base: Path, tmp_path: Path) -> None:
    before = contents(base)
    recipe = {
        **FAST,
        "base": str(base),
        "learning_rate": 1e-2,
        "classes": ["no", "yes"],
        **({"lora": lora} if lora else {}),
    }
    folder = finetune(FinetuneConfig.parse(recipe), tmp_path / "model", data=Splits(ROWS, ROWS, ROWS, ("no", "yes")))
    assert contents(base) == before, "the base is left as it was"
    model = km.load_model(folder)
    assert model.family == FAMILY.get(base.name, base.name)
    assert model.labels == ("no", "yes")
    assert np.isfinite(model.logits(ROWS)).all()
    published, old = load_file(folder / "model.safetensors"), load_file(base / "model.safetensors")
    moved = {key for key, value in published.items() if not any(torch.equal(value, each) for each in old.values())}
    assert not any("lora" in key for key in published)
    if lora is None:
        assert len(moved) > len(published) / 2
        assert not (folder / "adapter").exists()
    else:
        adapter = load_file(folder / "adapter" / "adapter_model.safetensors")
        assert {key.rsplit(".lora_", 1)[1] for key in adapter if ".lora_" in key} == {"A.weight", "B.weight"}
        adapted = {key.split(".lora_")[0].removeprefix("base_model.model.") for key in adapter if ".lora_" in key}
        whole = km.load_model(folder / "adapter")  # with the base, the adapter is the whole model
        assert whole.labels == model.labels
        np.testing.assert_allclose(whole.logits(ROWS), model.logits(ROWS), atol=1e-5)
        assert adapted <= {key.removesuffix(".weight") for key in published}
        assert {key for key in moved if not key.startswith((*HEADS, "head.", "pre_classifier"))} <= {
            f"{key}.weight" for key in adapted
        }


def test_an_adapter_is_what_was_added(tmp_path: Path) -> None:
    """The published weight is the base's plus alpha / rank times B A."""
    base = write_base(tmp_path / "dnabert2", "dnabert2")
    lora = {"rank": 2, "alpha": 6, "targets": ["Wqkv"]}
    config = FinetuneConfig.parse({**FAST, "base": str(base), "learning_rate": 1e-2, "lora": lora})
    folder = finetune(config, tmp_path / "model", data=Splits(ROWS))
    adapter = load_file(folder / "adapter" / "adapter_model.safetensors")
    published, old = load_file(folder / "model.safetensors"), load_file(base / "model.safetensors")
    key = "bert.encoder.layer.0.attention.self.Wqkv"
    a, b = (adapter[f"base_model.model.{key}.lora_{part}.weight"] for part in "AB")
    torch.testing.assert_close(published[f"{key}.weight"], old[f"{key.removeprefix('bert.')}.weight"] + 3 * b @ a)
    assert {k.split(".lora_")[0].rsplit(".", 1)[1] for k in adapter if ".lora_" in k} == {"Wqkv"}


def test_the_same_recipe_gives_the_same_weights(tmp_path: Path) -> None:
    base = write_base(tmp_path / "hyenadna", "hyenadna")
    config = FinetuneConfig.parse({**FAST, "base": str(base), "hidden_dropout": 0.2, "hidden_tokens": 0.2})
    one, two = (finetune(config, tmp_path / name, data=Splits(ROWS)) for name in ("one", "two"))
    assert (one / "model.safetensors").read_bytes() == (two / "model.safetensors").read_bytes()
    for constant in ("pos_emb.z", "pos_emb.t", "modulation.deltas"):
        key = f"hyena.backbone.layers.0.mixer.filter_fn.{constant}"
        old = load_file(base / "model.safetensors")[key.removeprefix("hyena.")]
        assert torch.equal(load_file(one / "model.safetensors")[key], old)


@pytest.mark.parametrize("name", ["dnabert2", "llama"])
def test_weights_come_in_one_order_so_that_a_stopped_training_goes_on(name: str, tmp_path: Path) -> None:
    """The optimiser's state is kept by place, not by name; the order of a set differs between processes."""
    base = write_base(tmp_path / name, name)
    module = learner(FinetuneConfig.parse({**FAST, "base": str(base)}), ("a", "b")).module
    found = base_of(read(str(base), dtype=torch.float32), ("a", "b"), "single_label_classification", 0)
    assert found is not None
    names = list(found.checkpoint.tensors)
    assert names == sorted(names)
    assert len(list(module.parameters())) == len(names)


def test_values_are_learned_by_any_family(tmp_path: Path) -> None:
    base = write_base(tmp_path / "caduceus_ps", "caduceus_ps")
    rows = km.Sequences.from_strings(STRINGS, labels=np.linspace(0.0, 1.0, len(STRINGS)))
    config = FinetuneConfig.parse({**FAST, "base": str(base), "regression": True})
    model = km.load_model(finetune(config, tmp_path / "model", data=Splits(rows, classes=("activity",))))
    assert model.regression
    assert model.predict(rows).shape == (len(rows), 1)


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "attention dropout": ({"attention_dropout": 0.1}, "attention_dropout: not supported where dnabert2 is trained"),
    "head dropout": ({"head_dropout": 0.1}, "head_dropout: not supported"),
    "teachers": ({"teachers": ["bundled:promoter"]}, "teachers: not supported"),
    "targets": ({"lora": {"targets": ["query"]}}, r"no linear layer's name ends in 'query'\. There are: .*Wqkv"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused_by_name(case: str, tmp_path: Path) -> None:
    changes, message = REFUSED[case]
    base = write_base(tmp_path / "dnabert2", "dnabert2")
    with pytest.raises(ConfigError, match=message):
        learner(FinetuneConfig.parse({**FAST, "base": str(base), **changes}), ("a", "b"))


def test_a_base_of_no_family_is_refused(tmp_path: Path) -> None:
    base = write_base(tmp_path / "dnabert2", "dnabert2")
    weights = load_file(base / "model.safetensors")
    save_file({key.replace("Wqkv", "odd"): value for key, value in weights.items()}, base / "model.safetensors")
    change_config(base, model_type="of another world")
    with pytest.raises(CheckpointError, match="dnabert2"):
        learner(FinetuneConfig.parse({**FAST, "base": str(base)}), ("a", "b"))


def test_what_a_base_has_beyond_its_family_is_refused(tmp_path: Path) -> None:
    base = write_base(tmp_path / "dnabert2", "dnabert2")
    weights = load_file(base / "model.safetensors") | {"rnn.weight_ih_l0": torch.zeros(2, 2)}
    save_file(weights, base / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(CheckpointError, match=r"rnn\.weight_ih_l0"):
        learner(FinetuneConfig.parse({**FAST, "base": str(base)}), ("a", "b"))
