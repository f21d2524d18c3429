"""Low-rank adapters as peft saves them: folders without weights, merged into the model that they change.

Source: hu2022 for LoRA; peft's own layers compute what is added, with its scales, patterns and DoRA.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Mapping
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from kmerit.errors import CheckpointError, MissingExtra, OfflineError, UnknownName
from kmerit.models.checkpoint import Checkpoint, Settings, Tensors, open_file, read_object

_LOG = logging.getLogger(__name__)
_FILES = ("adapter_model.safetensors", "adapter_model.bin")
_TOKENIZERS = ("tokenizer.json", "vocab.txt", "tokenizer_config.json")
_PARTS = ("lora_A", "lora_B", "lora_magnitude_vector")
_STARTS = (None, True, False, "gaussian", "orthogonal", "eva")
"""How adapters start without changing the base; after training the weights say all."""
_HEADS = ("id2label", "label2id", "num_labels", "problem_type")
Read = Callable[[str, str | None], Checkpoint]


def merged(folder: Path, name: str, config: Mapping[str, Any], read: Read) -> Checkpoint:
    """Read an adapter and the model that it changes, and add the one to the other.

    Args:
        folder: Of the adapter.
        name: What errors call it.
        config: Its adapter_config.json.
        read: Reads the base, by path or name and revision.

    Raises:
        CheckpointError: It is no LoRA for sequence classifiers, its base is not here or another, or it holds something
            that cannot be merged.
        MissingExtra: peft is not installed.
    """
    _check(name, config)
    if find_spec("peft") is None:
        raise MissingExtra("peft", "lora", f"{name}: is an adapter of peft; merging it into its model")
    base = _base(folder, name, config, read)
    saved = tuple(f"{each}." for each in config.get("modules_to_save") or ())
    lora, whole = _sorted(folder, name, saved)
    tensors = _with_stem(base.tensors, lora)
    for key, tensor in whole.items():
        if not key.startswith(saved) and key in tensors and tensors.shape(key) != tuple(tensor.shape):
            raise _other_base(name, base, f"{key!r} is {list(tensor.shape)} here and {list(tensors.shape(key))} there")
    new = {key.split(".")[0] for key in whole} - {key.split(".")[0] for key in tensors}
    tensors = tensors.changed(whole, without=saved)
    tensors = tensors.changed(_added(name, base, config, lora, tensors))
    return replace(
        base,
        name=name,
        folder=folder if any((folder / each).is_file() for each in _TOKENIZERS) else base.folder,
        config=_config(folder, name, base, bool(new)),
        tensors=tensors,
    )


def _check(name: str, config: Mapping[str, Any]) -> None:
    """Refuse what is no LoRA of a sequence classifier, or changes its base in another way, too."""
    for key, values in (
        ("peft_type", ("LORA",)),
        ("task_type", (None, "SEQ_CLS", "FEATURE_EXTRACTION")),
        ("fan_in_fan_out", (None, False)),
        ("layer_replication", (None,)),
        ("init_lora_weights", _STARTS),
    ):
        if config.get(key) not in values:
            raise CheckpointError(
                f"{name}: {key} is {config[key]!r} in adapter_config.json; only LoRA on a sequence classifier's linear "
                f"layers, which leaves the base as it is, can be merged here. Merge it with peft: merge_and_unload()."
            )


def _base(folder: Path, name: str, config: Mapping[str, Any], read: Read) -> Checkpoint:
    base_name = config.get("base_model_name_or_path")
    if not isinstance(base_name, str) or not base_name:
        raise CheckpointError(f"{name}: adapter_config.json names no base_model_name_or_path, which it changes.")
    if Path(base_name).expanduser().resolve() == folder.resolve():
        raise CheckpointError(f"{name}: adapter_config.json names this very folder as base_model_name_or_path.")
    revision = config.get("revision") if not Path(base_name).expanduser().exists() else None
    try:
        return read(base_name, revision)
    except (CheckpointError, OfflineError, UnknownName) as error:
        kind = OfflineError if isinstance(error, OfflineError) else CheckpointError
        raise kind(
            f"{name}: an adapter of peft, without the model that it changes ({base_name}). Put that here, and its path "
            f"into base_model_name_or_path in {folder / 'adapter_config.json'}. {error}"
        ) from error


def _sorted(folder: Path, name: str, saved: tuple[str, ...]) -> tuple[dict[str, dict[str, Tensor]], dict[str, Tensor]]:
    """Sort the tensors of an adapter: per layer what is added to it, and tensors that stand in place of the base's."""
    path = next((folder / file for file in _FILES if (folder / file).is_file()), None)
    if path is None:
        raise CheckpointError(f"{name}: expected {' or '.join(_FILES)} next to adapter_config.json, found neither.")
    lora: dict[str, dict[str, Tensor]] = {}
    whole: dict[str, Tensor] = {}
    tensors = open_file(path)
    for key in tensors:
        plain = key.removeprefix("base_model.model.").replace(".default.", ".")
        parts = plain.split(".")
        if "original_module" in parts and plain.startswith(saved):
            continue  # what modules_to_save stand in place of
        plain = ".".join(part for part in parts if part not in ("modules_to_save", "base_layer"))
        layer, mark, rest = plain.partition(".lora_")
        kind = f"lora_{rest.removesuffix('.weight')}" if mark else ""
        if kind in _PARTS:
            place, at = lora.setdefault(layer, {}), kind
        elif not mark:  # a new head, a bias, a table of embeddings; whether the model has such a tensor is seen later
            place, at = whole, plain
        else:
            raise CheckpointError(
                f"{path}: {key!r} cannot be merged here; expected lora_A and lora_B of linear layers, and whole "
                f"tensors. Merge it with peft: merge_and_unload(), then save_pretrained()."
            )
        if at in place and not torch.equal(place[at], tensors[key]):
            raise CheckpointError(f"{path}: {key!r} differs from another tensor of the same place. Save it again.")
        place[at] = tensors[key]
    for layer, halves in lora.items():
        if missing := [part for part in _PARTS[:2] if part not in halves]:
            raise CheckpointError(f"{path}: {layer!r} has no {missing[0]}. Is the file whole?")
    return lora, whole


