"""A model that predicts a value from an activator and a repressor, and sequences that have both."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

import kmerit as km
from kmerit.models.model import Model

ACTIVATOR, REPRESSOR = "GGGCGGAG", "TTCATTTC"
LENGTH = 80
_LEAST = 4  # letters of a motif that must match before it counts


class Grammar(nn.Module):
    """3 + how well activators match - how well repressors do, summed over places."""

    def __init__(self) -> None:
        super().__init__()
        self.scan = nn.Conv1d(4, 2, len(ACTIVATOR), bias=False)
        self.scan.weight.data = torch.stack([_letters(motif) for motif in (ACTIVATOR, REPRESSOR)])

    def forward(self, x: Tensor) -> Tensor:
        matches = torch.relu(self.scan(x) - _LEAST).sum(-1)
        return (3 + matches[:, 0] - matches[:, 1])[:, None]


def _letters(motif: str) -> Tensor:
    return torch.tensor([[float(letter == base) for letter in motif] for base in "ACGT"])


def model(name: str = "activity") -> Model:
    """Wrap the grammar."""
    return km.wrap(Grammar(), length=LENGTH, outputs=[name], problem="value")


def strings(count: int, seed: int = 0) -> list[str]:
    """Draw sequences, each with an activator and a repressor at places of its own."""
    rng, drawn = np.random.default_rng(seed), []
    for _ in range(count):
        letters = rng.choice(list("ACGT"), LENGTH)
        places = rng.permutation([8, 48]) + rng.integers(0, 16, 2)
        for motif, place in zip((ACTIVATOR, REPRESSOR), places, strict=True):
            letters[place : place + len(motif)] = list(motif)
        drawn.append("".join(letters))
    return drawn
