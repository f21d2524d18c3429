"""The door to models: from a path or a name to a model that is ready."""

from __future__ import annotations

import os
from dataclasses import fields, is_dataclass, replace
from typing import Any

import torch
from torch import Tensor

from kmerit.errors import CheckpointError, UsageError
from kmerit.models.checkpoint import read
from kmerit.models.family import families
from kmerit.models.model import Model

_DTYPES = {"float32": torch.float32, "float64": torch.float64, "bfloat16": torch.bfloat16}
MICRO_BATCH = 8
"""Sequences of some 200 tokens per forward pass: what stays in a processor's cache."""


def load_model(
    path_or_name: str | os.PathLike[str],
    device: str = "auto",
    dtype: str = "float32",
    micro_batch: int = MICRO_BATCH,
) -> Model:
    """Load a genomic classifier.

    Args:
        path_or_name: A folder in Hugging Face's layout, a hub name (``owner/name``), or ``bundled:promoter``,
            ``bundled:enhancer``.
        device: ``auto`` (a GPU if there is one), ``cpu``, ``cuda``, ``cuda:1``, ``mps``.
        dtype: ``float32``, ``float64`` or ``bfloat16`` (prediction only).
        micro_batch: Sequences per forward pass.

    Raises:
        CheckpointError: Truncated, without a classification head, or of an architecture that no family covers.
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
    where = _device(device)
    checkpoint = read(path_or_name)
    family = next((family for family in families().values() if family.fits(checkpoint)), None)
    if family is None:
        known = "; ".join(f"{family.name} ({family.summary})" for family in families().values())
        raise CheckpointError(
            f"{checkpoint.name}: model_type {checkpoint.config.get('model_type')!r} with vocab_size "
            f"{checkpoint.config.get('vocab_size')!r} belongs to no family. Known: {known}."
        )
    parts = family.build(checkpoint)
    outputs = int(parts.encoder.classifier.weight.shape[0])
    labels = checkpoint.config.get("id2label") or {}
    return Model(
        name=checkpoint.name,
        family=family.name,
        encoder=_convert(parts.encoder, where, _DTYPES[dtype]),
        tokenizer=parts.tokenizer,
        labels=tuple(str(labels.get(str(i), f"LABEL_{i}")) for i in range(outputs)),
        regression=outputs == 1 or checkpoint.config.get("problem_type") == "regression",
        shortest=parts.shortest,
        token_count=parts.token_count,
        max_tokens=parts.max_tokens,
        digest=checkpoint.digest,
        micro_batch=micro_batch,
        mask_id=parts.mask_id,
    )


def in_float64(model: Model) -> Model:
    """Copy a model, to compute in float64; on the processor where the device cannot."""
    device = torch.device("cpu") if model.device.type == "mps" else model.device
    return replace(model, encoder=_convert(model.encoder, device, torch.float64))


def _device(name: str) -> torch.device:
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError) as error:
        raise UsageError(f"device: {name!r} is not available here. Try 'cpu', or 'auto'.") from error
    return device


def _convert(part: Any, device: torch.device, dtype: torch.dtype) -> Any:
    """Copy an encoder with every tensor on a device and in a dtype."""
    if isinstance(part, Tensor):
        return part.to(device, dtype).clone(memory_format=torch.contiguous_format)  # aligned: same bits on every load
    if isinstance(part, tuple):
        return tuple(_convert(item, device, dtype) for item in part)
    if is_dataclass(part) and not isinstance(part, type):
        return replace(part, **{f.name: _convert(getattr(part, f.name), device, dtype) for f in fields(part)})
    return part
