"""The three splits of a fine-tuning: of a task, or of the user's files."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from kmerit.datasets.similarity import group_names, near_copies, neighbours
from kmerit.datasets.task import find_task, load_task
from kmerit.errors import ConfigError, LabelError
from kmerit.io.crops import Crop, prepare
from kmerit.io.readers import read_sequences, splits_of
from kmerit.sequences import Sequences
from kmerit.training.recipe import FinetuneConfig

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Splits:
    """Training, validation and test sequences of a fine-tuning.

    Attributes:
        train: Whole sequences with labels; crops are redrawn each epoch.
        validation: Cropped sequences to choose by, or None.
        test: Cropped sequences to measure on, or None.
        classes: Names of the classes, in the order of the labels; of several labels or values; one name for a value.
        crop: The part that the model sees, or None for all.
        name: Of the data.
        dropped: Per split, what was left out and why.
    """

    train: Sequences
    validation: Sequences | None = None
    test: Sequences | None = None
    classes: tuple[str, ...] = ("0", "1")
    crop: Crop | None = None
    name: str = "given sequences"
    dropped: dict[str, dict[str, int]] = field(default_factory=dict)

    @property
    def sizes(self) -> dict[str, int]:
        """Rows per split."""
        parts = {"train": self.train, "validation": self.validation, "test": self.test}
        return {name: len(part) for name, part in parts.items() if part is not None}


def load_splits(config: FinetuneConfig) -> Splits:
    """Read, filter and crop what a config names.

    Raises:
        ConfigError: Neither a task nor a file.
        LabelError: No labels.

    Example:
        >>> load_splits(FinetuneConfig.parse({"task": "human_enhancers_dedup"})).classes
        ('background', 'enhancer')
    """
    if config.task is not None:
        task = find_task(config.task)
        raw = {split: load_task(task, split, source=config.source) for split in ("train", "validation", "test")}
        crop, min_length, drop_n, name, classes = task.crop, task.min_length, task.drop_n, task.name, task.classes
    elif config.train is not None:
        raw = _files(config)
        crop, min_length, drop_n, name, classes = None, 1, True, Path(config.train).name, None
    else:
        raise ConfigError("Fine-tuning needs labelled sequences: task = 'epdnew_nontata', or train = 'file.csv'.")
    if config.crop is not None:
        crop = None if config.crop == "none" else Crop(config.crop.length, config.crop.anchor)
    min_length = config.min_length or min_length
    drop_n = drop_n if config.drop_n is None else config.drop_n
    parts, dropped = {}, {}
    for split, sequences in raw.items():
        labels_of(sequences, f"{name}, {split}")
        training = split == "train"
        shortest = config.train_min_length or min_length if training else min_length
        parts[split], dropped[split] = prepare(
            sequences, crop=None if training else crop, min_length=shortest, drop_n=drop_n
        )
    names = config.classes or classes or config.labels or _class_names(parts["train"], config.regression)
    return Splits(parts["train"], parts.get("validation"), parts.get("test"), tuple(names), crop, name, dropped)


def _files(config: FinetuneConfig) -> dict[str, Sequences]:
    def read(path: str, split: str | None = None) -> Sequences:
        return read_sequences(
            path,
            sequence_column=config.sequence_column,
            label_column=config.labels or config.label_column,
            name_column=config.name_column,
            case=config.case,
            rename=config.rename,
            classes=config.classes,
            split=split,
            genome=config.genome,
            width=config.width,
            coordinates=config.coordinates,
        )

    folder = str(config.train)
    there = splits_of(folder)
    raw = {"train": read(folder, there.get("train"))}
    if config.validation is not None:
        raw["validation"] = read(config.validation)
    elif "validation" in there:
        raw["validation"] = read(folder, there["validation"])
    elif config.validation_share > 0:
        raw["train"], raw["validation"] = carve(raw["train"], config.validation_share)
    if config.test is not None:
        raw["test"] = read(config.test)
    elif "test" in there:
        raw["test"] = read(folder, there["test"])
    return {split: _numbered(part, raw["train"], split, config) for split, part in raw.items()}


def _numbered(part: Sequences, train: Sequences, split: str, config: FinetuneConfig) -> Sequences:
    """Number named labels of every split as those of the training split, unless the config gives their order."""
    if config.regression and part.classes is not None:
        raise LabelError(f"{split}: regression needs numbers as labels, found names: {', '.join(part.classes[:5])}.")
    if config.classes is not None or part.labels is None or train.labels is None:
        return part
    if (part.classes is None) != (train.classes is None):
        raise LabelError(f"{split}: labels are names here and numbers in train, or the other way. Write one kind.")
    return part if train.classes is None else part.numbered(train.classes)


def carve(sequences: Sequences, share: float) -> tuple[Sequences, Sequences]:
    """Carve a validation split out; near copies and overlapping loci stay together.

    Raises:
        ConfigError: A part would be empty.
    """
    groups = group_names(sequences, near_copies(sequences), neighbours(sequences, 0))
    in_part = np.array([crc32(group.encode()) < share * 2**32 for group in groups])
    if in_part.all() or not in_part.any():
        raise ConfigError(f"validation_share = {share} of {len(sequences)} sequences leaves a part empty. Change it.")
    return sequences.take(~in_part), sequences.take(in_part)


def labels_of(sequences: Sequences, name: str) -> NDArray[Any]:
    """Return the labels, which must be there.

    Raises:
        LabelError: They are not.
    """
    if sequences.labels is None:
        raise LabelError(f"{name}: expected a label for each sequence, found none. Name their column: label_column.")
    return sequences.labels


def check_classes(splits: Splits) -> None:
    """Refuse training rows of one class; name those that have no rows.

    Raises:
        LabelError: There is nothing to tell apart.
    """
    labels = labels_of(splits.train, splits.name)
    if splits.train.outputs is not None:
        _check_several(splits.name, splits.train.outputs, labels)
        return
    present = np.unique(labels)
    if present.size < 2:
        raise LabelError(
            f"{splits.name}, train: every row has the label {present[0]}; a classifier needs rows of two classes or "
            f"more. Is this the column of the labels (label_column)? Values train with regression = true."
        )
    for label in sorted(set(range(len(splits.classes))) - set(present.tolist())):
        _LOG.warning("%s, train: no row is of class %d (%s).", splits.name, label, splits.classes[label])


def _check_several(name: str, outputs: tuple[str, ...], labels: NDArray[Any]) -> None:
    constant = (labels == labels[0]).all(axis=0)
    if constant.all():
        raise LabelError(f"{name}, train: every row has the same labels; there is nothing to tell apart.")
    for j in np.flatnonzero(constant).tolist():
        _LOG.warning("%s, train: every row has %d for %s.", name, labels[0, j], outputs[j])


def _class_names(train: Sequences, regression: bool) -> list[str]:
    if regression:
        return ["value"]
    if train.classes is not None:
        return list(train.classes)
    last = labels_of(train, "train").max()
    if last >= len(train):
        raise LabelError(
            f"train: a row has the label {last}, so there would be more classes than the {len(train)} rows. Number the "
            f"classes 0, 1, 2, ..., or train values with regression = true."
        )
    return [str(i) for i in range(int(last) + 1)]
