"""Models that know nothing, of the shape of one that does: random weights, or its own permuted within each matrix."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from kmerit.errors import CheckpointError
from kmerit.models.checkpoint import Checkpoint, read
from kmerit.models.inference import MicroBatch
from kmerit.models.model import Model, of_checkpoint
from kmerit.sequences import generator

_STD = 0.02
_NORM = re.compile(r"(norm|ln)[^.]*\.(weight|gamma)$", re.IGNORECASE)
_CONSTANT = re.compile(r"inv_freq|rotary|slopes")
_STEP = re.compile(r"checkpoint-(\d+)")


def random_weights(
    path_or_name: str | os.PathLike[str], seed: int, device: str = "auto", micro_batch: MicroBatch = "auto"
) -> Model:
    """Make a model of a checkpoint's shape with random weights.

    Matrices are normal with the deviation ``initializer_range`` of config.json (0.02 by default), biases 0, the weights
    of norms 1; whole numbers and tables of positions that are computed stay.

    Args:
        path_or_name: As for ``load_model``.
        seed: Of the draws.
        device: As for ``load_model``.
        micro_batch: As for ``load_model``.

    Example:
        >>> one, other = (random_weights("bundled:promoter", seed=seed) for seed in (0, 1))
        >>> one.name, one.digest != other.digest
        ('bundled:promoter (random, seed 0)', True)
    """
    checkpoint = read(path_or_name)
    value = checkpoint.config.get("initializer_range", _STD)
    std = float(value) if isinstance(value, int | float) else _STD

    def fresh(name: str, tensor: Tensor) -> Tensor:
        if tensor.ndim > 1:
            draws = generator(seed, "random weights", 0, name).standard_normal(tuple(tensor.shape), dtype=np.float32)
            return torch.from_numpy(draws) * std
        scale = _NORM.search(name) or (tensor.ndim == 1 and name.endswith((".weight", ".running_var")))
        return torch.ones(tensor.shape) if scale else torch.zeros(tensor.shape)

    return _changed(checkpoint, fresh, f"random, seed {seed}", device, micro_batch)


def permuted_weights(
    path_or_name: str | os.PathLike[str], seed: int, device: str = "auto", micro_batch: MicroBatch = "auto"
) -> Model:
    """Make a model of a checkpoint with the entries of every matrix permuted; vectors stay.

    Args:
        path_or_name: As for ``load_model``.
        seed: Of the permutations.
        device: As for ``load_model``.
        micro_batch: As for ``load_model``.

    Example:
        >>> permuted_weights("bundled:promoter", seed=0).name
        'bundled:promoter (permuted, seed 0)'
    """

    def permuted(name: str, tensor: Tensor) -> Tensor:
        if tensor.ndim < 2:
            return tensor
        order = generator(seed, "permuted weights", 0, name).permutation(tensor.numel())
        return tensor.flatten()[torch.from_numpy(order)].reshape(tensor.shape)

    return _changed(read(path_or_name), permuted, f"permuted, seed {seed}", device, micro_batch)


def _changed(
    checkpoint: Checkpoint, change: Callable[[str, Tensor], Tensor], suffix: str, device: str, micro_batch: MicroBatch
) -> Model:
    tensors = {}
    for name in checkpoint.tensors:
        tensor = checkpoint.tensors[name]
        weights = tensor.is_floating_point() and not _CONSTANT.search(name)
        tensors[name] = change(name, tensor.float()).contiguous() if weights else tensor
    renamed_checkpoint = replace(checkpoint.holding(tensors), name=f"{checkpoint.name} ({suffix})", dtype=torch.float32)
    return replace(of_checkpoint(renamed_checkpoint, device, "float32", micro_batch), trained=None)


def training_steps(folder: str | os.PathLike[str]) -> dict[int, str]:
    """List what a training left on its way: the folders ``checkpoint-N`` inside one, by N.

    Raises:
        CheckpointError: There is none.
    """
    matches = ((_STEP.fullmatch(each.name), each.path) for each in os.scandir(folder)) if os.path.isdir(folder) else ()
    steps = {int(match[1]): path for match, path in matches if match}
    if not steps:
        raise CheckpointError(f"{os.fspath(folder)}: expected folders checkpoint-N, as a Trainer leaves; found none.")
    return dict(sorted(steps.items()))
