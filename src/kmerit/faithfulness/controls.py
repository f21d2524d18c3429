"""Controls: rankings that know nothing of the model, each unfair in fewer ways than the one before.

``random`` positions scatter, and so change many more tokens than a method's clustered ones. ``blurred_random`` scores
are random, smoothed as overlapping tokens smooth a method's. ``shifted`` scores are the method's own, moved along the
sequence: the same clusters at the wrong place. ``other`` scores are those of another sequence of the same class and
length, explained for the same class: the same clusters, and the same habits of place, in the wrong sequence.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from kmerit.attribution.projection import to_nucleotides
from kmerit.draws import generator
from kmerit.errors import UnknownName
from kmerit.models import Model
from kmerit.types import Float, Floats, Int8, Int64

RANDOM, SHIFTED, OTHER, BLURRED = "random", "shifted", "other", "blurred_random"
CONTROLS = (RANDOM, SHIFTED, OTHER, BLURRED)
OF_A_METHOD = (SHIFTED, OTHER)
"""Controls that every method has its own of."""

NEAREST = 20
"""By how many nucleotides ``shifted`` moves scores at least, in either direction round the circle."""


def ranking_of(control: str, method: str) -> str:
    """Name the ranking that serves a method as this control, as it stands in a curve's column ``method``.

    Example:
        >>> ranking_of("random", "lrp"), ranking_of("shifted", "lrp")
        ('random', 'shifted(lrp)')
    """
    return f"{control}({method})" if control in OF_A_METHOD else control


def is_control(ranking: str) -> bool:
    """Tell a control's ranking from a method's.

    Example:
        >>> is_control("shifted(lrp)"), is_control("lrp")
        (True, False)
    """
    return ranking in (RANDOM, BLURRED) or ranking.startswith(tuple(f"{control}(" for control in OF_A_METHOD))


def check_controls(names: Sequence[str]) -> tuple[str, ...]:
    """Refuse controls that do not exist.

    Raises:
        UnknownName: With the nearest name.
    """
    for name in names:
        if name not in CONTROLS:
            raise UnknownName("control", name, CONTROLS)
    return tuple(name for name in CONTROLS if name in names)


def random_scores(seed: int, draws: int, name: str, length: int) -> Floats:
    """Draw random scores ``[draw, position]``, in 0..1."""
    return np.array([generator(seed, RANDOM, draw, name).random(length) for draw in range(draws)]).reshape(-1, length)


def blurred_scores(model: Model, seed: int, draws: int, name: str, bases: Int8) -> Float:
    """Draw a random score for every token, and average over those that cover a nucleotide: ``[draw, position]``."""
    tokens = model.tokenize(bases[None], np.array([bases.size]))
    each = [generator(seed, BLURRED, draw, name).random((1, tokens.ids.shape[1])) for draw in range(draws)]
    return np.concatenate([to_nucleotides(scores, tokens, bases.size) for scores in each])


def shifted_scores(seed: int, draws: int, name: str, scores: Float) -> Float | None:
    """Move scores ``[method, position]`` round the circle: ``[method, draw, position]``.

    All methods move by the same offset, uniform from 20 to length - 20. None if the sequence is too short for one
    that is far from where it began: 40 nt or fewer.
    """
    length = scores.shape[1]
    if length <= 2 * NEAREST:
        return None
    offsets = [
        int(generator(seed, SHIFTED, draw, name).integers(NEAREST, length - NEAREST, endpoint=True))
        for draw in range(draws)
    ]
    return np.stack([np.roll(scores, offset, axis=1) for offset in offsets], axis=1)


@dataclass(frozen=True, eq=False)
class Strangers:
    """Where ``other`` takes its scores from.

    Attributes:
        partners: ``int64 [draw, sequence]``, another sequence that is alike; -1 where there is none.
        scores: Of every sequence, ``[method, position]``.
    """

    partners: Int64
    scores: Sequence[Float]

    def of(self, sequence: int) -> Float | None:
        """Give the scores of a sequence's partners, ``[method, draw, position]``; None where it has none."""
        rows = self.partners[:, sequence]
        return None if (rows < 0).any() else np.stack([self.scores[row] for row in rows], axis=1)


def draw_partners(seed: int, draws: int, names: Sequence[str], alike: Int64) -> Int64:
    """Draw for every sequence another one that is alike, ``int64 [draw, sequence]``; -1 where there is none.

    Args:
        seed: Of the draws.
        draws: How many partners.
        names: Of the sequences.
        alike: ``int64 [property, sequence]``: class, class explained and length. Partners share them all. Signed scores
            of another explained class point the other way, and would be too easy to beat.

    Example:
        >>> draw_partners(0, 1, ["a", "b", "c"], np.array([[0, 0, 1], [0, 0, 0], [9, 9, 9]])).tolist()
        [[1, 0, -1]]
    """
    partners: Int64 = np.full((draws, len(names)), -1, dtype=np.int64)
    _, groups = np.unique(alike, axis=1, return_inverse=True)
    for group in range(int(groups.max(initial=-1)) + 1):
        rows = np.flatnonzero(groups == group)
        for at, row in enumerate(rows.tolist() if rows.size > 1 else []):
            for draw in range(draws):
                step = int(generator(seed, OTHER, draw, names[row]).integers(1, rows.size))
                partners[draw, row] = rows[(at + step) % rows.size]
    return partners
