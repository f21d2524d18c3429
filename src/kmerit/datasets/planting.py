"""Planted truth: sequences whose label has a known cause."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple, Self, overload

import numpy as np
from pydantic import Field, NonNegativeInt, PositiveFloat, PositiveInt, model_validator

from kmerit.config import Several, Table
from kmerit.datasets.similarity import in_validation
from kmerit.datasets.task import SPLITS, load_task, tasks
from kmerit.errors import FormatError, RunMismatch, SequenceError
from kmerit.formats import Shown, percent
from kmerit.io.motifs import Motif, bundled_motifs, find_motif, read_motifs
from kmerit.io.readers import read_sequences, write_sequences
from kmerit.io.tables import read_parquet
from kmerit.sequences import (
    Bool,
    Floats,
    Int8,
    Int64,
    N,
    Sequences,
    Strands,
    decode,
    dinucleotide_shuffle,
    encode,
    gc_count,
    generator,
    kmers,
)
from kmerit.store import (
    altered,
    atomic_write,
    hold,
    put_together,
    refuse_other,
    replaceable,
    settle,
    sha256,
    staged,
    sums,
    write_json,
)

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, eq=False)
class Background:
    """Source of windows.

    Attributes:
        sources: Sequences without N, of at least the windows' length.
        length: Of the windows, in nucleotides.
        shuffled: Whether their dinucleotides are shuffled.
    """

    sources: Sequences
    length: int
    shuffled: bool

    def draw(self, generator: np.random.Generator) -> Int8:
        """Draw a window, ``int8 [position]``."""
        row = int(generator.integers(len(self.sources)))
        start = int(self.sources.offsets[row] + generator.integers(self.sources.lengths[row] - self.length + 1))
        window = self.sources.bases[start : start + self.length]
        return dinucleotide_shuffle(window, generator) if self.shuffled else window.copy()

    def frequencies(self) -> tuple[Floats, Floats]:
        """Count letters and dinucleotides of all sources.

        Returns:
            Shares ``[base]``, and of each letter the shares of the next one, ``[base, next]``. One is added to each
            count.
        """
        singles = np.bincount(self.sources.bases, minlength=4)[:4] + 1.0
        pairs = np.ones((4, 4))
        for bases in self.sources.rows():
            pairs += np.bincount(kmers(bases, 2), minlength=16).reshape(4, 4)
        return singles / singles.sum(), pairs / pairs.sum(axis=1, keepdims=True)


def read_backgrounds(source: str, length: int, shuffled: bool) -> dict[str, Background]:
    """Read sources of windows, separate for each split, so that windows of different splits never overlap.

    Args:
        source: Name of a task, whose class 0 is taken from its own splits; or a file of sequences, of which a tenth
            each goes to validation and test by the hash of their names.
        length: Of the windows, in nucleotides.
        shuffled: Whether their dinucleotides are shuffled.

    Returns:
        By split: ``train``, ``validation``, ``test``.

    Raises:
        SequenceError: No sequence of a split is long enough and without N.
        FormatError: The file cannot be read.

    Example:
        >>> backgrounds = read_backgrounds("human_enhancers_dedup", 100, shuffled=False)
        >>> backgrounds["test"].draw(np.random.default_rng(0)).shape
        (100,)
    """
    backgrounds = {}
    for split, sequences in _by_split(source).items():
        usable = [i for i, bases in enumerate(sequences.rows()) if bases.size >= length and not (bases == N).any()]
        if not usable:
            raise SequenceError(
                f"{source}, {split}: none of {len(sequences)} sequences has {length} nt without N to plant in. "
                f"Provide more or longer ones (--source), or a smaller --length."
            )
        backgrounds[split] = Background(sequences.take(usable), length, shuffled)
    return backgrounds


def source_digest(source: str) -> str:
    """Identify a source: a task by its checksums, a file by its sha256."""
    return source if source in tasks() else sha256(Path(source))


def _by_split(source: str) -> dict[str, Sequences]:
    if source in tasks():
        parts = {split: load_task(source, split) for split in SPLITS}
        return {split: part.take(np.asarray(part.labels) == 0) for split, part in parts.items()}
    whole = read_sequences(source)
    test = np.array([in_validation(f"test {name}") for name in whole.names], dtype=np.bool_)
    validation = np.array([in_validation(f"validation {name}") for name in whole.names], dtype=np.bool_) & ~test
    return {"train": whole.take(~test & ~validation), "validation": whole.take(validation), "test": whole.take(test)}


@dataclass(frozen=True, eq=False)
class Composition:
    """Two first-order Markov chains over the letters.

    Attributes:
        first: Per class the shares of the first letter, ``[class, base]``; of dinucleotides alike in both.
        following: Per class the shares of the next letter, ``[class, base, next]``; where the letters are
            independent, all rows of a class are alike.
        pairs: Whether the shares depend on the letter before.
    """

    first: Floats
    following: Floats
    pairs: bool

    @classmethod
    def tilted(cls, background: Background, unit: str, strength: float, seed: int) -> Composition:
        """Make class 0 of the background, and class 1 of it tilted by random log-odds.

        Args:
            background: Whose frequencies class 0 has.
            unit: ``"base"`` or ``"dinucleotide"``.
            strength: Standard deviation of the tilt in class 0, in nats.
            seed: Of the tilt.
        """
        singles, conditional = background.frequencies()
        pairs = unit == "dinucleotide"
        zero = conditional if pairs else np.broadcast_to(singles, (4, 4))
        tilt = generator(seed, "tilt", 0, unit).normal(size=(4, 4) if pairs else (1, 4))
        tilt = np.broadcast_to(tilt, (4, 4))
        mean = (zero * tilt).sum(axis=1, keepdims=True)
        spread = np.sqrt((singles[:, None] * zero * (tilt - mean) ** 2).sum())
        one = zero * np.exp(tilt / spread * strength)
        one = one / one.sum(axis=1, keepdims=True)
        first = np.stack([singles, singles if pairs else one[0]])
        return cls(first, np.stack([zero, one]), pairs)

    @property
    def table(self) -> Floats:
        """Log-odds of class 1 against class 0 for a letter after another, in nats, ``[base, next]``."""
        return np.asarray(np.log(self.following[1] / self.following[0]))

    def log_odds(self, bases: Int8) -> Floats:
        """Return what each nucleotide adds to the log-odds of class 1, in nats.

        A dinucleotide's log-odds is shared by its two letters. Over a sequence they sum to its log-likelihood ratio.

        Args:
            bases: ``[sequence, position]``.
        """
        following = self.table[bases[:, :-1], bases[:, 1:]]
        shares = np.zeros(bases.shape)
        shares[:, 0] = np.log(self.first[1] / self.first[0])[bases[:, 0]]
        shares[:, 1:] = following / 2 if self.pairs else following
        if self.pairs:
            shares[:, :-1] += following / 2
        return shares

    def draw(self, label: int, length: int, rng: np.random.Generator) -> Int8:
        """Draw a sequence of a class, ``int8 [position]``."""
        upto = np.cumsum(self.following[label], axis=1)[:, :3]
        uniform = rng.random(length)
        bases = [int((uniform[0] >= np.cumsum(self.first[label])[:3]).sum())]
        for u in uniform[1:].tolist():
            bases.append(int((u >= upto[bases[-1]]).sum()))
        return np.array(bases, dtype=np.int8)

    def draw_rows(self, names: Sequence[str], length: int, seed: int) -> tuple[Int8, Int8, Int8]:
        """Draw sequences of class 0 and 1, alternating.

        Returns:
            The sequences; for class 1 a sequence of class 0 that stands for what was there before, and another that
            stands for the scrubbed one; for class 0 the sequence itself. All ``[sequence, position]``.
        """
        rows = []
        for i, name in enumerate(names):
            rng = generator(seed, "composition", 0, name)
            own = self.draw(i % 2, length, rng)
            rows.append((own, self.draw(0, length, rng), self.draw(0, length, rng)) if i % 2 else (own, own, own))
        bases, background, scrubbed = (np.stack(part) for part in zip(*rows, strict=True))
        return bases, background, scrubbed


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
class Planted(Shown):
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
        widths: Of the planted motifs in nt, by identifier.
    """

    sequences: Sequences
    mask: Bool
    log_odds: Floats | None
    background: Int8
    scrubbed: Int8
    placements: tuple[tuple[Placement, ...], ...]
    widths: Mapping[str, int] = field(default_factory=dict)

    def __repr__(self) -> str:
        return f"<Planted: {len(self.sequences)} sequences, {sum(map(len, self.placements))} motifs>"

    def to_frame(self) -> pd.DataFrame:
        """Return a row per planted motif: ``name`` of the sequence, ``motif``, ``start``, ``end``, ``strand``.

        Positions are 0-based, half-open.
        """
        import pandas as pd

        rows = [
            (name, motif, start, start + self.widths[motif], strand)
            for name, placements in zip(self.sequences.names, self.placements, strict=True)
            for motif, start, strand in placements
        ]
        return pd.DataFrame(rows, columns=["name", "motif", "start", "end", "strand"])

    def take(self, rows: Int64) -> Planted:
        """Select sequences by index, in the given order."""
        return Planted(
            self.sequences.take(rows),
            self.mask[rows],
            None if self.log_odds is None else self.log_odds[rows],
            self.background[rows],
            self.scrubbed[rows],
            tuple(self.placements[i] for i in rows),
            self.widths,
        )

    def motif_masks(self) -> dict[str, Bool]:
        """Return each motif's own mask, ``bool [sequence, position]``, by identifier.

        Example:
            >>> import tempfile
            >>> planting = Planting(regime="and", motifs=("USF1", "NFYA"), train=2, validation=2, test=4)
            >>> truth = read_planted(plant(planting, out=tempfile.mkdtemp()), "test")
            >>> [mask.sum(axis=1).tolist() for mask in truth.motif_masks().values()]
            [[10, 10, 10, 10], [0, 8, 0, 8]]
        """
        masks = {motif: np.zeros(self.mask.shape, dtype=np.bool_) for motif in self.widths}
        for i, placements in enumerate(self.placements):
            for motif, start, _ in placements:
                masks[motif][i, start : start + self.widths[motif]] = True
        return masks


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
        width,
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
            for row in sorted(candidates, key=lambda candidate: abs(int(gc_count(candidate.bases)) - gc)):
                if self._as_planted(row):
                    return row
        raise self._too_common()

    def _candidate(self, rng: np.random.Generator, positive: _Row) -> _Row:
        shuffled = self.planting.negatives == "shuffled"
        window = dinucleotide_shuffle(positive.bases, rng) if shuffled else self.source.draw(rng)
        motifs = self._negative_motifs(rng)
        return self._put(
            window, motifs, [self._letters(i, rng) for i in motifs], self._starts(motifs, rng, positive=False)
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
        reverse = self.planting.strands == "both" and rng.random() < 0.5
        return (np.asarray(3 - letters[::-1], dtype=np.int8), "-") if reverse else (letters, "+")

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
            f"{percent(self.planting.match)} of the highest score. Raise match (--match), or take longer motifs."
        )


