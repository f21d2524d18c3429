"""The design of a trial, and the mutants it asks for: nested sets, shared alleles, each distinct mutant once."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np

from kmerit.draws import generator
from kmerit.faithfulness.operators import Operator
from kmerit.faithfulness.rankings import Order, rank
from kmerit.types import Float, Floats, Int8, Int64

RANDOM = "random"
"""The control whose every draw is another random ranking."""


class Rows(NamedTuple):
    """What each row of one sequence's design is, ``int64 [row]`` each, as indices into the design's names."""

    method: Int64
    operator: Int64
    order: Int64
    draw: Int64


@dataclass(frozen=True, eq=False)
class Design:
    """Everything that determines which mutants a sequence gets, besides its bases and scores.

    Attributes:
        methods: Names of the rankings compared.
        operators: What replaces a base.
        orders: In which order positions are mutated.
        counts: Substitutions, ascending.
        full: Whether all positions are mutated too, after the counts.
        replicates: Draws of alleles, and of ties.
        random_sets: Random rankings; set r uses the alleles of draw ``r mod replicates``.
        seed: Of every draw.
        composition: ``[base]``, the data's shares of A, C, G, T.
    """

    methods: tuple[str, ...]
    operators: tuple[Operator, ...]
    orders: tuple[Order, ...]
    counts: tuple[int, ...]
    full: bool
    replicates: int
    random_sets: int
    seed: int
    composition: Floats

    @property
    def names(self) -> tuple[str, ...]:
        """The methods, and the random control where there is one."""
        return (*self.methods, RANDOM) if self.random_sets else self.methods

    @property
    def columns(self) -> int:
        """Cells per row: the counts, and the full mutation."""
        return len(self.counts) + self.full

    @property
    def cells(self) -> int:
        """Cells per sequence."""
        return self.rows.method.size * self.columns

    @cached_property
    def rows(self) -> Rows:
        """List the rows of one sequence's design: by operator, order, method and draw."""
        method = np.repeat(np.arange(len(self.names)), self._draws_per_name)
        draw = np.concatenate([np.arange(n) for n in self._draws_per_name])
        arms = len(self.operators) * len(self.orders)
        operator, order = np.divmod(np.repeat(np.arange(arms), method.size), len(self.orders))
        return Rows(np.tile(method, arms), operator, order, np.tile(draw, arms))

    @property
    def _draws_per_name(self) -> list[int]:
        return [self.replicates] * len(self.methods) + ([self.random_sets] if self.random_sets else [])

    def substitutions(self, length: int) -> Int64:
        """Give the number of substitutions in each column for a sequence of this length."""
        return np.array([*self.counts, *([length] if self.full else [])], dtype=np.int64)


class SequenceMutants(NamedTuple):
    """The mutants of one sequence.

    Attributes:
        distinct: ``int8 [mutant, position]``; the first is the sequence itself.
        which: ``int64 [row, column]``, the mutant in each cell of the design.
    """

    distinct: Int8
    which: Int64


def mutants_of(design: Design, name: str, bases: Int8, scores: Float) -> SequenceMutants:
    """Make the mutants that a design asks of one sequence.

    Args:
        design: The trial.
        name: The sequence's name: with the seed it determines every draw.
        bases: ``int8 [position]``, 0..3.
        scores: ``[method, position]``.
    """
    cells = np.concatenate(list(_arms(design, name, bases, scores)))
    wanted = np.concatenate([bases[None], cells.reshape(-1, bases.size)]).tobytes()
    seen: dict[bytes, int] = {}
    index = [seen.setdefault(wanted[i : i + bases.size], len(seen)) for i in range(0, len(wanted), bases.size)]
    distinct = np.frombuffer(b"".join(seen), dtype=np.int8).reshape(-1, bases.size)
    return SequenceMutants(distinct, np.array(index[1:], dtype=np.int64).reshape(cells.shape[:2]))


def _arms(design: Design, name: str, bases: Int8, scores: Float) -> Iterator[Int8]:
    """Yield the mutants ``[row, column, position]`` of each operator and order, in the order of the design's rows."""

    def draws(purpose: str, number: int) -> list[np.random.Generator]:
        return [generator(design.seed, purpose, draw, name) for draw in range(number)]

    replicates, counts = design.replicates, design.substitutions(bases.size)
    ties = np.stack([draw.random(bases.size) for draw in draws("ties", replicates)])
    control = np.array([draw.random(bases.size) for draw in draws(RANDOM, design.random_sets)])
    ranked = np.concatenate([np.repeat(scores, replicates, axis=0), control.reshape(-1, bases.size)])
    replicate = design.rows.draw[: len(ranked)] % replicates
    ranks = {order: rank(ranked, ties[replicate], descending=order.descending) for order in design.orders}
    for operator in design.operators:
        alleles = np.stack(
            [operator.draw(bases, draw, design.composition) for draw in draws(operator.name, replicates)]
        )
        for order in design.orders:
            yield np.where(order.mutated(ranks[order], counts), alleles[replicate][:, None], bases)
