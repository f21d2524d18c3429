"""From scores to sets of positions: rankings, ties, orders, counts; bounds are rankings made with the model itself."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from kmerit.attribution.attribute import attribute
from kmerit.errors import CountError, UnknownName, short
from kmerit.models.inference import fitting, over_tiles, slices
from kmerit.models.model import Model
from kmerit.sequences import Bool, Float, Floats, Int8, Int64, Sequences, generator
from kmerit.trials.operators import operator_named


@dataclass(frozen=True)
class Order:
    """An order of mutation.

    Attributes:
        name: Its registered name.
        summary: What it does, in a line.
        descending: Whether the largest score comes first.
        restores: Whether the first n positions are those that stay, in a sequence mutated everywhere else.
    """

    name: str
    summary: str
    descending: bool = True
    restores: bool = False

    def mutated(self, ranks: Int64, counts: Int64) -> Bool:
        """Choose positions: ranks ``[..., position]`` and counts ``[count]`` to ``[..., count, position]``."""
        first = ranks[..., None, :] < counts[:, None]
        return ~first if self.restores else first


ORDERS: dict[str, Order] = {
    order.name: order
    for order in (
        Order("morf", "the most relevant first"),
        Order("lerf", "the least relevant first", descending=False),
        Order("insertion", "the most relevant restored first, in a fully mutated sequence", restores=True),
    )
}


def order_named(name: str) -> Order:
    """Find an order.

    Raises:
        UnknownName: With the nearest name.
    """
    if name not in ORDERS:
        raise UnknownName("order", name, ORDERS)
    return ORDERS[name]


def rank(scores: Float, ties: Floats, *, descending: bool = True) -> Int64:
    """Rank positions by score, equal scores by their tie key.

    A score that is not finite (no token covers the nucleotide) says nothing, so it ranks last in either direction.

    Args:
        scores: ``[..., position]``.
        ties: Tie keys in 0..1, of a shape that broadcasts against the scores.
        descending: Whether the largest score has rank 0.

    Returns:
        Ranks ``[..., position]``, a permutation of ``0 .. positions - 1`` in every row.

    Example:
        >>> rank(np.array([0.5, np.nan, 2.0, 0.5]), np.array([0.9, 0.1, 0.1, 0.3])).tolist()
        [2, 3, 0, 1]
    """
    scores, ties = np.broadcast_arrays(scores, ties)
    key = np.where(np.isfinite(scores), -scores if descending else scores, np.inf)
    positions = np.lexsort((ties, key), axis=-1)
    ranks: Int64 = np.empty(positions.shape, dtype=np.int64)
    np.put_along_axis(ranks, positions, np.arange(positions.shape[-1]), axis=-1)
    return ranks


def tied(scores: Float) -> Int64:
    """Count the positions whose score another position has too; scores that are not finite tie with one another.

    Args:
        scores: ``[..., position]``.

    Returns:
        ``int64 [...]``.

    Example:
        >>> int(tied(np.array([0.0, 0.0, 1.0, np.nan])))
        2
    """
    # One more element that equals nothing closes the row: a run of equals is seen from both of its ends.
    sorted_scores = np.sort(np.where(np.isfinite(scores), scores, np.inf), axis=-1)
    equal = sorted_scores[..., 1:] == sorted_scores[..., :-1]
    edge = np.zeros((*equal.shape[:-1], 1), dtype=np.bool_)
    count: Int64 = (np.concatenate([edge, equal], axis=-1) | np.concatenate([equal, edge], axis=-1)).sum(axis=-1)
    return count


def check_listed(counts: Any, *, key: str = "counts") -> None:
    """Refuse counts that are no list.

    Raises:
        CountError: With how to write it.

    Example:
        >>> check_listed(5)
        Traceback (most recent call last):
        kmerit.errors.CountError: counts: expected a list, such as [1, 5, 'all'], got 5.
    """
    if isinstance(counts, str) or not isinstance(counts, Iterable):
        raise CountError(f"{key}: expected a list, such as [1, 5, 'all'], got {short(counts)}.")


def check_counts(counts: Sequence[int | str], shortest: int, name: str, *, key: str = "counts") -> None:
    """Refuse counts that are negative, not numbers, or above the shortest sequence's length.

    Args:
        counts: Whole numbers, or ``all``.
        shortest: Length of the shortest sequence, nt.
        name: Of that sequence.
        key: What the counts are called where they were given.

    Raises:
        CountError: With the sequence that is too short.

    Example:
        >>> check_counts([1, "all"], 4, "seq0")
    """
    for count in counts:
        if count == "all" or (isinstance(count, str) and SHARE.fullmatch(count)):
            continue
        if not isinstance(count, int) or isinstance(count, bool) or count < 0:
            raise CountError(f"{key}: expected whole numbers from 0, shares such as '10%', or 'all', got {count!r}.")
        if count > shortest:
            raise CountError(
                f"{key}: cannot substitute {count} nucleotides in {name!r}, which has {shortest}. "
                f"Lower it, or use 'all'."
            )


def mutation_order(scores: Float, name: str, seed: int, order: str = "morf", draw: int = 0) -> Int64:
    """List a sequence's positions in the order in which a trial took them.

    With ``n`` substitutions the trial mutated the first ``n`` (order ``insertion``: all but the first ``n``).

    Args:
        scores: ``[..., position]``, the sequence's own, without padding.
        name: The sequence's name; with the seed it decides ties.
        seed: Of the trial.
        order: The order's registered name.
        draw: Which draw of the trial; they differ where scores tie.

    Returns:
        Positions ``int64 [..., position]``.

    Raises:
        UnknownName: An order that does not exist.

    Example:
        >>> mutation_order(np.array([0.1, 0.9, np.nan, 0.5]), "seq0", seed=0).tolist()
        [1, 3, 0, 2]
    """
    ties = generator(seed, "ties", draw, name).random(scores.shape[-1:])
    return np.argsort(rank(scores, ties, descending=order_named(order).descending), axis=-1)


def exact_effects(model: Model, sequences: Sequences, targets: Int64) -> list[tuple[Float, Float]]:
    """Measure every single substitution of every sequence.

    Args:
        model: What is asked.
        sequences: What is mutated.
        targets: ``int64 [sequence]``, the class explained.

    Returns:
        For each sequence, the scores of in-silico mutagenesis ``[position]``, and the change of the explained logit
        ``[position, base]``, 0 for the base that is there.
    """
    if model.tiles is not None:
        every = zip(sequences.names, sequences.rows(), targets.tolist(), strict=True)
        return [_effects_in_tiles(model, *each) for each in every]
    result = attribute(model, replace(sequences, labels=targets, classes=None), ["ism"], "label")["ism"]
    effects = result.substitutions if result.substitutions is not None else np.zeros((*result.scores.shape, 4))
    lengths = sequences.lengths.tolist()
    return [(result.scores[at, :length], effects[at, :length]) for at, length in enumerate(lengths)]


_POSITIONS = 32
"""Whose substitutions are made at a time; tiles that none of them touches are classified once for all."""


def _effects_in_tiles(model: Model, name: str, bases: Int8, target: int) -> tuple[Float, Float]:
    """Measure every single substitution of a sequence that is read in tiles, as `exact_effects` does."""
    before = logits_of(model, name, bases[None], target)
    effects = np.zeros((bases.size, 4), dtype=before.dtype)
    for start in range(0, bases.size, _POSITIONS):
        position, base = np.nonzero(bases[start : start + _POSITIONS, None] != np.arange(4))
        mutants = np.repeat(bases[None], position.size, axis=0)
        mutants[np.arange(position.size), start + position] = base
        effects[start + position, base] = logits_of(model, name, mutants, target) - before
    return -effects.sum(axis=1) / 3, effects


def logits_of(model: Model, name: str, mutants: Int8, target: int) -> Float:
    """Compute the explained logit of mutants ``int8 [mutant, position]`` of one sequence, ``[mutant]``."""
    if model.tiles is None:
        return _all_logits(model, name, mutants)[:, target]
    whole, by_tile = replace(model, tiles=None), []
    for letters, which in model.tiles.distinct(mutants):
        by_tile.append(_all_logits(whole, name, letters)[which])
    return over_tiles(model.problem, np.stack(by_tile))[:, target]


def _all_logits(model: Model, name: str, mutants: Int8) -> Float:
    passes = (partial(_logits, name=name, mutants=mutants[rows]) for rows in slices(len(mutants), model))
    return np.concatenate([fitting(model, each) for each in passes])


def _logits(model: Model, name: str, mutants: Int8) -> Float:
    tokens = [
        model.tokenize(mutants[rows], np.full(len(mutants[rows]), mutants.shape[1]))
        for rows in slices(len(mutants), model)
    ]
    return np.concatenate([model.forward(each, [f"a mutant of {name}"] * len(each.ids)) for each in tokens])


SHARE = re.compile(r"(\d+(?:\.\d+)?)%")
"""How a share of a sequence's length is written."""


