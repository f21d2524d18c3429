"""HyenaDNA: single nucleotides, a long convolution whose filter is a function of position, and two gates.

It is causal, and its head reads the last token, [SEP]: padding that follows it changes nothing. Source: nguyen2023;
poli2023 for the operator.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from kmerit.errors import CheckpointError
from kmerit.models.checkpoint import Checkpoint
from kmerit.models.differentiable import Affine, Differentiable, LayerNorm, Operations, last_token
from kmerit.models.family import Ability, Family, Head, Parts
from kmerit.models.tokenizers import VOCABULARY, read_characters

_NORM_EPS = 1e-5
_IGNORED = frozenset(
    """
    activation_freq embed_dropout hyena_dropout hyena_filter_dropout pad_vocab_size_multiple train_freq vocab_size
    """.split()  # noqa: SIM905
)
"""Settings of the training, and what the shapes of the tensors say."""
_SHIFT = 0.05
"""What is added to the decay of every filter: no place is ever quite out of reach."""


@dataclass(frozen=True, eq=False)
class LongFilter:
    """A filter [H, T], made of the positions by a small network of sines and damped by a decay for each unit."""

    features: Tensor  # [P, E]   of each position
    time: Tensor  # [P, 1]   from 0 to 1
    layers: tuple[Affine, ...]
    frequency: Tensor  # [1, F]   of every sine
    decay: Tensor  # [H]
    skip: Tensor  # [H]   what a unit's own input adds

    def __call__(self, tokens: int) -> Tensor:
        x = self.features[:tokens]
        for layer in self.layers[:-1]:
            x = torch.sin(self.frequency * layer(x))
        x = self.layers[-1](x)
        return (x * (torch.exp(-self.time[:tokens] * self.decay.abs()) + _SHIFT)).T


@dataclass(frozen=True, eq=False)
class HyenaLayer:
    """Two gates around a long convolution, then a feed-forward; a norm before each."""

    before_mixer: LayerNorm
    enter: Affine  # [3H, H]
    short: Tensor  # [3H, 1, S]   a short convolution, unit by unit
    short_bias: Tensor  # [3H]
    filter: LongFilter
    leave: Affine
    before_feed: LayerNorm
    up: Affine
    down: Affine

    def mixed(self, x: Tensor, ops: Operations) -> Tensor:
        """Gate, convolve over all earlier positions, gate again: [B, T, H]."""
        tokens, width = x.shape[1], self.short.shape[-1]
        entered = F.pad(self.enter(x).transpose(1, 2), (width - 1, 0))
        outer, inner, v = F.conv1d(entered, self.short, self.short_bias, groups=len(self.short)).chunk(3, 1)
        v = ops.gate(inner, v)
        v = _convolved(v, ops.constant(self.filter(tokens))) + v * self.filter.skip[:, None]
        return self.leave(ops.gate(outer, v).transpose(1, 2))

    def fed(self, x: Tensor, ops: Operations) -> Tensor:
        """Apply the feed-forward."""
        return self.down(ops.activate(_gelu_tanh, self.up(x)))


@dataclass(frozen=True, eq=False)
class Hyena(Differentiable):
    """HyenaDNA's backbone with a head for the last token."""

    layers: tuple[HyenaLayer, ...]
    last_norm: LayerNorm

    def run(self, x: Tensor, mask: Tensor, ops: Operations, attentions: list[Tensor]) -> Tensor:
        """Compute outputs [B, C]; there is no attention."""
        for layer in self.layers:
            x = x + layer.mixed(layer.before_mixer(x, ops), ops)
            x = x + layer.fed(layer.before_feed(x, ops), ops)
        return self.head(self.last_norm(last_token(x, mask), ops))


def _gelu_tanh(x: Tensor) -> Tensor:
    return F.gelu(x, approximate="tanh")


def _convolved(x: Tensor, kernel: Tensor) -> Tensor:
    """Convolve [B, H, T] with [H, T], causally, by Fourier transform; in float32 where the dtype is smaller."""
    size, dtype = 2 * x.shape[-1], torch.promote_types(x.dtype, torch.float32)
    product = torch.fft.rfft(x.to(dtype), n=size) * torch.fft.rfft(kernel.to(dtype), n=size)
    convolved: Tensor = torch.fft.irfft(product, n=size)[..., : x.shape[-1]].to(x.dtype)
    return convolved


def fits(checkpoint: Checkpoint) -> bool:
    """A backbone with implicit filters."""
    return any(".mixer.filter_fn.implicit_filter." in key for key in checkpoint.tensors)


def build(checkpoint: Checkpoint) -> Parts:
    """Read the weights.

    Raises:
        CheckpointError: No head, a tensor missing or of another shape, or a setting that is not computed.
    """
    network = _network(checkpoint)
    return Parts(
        encoder=network,
        tokenizer=read_characters(checkpoint),
        max_tokens=checkpoint.size("max_seq_len"),
        abilities=frozenset({Ability.MODIFIED_GRADIENTS}),
        ignored=_IGNORED,
    )


