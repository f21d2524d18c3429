"""The third question about motifs: what a family's consensus changes in the model's answer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from kmerit.biology.motif_hits import Family, consensus
from kmerit.errors import UsageError
from kmerit.results import Problem
from kmerit.sequences import (
    Float,
    Floats,
    Int8,
    N,
    Sequences,
    decode,
    dinucleotide_shuffle,
    generator,
    reverse_complement,
)
from kmerit.uncertainty import holm

if TYPE_CHECKING:
    import pandas as pd

    from kmerit.models.model import Model

BACKGROUNDS = 100
"""Shuffled sequences that a consensus is put into."""
RATE = 0.05
"""Family-wise error rate of claims; false discovery rate of the exploratory list."""


def log_odds(logits: Float, target: int, problem: Problem) -> Floats:
    """Turn outputs into what a consensus changes: the log-odds of a class, a label's logit, or the value."""
    from scipy.special import logsumexp

    values = np.asarray(logits, dtype=np.float64)
    if problem is not Problem.CLASSES:
        return np.asarray(values[:, target])
    rest = np.delete(values, target, axis=1)
    return np.asarray(values[:, target] - logsumexp(rest, axis=1))


class Change(NamedTuple):
    """What a consensus on one strand changes beyond its letters in other orders.

    Attributes:
        effect: Mean over backgrounds.
        low: Lower end of its 95 % interval.
        high: Upper end.
        p: Of so much by one more order, not corrected: 0 or 1 where all backgrounds and orders agree; NaN where
            nothing changes.
    """

    effect: float
    low: float
    high: float
    p: float


@dataclass(eq=False)
class Use:
    """Asks a model what the consensus of a family changes.

    The consensus is put into dinucleotide-shuffled backgrounds, at a place drawn for each, and so is, at the same
    place, one more order of its letters, another one in each background. Both strands are asked, for many models read
    one. A family's answer does not depend on which others are asked.

    Attributes:
        model: Its answers are asked.
        backgrounds: Sequences to shuffle: those without N that are as long as the family's motif.
        target: Number of the output.
        count: Backgrounds, for each strand the same.
        seed: Of everything drawn.
    """

    model: Model
    backgrounds: Sequences
    target: int
    count: int = BACKGROUNDS
    seed: int = 0
    _known: dict[int, tuple[list[Int8], Floats]] = field(default_factory=dict)

    def of(self, family: Family) -> dict[str, Change]:
        """Return what a family's consensus changes, by strand; nothing where no background is long enough."""
        letters = consensus(family.motif)
        shuffles, plain = self._shuffled(len(letters))
        if not shuffles:
            return {}
        name = family.motif.identifier
        orders = _orders(letters, self.count, self.seed, name)
        changes = {}
        for strand in "+-":
            inserted = [
                [each if strand == "+" else reverse_complement(each) for each in pair]
                for pair in ((letters, orders[i % len(orders)]) for i in range(self.count))
            ]
            changed: list[list[Int8]] = [[], []]
            for i, background in enumerate(shuffles):
                at = int(generator(self.seed, "place", i, name).integers(len(background) - len(letters) + 1))
                for each, sequences_of_draw in zip(inserted[i], changed, strict=True):
                    sequences_of_draw.append(np.concatenate([background[:at], each, background[at + len(letters) :]]))
            with_it, with_order = self._answers(changed[0]), self._answers(changed[1])
            changes[strand] = _effect(with_it - with_order, with_order - plain)
        return changes

    def _shuffled(self, length: int) -> tuple[list[Int8], Floats]:
        """Shuffle the backgrounds of some length at least, and predict them."""
        usable = [bases for bases in self.backgrounds.rows() if not (bases == N).any() and len(bases) >= length]
        if len(usable) not in self._known:
            shuffles = [
                dinucleotide_shuffle(usable[i % len(usable)], generator(self.seed, "background", i, ""))
                for i in range(self.count if usable else 0)
            ]
            self._known[len(usable)] = shuffles, self._answers(shuffles) if usable else np.zeros(0)
        return self._known[len(usable)]

    def _answers(self, sequences: Sequence[Int8]) -> Floats:
        logits = self.model.logits(Sequences.from_strings([decode(bases) for bases in sequences]))
        return log_odds(logits, self.target, self.model.problem)


def used(families: Sequence[Family], changes: Sequence[Mapping[str, Change]]) -> pd.DataFrame:
    """Say which families a model uses: whose consensus does more than one more order of the same letters would.

    By how much orders differ in what they add to the background is part of the error. Corrected by Holm over families
    and strands.

    Source: koo2021, global importance analysis.

    Args:
        families: Those asked.
        changes: Of each, from `Use.of`.

    Returns:
        A row per family, of the ``strand`` where the ``effect`` is larger.

    Raises:
        UsageError: No background was long enough for a family.
    """
    import pandas as pd

    for family, each in zip(families, changes, strict=True):
        if not each:
            raise UsageError(
                f"No sequence without N has the {len(family.motif)} nt of {family.name}; the model cannot be asked."
            )
    rows = [(i, strand, *change) for i, each in enumerate(changes) for strand, change in each.items()]
    table = pd.DataFrame(rows, columns=["family", "strand", "effect", "effect_low", "effect_high", "p_used"])
    table["p_used"] = holm(table["p_used"])
    table = table.sort_values("effect", ascending=False, kind="stable").groupby("family").head(1).sort_values("family")
    claims = (table["p_used"].fillna(1.0) <= RATE) & (table["effect"] > 0)
    return table.drop(columns="family").assign(used=claims).reset_index(drop=True)


def _effect(difference: Floats, of_orders: Floats) -> Change:
    """Average what a consensus does beyond other orders."""
    from scipy.stats import t as student

    count = len(difference)
    mean, within = float(difference.mean()), float(difference.var(ddof=1) / count)
    reach = float(student.ppf(0.975, count - 1)) * np.sqrt(within)
    error = np.sqrt(within + float(of_orders.var(ddof=1)))
    with np.errstate(invalid="ignore", divide="ignore"):
        p = float(student.sf(np.divide(mean, error), count - 1))
    return Change(mean, float(mean - reach), float(mean + reach), p)


def _orders(letters: Any, count: int, seed: int, name: str) -> list[Any]:
    """Shuffle a consensus several times, each time into something that is not it, on either strand."""
    rng = generator(seed, "orders", 0, name)
    other = reverse_complement(letters)
    out = []
    for _ in range(50 * count):
        order = rng.permutation(letters)
        if not (np.array_equal(order, letters) or np.array_equal(order, other)):
            out.append(order)
        if len(out) == count:
            break
    return out or [letters]
