"""A data set as the audit sees it: all rows of all splits, with labels, and letters or coordinates or both."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from kmerit.datasets.findings import Gap
from kmerit.errors import FormatError, LabelError, UsageError
from kmerit.io.readers import SPLIT_NAMES
from kmerit.sequences import Bool, Int64, Locus, Sequences

Loci = tuple[Locus | None, ...]


@dataclass(frozen=True, eq=False)
class Rows:
    """The rows of one split, or of one file of it: letters, or coordinates alone.

    Attributes:
        names: ``[row]``.
        labels: ``int64 [row]``, or None.
        sequences: The letters, or None.
        loci: ``[row]``, or None if none is known.
        classes: Names of the classes, in the order of the labels, where the labels were names.
    """

    names: tuple[str, ...]
    labels: Int64 | None
    sequences: Sequences | None = None
    loci: Loci | None = None
    classes: tuple[str, ...] | None = None

    @classmethod
    def of(cls, sequences: Sequences) -> Rows:
        """Take sequences with the labels, loci and classes they have.

        Raises:
            LabelError: Several labels a row.
        """
        if sequences.outputs is not None:
            raise LabelError("An audit compares classes; these rows have several labels each. Keep one: of_output.")
        return cls(sequences.names, sequences.labels, sequences, sequences.loci, sequences.classes)


@dataclass(frozen=True, eq=False)
class Dataset:
    """All rows of a labelled data set.

    Attributes:
        name: What to call it.
        splits: Their names; the first is what models learn from.
        classes: Names of the classes, by their index in ``labels``.
        numbers: What each class is called in the files, as a number.
        split: ``int64 [row]``, index of each row's split.
        labels: ``int64 [row]``, index of each row's class.
        names: ``[row]``, distinct within a split.
        lengths: ``int64 [row]``, nucleotides.
        sequences: The letters of all rows, or None if only coordinates are known.
        loci: ``[row]``, or None if no coordinates are known.
        genome_counts: Rows compared with a genome, and those of them that have its letters; None if none were.
        min_length: Shorter rows were left out, nt.
        too_short: How many these were.
        unread: Files next to those that were read, which were not.
        gaps: What of the coordinates is in doubt.
        named: Whether the files have names as labels, not numbers.
    """

    name: str
    splits: tuple[str, ...]
    classes: tuple[str, ...]
    numbers: tuple[int, ...]
    split: Int64
    labels: Int64
    names: tuple[str, ...]
    lengths: Int64
    sequences: Sequences | None
    loci: Loci | None
    genome_counts: tuple[int, int] | None = None
    min_length: int = 1
    too_short: int = 0
    unread: tuple[str, ...] = ()
    gaps: tuple[Gap, ...] = ()
    named: bool = False

    def __len__(self) -> int:
        return len(self.names)

    def group(self, split: int, label: int) -> Bool:
        """Mark the rows of one split and class."""
        return np.asarray((self.split == split) & (self.labels == label))

    def take(self, rows: Int64) -> Dataset:
        """Select rows, in the order asked."""
        return replace(
            self,
            split=self.split[rows],
            labels=self.labels[rows],
            names=tuple(self.names[i] for i in rows),
            lengths=self.lengths[rows],
            sequences=None if self.sequences is None else self.sequences.take(rows),
            loci=None if self.loci is None else tuple(self.loci[i] for i in rows),
        )

    @cached_property
    def placed(self) -> Bool:
        """Mark the rows with coordinates, ``[row]``."""
        loci = self.loci or (None,) * len(self)
        return np.array([locus is not None for locus in loci], dtype=np.bool_)

    @property
    def side(self) -> Int64:
        """Number split and class together, ``split * classes + label``."""
        return np.asarray(self.split * len(self.classes) + self.labels, dtype=np.int64)

    def places(self) -> tuple[Int64, Int64, Int64]:
        """Lay all chromosomes end to end: rows with known loci, and their starts and ends on that line."""
        loci = self.loci or (None,) * len(self)
        rows = np.array([i for i, locus in enumerate(loci) if locus is not None], dtype=np.int64)
        chroms: dict[str, int] = {}
        table = np.array(
            [(chroms.setdefault(bare_chromosome(x.chrom), len(chroms)), x.start, x.end) for x in loci if x is not None],
            dtype=np.int64,
        ).reshape(-1, 3)
        return rows, table[:, 0] * CHROMOSOME + table[:, 1], table[:, 0] * CHROMOSOME + table[:, 2]


def bare_chromosome(name: str) -> str:
    """Give a chromosome one name, however it is spelt.

    Example:
        >>> bare_chromosome("chr1"), bare_chromosome("1"), bare_chromosome("MT"), bare_chromosome("chrM")
        ('1', '1', 'M', 'M')
    """
    bare = name.removeprefix("chr")
    return "M" if bare == "MT" else bare


CHROMOSOME = 1 << 40
"""Longer than any chromosome, so that loci of two of them are far apart on one line."""


def assemble(name: str, parts: dict[str, list[Rows]], classes: Sequence[str] | None = None) -> Dataset:
    """Join the rows of all splits.

    Args:
        name: What to call the data set.
        parts: Rows by split; ``train`` (or ``training``) goes first, ``test`` last.
        classes: Names of the classes 0, 1, ...; by default the names that labels have, alphabetically where the parts
            differ in their order; or the labels that occur, which need not begin at 0.

    Raises:
        LabelError: Rows without a label, values in place of classes, fewer than two classes, labels without a name, or
            two classes of one name.
        FormatError: Some rows have letters and others none, or coordinates that do not fit the letters.

    Example:
        >>> rows = Rows.of(Sequences.from_strings(["ACGT", "AAAA"], labels=[0, 1]))
        >>> assemble("mine", {"train": [rows]}, ["background", "promoter"]).classes
        ('background', 'promoter')
    """
    order = sorted(parts, key=lambda split: (_PLACES[role(split)], list(parts).index(split)))
    rows = [(i, part) for i, split in enumerate(order) for part in parts[split]]
    if classes and len(set(classes)) < len(classes):
        twice = next(each for each in classes if list(classes).count(each) > 1)
        raise LabelError(
            f"{name}: two classes are named {twice!r}. Give each class, in the order of the labels, its own."
        )
    classes = classes or _named(rows)
    labels = _labels(name, order, rows, classes)
    values = np.unique(labels)
    if classes:
        class_names, numbers = tuple(classes), tuple(range(len(classes)))
    else:
        class_names, numbers = tuple(map(str, values.tolist())), tuple(values.tolist())
        labels = np.searchsorted(values, labels).astype(np.int64)
    if (nameless := values[(values < 0) | (values >= len(class_names))] if classes else values[:0]).size:
        raise LabelError(
            f"{name}: the label {nameless[-1]} has no name; {len(class_names)} classes are named, for the labels "
            f"from 0. The data has the labels {', '.join(map(str, values.tolist()[:10]))}."
        )
    if np.unique(labels).size < 2:
        raise LabelError(
            f"{name}: every row is of class {class_names[labels[0]]!r}; an audit compares at least two classes."
        )
    lettered = [part.sequences is not None for _, part in rows]
    if any(lettered) and not all(lettered):
        raise FormatError(f"{name}: some files have sequences and others only coordinates; give one kind.")
    loci: Loci | None = None
    if any(part.loci is not None for _, part in rows):
        loci = tuple(locus for _, part in rows for locus in part.loci or (None,) * len(part.names))
    sequences = _join([(order[i], part.sequences) for i, part in rows if part.sequences is not None])
    if sequences is not None:
        lengths = sequences.lengths
    elif loci is not None and all(locus is not None for locus in loci):
        lengths = np.array([locus.end - locus.start for locus in loci if locus is not None], dtype=np.int64)
    else:
        raise FormatError(f"{name}: rows with neither letters nor coordinates; each needs one of them.")
    names = tuple(row for _, part in rows for row in part.names)
    split = np.repeat([i for i, _ in rows], [len(part.names) for _, part in rows]).astype(np.int64)
    words = any(part.classes is not None for _, part in rows)
    return Dataset(
        name, tuple(order), class_names, numbers, split, labels, names, lengths, sequences, loci, named=words
    )


_PLACES = {"train": 0, None: 1, "validation": 2, "test": 3}


def role(split: str) -> str | None:
    """Return what a split is for: ``train``, ``validation``, ``test``; None if its name does not say.

    Example:
        >>> role("Training"), role("dev"), role("holdout")
        ('train', 'validation', None)
    """
    return SPLIT_NAMES.get(split.strip().lower())


def check_roles(dataset: Dataset) -> None:
    """Make sure that the first split is the one to learn from, and the last the one to test on.

    Raises:
        UsageError: No split is named as the training split, or two are; or of more than two splits it is not said which
            one is the test.
    """
    prefix = f"{dataset.name}: the splits are {', '.join(dataset.splits)}"
    if len(dataset.splits) < 2:
        return
    roles = [role(split) for split in dataset.splits]
    for name in ("train", "test"):
        if roles.count(name) > 1:
            raise UsageError(f"{prefix}: which one is the {name} split? Name only that one {name}.")
    if "train" not in roles:
        raise UsageError(f"{prefix}: which one is the training split? Name it train, or write train=FILE test=FILE.")
    if len(roles) > 2 and "test" not in roles:
        raise UsageError(f"{prefix}: which one is the test split? Name it test, or write train=FILE test=FILE.")


def _named(rows: Sequence[tuple[int, Rows]]) -> tuple[str, ...] | None:
    """Give one order to the names of the parts' classes; None where labels are numbers."""
    orders = {part.classes for _, part in rows}
    if len(orders) == 1:
        return orders.pop()
    names = sorted({name for order in orders for name in order or ()})
    return tuple(names) or None


