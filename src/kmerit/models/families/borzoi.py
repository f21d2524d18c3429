"""Borzoi and Prime: convolutions and max pooling, attention over long windows, and a U-net back to finer bins.

Source: linder2025; the names of tensors and settings are those of the package borzoi-pytorch.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor

from kmerit.errors import CheckpointError
from kmerit.models.checkpoint import Checkpoint
from kmerit.models.differentiable import Affine, Convolution, Operations
from kmerit.models.family import Ability, Family, Parts
from kmerit.models.sequence_to_function import (
    AttentionLayer,
    BatchNorm,
    Block,
    Nucleotides,
    RelativeAttention,
    RotaryAttention,
    SequenceToFunction,
    distances,
    one_hot_rows,
    read_kept,
    signed,
    stacked,
)

_EPS = 1e-3
_LONGEST = 524_288
"""Nucleotides that the published models read."""
_FEATURES = 32
"""Of a distance."""
_REACH = 4096
"""Bins that the widest mask of positions covers, for sequences of any length."""
_ROTARY_UNITS, _BASE = 128, 20_000.0
"""Of the variant with rotary positions: units of each head, and the base of the frequencies."""
_COARSE = 128
"""Nucleotides of a bin where attention is."""
_EDGES = 32
"""Bins that the crop takes off where it does not keep a number of bins."""
_IGNORED = frozenset({"attn_dropout", "dropout_rate", "pos_dropout"})


@dataclass(frozen=True, eq=False)
class Rise:
    """One step of the U-net: a block, twice as many bins, what the way down had there, and a separable convolution."""

    block: Block
    across: Block
    each: Convolution
    all: Convolution

    def __call__(self, x: Tensor, skipped: Tensor, ops: Operations) -> Tensor:
        upsampled = self.block(x, ops).repeat_interleave(2, -1) + self.across(skipped, ops)
        return self.all(self.each(upsampled))


@dataclass(frozen=True, eq=False)
class Borzoi(SequenceToFunction):
    """The trunk of Borzoi or Prime, with the last layers of its heads side by side."""

    first: Convolution
    tower: tuple[Block, ...]  # the pooling before each, and before all the first
    layers: tuple[AttentionLayer, ...]
    rises: tuple[Rise, ...]  # the coarsest first
    joined: Block | None

    def trunk(self, x: Tensor, ops: Operations) -> Tensor:
        """Compute all bins before the crop."""
        x = ops.stem(self.first, x.transpose(1, 2))
        skips = []
        for block in self.tower:
            x = block(pooled(x), ops)
            skips.append(x)
        x = pooled(x).transpose(1, 2)
        features = _masks(x)
        for layer in self.layers:
            x = layer(x, features, ops)
        x = x.transpose(1, 2)
        for rise, skipped in zip(self.rises, reversed(skips), strict=False):
            x = rise(x, skipped, ops)
        return x.transpose(1, 2)

    def finish(self, x: Tensor, ops: Operations) -> Tensor:
        """Apply the last block, if there is one, and a nonlinearity."""
        if self.joined is not None:
            x = self.joined(x.transpose(1, 2), ops).transpose(1, 2)
        return ops.activate(_gelu, x)

    def bins_before(self, length: int) -> int:
        """Count the bins."""
        return length // self.width


_gelu = partial(F.gelu, approximate="tanh")


def pooled(x: Tensor) -> Tensor:
    """Keep the larger of two neighbours in [B, H, N]; it takes all that goes back. Equals are drawn, with a seed."""
    first, second = x[..., 0::2], x[..., 1::2]
    wins = first > second
    ties = first == second
    if bool(ties.any()):
        draws = torch.rand(x.shape[1], first.shape[-1], generator=torch.Generator().manual_seed(0)) < 0.5
        wins = torch.where(ties, draws.to(x.device), wins)
    return torch.where(wins, first, second)


def _masks(x: Tensor) -> Tensor:
    """Say of the distances among the bins of [B, N, H] below which widths they are: [2N - 1, 32]."""
    away, size = distances(x.shape[1]), _FEATURES // 2
    widths = (_REACH + 1) ** (torch.arange(1, size + 1, dtype=away.dtype) / size) - 1
    return signed((widths > away.abs()[:, None]).to(x), away.to(x))


def fits(checkpoint: Checkpoint) -> bool:
    """Borzoi's first convolution and its U-net."""
    return {"conv_dna.conv_layer.weight", "separable0.conv_layer.0.weight"} <= set(checkpoint.tensors)


