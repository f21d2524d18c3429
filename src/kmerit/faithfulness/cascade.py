"""Models whose weights are made random, layer after layer from the head down. Source: adebayo2018, section 3."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields, is_dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from kmerit.draws import generator
from kmerit.errors import ModelError
from kmerit.models import Model

_EMBEDDINGS = ("words", "positions", "kinds", "added", "norm", "last_norm")
"""What is left of an encoder besides its layers and its head, by the names that it may have."""


def has_parts(model: Model) -> bool:
    """Say whether the parts of a model are known, so that `cascade` can make them random one by one.

    Example:
        >>> import kmerit as km
        >>> has_parts(km.load_model("bundled:promoter"))
        True
    """
    return {"classifier", "pooler", "layers", "words"} <= set(_parts(model.encoder))


def _parts(encoder: Any) -> list[str]:
    return [field.name for field in fields(encoder)] if is_dataclass(encoder) else []


def cascade(model: Model, seed: int) -> Iterator[tuple[str, Model]]:
    """Give the model with ever more of its weights made random: the head, then every layer, the embeddings last.

    # Differs from adebayo2018: the entries of each tensor are permuted, not drawn anew, so that every tensor keeps its
    distribution whatever it was initialised with.

    Args:
        model: Left as it is.
        seed: Of the permutations; the same tensor is permuted alike in every stage.

    Yields:
        The stage's name (``classifier``, ``pooler``, ``layer 2``, ..., ``embeddings``: what became random last) and
        the model.

    Raises:
        ModelError: The model's forward pass is a library's, so that its parts are not known.

    Example:
        >>> import kmerit as km
        >>> [stage for stage, _ in cascade(km.load_model("bundled:promoter"), seed=0)]
        ['classifier', 'pooler', 'layer 3', 'layer 2', 'layer 1', 'embeddings']
    """
    encoder: Any = model.encoder
    parts = _parts(encoder)
    if not has_parts(model):
        raise ModelError(
            f"{model.name}: its weights cannot be made random part by part, for its forward pass is a library's. "
            f"Take a model of a family with an encoder of its own: kmerit list families"
        )

    def spoilt(stage: str, **changed: Any) -> tuple[str, Model]:
        nonlocal encoder
        encoder = replace(encoder, **changed)
        return stage, replace(model, encoder=encoder, digest=f"{model.digest}|{stage}|{seed}")

    for name in ("classifier", "pooler"):
        yield spoilt(name, **{name: _permuted(getattr(encoder, name), seed, name)})
    for i in reversed(range(len(encoder.layers))):
        layer = _permuted(encoder.layers[i], seed, f"layer{i}")
        yield spoilt(f"layer {i + 1}", layers=(*encoder.layers[:i], layer, *encoder.layers[i + 1 :]))
    rest = [name for name in parts if name in _EMBEDDINGS]
    yield spoilt("embeddings", **{name: _permuted(getattr(encoder, name), seed, name) for name in rest})


def _permuted(part: Any, seed: int, name: str) -> Any:
    """Copy a part of an encoder with the entries of every tensor permuted."""
    if isinstance(part, Tensor):
        order = generator(seed, "cascade", 0, name).permutation(part.numel())
        return part.flatten()[torch.from_numpy(np.asarray(order)).to(part.device)].reshape(part.shape).contiguous()
    if isinstance(part, tuple):
        return tuple(_permuted(each, seed, f"{name}.{i}") for i, each in enumerate(part))
    if is_dataclass(part) and not isinstance(part, type):
        made = {f.name: _permuted(getattr(part, f.name), seed, f"{name}.{f.name}") for f in fields(part)}
        return replace(part, **made)
    return part
