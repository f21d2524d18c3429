"""The first two stages of a task: its sequences, and the model that is put on trial."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from kmerit.data import load_task, prepare, read_sequences, sample_per_class, write_sequences
from kmerit.errors import LabelError, ModelError
from kmerit.faithfulness.counts import check_counts
from kmerit.runs.files import write_json
from kmerit.runs.job import Job
from kmerit.types import Int64, Problem, Sequences

if TYPE_CHECKING:
    from kmerit.audit import Dataset
    from kmerit.models import Model
    from kmerit.training import FinetuneConfig


def draw(job: Job) -> None:
    """Read, filter and crop the test split; draw the sequences of the trial, and those to choose LRP* on."""
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
    write_sequences(test, job.folder / "test.parquet")
    write_sequences(sample, job.folder / "sequences.parquet")
    validation = _validation(job, test, sample)
    if len(validation):
        chosen = sample_per_class(validation, data.validation_per_class or data.per_class, seed)
        write_sequences(chosen, job.folder / "validation.parquet")
    write_json(job.folder / "data.json", {"dropped": dropped})


def _counts(job: Job) -> dict[str, Sequence[int | str]]:
    """List what the config asks to be substituted, by its key."""
    trial, grid = job.config.trial, job.config.grid
    own = {"trial.counts": trial.counts} if grid is None else {"grid.counts": grid.counts}
    satellites = [] if grid is None or not (grid.operators and grid.satellite_per_class) else [grid.operator_count]
    chosen = [trial.choice_count] if {"lrp", "lrp_last"} <= set(job.config.attribution.methods) else []
    return {**own, "grid.operator_count": satellites, "trial.choice_count": chosen}


def provide_model(job: Job) -> None:
    """Fine-tune the model if the config says so; check that it fits the data."""
    if job.table.finetune is not None:
        from kmerit.training import finetune

        with job.watch(f"{job.name}: fine-tuning") as progress:
            finetune(finetune_config(job), job.folder / "model", progress=progress)
    model, test = job.load_model(), job.sequences("test")
    if model.problem.are_values:
        raise ModelError(
            f"{model.name} predicts values; a run compares classes, and its trial is not yet made for values. "
            f"Explain it with: kmerit attribute"
        )
    if model.problem is Problem.LABELS:
        raise ModelError(
            f"{model.name} predicts {model.n_classes} labels, each a task of its own. Choose one with the key "
            f"'label' of [tasks.{job.name}]: {model.listed}."
        )
    _check_classes(job, model, class_labels(test, job.name))
    if (target := job.config.attribution.target) not in ("predicted", "label"):
        model.output(target)
    model.check(test)
    about = {"name": model.name, "family": model.family, "labels": list(model.labels), "digest": model.digest}
    write_json(job.folder / "model.json", about)


def _check_classes(job: Job, model: Model, labels: Int64) -> None:
    names = job.table.classes
    if names is not None and len(names) != model.n_classes:
        raise LabelError(f"{job.name} has the classes {', '.join(names)}; {model.name} has {model.n_classes} classes.")
    if labels.max() >= model.n_classes:
        raise LabelError(f"{job.name} has the label {labels.max()}; {model.name} has only {model.n_classes} classes.")


def finetune_config(job: Job) -> FinetuneConfig:
    """Tell the training what the config tells of the task, so that model and trial see the same crops.

    Raises:
        ConfigError: Unknown keys or wrong values in ``[training]`` or the task's ``finetune``.
    """
    from kmerit.training import FinetuneConfig

    table, compute = job.table, job.config.compute
    own = {"train": table.train, "validation": table.validation, "test": table.sequences}
    columns = {"sequence_column": table.sequence_column, "label_column": table.label_column}
    given = {
        "seed": job.config.seed,
        "threads": compute.threads,
        "device": "cpu" if compute.device == "cpu" else "auto",
        "crop": table.crop if isinstance(table.crop, str) or table.crop is None else table.crop.model_dump(),
        "min_length": table.min_length,
        "drop_n": table.drop_n,
        **({"task": job.name, "source": table.source} if table.sequences is None else {**own, **columns}),
        "classes": table.classes if table.sequences is not None else None,
    }
    known = {key: value for key, value in given.items() if value is not None}
    return FinetuneConfig.parse({**known, **job.config.training, **(table.finetune or {})})


def audited_splits(job: Job) -> Dataset:
    """Gather what the model learned from and what it is tested on, cropped alike, for an audit.

    Without training sequences (your own file, and a model that was made elsewhere) there is one split.
    """
    from kmerit.audit.dataset import Rows, assemble

    table = job.table
    parts = {"test": [Rows.of(job.sequences("test"))]}
    if table.sequences is None:
        learnt = [load_task(job.name, split, source=table.source) for split in ("train", "validation")]
    else:
        own = [path for path in (table.train, table.validation) if path is not None]
        learnt = [_read_own(job, path) for path in own]
    if learnt:
        parts["train"] = [
            Rows.of(prepare(rows, crop=job.crop, min_length=table.min_length, drop_n=bool(table.drop_n))[0])
            for rows in learnt
        ]
    names = table.classes or job.read_json("model.json")["labels"]
    return assemble(job.name, parts, names)


def class_labels(sequences: Sequences, task: str) -> Int64:
    """Take the labels as classes.

    Raises:
        LabelError: There are none, or they are values.
    """
    if sequences.labels is None or sequences.labels.dtype != np.int64:
        raise LabelError(
            f"{task}: a run needs the class of every sequence, as whole numbers from 0. "
            f"Add a column 'label', or name it with label_column."
        )
    return sequences.labels


def _read(job: Job, split: str) -> tuple[Sequences, dict[str, int]]:
    """Read a split (of a task that kmerit knows) or a file (of the user), and keep what the config keeps."""
    table = job.table
    path = {"test": table.sequences, "validation": table.validation}[split]
    sequences = load_task(job.name, split, source=table.source) if path is None else _read_own(job, path)
    class_labels(sequences, job.name)
    return prepare(sequences, crop=job.crop, min_length=table.min_length, drop_n=bool(table.drop_n))


def _read_own(job: Job, path: str) -> Sequences:
    table = job.table
    return read_sequences(
        path,
        case=table.case,
        rename=table.rename,
        sequence_column=table.sequence_column,
        label_column=table.label_column,
        name_column=table.name_column,
    )


def _validation(job: Job, test: Sequences, sample: Sequences) -> Sequences:
    """Give the sequences to choose LRP* on; of the user's one file those that the trial does not use."""
    if job.table.sequences is not None and job.table.validation is None:
        used = set(sample.names)
        return test.take([i for i, name in enumerate(test.names) if name not in used])
    return _read(job, "validation")[0]
