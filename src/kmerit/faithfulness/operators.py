"""Mutation operators: what replaces a base. Each draws one allele per position, never the base that is there."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from kmerit.errors import UnknownName
from kmerit.sequence import COMPLEMENT
from kmerit.types import Floats, Int8, Sequences

Draw = Callable[[Int8, np.random.Generator, Floats], Int8]
"""Bases ``[position]`` (0..3), a generator and the data's composition ``[base]`` to alleles ``[position]``."""


@dataclass(frozen=True)
class Operator:
    """A rule of substitution.

    Attributes:
        name: Its registered name.
        summary: What it does, in a line.
        draw: Its function.
    """

    name: str
    summary: str
    draw: Draw


def _random_other(bases: Int8, generator: np.random.Generator, composition: Floats) -> Int8:
    return np.asarray((bases + generator.integers(1, 4, size=bases.size)) % 4, dtype=np.int8)


def _complement(bases: Int8, generator: np.random.Generator, composition: Floats) -> Int8:
    return np.asarray(COMPLEMENT[bases])


def _transition(bases: Int8, generator: np.random.Generator, composition: Floats) -> Int8:
    return np.asarray(bases ^ 2)  # A = 0 and G = 2, C = 1 and T = 3


def _background(bases: Int8, generator: np.random.Generator, composition: Floats) -> Int8:
    share = np.where(np.eye(4, dtype=np.bool_), 0.0, composition)
    upto = np.cumsum(share, axis=1)
    upto /= upto[:, -1:]
    return np.asarray((generator.random(bases.size)[:, None] >= upto[bases]).sum(axis=1), dtype=np.int8)


OPERATORS: dict[str, Operator] = {
    operator.name: operator
    for operator in (
        Operator("random_other", "one of the three other bases, equally likely (the paper's)", _random_other),
        Operator("complement", "A <-> T, C <-> G: keeps the GC content", _complement),
        Operator("transition", "A <-> G, C <-> T", _transition),
        Operator("background", "one of the three others, as frequent as in the data", _background),
    )
}


def operator_named(name: str) -> Operator:
    """Find an operator.

    Raises:
        UnknownName: With the nearest name.

    Example:
        >>> operator_named("complement").draw(np.array([0, 1], np.int8), np.random.default_rng(0), np.ones(4)).tolist()
        [3, 2]
    """
    if name not in OPERATORS:
        raise UnknownName("operator", name, OPERATORS)
    return OPERATORS[name]


def composition(sequences: Sequences) -> Floats:
    """Count the bases of the data, as shares ``[base]`` in the order ACGT.

    One is added to each count, so that an operator can always draw another base.

    Example:
        >>> composition(Sequences.from_strings(["AACC"])).round(3).tolist()
        [0.375, 0.375, 0.125, 0.125]
    """
    counts = np.bincount(sequences.bases, minlength=5)[:4] + 1
    return np.asarray(counts / counts.sum(), dtype=np.float64)
