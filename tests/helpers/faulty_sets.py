"""Small data sets, and faults to plant in them."""

from __future__ import annotations

import numpy as np

from kmerit.sequences import Int8, Locus, Sequences, decode

Parts = list[Int8]


def random_parts(count: int, length: int = 120, seed: int = 0) -> Parts:
    """Draw sequences without anything in common."""
    return list(np.random.default_rng(seed).integers(0, 4, (count, length)).astype(np.int8))


def made(parts: Parts, labels: list[int] | None = None, loci: list[Locus | None] | None = None) -> Sequences:
    """Make sequences; classes alternate unless given."""
    labels = [i % 2 for i in range(len(parts))] if labels is None else labels
    return Sequences.from_strings([decode(part) for part in parts], labels, loci=loci)


def mutated(part: Int8, share: float, seed: int = 0) -> Int8:
    """Substitute a share of the letters."""
    rng = np.random.default_rng(seed)
    chosen = rng.permutation(part.size)[: round(share * part.size)]
    other = part.copy()
    other[chosen] = (other[chosen] + rng.integers(1, 4, chosen.size)) % 4
    return other
