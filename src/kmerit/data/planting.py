"""Planted truth: labelled sequences of which it is known what makes the label, nucleotide by nucleotide."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Literal, NamedTuple, Self

import numpy as np
from pydantic import Field, NonNegativeInt, PositiveFloat, PositiveInt, model_validator

from kmerit.config import Several, Table
from kmerit.data.backgrounds import Background
from kmerit.data.composition import Composition
from kmerit.data.motifs import Motif
from kmerit.draws import generator
from kmerit.errors import SequenceError
from kmerit.sequence import Strands, dinucleotide_shuffle, gc_count
from kmerit.types import Bool, Floats, Int8, Sequences

Regime = Literal["localised", "and", "or", "spacing", "composition"]
Windows = Literal["shuffled", "real"]
Negatives = Literal["random", "gc_matched", "shuffled"]
Unit = Literal["base", "dinucleotide"]
Rows = Annotated[int, Field(ge=2, multiple_of=2)]
"""Of a split: half of each class."""
MOTIFS = {"localised": 1, "and": 2, "or": 2, "spacing": 2, "composition": 0}
"""How many motifs each regime takes."""
_TRIES = 500
_CANDIDATES = 32
"""Number of candidates from which a GC-matched negative is chosen."""


class Planting(Table):
    """What determines a planted data set.

    Attributes:
        regime: What makes class 1. ``localised``: one motif. ``and``: both motifs; class 0 holds exactly one.
            ``or``: one or both; class 0 holds none. ``spacing``: the second motif begins ``distance`` nt behind the
            end of the first; in class 0 both are there at other distances. ``composition``: other frequencies of
            letters (or dinucleotides) everywhere.
        motifs: Names or identifiers in the MEME file.
        meme: The MEME file; by default the one that comes with kmerit.
        length: Of the sequences, in nucleotides.
        train: Sequences in the training split, half of each class; likewise the others.
        validation: As ``train``.
        test: As ``train``.
        background: ``shuffled``: real windows with their dinucleotides shuffled; ``real``: real windows.
        source: A task (its class 0), or a file of sequences, to cut windows from.
        negatives: ``random``: other windows; ``gc_matched``: of 32 the one whose GC content is nearest to the
            positive's; ``shuffled``: the positive with its dinucleotides shuffled.
        match: Share of a motif's highest score from which letters count as the motif, planted or by chance.
        strands: ``forward``, or ``both``: every motif on a strand drawn.
        distance: ``spacing``: nucleotides between the motifs in class 1.
        apart: ``spacing``: by how much the distance in class 0 differs at least.
        unit: ``composition``: ``base`` or ``dinucleotide``.
        strength: ``composition``: standard deviation of the log-odds in nats.
        seed: Of everything drawn.

    Example:
        >>> planting = Planting(regime="and", motifs=("USF1", "NFYA"), negatives="gc_matched", train=200)
        >>> planting.length, planting.background, planting.test
        (100, 'shuffled', 500)
    """

    regime: Regime
    motifs: Several[str] = ()
    meme: str | None = None
    length: PositiveInt = 100
    train: Rows = 8000
    validation: Rows = 500
    test: Rows = 500
    background: Windows = "shuffled"
    source: str = "epdnew_nontata"
    negatives: Negatives = "random"
    match: Annotated[float, Field(gt=0, le=1)] = 0.7
    strands: Strands = "forward"
    distance: NonNegativeInt = 6
    apart: PositiveInt = 4
    unit: Unit = "base"
    strength: PositiveFloat = 0.4
    seed: NonNegativeInt = 0

    @model_validator(mode="after")
    def _motifs_fit_the_regime(self) -> Self:
        if len(self.motifs) != MOTIFS[self.regime] or len(set(self.motifs)) != len(self.motifs):
            raise ValueError(
                f"motifs: {self.regime} takes {MOTIFS[self.regime]} different motifs, got {len(self.motifs)}: "
                f"{', '.join(self.motifs) or 'none'}. Name them with motifs (--motifs)"
            )
        if self.regime == "composition" and self.negatives != "random":
            raise ValueError(
                f"negatives = {self.negatives!r} would have the composition that class 1 differs by. Use 'random'"
            )
        return self


class Placement(NamedTuple):
    """Where a motif was planted: its identifier, its first position, its strand."""

    motif: str
    start: int
    strand: str


@dataclass(frozen=True, eq=False)
class Planted:
    """A split with its truth; all arrays are ``[sequence, position]``.

    Attributes:
        sequences: With classes 0 and 1 as labels, in turn.
        mask: Letters that belong to a planted motif.
        log_odds: ``composition``: what each letter adds to the log-odds of class 1, in nats; else None.
        background: What was there before anything was planted.
        scrubbed: The nearest sequence of class 0: ``localised``, ``or``: the background restored under the motifs;
            ``and``: under one of them, drawn; ``spacing``: the second motif moved to another distance;
            ``composition``: redrawn as class 0. Of a negative: itself.
        placements: Per sequence.
    """

    sequences: Sequences
    mask: Bool
    log_odds: Floats | None
    background: Int8
    scrubbed: Int8
    placements: tuple[tuple[Placement, ...], ...]


class _Row(NamedTuple):
    bases: Int8
    background: Int8
    placements: tuple[Placement, ...]
    scrubbed: Int8


def plant_split(
    planting: Planting, split: str, rows: int, background: Background, motifs: Mapping[str, Motif]
) -> Planted:
    """Make one split; row by row, each from its own generator.

    Args:
        planting: What determines it.
        split: Its name: with the seed and a row's number it determines what is drawn.
        rows: How many, half of each class.
        background: Where windows come from.
        motifs: Those of the planting, by its names for them, in order.

    Raises:
        SequenceError: The motifs do not fit into the length, or occur by chance in nearly every window.
    """
    names = [f"{split}{i}" for i in range(rows)]
    if planting.regime == "composition":
        composition = Composition.tilted(background, planting.unit, planting.strength, planting.seed)
        bases, original, scrubbed = composition.draw_rows(names, planting.length, planting.seed)
        mask = np.zeros(bases.shape, dtype=np.bool_)
        sequences = _labelled(names, bases)
        return Planted(sequences, mask, composition.log_odds(bases), original, scrubbed, ((),) * rows)
    planter = Planter(planting, background, tuple(motifs.values()))
    planted_rows: list[_Row] = []
    for i in range(0, rows, 2):
        negative_rng, positive_rng = (generator(planting.seed, "plant", 0, name) for name in names[i : i + 2])
        positive = planter.positive(positive_rng)
        planted_rows += [planter.negative(negative_rng, positive), positive]
    width = {motif.identifier: len(motif) for motif in motifs.values()}
    mask = np.zeros((rows, planting.length), dtype=np.bool_)
    for line, row in zip(mask, planted_rows, strict=True):
        for placement in row.placements:
            line[placement.start : placement.start + width[placement.motif]] = True
    return Planted(
        _labelled(names, np.stack([row.bases for row in planted_rows])),
        mask,
        None,
        np.stack([row.background for row in planted_rows]),
        np.stack([row.scrubbed for row in planted_rows]),
        tuple(row.placements for row in planted_rows),
    )


def _labelled(names: list[str], bases: Int8) -> Sequences:
    rows, length = bases.shape
    return Sequences(tuple(names), bases.ravel(), np.arange(rows + 1) * length, np.arange(rows) % 2)


class Planter:
    """Makes positives and negatives of one planting.

    A sequence is kept only if its motifs' matches, on either strand, are exactly those that were planted: so no
    negative holds a motif by chance, and no positive a second one.
    """

    def __init__(self, planting: Planting, background: Background, motifs: tuple[Motif, ...]) -> None:
        self.planting, self.source, self.motifs = planting, background, motifs
        self.room = planting.length - sum(len(motif) for motif in motifs)
        least = planting.distance + planting.apart if planting.regime == "spacing" else 0
        if self.room < least:
            raise SequenceError(
                f"{', '.join(m.name for m in motifs)} and {least} nt between them do not fit in {planting.length} "
                f"nt. Raise length (--length)."
            )

    def positive(self, rng: np.random.Generator) -> _Row:
        """Make a sequence of class 1, and its nearest of class 0."""
        for _ in range(_TRIES):
            window = self.source.draw(rng)
            which = self._positive_motifs(rng)
            letters = [self._letters(i, rng) for i in which]
            starts = self._starts(which, rng, positive=True)
            row = self._build(window, which, letters, starts)
            scrubbed = None if row is None else self._scrub(window, which, letters, starts, rng)
            if row is not None and scrubbed is not None:
                return row._replace(scrubbed=scrubbed)
        raise self._too_common()

    def negative(self, rng: np.random.Generator, positive: _Row) -> _Row:
        """Make the negative of a positive."""
        gc, tries = int(gc_count(positive.bases)), _CANDIDATES if self.planting.negatives == "gc_matched" else 1
        for _ in range(_TRIES):
            candidates = [self._candidate(rng, positive) for _ in range(tries)]
            for row in sorted(candidates, key=lambda made: abs(int(gc_count(made.bases)) - gc)):
                if self._as_planted(row):
                    return row
        raise self._too_common()

    def _candidate(self, rng: np.random.Generator, positive: _Row) -> _Row:
        shuffled = self.planting.negatives == "shuffled"
        window = dinucleotide_shuffle(positive.bases, rng) if shuffled else self.source.draw(rng)
        which = self._negative_motifs(rng)
        return self._put(
            window, which, [self._letters(i, rng) for i in which], self._starts(which, rng, positive=False)
        )

    def _positive_motifs(self, rng: np.random.Generator) -> list[int]:
        if self.planting.regime == "or":
            return [[0], [1], [0, 1]][int(rng.integers(3))]
        return list(range(len(self.motifs)))

    def _negative_motifs(self, rng: np.random.Generator) -> list[int]:
        regime = self.planting.regime
        return {"and": [int(rng.integers(2))], "spacing": [0, 1]}.get(regime, [])

    def _letters(self, which: int, rng: np.random.Generator) -> tuple[Int8, str]:
        letters = self.motifs[which].draw(rng, self.planting.match)
        turned = self.planting.strands == "both" and rng.random() < 0.5
        return (np.asarray(3 - letters[::-1], dtype=np.int8), "-") if turned else (letters, "+")

    def _starts(self, which: list[int], rng: np.random.Generator, positive: bool) -> list[int]:
        """Draw first positions; motifs never overlap."""
        widths = [len(self.motifs[i]) for i in which]
        if self.planting.regime == "spacing":
            gap = self.planting.distance if positive else self._other_distance(rng)
            first = int(rng.integers(self.room - gap + 1))
            return [first, first + widths[0] + gap]
        order = rng.permutation(len(which))
        cuts = np.sort(rng.integers(0, self.planting.length - sum(widths) + 1, size=len(which)))
        starts, before = [0] * len(which), 0
        for offset, i in zip(cuts, order, strict=True):
            starts[int(i)] = int(offset) + before
            before += widths[int(i)]
        return starts

    def _other_distance(self, rng: np.random.Generator) -> int:
        return int(rng.choice([gap for gap in range(self.room + 1) if self._elsewhere(gap)]))

    def _build(self, window: Int8, which: list[int], letters: list[tuple[Int8, str]], starts: list[int]) -> _Row | None:
        """Put letters into a window; None if a motif matches anywhere else."""
        row = self._put(window, which, letters, starts)
        return row if self._as_planted(row) else None

    def _put(self, window: Int8, which: list[int], letters: list[tuple[Int8, str]], starts: list[int]) -> _Row:
        bases = window.copy()
        for (word, _), start in zip(letters, starts, strict=True):
            bases[start : start + word.size] = word
        placements = [
            Placement(self.motifs[i].identifier, start, strand)
            for i, (_, strand), start in zip(which, letters, starts, strict=True)
        ]
        return _Row(bases, window, tuple(placements), bases)

    def _as_planted(self, row: _Row) -> bool:
        """Return whether every motif matches where it was planted and nowhere else."""
        return all(
            np.flatnonzero(motif.hits(row.bases, self.planting.match)).tolist()
            == [each.start for each in row.placements if each.motif == motif.identifier]
            for motif in self.motifs
        )

    def _scrub(
        self,
        window: Int8,
        which: list[int],
        letters: list[tuple[Int8, str]],
        starts: list[int],
        rng: np.random.Generator,
    ) -> Int8 | None:
        """Make the nearest sequence of class 0 on the same window; None if a motif matches in it by chance."""
        if self.planting.regime == "and":
            keeper = int(rng.integers(2))
            row = self._build(window, [which[keeper]], [letters[keeper]], [starts[keeper]])
        elif self.planting.regime == "spacing":
            new_starts = self._moved(starts, rng)
            row = None if new_starts is None else self._build(window, which, letters, new_starts)
        else:
            row = self._build(window, [], [], [])
        return None if row is None else row.bases

    def _moved(self, starts: list[int], rng: np.random.Generator) -> list[int] | None:
        """Leave the first motif where it is and move the second; the other way round where only that is possible."""
        first, second = starts
        end, width = first + len(self.motifs[0]), len(self.motifs[1])
        places = [[first, at] for at in range(end, self.planting.length - width + 1) if self._elsewhere(at - end)]
        if not places:
            behind = second - len(self.motifs[0])
            places = [[at, second] for at in range(behind + 1) if self._elsewhere(behind - at)]
        return places[int(rng.integers(len(places)))] if places else None

    def _elsewhere(self, gap: int) -> bool:
        return abs(gap - self.planting.distance) >= self.planting.apart

    def _too_common(self) -> SequenceError:
        names = ", ".join(motif.name for motif in self.motifs)
        return SequenceError(
            f"{names}: in {_TRIES} windows of {self.planting.length} nt a motif always matched by chance as well, at "
            f"{self.planting.match:.0%} of the highest score. Raise match (--match), or take longer motifs."
        )
