"""Controls and null rankings: they know nothing of what the model read in a sequence; what each keeps of a method.

Contexts of nucleotides, for the control that knows what letters alone say. A position's context is its letter with
both neighbours, the number of G and C in the 11 nt around, and the quarter of the sequence that it lies in. The
control ``context`` exchanges scores among positions of equal context.

``shifted``, ``clump`` and ``other`` do as much damage as the method and decide the verdict. ``shifted`` scores are
the method's own, moved round the sequence. A ``clump`` has the runs and the gaps of the method's own positions, in
another order and at another place. ``other`` scores are those of another sequence of the same class and length,
explained for the same class. ``random`` positions, the paper's, scatter and so change more tokens than a method's
clustered ones: they decide nothing. ``context`` scores are the method's, exchanged among positions of equal context:
what letters alone say.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import islice, product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kmerit.disk import StoredRows, return_memory
from kmerit.errors import UnknownName
from kmerit.sequences import Bool, Float, Floats, Int8, Int64, Sequences, generator

REACH = 5
"""How many nucleotides on either side are looked at for G and C."""
QUARTERS = 4
SMALLEST_STRATUM = 5
"""Positions of one stratum; fewer join others."""
_SHARES = 2 * REACH + 2
_MISSING = 4
"""The letter of a neighbour that is not there."""


@dataclass(frozen=True, eq=False)
class Strata:
    """Which positions may exchange their scores.

    Attributes:
        of: ``uint16 [position]``, the stratum of each position of all sequences, one after another.
        joined_quarters: Positions whose context had too few others in their quarter, and joined another one's.
        joined_gc: Positions that then joined the nearest number of G and C, too.
        alone: Positions that have no other to exchange with.
    """

    of: NDArray[np.uint16]
    joined_quarters: int
    joined_gc: int
    alone: int

    @property
    def counts(self) -> dict[str, int]:
        """Count positions: all, those that joined others, and those alone."""
        return {
            "positions": self.of.size,
            "joined_quarters": self.joined_quarters,
            "joined_gc": self.joined_gc,
            "alone": self.alone,
        }

    def exchange(self, rng: np.random.Generator) -> NDArray[np.integer[Any]]:
        """Draw an exchange within strata: ``[position]``, whose score each position gets.

        Every position draws a lot, and each stratum is put in the order of its lots. Some strata at a time: the lots
        are drawn again for each of them, so that those of all positions are never held.
        """
        size, state = self.of.size, rng.bit_generator.state
        source: NDArray[np.integer[Any]] = np.empty(size, dtype=np.int32 if size < 2**31 else np.int64)
        for first, last in self._portions():
            rng.bit_generator.state = state
            positions, lots = [], []
            for start in range(0, size, _TOGETHER):
                of = self.of[start : start + _TOGETHER]
                drawn, mine = rng.random(of.size), np.flatnonzero((of >= first) & (of < last))
                positions.append((mine + start).astype(source.dtype))
                lots.append(drawn[mine])
            where = np.concatenate(positions)
            of = self.of[where]
            source[where[np.argsort(of, kind="stable")]] = where[np.lexsort((np.concatenate(lots), of))]
        return source

    def _portions(self) -> Iterator[tuple[int, int]]:
        """Cut the strata into runs that have about ``_TOGETHER`` positions each."""
        upto = np.cumsum(_counted(self.of, int(self.of.max(initial=0)) + 1))
        first = 0
        while first < upto.size and self.of.size:
            before = int(upto[first - 1]) if first else 0
            last = max(first + 1, int(np.searchsorted(upto, before + _TOGETHER, side="right")))
            yield first, last
            first = last


_TOGETHER = 2**19
"""Positions that are looked at together."""


def _counted(numbers: NDArray[np.uint16], size: int) -> Int64:
    """Count how often each number below ``size`` occurs; a part at a time, since counting makes them wider."""
    counts: Int64 = np.zeros(size, dtype=np.int64)
    for start in range(0, numbers.size, _TOGETHER):
        counts += np.bincount(numbers[start : start + _TOGETHER], minlength=size)
    return counts


def strata(sequences: Iterable[Int8]) -> Strata:
    """Group the positions of sequences by context; a stratum of under five positions joins others.

    First a quarter joins the nearest other quarter of the same letters and the same number of G and C; what is still
    too small then joins the nearest number of G and C of the same letters.

    Args:
        sequences: Bases ``int8 [position]`` of each, 0..3.

    Example:
        >>> contexts = strata([np.array([0, 1, 2, 3], dtype=np.int8)] * 5)
        >>> len(set(contexts.of.reshape(5, 4)[:, 0].tolist())), contexts.alone
        (1, 0)
    """
    rows = iter(sequences)
    parts = []
    while batch := list(islice(rows, _SEQUENCES_TOGETHER)):
        contexts = [np.concatenate(each) for each in zip(*map(_contexts, batch), strict=True)]
        parts.append(np.ravel_multi_index(tuple(contexts), (_LETTERS, _SHARES, QUARTERS)).astype(np.uint16))
    cells = np.concatenate(parts)
    counts = _counted(cells, _LETTERS * _SHARES * QUARTERS).reshape(_LETTERS, _SHARES, QUARTERS)
    number, moved = np.arange(counts.size).reshape(counts.shape), np.zeros(counts.shape, dtype=np.int64)
    for letter in np.flatnonzero(counts.sum(axis=(1, 2))).tolist():
        _join(counts[letter], number[letter], moved[letter])
    used = counts.ravel() > 0
    kept, stratum = np.unique(number.ravel()[used], return_inverse=True)
    sizes = np.bincount(stratum, weights=counts.ravel()[used], minlength=kept.size)
    of_cell = np.zeros(counts.size, dtype=np.uint16)
    of_cell[used] = stratum
    for start in range(0, cells.size, _TOGETHER):
        cells[start : start + _TOGETHER] = of_cell[cells[start : start + _TOGETHER]]
    return Strata(cells, int(counts[moved == 1].sum()), int(counts[moved == 2].sum()), int((sizes == 1).sum()))


_SEQUENCES_TOGETHER = 4096
_LETTERS = 5 * 4 * 5


def _contexts(bases: Int8) -> tuple[Int64, Int64, Int64]:
    """Give each position's letters, share of G and C in 11ths, and quarter."""
    padded = np.concatenate([[_MISSING], bases, [_MISSING]]).astype(np.int64)
    letters: Int64 = (padded[:-2] * 4 + padded[1:-1]) * 5 + padded[2:]
    return letters, local_gc(bases), np.arange(bases.size) * QUARTERS // bases.size


