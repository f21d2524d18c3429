"""Controls: rankings that know nothing of what the model read in a sequence, and what each keeps of a method.

``shifted``, ``clump`` and ``other`` do as much damage as the method and decide the verdict. ``shifted`` scores are the
method's own, moved round the sequence. A ``clump`` has the runs and the gaps of the method's own positions, in another
order and at another place. ``other`` scores are those of another sequence of the same class and length, explained for
the same class. ``random`` positions, the paper's, scatter and so change more tokens than a method's clustered ones:
they decide nothing. ``context`` scores are the method's, exchanged among positions of equal context: what letters alone
say.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np

from kmerit.draws import generator
from kmerit.errors import UnknownName
from kmerit.faithfulness.contexts import strata
from kmerit.types import Bool, Float, Floats, Int8, Int64, Sequences

RANDOM, SHIFTED, CLUMP, OTHER, CONTEXT = "random", "shifted", "clump", "other", "context"
CONTROLS = (RANDOM, SHIFTED, CLUMP, OTHER, CONTEXT)
DECIDING = (SHIFTED, CLUMP, OTHER)
"""Controls that a verdict rests on: as many tokens change under them as under the method."""
OF_A_METHOD = (SHIFTED, CLUMP, OTHER, CONTEXT)
"""Controls that every method has its own of."""
_RETIRED = "blurred_random"
"""A control of curves that older versions wrote."""

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
    return ranking in (RANDOM, _RETIRED) or ranking.startswith(tuple(f"{control}(" for control in OF_A_METHOD))


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


def clumped(chosen: Bool, rng: np.random.Generator) -> Bool:
    """Put the runs and the gaps of chosen positions in random orders, and turn the whole by a random offset.

    The sequence is taken as a circle, so that a run over its ends is one run.

    Args:
        chosen: ``bool [position]``.
        rng: Draws both orders and the offset.

    Returns:
        ``bool [position]``, as many positions in runs of the same lengths; all or none of them leave nothing to move.

    Example:
        >>> moved = clumped(np.array([True, True, False, False, True, False]), np.random.default_rng(0))
        >>> int(moved.sum()), int(np.count_nonzero(moved & ~np.roll(moved, 1)))
        (3, 2)
    """
    starts = np.flatnonzero(chosen & ~np.roll(chosen, 1))
    if not starts.size:
        return chosen
    turned = np.roll(chosen, -int(starts[0]))
    edges = np.concatenate([[0], np.flatnonzero(turned[1:] != turned[:-1]) + 1, [chosen.size]])
    lengths = np.diff(edges)
    lengths[0::2], lengths[1::2] = rng.permutation(lengths[0::2]), rng.permutation(lengths[1::2])
    moved = np.repeat(np.arange(lengths.size) % 2 == 0, lengths)
    return np.roll(moved, int(rng.integers(chosen.size)))


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


@dataclass(frozen=True, eq=False)
class Exchange:
    """Where ``context`` takes some methods' scores from: the sequences of one class, their positions one after another.

    Attributes:
        methods: Whose, ``int64 [method]``.
        rows: The sequences, ``int64 [member]``; those whose scores were withheld are not among them.
        offsets: ``int64 [member + 1]``, where each begins.
        scores: Of all of them, ``[method, position]``.
        sources: ``int64 [draw, position]``, the position whose score each gets.
        joined: How many positions the strata had to join, and how many have nobody to exchange with.
    """

    methods: Int64
    rows: Int64
    offsets: Int64
    scores: Float
    sources: Int64
    joined: Mapping[str, int]

    def of(self, sequence: int) -> Float:
        """Give the exchanged scores of a sequence, ``[method, draw, position]``."""
        at = int(np.searchsorted(self.rows, sequence))
        return np.asarray(self.scores[:, self.sources[:, self.offsets[at] : self.offsets[at + 1]]])


def draw_exchanges(
    seed: int, draws: int, sequences: Sequences, alike: Int64, scores: Sequence[Float], withheld: Bool
) -> list[Exchange]:
    """Exchange scores among positions of equal context, over all sequences that are alike.

    Args:
        seed: Of the draws.
        draws: How many exchanges.
        sequences: What was explained.
        alike: ``int64 [property, sequence]``: class and class explained.
        scores: Of every sequence, ``[method, position]``.
        withheld: ``bool [method, sequence]``. Methods that rank the same sequences are exchanged alike.
    """
    kinds, groups = np.unique(alike, axis=1, return_inverse=True)
    patterns, pattern = np.unique(withheld, axis=0, return_inverse=True)
    found = []
    for at, group in product(range(len(patterns)), range(kinds.shape[1])):
        methods: Int64 = np.flatnonzero(pattern == at)
        rows: Int64 = np.flatnonzero((groups == group) & ~patterns[at])
        if not rows.size:
            continue
        bases: list[Int8] = [sequences.bases[sequences.offsets[row] : sequences.offsets[row + 1]] for row in rows]
        parted = strata(bases)
        name = "-".join(map(str, kinds[:, group].tolist()))
        sources = np.stack([parted.exchange(generator(seed, CONTEXT, draw, name)) for draw in range(draws)])
        offsets = np.concatenate([[0], np.cumsum([each.size for each in bases])])
        together = np.concatenate([scores[row][methods] for row in rows], axis=1)
        joined = {
            "positions": int(offsets[-1]),
            "joined_quarters": parted.joined_quarters,
            "joined_gc": parted.joined_gc,
            "alone": parted.alone,
        }
        found.append(Exchange(methods, rows, offsets, together, sources, joined))
    return found


class Controls:
    """Makes the rankings of the controls, sequence by sequence.

    Args:
        asked: Which controls.
        seed: Of every draw.
        draws: Rankings of each control but ``random``.
        random_sets: Rankings of ``random``.
        sequences: What was explained.
        methods: The rankings that have controls of their own.
        classes: ``int64 [sequence]``.
        targets: ``int64 [sequence]``, the class explained.
        withheld: ``bool [method, sequence]``, whether a method has no ranking of a sequence, and so no controls.
        scores: Gives the scores of every sequence, ``[method, position]``; asked where a control needs them all.
    """

    def __init__(
        self,
        asked: Sequence[str],
        seed: int,
        draws: int,
        random_sets: int,
        sequences: Sequences,
        methods: Sequence[str],
        classes: Int64,
        targets: Int64,
        withheld: Bool,
        scores: Callable[[], list[Float]],
    ) -> None:
        self._asked, self._seed, self._draws, self._sets = frozenset(asked), seed, draws, random_sets
        self._sequences, self._methods, self._ranks = sequences, methods, ~withheld
        every = scores() if {OTHER, CONTEXT} & self._asked else []
        self._strangers: Strangers | None = None
        self._exchanges: list[Exchange] = []
        if OTHER in self._asked:
            alike = np.stack([classes, targets, sequences.lengths])
            self._strangers = Strangers(draw_partners(seed, draws, sequences.names, alike), every)
        if CONTEXT in self._asked:
            self._exchanges = draw_exchanges(seed, draws, sequences, np.stack([classes, targets]), every, withheld)
        self._exchanges_of: dict[int, list[Exchange]] = {}
        for each in self._exchanges:
            for row in each.rows.tolist():
                self._exchanges_of.setdefault(row, []).append(each)

    def __call__(self, sequence: int, held: Float) -> dict[str, Float]:
        """Give a sequence's rankings, the methods' own among them; a control that cannot be formed is not there.

        Those of ``clump`` are the method's own scores: the runs are moved when positions are chosen.
        """
        name, size = self._sequences.names[sequence], held.shape[1]
        ranks = self._ranks[:, sequence]
        made: dict[str, Float] = {m: held[at] for at, m in enumerate(self._methods) if ranks[at]}
        if self._sets:
            made[RANDOM] = random_scores(self._seed, self._sets, name, size)
        formed: list[tuple[str, Float | None, Bool]] = []
        if SHIFTED in self._asked:
            formed.append((SHIFTED, shifted_scores(self._seed, self._draws, name, held), ranks))
        if CLUMP in self._asked:
            formed.append((CLUMP, held, ranks))
        if self._strangers:
            partners = self._strangers.partners[:, sequence]
            lent = ranks & self._ranks[:, partners].all(axis=1)
            formed.append((OTHER, self._strangers.of(sequence), lent))
        for control, own, there in formed:
            if own is not None:
                made |= {ranking_of(control, m): own[at] for at, m in enumerate(self._methods) if there[at]}
        for exchange in self._exchanges_of.get(sequence, ()):
            given = exchange.of(sequence)
            made |= {
                ranking_of(CONTEXT, self._methods[method]): given[at]
                for at, method in enumerate(exchange.methods.tolist())
            }
        return made

    @property
    def about(self) -> dict[str, Any]:
        """Count what the strata of ``context`` had to join, over all classes; nothing where it was not asked for."""
        if not self._exchanges:
            return {}
        keys = self._exchanges[0].joined
        return {"context_strata": {key: sum(each.joined[key] for each in self._exchanges) for key in keys}}
