"""Find tasks by name, and load them: packed, downloaded, or cut out of the user's genome."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Literal, get_args

import numpy as np

from kmerit.data import tasks as package
from kmerit.data.groups import group_names, in_validation, near_copies, neighbours
from kmerit.data.hub import Progress, cache_folder, download
from kmerit.data.intervals import Intervals, read_intervals
from kmerit.data.readers import read_sequences
from kmerit.data.tables import read_parquet, table_sequences
from kmerit.data.task import Task
from kmerit.discovery import discover
from kmerit.errors import ConfigError, FormatError, UnknownName
from kmerit.store import sha256
from kmerit.types import Sequences

Split = Literal["train", "validation", "test"]
SPLITS: tuple[Split, ...] = get_args(Split)


@cache
def tasks() -> dict[str, Task]:
    """Find all tasks: one per file of ``kmerit.data.tasks``, and the entry points ``kmerit.tasks`` of other packages.

    Example:
        >>> tasks()["epdnew_nontata"].classes
        ('background', 'promoter')
    """
    return discover(package, "TASK", "kmerit.tasks")


def find_task(name: str | Task) -> Task:
    """Look a task up by name.

    Raises:
        UnknownName: With the nearest name.

    Example:
        >>> find_task("epdnew_nontata").classes
        ('background', 'promoter')
    """
    if isinstance(name, Task):
        return name
    if name not in tasks():
        raise UnknownName("task", name, tasks(), see="kmerit list tasks")
    return tasks()[name]


def load_task(name: str | Task, split: str = "test", *, source: Intervals | str | Path | None = None) -> Sequences:
    """Load a split of a task, whole: filters and the crop are left to :func:`kmerit.data.prepare`.

    ``validation`` is a tenth of the published training split, carved out by group (see :mod:`kmerit.data.groups`), and
    ``train`` is the rest.

    Args:
        name: A task's name, or a task.
        split: ``"train"``, ``"validation"`` or ``"test"``.
        source: Of an official set: :class:`Intervals` with a genome, or a folder with the hub's files; by default it
            is downloaded once.

    Raises:
        UnknownName: No such task.
        ConfigError: No such split, or a source for a packed task.
        FormatError: Files that are damaged or not the published ones.
        OfflineError: It must be downloaded, and there is no network.

    Example:
        >>> len(load_task("epdnew_nontata", "test"))
        6232
    """
    task = find_task(name)
    if split not in SPLITS:
        raise ConfigError(f"split: expected one of {', '.join(SPLITS)}, got {split!r}.")
    if source is not None and task.packed:
        raise ConfigError(f"source: {task.name} comes with kmerit and has no other source.")
    published = "test" if split == "test" else "train"
    sequences, groups = _packed(task, published) if task.packed else (_official(task, published, source), None)
    _check_rows(task, published, sequences)
    if split == "test":
        return sequences
    if groups is None:
        groups = group_names(sequences, near_copies(sequences), neighbours(sequences, task.near))
    in_split = np.array([in_validation(group) == (split == "validation") for group in groups])
    return sequences.take(in_split)


def fetch(name: str | Task, cache: str | Path | None = None, progress: Progress | None = None) -> Path:
    """Download an official set from the hub, unless it is cached; resume an interrupted download.

    Args:
        name: A task's name, or a task.
        cache: Where to; by default ``KMERIT_CACHE``, else the user's cache folder.
        progress: Called with the bytes that are here and those of all files.

    Returns:
        The folder with the files; of a packed task the folder inside the package.

    Raises:
        OfflineError: Without a network; it says which files to put where.

    Example:
        >>> sorted(path.name for path in fetch("ienhancer_2l").glob("ienhancer_2l.*"))
        ['ienhancer_2l.test.parquet', 'ienhancer_2l.train.parquet']
    """
    task = find_task(name)
    if task.hub is None:
        return _assets()
    folder = (Path(cache) if cache is not None else cache_folder()) / "tasks" / task.name
    # Downloaded or put there by hand: load_task counts the rows of either.
    if not any(folder.rglob("*.parquet")) or (folder / ".incomplete").exists():
        remedy = (
            f"Copy the Parquet files of https://huggingface.co/datasets/{task.hub} into {folder},\n"
            f"or extract the sequences from a genome: source=Intervals(genomic_benchmarks' datasets/{task.name}, "
            f"FASTA of {task.assembly})."
        )
        download(task.hub, folder, remedy, progress)
    return folder


def _assets() -> Path:
    return Path(str(files("kmerit") / "assets" / "data"))


def _packed(task: Task, split: str) -> tuple[Sequences, list[str]]:
    path = _assets() / f"{task.name}.{split}.parquet"
    if not path.exists() or sha256(path) != task.checksums[f"{split}.parquet"]:
        raise FormatError(f"{path}: missing or damaged (its sha256 is not the recorded one). Install kmerit again.")
    table, where = read_parquet(path)
    groups = table.column("group").to_pylist() if split == "train" else []
    return table_sequences(table, where, str(path)), groups


def _official(task: Task, split: str, source: Intervals | str | Path | None) -> Sequences:
    if isinstance(source, Intervals):
        return read_intervals(task, split, source)
    # The task names its classes; what the file calls them is left behind.
    return replace(read_sequences(source if source is not None else fetch(task), split=split), classes=None)


def _check_rows(task: Task, split: str, sequences: Sequences) -> None:
    """Refuse data that are not the published ones: classes missing, half a file, another version."""
    labels = sequences.labels if sequences.labels is not None else np.zeros(0)
    counts = tuple(int((labels == label).sum()) for label in range(len(task.classes)))
    if counts != tuple(task.rows[split]):
        raise FormatError(
            f"{task.name}, split {split}: expected {task.rows[split]} sequences of the classes "
            f"{', '.join(task.classes)}, found {counts}. Download the data set again (kmerit fetch {task.name})."
        )
