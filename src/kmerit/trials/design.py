"""The design of a trial: nested sets, shared draws, each distinct mutant once; and what the sequences can show."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np

from kmerit.sequences import Bool, Float, Floats, Int8, Int64, generator
from kmerit.trials.controls import CLUMP, OF_A_METHOD, RANDOM, clumped, ranking_of
from kmerit.trials.operators import Answers, Operator
from kmerit.trials.rankings import Order, rank

FEWEST = 10
"""Below this number of clusters of sequences nothing is decided: a bootstrap of so few says little of their spread."""
LARGEST = 1.5
"""In standard deviations over sequences: a class that would not show even this effect cannot be decided. The order of
exact in-silico mutagenesis reached 1.6 to 3.2 on the bundled models."""
LEVEL = 0.05
"""Of a verdict: how often uninformative rankings may be called different from their controls, both sides together."""
POWER = 0.9
POOLS_PER_EXPERIMENT = 10
"""Of a calibration: a pool of fewer times an experiment's sequences has a chance mean of its own, and its rates follow
that."""


@dataclass(frozen=True)
class Prospect:
    """What the sequences of one class can show.

    Attributes:
        label: The class, by number.
        class_name: The class, by name.
        sequences: Those that the model calls so, which the verdict rests on.
        mistaken: Those of the class that it calls otherwise; None of a value, which has no calls.
        clusters: In how many independent clusters the former lie.
        questions: Rankings times classes that can be decided, which the threshold allows for.
        detectable: The smallest effect, in standard deviations over sequences, that is seen with a power of 90 %; None
            where there is no class to decide.
        decidable: Whether the class can be decided at all.
    """

    label: int
    class_name: str
    sequences: int
    mistaken: int | None
    clusters: int
    questions: int
    detectable: float | None
    decidable: bool


def prospects(
    classes: Int64, right: Bool | None, clusters: Int64 | None, names: Sequence[str], rankings: int
) -> list[Prospect]:
    """Estimate for every class the smallest effect that its sequences can show.

    Args:
        classes: ``int64 [sequence]``.
        right: ``bool [sequence]``, whether the model gives a sequence its class; None where it predicts a value.
        clusters: ``int64 [sequence]``; None: each alone.
        names: Of the classes, by number.
        rankings: How many are judged.

    Example:
        >>> labels, right = np.repeat([0, 1], 200), np.ones(400, dtype=bool)
        >>> [round(each.detectable, 2) for each in prospects(labels, right, None, ["off", "on"], 12)]
        [0.3, 0.3]
    """
    groups = np.arange(classes.size) if clusters is None else clusters
    usable = np.ones(classes.size, dtype=np.bool_) if right is None else right
    cluster_counts = {label: int(np.unique(groups[usable & (classes == label)]).size) for label in range(len(names))}
    questions = rankings * sum(count >= FEWEST for count in cluster_counts.values())
    answers = []
    for label, name in enumerate(names):
        here = classes == label
        effect = detectable_effect(cluster_counts[label], questions) if cluster_counts[label] >= FEWEST else math.inf
        answers.append(
            Prospect(
                label,
                name,
                int((here & usable).sum()),
                None if right is None else int((here & ~right).sum()),
                cluster_counts[label],
                questions,
                effect if math.isfinite(effect) else None,
                effect <= LARGEST,
            )
        )
    return answers


def detectable_effect(clusters: int, questions: int) -> float:
    """Return the smallest effect that is detected with a power of 90 %, in standard deviations over clusters.

    Source: cohen1988, chapter 2; the threshold is Bonferroni's, of a one-sided t test.

    Args:
        clusters: Independent sequences.
        questions: How many are asked at once.

    Example:
        >>> round(detectable_effect(100, 24), 2)
        0.42
    """
    from scipy.special import stdtrit  # quantiles of Student's t, without all of scipy.stats

    return float((stdtrit(clusters - 1, POWER) - stdtrit(clusters - 1, LEVEL / questions)) / math.sqrt(clusters))


class Rows(NamedTuple):
    """What each row of one sequence's design is, ``int64 [row]`` each, as indices into the design's names."""

    method: Int64
    operator: Int64
    order: Int64
    draw: Int64


@dataclass(frozen=True, eq=False)
class Design:
    """A full cross of rankings, operators, orders, counts and draws.

    Attributes:
        methods: Names of the rankings compared.
        operators: What becomes of a nucleotide.
        orders: In which order positions are mutated.
        counts: Nucleotides mutated, ascending.
        full: Whether all positions are mutated too, after the counts.
        replicates: Draws of alleles, and of ties.
        random_sets: Random rankings; set r uses the alleles of draw ``r mod replicates``.
        seed: Of every draw.
        composition: ``[base]``, the data's shares of A, C, G, T.
        controls: Other controls than ``random``, one ranking for each draw.
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
    controls: tuple[str, ...] = ()

    @cached_property
    def names(self) -> tuple[str, ...]:
        """The methods, and the controls where there are some."""
        random = (RANDOM,) if self.random_sets else ()
        own = [ranking_of(each, m) for each in self.controls if each in OF_A_METHOD for m in self.methods]
        return (*self.methods, *random, *own)

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
        """List the rows of one sequence's design: by operator, order, ranking and draw."""
        draws = [self.draws(name) for name in self.names]
        method = np.repeat(np.arange(len(self.names)), draws)
        draw = np.concatenate([np.arange(n) for n in draws])
        arms = len(self.operators) * len(self.orders)
        operator, order = np.divmod(np.repeat(np.arange(arms), method.size), len(self.orders))
        return Rows(np.tile(method, arms), operator, order, np.tile(draw, arms))

    def draws(self, name: str) -> int:
        """Count the draws of a ranking."""
        return self.random_sets if self.random_sets and name == RANDOM else self.replicates

    def substitutions(self, length: int) -> Int64:
        """Give the number of nucleotides mutated in each column for a sequence of this length."""
        return np.array([*self.counts, *([length] if self.full else [])], dtype=np.int64)


