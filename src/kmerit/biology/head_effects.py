"""What heads do: the change of the output where a head's part of the mixture is replaced by its mean.

A head's output enters the projection behind attention as one slice of its input. Replacing the slice by its mean over
windows and tokens is the same as taking its columns out of the projection and adding their product with the mean to the
bias; so an ablated model is a model like any other, and no forward pass has to know of it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from kmerit.biology.motif_use import log_odds
from kmerit.errors import UnsupportedMethod
from kmerit.models.differentiable import Affine
from kmerit.models.inference import batches, part, slices
from kmerit.models.layers import Linear
from kmerit.models.library import Library
from kmerit.models.model import Model
from kmerit.sequences import Bool, Floats, Int64, Sequences
from kmerit.uncertainty import resampled

Head = tuple[int, int]
"""Layer and head, from 0."""
_PROJECTIONS = (
    "attention.output.dense",
    "attention.out_lin",
    "attention.dense",
    "self_attn.o_proj",
    "self_attn.out_proj",
    "attn.out_proj",
    "attn.Wo",
)
"""What transformers calls the projection behind attention."""


@dataclass(frozen=True, eq=False)
class Outputs:
    """What heads put into the projection behind attention, over windows and tokens.

    Attributes:
        mean: Per layer ``[hidden]``.
        size: ``[layer, head]``, root of the mean square of what a head adds to the residual stream, about its mean.
    """

    mean: tuple[Tensor, ...]
    size: Floats

    def matched(self, head: Head, without: Collection[Head]) -> Head | None:
        """Find the head of the same layer whose size is nearest, but for some; None if there is no other."""
        layer, own = head
        others = [(layer, i) for i in range(self.size.shape[1]) if i != own and (layer, i) not in without]
        size = self.size[layer]
        return min(others, key=lambda each: abs(np.log(size[each[1]] / size[own])), default=None)


class _Listener:
    """Stands in the place of a projection, and keeps what enters it."""

    def __init__(self, projection: Any) -> None:
        self.projection, self.seen = projection, torch.empty(0)

    def __call__(self, x: Tensor) -> Tensor:
        self.seen = x
        result: Tensor = self.projection(x)
        return result

    def plus(self, x: Tensor, other: Tensor) -> Tensor:
        """As the projection of kmerit's own encoder."""
        self.seen = x
        result: Tensor = self.projection.plus(x, other)
        return result


def _own_layers(model: Model) -> tuple[Any, ...] | None:
    """Return the layers of a network of kmerit's own whose projections can be changed."""
    layers: tuple[Any, ...] = getattr(model.encoder, "layers", ())
    fit = bool(layers) and all(isinstance(getattr(each, "output", None), Linear | Affine) for each in layers)
    return layers if fit else None


def _with_layers(model: Model, layers: Sequence[Any], digest: str = "") -> Model:
    encoder: Any = model.encoder
    return replace(model, encoder=replace(encoder, layers=tuple(layers)), digest=model.digest + digest)


def _projections(model: Model) -> list[tuple[str, nn.Linear]]:
    """Name the projections of a library's network.

    Raises:
        UnsupportedMethod: They cannot be found.
    """
    if isinstance(model.encoder, Library) and model.encoder.shows:
        parts = list(model.encoder.module.named_modules())
        for suffix in _PROJECTIONS:
            layers = [(name, each) for name, each in parts if name.endswith(suffix) and isinstance(each, nn.Linear)]
            if layers and len(layers) == int(getattr(model.encoder.module.config, "num_hidden_layers", 0)):
                return layers
    raise UnsupportedMethod(
        f"{model.name} ({model.family}): the projection behind its attention cannot be found, so that no head can be "
        f"ablated. Leave ablation out."
    )


def check_ablation(model: Model) -> None:
    """Check that heads of a model can be ablated.

    Raises:
        UnsupportedMethod: The parts of the network are not known.
    """
    if _own_layers(model) is None:
        _projections(model)


