"""Load a model: from a path or a name to a model that is ready, with what its outputs mean."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch

from kmerit.errors import CheckpointError, UsageError
from kmerit.models.batching import company_of
from kmerit.models.checkpoint import Checkpoint, read
from kmerit.models.family import family_of
from kmerit.models.model import Model, Trained
from kmerit.models.network import Ability
from kmerit.results import Problem

_KINDS = ("single_label_classification", "multi_label_classification", "regression")


def problem_of(checkpoint: Checkpoint, outputs: int) -> Problem:
    """Read what a checkpoint predicts: what config.json says, else one value for one output and classes for more.

    Args:
        checkpoint: Its ``problem_type`` is what transformers means by it.
        outputs: Of its head.

    Raises:
        CheckpointError: Another problem type, or one that contradicts the outputs.
    """
    problem_type = checkpoint.config.get("problem_type")
    if problem_type is not None and problem_type not in _KINDS:
        raise CheckpointError(
            f"{checkpoint.name}: problem_type is {problem_type!r} in config.json; expected one of {', '.join(_KINDS)}."
        )
    if problem_type == "multi_label_classification":
        return Problem.LABELS
    if problem_type == "single_label_classification" and outputs == 1:
        raise CheckpointError(
            f"{checkpoint.name}: problem_type is {problem_type!r} in config.json, but the head has one output, which "
            f"cannot choose among classes. Correct it to regression or multi_label_classification."
        )
    if outputs == 1:
        return Problem.VALUE
    return Problem.VALUES if problem_type == "regression" else Problem.CLASSES


def labels_of(checkpoint: Checkpoint, outputs: int) -> tuple[str, ...]:
    """Read the names of the outputs, in their order; ``LABEL_0`` ... where there are none.

    Raises:
        CheckpointError: Names for another number of outputs than the head has.
    """
    config, name = checkpoint.config, checkpoint.name
    plain = tuple(f"LABEL_{i}" for i in range(outputs))
    number = config.get("num_labels")
    if number is not None and number != outputs:
        raise CheckpointError(f"{name}: num_labels is {number!r} in config.json; the head has {outputs} outputs.")
    names: Any = config.get("id2label")
    if not names:
        return plain
    if not isinstance(names, dict):
        raise CheckpointError(f"{name}: expected a name for each output as 'id2label' in config.json, got {names!r}.")
    if set(names) == {str(i) for i in range(outputs)}:
        return tuple(str(names[str(i)]) for i in range(outputs))
    if number == outputs and all(re.fullmatch(r"LABEL_\d+", str(label)) for label in names.values()):
        return plain  # early versions of transformers left two of these for any num_labels
    raise CheckpointError(
        f"{name}: id2label names {len(names)} outputs in config.json ({', '.join(map(str, list(names.values())[:3]))}"
        f" ...); the head has {outputs}, numbered from 0."
    )


_DTYPES = {"float32": torch.float32, "float64": torch.float64, "bfloat16": torch.bfloat16}
MICRO_BATCH = 8
"""Sequences of some 200 tokens per forward pass: what stays in a processor's cache."""


def load_model(
    path_or_name: str | os.PathLike[str],
    device: str = "auto",
    dtype: str = "float32",
    micro_batch: int = MICRO_BATCH,
    revision: str | None = None,
) -> Model:
    """Load a genomic classifier.

    Args:
        path_or_name: A folder in Hugging Face's layout, a hub name (``owner/name``), or ``bundled:promoter``,
            ``bundled:enhancer``.
        device: ``auto`` (a GPU if there is one), ``cpu``, ``cuda``, ``cuda:1``, ``mps``.
        dtype: ``float32``, ``float64`` or ``bfloat16`` (prediction only).
        micro_batch: Sequences per forward pass.
        revision: Branch, tag or commit of a hub name; ``owner/name@revision`` says the same.

    Raises:
        CheckpointError: Truncated, without a classification head, of an architecture that no family covers, with
            tensors or settings that would have to be ignored, or answering the same question otherwise each time.
        OfflineError: A hub name, and no network.
        UsageError: An unknown device or dtype.

    Example:
        >>> model = load_model("bundled:promoter")
        >>> model.labels
        ('background', 'promoter')
    """
    if dtype not in _DTYPES:
        raise UsageError(f"dtype: expected one of {', '.join(_DTYPES)}, got {dtype!r}.")
    if micro_batch < 1:
        raise UsageError(f"micro_batch: expected at least 1 sequence, got {micro_batch}.")
    where = find_device(device)
    checkpoint = read(path_or_name, revision, _DTYPES[dtype])
    family = family_of(checkpoint)
    checkpoint.check_architecture()
    digest = checkpoint.digest  # before the tensors are taken
    parts = family.build(checkpoint)
    checkpoint.close(parts.unused, parts.ignored)
    outputs = parts.encoder.outputs
    return Model(
        name=checkpoint.name,
        family=family.name,
        encoder=parts.encoder.to(where, _DTYPES[dtype]),
        tokenizer=parts.tokenizer,
        labels=labels_of(checkpoint, outputs),
        problem=problem_of(checkpoint, outputs),
        digest=digest,
        micro_batch=micro_batch,
        max_tokens=parts.max_tokens,
        abilities=parts.abilities | ({Ability.MASKING} if parts.tokenizer.mask_id is not None else set()),
        trained=_trained(checkpoint.config),
        company=company_of(checkpoint.name, parts.encoder, parts.tokenizer, parts.max_tokens),
    )


def _trained(config: Mapping[str, Any]) -> Trained | None:
    """Read which lengths kmerit's own training recorded, if it did: those, or at least the crop."""
    about = config.get("kmerit")
    if not isinstance(about, dict) or about.get("stage") != "finetune":
        return None
    crop = str(about.get("crop", "none"))
    match about.get("lengths"), crop.split():
        case [int(shortest), int(longest)], _:
            return Trained(shortest, longest, crop)
        case _, [length, "nt,", _] if length.isdecimal():
            return Trained(int(length), int(length), crop)
    return None


def elsewhere(model: Model, device: str, dtype: str, micro_batch: int) -> Model:
    """Copy a model to a device, in a dtype, with a micro-batch, all named as for `load_model`.

    Raises:
        UsageError: An unknown device or dtype.
    """
    if dtype not in _DTYPES:
        raise UsageError(f"dtype: expected one of {', '.join(_DTYPES)}, got {dtype!r}.")
    return replace(model, encoder=model.encoder.to(find_device(device), _DTYPES[dtype]), micro_batch=micro_batch)


def in_float64(model: Model) -> Model:
    """Copy a model, to compute in float64; on the processor where the device cannot."""
    device = torch.device("cpu") if model.device.type == "mps" else model.device
    return replace(model, encoder=model.encoder.to(device, torch.float64))


def find_device(name: str) -> torch.device:
    """Find a device by its name.

    Raises:
        UsageError: It is not there.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError) as error:
        raise UsageError(f"device: {name!r} is not available here. Try 'cpu', or 'auto'.") from error
    return device