def local_gc(bases: Int8) -> Int64:
    """Compute the share of G and C in the 11 nt around each position, in 11ths; windows are cut at the ends.

    Example:
        >>> local_gc(np.array([2, 1, 0, 0, 0, 0, 0], dtype=np.int8)).tolist()
        [4, 3, 3, 3, 3, 3, 2]
    """
    upto = np.concatenate([[0], np.cumsum((bases == 1) | (bases == 2))])
    at = np.arange(bases.size)
    first, last = np.maximum(at - REACH, 0), np.minimum(at + REACH + 1, bases.size)
    share: Floats = (upto[last] - upto[first]) / (last - first)
    return np.rint(share * (_SHARES - 1)).astype(np.int64)


def _join(counts: Int64, number: Int64, moved: Int64) -> None:
    """Join small strata of the same letters, in place: ``[share, quarter]``."""
    for share in np.flatnonzero(counts.sum(axis=1)).tolist():
        while True:
            groups, sizes = _sizes(counts[share], number[share])
            if len(groups) == 1 or min(sizes) >= SMALLEST_STRATUM:
                break
            small = int(np.argmin(sizes))
            here = number[share] == groups[small]
            others = [at for at in range(len(groups)) if at != small]
            target = min(others, key=lambda at: (_apart(here, number[share] == groups[at], counts[share]), -sizes[at]))
            moved[share][here] = 1
            number[share][here] = groups[target]
    while True:
        groups, sizes = _sizes(counts, number)
        if len(groups) == 1 or min(sizes) >= SMALLEST_STRATUM:
            return
        small = int(np.argmin(sizes))
        here = number == groups[small]
        others = [at for at in range(len(groups)) if at != small]
        target = min(
            others,
            key=lambda at: (_farness(here, number == groups[at], counts), -sizes[at]),
        )
        moved[here] = 2
        number[here] = groups[target]


