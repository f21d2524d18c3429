"""A model on a device with little memory: passes of more sequences than fit raise, as torch does."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from kmerit.models.model import Model


class Cramped:
    """An encoder on a device whose memory holds only so many sequences."""

    def __init__(self, encoder: Any, most: int, error: RuntimeError) -> None:
        self.encoder, self.most, self.error = encoder, most, error

    def __getattr__(self, name: str) -> Any:
        return getattr(self.encoder, name)

    def logits(self, ids: Tensor, mask: Tensor) -> Tensor:
        self._allocate(len(ids))
        return self.encoder.logits(ids, mask)

    def classify(self, x: Tensor, mask: Tensor) -> Tensor:
        self._allocate(len(x))
        return self.encoder.classify(x, mask)

    def record(self, x: Tensor, mask: Tensor, every_row: bool = False, rules: Any = None) -> Any:
        self._allocate(len(x))
        return self.encoder.record(x, mask, every_row, rules)

    def sweep(self, *arguments: Any) -> Iterator[tuple[int, Tensor]]:
        return self.encoder.sweep(*arguments)

    def _allocate(self, sequences: int) -> None:
        if sequences > self.most:
            raise self.error


ERRORS = [
    torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."),
    RuntimeError("[enforce fail at alloc_cpu.cpp:124] DefaultCPUAllocator: can't allocate memory: you tried to ..."),
]


def cramped(model: Model, most: int, error: RuntimeError = ERRORS[0]) -> Model:
    """Put a model on such a device."""
    return replace(model, encoder=Cramped(model.encoder, most, error), fixed_products=model.products)
