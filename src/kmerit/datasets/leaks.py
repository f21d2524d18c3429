"""Leaks planted on purpose: training rows give way to copies of test rows, or to windows that overlap them."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import Literal, NamedTuple

import numpy as np
from pydantic import Field

from kmerit.config import Table
from kmerit.datasets.similarity import without_shared
from kmerit.datasets.task import find_task, load_task
from kmerit.errors import ConfigError, FormatError, LabelError
from kmerit.io.crops import prepare, sample_per_class
from kmerit.io.genome import locate
from kmerit.io.readers import read_sequences
from kmerit.sequences import Int64, Sequences, reverse_complement

_CLASSES = np.dtype(np.int64)
NEAREST, FARTHEST = 25, 125
"""Distance in nucleotides between the start of a planted neighbour and that of its test row."""
WATCHED = 100
"""Validation rows of each class: they show how training goes, and choose nothing."""


class LeakingTask(Table):
    """A task, and how its test rows leak."""

    task: str
    leaks: Literal["copies", "overlaps"]
    share: float = Field(0.755, gt=0, le=1, description="of each class's test rows that leak, where it leaks")
    train_min_length: int | None = Field(None, ge=1, description="nucleotides; that of the test rows by default")
    train_rows: int | None = Field(None, ge=2, description="of both classes together; all there are by default")
    test_per_class: int | None = Field(None, ge=1, description="all there are by default")
    corpus: list[str] = Field([], description="FASTA that windows are cut out of; for overlaps")


class LeakingRows(NamedTuple):
    """Rows before anything leaks, and what may leak: see `plant_leaks`.

    Attributes:
        train: Whole sequences.
        validation: Cropped as the task says.
        test: Likewise.
        leaks: Whole sequences.
    """

    train: Sequences
    validation: Sequences
    test: Sequences
    leaks: Sequences


def leaking_rows(config: LeakingTask, seed: int) -> LeakingRows:
    """Gather the rows of a task, none of which leaks, and draw what may leak.

    Args:
        config: Which rows, and which leaks.
        seed: Of the rows and of the leaks.

    Raises:
        ConfigError: Overlaps without a corpus.
        FormatError: Too few test rows are found in the corpus.

    Example:
        >>> few = LeakingTask(task="ienhancer_2l", leaks="copies", train_rows=8, test_per_class=4)
        >>> [len(rows) for rows in leaking_rows(few, seed=0)]
        [8, 200, 8, 6]
    """
    task = find_task(config.task)
    least = {"train": config.train_min_length or task.min_length}
    train, validation, test = (
        prepare(load_task(task, split), min_length=least.get(split, task.min_length), drop_n=task.drop_n)[0]
        for split in ("train", "validation", "test")
    )
    if config.leaks == "copies":
        test = _drawn(test, config.test_per_class, seed)
        leaks = test.take(draw_leaking(test, config.share, seed))
    elif not config.corpus:
        raise ConfigError("leaks = 'overlaps' needs a corpus to cut windows out of: corpus = ['genome.fa.gz'].")
    else:
        pieces = _joined([read_sequences(path, case="upper") for path in config.corpus])
        # Few positives lie in the corpus: those of the training split are tested on, too, and nothing like them stays.
        pool = _joined([test, train])
        test = _drawn(pool.take(placed(pool, pieces)), config.test_per_class, seed)
        train = train.take(~np.isin(train.names, test.names))
        validation = without_shared(validation, test)
        leaks = overlapping_windows(test.take(draw_leaking(test, config.share, seed)), pieces, seed)
    validation = _drawn(validation, WATCHED, seed)
    train = _drawn(without_shared(train, test), config.train_rows and config.train_rows // 2, seed)
    validation, test = (prepare(rows, crop=task.crop, drop_n=False)[0] for rows in (validation, test))
    return LeakingRows(train, validation, test, leaks)


def _drawn(rows: Sequences, per_class: int | None, seed: int) -> Sequences:
    return rows if per_class is None else sample_per_class(rows, per_class, seed)


def _joined(parts: Sequence[Sequences]) -> Sequences:
    """Put sequences end to end; loci are left out."""
    return replace(Sequences.concat(parts), loci=None)


def plant_leaks(train: Sequences, leaks: Sequences, classes: Collection[int], seed: int) -> Sequences:
    """Put leaks of some classes in place of training rows of the same class.

    Which rows give way depends on class and seed alone: what one class's leaks replace is the same whether or not
    another class leaks, too. The size and the classes' shares stay.

    Args:
        train: With classes as labels.
        leaks: What is planted, labelled; only those of ``classes`` are.
        classes: Which leak.
        seed: Of the draw.

    Returns:
        Rows in the order of ``train``; planted ones are called ``leak/NAME``.

    Raises:
        LabelError: No classes as labels, or more leaks than rows of their class.

    Example:
        >>> train = Sequences.from_strings(["AAAA", "CCCC"], labels=[0, 1], names=["a", "b"])
        >>> leak = Sequences.from_strings(["GGGG"], labels=[1], names=["t"])
        >>> plant_leaks(train, leak, [1], seed=0).names
        ('a', 'leak/t')
    """
    if train.labels is None or leaks.labels is None or {train.labels.dtype, leaks.labels.dtype} != {_CLASSES}:
        raise LabelError("Planting leaks needs classes as labels, of training rows and of leaks.")
    strings, names = train.strings(), list(train.names)
    loci = None if train.loci is None else list(train.loci)
    for label in sorted(classes):
        own = np.flatnonzero(train.labels == label)
        new = np.flatnonzero(leaks.labels == label)
        if new.size > own.size:
            raise LabelError(f"{new.size} leaks of class {label} cannot replace {own.size} training rows of it.")
        replaced_rows = np.random.default_rng([seed, label]).permutation(own)[: new.size]
        for row, leak in zip(replaced_rows.tolist(), new.tolist(), strict=True):
            strings[row], names[row] = leaks.string(leak), f"leak/{leaks.names[leak]}"
            if loci is not None:
                loci[row] = None if leaks.loci is None else leaks.loci[leak]
    return Sequences.from_strings(strings, train.labels.copy(), names, loci)


def draw_leaking(test: Sequences, share: float, seed: int) -> Int64:
    """Choose the test rows that leak: of every class the same share.

    Raises:
        LabelError: No classes as labels.

    Example:
        >>> draw_leaking(Sequences.from_strings(["AA", "CC", "GG", "TT"], labels=[0, 0, 1, 1]), 0.5, seed=0).size
        2
    """
    if test.labels is None or test.labels.dtype != _CLASSES:
        raise LabelError("Planting leaks needs classes as labels.")
    drawn_rows = []
    for label in np.unique(test.labels).tolist():
        own = np.flatnonzero(test.labels == label)
        drawn_rows.append(np.random.default_rng([seed, label]).permutation(own)[: round(share * own.size)])
    return np.sort(np.concatenate(drawn_rows))


def placed(sequences: Sequences, pieces: Sequences) -> Int64:
    """List the sequences that are found in pieces of a genome with room next to them for a neighbour.

    Example:
        >>> placed(Sequences.from_strings(["ACGTTGCA" * 5]), Sequences.from_strings(["T" * 90])).tolist()
        []
    """
    place, _ = locate(sequences, pieces)
    room = [i for i in np.flatnonzero(place >= 0) if _shifts(sequences, pieces, place, int(i)).size]
    return np.array(room, dtype=np.int64)


def overlapping_windows(sequences: Sequences, pieces: Sequences, seed: int) -> Sequences:
    """Cut, for each sequence, a window of the same length and strand that overlaps it out of pieces of a genome.

    Args:
        sequences: Each lies in the pieces, letter for letter.
        pieces: Of a genome.
        seed: Of the shifts, 25 to 125 nt to either side.

    Raises:
        FormatError: One does not lie there, or has no room next to it.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> text = "".join(rng.choice(list("ACGT"), 300))
        >>> window = overlapping_windows(Sequences.from_strings([text[100:200]]), Sequences.from_strings([text]), 0)
        >>> window.string(0) in text, window.names
        (True, ('beside/seq0',))
    """
    rng = np.random.default_rng(seed)
    place, strand = locate(sequences, pieces)
    parts = []
    for i in range(len(sequences)):
        shifts = _shifts(sequences, pieces, place, i) if place[i] >= 0 else np.zeros(0, dtype=np.int64)
        if not shifts.size:
            raise FormatError(f"{sequences.names[i]!r} is not in the genome, or has no room next to it.")
        start = int(place[i] + rng.choice(shifts))
        bases = pieces.bases[start : start + int(sequences.lengths[i])]
        parts.append(bases if strand[i] > 0 else reverse_complement(bases))
    names = tuple(f"beside/{name}" for name in sequences.names)
    labels = None if sequences.labels is None else sequences.labels.copy()
    return Sequences(names, np.concatenate(parts), sequences.offsets.copy(), labels)


def _shifts(sequences: Sequences, pieces: Sequences, place: Int64, i: int) -> Int64:
    """List the shifts that leave a window inside its piece."""
    piece = int(np.searchsorted(pieces.offsets, place[i], side="right")) - 1
    steps = np.arange(NEAREST, min(FARTHEST, int(sequences.lengths[i]) - 1) + 1)
    both = np.concatenate([-steps[::-1], steps])
    first, last = pieces.offsets[piece] - place[i], pieces.offsets[piece + 1] - place[i] - sequences.lengths[i]
    return np.asarray(both[(both >= first) & (both <= last)], dtype=np.int64)
