"""What is trained: a network with its tokeniser, adapters where they are asked for, and how it is published."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from transformers import AutoConfig, PreTrainedModel, set_seed
from transformers.models.auto.modeling_auto import MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING

from kmerit.errors import CheckpointError, ConfigError, MissingExtra
from kmerit.models import kmer
from kmerit.models.checkpoint import Checkpoint, read
from kmerit.models.families.huggingface import positions
from kmerit.models.subwords import read_subwords
from kmerit.models.tokenizer import Tokenizer
from kmerit.store import publishing, write_json
from kmerit.training.bases import Base, base_of, copy_tokenizer
from kmerit.training.config import FinetuneConfig
from kmerit.training.networks import classifier, loading, publish
from kmerit.training.trainable import Trainable

ADAPTER = "adapter"
"""The folder, next to a published model, of the adapter that was merged into it."""

Publish = Callable[[Path, Mapping[str, Any]], list[str]]


@dataclass(frozen=True, eq=False)
class Learner:
    """A network to be trained.

    Attributes:
        module: From ``input_ids`` and ``attention_mask`` to ``logits``.
        tokenizer: What makes the ids.
        max_tokens: How many of them it takes, special tokens included.
        publish: Writes it to a folder that ``load_model`` reads, with what config.json shall say under ``kmerit``;
            gives the names of the files.
    """

    module: nn.Module
    tokenizer: Tokenizer
    max_tokens: int
    publish: Publish


Network = Callable[[FinetuneConfig, Sequence[str]], PreTrainedModel]
"""Makes a network over k-mer tokens from the recipe and the names of the outputs."""


def learner(config: FinetuneConfig, outputs: Sequence[str], network: Network | None = None) -> Learner:
    """Make the network of a recipe: a new one, or a base of any family with a new head.

    Models over DNABERT's k-mers, and those that only transformers knows, are trained by transformers' own classes, with
    its dropouts. The others are trained by the forward pass that predicts (``trainable``); of dropouts they know
    ``hidden_dropout`` alone, on the embeddings.

    Args:
        config: The recipe.
        outputs: Names of classes, of labels, or of values.
        network: Makes a network of the caller's in place of a base or a new BERT.

    Raises:
        CheckpointError: The base cannot be read, or not be trained.
        ConfigError: The recipe asks for what such a base does not have.
        MissingExtra: Adapters, without peft.
    """
    set_seed(config.seed)
    over_kmers = network is not None or _over_kmers(config)
    base = None if over_kmers else base_of(str(config.base), outputs, config.problem_type, config.seed)
    if base is not None:
        _refuse(config, {"attention_dropout": 0.0, "head_dropout": None, "teachers": []}, base.family.name)
        module: Any = Trainable(base.checkpoint.tensors, base.network, config.hidden_dropout, base.head.constants)
        adapt = _adapted(module, config, skipped=base.new)
        return Learner(module, base.tokenizer, base.max_tokens, partial(_publish_base, module, base, adapt))
    if over_kmers:
        module, k = classifier(config, outputs) if network is None else (network(config, outputs), config.k)
        adapt = _adapted(module, config, skipped=("classifier",))
        most = int(module.config.max_position_embeddings)
        return Learner(module, kmer.Overlapping(k), most, partial(_publish_kmers, module, k, adapt))
    checkpoint = read(str(config.base))
    _refuse(config, {"attention_dropout": 0.0, "head_dropout": None, "teachers": []}, "transformers' own classes")
    module = _library(checkpoint, config, outputs)
    tokenizer = read_subwords(checkpoint, len(module.get_input_embeddings().weight))
    module.config.pad_token_id = tokenizer.pad_id  # some heads look for the last token before the padding
    adapt = _adapted(module, config, skipped=("classifier", "score"))
    return Learner(module, tokenizer, positions(module), partial(_publish_library, module, checkpoint, adapt))


def _over_kmers(config: FinetuneConfig) -> bool:
    """Return whether a recipe starts from nothing, or from a BERT over all k-mers."""
    if config.base is None:
        return True
    checkpoint = read(config.base)
    size = checkpoint.config.get("vocab_size")
    words = checkpoint.json("tokenizer.json").get("model", {}).get("vocab")
    sizes = {4**k + len(kmer.SPECIAL): k for k in range(1, 9)}
    if checkpoint.config.get("model_type") != "bert" or size not in sizes:
        return False
    return words is None or set(kmer.vocabulary(sizes[size])) <= {str(word) for word in words}


def _refuse(config: FinetuneConfig, absent: Mapping[str, Any], who: str) -> None:
    for key, nothing in absent.items():
        if getattr(config, key) != nothing:
            raise ConfigError(f"{key}: not supported where {who} is trained from {config.base}. Leave it out.")


def _library(checkpoint: Checkpoint, config: FinetuneConfig, outputs: Sequence[str]) -> Any:
    """Let transformers load an encoder and put a new head on it."""
    with loading(checkpoint.name):
        shape = AutoConfig.from_pretrained(checkpoint.folder, trust_remote_code=False, local_files_only=True)
        if type(shape) not in MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING:
            raise CheckpointError(f"{checkpoint.name}: transformers has no classifier of {shape.model_type!r}.")
        shape.num_labels = len(outputs)
        shape.id2label = dict(enumerate(outputs))
        shape.label2id = {name: i for i, name in enumerate(outputs)}
        shape.problem_type = config.problem_type
        shape.dtype = torch.float32
        kind: Any = MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING[type(shape)]
        module, report = kind.from_pretrained(
            checkpoint.folder,
            config=shape,
            dtype=torch.float32,
            trust_remote_code=False,
            local_files_only=True,
            ignore_mismatched_sizes=True,
            output_loading_info=True,
        )
    stem = f"{module.base_model_prefix}."
    missing = [key for key in report["missing_keys"] if key.startswith(stem) and "pool" not in key]
    if missing:
        raise CheckpointError(
            f"{checkpoint.name}: {len(missing)} tensors of the encoder are missing, {sorted(missing)[0]!r} first. "
            f"Is it a checkpoint of this architecture?"
        )
    return module


Adapt = Any
"""The configuration of peft's adapter; None where all weights are trained."""