def _sizes(counts: Int64, number: Int64) -> tuple[list[int], list[int]]:
    """List the strata that have positions, and how many."""
    groups = np.unique(number[counts > 0])
    return groups.tolist(), [int(counts[number == group].sum()) for group in groups]


def _apart(one: Bool, other: Bool, counts: Int64) -> int:
    """Count the steps between the nearest quarters of two strata."""
    a, b = np.flatnonzero(one & (counts > 0)), np.flatnonzero(other & (counts > 0))
    return int(np.abs(a[:, None] - b).min())


def _farness(one: Bool, other: Bool, counts: Int64) -> tuple[int, int]:
    """Measure how far two strata lie apart: in the share of G and C, then in quarters."""
    a, b = np.argwhere(one & (counts > 0)), np.argwhere(other & (counts > 0))
    steps = np.abs(a[:, None] - b[None]).reshape(-1, 2)
    return min((int(share), int(quarter)) for share, quarter in steps)


def explained(contexts: Strata, scores: Floats) -> float:
    """Compute the share of the variance of scores between strata: what letters alone explain.

    Args:
        contexts: Of the sequences.
        scores: ``[position]``, of all of them, one after another; those that are not finite are left out.

    Returns:
        From 0 to 1; NaN where scores have no variance.

    Example:
        >>> contexts = strata([np.array([0, 1, 0, 1, 0, 1], dtype=np.int8)] * 5)
        >>> explained(contexts, np.tile([0.0, 1.0], 15).astype(float))
        1.0
    """
    finite = np.isfinite(scores)
    values, of = scores[finite] - scores[finite].mean(), contexts.of[finite]
    total = float((values**2).sum())
    means = np.bincount(of, weights=values) / np.maximum(np.bincount(of), 1)
    return float((means[of] ** 2).sum() / total) if total > 0 else float("nan")


def context_share(sequences: Sequences, scores: Float) -> float:
    """Compute the share of the variance of scores that the strata of the control ``context`` explain.

    Args:
        sequences: What was scored.
        scores: ``[sequence, position]``.

    Returns:
        From 0 to 1; NaN where scores have no variance.

    Example:
        >>> context_share(Sequences.from_strings(["ACACAC"] * 5), np.tile([0.0, 1.0], (5, 3)))
        1.0
    """
    return explained(strata(list(sequences.rows())), scores.ravel().astype(np.float64))


RANDOM = "random"
"""The paper's control: positions chosen at random."""
SHIFTED, CLUMP, OTHER, CONTEXT = "shifted", "clump", "other", "context"
OF_A_METHOD = (SHIFTED, CLUMP, OTHER, CONTEXT)
"""Controls that every method has its own of."""
CONTROLS = (RANDOM, *OF_A_METHOD)
DECIDING = (SHIFTED, CLUMP, OTHER)
"""Controls that a verdict rests on: as many tokens change under them as under the method."""
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
    """Return whether a ranking is a control's and not a method's.

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


MOVED: dict[str, Callable[[int, int, str, Float], Float | None]] = {SHIFTED: shifted_scores}
"""Controls that move a method's own scores within the sequence.

