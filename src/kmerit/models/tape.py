"""What a forward pass of the encoder leaves for the way back.

The letters of the shapes are those of ``kmerit.models.encoder``.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True, eq=False)
class LayerTape:
    """What a layer leaves for the way back. Products before softmax are unscaled and unmasked."""

    x: Tensor  # [B, T, H]
    attended: Tensor  # [B, T, H]   x, normalised where the norm comes before
    qkv: Tensor | None  # [B, T, 3H]   None where queries were made for [CLS] alone
    q: Tensor  # [B, h, Q, d]   before rotation
    k: Tensor  # [B, h, T, d]   before rotation
    v: Tensor  # [B, h, T, d]
    turned_q: Tensor  # [B, h, Q, d]   after it; q itself where nothing is rotated
    turned_k: Tensor  # [B, h, T, d]
    product: Tensor  # [B, h, Q, T]
    attention: Tensor  # [B, h, Q, T]
    mixed: Tensor  # [B, Q, H]   attention times values
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