def head_outputs(model: Model, windows: Sequences, heads: int) -> Outputs:
    """Measure the mean and the size of what each head puts out, over tokens that are no padding.

    In the last layer of kmerit's own encoder that is [CLS] alone, which is all that matters further on.

    Args:
        model: Left as it was found.
        windows: Any that it takes.
        heads: Of each layer.

    Raises:
        UnsupportedMethod: The parts of the network are not known.
    """
    model.check(windows)
    layers = _own_layers(model)
    taps: list[_Listener] = []
    hooks = []
    if layers is not None:
        taps = [_Listener(each.output) for each in layers]
        listening = _with_layers(model, [replace(each, output=tap) for each, tap in zip(layers, taps, strict=True)])
        weights = [each.output.weight for each in layers]
    else:
        listening, projections = model, _projections(model)
        weights = [each.weight for _, each in projections]
        for _, each in projections:
            tap = _Listener(each)
            taps.append(tap)
            hooks.append(each.register_forward_pre_hook(lambda module, inputs, tap=tap: _hear(tap, inputs[0])))
    sums = [torch.zeros(each.shape[1], dtype=torch.float64) for each in weights]
    squares = [torch.zeros(each.shape[1], each.shape[1], dtype=torch.float64) for each in weights]
    counts = [0] * len(weights)
    try:
        for rows in slices(len(windows), model):
            tokens = model.tokenize(*windows.take(np.arange(rows.start, rows.stop)).padded())
            for some in batches(tokens, model.company):
                batch = part(tokens, some)
                with torch.inference_mode(), model.computing():
                    ids, mask = listening.tensors(batch)
                    listening.encoder.logits(ids, mask)
                    for i, tap in enumerate(taps):
                        real = tap.seen[mask] if tap.seen.shape[1] == mask.shape[1] else tap.seen.flatten(0, 1)
                        real = real.cpu().double()
                        sums[i] += real.sum(0)
                        squares[i] += real.T @ real
                        counts[i] += len(real)
    finally:
        for hook in hooks:
            hook.remove()
    means = [each / count for each, count in zip(sums, counts, strict=True)]
    size = np.empty((len(means), heads))
    for i, mean in enumerate(means):
        spread = squares[i] / counts[i] - mean[:, None] * mean
        weight = weights[i].cpu().double()
        for head in range(heads):
            own = _slice(weight.shape[1], heads, head)
            size[i, head] = max(float(torch.trace(weight[:, own] @ spread[own, own] @ weight[:, own].T)), 1e-30) ** 0.5
    return Outputs(tuple(means), size)


def _hear(tap: _Listener, x: Tensor) -> None:
    tap.seen = x


def _slice(width: int, heads: int, head: int) -> slice:
    size = width // heads
    return slice(head * size, (head + 1) * size)


def without_heads(model: Model, chosen: Iterable[Head], outputs: Outputs) -> Model:
    """Copy a model with some heads replaced by their mean output.

    Args:
        model: Left as it was found.
        chosen: Layers and heads.
        outputs: Of the heads.

    Raises:
        UnsupportedMethod: The parts of the network are not known.
    """
    by_layer: dict[int, list[int]] = {}
    for layer, head in chosen:
        by_layer.setdefault(layer, []).append(head)
    name = f"|without {sorted((a, b) for a, bs in by_layer.items() for b in bs)}"
    heads = outputs.size.shape[1]
    layers = _own_layers(model)
    if layers is not None:
        changed = list(layers)
        for at, cut_heads in by_layer.items():
            weight, bias = _without(
                layers[at].output.weight, layers[at].output.bias, cut_heads, heads, outputs.mean[at]
            )
            changed[at] = replace(layers[at], output=type(layers[at].output)(weight, bias))
        return _with_layers(model, changed, name)
    encoder: Any = model.encoder
    projections = _projections(model)
    shared = {id(each): each for each in encoder.module.parameters()}
    module = deepcopy(encoder.module, shared)
    for at, cut_heads in by_layer.items():
        path, own = projections[at]
        weight, bias = _without(own.weight.data, own.bias, cut_heads, heads, outputs.mean[at])
        projection = module.get_submodule(path)
        projection.weight, projection.bias = nn.Parameter(weight, False), nn.Parameter(bias, False)
    return replace(model, encoder=replace(encoder, module=module), digest=model.digest + name)


def _without(
    weight: Tensor, bias: Tensor | None, heads: Iterable[int], count: int, mean: Tensor
) -> tuple[Tensor, Tensor]:
    """Take the columns of heads out of a projection, and their mean product into its bias."""
    remaining = weight.clone()
    shift = torch.zeros(len(weight), dtype=torch.float64)
    for head in heads:
        own = _slice(weight.shape[1], count, head)
        shift += weight[:, own].cpu().double() @ mean[own]
        remaining[:, own] = 0
    start = torch.zeros_like(shift) if bias is None else bias.detach().cpu().double()
    return remaining, (start + shift).to(weight.device, weight.dtype)