def _adapted(module: nn.Module, config: FinetuneConfig, skipped: Sequence[str]) -> Adapt:
    """Freeze a network but for its new head, and add low-rank adapters to its linear layers.

    Source: hu2022.
    """
    if config.lora is None:
        return None
    try:
        from peft import LoraConfig, inject_adapter_in_model
    except ImportError:
        raise MissingExtra("peft", "lora", "Training low-rank adapters") from None
    heads = tuple(name.removesuffix(".weight").removesuffix(".bias") for name in skipped)
    linear = [name for name, part in module.named_modules() if isinstance(part, nn.Linear)]
    inner = [name for name in linear if not name.removeprefix("tree.").startswith(heads) and "filter_fn" not in name]
    targets = config.lora.targets
    if targets is not None:
        unknown = [each for each in targets if not any(name.endswith(each) for name in inner)]
        if unknown:
            kinds = sorted({name.rsplit(".", 1)[-1] for name in inner})
            raise ConfigError(
                f"lora.targets: no linear layer's name ends in {unknown[0]!r}. There are: {', '.join(kinds)}."
            )
        inner = [name for name in inner if name.endswith(tuple(targets))]
    adapter = LoraConfig(r=config.lora.rank, lora_alpha=config.lora.alpha, target_modules=inner)
    inject_adapter_in_model(adapter, module)
    for name, parameter in module.named_parameters():
        if name.removeprefix("tree.").startswith(heads):
            parameter.requires_grad_(True)
    adapter.base_model_name_or_path = config.base
    return adapter


def _write_adapter(
    module: nn.Module, adapter: Adapt, part: Path, published: Callable[[str], str], config: Mapping[str, Any]
) -> None:
    """Write what was trained, adapters and the head, as peft names it; with the base it is the whole model."""
    if adapter is None:
        return
    folder = part / ADAPTER
    folder.mkdir(exist_ok=True)
    trained = {
        published(name).replace(".default", ""): value.detach().cpu().contiguous()
        for name, value in module.named_parameters()
        if value.requires_grad
    }
    tensors = {f"base_model.model.{name}": value for name, value in trained.items()}
    save_file(tensors, folder / "adapter_model.safetensors", metadata={"format": "pt"})
    adapter.target_modules = sorted(published(name) for name in adapter.target_modules)
    adapter.modules_to_save = sorted({name.rpartition(".")[0] for name in trained if ".lora_" not in name})
    adapter.task_type = "SEQ_CLS"
    write_json(folder / "config.json", dict(config))
    adapter.save_pretrained(str(folder))


def _publish_base(module: nn.Module, base: Base, adapter: Adapt, out: Path, about: Mapping[str, Any]) -> list[str]:
    trained: Any = module
    with publishing(out) as (part, written), torch.no_grad():
        tensors: dict[str, Tensor] = {name: each.cpu().contiguous() for name, each in trained.tensors().items()}
        save_file(tensors, part / "model.safetensors", metadata={"format": "pt"})
        base.write_files(part, about)
        config = json.loads((part / "config.json").read_text(encoding="utf-8"))
        _write_adapter(module, adapter, part, lambda name: name.removeprefix("tree."), config)
    return written


def _publish_kmers(module: Any, k: int, adapter: Adapt, out: Path, about: Mapping[str, Any]) -> list[str]:
    with publishing(out) as (part, written):
        _write_adapter(module, adapter, part, str, json.loads(module.config.to_json_string()))
    _merge(module)
    return [*written, *publish(module, out, k, dict(about))]


def _publish_library(
    module: Any, checkpoint: Checkpoint, adapter: Adapt, out: Path, about: Mapping[str, Any]
) -> list[str]:
    with publishing(out) as (part, written):
        _write_adapter(module, adapter, part, str, json.loads(module.config.to_json_string()))
        _merge(module)
        module.config.kmerit = dict(about)
        module.save_pretrained(part)
        copy_tokenizer(checkpoint.folder, part)
    return written


def _merge(module: nn.Module) -> None:
    """Add adapters to what they adapt, and take them out of the network."""
    for name, each in list(module.named_modules()):
        if hasattr(each, "lora_A"):
            adapted: Any = each
            adapted.merge()
            path, _, leaf = name.rpartition(".")
            setattr(module.get_submodule(path), re.sub(r"^.*\.", "", leaf), adapted.get_base_layer())
