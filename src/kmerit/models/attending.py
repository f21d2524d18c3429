"""Attention with rotary positions, for networks that autograd differentiates.

Letters in the margin: B sequences, T tokens, h heads, d units of a head.
"""

from __future__ import annotations

import torch
from torch import Tensor

from kmerit.models.differentiable import Operations
from kmerit.models.positions import Rotation


def heads(x: Tensor, count: int) -> Tensor:
    """[B, T, h d] to [B, h, T, d]."""
    return x.view(*x.shape[:2], count, -1).transpose(1, 2)


def attended(
    q: Tensor, k: Tensor, v: Tensor, rotation: Rotation, visible: Tensor, ops: Operations, attentions: list[Tensor]
) -> Tensor:
    """Rotate queries and keys, compare them, and average the values: [B, T, h d].

    Args:
        q: [B, h, T, d].
        k: [B, g, T, d], with g a divisor of h: each serves h / g heads in turn.
        v: Likewise.
        rotation: Of positions.
        visible: bool [B, 1, T, T], which keys a query sees besides its own.
        ops: The operations of the pass.
        attentions: Takes [B, h, T, T].
    """
    q, k = rotation(q), rotation(k)
    k, v = (x.repeat_interleave(q.shape[1] // x.shape[1], 1) for x in (k, v))
    itself = near(q.shape[2], 0, q.device)  # so that no row is empty: padding may be out of every token's reach
    scores = ops.compare(q, k) * q.shape[-1] ** -0.5
    attention = scores.masked_fill(~(visible | itself), -torch.inf).softmax(-1)
    attentions.append(attention)
    return ops.mix(attention, v).transpose(1, 2).flatten(2)


def near(tokens: int, reach: int | None, device: torch.device) -> Tensor:
    """Tell which keys lie within reach of a query on either side: bool [T, T]; all of them for None."""
    place = torch.arange(tokens, device=device)
    distance = (place[:, None] - place).abs()
    return distance <= (tokens if reach is None else reach)
