"""How a model tells positions in its attention: rotation of queries and keys, or a slope over the distance."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, eq=False)
class Rotation:
    """Rotary positions: unit i of a head's first half and of its second turn together, by position x frequency i.

    An orthogonal map, one for each position. Source: su2024, section 3.2; the halves as in ESM.
    """

    cos: Tensor  # [P, d]
    sin: Tensor  # [P, d]

    @classmethod
    def of(cls, positions: int, size: int, base: float = 10000.0) -> Rotation:
        """Make the tables for heads of this size.

        Example:
            >>> Rotation.of(3, 4).cos.shape
            torch.Size([3, 4])
        """
        frequency = base ** (-torch.arange(0, size, 2, dtype=torch.float64) / size)
        angle = (torch.arange(positions, dtype=torch.float64)[:, None] * frequency).repeat(1, 2)
        return cls(angle.cos(), angle.sin())

    def __call__(self, x: Tensor) -> Tensor:
        """Turn ``x`` [B, h, T, d]."""
        tokens = x.shape[2]
        return x * self.cos[:tokens] + _quarter(x) * self.sin[:tokens]

    def back(self, y: Tensor) -> Tensor:
        """Turn ``y`` [B, h, T, d] the other way: the transpose, and the inverse."""
        tokens = y.shape[2]
        return y * self.cos[:tokens] - _quarter(y) * self.sin[:tokens]


def _quarter(x: Tensor) -> Tensor:
    """Turn each pair of units by 90 degrees."""
    first, second = x.chunk(2, -1)
    return torch.cat((-second, first), -1)


def alibi_slopes(heads: int) -> Tensor:
    """Return the slope of each head [h]: powers of 2 ** (-8 / h), interleaved where h is no power of two.

    They are rounded to float32, as in the published models.

    Example:
        >>> alibi_slopes(4).tolist()
        [0.25, 0.0625, 0.015625, 0.00390625]

    Source: press2022, section 3.
    """
    whole = 2 ** (heads.bit_length() - 1)  # the largest power of two that is no more
    slopes = [2 ** (-8 * (i + 1) / whole) for i in range(whole)]
    slopes += [2 ** (-4 * (i + 1) / whole) for i in range(0, 2 * (heads - whole), 2)]
    return torch.tensor(slopes, dtype=torch.float32)


def alibi(slopes: Tensor, tokens: int) -> Tensor:
    """Return what is added to the scores, minus slope times distance: [1, h, T, T]."""
    place = torch.arange(tokens, device=slopes.device)
    distance = (place[:, None] - place).abs().to(slopes.dtype)
    return -(slopes[:, None, None] * distance)[None]
