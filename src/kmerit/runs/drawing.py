"""The rows of a task: read, filtered and cropped, and those that are drawn for its trial."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from kmerit.data import load_task, prepare, read_sequences, sample_per_class
from kmerit.errors import LabelError
from kmerit.faithfulness.counts import check_counts
from kmerit.types import Int64, Sequences

if TYPE_CHECKING:
    from kmerit.runs.job import Job


@dataclass(frozen=True, eq=False)
class Drawn:
    """What the data stage keeps.

    Attributes:
        test: The whole test split.
        sample: The sequences on trial.
        validation: Those to choose LRP* on; None if there are none.
        dropped: Rows of the test split that were left out, by the reason.
    """

    test: Sequences
    sample: Sequences
    validation: Sequences | None
    dropped: dict[str, int]


def draw_rows(job: Job) -> Drawn:
    """Read, filter and crop the test split; draw the sequences of the trial, and those to choose LRP* on.

    Raises:
        FormatError: A file cannot be read.
        LabelError: No classes, or only one.
        CountError: A sequence is shorter than a count that the config asks for.
    """
    data, seed = job.config.data, job.config.seed
    test, dropped = _read(job, "test")
    sample = sample_per_class(test, data.per_class, seed)
    if len(np.unique(class_labels(sample, job.name))) < 2:
        raise LabelError(
            f"{job.name}: all {len(test)} test sequences have the label {class_labels(sample, job.name)[0]}. A run "
            f"compares classes, so give sequences of at least two."
        )
    shortest = int(np.argmin(sample.lengths))
    for key, counts in _counts(job).items():
        check_counts(counts, int(sample.lengths[shortest]), sample.names[shortest], key=key)
    validation = _validation(job, test, sample)
    chosen = (
        sample_per_class(validation, data.validation_per_class or data.per_class, seed) if len(validation) else None
    )
    return Drawn(test, sample, chosen, dropped)


def class_labels(sequences: Sequences, task: str) -> Int64:
    """Take the labels as classes.

    Raises:
        LabelError: There are none, or they are values.
    """
    if sequences.labels is None or sequences.labels.dtype != np.int64 or sequences.outputs is not None:
        raise LabelError(
            f"{task}: a run needs the class of every sequence, as names or whole numbers from 0. Add a column 'label', "
            f"or name it with label_column; BED has none, a table of chrom, start, end and label may."
        )
    return sequences.labels


def read_own(job: Job, path: str) -> Sequences:
    """Read a file of the user's; labels that are names are numbered as the model's classes.

    That order is the config's, else the names that the model gives its classes, else that of the training file.

    Raises:
        LabelError: A label that is none of the classes.
    """
    table = job.table
    found = read_sequences(
        path,
        case=table.case,
        sequence_column=table.sequence_column,
        label_column=table.label_column,
        name_column=table.name_column,
        rename=table.rename,
        classes=table.classes,
        genome=table.genome,
        width=table.width,
        coordinates=table.coordinates is not False,
    )
    if found.classes is None or table.classes is not None:
        return replace(found, classes=None)
    if table.model is not None:
        return job.load_model().numbered(found)
    if table.train is None or path == table.train:
        return found
    return found.numbered(read_own(job, table.train).classes or ())


def _counts(job: Job) -> dict[str, Sequence[int | str]]:
    """List what the config asks to be substituted, by its key."""
    trial = job.config.trial
    satellites = [trial.operator_count] if trial.operators and trial.operator_count else []
    chosen = [trial.choice_count] if {"lrp", "lrp_last"} <= set(job.config.attribution.methods) else []
    return {"trial.counts": trial.counts or [], "trial.operator_count": satellites, "trial.choice_count": chosen}


def _read(job: Job, split: str) -> tuple[Sequences, dict[str, int]]:
    """Read a split (of a task that kmerit knows) or a file (of the user), and keep what the config keeps."""
    table = job.table
    path = {"test": table.sequences, "validation": table.validation}[split]
    sequences = load_task(job.name, split, source=table.source) if path is None else read_own(job, path)
    class_labels(sequences, job.name)
    return prepare(sequences, crop=job.crop, min_length=table.min_length, drop_n=bool(table.drop_n))


def _validation(job: Job, test: Sequences, sample: Sequences) -> Sequences:
    """Give the sequences to choose LRP* on; of the user's one file those that the trial does not use."""
    if job.table.sequences is not None and job.table.validation is None:
        used = set(sample.names)
        return test.take([i for i, name in enumerate(test.names) if name not in used])
    return _read(job, "validation")[0]