def as_numbers(counts: Sequence[int | str], sequences: Sequences, *, key: str = "counts") -> list[int | str]:
    """Convert shares of the length, ``"10%"``, to numbers of nucleotides: rounded, at least 1.

    Args:
        counts: Whole numbers, ``"all"``, and shares.
        sequences: Of one length, where there are shares: a column of a trial is one number.
        key: What the counts are called where they were given.

    Raises:
        CountError: A share above 100 %, or of sequences of several lengths.

    Example:
        >>> as_numbers([1, "10%", "all"], Sequences.from_strings(["ACGT" * 50]))
        [1, 20, 'all']
    """
    shares = {count: share for count in counts if isinstance(count, str) and (share := SHARE.fullmatch(count))}
    if not shares:
        return list(counts)
    shortest, longest = int(sequences.lengths.min()), int(sequences.lengths.max())
    if shortest < longest:
        raise CountError(
            f"{key}: {next(iter(shares))} is a share, and the sequences have {shortest} to {longest} nt. Crop them to "
            f"one length (--crop; Python: km.prepare), or give numbers."
        )
    numbers: dict[int | str, int] = {}
    for count, share in shares.items():
        if float(share[1]) > 100:
            raise CountError(f"{key}: expected a share up to 100%, got {count}.")
        numbers[count] = max(1, round(float(share[1]) / 100 * longest)) if float(share[1]) else 0
    return [numbers.get(count, count) for count in counts]


