"""Adapters of peft's own making: merged, they answer as peft does; what cannot be merged is refused by name."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

import kmerit as km
from helpers.checkpoints import REFERENCE, SMALL, change_config, random_strings, write_library
from kmerit.errors import CheckpointError, MissingExtra, OfflineError

peft = pytest.importorskip("peft")
pytestmark = pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing. is deprecated:FutureWarning")  # peft's own
STRINGS = random_strings([40, 61, 24, 16])
SEQUENCES = km.Sequences.from_strings(STRINGS)
KINDS: dict[str, dict[str, Any]] = {
    "bert": {"target_modules": ["query", "value", "intermediate.dense"]},
    "esm": {"target_modules": ["query", "key", "dense"]},  # the head's own layer is adapted, too
    "llama": {"target_modules": ["q_proj", "down_proj"]},
    "distilbert": {"target_modules": ["q_lin", "v_lin"]},
}
MORE = {
    "llama": {"num_key_value_heads": 2},
    "distilbert": {"dim": 16, "n_layers": 2, "n_heads": 4, "hidden_dim": 24},
}


def write_pretrained(folder: Path, kind: str) -> Path:
    """A pre-trained model: an encoder without the head, as the library publishes it."""
    if kind == "esm":
        from transformers import AutoModel

        shutil.copytree(REFERENCE / "nucleotide_transformer_v2", folder)
        shutil.copytree(REFERENCE / "nucleotide_transformer_v1", folder, dirs_exist_ok=True)
        bare = AutoModel.from_pretrained(folder, add_pooling_layer=False)
    else:
        write_library(folder, kind, **MORE.get(kind, {}))
        from transformers import AutoModel

        bare = AutoModel.from_pretrained(folder)
    bare.save_pretrained(folder)
    change_config(folder, id2label=None, label2id=None)
    return folder


def write_adapter(folder: Path, base: Path, outputs: int = 3, **options: Any) -> tuple[Path, Any]:
    """Let peft make an adapter, give it random weights, and save it; give the model that it stands for."""
    from transformers import AutoModelForSequenceClassification

    torch.manual_seed(1)
    model = AutoModelForSequenceClassification.from_pretrained(base, num_labels=outputs, dtype=torch.float64)
    config = peft.LoraConfig(task_type="SEQ_CLS", r=4, lora_alpha=6, **options)
    adapted = peft.get_peft_model(model, config)
    with torch.no_grad():
        for name, parameter in adapted.named_parameters():
            if parameter.requires_grad:
                parameter.copy_(torch.randn(parameter.shape) * 0.2 + ("magnitude" in name))
    adapted.save_pretrained(folder)
    return folder, adapted.double().eval()


def answers(adapted: Any, model: km.Model) -> np.ndarray[Any, Any]:
    tokens = model.tokenize(*SEQUENCES.padded())
    with torch.no_grad():
        ids, mask = model.tensors(tokens)
        return np.asarray(adapted(input_ids=ids, attention_mask=mask).logits)


def edit(folder: Path, **changes: Any) -> None:
    message = json.loads((folder / "adapter_config.json").read_text())
    (folder / "adapter_config.json").write_text(json.dumps(message | changes))


@pytest.fixture(scope="module")
def bert(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    place = tmp_path_factory.mktemp("bert")
    base = write_pretrained(place / "base", "bert")
    return base, write_adapter(place / "adapter", base, **KINDS["bert"])[0]


@pytest.mark.parametrize("kind", KINDS)
def test_merged_it_answers_as_peft_does(kind: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    base = write_pretrained(tmp_path / "base", kind)
    outputs = 2 if kind == "distilbert" else 3  # the library makes as many as config.json says
    folder, adapted = write_adapter(tmp_path / "adapter", base, outputs, **KINDS[kind])
    model = km.load_model(folder, dtype="float64")
    if kind == "llama":
        adapted.config.pad_token_id = model.tokenizer.pad_id
    assert model.name == str(folder)
    assert model.labels == tuple(f"LABEL_{i}" for i in range(outputs))
    np.testing.assert_allclose(model.logits(SEQUENCES), answers(adapted, model), atol=1e-6)
    assert "no config.json next to the adapter" in caplog.text


@pytest.mark.parametrize(
    "options",
    [{"use_rslora": True}, {"use_dora": True}, {"alpha_pattern": {"query": 20}, "rank_pattern": {"value": 2}}],
    ids=lambda options: next(iter(options)),
)
def test_variants(options: dict[str, Any], bert: tuple[Path, Path], tmp_path: Path) -> None:
    folder, adapted = write_adapter(tmp_path / "adapter", bert[0], **KINDS["bert"], **options)
    model = km.load_model(folder, dtype="float64")
    np.testing.assert_allclose(model.logits(SEQUENCES), answers(adapted, model), atol=1e-6)


def test_biases_and_a_config_beside_it(bert: tuple[Path, Path], tmp_path: Path) -> None:
    folder, adapted = write_adapter(tmp_path / "adapter", bert[0], **KINDS["bert"], bias="lora_only")
    by_name = {"id2label": {"0": "a", "1": "b", "2": "c"}, "problem_type": "multi_label_classification"}
    config = json.loads((bert[0] / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | by_name))
    model = km.load_model(folder, dtype="float64")
    assert (model.labels, str(model.problem)) == (("a", "b", "c"), "labels")
    np.testing.assert_allclose(model.logits(SEQUENCES), answers(adapted, model), atol=1e-6)


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "kind": ({"peft_type": "IA3"}, "peft_type is 'IA3' in adapter_config.json"),
    "task": ({"task_type": "TOKEN_CLS"}, "task_type is 'TOKEN_CLS'"),
    "start": ({"init_lora_weights": "pissa"}, "init_lora_weights is 'pissa'"),
    "unknown": ({"use_magic": True}, "sets 'use_magic', which this version of peft does not know"),
    "rank": ({"r": 5}, r"lora_A \[5, 16\], the adapter makes it \[4, 16\]"),
    "no base": ({"base_model_name_or_path": None}, "names no base_model_name_or_path"),
    "base gone": ({"base_model_name_or_path": "./gone"}, r"without the model that it changes \(\./gone\)"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_merged_is_refused_by_name(case: str, bert: tuple[Path, Path], tmp_path: Path) -> None:
    folder = Path(shutil.copytree(bert[1], tmp_path / "adapter"))
    changes, message = REFUSED[case]
    edit(folder, **changes)
    with pytest.raises(CheckpointError, match=message):
        km.load_model(folder)


def test_a_wrong_base_is_refused_by_its_shapes(bert: tuple[Path, Path], tmp_path: Path) -> None:
    other = write_library(tmp_path / "other", "bert", hidden_size=SMALL["hidden_size"] * 2)
    folder = Path(shutil.copytree(bert[1], tmp_path / "adapter"))
    edit(folder, base_model_name_or_path=str(other))
    with pytest.raises(
        CheckpointError, match=r"does not fit the base .*other: 'bert\.\S+' is \[16, 16\] here and \[32, 32\]"
    ):
        km.load_model(folder)
    edit(folder, base_model_name_or_path="bundled:encoder")
    with pytest.raises(CheckpointError, match="does not fit the base bundled:encoder"):
        km.load_model(folder)
    edit(folder, base_model_name_or_path="owner/base", revision="v1")
    with pytest.raises(OfflineError, match="owner/base: no such folder here, no snapshot at revision v1"):
        km.load_model(folder)


@pytest.mark.parametrize(
    ("odd", "message"),
    [
        ("base_model.model.bert.embeddings.word_embeddings.lora_embedding_A", "cannot be merged here"),
        ("prompt.weight", "a tensor that such a model does not use: 'prompt.weight'"),
    ],
)
def test_tensors_of_other_adapters_are_refused(odd: str, message: str, bert: tuple[Path, Path], tmp_path: Path) -> None:
    folder = Path(shutil.copytree(bert[1], tmp_path / "adapter"))
    weights = load_file(folder / "adapter_model.safetensors")
    save_file(weights | {odd: torch.zeros(2, 2)}, folder / "adapter_model.safetensors")
    with pytest.raises(CheckpointError, match=message):
        km.load_model(folder)
    half = {
        key: each for key, each in weights.items() if not key.endswith("layer.0.attention.self.query.lora_B.weight")
    }
    save_file(half, folder / "adapter_model.safetensors")
    with pytest.raises(CheckpointError, match=r"layer\.0\.attention\.self\.query' has no lora_B"):
        km.load_model(folder)


def test_weights_and_an_adapter_in_one_folder_are_refused(bert: tuple[Path, Path], tmp_path: Path) -> None:
    folder = Path(shutil.copytree(bert[0], tmp_path / "both"))
    shutil.copytree(bert[1], folder, dirs_exist_ok=True)
    with pytest.raises(
        CheckpointError, match=r"holds an adapter of peft .* next to a model's weights \(model.safetensors"
    ):
        km.load_model(folder)


def test_without_peft_the_command_is_said(bert: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kmerit.models.checkpoint.find_spec", lambda name: None)
    with pytest.raises(MissingExtra, match=r"pip install 'kmerit\[lora\]'"):
        km.load_model(bert[1])