MANIFEST = "manifest.json"
_FILES = tuple(f"{split}{kind}.parquet" for split in SPLITS for kind in ("", ".truth"))
_TRUTH = ("name", "label", "mask", "log_odds", "background", "scrubbed", "motifs")


@overload
def plant(planting: Planting, *, out: None = None) -> dict[str, Planted]: ...


@overload
def plant(planting: Planting, *, out: str | Path) -> Path: ...


def plant(planting: Planting, *, out: str | Path | None = None) -> dict[str, Planted] | Path:
    """Generate labelled sequences with known ground truth.

    Args:
        planting: What determines them; equal plantings give equal bytes.
        out: A folder to write to: ``train.parquet``, ``validation.parquet``, ``test.parquet`` (sequences and labels),
            ``train.truth.parquet`` and so on, and ``manifest.json``, which comes last.

    Returns:
        By split, or with ``out`` the folder.

    Raises:
        UnknownName: A motif that is not in the file.
        SequenceError: Motifs that do not fit, or that occur by chance everywhere.
        FormatError: A file that cannot be read, or a file in the folder that was changed.
        RunMismatch: The folder holds another planted set.

    Example:
        >>> import kmerit as km
        >>> planted = km.plant(km.Planting(regime="localised", motifs=("CTCF",), train=2, validation=2, test=2))
        >>> planted["test"].sequences.labels.tolist(), planted["test"].mask.sum(axis=1).tolist()
        ([0, 1], [0, 15])
    """
    available = read_motifs(planting.meme) if planting.motifs else {}
    motifs = {name: find_motif(available, name) for name in planting.motifs}
    manifest = _manifest(planting, motifs)
    if out is None:
        return _planted(planting, motifs)
    with hold(out):
        return _write(planting, motifs, manifest, Path(out))