def _labels(name: str, splits: Sequence[str], rows: Sequence[tuple[int, Rows]], classes: Sequence[str] | None) -> Int64:
    columns = []
    for i, part in rows:
        if part.classes is None and classes and any(other.classes is not None for _, other in rows):
            raise LabelError(f"{name}, {splits[i]}: the labels are numbers here and names elsewhere; write one kind.")
        if part.labels is None:
            raise LabelError(
                f"{name}, {splits[i]}: no labels; an audit compares classes. Name their column with --label-column, "
                f"write label=0 or label=1 into FASTA headers, or put each class into a file: SPLIT/CLASS.fa."
            )
        if part.labels.dtype != np.int64:
            raise LabelError(
                f"{name}, {splits[i]}: the labels are values; an audit compares classes, numbered 0, 1, 2, ..."
            )
        if part.classes is None or not classes:
            columns.append(part.labels)
            continue
        if missing := [each for j, each in enumerate(part.classes) if each not in classes and (part.labels == j).any()]:
            raise LabelError(
                f"{name}, {splits[i]}: the label {missing[0]!r} is not one of the classes {', '.join(classes)}. Name "
                f"all of them."
            )
        place = {each: j for j, each in enumerate(classes)}
        columns.append(np.array([place.get(each, -1) for each in part.classes], dtype=np.int64)[part.labels])
    if not columns or not sum(map(len, columns)):
        raise FormatError(f"{name}: there are no rows; expected labelled sequences or intervals.")
    return np.concatenate(columns)


def _join(parts: Sequence[tuple[str, Sequences]]) -> Sequences | None:
    """Concatenate sequences; names get their split in front, since two splits may use the same ones."""
    if not parts:
        return None
    offsets = np.concatenate([[0], np.cumsum(np.concatenate([part.lengths for _, part in parts]))]).astype(np.int64)
    several = len(parts) > 1
    names = tuple(
        f"{split}{number}/{name}" if several else name
        for number, (split, part) in enumerate(parts)
        for name in part.names
    )
    return Sequences(names, np.concatenate([part.bases for _, part in parts]), offsets)