Their functions take a seed, the number of draws, the name of a sequence and its scores ``[method, position]``, and give
scores ``[method, draw, position]``; None where the sequence does not permit it.
"""


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
    rotation = np.roll(chosen, -int(starts[0]))
    edges = np.concatenate([[0], np.flatnonzero(rotation[1:] != rotation[:-1]) + 1, [chosen.size]])
    lengths = np.diff(edges)
    lengths[0::2], lengths[1::2] = rng.permutation(lengths[0::2]), rng.permutation(lengths[1::2])
    moved = np.repeat(np.arange(lengths.size) % 2 == 0, lengths)
    return np.roll(moved, int(rng.integers(chosen.size)))


class StoredScores:
    """The scores of many sequences, held as `disk.StoredRows` holds them; one sequence's are read when asked for.

    Args:
        chunks: Scores of sequence after sequence, ``[method, position]`` each.
        offsets: ``int64 [sequence + 1]``, where each begins.
    """

    def __init__(self, chunks: Iterable[list[Float]], offsets: Int64) -> None:
        self._offsets, self._rows, start = offsets, None, 0
        for chunk in chunks:
            scores = np.concatenate(chunk, axis=1)
            if self._rows is None:
                self._rows = StoredRows(len(scores), int(offsets[-1]), scores.dtype)
            self._rows.write(start, scores)
            start += scores.shape[1]

    def __getitem__(self, sequence: int) -> Float:
        if self._rows is None:
            raise IndexError(sequence)
        return self._rows.read(int(self._offsets[sequence]), int(self._offsets[sequence + 1]))

    def line(self, method: int, rows: Int64) -> Float:
        """Give one method's scores of some sequences, in ascending order, end to end."""
        if self._rows is None:
            raise IndexError(method)
        offsets, lengths = self._offsets, np.diff(self._offsets)
        scores, filled = np.empty(int(lengths[rows].sum()), dtype=self._rows.dtype), 0
        for first in range(0, lengths.size, _SEQUENCES_TOGETHER):
            last = min(first + _SEQUENCES_TOGETHER, lengths.size)
            chosen = np.zeros(last - first, dtype=np.bool_)
            chosen[rows[np.searchsorted(rows, first) : np.searchsorted(rows, last)] - first] = True
            every = self._rows.read_row(method, int(offsets[first]), int(offsets[last]))
            part = every[np.repeat(chosen, lengths[first:last])]
            scores[filled : filled + part.size] = part
            filled += part.size
        return scores


@dataclass(frozen=True, eq=False)
class PartnerScores:
    """Where ``other`` takes its scores from.

    Attributes:
        partners: ``int64 [draw, sequence]``, another sequence of equal properties; -1 where there is none.
        scores: Of every sequence, ``[method, position]``; in memory, or in a file.
    """

    partners: Int64
    scores: Sequence[Float] | StoredScores

    def of(self, sequence: int) -> Float | None:
        """Give the scores of a sequence's partners, ``[method, draw, position]``; None where it has none."""
        rows = self.partners[:, sequence]
        return None if (rows < 0).any() else np.stack([self.scores[row] for row in rows], axis=1)


def draw_partners(seed: int, draws: int, names: Sequence[str], properties: Int64) -> Int64:
    """Draw for every sequence another one of equal properties, ``int64 [draw, sequence]``; -1 where there is none.

    Args:
        seed: Of the draws.
        draws: How many partners.
        names: Of the sequences.
        properties: ``int64 [property, sequence]``: class, class explained and length. Partners share them all. Signed
            scores of another explained class point the other way, and would be too easy to beat.

    Example:
        >>> draw_partners(0, 1, ["a", "b", "c"], np.array([[0, 0, 1], [0, 0, 0], [9, 9, 9]])).tolist()
        [[1, 0, -1]]
    """
    partners: Int64 = np.full((draws, len(names)), -1, dtype=np.int64)
    kinds, groups = _kinds(properties)
    for group in range(kinds.shape[1]):
        rows = np.flatnonzero(groups == group)
        for at, row in enumerate(map(int, rows) if rows.size > 1 else ()):
            for draw in range(draws):
                step = int(generator(seed, OTHER, draw, names[int(row)]).integers(1, rows.size))
                partners[draw, row] = rows[(at + step) % rows.size]
    return partners