def _planted(planting: Planting, motifs: Mapping[str, Motif]) -> dict[str, Planted]:
    backgrounds = read_backgrounds(planting.source, planting.length, planting.background == "shuffled")
    rows = {split: getattr(planting, split) for split in SPLITS}
    return {split: plant_split(planting, split, rows[split], backgrounds[split], motifs) for split in SPLITS}


def _write(planting: Planting, motifs: Mapping[str, Motif], manifest: dict[str, Any], folder: Path) -> Path:
    """Write the files, all at once, unless they are there."""
    old_sums = _sums(folder, manifest)
    is_own = lambda name: name in _FILES  # noqa: E731 - what a planted set is made of
    if replaceable(folder, "planted set", is_own, old_sums) == sorted(_FILES):
        settle(folder / MANIFEST, {**manifest, "files": old_sums})
        return folder
    with staged(folder, lambda name: name in (*_FILES, MANIFEST)) as place:
        for split, part in _planted(planting, motifs).items():
            write_sequences(part.sequences, place / f"{split}.parquet")
            _write_truth(part, place / f"{split}.truth.parquet")
        files = sums(place, _FILES)
        write_json(place / MANIFEST, {**manifest, "files": files})
        put_together(place, folder, [*replaceable(folder, "planted set", is_own, old_sums, files), MANIFEST], MANIFEST)
    return folder