def _network(checkpoint: Checkpoint) -> Hyena:
    config, name = checkpoint.config, checkpoint.name
    hidden, inner = checkpoint.size("d_model"), config.get("d_inner") or 4 * checkpoint.size("d_model")
    head = Affine.head_of(
        checkpoint, "score", hidden
    )  # before the rest: a pre-trained model lacks it, and has other names
    for key, only in (("hyena_order", 2), ("short_filter_order", 3), ("use_bias", True)):
        if config.get(key, only) != only:
            raise CheckpointError(f"{name}: {key} is {config[key]!r} in config.json; only {only!r} is supported.")

    def affine(key: str, n_out: int, n_in: int, bias: object = True) -> Affine:
        return Affine.of(checkpoint, key, n_out, n_in, bias)

    def norm(key: str, eps: float = _NORM_EPS) -> LayerNorm:
        return LayerNorm(checkpoint.tensor(f"{key}.weight", hidden), checkpoint.tensor(f"{key}.bias", hidden), eps)

    def long_filter(key: str) -> LongFilter:
        order, features = checkpoint.size("filter_order"), checkpoint.size("emb_dim")
        positions, sines = checkpoint.size("max_seq_len"), checkpoint.size("num_inner_mlps") + 1
        stem = f"{key}.implicit_filter"
        return LongFilter(
            features=checkpoint.tensor(f"{key}.pos_emb.z", 1, positions, features)[0],
            time=checkpoint.tensor(f"{key}.pos_emb.t", 1, positions, 1)[0],
            layers=(
                *(affine(f"{stem}.{2 * i}", order, order if i else features) for i in range(sines)),
                affine(f"{stem}.{2 * sines}", hidden, order, bias=False),
            ),
            frequency=_frequency(checkpoint, stem, sines, order),
            decay=checkpoint.tensor(f"{key}.modulation.deltas", 1, 1, hidden)[0, 0],
            skip=checkpoint.tensor(f"{key}.bias", hidden),
        )

    def layer(index: int) -> HyenaLayer:
        key = f"hyena.backbone.layers.{index}"
        return HyenaLayer(
            before_mixer=norm(f"{key}.norm1"),
            enter=affine(f"{key}.mixer.in_proj", 3 * hidden, hidden),
            short=checkpoint.tensor(f"{key}.mixer.short_filter.weight", 3 * hidden, 1, 3),
            short_bias=checkpoint.tensor(f"{key}.mixer.short_filter.bias", 3 * hidden),
            filter=long_filter(f"{key}.mixer.filter_fn"),
            leave=affine(f"{key}.mixer.out_proj", hidden, hidden),
            before_feed=norm(f"{key}.norm2"),
            up=affine(f"{key}.mlp.fc1", inner, hidden),
            down=affine(f"{key}.mlp.fc2", hidden, inner),
        )

    words = checkpoint.tensor("hyena.backbone.embeddings.word_embeddings.weight", -1, hidden)
    if len(words) < len(VOCABULARY):
        raise CheckpointError(f"{name}: has {len(words)} embeddings; HyenaDNA's vocabulary needs {len(VOCABULARY)}.")
    return Hyena(
        words=words,
        head=head,
        layers=tuple(layer(index) for index in range(checkpoint.size("n_layer"))),
        last_norm=norm("hyena.backbone.ln_f", float(config.get("layer_norm_epsilon", _NORM_EPS))),
    )


def _frequency(checkpoint: Checkpoint, stem: str, sines: int, order: int) -> Tensor:
    """Take the frequency that all sines of a filter share; safetensors keeps one of its names."""
    keys = [f"{stem}.{2 * i + 1}.freq" for i in range(sines)]
    stored_keys = [key for key in keys if key in checkpoint.tensors]
    if not stored_keys and not checkpoint.config.get("train_freq", True):
        return torch.full((1, order), float(checkpoint.config["activation_freq"]))
    first, *others = (checkpoint.tensor(key, 1, order) for key in stored_keys or keys[:1])
    if any(not torch.equal(first, other) for other in others):
        raise CheckpointError(
            f"{checkpoint.name}: {', '.join(stored_keys)} differ; the sines of a filter share a frequency."
        )
    return first


def shapes(checkpoint: Checkpoint) -> dict[str, tuple[int, ...]]:
    """Name the tensors of the head."""
    return {"score.weight": (-1, checkpoint.size("d_model"))}


def doubles(names: Iterable[str]) -> list[str]:
    """All sines of a filter share the frequency of the first."""
    return [name for name in names if name.endswith(".freq") and not name.endswith("implicit_filter.1.freq")]


HEAD = Head(
    architecture="HyenaDNAForSequenceClassification",
    stem="hyena.",
    shapes=shapes,
    network=_network,
    constants=r".*\.(pos_emb\.[tz]|modulation\.deltas)",
    doubles=doubles,
)

FAMILY = Family(
    name="hyenadna",
    summary="HyenaDNA: single nucleotides, long convolutions and gates; no attention",
    cites="nguyen2023",
    fits=fits,
    build=build,
    head=HEAD,
)
