"""Tasks: labelled data sets with their classes, filters, origin and checksums; found by name, and loaded.

Official data sets as intervals: cut the sequences out of the user's own genome. The folder is one of ``datasets/`` of
genomic_benchmarks: ``train/positive.csv.gz`` and so on, with the columns ``id, region, start, end, strand``, 0-based
and half-open; minus strands are reverse-complemented.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np

from kmerit.config import discover
from kmerit.datasets import tasks as package
from kmerit.datasets.similarity import in_validation, related_groups
from kmerit.errors import ConfigError, FormatError, UnknownName
from kmerit.io.crops import Crop
from kmerit.io.genome import cut_sequences, open_genome
from kmerit.io.hub import Progress, cache_folder, download
from kmerit.io.readers import read_sequences
from kmerit.io.tables import read_csv, read_parquet, table_sequences
from kmerit.sequences import Locus, Sequences, parse_locus
from kmerit.store import sha256

GENOMIC_BENCHMARKS = "genomic_benchmarks (Gresova et al. 2023, doi:10.1186/s12863-023-01123-8), commit 605d853"
"""Where the official sets are published."""
PAPER_CROP = Crop(200, "left")
"""What the paper's models see, less three nucleotides: its limit of 200 tokens is 203 nt."""


@dataclass(frozen=True)
class Task:
    """A labelled data set that kmerit knows by name.

    Attributes:
        name: Also the name of its file in ``data/tasks/``.
        classes: Names of the classes; the index is the label. Never taken from the order of folders.
        description: What distinguishes the classes, in one sentence.
        source: Where the sequences come from, and who published them.
        licence: Terms of the data.
        assembly: The genome that coordinates refer to.
        crop: The part of each sequence that models see by default.
        min_length: Fewest nucleotides, before the crop.
        drop_n: Whether sequences with an N are dropped.
        rows: Sequences per published split and class, ``{"train": (background, regulatory)}``; checked when read.
        checksums: sha256 of the files that are read: ``train.parquet`` and ``test.parquet`` of a packed task,
            ``train/positive.csv.gz`` and so on of official intervals, as far as they are known.
        hub: Name of the data set on the Hugging Face hub; None for a packed task.
        near: Loci of one group lie at most this many nucleotides apart; see :mod:`kmerit.datasets.similarity`.
    """

    name: str
    classes: tuple[str, ...]
    description: str
    source: str
    licence: str
    assembly: str
    rows: Mapping[str, tuple[int, ...]]
    crop: Crop | None = PAPER_CROP
    min_length: int = 200
    drop_n: bool = True
    checksums: Mapping[str, str] = field(default_factory=dict)
    hub: str | None = None
    near: int = 1000

    @property
    def packed(self) -> bool:
        """Return whether the sequences come with kmerit."""
        return self.hub is None


if TYPE_CHECKING:
    pass

CLASS_FILES = ("negative", "positive")
"""File of each class; the index is the label."""
COLUMNS = ("id", "region", "start", "end", "strand")


@dataclass(frozen=True)
class Intervals:
    """Where official sequences can be cut out.

    Attributes:
        folder: The folder of a data set in genomic_benchmarks, with ``train/positive.csv.gz`` and so on.
        genome: FASTA of the task's assembly, not compressed; an index (``.fai``) is written next to it once.
    """

    folder: str | Path
    genome: str | Path


def read_intervals(task: Task, split: str, source: Intervals) -> Sequences:
    """Cut a published split out of a genome.

    Args:
        task: Whose checksums the interval files must have.
        split: ``"train"`` or ``"test"``.
        source: The files.

    Returns:
        Named ``train_neg_17`` and so on, negatives first; upper case, also where the genome is soft-masked. The few
        IUPAC letters of an assembly that stand for several bases are read as N.

    Raises:
        MissingExtra: pyfaidx is not installed.
        FormatError: Interval files that are missing or changed; a genome of another assembly, without a chromosome,
            or too short.
        SequenceError: A letter in the genome that is neither a base nor stands for several.
    """
    genome = open_genome(Path(source.genome), task.assembly)
    names: list[str] = []
    loci: list[Locus] = []
    labels: list[int] = []
    for label, stem in enumerate(CLASS_FILES):
        ids, intervals = _read_class(Path(source.folder), f"{split}/{stem}.csv.gz", task)
        names += [f"{split}_{stem[:3]}_{name}" for name in ids]
        loci += intervals
        labels += [label] * len(ids)
    return cut_sequences(genome, loci, names, np.array(labels, dtype=np.int64), source.genome)


def _read_class(folder: Path, name: str, task: Task) -> tuple[list[str], list[Locus]]:
    """Read one interval file, if it is the published one."""
    path = folder / name
    if (expected := task.checksums.get(name)) is not None and path.is_file() and sha256(path) != expected:
        raise FormatError(f"{path}: not the published file of {task.name} (its sha256 differs). Copy it again.")
    return read_interval_file(path)


def read_interval_file(path: Path) -> tuple[list[str], list[Locus]]:
    """Read a file of intervals: their ids and loci.

    Raises:
        FormatError: Columns or intervals that are missing, or no intervals.
    """
    table, where = read_csv(path)
    if missing := [column for column in COLUMNS if column not in table.column_names]:
        raise FormatError(f"{path}: expected the columns {', '.join(COLUMNS)}; {missing[0]!r} is missing.")
    ids, *places = (table.column(column).to_pylist() for column in COLUMNS)
    loci = []
    for row, place in enumerate(zip(*places, strict=True)):
        locus = parse_locus(place, where(row))
        if locus is None:
            raise FormatError(f"{where(row)}: the interval is missing.")
        loci.append(locus)
    if not loci:
        raise FormatError(f"{path}: the file has no rows; expected intervals.")
    return ids, loci


Split = Literal["train", "validation", "test"]
SPLITS: tuple[Split, ...] = get_args(Split)


@cache
def tasks() -> dict[str, Task]:
    """Find all tasks: one per file of ``kmerit.datasets.tasks``, and other packages' entry points ``kmerit.tasks``.

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
    """Load a split of a task, whole: filters and the crop are left to :func:`kmerit.io.crops.prepare`.

    ``validation`` is a tenth of the published training split, carved out by group (see
    :mod:`kmerit.datasets.similarity`), and ``train`` is the rest.

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
        groups = related_groups(sequences, task.near)
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
