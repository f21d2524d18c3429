"""Mutation operators: what becomes of the chosen nucleotides.

Most replace base by base, never by the base that is there. `shuffle` rearranges the surroundings of what was chosen,
and `mask` hides the tokens over it; the two report what they changed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from kmerit.errors import UnknownName
from kmerit.sequences import COMPLEMENT, Bool, Floats, Int8, Sequences, dinucleotide_shuffle

Generators = Callable[[str], np.random.Generator]
"""What is drawn (an operator's name, a place) to its generator; equal for all methods, orders and counts."""

Draw = Callable[[Int8, np.random.Generator, Floats], Int8]
"""Bases ``[position]`` (0..3), a generator and the data's composition ``[base]`` to alleles ``[position]``."""

HIDDEN = 8
"""Added to a base that is hidden: every token over it is read as [MASK]."""

WINDOW = 5
"""How many nucleotides on either side of a chosen one are shuffled with it."""


@dataclass(frozen=True)
class Operator:
    """A rule of mutation.

    Attributes:
        name: Its registered name.
        summary: What it does, in a line.
        mutate: Bases ``[position]``, the chosen positions ``bool [mutant, position]``, generators and the data's
            composition to mutants ``int8 [mutant, position]``.
        exact: Whether exactly the chosen positions get another base.
    """

    name: str
    summary: str
    mutate: Callable[[Int8, Bool, Generators, Floats], Int8]
    exact: bool = True


def _by_base(name: str, summary: str, draw: Draw, exact: bool = True) -> Operator:
    """Make an operator of one allele per position."""

    def mutate(bases: Int8, chosen: Bool, generators: Generators, composition: Floats) -> Int8:
        return np.where(chosen, draw(bases, generators(name), composition), bases)

    return Operator(name, summary, mutate, exact)


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


def _mask(bases: Int8, generator: np.random.Generator, composition: Floats) -> Int8:
    return np.asarray(bases + HIDDEN, dtype=np.int8)


def _shuffle(bases: Int8, chosen: Bool, generators: Generators, composition: Floats) -> Int8:
    """Shuffle each stretch that the windows of chosen nucleotides cover; the same stretch always alike."""
    mutants = np.repeat(bases[None], len(chosen), axis=0)
    shuffles: dict[tuple[int, int], Int8] = {}
    for mutant, positions in zip(mutants, chosen, strict=True):
        for start, end in windows(positions, WINDOW):
            if (start, end) not in shuffles:
                shuffles[start, end] = dinucleotide_shuffle(bases[start:end], generators(f"shuffle {start}-{end}"))
            mutant[start:end] = shuffles[start, end]
    return mutants


def windows(chosen: Bool, reach: int) -> list[tuple[int, int]]:
    """Find the stretches within ``reach`` nucleotides of a chosen one; those that touch are one.

    Example:
        >>> windows(np.arange(20) % 19 == 0, 2)
        [(0, 3), (17, 20)]
    """
    near = np.convolve(chosen, np.ones(2 * reach + 1), mode="full")[reach : reach + chosen.size] > 0
    edges = np.flatnonzero(np.diff(np.concatenate([[False], near, [False]]).astype(np.int8)))
    return [(int(start), int(end)) for start, end in edges.reshape(-1, 2)]


OPERATORS: dict[str, Operator] = {
    operator.name: operator
    for operator in (
        _by_base("random_other", "one of the three other bases, equally likely (the paper's)", _random_other),
        _by_base("complement", "A <-> T, C <-> G: keeps the GC content", _complement),
        _by_base("transition", "A <-> G, C <-> T", _transition),
        _by_base("background", "one of the three others, as frequent as in the data", _background),
        Operator(
            "shuffle", "the 5 nt around each, in another order with the same dinucleotides", _shuffle, exact=False
        ),
        _by_base("mask", "no other base: the tokens over it become [MASK]", _mask, exact=False),
    )
}


def operator_named(name: str) -> Operator:
    """Find an operator.

    Raises:
        UnknownName: With the nearest name.

    Example:
        >>> chosen = np.array([[True, False]])
        >>> mutate = operator_named("complement").mutate
        >>> mutate(np.array([0, 1], np.int8), chosen, lambda purpose: np.random.default_rng(0), np.ones(4)).tolist()
        [[3, 1]]
    """
    if name not in OPERATORS:
        raise UnknownName("operator", name, OPERATORS)
    return OPERATORS[name]


def revealed(bases: Int8) -> tuple[Int8, Bool]:
    """Separate the bases of mutants from the mask of hidden positions; -1 (padding) stays.

    Example:
        >>> [part.tolist() for part in revealed(np.array([2, 2 + HIDDEN, -1], dtype=np.int8))]
        [[2, 2, -1], [False, True, False]]
    """
    hidden = bases >= HIDDEN
    return np.where(hidden, bases - HIDDEN, bases).astype(np.int8), hidden


def composition(sequences: Sequences) -> Floats:
    """Count the bases of the data, as shares ``[base]`` in the order ACGT.

    One is added to each count, so that an operator can always draw another base.

    Example:
        >>> composition(Sequences.from_strings(["AACC"])).round(3).tolist()
        [0.375, 0.375, 0.125, 0.125]
    """
    counts = np.array([np.count_nonzero(sequences.bases == base) for base in range(4)]) + 1
    return np.asarray(counts / counts.sum(), dtype=np.float64)
