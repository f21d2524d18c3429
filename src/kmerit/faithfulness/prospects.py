"""What a verdict can show: known from the number of sequences alone, before any mutant is classified."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from kmerit.types import Bool, Int64

FEWEST = 10
"""Below so many clusters of sequences nothing is decided: a bootstrap of so few says little of their spread."""
LARGEST = 1.5
"""In standard deviations over sequences: a class that would not show even this effect cannot be decided. The order of
exact in-silico mutagenesis reached 1.6 to 3.2 on the bundled models."""
LEVEL, POWER = 0.05, 0.9


@dataclass(frozen=True)
class Prospect:
    """What the sequences of one class can show.

    Attributes:
        label: The class, by number.
        class_name: The class, by name.
        sequences: Those that the model calls so, which the verdict rests on.
        mistaken: Those of the class that it calls otherwise.
        clusters: In how many independent clusters the former lie.
        questions: Lines times classes that can be decided, which the threshold allows for.
        detectable: The smallest effect, in standard deviations over sequences, that is seen with a power of 90 %; None
            where there is no class to decide.
        decides: Whether the class can be decided at all.
    """

    label: int
    class_name: str
    sequences: int
    mistaken: int
    clusters: int
    questions: int
    detectable: float | None
    decides: bool


def prospects(classes: Int64, right: Bool, clusters: Int64 | None, names: Sequence[str], lines: int) -> list[Prospect]:
    """Say for every class what can be seen.

    Args:
        classes: ``int64 [sequence]``.
        right: ``bool [sequence]``, whether the model gives a sequence its class.
        clusters: ``int64 [sequence]``; None: each alone.
        names: Of the classes, by number.
        lines: Rankings that are judged.

    Example:
        >>> labels, right = np.repeat([0, 1], 200), np.ones(400, dtype=bool)
        >>> [round(each.detectable, 2) for each in prospects(labels, right, None, ["off", "on"], 12)]
        [0.3, 0.3]
    """
    groups = np.arange(classes.size) if clusters is None else clusters
    held = {label: int(np.unique(groups[right & (classes == label)]).size) for label in range(len(names))}
    questions = lines * sum(count >= FEWEST for count in held.values())
    found = []
    for label, name in enumerate(names):
        here = classes == label
        effect = detectable_effect(held[label], questions) if held[label] >= FEWEST else math.inf
        found.append(
            Prospect(
                label,
                name,
                int((here & right).sum()),
                int((here & ~right).sum()),
                held[label],
                questions,
                effect if math.isfinite(effect) else None,
                effect <= LARGEST,
            )
        )
    return found


def detectable_effect(clusters: int, questions: int) -> float:
    """Give the smallest effect that is seen with a power of 90 %, in standard deviations over clusters.

    Source: cohen1988, chapter 2; the threshold is Bonferroni's, of a one-sided t test.

    Args:
        clusters: Independent sequences.
        questions: How many are asked at once.

    Example:
        >>> round(detectable_effect(100, 24), 2)
        0.42
    """
    from scipy.stats import t

    return float((t.isf(LEVEL / questions, clusters - 1) + t.ppf(POWER, clusters - 1)) / math.sqrt(clusters))
