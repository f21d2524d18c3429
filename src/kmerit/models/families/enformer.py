"""Enformer: a tower of convolutions, attention with relative positions, and a value of each track in each bin.

Source: avsec2021; the names of tensors and settings are those of the package enformer-pytorch.
"""

from __future__ import annotations

import math
import pickle
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from kmerit.errors import CheckpointError, LengthError
from kmerit.models.checkpoint import Checkpoint
from kmerit.models.differentiable import Affine, Convolution, Operations
from kmerit.models.family import Ability, Family, Parts
from kmerit.models.sequence_to_function import (
    AttentionLayer,
    BatchNorm,
    Block,
    Nucleotides,
    RelativeAttention,
    SequenceToFunction,
    distances,
    one_hot_rows,
    read_kept,
    signed,
    stacked,
)

_EPS = 1e-5
_LONGEST = 196_608
"""Nucleotides that the published model reads; a longer sequence is none that such a model was made for."""
_TRUNK = {"stem": "_trunk.1", "conv_tower": "_trunk.2", "transformer": "_trunk.4", "final_pointwise": "_trunk.6"}
"""Second names that pickled files of the package have for the same tensors."""
_OFFICIAL = {"dim": 1536, "depth": 11, "heads": 8, "target_length": 896, "output_heads": {"human": 5313, "mouse": 1643}}
_TABLE = "tf_gammas.pt"
_TABLE_BINS = 1536
_IGNORED = frozenset({"attn_dropout", "dim_divisible_by", "dropout_rate", "pos_dropout", "use_checkpointing"})


@dataclass(frozen=True, eq=False)
class Pooling:
    """The mean of two neighbours, unit by unit, weighted by a softmax of what they are."""

    weight: Tensor  # [H, H]

    def __call__(self, x: Tensor, ops: Operations) -> Tensor:
        """Halve the places of [B, H, N]; the last of an odd number stays alone."""
        lonely = x.shape[-1] % 2
        pairs = F.pad(x, (0, lonely)).reshape(*x.shape[:2], -1, 2)
        scores = torch.einsum("oi,binp->bonp", self.weight, pairs)
        if lonely:
            padding = torch.zeros(pairs.shape[-2:], dtype=torch.bool, device=x.device)
            padding[-1, 1] = True
            scores = scores.masked_fill(padding, -torch.inf)
        pooled: Tensor = (pairs * ops.constant(scores.softmax(-1))).sum(-1)
        return pooled


@dataclass(frozen=True, eq=False)
class Stage:
    """A convolution, or a block, then a residual block and pooling."""

    first: Convolution | Block
    second: Block
    pooling: Pooling

    def __call__(self, x: Tensor, ops: Operations) -> Tensor:
        x = ops.stem(self.first, x) if isinstance(self.first, Convolution) else self.first(x, ops)
        return self.pooling(x + self.second(x, ops), ops)


