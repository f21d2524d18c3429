"""The door to models: from a path or a name to a model that is ready."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch

from kmerit.errors import UsageError
from kmerit.models.checkpoint import read
from kmerit.models.company import company_of
from kmerit.models.family import family_of
from kmerit.models.model import Model, Trained
from kmerit.models.network import Ability
from kmerit.models.problems import labels_of, problem_of

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