def _manifest(planting: Planting, motifs: Mapping[str, Motif]) -> dict[str, Any]:
    return {
        "planting": planting.model_dump(mode="json"),
        "motifs": [{"identifier": m.identifier, "name": m.name, "nt": len(m)} for m in motifs.values()],
        "meme_sha256": sha256(Path(planting.meme or bundled_motifs())) if motifs else None,
        "source": source_digest(planting.source),
        "versions": {name: version(name) for name in ("kmerit", "numpy")},
    }


def _sums(folder: Path, manifest: dict[str, Any] | None = None) -> dict[str, str]:
    """Read the sums of the files that are there; refuse those of another planting than that of ``manifest``."""
    path = folder / MANIFEST
    if not path.is_file():
        return {}
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        files = dict(record.pop("files"))
    except (ValueError, TypeError, KeyError, AttributeError):
        raise RunMismatch(
            f"{path} is not of a planted set, or damaged. Choose another folder with --out (Python: out=)."
        ) from None
    if manifest is not None:
        refuse_other(folder, "another planted set", record, json.loads(json.dumps(manifest)))
    return files


def _write_truth(part: Planted, path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet

    table = pa.table(
        {
            "name": pa.array(part.sequences.names),
            "label": pa.array(part.sequences.labels),
            "mask": pa.array(part.mask.tolist(), pa.list_(pa.bool_())),
            "log_odds": pa.array(
                [None] * len(part.mask) if part.log_odds is None else part.log_odds.tolist(), pa.list_(pa.float64())
            ),
            "background": pa.array([decode(bases) for bases in part.background]),
            "scrubbed": pa.array([decode(bases) for bases in part.scrubbed]),
            "motifs": pa.array(
                [[placement._asdict() for placement in placements] for placements in part.placements],
                pa.list_(pa.struct({"motif": pa.string(), "start": pa.int32(), "strand": pa.string()})),
            ),
        }
    )
    with atomic_write(path) as temporary:
        pa.parquet.write_table(table, temporary, compression="zstd")


def read_planted(folder: str | Path, split: str) -> Planted:
    """Read a split, and its truth, of what :func:`plant` wrote.

    Raises:
        FormatError: A file is missing or is not one of a planted set.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = plant(Planting(regime="composition", train=2, validation=2, test=4), out=folder)
        ...     read_planted(path, "test").log_odds.shape
        (4, 100)
    """
    folder = Path(folder)
    sums = {name: digest for name, digest in _sums(folder).items() if name.split(".")[0] == split}
    if changed_files := altered(folder, sums):
        raise FormatError(f"{folder / changed_files[0]}: changed since it was planted, or missing. Plant again.")
    sequences = read_sequences(folder / f"{split}.parquet")
    path = folder / f"{split}.truth.parquet"
    table, _ = read_parquet(path)
    if missing := [column for column in _TRUTH if column not in table.column_names]:
        raise FormatError(f"{path}: no truth of a planted set; it has no column {missing[0]!r}. Plant again.")
    if tuple(table["name"].to_pylist()) != sequences.names:
        raise FormatError(f"{path}: its names are not those of {split}.parquet. Plant again.")
    if not (folder / MANIFEST).is_file():
        raise FormatError(f"{folder}: has no {MANIFEST}, which names the motifs. Plant again.")
    manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    log_odds = table["log_odds"]
    return Planted(
        sequences,
        np.array(table["mask"].to_pylist(), dtype=np.bool_),
        None if log_odds.null_count else _floats(log_odds.to_pylist()),
        _bases(table["background"].to_pylist()),
        _bases(table["scrubbed"].to_pylist()),
        tuple(tuple(Placement(**each) for each in motifs) for motifs in table["motifs"].to_pylist()),
        {motif["identifier"]: motif["nt"] for motif in manifest["motifs"]},
    )


def _floats(rows: list[list[float]]) -> Floats:
    return np.array(rows, dtype=np.float64)


def _bases(rows: list[str]) -> Int8:
    return np.stack([encode(row) for row in rows])