@dataclass(frozen=True, eq=False)
class Enformer(SequenceToFunction):
    """Enformer's trunk, with the last layers of all its heads side by side."""

    stages: tuple[Stage, ...]
    layers: tuple[AttentionLayer, ...]
    pointwise: Block
    features: int  # of a distance
    gammas: Tensor | None  # [2 * 1536 - 1, F]   in the place of those that are computed
    by_place: bool  # gamma features are relative to their largest over places, not over features

    def trunk(self, x: Tensor, ops: Operations) -> Tensor:
        """Compute all bins before the crop."""
        x = x.transpose(1, 2)
        for stage in self.stages:
            x = stage(x, ops)
        x = x.transpose(1, 2)
        features = self._placed(x)
        for layer in self.layers:
            x = layer(x, features, ops)
        return x

    def finish(self, x: Tensor, ops: Operations) -> Tensor:
        """Apply the pointwise block."""
        return ops.activate(_gelu, self.pointwise(x.transpose(1, 2), ops).transpose(1, 2))

    def bins_before(self, length: int) -> int:
        """Count the bins: pooling rounds up."""
        return -(-length // self.width)

    def _placed(self, x: Tensor) -> Tensor:
        """Compute the features of all distances among the bins of [B, N, H]: [2N - 1, F]."""
        bins, size = x.shape[1], self.features // 6
        if self.gammas is not None and bins != _TABLE_BINS:
            raise LengthError(
                f"{bins} bins of {self.width} nt; {_TABLE} holds positions of {_TABLE_BINS} bins, "
                f"{_TABLE_BINS * self.width} nt. Give sequences of that length."
            )
        away = distances(bins)
        gammas = gamma_features(away, size, bins, self.by_place).to(x) if self.gammas is None else self.gammas
        return signed(torch.cat([decays(away, size, bins).to(x), masks(away, size).to(x), gammas], -1), away.to(x))


def _gelu(x: Tensor) -> Tensor:
    return x * torch.sigmoid(1.702 * x)


def decays(away: Tensor, size: int, bins: int) -> Tensor:
    """Compute exponential decays with half-lives from 8 bins to all of them: [D, size]."""
    lives = 2 ** torch.linspace(3, math.log2(bins), size, dtype=away.dtype)
    return torch.exp(-math.log(2) / lives * away.abs()[:, None])


def masks(away: Tensor, size: int) -> Tensor:
    """Say whether a distance is below 2^i - 1, i from 1: [D, size]."""
    reach = 2.0 ** torch.arange(1, size + 1, dtype=away.dtype) - 1
    return (reach > away.abs()[:, None]).to(away.dtype)


def gamma_features(away: Tensor, size: int, bins: int, by_place: bool) -> Tensor:
    """Compute the densities of gamma distributions with evenly spaced means, relative to the largest: [D, size].

    Args:
        away: Distances [D].
        size: How many distributions.
        bins: How many bins there are.
        by_place: Whether the largest is that of the same distribution over distances (as in the original), or that of
            the same distance over distributions (as in enformer-pytorch).
    """
    mean = torch.linspace(bins / size, bins, size, dtype=away.dtype)
    rate = mean / (bins / (2 * size)) ** 2
    shape, distance = mean * rate, away.abs()[:, None]
    log = torch.xlogy(shape - 1, distance) - rate * distance - torch.lgamma(shape) + shape * torch.log(rate)
    density = log.exp() + 1e-8
    return density / density.amax(0 if by_place else -1, keepdim=True)


def fits(checkpoint: Checkpoint) -> bool:
    """Enformer's relative positions under its stem, by either name."""
    stems = ("conv_tower.0.2.to_attn_logits.weight", "stem.2.to_attn_logits.weight")
    return any(key in checkpoint.tensors or _second_name(key) in checkpoint.tensors for key in stems)


def _second_name(key: str) -> str:
    stem, _, suffix = key.partition(".")
    return f"{_TRUNK[stem]}.{suffix}"


def build(checkpoint: Checkpoint) -> Parts:
    """Read the weights.

    Raises:
        CheckpointError: A tensor missing or of another shape, a setting that is not computed, or a table of positions
            that is needed and not there.
    """
    _drop_seconds(checkpoint)
    network = _network(checkpoint)
    shortest = 1 if network.kept_bins is None else (network.kept_bins - 1) * network.width + 1
    return Parts(
        encoder=network,
        tokenizer=Nucleotides(shortest),
        max_tokens=_LONGEST,
        abilities=frozenset({Ability.MODIFIED_GRADIENTS, Ability.STEM}),
        ignored=_IGNORED,
        tracks=network.tracks,
    )


def _drop_seconds(checkpoint: Checkpoint) -> None:
    """Take the second copies of tensors for read, where they are the same as the first.

    Raises:
        CheckpointError: They differ, or stand alone.
    """
    stems = {second: first for first, second in _TRUNK.items()}
    for key in checkpoint.tensors:
        stem = next((second for second in stems if key.startswith(f"{second}.")), None)
        if stem is None:
            continue
        first = f"{stems[stem]}{key.removeprefix(stem)}"
        if first not in checkpoint.tensors or not torch.equal(checkpoint.tensors[first], checkpoint.tensors[key]):
            raise CheckpointError(
                f"{checkpoint.name}: {key!r} should be a second copy of {first!r}, and is not. Save the model again."
            )
        checkpoint.used([key])


def _network(checkpoint: Checkpoint) -> Enformer:
    hidden, heads, depth = (checkpoint.size(key) for key in ("dim", "heads", "depth"))
    if not heads or hidden % heads or hidden // heads % 6:
        raise CheckpointError(
            f"{checkpoint.name}: dim is {hidden} and heads {heads} in config.json; expected a multiple of 6 units "
            f"for each head."
        )
    checkpoint.choice("use_convnext", False)
    stages = checkpoint.size("num_downsamples") if "num_downsamples" in checkpoint.config else 7
    units = (checkpoint.size("attn_dim_key"), hidden // heads)
    pools = [_stage(checkpoint, index) for index in range(stages)]
    head, tracks = _heads(checkpoint, 2 * hidden)
    gammas, by_place = _positions(checkpoint)

    def layer(index: int) -> AttentionLayer:
        key = f"transformer.{index}.0.fn.1"
        attention = RelativeAttention.of(checkpoint, key, hidden, heads, units, hidden // heads)
        return AttentionLayer.of(checkpoint, index, hidden, attention, _EPS)

    return Enformer(
        words=one_hot_rows(checkpoint.dtype or torch.float32),
        head=head,
        tracks=tracks,
        width=2**stages,
        kept_bins=read_kept(checkpoint, "target_length"),
        aggregate=None,
        stages=tuple(pools),
        layers=tuple(layer(index) for index in range(depth)),
        pointwise=_block(checkpoint, "final_pointwise.1", hidden, 2 * hidden, 1),
        features=hidden // heads,
        gammas=gammas,
        by_place=by_place,
    )


def _block(checkpoint: Checkpoint, key: str, n_in: int, n_out: int, kernel: int) -> Block:
    return Block(
        BatchNorm.of(checkpoint, f"{key}.0", n_in, _EPS),
        _gelu,
        Convolution.of(checkpoint, f"{key}.2", n_out, n_in, kernel),
    )


def _stage(checkpoint: Checkpoint, index: int) -> Stage:
    """Read the stem (0) or a stage of the tower; how wide it is the weights tell."""
    key = f"conv_tower.{index - 1}" if index else "stem"
    pooling = checkpoint.tensor(f"{key}.2.to_attn_logits.weight", -1, -1, 1, 1)[..., 0, 0]
    width = len(pooling)
    first: Convolution | Block
    if index:
        before = checkpoint.tensor(f"{key}.0.0.weight", -1)
        first = _block(checkpoint, f"{key}.0", len(before), width, 5)
    else:
        first = Convolution.of(checkpoint, f"{key}.0", width, 4, 15)
    return Stage(first, _block(checkpoint, f"{key}.1.fn", width, width, 1), Pooling(pooling))


def _heads(checkpoint: Checkpoint, n_in: int) -> tuple[Affine, tuple[str, ...]]:
    """Read the last layers of all heads, one below the other."""
    heads = checkpoint.config.get("output_heads")
    if not isinstance(heads, dict) or not heads or not all(isinstance(n, int) and n > 0 for n in heads.values()):
        raise CheckpointError(
            f"{checkpoint.name}: output_heads is {heads!r} in config.json; expected the number of tracks of each head."
        )
    return stacked({name: Affine.of(checkpoint, f"_heads.{name}.0", count, n_in) for name, count in heads.items()})


def _positions(checkpoint: Checkpoint) -> tuple[Tensor | None, bool]:
    """Find the gamma features: computed as enformer-pytorch does, read from a file, or computed as in the original.

    Raises:
        CheckpointError: The original's are asked for, and neither a file nor the computation is named.
    """
    name, config = checkpoint.name, checkpoint.config
    original = config.get("use_tf_gamma")
    if original is None and all(config.get(key) == value for key, value in _OFFICIAL.items()):
        raise CheckpointError(
            f"{name}: has the published Enformer's size, and config.json lacks use_tf_gamma: the published "
            f"weights need true, others false. Add the key."
        )
    if not checkpoint.flag("use_tf_gamma"):
        return None, False
    source = config.get("tf_gammas", _TABLE)
    if source == "computed":
        return None, True
    path = checkpoint.folder / str(source)
    if not path.is_file():
        raise CheckpointError(
            f"{name}: use_tf_gamma asks for a table of positions, and {path} is not there. Copy tf_gammas.pt of the "
            f"package enformer-pytorch to it, name its path as tf_gammas in config.json, or set tf_gammas to "
            f"'computed', which differs from the table by its rounding, at most 0.0025."
        )
    return _table(path, checkpoint), True


def _table(path: Path, checkpoint: Checkpoint) -> Tensor:
    """Read one tensor, as torch.save writes it."""
    try:
        table = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, OSError, RuntimeError, ValueError, EOFError) as error:
        raise CheckpointError(f"{path}: not readable as a tensor. Copy it from the package again.") from error
    shape = [2 * _TABLE_BINS - 1, checkpoint.size("dim") // checkpoint.size("heads") // 6]
    if not isinstance(table, Tensor) or not table.is_floating_point() or list(table.shape) != shape:
        raise CheckpointError(f"{path}: expected a table of {shape} numbers, the positions of the original Enformer.")
    return table.to(checkpoint.dtype or torch.float32)


FAMILY = Family(
    name="enformer",
    summary="Enformer: one-hot nucleotides to values of tracks in bins; convolutions, attention, relative positions",
    cites="avsec2021",
    fits=fits,
    build=build,
    architectures=frozenset({"Enformer"}),
)
