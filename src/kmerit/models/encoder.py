"""The encoder: the whole forward pass on one screen, and the sweep back over its tape.

One pass serves BERT and its relatives: they differ in where they normalise (before or after attention and
feed-forward), in how they tell positions (learned, rotary, ALiBi) and in a gate in the feed-forward. What a family
lacks is None.

Weights are those of a published checkpoint, and so are the logits. The forward pass can leave a tape of plain
tensors; a rule book (``kmerit.models.rules``) says how each operation hands back what it received, and one sweep over
the tape yields the relevance of every attention matrix, last layer first. Gradient and relevance are such sweeps.

Letters in the margin: B sequences, T tokens, H hidden units, h heads, d = H / h, I feed-forward units, C classes, Q =
T query rows (1 in the last layer, where only [CLS] matters further on).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Any, Protocol, Self

import torch
import torch.nn.functional as F
from torch import Tensor

from kmerit.models.layers import Layer, Linear, Norm, Rotation, TokenDropout, alibi, normed


@dataclass(frozen=True, eq=False)
class LayerTape:
    """What a layer leaves for the way back. Products before softmax are unscaled and unmasked."""

    x: Tensor  # [B, T, H]
    attended: Tensor  # [B, T, H]   x, normalised where the norm comes before
    qkv: Tensor  # [B, T, 3H]   without queries in the last layer: [B, T, 2H]
    q: Tensor  # [B, h, Q, d]   before rotation
    k: Tensor  # [B, h, T, d]   before rotation
    v: Tensor  # [B, h, T, d]
    turned_q: Tensor  # [B, h, Q, d]   after it; q itself where nothing is rotated
    turned_k: Tensor  # [B, h, T, d]
    product: Tensor  # [B, h, Q, T]
    attention: Tensor  # [B, h, Q, T]
    gathered: Tensor  # [B, h, Q, d]   attention times values
    mixed: Tensor  # [B, Q, H]   the same, heads side by side
    projected: Tensor  # [B, Q, H]
    sum1: Tensor  # [B, Q, H]
    middle: Tensor  # [B, Q, H]   sum1, normalised where the norm comes after
    fed: Tensor  # [B, Q, H]   middle, normalised where the norm comes before
    raised: Tensor  # [B, Q, I]   before the activation; [B, Q, 2I] with a gate
    active: Tensor  # [B, Q, I]   after it
    gated: Tensor  # [B, Q, I]   active times the other half of raised; active itself without a gate
    lowered: Tensor  # [B, Q, H]
    sum2: Tensor  # [B, Q, H]


@dataclass(frozen=True, eq=False)
class Tape:
    """What a forward pass leaves for the way back."""

    layers: list[LayerTape]
    last: Tensor  # [B, H]   [CLS] as the last layer left it
    cls: Tensor  # [B, H]   the same after the last norm, if there is one
    pooled: Tensor  # [B, H]   before tanh
    activated: Tensor  # [B, H]   after it
    logits: Tensor  # [B, C]
    last_attention: Tensor  # [B, h, Q, T], Q = T where every query row was asked for

    @property
    def attentions(self) -> list[Tensor]:
        """[B, h, Q, T] for each layer; Q is 1 in the last."""
        return [layer.attention for layer in self.layers]

    @property
    def input(self) -> Tensor:
        """The encoder's input [B, T, H]."""
        return self.layers[0].x


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

    def rotate(self, rotation: Rotation, x: Tensor, y: Tensor, r: Tensor) -> Tensor:
        """From ``y = rotation(x)`` to x."""

    def multiply(self, a: Tensor, b: Tensor, y: Tensor, r: Tensor) -> tuple[Tensor, Tensor]:
        """From the element-wise ``y = a * b`` to a and b; a is the gate."""

    def activate(self, name: str, x: Tensor, y: Tensor, r: Tensor) -> Tensor:
        """From ``y = gelu(x)`` or ``silu(x)`` to x."""

    def tanh(self, x: Tensor, y: Tensor, r: Tensor) -> Tensor:
        """From ``y = tanh(x)`` to x."""

    def norm(self, layer: Norm, x: Tensor, r: Tensor) -> Tensor:
        """From ``layer(x)`` to x."""


class OfTensors:
    """A network of plain tensors, where its word embeddings are and in their dtype."""

    words: Tensor

    @property
    def device(self) -> torch.device:
        """Where it runs."""
        return self.words.device

    @property
    def dtype(self) -> torch.dtype:
        """What it computes in."""
        return self.words.dtype

    def to(self, device: torch.device, dtype: torch.dtype) -> Self:
        """Copy it with every tensor on a device and in a dtype."""
        copy: Self = converted(self, device, dtype)
        return copy