class SequenceMutants(NamedTuple):
    """The mutants of one sequence.

    Attributes:
        distinct: ``int8 [mutant, position]``; the first is the sequence itself.
        which: For each design ``int64 [row, column]``, the mutant in each cell; -1 where the sequence has no such
            ranking.
    """

    distinct: Int8
    which: tuple[Int64, ...]


def mutants_of(
    designs: Sequence[Design],
    name: str,
    bases: Int8,
    rankings: Sequence[Mapping[str, Float]],
    answers: Answers | None = None,
) -> SequenceMutants:
    """Make the mutants of one sequence that the designs contain.

    Args:
        designs: The trial.
        name: The sequence's name: with the seed it determines every draw.
        bases: ``int8 [position]``, 0..3.
        rankings: For each design, scores ``[position]`` or ``[draw, position]`` by its names; a ranking that is not
            there has no cells.
        answers: What models answered, for operators that ask one.
    """
    numbers: dict[bytes, int] = {bases.tobytes(): 0}
    which = []
    for design, scores in zip(designs, rankings, strict=True):
        present = np.array([ranking in scores for ranking in design.names])[design.rows.method]
        index: Int64 = np.full((present.size, design.columns), -1, dtype=np.int64)
        if present.any():
            cells = np.concatenate(list(_arms(design, name, bases, scores, answers or {})))
            letters, size = np.ascontiguousarray(cells, dtype=np.int8).tobytes(), bases.size
            cell_numbers = [
                numbers.setdefault(letters[i : i + size], len(numbers)) for i in range(0, len(letters), size)
            ]
            index[present] = np.reshape(cell_numbers, (-1, design.columns))
        which.append(index)
    distinct = np.frombuffer(b"".join(numbers), dtype=np.int8).reshape(-1, bases.size)
    return SequenceMutants(distinct, tuple(which))


def _arms(design: Design, name: str, bases: Int8, rankings: Mapping[str, Float], answers: Answers) -> Iterator[Int8]:
    """Yield the mutants ``[row, column, position]`` of each operator and order, in the order of the design's rows."""
    counts, size = design.substitutions(bases.size), bases.size
    names = [each for each in design.names if each in rankings]
    draws = [design.draws(each) for each in names]
    scores = [np.atleast_2d(rankings[each])[:n] for each, n in zip(names, draws, strict=True)]
    ranked = np.concatenate([np.broadcast_to(each, (n, size)) for each, n in zip(scores, draws, strict=True)])
    replicate = np.concatenate([np.arange(n) for n in draws]) % design.replicates
    ties = np.stack([generator(design.seed, "ties", draw, name).random(size) for draw in range(design.replicates)])
    rearranged = np.flatnonzero(np.repeat([each.startswith(f"{CLUMP}(") for each in names], draws))
    chosen = {}
    for order in design.orders:
        ranks = rank(ranked, ties[replicate], descending=order.descending)
        chosen[order] = order.mutated(ranks, counts)
        for row in rearranged.tolist():
            for column, n in enumerate(counts.tolist()):
                rng = generator(design.seed, f"{CLUMP} {n}", int(replicate[row]), name)
                chosen[order][row, column] = clumped(chosen[order][row, column], rng)
    for operator in design.operators:
        for order in design.orders:
            yield _mutated(design, operator, name, bases, chosen[order], replicate, answers)


def _mutated(
    design: Design,
    operator: Operator,
    name: str,
    bases: Int8,
    chosen: Bool,
    replicate: Int64,
    answers: Answers,
) -> Int8:
    """Mutate the chosen positions ``[row, column, position]``, every row with the alleles of its replicate."""
    mutants: Int8 = np.empty(chosen.shape, dtype=np.int8)
    for draw in range(design.replicates):
        rows = replicate == draw

        def generators(purpose: str, draw: int = draw) -> np.random.Generator:
            return generator(design.seed, purpose, draw, name)

        if operator.choose is not None and operator.source in answers:
            alleles = operator.choose(bases, answers[operator.source], generators)
            mutants[rows] = np.where(chosen[rows], alleles, bases)
            continue
        positions = chosen[rows].reshape(-1, bases.size)
        if operator.refill is not None and operator.source in answers:
            mutants[rows] = operator.refill(bases, positions, answers[operator.source]).reshape(chosen[rows].shape)
            continue
        mutants[rows] = operator.mutate(bases, positions, generators, design.composition).reshape(chosen[rows].shape)
    return mutants
