"""Caduceus: single nucleotides, Mamba in both directions, and perhaps both strands with the same weights.

Each sequence is turned round within its own length and the head averages over its own tokens, so padding changes
nothing. Source: schiff2024; gu2024 for the scan.

Relevance holds the scan's step, its maps in and out, and the factor of the norms constant, as jafari2024 does; the
rest of a block is linear but for SiLU and the gate.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from kmerit.errors import CheckpointError
from kmerit.models.checkpoint import Checkpoint
from kmerit.models.differentiable import Affine, Differentiable, LayerNorm, Operations, RMSNorm
from kmerit.models.family import Ability, Family, Head, Parts
from kmerit.models.tokenizers import VOCABULARY, read_characters

_STEM = "caduceus.backbone"
_IGNORED = frozenset(
    "complement_map initializer_cfg pad_vocab_size_multiple residual_in_fp32 ssm_cfg vocab_size".split()  # noqa: SIM905
)
"""How weights begin, and what the tensors and their shapes say."""
_STRATEGIES = ("add", "ew_multiply")


@dataclass(frozen=True, eq=False)
class Scan:
    """Mamba in one direction; D units, N states each, R numbers that make the step."""

    enter: Affine  # [2D, H]
    short: Tensor  # [D, 1, S]   a short convolution, unit by unit
    short_bias: Tensor | None  # [D]
    select: Affine  # [R + 2N, D]
    step: Affine  # [D, R]
    decay: Tensor  # [D, N]   the logarithm of minus A
    skip: Tensor  # [D]
    leave: Affine  # [H, D]

    def __call__(self, x: Tensor, ops: Operations) -> Tensor:
        x, gate = self.enter(x).chunk(2, -1)  # [B, T, D]
        padded = F.pad(x.transpose(1, 2), (self.short.shape[-1] - 1, 0))
        x = F.conv1d(padded, self.short, self.short_bias, groups=len(self.short)).transpose(1, 2)
        x = ops.activate(F.silu, x)
        states = self.decay.shape[1]
        step, into, out = torch.split(self.select(x), [self.step.weight.shape[1], states, states], -1)
        step = ops.constant(F.softplus(self.step(step)))  # [B, T, D]
        into, out = ops.constant(into), ops.constant(out)  # [B, T, N]
        decay = torch.exp(step[..., None] * -torch.exp(self.decay))  # [B, T, D, N]
        inflow = (step * x)[..., None] * into[:, :, None]
        state, outputs = torch.zeros_like(inflow[:, 0]), []
        for t in range(x.shape[1]):
            state = decay[:, t] * state + inflow[:, t]
            outputs.append((state @ out[:, t, :, None])[..., 0])
        y = torch.stack(outputs, 1) + x * self.skip
        return self.leave(ops.gate(ops.activate(F.silu, gate), y))


@dataclass(frozen=True, eq=False)
class CaduceusLayer:
    """A norm, and a scan in each direction."""

    norm: LayerNorm | RMSNorm
    forward: Scan
    backward: Scan | None

    def mixed(self, x: Tensor, mask: Tensor, ops: Operations, multiplied: bool) -> Tensor:
        """Scan [B, T, H] in one direction or both."""
        ahead = self.forward(x, ops)
        if self.backward is None:
            return ahead
        back = turned(self.backward(turned(x, mask), ops), mask)
        return ops.gate(back, ahead) if multiplied else ahead + back


@dataclass(frozen=True, eq=False)
class Caduceus(Differentiable):
    """Caduceus with its classification head.

    With two strands, hidden units come in two halves: the second is the other strand's, its units in opposite order.
    """

    layers: tuple[CaduceusLayer, ...]
    last_norm: LayerNorm | RMSNorm
    two_strands: bool
    multiplied: bool  # both directions, in place of added
    swapped: bool  # each norm exchanges the strands, as the fused code of the published models does

    def run(self, x: Tensor, mask: Tensor, ops: Operations, attentions: list[Tensor]) -> Tensor:
        """Compute outputs [B, C]; there is no attention."""
        residual: Tensor | None = None
        for layer in self.layers:
            residual = x if residual is None else x + residual
            if self.two_strands and self.swapped:
                residual = torch.cat(residual.chunk(2, -1)[::-1], -1)
            x = self._normed(layer.norm, residual, ops)
            if self.two_strands:
                one, other = x.chunk(2, -1)
                other = turned(other.flip(-1), mask)
                other = turned(layer.mixed(other, mask, ops, self.multiplied), mask).flip(-1)
                x = torch.cat((layer.mixed(one, mask, ops, self.multiplied), other), -1)
            else:
                x = layer.mixed(x, mask, ops, self.multiplied)
        x = self._normed(self.last_norm, x if residual is None else x + residual, ops)
        pooled = (x * mask[..., None]).sum(1) / mask.sum(1, keepdim=True)  # [B, H] or [B, 2H]
        if not self.two_strands:
            return self.head(pooled)
        one, other = pooled.chunk(2, -1)
        return (self.head(one) + self.head(other.flip(-1))) / 2

    def _normed(self, norm: LayerNorm | RMSNorm, x: Tensor, ops: Operations) -> Tensor:
        """Normalise each strand by itself."""
        if not self.two_strands:
            return norm(x, ops)
        one, other = x.chunk(2, -1)
        return torch.cat((norm(one, ops), norm(other.flip(-1), ops).flip(-1)), -1)


def turned(x: Tensor, mask: Tensor) -> Tensor:
    """Turn each sequence [B, T, H] round within its own length; padding stays where it is."""
    place = torch.arange(x.shape[1], device=x.device)
    index = torch.where(mask, mask.sum(1, keepdim=True) - 1 - place, place)
    return x.gather(1, index[..., None].expand_as(x))


def fits(checkpoint: Checkpoint) -> bool:
    """A backbone whose mixers are Mambas with a direction."""
    return any(".mamba_fwd." in key for key in checkpoint.tensors)


def build(checkpoint: Checkpoint) -> Parts:
    """Read the weights.

    Raises:
        CheckpointError: No head, a tensor missing or of another shape, or a setting that is not computed.
    """
    network = _network(checkpoint)
    abilities = frozenset({Ability.MODIFIED_GRADIENTS})
    return Parts(network, read_characters(checkpoint), sys.maxsize, abilities, ignored=_IGNORED)


def _network(checkpoint: Checkpoint) -> Caduceus:
    config, name, hidden = checkpoint.config, checkpoint.name, checkpoint.size("d_model")
    head = Affine.head_of(
        checkpoint, "score", hidden
    )  # before the rest: a pre-trained model lacks it, and has other names
    strategy = config.get("bidirectional_strategy") or "add"
    if strategy not in _STRATEGIES:
        raise CheckpointError(f"{name}: bidirectional_strategy is {strategy!r}; expected {' or '.join(_STRATEGIES)}.")
    rcps, fused = bool(config.get("rcps")), bool(config.get("fused_add_norm", True))
    mixer = "mixer.submodule" if rcps else "mixer"
    wrapped = ".submodule" if rcps and not fused else ""

    def affine(key: str, n_out: int, n_in: int, bias: object = False) -> Affine:
        return Affine.of(checkpoint, key, n_out, n_in, bias)

    def norm(key: str) -> LayerNorm | RMSNorm:
        eps, weight = float(config.get("norm_epsilon", 1e-5)), checkpoint.tensor(f"{key}{wrapped}.weight", hidden)
        if config.get("rms_norm", True):
            return RMSNorm(weight, eps)
        return LayerNorm(weight, checkpoint.tensor(f"{key}{wrapped}.bias", hidden), eps)

    def layer(index: int) -> CaduceusLayer:
        key = f"{_STEM}.layers.{index}"
        both = bool(config.get("bidirectional", True))
        return CaduceusLayer(
            norm=norm(f"{key}.norm"),
            forward=_scan(checkpoint, f"{key}.{mixer}.mamba_fwd", hidden),
            backward=_scan(checkpoint, f"{key}.{mixer}.mamba_rev", hidden, f"{key}.{mixer}.mamba_fwd")
            if both
            else None,
        )

    return Caduceus(
        words=_table(checkpoint, hidden, rcps),
        head=head,
        layers=tuple(layer(index) for index in range(checkpoint.size("n_layer"))),
        last_norm=norm(f"{_STEM}.norm_f"),
        two_strands=rcps,
        multiplied=strategy == "ew_multiply",
        swapped=fused,
    )


def _scan(checkpoint: Checkpoint, key: str, hidden: int, tied: str | None = None) -> Scan:
    """Take a Mamba; what is tied to the other direction's may be stored under its name alone."""

    def take(part: str, *shape: int) -> Tensor:
        is_stored = f"{key}.{part}" in checkpoint.tensors or tied is None or not weight_tie
        return checkpoint.tensor(f"{key if is_stored else tied}.{part}", *shape)

    def optional(part: str, size: int) -> Tensor | None:
        names = (f"{key}.{part}", f"{tied}.{part}")
        return take(part, size) if any(each in checkpoint.tensors for each in names) else None

    weight_tie = bool(checkpoint.config.get("bidirectional_weight_tie", True)) and tied is not None
    decay = checkpoint.tensor(f"{key}.A_log", -1, -1)
    units, states = decay.shape
    rank = checkpoint.tensor(f"{key}.dt_proj.weight", units, -1).shape[1]
    return Scan(
        enter=Affine(take("in_proj.weight", 2 * units, hidden), optional("in_proj.bias", 2 * units)),
        short=checkpoint.tensor(f"{key}.conv1d.weight", units, 1, -1),
        short_bias=checkpoint.tensor(f"{key}.conv1d.bias", units)
        if f"{key}.conv1d.bias" in checkpoint.tensors
        else None,
        select=Affine(checkpoint.tensor(f"{key}.x_proj.weight", rank + 2 * states, units)),
        step=Affine(
            checkpoint.tensor(f"{key}.dt_proj.weight", units, rank), checkpoint.tensor(f"{key}.dt_proj.bias", units)
        ),
        decay=decay,
        skip=checkpoint.tensor(f"{key}.D", units),
        leave=Affine(take("out_proj.weight", hidden, units), optional("out_proj.bias", hidden)),
    )


