"""Bounds: rankings made with the model itself, which show how far its answer can practically be moved."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from kmerit.attribution.attribute import attribute
from kmerit.models.model import Model
from kmerit.sequences import Bool, Float, Floats, Int8, Int64, Sequences, generator
from kmerit.trials.operators import operator_named

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
        explained = replace(chunk.take(members), labels=self.targets[rows[members]], classes=None)
        result = attribute(self.model, explained, ["ism"], "label")["ism"]
        effects_of = result.substitutions if result.substitutions is not None else np.zeros((*result.scores.shape, 4))
        for at, member in enumerate(members.tolist()):
            name, length = chunk.names[member], int(chunk.lengths[member])
            scores, effects = result.scores[at, :length], effects_of[at, :length]
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
                after = self._logits(name, trials, target)
                classified += len(positions)
            best = positions.pop(int(np.argmin(after)))
            mutant[best] = alleles[best]
            order[best] = self.count - step
        return order, classified

    def _logits(self, name: str, mutants: Int8, target: int) -> Float:
        batches = [mutants[i : i + self.model.micro_batch] for i in range(0, len(mutants), self.model.micro_batch)]
        sizes = [np.full(len(batch), batch.shape[1]) for batch in batches]
        tokens = [self.model.tokenize(batch, lengths) for batch, lengths in zip(batches, sizes, strict=True)]
        names = [f"a mutant of {name}"] * self.model.micro_batch
        return np.concatenate([self.model.forward(each, names)[:, target] for each in tokens])


def is_bound(ranking: str) -> bool:
    """Return whether a ranking is a bound's and not a method's.

    Example:
        >>> is_bound("bound(ism)"), is_bound("ism")
        (True, False)
    """
    return ranking in (ISM, GREEDY)
