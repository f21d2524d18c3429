"""What a transformer layer is made of: plain tensors and what is done with them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import torch.nn.functional as F
from torch import Tensor

from kmerit.models.linear import Linear

ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {"gelu": F.gelu, "silu": F.silu}
"""The feed-forward's nonlinearity by name."""


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
    """One transformer layer; query, key and value are one product of 3H outputs.

    BERT normalises after each residual sum, ESM before attention and before the feed-forward. A gated feed-forward is
    ``down(activation(a) * b)`` with a and b the halves of ``up``.
    """

    qkv: Linear
    output: Linear
    up: Linear
    down: Linear
    before_attention: Norm | None = None
    after_attention: Norm | None = None
    before_feed: Norm | None = None
    after_feed: Norm | None = None
    activation: str = "gelu"
    gated: bool = False

    @cached_property
    def query(self) -> Linear:
        """The first third of ``qkv``."""
        return self.qkv.rows(0, self.qkv.weight.shape[1])

    @cached_property
    def key_value(self) -> Linear:
        """The other two thirds."""
        return self.qkv.rows(self.qkv.weight.shape[1], self.qkv.weight.shape[0])

    def feed(self, x: Tensor) -> Tensor:
        """The feed-forward up to ``down``: the nonlinearity and, if there is one, the gate."""
        if self.activation == "gelu" and not self.gated:
            return self.up.gelu(x)
        raised = self.up(x)
        return self.gate(self.activate(raised), raised)

    def activate(self, raised: Tensor) -> Tensor:
        """Apply the nonlinearity to ``up``'s output, or to its first half, the gate."""
        return ACTIVATIONS[self.activation](raised.chunk(2, -1)[0] if self.gated else raised)

    def gate(self, active: Tensor, raised: Tensor) -> Tensor:
        """Multiply the gate with ``up``'s second half, if there is a gate."""
        return active * raised.chunk(2, -1)[1] if self.gated else active


def normed(norm: Norm | None, x: Tensor) -> Tensor:
    """Normalise where there is a norm."""
    return x if norm is None else norm(x)