def _table(checkpoint: Checkpoint, hidden: int, rcps: bool) -> Tensor:
    """Take the embeddings; with two strands, each with that of its complement, in reverse order."""
    key = f"{_STEM}.embeddings.word_embeddings"
    words = checkpoint.tensor(f"{key}.embedding.weight" if rcps else f"{key}.weight", -1, hidden)
    if len(words) < len(VOCABULARY):
        raise CheckpointError(
            f"{checkpoint.name}: has {len(words)} embeddings; Caduceus's vocabulary needs {len(VOCABULARY)}."
        )
    if not rcps:
        return words
    complement = checkpoint.tensor(f"{key}.complement_map", len(words)).long()
    if (
        complement.min() < 0
        or complement.max() >= len(words)
        or (complement[complement] != torch.arange(len(words))).any()
    ):
        raise CheckpointError(
            f"{checkpoint.name}: expected a complement_map that gives each token back after two steps, "
            f"found {complement.tolist()}."
        )
    return torch.cat((words, words[complement].flip(-1)), -1)


def shapes(checkpoint: Checkpoint) -> dict[str, tuple[int, ...]]:
    """Name the tensors of the head."""
    return {"score.weight": (-1, checkpoint.size("d_model"))}


HEAD = Head(architecture="CaduceusForSequenceClassification", stem="caduceus.", shapes=shapes, network=_network)

FAMILY = Family(
    name="caduceus",
    summary="Caduceus: single nucleotides, Mamba in both directions, perhaps on both strands; no attention",
    cites="schiff2024",
    fits=fits,
    build=build,
    head=HEAD,
)