ISM, GREEDY = "bound(ism)", "bound(greedy)"
"""The order of exact in-silico mutagenesis; and one position after another, each the best given those before."""


@dataclass(frozen=True, eq=False)
class Bounds:
    """Makes the bounds' rankings of a chunk.

    Attributes:
        model: What is asked.
        targets: ``int64 [sequence]``, the class explained.
        seed: Of the trial: greedy mutates to the alleles of draw 0.
        composition: ``[base]``, of the trial.
        ism: ``bool [sequence]``, whose mutagenesis is done.
        greedy: ``bool [sequence]``, who gets a greedy order, too.
        count: How many positions greedy chooses.
        candidates: Among how many of in-silico mutagenesis's first.
    """

    model: Model
    targets: Int64
    seed: int
    composition: Floats
    ism: Bool
    greedy: Bool
    count: int
    candidates: int

    def __call__(self, chunk: Sequences, rows: Int64) -> tuple[list[dict[str, Float]], dict[str, int]]:
        """Rank the positions of a chunk's members; count the classifications that this takes."""
        rankings: list[dict[str, Float]] = [{} for _ in rows]
        evaluations = {ISM: 0, GREEDY: 0}
        members = np.flatnonzero(self.ism[rows])
        if not members.size:
            return rankings, evaluations
        exact = exact_effects(self.model, chunk.take(members), self.targets[rows[members]])
        for (scores, effects), member in zip(exact, members.tolist(), strict=True):
            name, length = chunk.names[member], int(chunk.lengths[member])
            rankings[member][ISM] = scores
            evaluations[ISM] += 3 * length
            if self.greedy[rows[member]]:
                bases = chunk.bases[chunk.offsets[member] : chunk.offsets[member + 1]]
                order, classified = self._greedy(name, bases, int(self.targets[rows[member]]), scores, effects)
                rankings[member][GREEDY] = order
                evaluations[GREEDY] += classified
        return rankings, evaluations

    def _greedy(self, name: str, bases: Int8, target: int, scores: Float, effects: Float) -> tuple[Float, int]:
        """Choose position after position, each the one that lowers the logit most: scores, and what it took."""

        def generators(purpose: str) -> np.random.Generator:
            return generator(self.seed, purpose, 0, name)

        everywhere = np.ones((1, bases.size), dtype=np.bool_)
        alleles = operator_named("random_other").mutate(bases, everywhere, generators, self.composition)[0]
        positions = np.argsort(-scores, kind="stable")[: self.candidates].tolist()
        mutant, order, classified = bases.copy(), np.zeros(bases.size), 0
        after = effects[positions, alleles[positions]]  # the first step is known from in-silico mutagenesis itself
        for step in range(min(self.count, len(positions))):
            if step:
                trials = np.repeat(mutant[None], len(positions), axis=0)
                trials[np.arange(len(positions)), positions] = alleles[positions]
                after = logits_of(self.model, name, trials, target)
                classified += len(positions)
            best = positions.pop(int(np.argmin(after)))
            mutant[best] = alleles[best]
            order[best] = self.count - step
        return order, classified


def is_bound(ranking: str) -> bool:
    """Return whether a ranking is a bound's and not a method's.

    Example:
        >>> is_bound("bound(ism)"), is_bound("ism")
        (True, False)
    """
    return ranking in (ISM, GREEDY)
