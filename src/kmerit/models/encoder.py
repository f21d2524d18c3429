"""The BERT encoder: the whole forward pass on one screen, and the sweep back over its tape.

Weights are those of a Hugging Face checkpoint, and so are the logits. The forward pass can leave a tape of plain
tensors; a rule book (``kmerit.models.rules``) says how each operation hands back what it received, and one sweep over
the tape yields the relevance of every attention matrix, last layer first. Gradient and relevance are such sweeps.

Letters in the margin: B sequences, T tokens, H hidden units, h heads, d = H / h, I feed-forward units, C classes,
Q = T query rows (1 in the last layer, where only [CLS] matters further on).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor


@dataclass(frozen=True, eq=False)
class Linear:
    """``y = x W^T + b``; weight [out, in]."""

    weight: Tensor
    bias: Tensor

    def __call__(self, x: Tensor) -> Tensor:
        return F.linear(x, self.weight, self.bias)

    @cached_property
    def magnitude(self) -> Tensor:
        """|W|, computed once."""
        return self.weight.abs()

    def rows(self, start: int, stop: int) -> Linear:
        """Keep some of the outputs."""
        return Linear(self.weight[start:stop], self.bias[start:stop])


@dataclass(frozen=True, eq=False)
class Norm:
    """LayerNorm over the hidden units."""

    weight: Tensor
    bias: Tensor
    eps: float

    def __call__(self, x: Tensor) -> Tensor:
        return F.layer_norm(x, self.weight.shape, self.weight, self.bias, self.eps)


@dataclass(frozen=True, eq=False)
class Layer:
    """One transformer layer; query, key and value are one product of 3H outputs."""

    qkv: Linear
    output: Linear
    output_norm: Norm
    up: Linear
    down: Linear
    down_norm: Norm

    @cached_property
    def query(self) -> Linear:
        """The first third of ``qkv``."""
        return self.qkv.rows(0, self.qkv.weight.shape[1])

    @cached_property
    def key_value(self) -> Linear:
        """The other two thirds."""
        return self.qkv.rows(self.qkv.weight.shape[1], self.qkv.weight.shape[0])


@dataclass(eq=False)
class LayerTape:
    """What a layer leaves for the way back. Products before softmax are unscaled and unmasked."""

    x: Tensor  # [B, T, H]
    q: Tensor  # [B, h, Q, d]
    k: Tensor  # [B, h, T, d]
    v: Tensor  # [B, h, T, d]
    product: Tensor  # [B, h, Q, T]
    attention: Tensor  # [B, h, Q, T]
    mixed: Tensor  # [B, Q, H]   attention times values
    projected: Tensor  # [B, Q, H]
    sum1: Tensor  # [B, Q, H]
    normed: Tensor  # [B, Q, H]
    raised: Tensor  # [B, Q, I]   before GELU
    active: Tensor  # [B, Q, I]   after it
    lowered: Tensor  # [B, Q, H]
    sum2: Tensor  # [B, Q, H]


@dataclass(eq=False)
class Tape:
    """What a forward pass leaves for the way back."""

    layers: list[LayerTape] = field(default_factory=list)
    last_attention: Tensor | None = None  # [B, h, T, T], every query row, if asked for
    cls: Tensor | None = None  # [B, H]
    pooled: Tensor | None = None  # [B, H]  before tanh
    activated: Tensor | None = None  # [B, H]  after it
    logits: Tensor | None = None  # [B, C]


class Rules(Protocol):
    """How each operation hands back what its output received: one explicit reverse function each."""

    def linear(self, layer: Linear, x: Tensor, y: Tensor, r: Tensor) -> Tensor:
        """From ``y = layer(x)`` to x."""

    def matmul(self, a: Tensor, b: Tensor, y: Tensor, r: Tensor) -> tuple[Tensor, Tensor]:
        """From ``y = a @ b`` to a and b."""

    def add(self, a: Tensor, b: Tensor, y: Tensor, r: Tensor) -> tuple[Tensor, Tensor]:
        """From ``y = a + b`` to a and b."""

    def softmax(self, y: Tensor, r: Tensor, scale: float) -> Tensor:
        """From ``y = softmax(scale * x + mask)`` to x."""

    def gelu(self, x: Tensor, y: Tensor, r: Tensor) -> Tensor:
        """From ``y = gelu(x)`` to x."""

    def tanh(self, x: Tensor, y: Tensor, r: Tensor) -> Tensor:
        """From ``y = tanh(x)`` to x."""

    def norm(self, layer: Norm, x: Tensor, r: Tensor) -> Tensor:
        """From ``layer(x)`` to x."""


@dataclass(frozen=True, eq=False)
class Encoder:
    """A BERT classifier as plain tensors.

    Source: devlin2019 for the architecture; the numbers are those of transformers' BertForSequenceClassification.
    """

    words: Tensor  # [V, H]
    positions: Tensor  # [P, H]
    kinds: Tensor  # [2, H]
    norm: Norm
    layers: tuple[Layer, ...]
    pooler: Linear
    classifier: Linear
    heads: int

    def embed(self, ids: Tensor) -> Tensor:
        """Look up words, positions and token type 0, and normalise: the encoder's input [B, T, H]."""
        return self.norm(self.words[ids] + self.kinds[0] + self.positions[: ids.shape[1]])

    def classify(self, x: Tensor, mask: Tensor, tape: Tape | None = None, every_row: bool = False) -> Tensor:
        """Run the layers and the head.

        Args:
            x: The encoder's input [B, T, H].
            mask: bool [B, T], False on padding.
            tape: Filled for a later ``sweep``.
            every_row: Keep the last layer's attention for every query row, not for [CLS] alone.

        Returns:
            Logits [B, C].
        """
        bias = None if bool(mask.all()) else torch.zeros_like(mask, dtype=x.dtype).masked_fill(~mask, -torch.inf)
        bias = None if bias is None else bias[:, None, None, :]  # [B, 1, 1, T]
        for depth, layer in enumerate(self.layers):
            last = depth == len(self.layers) - 1
            x = self._layer(layer, x, bias, tape, last, every_row)
        cls = x[:, 0]  # [B, H]
        pooled = self.pooler(cls)
        activated = torch.tanh(pooled)
        logits = self.classifier(activated)  # [B, C]
        if tape is not None:
            tape.cls, tape.pooled, tape.activated, tape.logits = cls, pooled, activated, logits
        return logits

    def _layer(
        self, layer: Layer, x: Tensor, bias: Tensor | None, tape: Tape | None, last: bool, every_row: bool
    ) -> Tensor:
        rows = slice(0, 1) if last else slice(None)
        if last and not every_row:
            q = self._split(layer.query(x[:, rows]))  # [B, h, Q, d]
            k, v = map(self._split, layer.key_value(x).chunk(2, -1))  # [B, h, T, d]
        else:
            q, k, v = map(self._split, layer.qkv(x).chunk(3, -1))
        if tape is None:
            mixed = self._merge(F.scaled_dot_product_attention(q[:, :, rows], k, v, attn_mask=bias))
        else:
            product = q @ k.transpose(-1, -2)  # [B, h, Q, T]
            scores = product * self._scale(q) if bias is None else product * self._scale(q) + bias
            attention = scores.softmax(-1)
            if last and every_row:
                tape.last_attention = attention
            q, product, attention = q[:, :, rows], product[:, :, rows], attention[:, :, rows]
            mixed = self._merge(attention @ v)  # [B, Q, H]
        projected = layer.output(mixed)
        sum1 = x[:, rows] + projected
        normed = layer.output_norm(sum1)
        raised = layer.up(normed)  # [B, Q, I]
        active = F.gelu(raised)
        lowered = layer.down(active)  # [B, Q, H]
        sum2 = normed + lowered
        if tape is not None:
            tape.layers.append(
                LayerTape(x, q, k, v, product, attention, mixed, projected, sum1, normed, raised, active, lowered, sum2)
            )
        return layer.down_norm(sum2)

    def sweep(self, tape: Tape, rules: Rules, seed: Tensor) -> Iterator[tuple[int, Tensor]]:
        """Go back over the tape, from the logits to the encoder's input.

        Args:
            tape: Of one forward pass; it can be swept many times.
            rules: How each operation hands back.
            seed: What the logits receive, [B, C].

        Yields:
            ``(layer, received)`` from the last layer to the first, ``received`` [B, h, Q, T] by its attention; at the
            end ``(-1, received)`` [B, T, H] by the encoder's input. Whoever needs no more just stops asking.
        """
        assert tape.cls is not None and tape.pooled is not None and tape.activated is not None  # noqa: PT018
        assert tape.logits is not None
        r = rules.linear(self.classifier, tape.activated, tape.logits, seed)
        r = rules.tanh(tape.pooled, tape.activated, r)
        r = rules.linear(self.pooler, tape.cls, tape.pooled, r)[:, None]  # [B, 1, H]: [CLS] alone
        for depth in range(len(self.layers) - 1, -1, -1):
            layer, t = self.layers[depth], tape.layers[depth]
            r = rules.norm(layer.down_norm, t.sum2, r)  # [B, Q, H]
            r_skip, r = rules.add(t.normed, t.lowered, t.sum2, r)
            r = rules.gelu(t.raised, t.active, rules.linear(layer.down, t.active, t.lowered, r))
            r = rules.norm(layer.output_norm, t.sum1, r_skip + rules.linear(layer.up, t.normed, t.raised, r))
            query_rows = t.x[:, : r.shape[1]]
            r_x, r = rules.add(query_rows, t.projected, t.sum1, r)
            r = rules.linear(layer.output, t.mixed, t.projected, r)
            r_attention, r_v = rules.matmul(t.attention, t.v, self._split(t.mixed), self._split(r))
            yield depth, r_attention  # [B, h, Q, T]
            r = rules.softmax(t.attention, r_attention, self._scale(t.q))
            r_q, r_k = rules.matmul(t.q, t.k.transpose(-1, -2), t.product, r)
            r_q, r_k, r_v = self._merge(r_q), self._merge(r_k.transpose(-1, -2)), self._merge(r_v)
            q, k, v = self._merge(t.q), self._merge(t.k), self._merge(t.v)
            if r_q.shape[1] == r_k.shape[1]:
                received = torch.cat((r_q, r_k, r_v), -1)
                r = r_x + rules.linear(layer.qkv, t.x, torch.cat((q, k, v), -1), received)  # [B, T, H]
            else:  # the last layer: the query and the residual belong to [CLS] alone
                r = rules.linear(layer.key_value, t.x, torch.cat((k, v), -1), torch.cat((r_k, r_v), -1))
                r[:, : r_x.shape[1]] += r_x + rules.linear(layer.query, query_rows, q, r_q)
        yield -1, r

    def _scale(self, q: Tensor) -> float:
        return float(q.shape[-1] ** -0.5)

    def _split(self, x: Tensor) -> Tensor:
        """[B, T, H] to [B, h, T, d]."""
        return x.unflatten(-1, (self.heads, -1)).transpose(1, 2)

    def _merge(self, x: Tensor) -> Tensor:
        """[B, h, T, d] to [B, T, H]."""
        return x.transpose(1, 2).flatten(2)