def _with_stem(tensors: Tensors, lora: Mapping[str, Any]) -> Tensors:
    """Name the tensors of a bare encoder as they are called under a head, where the adapter's layers are there."""
    stems = {f"{layer.split('.')[0]}." for layer in lora if f"{layer}.weight" not in tensors}
    for stem in sorted(stems):
        if all(f"{layer}.weight".removeprefix(stem) in tensors for layer in lora if layer.startswith(stem)):
            return tensors.behind(stem)
    return tensors


def _added(
    name: str,
    base: Checkpoint,
    config: Mapping[str, Any],
    lora: Mapping[str, Mapping[str, Tensor]],
    tensors: Tensors,
) -> dict[str, Tensor]:
    """Let peft's layers add to the base's weights what the adapter says, in float64."""
    root = nn.Module()
    for layer, parts in lora.items():
        weight = tensors.get(f"{layer}.weight")
        if weight is None:
            raise _other_base(name, base, f"{layer!r} is no layer of it")
        shape = (parts["lora_B"].shape[0], parts["lora_A"].shape[-1])
        if weight.ndim != 2 or tuple(weight.shape) != shape:
            raise _other_base(name, base, f"{layer!r} is {list(shape)} here and {list(weight.shape)} there")
        linear = nn.Linear(shape[1], shape[0], bias=False, dtype=torch.float64)
        linear.weight = nn.Parameter(weight.double(), requires_grad=False)
        *path, leaf = layer.split(".")
        node = root
        for part in path:
            if part not in node._modules:
                node.add_module(part, nn.Module())
            node = node.get_submodule(part)
        node.add_module(leaf, linear)
    _inject(root, name, config, lora)
    return {f"{layer}.weight": _merged_weight(root.get_submodule(layer)) for layer in lora}


def _inject(root: nn.Module, name: str, config: Mapping[str, Any], lora: Mapping[str, Mapping[str, Tensor]]) -> None:
    from peft import LoraConfig, inject_adapter_in_model

    fields = LoraConfig.__dataclass_fields__
    if odd := [key for key, value in config.items() if key not in fields and value]:
        raise CheckpointError(
            f"{name}: adapter_config.json sets {odd[0]!r}, which this version of peft does not know. Upgrade it."
        )
    left_out = ("modules_to_save", "layers_to_transform", "layers_pattern", "exclude_modules", "inference_mode")
    settings = {key: value for key, value in config.items() if key in fields and key not in left_out}
    settings |= {"target_modules": sorted(lora), "init_lora_weights": False, "lora_dropout": 0.0, "bias": "none"}
    inject_adapter_in_model(LoraConfig(**settings), root)
    for layer, parts in lora.items():
        adapted: Any = root.get_submodule(layer)
        for part, tensor in parts.items():
            place: Any = getattr(adapted, part)
            if "default" not in place or place["default"].weight.shape != tensor.shape:
                there = list(place["default"].weight.shape) if "default" in place else "none"
                raise CheckpointError(
                    f"{name}: adapter_config.json makes {layer}.{part} {there}, the adapter makes it "
                    f"{list(tensor.shape)}."
                )
            place["default"].weight = nn.Parameter(tensor.double(), requires_grad=False)


def _merged_weight(adapted: Any) -> Tensor:
    with torch.no_grad():
        adapted.merge()
    weight: Tensor = adapted.get_base_layer().weight.detach()
    return weight


def _config(folder: Path, name: str, base: Checkpoint, headless: bool) -> Settings:
    """Read config.json next to the adapter, else the base's without the settings of another head."""
    if (folder / "config.json").is_file():
        config = read_object(folder / "config.json")
    else:
        config = {key: base.config[key] for key in base.config if not (headless and key in _HEADS)}
        if headless:
            _LOG.warning(
                f"{name}: no config.json next to the adapter defines its outputs; several are taken to be "
                f"classes, LABEL_0, LABEL_1 ..., one to be a value. Save the model's config.json there if not."
            )
    architectures = config.get("architectures")
    if (
        isinstance(architectures, list)
        and architectures
        and headless
        and "ForSequenceClassification" not in str(architectures[0])
    ):
        config["architectures"] = ["ForSequenceClassification"]
    return Settings(config)


def _other_base(name: str, base: Checkpoint, what: str) -> CheckpointError:
    return CheckpointError(
        f"{name}: does not fit the base {os.fspath(base.name)}: {what}. Is that the model it was trained on?"
    )
