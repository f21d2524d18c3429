"""The encoder as a tree of torch modules, for tools that attach their own rules to module types.

DeepLIFT replaces the gradient of each nonlinearity; a tool can do so only where the nonlinearity is a module that it
knows. A functional call silently becomes a plain gradient. Here softmax, GELU, SiLU, tanh and LayerNorm are torch's
modules, and every product of two tensors is a module of the tool's choice.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import torch
from torch import Tensor, nn

from kmerit.models.encoder import Encoder
from kmerit.models.layers import Layer, Norm
from kmerit.models.linear import Linear
from kmerit.models.positions import Rotation, alibi

_Weighted = TypeVar("_Weighted", nn.Linear, nn.LayerNorm)
_ACTIVATIONS: dict[str, type[nn.Module]] = {"gelu": nn.GELU, "silu": nn.SiLU}

Products = Callable[[str | None], nn.Module]
"""Makes the module of one product: ``a @ b``, or what an einsum equation says."""

ELEMENT_WISE = "...,...->..."


class Product(nn.Module):
    """The product of two tensors: ``a @ b``, or what an einsum equation says."""

    def __init__(self, equation: str | None = None) -> None:
        """Take the equation, or None for a matrix product."""
        super().__init__()
        self.equation = equation

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        """Multiply."""
        return a @ b if self.equation is None else torch.einsum(self.equation, a, b)


class _Block(nn.Module):
    """One transformer layer; in the last one only [CLS] asks."""

    def __init__(self, layer: Layer, encoder: Encoder, cls_only: bool, product: Products) -> None:
        super().__init__()
        self.heads, self.rotation, self.cls_only = encoder.heads, encoder.rotation, cls_only
        self.before_attention, self.after_attention = _norm(layer.before_attention), _norm(layer.after_attention)
        self.before_feed, self.after_feed = _norm(layer.before_feed), _norm(layer.after_feed)
        self.query, self.key_value = _linear(layer.query), _linear(layer.key_value)
        self.compare, self.softmax, self.mix = product(None), nn.Softmax(-1), product(None)
        self.output, self.up, self.down = _linear(layer.output), _linear(layer.up), _linear(layer.down)
        self.activation = _ACTIVATIONS[layer.activation]()
        self.gate = product(ELEMENT_WISE) if layer.gated else None

    def forward(self, x: Tensor, bias: Tensor) -> Tensor:
        attended = self.before_attention(x)
        asking = attended[:, :1] if self.cls_only else attended  # [B, Q, H]
        q, k, v = (self._split(part) for part in (self.query(asking), *self.key_value(attended).chunk(2, -1)))
        scores = self.compare(_turned(self.rotation, q), _turned(self.rotation, k).transpose(-1, -2))  # [B, h, Q, T]
        attention = self.softmax(scores * q.shape[-1] ** -0.5 + bias[:, :, : q.shape[2]])
        mixed = self.mix(attention, v).transpose(1, 2).flatten(2)  # [B, Q, H]
        y = self.after_attention(x[:, : mixed.shape[1]] + self.output(mixed))
        out: Tensor = self.after_feed(y + self.down(self._feed(self.up(self.before_feed(y)))))
        return out

    def _feed(self, raised: Tensor) -> Tensor:
        if self.gate is None:
            active: Tensor = self.activation(raised)
            return active
        opened, other = raised.chunk(2, -1)
        gated: Tensor = self.gate(self.activation(opened), other)
        return gated

    def _split(self, x: Tensor) -> Tensor:
        return x.view(*x.shape[:2], self.heads, -1).transpose(1, 2)


class EncoderModules(nn.Module):
    """A classifier over word embeddings, with the encoder's logits; its weights are constants."""

    def __init__(self, encoder: Encoder, product: Products = Product) -> None:
        """Take an encoder, whose tensors are shared, and what makes the products' modules."""
        super().__init__()
        self.added, self.slopes = encoder.added, encoder.slopes
        last = len(encoder.layers) - 1
        self.norm, self.last_norm = _norm(encoder.norm), _norm(encoder.last_norm)
        self.blocks = nn.ModuleList(
            _Block(layer, encoder, depth == last, product) for depth, layer in enumerate(encoder.layers)
        )
        self.pooler, self.tanh, self.classifier = _linear(encoder.pooler), nn.Tanh(), _linear(encoder.classifier)

    def forward(self, words: Tensor, mask: Tensor) -> Tensor:
        """Classify word embeddings [B, T, H], mask [B, T] zero on padding: logits [B, C]."""
        # Finite, for a rule compares two passes, and inf - inf is no number; as good as -inf in a softmax.
        bias = (mask == 0).to(words.dtype)[:, None, None] * (torch.finfo(words.dtype).min / 2)
        if self.slopes is not None:
            bias = bias + alibi(self.slopes.to(words), words.shape[1])
        for embedding in self.added:
            words = words + embedding[: words.shape[1]].to(words)
        x = self.norm(words)
        for block in self.blocks:
            x = block(x, bias)
        logits: Tensor = self.classifier(self.tanh(self.pooler(self.last_norm(x[:, 0]))))
        return logits


def _turned(rotation: Rotation | None, x: Tensor) -> Tensor:
    return x if rotation is None else rotation(x)


def _linear(layer: Linear) -> nn.Linear:
    module = nn.Linear(layer.weight.shape[1], layer.weight.shape[0], device="meta")
    return _with_weights(module, layer.weight, layer.bias)


def _norm(layer: Norm | None) -> nn.Module:
    if layer is None:
        return nn.Identity()
    return _with_weights(nn.LayerNorm(layer.weight.shape, layer.eps, device="meta"), layer.weight, layer.bias)


def _with_weights(module: _Weighted, weight: Tensor, bias: Tensor) -> _Weighted:
    module.weight = nn.Parameter(weight, requires_grad=False)
    module.bias = nn.Parameter(bias, requires_grad=False)
    return module