def _kinds(properties: Int64) -> tuple[Int64, NDArray[np.int32]]:
    """Find the distinct columns of ``[property, sequence]``, in order, and which of them each sequence has.

    Property by property: NumPy would sort all columns as records.
    """
    kinds: Int64 = np.zeros((0, 1), dtype=np.int64)
    groups = np.zeros(properties.shape[1], dtype=np.int32)
    for values in properties:
        distinct, of = np.unique(values, return_inverse=True)
        used, groups = np.unique(groups * np.int64(distinct.size) + of, return_inverse=True)
        groups = groups.astype(np.int32)
        kinds = np.concatenate([kinds[:, used // distinct.size], distinct[None, used % distinct.size]])
    return kinds, groups


@dataclass(frozen=True, eq=False)
class ContextScores:
    """Where ``context`` takes some methods' scores from: the sequences of one class, their positions one after another.

    Attributes:
        methods: Whose, ``int64 [method]``.
        rows: The sequences, ``int64 [member]``; those whose scores were withheld are not among them.
        offsets: ``int64 [member + 1]``, where each begins.
        scores: ``[method and draw, position]``, the score that each position gets.
        joined: How many positions the strata had to join, and how many have nobody to exchange with.
    """

    methods: Int64
    rows: Int64
    offsets: Int64
    scores: StoredRows
    joined: Mapping[str, int]

    def of(self, sequence: int) -> Float | None:
        """Give the exchanged scores of a sequence, ``[method, draw, position]``; None where it takes no part."""
        at = int(np.searchsorted(self.rows, sequence))
        if at == self.rows.size or self.rows[at] != sequence:
            return None
        scores = self.scores.read(int(self.offsets[at]), int(self.offsets[at + 1]))
        return scores.reshape(self.methods.size, -1, scores.shape[1])


def draw_context_scores(
    seed: int, draws: int, sequences: Sequences, properties: Int64, scores: StoredScores, withheld: Bool
) -> list[ContextScores]:
    """Exchange scores among positions of equal context, over all sequences of equal properties.

    Args:
        seed: Of the draws.
        draws: How many exchanges.
        sequences: What was explained.
        properties: ``int64 [property, sequence]``: class and class explained.
        scores: Of every sequence.
        withheld: ``bool [method, sequence]``. Methods that rank the same sequences are exchanged alike.
    """
    exchanges = []
    for name, methods, rows in _exchanging(properties, withheld):
        contexts = _strata_of(sequences, rows)
        offsets: Int64 = np.concatenate([[0], np.cumsum(sequences.lengths[rows])])
        stored: StoredRows | None = None
        for draw in range(draws):
            sources = _stored(contexts.exchange(generator(seed, CONTEXT, draw, name)))
            for index, method in enumerate(methods.tolist()):
                line = scores.line(method, rows)
                stored = stored or StoredRows(methods.size * draws, int(offsets[-1]), line.dtype)
                for start in range(0, line.size, _TOGETHER):
                    part = sources.read_row(0, start, min(start + _TOGETHER, line.size))
                    stored.write_row(index * draws + draw, start, line[part])
                del line  # before the next one is read
            del sources
        if stored is None:
            continue
        exchanges.append(ContextScores(methods, rows, offsets, stored, contexts.counts))
    return exchanges


def _stored(values: NDArray[Any]) -> StoredRows:
    """Put values aside: in a file, where they are many."""
    rows = StoredRows(1, values.size, values.dtype)
    rows.write_row(0, 0, values)
    return rows


def _exchanging(properties: Int64, withheld: Bool) -> Iterator[tuple[str, Int64, Int64]]:
    """Give the sequences that exchange scores with one another: a name, the methods and the sequences."""
    kinds, groups = _kinds(properties)
    # By their bytes: numpy would take every sequence for a field of its own.
    of_method = [row.tobytes() for row in withheld]
    distinct = sorted(set(of_method))
    patterns = [np.frombuffer(each, dtype=np.bool_) for each in distinct]
    pattern = np.array([distinct.index(each) for each in of_method])
    for at, group in product(range(len(patterns)), range(kinds.shape[1])):
        rows: Int64 = np.flatnonzero((groups == group) & ~patterns[at])
        if rows.size:
            yield "-".join(map(str, kinds[:, group].tolist())), np.flatnonzero(pattern == at), rows


def _strata_of(sequences: Sequences, rows: Int64) -> Strata:
    return strata(sequences.bases[sequences.offsets[row] : sequences.offsets[row + 1]] for row in rows)


class Controls:
    """Makes the rankings of the controls, sequence by sequence.

    Args:
        names: Which controls.
        seed: Of every draw.
        draws: Rankings of each control but ``random``.
        random_sets: Rankings of ``random``.
        sequences: What was explained.
        methods: The rankings that have controls of their own.
        classes: ``int64 [sequence]``.
        targets: ``int64 [sequence]``, the class explained.
        withheld: ``bool [method, sequence]``, whether a method has no ranking of a sequence, and so no controls.
        scores: Gives the scores of all sequences in chunks, ``[method, position]`` each; asked where a control needs
            them all.
    """

    def __init__(
        self,
        names: Sequence[str],
        seed: int,
        draws: int,
        random_sets: int,
        sequences: Sequences,
        methods: Sequence[str],
        classes: Int64,
        targets: Int64,
        withheld: Bool,
        scores: Callable[[], Iterable[list[Float]]],
    ) -> None:
        self._names, self._seed, self._draws, self._sets = frozenset(names), seed, draws, random_sets
        self._sequences, self._methods, self._ranks = sequences, methods, ~withheld
        self._classes, self._targets, self._scores = classes, targets, scores

    @cached_property
    def _every(self) -> StoredScores:
        return StoredScores(self._scores(), self._sequences.offsets)

    @cached_property
    def _partners(self) -> PartnerScores | None:
        if OTHER not in self._names:
            return None
        properties = np.stack([self._classes, self._targets, self._sequences.lengths])
        return PartnerScores(draw_partners(self._seed, self._draws, self._sequences.names, properties), self._every)

    @cached_property
    def _exchanges(self) -> list[ContextScores]:
        if CONTEXT not in self._names:
            return []
        properties = np.stack([self._classes, self._targets])
        exchanges = draw_context_scores(self._seed, self._draws, self._sequences, properties, self._every, ~self._ranks)
        return_memory()
        return exchanges

    def __call__(self, sequence: int, scores: Float) -> dict[str, Float]:
        """Give a sequence's rankings, the methods' own among them; a control that cannot be formed is not there.

        Those of ``clump`` are the method's own scores: the runs are moved when positions are chosen.
        """
        name, size = self._sequences.names[sequence], scores.shape[1]
        ranks = self._ranks[:, sequence]
        rankings: dict[str, Float] = {m: scores[at] for at, m in enumerate(self._methods) if ranks[at]}
        if self._sets:
            rankings[RANDOM] = random_scores(self._seed, self._sets, name, size)
        candidates: list[tuple[str, Float | None, Bool]] = []
        for control, move in MOVED.items():
            if control in self._names:
                candidates.append((control, move(self._seed, self._draws, name, scores), ranks))
        if CLUMP in self._names:
            candidates.append((CLUMP, scores, ranks))
        if self._partners:
            partners = self._partners.partners[:, sequence]
            eligible = ranks & self._ranks[:, partners].all(axis=1)
            candidates.append((OTHER, self._partners.of(sequence), eligible))
        for control, own, there in candidates:
            if own is not None:
                rankings |= {ranking_of(control, m): own[at] for at, m in enumerate(self._methods) if there[at]}
        for exchange in self._exchanges:
            if (exchanged := exchange.of(sequence)) is None:
                continue
            rankings |= {
                ranking_of(CONTEXT, self._methods[method]): exchanged[at]
                for at, method in enumerate(exchange.methods.tolist())
            }
        return rankings

    @property
    def about(self) -> dict[str, Any]:
        """Count what the strata of ``context`` had to join, over all classes; nothing where it was not asked for."""
        if CONTEXT not in self._names:
            return {}
        properties = np.stack([self._classes, self._targets])
        groups = _exchanging(properties, ~self._ranks)
        counts = [_strata_of(self._sequences, rows).counts for _, _, rows in groups]
        return {"context_strata": {key: sum(each[key] for each in counts) for key in counts[0]}} if counts else {}