def build(checkpoint: Checkpoint) -> Parts:
    """Read the weights.

    Raises:
        CheckpointError: A tensor missing or of another shape, or a setting that is not computed.
    """
    network = _network(checkpoint)
    shortest = _COARSE if network.kept_bins is None else max(_COARSE, network.kept_bins * network.width)
    return Parts(
        encoder=network,
        tokenizer=Nucleotides(-(-shortest // _COARSE) * _COARSE, _COARSE),
        max_tokens=_LONGEST,
        abilities=frozenset({Ability.MODIFIED_GRADIENTS, Ability.STEM}),
        ignored=_IGNORED,
        tracks=network.tracks,
    )


def _network(checkpoint: Checkpoint) -> Borzoi:
    hidden, depth = checkpoint.size("dim"), checkpoint.size("depth")
    levels = 3 if "separable2.conv_layer.0.weight" in checkpoint.tensors else 2
    tower = _tower(checkpoint, hidden, levels)
    units = [len(block.convolution.weight) for block in tower[-levels:]]

    def rise(level: int) -> Rise:
        key = f"separable{level}.conv_layer"
        each = checkpoint.tensor(f"{key}.0.weight", hidden, 1, 3)
        return Rise(
            block=_block(checkpoint, f"upsampling_unet{level}.0", hidden, hidden, 1),
            across=_block(checkpoint, f"horizontal_conv{level}", units[level], hidden, 1),
            each=Convolution(each, None, groups=hidden),
            all=Convolution.of(checkpoint, f"{key}.1", hidden, hidden, 1),
        )

    joined = None
    if levels == 2:
        width = len(checkpoint.tensor("final_joined_convs.0.conv_layer.weight", -1, hidden, 1))
        joined = _block(checkpoint, "final_joined_convs.0", hidden, width, 1)
    head, tracks = _heads(checkpoint, hidden if joined is None else len(joined.convolution.weight))
    width = _COARSE >> levels
    bins_to_return: int | None = _LONGEST // width - _EDGES
    if checkpoint.flag("return_center_bins_only", True):
        bins_to_return = read_kept(checkpoint, "bins_to_return")
    else:
        checkpoint.understood(["bins_to_return"])
    first = checkpoint.tensor("conv_dna.conv_layer.weight", -1, 4, 15)
    return Borzoi(
        words=one_hot_rows(checkpoint.dtype or torch.float32),
        head=head,
        tracks=tracks,
        width=width,
        kept_bins=bins_to_return,
        aggregate=None,
        first=Convolution.of(checkpoint, "conv_dna.conv_layer", len(first), 4, 15),
        tower=tower,
        layers=tuple(_layer(checkpoint, index, hidden) for index in range(depth)),
        rises=tuple(rise(level) for level in reversed(range(levels))),
        joined=joined,
    )


def _block(checkpoint: Checkpoint, key: str, n_in: int, n_out: int, kernel: int) -> Block:
    return Block(
        BatchNorm.of(checkpoint, f"{key}.norm", n_in, _EPS),
        _gelu,
        Convolution.of(checkpoint, f"{key}.conv_layer", n_out, n_in, kernel),
    )


def _tower(checkpoint: Checkpoint, hidden: int, levels: int) -> tuple[Block, ...]:
    """Read the way down, whose widths the weights tell; the last block is as wide as the attention."""
    keys = [f"res_tower.{2 * i}" for i in range(7 - levels)] + [f"unet{i}.1" for i in range(1, levels)]
    blocks = []
    for key in keys:
        n_out, n_in, _ = checkpoint.tensor(f"{key}.conv_layer.weight", -1, -1, 5).shape
        blocks.append(_block(checkpoint, key, n_in, n_out, 5))
    if len(blocks[-1].convolution.weight) != hidden:
        raise CheckpointError(
            f"{checkpoint.name}: dim is {hidden} in config.json, the weights of {keys[-1]} make it "
            f"{len(blocks[-1].convolution.weight)}."
        )
    return tuple(blocks)


def _layer(checkpoint: Checkpoint, index: int, hidden: int) -> AttentionLayer:
    count, key = checkpoint.size("heads"), f"transformer.{index}.0.fn.1"
    attention: RelativeAttention | RotaryAttention
    if checkpoint.flag("flashed"):
        checkpoint.understood(["attn_dim_key", "attn_dim_value"])
        if count < 2 or count % 2 or hidden % count or hidden // count < _ROTARY_UNITS:
            raise CheckpointError(
                f"{checkpoint.name}: dim is {hidden} and heads {count} in config.json; with rotary positions an even "
                f"number of heads of at least {_ROTARY_UNITS} units each is expected."
            )
        size, shared = hidden // count, count // 2
        attention = RotaryAttention(
            enter=Affine.of(checkpoint, f"{key}.mha.Wqkv", (count + 2 * shared) * size, hidden),
            output=Affine.of(checkpoint, f"{key}.mha.out_proj", hidden, hidden),
            count=count,
            shared=shared,
            rotary_units=_ROTARY_UNITS,
            base=_BASE,
        )
    else:
        units = (checkpoint.size("attn_dim_key"), checkpoint.size("attn_dim_value"))
        attention = RelativeAttention.of(checkpoint, key, hidden, count, units, _FEATURES)
    return AttentionLayer.of(checkpoint, index, hidden, attention, _EPS)


def _heads(checkpoint: Checkpoint, n_in: int) -> tuple[Affine, tuple[str, ...]]:
    """Read the last layers of the heads that are enabled, one below the other."""
    enabled = {"human": checkpoint.flag("enable_human_head", True), "mouse": checkpoint.flag("enable_mouse_head")}
    parts = {}
    for name in (name for name, is_enabled in enabled.items() if is_enabled):
        key = f"{name}_head"
        weight = checkpoint.tensor(f"{key}.weight", -1, n_in, 1)[..., 0]
        parts[name] = Affine(weight, checkpoint.tensor(f"{key}.bias", len(weight)))
    if not parts:
        raise CheckpointError(f"{checkpoint.name}: neither human nor mouse head is enabled in config.json.")
    return stacked(parts)


FAMILY = Family(
    name="borzoi",
    summary="Borzoi and Prime: one-hot nucleotides to values of tracks in bins; max pooling, attention, U-net",
    cites="linder2025",
    fits=fits,
    build=build,
    architectures=frozenset({"Borzoi", "AnnotatedBorzoi", "Prime"}),
)
