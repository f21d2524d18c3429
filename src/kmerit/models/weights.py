"""Gathering an encoder's parts from a checkpoint's tensors."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from kmerit.errors import CheckpointError
from kmerit.models.checkpoint import Checkpoint
from kmerit.models.layers import Norm
from kmerit.models.linear import Linear


@dataclass(frozen=True, eq=False)
class Weights:
    """A checkpoint, the first word of its encoder's names, and the sizes by which its tensors are checked.

    Raises:
        CheckpointError: From each of its functions, for a tensor that is missing or of another shape.
    """

    checkpoint: Checkpoint
    stem: str
    hidden: int
    eps: float

    def tensor(self, key: str, *shape: int) -> Tensor:
        """Take a tensor; -1 for any size."""
        return self.checkpoint.tensor(key, *shape)

    def linear(self, key: str, n_out: int, n_in: int, bias: bool = True) -> Linear:
        """Take a weight and its bias; a layer without one gets zeros."""
        weight = self.tensor(f"{key}.weight", n_out, n_in)
        return Linear(weight, self.tensor(f"{key}.bias", n_out) if bias else torch.zeros(len(weight)))

    def norm(self, key: str) -> Norm:
        """Take a LayerNorm."""
        return Norm(self.tensor(f"{key}.weight", self.hidden), self.tensor(f"{key}.bias", self.hidden), self.eps)

    def qkv(self, key: str) -> Linear:
        """Join query, key and value."""
        parts = [self.linear(f"{key}.{part}", self.hidden, self.hidden) for part in ("query", "key", "value")]
        return Linear(torch.cat([part.weight for part in parts]), torch.cat([part.bias for part in parts]))

    def head(self, key: str, how: str = "transformers") -> Linear:
        """Take the last layer of the classification head.

        Args:
            key: Its name.
            how: What fine-tunes such models.
        """
        names = self.checkpoint.tensors
        if f"{key}.weight" not in names and any(name.startswith((f"{self.stem}.", "encoder.")) for name in names):
            raise CheckpointError(
                f"{self.checkpoint.name}: has no classification head, it is a pre-trained encoder. "
                f"Fine-tune it first: {how}."
            )
        return self.linear(key, -1, self.hidden)
