"""ESM's scaling of embeddings by the share of masked tokens."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

TRAINED = 0.15 * 0.8
"""The share of tokens that are masked in the training of every ESM."""


@dataclass(frozen=True, eq=False)
class TokenDropout:
    """Masked tokens become zeros, the others are scaled up as dropout does: by (1 - trained) / (1 - observed)."""

    mask_id: int

    def __call__(self, words: Tensor, ids: Tensor, mask: Tensor) -> Tensor:
        """Scale word embeddings [B, T, H] of ids [B, T]; padding, where ``mask`` is False, does not count."""
        masked = ids == self.mask_id
        observed = masked.sum(1).to(words.dtype) / mask.sum(1)
        return words.masked_fill(masked[..., None], 0) * ((1 - TRAINED) / (1 - observed))[:, None, None]