@dataclass(frozen=True, eq=False)
class Encoder(OfTensors):
    """A classifier that reads [CLS], as plain tensors.

    Source: devlin2019 for the architecture; the numbers are those of the published code of each family.
    """

    words: Tensor  # [V, H]
    added: tuple[Tensor, ...]  # [P, H] or [1, H] each: learned positions, the token type
    norm: Norm | None
    layers: tuple[Layer, ...]
    pooler: Linear
    classifier: Linear
    heads: int
    last_norm: Norm | None = None
    rotation: Rotation | None = None
    slopes: Tensor | None = None  # [h], ALiBi's
    dropout: TokenDropout | None = None

    def __repr__(self) -> str:
        return f"<Encoder: {len(self.layers)} layers of {self.words.shape[1]}, {self.outputs} outputs>"

    @property
    def outputs(self) -> int:
        """Classes, labels or values."""
        return int(self.classifier.weight.shape[0])

    def of_output(self, index: int, asks: bool) -> Self:
        """Keep one output alone, or as a question; see ``Network``."""
        weight, bias = of_output(self.classifier.weight, index, asks), of_output(self.classifier.bias, index, asks)
        return replace(self, classifier=Linear(weight, bias))

    def look_up(self, ids: Tensor, mask: Tensor) -> Tensor:
        """Take the word embeddings [B, T, H] of ids [B, T]."""
        words = self.words[ids]
        return words if self.dropout is None else self.dropout(words, ids, mask)

    def embed(self, words: Tensor) -> Tensor:
        """Add positions and token type 0 to word embeddings, and normalise: the encoder's input [B, T, H]."""
        return normed(self.norm, self._placed(words))

    def to_words(self, words: Tensor, rules: Rules, r: Tensor) -> Tensor:
        """Hand back from the encoder's input to the word embeddings [B, T, H]: their share of the sum."""
        if self.norm is not None:
            r = rules.norm(self.norm, self._placed(words), r)
        if not self.added:
            return r
        return rules.add(self._placed(torch.zeros_like(words)), words, self._placed(words), r)[1]

    def _placed(self, words: Tensor) -> Tensor:
        for added in self.added:
            words = words + added[: words.shape[1]]
        return words

    def logits(self, ids: Tensor, mask: Tensor) -> Tensor:
        """Predict from ids, leaving nothing behind: [B, C]."""
        return self.classify(self.embed(self.look_up(ids, mask)), mask)

    def classify(self, x: Tensor, mask: Tensor) -> Tensor:
        """Predict, leaving nothing behind.

        Args:
            x: The encoder's input [B, T, H].
            mask: bool [B, T], False on padding.

        Returns:
            Logits [B, C].
        """
        bias = self._bias(mask, x.dtype)
        for depth, layer in enumerate(self.layers):
            attended = normed(layer.before_attention, x)
            mixed = self._gathered(layer, attended, bias, self._is_last(depth))  # [B, Q, H]
            x = normed(layer.after_attention, layer.output.plus(mixed, x[:, : mixed.shape[1]]))  # [B, Q, H]
            x = normed(layer.after_feed, layer.down.plus(layer.feed(normed(layer.before_feed, x)), x))  # [B, Q, H]
        return self.classifier(torch.tanh(self.pooler(normed(self.last_norm, x[:, 0]))))

    def record(self, x: Tensor, mask: Tensor, every_row: bool = False, rules: Rules | None = None) -> Tape:
        """Predict, leaving a tape for ``sweep``: the same operations as ``classify``, one by one.

        Args:
            x: The encoder's input [B, T, H].
            mask: bool [B, T], False on padding.
            every_row: Keep the last layer's attention for every query row, not for [CLS] alone.
            rules: Any book can sweep a tape; this changes nothing.

        Returns:
            The tape, logits [B, C] included.
        """
        bias, tapes, last_attention = self._bias(mask, x.dtype), [], x
        for depth, layer in enumerate(self.layers):
            attended = normed(layer.before_attention, x)
            qkv, *apart = self._project(layer, attended, cls_only=self._is_last(depth) and not every_row)
            q, k, v = (part.contiguous() for part in apart)  # once, not in each product with them
            turned_q, turned_k = self._turned(q), self._turned(k)
            product = turned_q @ turned_k.mT  # [B, h, Q, T]
            rows = _rows(bias, q)
            scores = product * self._scale if rows is None else (product * self._scale).add_(rows)
            last_attention = attention = scores.softmax(-1)  # [B, h, Q, T]
            if self._is_last(depth):
                qkv = qkv[..., -2 * x.shape[2] :]
                q, turned_q, product, attention = (t[:, :, :1] for t in (q, turned_q, product, attention))
            gathered = attention @ v  # [B, h, Q, d]
            mixed = self._merge(gathered)  # [B, Q, H]
            projected = layer.output(mixed)  # [B, Q, H]
            sum1 = x[:, : mixed.shape[1]] + projected
            middle = normed(layer.after_attention, sum1)
            fed = normed(layer.before_feed, middle)
            raised = layer.up(fed)  # [B, Q, I]
            active = layer.activate(raised)
            gated = layer.gate(active, raised)
            lowered = layer.down(gated)  # [B, Q, H]
            sum2 = middle + lowered
            steps = (gathered, mixed, projected, sum1, middle, fed, raised, active, gated, lowered, sum2)
            tapes.append(LayerTape(x, attended, qkv, q, k, v, turned_q, turned_k, product, attention, *steps))
            x = normed(layer.after_feed, sum2)
        cls = normed(self.last_norm, x[:, 0])  # [B, H]
        pooled = self.pooler(cls)
        activated = torch.tanh(pooled)
        return Tape(tapes, x[:, 0], cls, pooled, activated, self.classifier(activated), last_attention)

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
        r = rules.linear(self.pooler, tape.cls, tape.pooled, r)
        r = _unnormed(rules, self.last_norm, tape.last, r)[:, None]  # [B, 1, H]: [CLS] alone
        for depth in range(len(self.layers) - 1, -1, -1):
            layer, t = self.layers[depth], tape.layers[depth]
            r = _unnormed(rules, layer.after_feed, t.sum2, r)  # [B, Q, H]
            r_skip, r = rules.add(t.middle, t.lowered, t.sum2, r)
            r = self._feed_back(layer, t, rules, rules.linear(layer.down, t.gated, t.lowered, r))
            r = _unnormed(
                rules, layer.after_attention, t.sum1, r_skip + _unnormed(rules, layer.before_feed, t.middle, r)
            )
            r_x, r = rules.add(t.x[:, : r.shape[1]], t.projected, t.sum1, r)
            r = rules.linear(layer.output, t.mixed, t.projected, r)
            r_attention, r_v = rules.matmul(t.attention, t.v, t.gathered, self._split(r).contiguous())
            yield depth, r_attention  # [B, h, Q, T]
            r = rules.softmax(t.attention, r_attention, self._scale)
            r_q, r_k = rules.matmul(t.turned_q, t.turned_k.mT, t.product, r)
            r_q, r_k = self._turned_back(rules, t, r_q, r_k.mT)
            if not self._is_last(depth):
                r = rules.linear(layer.qkv, t.attended, t.qkv, self._merge(r_q, r_k, r_v))  # [B, T, H]
            else:  # the last layer: the query and the residual belong to [CLS] alone
                cls = t.attended[:, :1]
                r = rules.linear(layer.key_value, t.attended, t.qkv, self._merge(r_k, r_v))
                r[:, :1] += rules.linear(layer.query, cls, self._merge(t.q), self._merge(r_q))
            r = _unnormed(rules, layer.before_attention, t.x, r)
            r[:, : r_x.shape[1]] += r_x
        yield -1, r

    @property
    def _scale(self) -> float:
        return float((self.words.shape[1] // self.heads) ** -0.5)

    def _is_last(self, depth: int) -> bool:
        return depth == len(self.layers) - 1

    def _project(self, layer: Layer, x: Tensor, cls_only: bool) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Make the product [B, T, 3H], or [B, T, 2H] of keys and values, and queries [B, h, Q, d], keys, values."""
        if cls_only:
            key_value = layer.key_value(x)
            k, v = key_value.chunk(2, -1)
            return key_value, self._split(layer.query(x[:, :1])), self._split(k), self._split(v)
        qkv = layer.qkv(x)
        q, k, v = qkv.chunk(3, -1)
        return qkv, self._split(q), self._split(k), self._split(v)

    def _gathered(self, layer: Layer, x: Tensor, bias: Tensor | None, cls_only: bool) -> Tensor:
        """What attention gathers, [B, Q, H], of ``x`` [B, T, H]."""
        if cls_only and not torch.is_grad_enabled() and x.dtype in _EXACT:
            return self._gathered_by_cls(layer, x, bias)
        _, q, k, v = self._project(layer, x, cls_only)  # [B, h, Q, d], [B, h, T, d] twice
        q, k = self._turned(q), self._turned(k)
        return self._merge(F.scaled_dot_product_attention(q, k, v, attn_mask=_rows(bias, q)))

    def _gathered_by_cls(self, layer: Layer, x: Tensor, bias: Tensor | None) -> Tensor:
        """The same for [CLS], [B, 1, H], without a value of any token, and without a key where none is rotated.

        For one query, q (K x + b) is (q K) x plus what softmax does not see, and the mean of V x + b is V times the
        mean of x, plus b.
        """
        q, (key, value) = self._split(layer.query(x[:, :1])), layer.key_and_value
        if self.rotation is None:
            product = torch.einsum("bhd,hdi->bhi", q[:, :, 0], key.by_head(self.heads)) @ x.transpose(1, 2)
        else:
            product = (self._turned(q) @ self._turned(self._split(key(x))).transpose(-1, -2))[:, :, 0]
        rows = _rows(bias, q)
        scores = product * self._scale if rows is None else (product * self._scale).add_(rows[:, :, 0])
        mean = scores.softmax(-1) @ x  # [B, h, H]
        mixed = torch.einsum("bhi,hdi->bhd", mean, value.by_head(self.heads)).flatten(1)
        return (mixed + value.bias)[:, None]

    def _split(self, x: Tensor) -> Tensor:
        """[B, T, H] to [B, h, T, d]."""
        return x.view(*x.shape[:2], self.heads, -1).transpose(1, 2)

    def _merge(self, *parts: Tensor) -> Tensor:
        """[B, h, T, d], one or several, to [B, T, H] side by side."""
        if len(parts) == 1:  # what scaled_dot_product_attention returns lies so already
            return parts[0].transpose(1, 2).flatten(2)
        return torch.stack([part.transpose(1, 2) for part in parts], 2).flatten(2)

    def _turned(self, x: Tensor) -> Tensor:
        """Rotate queries or keys [B, h, T, d] by their positions, if positions are told so."""
        return x if self.rotation is None else self.rotation(x)

    def _turned_back(self, rules: Rules, t: LayerTape, r_q: Tensor, r_k: Tensor) -> tuple[Tensor, Tensor]:
        """Hand back through the rotation of queries and keys."""
        if self.rotation is None:
            return r_q, r_k
        return (
            rules.rotate(self.rotation, t.q, t.turned_q, r_q),
            rules.rotate(self.rotation, t.k, t.turned_k, r_k),
        )

    @staticmethod
    def _feed_back(layer: Layer, t: LayerTape, rules: Rules, r: Tensor) -> Tensor:
        """Hand back from the gated activations [B, Q, I] to the feed-forward's input [B, Q, H]."""
        if layer.gated:
            own_half, other = t.raised.chunk(2, -1)
            r, r_other = rules.multiply(t.active, other, t.gated, r)
            r = torch.cat((rules.activate(layer.activation, own_half, t.active, r), r_other), -1)
        else:
            r = rules.activate(layer.activation, t.raised, t.active, r)
        return rules.linear(layer.up, t.fed, t.raised, r)

    def _bias(self, mask: Tensor, dtype: torch.dtype) -> Tensor | None:
        """What is added to the scores: -inf on padded keys [B, 1, 1, T], ALiBi [B, h, T, T]; None for nothing."""
        bias = None if self.slopes is None else alibi(self.slopes, mask.shape[1])
        if bool(mask.all()):
            return bias
        padding = torch.zeros(mask.shape, dtype=dtype, device=mask.device).masked_fill_(~mask, -torch.inf)[
            :, None, None
        ]
        return padding if bias is None else bias + padding


_EXACT = (torch.float32, torch.float64)
"""Dtypes in which the order of operations costs nothing that anybody sees."""


def of_output(rows: Tensor, index: int, asks: bool) -> Tensor:
    """Take one row of a head's weight or bias [C, ...] or its negative half and its half."""
    row = rows[index : index + 1]
    return torch.cat((-row / 2, row / 2)) if asks else row.clone()


def converted(part: Any, device: torch.device, dtype: torch.dtype) -> Any:
    """Copy weights, also inside containers of weights."""
    if isinstance(part, Tensor):
        tensor = part.to(device, dtype).contiguous()
        whole = tensor.untyped_storage().nbytes() == tensor.nbytes
        return tensor if whole else tensor.clone()  # aligned: same bits on every load
    if isinstance(part, tuple):
        return tuple(converted(item, device, dtype) for item in part)
    if is_dataclass(part) and not isinstance(part, type):
        return replace(part, **{f.name: converted(getattr(part, f.name), device, dtype) for f in fields(part)})
    return part


def tensors_of(part: Any) -> Iterator[Tensor]:
    """Yield the weights of a network, also inside containers of weights and in torch modules."""
    if isinstance(part, Tensor):
        yield part
    elif isinstance(part, torch.nn.Module):
        yield from part.parameters()
    elif isinstance(part, tuple):
        for item in part:
            yield from tensors_of(item)
    elif is_dataclass(part) and not isinstance(part, type):
        for field in fields(part):
            yield from tensors_of(getattr(part, field.name))


def _unnormed(rules: Rules, norm: Norm | None, x: Tensor, r: Tensor) -> Tensor:
    """Hand back through a norm where there is one."""
    return r if norm is None else rules.norm(norm, x, r)


def _rows(bias: Tensor | None, q: Tensor) -> Tensor | None:
    """The rows of a bias that belong to the queries [B, h, Q, d]."""
    return None if bias is None else bias[:, :, : q.shape[2]]
