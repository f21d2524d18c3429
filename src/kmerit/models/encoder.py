"""The BERT encoder: the whole forward pass on one screen, and the sweep back over its tape.

Weights are those of a Hugging Face checkpoint, and so are the logits. The forward pass can leave a tape of plain
tensors; a rule book (``kmerit.models.rules``) says how each operation hands back what it received, and one sweep over
the tape yields the relevance of every attention matrix, last layer first. Gradient and relevance are such sweeps.

Letters in the margin: B sequences, T tokens, H hidden units, h heads, d = H / h, I feed-forward units, C classes,
Q = T query rows (1 in the last layer, where only [CLS] matters further on).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from kmerit.models.linear import Linear


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


@dataclass(frozen=True, eq=False)
class LayerTape:
    """What a layer leaves for the way back. Products before softmax are unscaled and unmasked."""

    x: Tensor  # [B, T, H]
    qkv: Tensor | None  # [B, T, 3H]   None where queries were made for [CLS] alone
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


@dataclass(frozen=True, eq=False)
class Tape:
    """What a forward pass leaves for the way back."""

    layers: list[LayerTape]
    cls: Tensor  # [B, H]
    pooled: Tensor  # [B, H]   before tanh
    activated: Tensor  # [B, H]   after it
    logits: Tensor  # [B, C]
    last_attention: Tensor  # [B, h, Q, T], Q = T where every query row was asked for


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

    def embed(self, words: Tensor) -> Tensor:
        """Add positions and token type 0 to word embeddings, and normalise: the encoder's input [B, T, H]."""
        return self.norm(self._placed(words))

    def to_words(self, words: Tensor, rules: Rules, r: Tensor) -> Tensor:
        """Hand back from the encoder's input to the word embeddings [B, T, H]; positions and type get nothing."""
        return rules.norm(self.norm, self._placed(words), r)

    def _placed(self, words: Tensor) -> Tensor:
        return words + self.kinds[0] + self.positions[: words.shape[1]]

    def classify(self, x: Tensor, mask: Tensor) -> Tensor:
        """Predict, leaving nothing behind.

        Args:
            x: The encoder's input [B, T, H].
            mask: bool [B, T], False on padding.

        Returns:
            Logits [B, C].
        """
        bias = _bias(mask, x.dtype)
        for depth, layer in enumerate(self.layers):
            _, q, k, v = self._project(layer, x, cls_only=self._is_last(depth))  # [B, h, Q, d], [B, h, T, d] twice
            mixed = self._merge(F.scaled_dot_product_attention(q, k, v, attn_mask=bias))  # [B, Q, H]
            x = layer.output_norm(layer.output.plus(mixed, x[:, : mixed.shape[1]]))  # [B, Q, H]
            x = layer.down_norm(layer.down.plus(layer.up.gelu(x), x))  # [B, Q, H]
        return self.classifier(torch.tanh(self.pooler(x[:, 0])))

    def record(self, x: Tensor, mask: Tensor, every_row: bool = False) -> Tape:
        """Predict, leaving a tape for ``sweep``: the same operations as ``classify``, one by one.

        Args:
            x: The encoder's input [B, T, H].
            mask: bool [B, T], False on padding.
            every_row: Keep the last layer's attention for every query row, not for [CLS] alone.

        Returns:
            The tape, logits [B, C] included.
        """
        bias, tapes, last_attention = _bias(mask, x.dtype), [], x
        for depth, layer in enumerate(self.layers):
            qkv, q, k, v = self._project(layer, x, cls_only=self._is_last(depth) and not every_row)
            product = q @ k.transpose(-1, -2)  # [B, h, Q, T]
            scores = product * self._scale if bias is None else (product * self._scale).add_(bias)
            last_attention = attention = scores.softmax(-1)  # [B, h, Q, T]
            if self._is_last(depth):
                qkv, q, product, attention = None, q[:, :, :1], product[:, :, :1], attention[:, :, :1]
            mixed = self._merge(attention @ v)  # [B, Q, H]
            projected = layer.output(mixed)  # [B, Q, H]
            sum1 = x[:, : mixed.shape[1]] + projected
            normed = layer.output_norm(sum1)
            raised = layer.up(normed)  # [B, Q, I]
            active = F.gelu(raised)
            lowered = layer.down(active)  # [B, Q, H]
            sum2 = normed + lowered
            steps = (mixed, projected, sum1, normed, raised, active, lowered, sum2)
            tapes.append(LayerTape(x, qkv, q, k, v, product, attention, *steps))
            x = layer.down_norm(sum2)
        cls = x[:, 0]  # [B, H]
        pooled = self.pooler(cls)
        activated = torch.tanh(pooled)
        return Tape(tapes, cls, pooled, activated, self.classifier(activated), last_attention)

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
            r = rules.softmax(t.attention, r_attention, self._scale)
            r_q, r_k = rules.matmul(t.q, t.k.transpose(-1, -2), t.product, r)
            r_k = r_k.transpose(-1, -2)
            if t.qkv is not None:
                r = r_x + rules.linear(layer.qkv, t.x, t.qkv, self._merge(r_q, r_k, r_v))  # [B, T, H]
            else:  # the last layer: the query and the residual belong to [CLS] alone
                r = rules.linear(layer.key_value, t.x, self._merge(t.k, t.v), self._merge(r_k, r_v))
                r[:, :1] += r_x + rules.linear(layer.query, query_rows, self._merge(t.q), self._merge(r_q))
        yield -1, r

    @property
    def _scale(self) -> float:
        return float((self.words.shape[1] // self.heads) ** -0.5)

    def _is_last(self, depth: int) -> bool:
        return depth == len(self.layers) - 1

    def _project(self, layer: Layer, x: Tensor, cls_only: bool) -> tuple[Tensor | None, Tensor, Tensor, Tensor]:
        """Make the product [B, T, 3H] (if it is one), and of it queries [B, h, Q, d], keys and values [B, h, T, d]."""
        if cls_only:
            k, v = layer.key_value(x).chunk(2, -1)
            return None, self._split(layer.query(x[:, :1])), self._split(k), self._split(v)
        qkv = layer.qkv(x)
        q, k, v = qkv.chunk(3, -1)
        return qkv, self._split(q), self._split(k), self._split(v)

    def _split(self, x: Tensor) -> Tensor:
        """[B, T, H] to [B, h, T, d]."""
        return x.view(*x.shape[:2], self.heads, -1).transpose(1, 2)

    def _merge(self, *parts: Tensor) -> Tensor:
        """[B, h, T, d], one or several, to [B, T, H] side by side."""
        if len(parts) == 1:  # what scaled_dot_product_attention returns lies so already
            return parts[0].transpose(1, 2).flatten(2)
        return torch.stack([part.transpose(1, 2) for part in parts], 2).flatten(2)


def _bias(mask: Tensor, dtype: torch.dtype) -> Tensor | None:
    """What is added to the scores: -inf on padded keys [B, 1, 1, T]; None where there is no padding."""
    if bool(mask.all()):
        return None
    return torch.zeros(mask.shape, dtype=dtype, device=mask.device).masked_fill_(~mask, -torch.inf)[:, None, None]
