"""Gathering an encoder's parts from a checkpoint's tensors."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from kmerit.models.checkpoint import Checkpoint
from kmerit.models.layers import Norm
from kmerit.models.linear import Linear


@dataclass(frozen=True, eq=False)
class Weights:
    """A checkpoint, and the sizes by which its tensors are checked.

    Raises:
        CheckpointError: From each of its functions, for a tensor that is missing or of another shape.
    """

    checkpoint: Checkpoint
    hidden: int
    eps: float

    def tensor(self, key: str, *shape: int) -> Tensor:
        """Take a tensor; -1 for any size."""
        return self.checkpoint.tensor(key, *shape)

    def linear(self, key: str, n_out: int, n_in: int, bias: bool = True) -> Linear:
        """Take a weight and its bias; a layer without one gets zeros."""
        weight = self.tensor(f"{key}.weight", n_out, n_in)
        return Linear(weight, self.tensor(f"{key}.bias", len(weight)) if bias else weight.new_zeros(len(weight)))

    def norm(self, key: str) -> Norm:
        """Take a LayerNorm."""
        return Norm(self.tensor(f"{key}.weight", self.hidden), self.tensor(f"{key}.bias", self.hidden), self.eps)

    def qkv(self, key: str) -> Linear:
        """Join query, key and value."""
        weight, bias, size = torch.empty(0), torch.empty(0), self.hidden
        for i, part in enumerate(("query", "key", "value")):  # one by one: no more than one lies in memory twice
            one = self.linear(f"{key}.{part}", size, size)
            if i == 0:
                weight, bias = one.weight.new_empty(3 * size, size), one.bias.new_empty(3 * size)
            weight[i * size : (i + 1) * size], bias[i * size : (i + 1) * size] = one.weight, one.bias
            del one
            self.checkpoint.tensors.forget(f"{key}.{part}.weight")
        return Linear(weight, bias)

    def head(self, key: str, how: str = "kmerit finetune --base, or with transformers") -> Linear:
        """Take the last layer of the classification head.

        Args:
            key: Its name.
            how: What fine-tunes such models.
        """
        if f"{key}.weight" not in self.checkpoint.tensors:
            raise self.checkpoint.headless(
                f"has no classification head, it is a pre-trained encoder. Fine-tune it first: {how}."
            )
        return self.linear(key, -1, self.hidden)