class Effects:
    """Changes of the output by ablation, each set of heads ablated once."""

    def __init__(self, model: Model, windows: Sequences, heads: int, target: int) -> None:
        """Measure nothing yet.

        Args:
            model: Left as it was found.
            windows: Any that it takes.
            heads: Of each layer.
            target: The output: log-odds of a class, logit of a label, a value.
        """
        self._model, self._windows, self._heads, self._target = model, windows, heads, target
        self.known: dict[frozenset[Head], Floats] = {}
        """What is known already; more may be put here, and the outputs in place of those that would be measured."""

    @cached_property
    def outputs(self) -> Outputs:
        """What the heads put out."""
        return head_outputs(self._model, self._windows, self._heads)

    @cached_property
    def _intact(self) -> Floats:
        return self._predicted(self._model)

    def _predicted(self, model: Model) -> Floats:
        return log_odds(model.logits(self._windows), self._target, model.problem)

    def of(self, heads: Iterable[Head]) -> Floats:
        """Return the output less that without some heads, ``[W]``."""
        key = frozenset(heads)
        if key not in self.known:
            ablated = without_heads(self._model, sorted(key), self.outputs)
            self.known[key] = self._intact - self._predicted(ablated)
        return self.known[key]


class Contrast(NamedTuple):
    """A difference of means between windows with and without a feature, and its 95 % interval over loci."""

    value: float
    low: float
    high: float


def contrasts(
    effects: Sequence[Floats], present: Bool, usable: Bool, clusters: Int64, resamples: int = 2000, seed: int = 0
) -> list[Contrast]:
    """Compare effects between windows with and without a feature; all in the same resamples of loci.

    Args:
        effects: ``[W]`` each.
        present: ``[W]``, windows with the feature.
        usable: ``[W]``, windows of which that is known.
        clusters: ``[W]``, loci.
        resamples: Of the bootstrap over loci.
        seed: Of the draws.
    """
    groups = np.stack([present & usable, ~present & usable]).astype(np.float64)  # [2, W]
    weight = 1.0 / np.bincount(clusters)[clusters]
    size = int(clusters.max()) + 1
    counts = np.stack([np.bincount(clusters, weight * group, size) for group in groups])  # [2, K]
    sums = np.stack([[np.bincount(clusters, weight * g * each, size) for g in groups] for each in effects])  # [E, 2, K]
    draws = [np.ones((1, size)), *resampled(size, None, resamples, seed)]
    differences = []
    for weights in draws:
        of = weights @ counts.T  # [R, 2]
        with np.errstate(invalid="ignore", divide="ignore"):
            means = np.einsum("rk,egk->erg", weights, sums) / of
        differences.append(means[:, :, 0] - means[:, :, 1])
    values = np.concatenate(differences, axis=1)  # [E, R + 1]
    results = []
    for row in values:
        usual = row[1:][np.isfinite(row[1:])]
        low, high = np.quantile(usual, [0.025, 0.975]) if usual.size else (np.nan, np.nan)
        results.append(Contrast(float(row[0]), float(low), float(high)))
    return results


def with_feature(track: Floats, mask: bool) -> tuple[Bool, Bool]:
    """Say which windows have a feature, and of which that is known.

    Args:
        track: ``[W, L]``; NaN where missing.
        mask: Whether it is one: then a window has it if any nucleotide does, and lacks it if all are known not to. Of
            values, the windows whose mean lies above the median of all have it.

    Example:
        >>> have, known = with_feature(np.array([[0, 1.0], [0, 0], [0, np.nan]]), mask=True)
        >>> have.tolist(), known.tolist()
        ([True, False, False], [True, True, False])
    """
    finite = np.isfinite(track)
    if mask:
        have = (np.nan_to_num(track) > 0).any(axis=1)
        return np.asarray(have), np.asarray(have | finite.all(axis=1))
    usable = np.asarray(finite.any(axis=1))
    means = np.where(finite, track, 0).sum(axis=1) / np.maximum(finite.sum(axis=1), 1)
    return np.asarray(means > (np.median(means[usable]) if usable.any() else 0)), usable


def ladder(ranked: Sequence[Head], outputs: Outputs, dose: int) -> list[tuple[list[Head], list[Head]]]:
    """Choose the first 1, 2, ... ``dose`` heads, and as many of the same layers and of nearest size.

    It ends where a layer has no head left to compare with.

    Args:
        ranked: Heads, the most associated first.
        outputs: Of the heads.
        dose: The most heads.
    """
    steps: list[tuple[list[Head], list[Head]]] = []
    for count in range(1, min(dose, len(ranked)) + 1):
        chosen, controls = list(ranked[:count]), list[Head]()
        for head in chosen:
            other = outputs.matched(head, {*chosen, *controls})
            if other is None:
                return steps
            controls.append(other)
        steps.append((chosen, controls))
    return steps
