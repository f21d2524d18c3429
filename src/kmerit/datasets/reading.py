"""Read a data set for the audit:
a task, tables with a column of splits, files, or folders; with coordinates and a genome.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from kmerit.datasets.dataset import Dataset, Rows, assemble, role
from kmerit.datasets.findings import Gap
from kmerit.datasets.task import CLASS_FILES, COLUMNS, load_task, read_interval_file, tasks
from kmerit.errors import FormatError, LabelError, UnknownName, UsageError, short
from kmerit.io.bed import BED, as_region
from kmerit.io.files import Case, read_labels, unpacked_name
from kmerit.io.genome import chromosome_key, cut_sequences, open_genome
from kmerit.io.hub import is_hub_name
from kmerit.io.readers import (
    CSV,
    FASTA,
    FASTQ,
    JSON,
    NOT_TEXT,
    READABLE,
    SPLIT_NAMES,
    TABLES,
    TSV,
    as_sequences,
    is_frame,
    read_sequences,
    read_table,
    read_text_folder,
    text_folder,
)
from kmerit.io.tables import (
    LABEL_COLUMNS,
    NAME_COLUMNS,
    SEQUENCE_COLUMNS,
    read_csv,
    table_column,
    table_loci,
    table_sequences,
)
from kmerit.sequences import Locus, Sequences, decode
from kmerit.store import sha256

CHECKED = 200
"""Rows of each split and class whose letters are compared with a genome."""
SAME_GENOME = 0.9
"""A genome of which fewer of these rows are letter for letter is another assembly: two assemblies share most of the
letters and few of the places."""


def on_genome(dataset: Dataset, path: Path) -> Dataset:
    """Cut the letters out of a genome where only coordinates are known; where both are, compare them."""
    genome = open_genome(path, None)
    if dataset.loci is None:
        raise FormatError(f"{dataset.name}: a genome was given, but no row has coordinates to find it at.")
    if dataset.sequences is None:
        names = [f"row{i}" for i in range(len(dataset))]
        loci = [locus for locus in dataset.loci if locus is not None]
        windows = cut_sequences(genome, loci, names, dataset.labels, path)
        return replace(dataset, sequences=windows)
    counts, gaps = check_assembly(dataset, genome, path)
    return replace(dataset, genome_counts=counts, gaps=(*dataset.gaps, *gaps))


def check_assembly(dataset: Dataset, genome: Any, path: Path) -> tuple[tuple[int, int], list[Gap]]:
    """Compare letters with a genome at their coordinates, in every split and class for rows from the first to the last.

    Args:
        dataset: With letters, and coordinates of some rows.
        genome: An open one, see :func:`kmerit.io.genome.open_genome`.
        path: Its file.

    Returns:
        How many rows were compared, and how many of them agree; and what is in doubt: rows that do not
        agree, and rows on chromosomes that the genome lacks.

    Raises:
        FormatError: In one split and class too few of them agree: another assembly. Or the genome has none of the
            chromosomes.
    """
    at = [(i, locus) for i, locus in enumerate(dataset.loci or ()) if locus is not None]
    keys = {chrom: chromosome_key(genome, chrom) for chrom in {locus.chrom for _, locus in at}}
    if not any(keys.values()):
        raise FormatError(f"{path}: none of the chromosomes of the coordinates is in this genome. Give the right one.")
    compared = agreed = 0
    gaps: list[Gap] = []
    for split, split_name in enumerate(dataset.splits):
        for label, class_name in enumerate(dataset.classes):
            what = f"{f'{split_name} ' if len(dataset.splits) > 1 else ''}rows of {class_name}"
            where = {"split": split_name if len(dataset.splits) > 1 else None, "class_name": class_name}
            mine = [each for each in at if dataset.split[each[0]] == split and dataset.labels[each[0]] == label]
            on_genome = [each for each in mine if keys[each[1].chrom] is not None]
            if len(on_genome) < len(mine):
                lacking = sorted({locus.chrom for _, locus in mine if keys[locus.chrom] is None})
                gaps.append(Gap("off_genome", {"rows": len(mine) - len(on_genome), **where, "chromosomes": lacking}))
            spread = np.linspace(0, len(on_genome) - 1, min(CHECKED, len(on_genome))).round().astype(np.int64)
            sample = [on_genome[i] for i in spread.tolist()]
            agree = _agreeing(dataset.sequences, sample, genome, keys, path)
            if agree < SAME_GENOME * len(sample):
                raise another_assembly(path, agree, len(sample), what)
            if agree < len(sample):
                gaps.append(Gap("other_letters", {"rows": len(sample) - agree, "of": len(sample), **where}))
            compared, agreed = compared + len(sample), agreed + agree
    return (compared, agreed), gaps


def another_assembly(path: Path, agree: int, compared: int, what: str) -> FormatError:
    """Return the error that a genome is not the one that coordinates refer to.

    Args:
        path: The genome.
        agree: Rows that have its letters at their coordinates.
        compared: Rows that were compared.
        what: What these rows are, in the plural.
    """
    return FormatError(
        f"{path}: only {agree} of {compared} {what} have, at their coordinates, the letters of this genome: it is "
        f"of another assembly, or the coordinates are not 0-based and half-open. Give the genome they refer to."
    )


def _agreeing(
    sequences: Sequences | None,
    rows: Sequence[tuple[int, Locus]],
    genome: Any,
    keys: dict[str, str | None],
    path: Path,
) -> int:
    """Count the rows that have the genome's letters at their coordinates, on their strand."""
    agree = 0
    for i, locus in rows:
        if sequences is not None and locus.end <= len(genome[keys[locus.chrom]]):
            window = cut_sequences(genome, [locus], ["x"], np.zeros(1, dtype=np.int64), path)
            agree += decode(window.bases) == sequences.string(i)
    return agree


KNOWN = (*(suffix for suffix in READABLE if suffix not in JSON), *BED)
"""Suffixes of files that are data; JSON in a folder describes them."""
_OWN, _MANIFEST = "groups.csv", "manifest.json"
"""What ``kmerit split`` writes next to the splits."""


@dataclass(frozen=True)
class Readable:
    """What is found in a folder.

    Attributes:
        splits: ``train.csv`` and so on, by name.
        nested: ``train/positive.fa`` and so on, by folder and name; empty where there are ``splits``.
        unread: Other files that could be read, as paths below the folder.
    """

    splits: tuple[Path, ...]
    nested: tuple[Path, ...]
    unread: tuple[str, ...]


def readable(folder: Path) -> Readable:
    """List the files of a folder that are splits.

    Folders whose names are no splits' are read only where no other is: ``old/`` next to ``train/`` is none.

    Raises:
        FormatError: Splits both as files and as folders, or two files of one split that differ in their suffix alone.
    """
    flat = [path for path in sorted(folder.iterdir()) if path.is_file() and suffix(path) in KNOWN]
    splits = [path for path in flat if role(stem(path)) is not None]
    nested = [
        path for path in sorted(folder.glob("*/*")) if path.is_file() and suffix(path) in (*FASTA, *CSV, *TSV, *BED)
    ]
    by_folder = [path for path in nested if role(path.parent.name) is not None]
    if splits and by_folder:
        raise FormatError(
            f"{folder}: both {splits[0].name} and {by_folder[0].relative_to(folder)}: are the splits files or folders? "
            f"Remove one kind, or name the files: train=FILE test=FILE"
        )
    files = splits or by_folder or nested
    _refuse_twins(folder, files)
    own = folder / _OWN if (folder / _MANIFEST).is_file() else None
    unread = [path for path in sorted(folder.rglob("*")) if path.is_file() and suffix(path) in KNOWN]
    names = [path.relative_to(folder).as_posix() for path in unread if path != own and path not in files]
    return Readable(tuple(splits), () if splits else tuple(files), tuple(names) if files else ())


def _refuse_twins(folder: Path, paths: Sequence[Path]) -> None:
    """Refuse ``train.csv`` next to ``train.tsv``: the same rows in two formats would count twice."""
    by_stem: dict[Path, Path] = {}
    for path in paths:
        twin = by_stem.setdefault(path.with_name(stem(path)), path)
        if twin is not path:
            one, other = twin.relative_to(folder), path.relative_to(folder)
            raise FormatError(
                f"{folder}: {one} and {other} differ in their suffix alone: are they the same rows? Remove one; or, if "
                f"they are two parts, name them one by one: train=FILE train=FILE"
            )


def suffix(path: Path) -> str:
    """Give the suffix before that of a compression, in lower case.

    Example:
        >>> suffix(Path("a/train.CSV.gz")), stem(Path("a/train.CSV.gz"))
        ('.csv', 'train')
    """
    return Path(unpacked_name(path)).suffix.lower()


def stem(path: Path) -> str:
    """Give the name without suffixes."""
    return Path(unpacked_name(path)).stem


SPLIT_COLUMNS = ("split", "partition", "subset")
"""Usual names of the column that says which split a row belongs to."""
Data = str | Path | Sequences | Dataset | Mapping[str, Any] | Sequence[str | Path]
"""What can be audited: a name, paths, sequences, a DataFrame, or splits by name."""


@dataclass(frozen=True)
class Reading:
    """How files are to be understood.

    Attributes:
        sequence_column, label_column, name_column, split_column: Where they are not found by themselves.
        classes: Names of the classes, in the order of the labels.
        case: ``"upper"`` reads lower-case (soft-masked) letters as upper case; ``"exact"`` refuses them.
        rename: Whether names that occur twice in a file are numbered.
        genome: FASTA to cut intervals out of, and to check sequences against.
        width: Nucleotides cut out around each summit or middle of BED and narrowPeak.
        coordinates: Whether coordinates are used.
        min_length: Shorter rows are left out and counted, in nt.
    """

    sequence_column: str | None = None
    label_column: str | None = None
    name_column: str | None = None
    split_column: str | None = None
    classes: tuple[str, ...] | None = None
    case: Case = "upper"
    rename: bool = False
    genome: str | Path | None = None
    width: int | None = None
    coordinates: bool = True
    min_length: int = 1


def read_dataset(data: Data, how: Reading | None = None) -> Dataset:
    """Read a data set from sequences, a table, files, a folder or a bundled task.

    Args:
        data: A task's name; a file with a column ``split``; a folder with ``train.csv`` and ``test.csv``, or with
            ``train/positive.fa`` and so on, or ``train/positive/*.txt`` (one file a sequence), or of intervals as in
            genomic_benchmarks; several files, with their splits in front (``train=a.csv``) or in their names; or
            sequences by split.
        how: How to understand it.

    Raises:
        FormatError: Files that cannot be read, that are one and the same or one split twice, coordinates that fit
            neither letters nor genome, or a split or class without a row of ``min_length``.
        LabelError: No labels, fewer than two classes, or two of one name.

    Example:
        >>> rows = Sequences.from_strings(["ACGT", "AAAA"], labels=[0, 1])
        >>> read_dataset({"train": rows, "test": rows}).splits
        ('train', 'test')
    """
    how = how or Reading()
    if isinstance(data, Dataset):
        return data
    name, parts, classes, unread = _parts(data, how)
    if not how.coordinates:
        parts = {split: [_without_coordinates(rows) for rows in groups] for split, groups in parts.items()}
    dataset = assemble(name, parts, how.classes or classes)
    dataset = replace(_long(dataset, how.min_length), unread=unread)
    return dataset if how.genome is None else on_genome(dataset, Path(how.genome))


def _long(dataset: Dataset, least: int) -> Dataset:
    """Leave short rows out and count them; no split and no class may be lost by that."""
    long = dataset.lengths >= least
    what = "lower --min-length, or leave it out"
    if not long.any():
        raise FormatError(f"{dataset.name}: no row has {least} nt or more: {what}.")
    for kind, names, index in (
        ("split", dataset.splits, dataset.split),
        ("class", dataset.classes, dataset.labels),
    ):
        for number, name in enumerate(names):
            part = index == number
            if part.any() and not long[part].any():
                raise FormatError(
                    f"{dataset.name}: none of the {part.sum():,} rows of the {kind} {name} has {least} nt or more (the "
                    f"longest has {dataset.lengths[part].max()}): {what}."
                )
    long_rows = dataset if long.all() else dataset.take(np.flatnonzero(long))
    return replace(long_rows, min_length=least, too_short=int((~long).sum()))


def _parts(data: Any, how: Reading) -> tuple[str, dict[str, list[Rows]], Sequence[str] | None, tuple[str, ...]]:
    """Read rows by split; names of classes, if they are given; and the files that were not read."""
    if isinstance(data, Sequences):
        return "given sequences", {"all": [Rows.of(data)]}, None, ()
    if is_frame(data):
        return "given sequences", _of_frame(data), None, ()
    if isinstance(data, Mapping):
        parts = {split: [_rows_of(source, how)] for split, source in data.items()}
        return "given sequences", parts, None, ()
    if isinstance(data, str | Path):
        if not os.path.exists(data) and str(data) in tasks():
            return (*_task(str(data), how), ())
        if os.path.isdir(data):
            return _folder(Path(data), how)
        if not os.path.exists(data) and is_hub_name(str(data)):
            return str(data), _hub(data, how), None, ()
        if not os.path.exists(data) and as_region(str(data)) is not None:
            raise UsageError(
                f"{data}: a region is one sequence without a class; an audit compares classes. Give files of intervals "
                f"with --genome: a table of chrom, start, end and label, or a folder of SPLIT/CLASS.bed."
            )
        if not os.path.exists(data) and Path(data).name == str(data) and not suffix(Path(data)):
            raise UnknownName("file, folder or task", str(data), tasks())
        return Path(data).name, _file(Path(data), how), None, ()
    paths = [str(path) for path in data]
    if len(paths) == 1 and "=" not in paths[0]:
        return _parts(paths[0], how)
    return (*_files(paths, how), ())


def _task(name: str, how: Reading) -> tuple[str, dict[str, list[Rows]], Sequence[str]]:
    """Load the published splits: what kmerit carves off for validation is part of the training split."""
    task = tasks()[name]
    if not task.packed and isinstance(how.genome, str | Path):
        raise UsageError(f"{name}: give the folder of its intervals, and the genome with --genome.")
    train = [Rows.of(load_task(task, split)) for split in ("train", "validation")]
    return name, {"train": train, "test": [Rows.of(load_task(task, "test"))]}, task.classes


def _rows_of(source: Any, how: Reading) -> Rows:
    if isinstance(source, Rows):
        return source
    return _rows(Path(source), how)[0] if isinstance(source, str | Path) else Rows.of(as_sequences(source))


def _of_frame(frame: Any) -> dict[str, list[Rows]]:
    """Split a DataFrame by its column of splits; without one it is a single split."""
    sequences = as_sequences(frame)
    column = [name for name in frame.columns if name.strip().lower() in SPLIT_COLUMNS]
    if len(column) > 1:
        raise FormatError(f"DataFrame: {', '.join(map(repr, column))} could each be the column of splits. Rename one.")
    if not column:
        return {"all": [Rows.of(sequences)]}
    splits = frame[column[0]]
    if splits.isna().any():
        raise FormatError(f"DataFrame, row {int(splits.isna().argmax())}: the split is missing; every row needs one.")
    return {str(name): [Rows.of(sequences.take((splits == name).to_numpy()))] for name in splits.unique()}


def _without_coordinates(rows: Rows) -> Rows:
    return replace(rows, loci=None)


def _files(paths: Sequence[str], how: Reading) -> tuple[str, dict[str, list[Rows]], None]:
    """Read one file per split; none may be given twice, under any name."""
    parts: dict[str, list[Rows]] = {}
    by_digest: dict[str, str] = {}
    for text in paths:
        split, _, file_name = text.partition("=")
        path = Path(file_name or text)
        split_name = split if file_name else _split_of(path)
        if split_name is None and not os.path.isfile(path) and not suffix(path):
            raise UsageError(
                f"{short(text, 40)}: neither a file nor SPLIT=FILE. Give an audit files of splits (train=a.csv "
                f"test=b.csv), or in Python a DataFrame, sequences with labels, or a dict of these by split."
            )
        if split_name is None:
            raise UsageError(f"{text}: which split is this? Write train={text}, or test={text}.")
        if not path.is_file():
            raise FormatError(f"{path}: no such file. Check the path; it is relative to {Path.cwd()}.")
        digest = sha256(path)
        if digest in by_digest:
            raise FormatError(
                f"{path} and {by_digest[digest]} are the same file, byte for byte: every row would be in two splits. "
                f"Give each split its own file, or make splits with: kmerit split"
            )
        by_digest[digest] = str(path)
        parts.setdefault(split_name, []).append(_rows(path, how)[0])
    return " + ".join(Path(text.partition("=")[2] or text).name for text in paths), parts, None


def _split_of(path: Path) -> str | None:
    """Guess a file's split from the words of its name."""
    words = stem(path).lower().replace("-", "_").replace(".", "_").split("_")
    return next((word for word in words if word in SPLIT_NAMES), None)


def _folder(folder: Path, how: Reading) -> tuple[str, dict[str, list[Rows]], Sequence[str] | None, tuple[str, ...]]:
    """Read ``SPLIT.suffix``, ``SPLIT/CLASS.suffix`` or ``SPLIT/CLASS/*.txt``; else a folder of the hub."""
    files = readable(folder)
    if files.splits:
        return folder.name, _files([str(path) for path in files.splits], how)[1], None, files.unread
    if files.nested:
        classes = _file_classes(folder, {stem(path) for path in files.nested}, how.classes)
        parts: dict[str, list[Rows]] = {}
        for path in files.nested:
            rows = _of_class(path, classes.index(stem(path)), how)
            parts.setdefault(path.parent.name, []).append(rows)
        return folder.name, parts, classes, files.unread
    if (texts := text_folder(folder, NOT_TEXT)) is not None:
        splits = {
            split: [Rows.of(read_text_folder(texts, split, how.case, how.rename, how.classes))] for split in texts.files
        }
        return folder.name, {split or "all": rows for split, rows in splits.items()}, None, ()
    return folder.name, _hub(folder, how), None, ()


def _file_classes(folder: Path, stems: set[str], classes: Sequence[str] | None) -> list[str]:
    """Order the classes that files are named after: as asked, else alphabetically."""
    if classes is None:
        return list(CLASS_FILES) if stems == set(CLASS_FILES) else sorted(stems)
    if sorted(classes) != sorted(stems):
        raise LabelError(
            f"{folder}: the classes are named {', '.join(classes)}, and the files {', '.join(sorted(stems))}. Name the "
            f"classes as the files, in the order wanted, or rename the files."
        )
    return list(classes)


def _hub(source: str | Path, how: Reading) -> dict[str, list[Rows]]:
    parts = {}
    for split in ("train", "validation", "test"):
        try:
            parts[split] = [Rows.of(read_sequences(source, split=split, **_read_as(how)))]
        except FormatError:
            if split != "validation":
                raise
    return parts


def _of_class(path: Path, label: int, how: Reading) -> Rows:
    """Read a file whose name is its class."""
    if suffix(path) in CSV and set(COLUMNS) <= set(read_csv(path)[0].column_names):
        ids, loci = read_interval_file(path)
        rows = Rows(tuple(ids), None, None, tuple(loci))
    else:
        rows, _ = _rows(path, how)
    return replace(rows, labels=np.full(len(rows.names), label, dtype=np.int64), classes=None)


def _file(path: Path, how: Reading) -> dict[str, list[Rows]]:
    """Read one file, and divide it by its column of splits."""
    rows, splits = _rows(path, how)
    if splits is None:
        return {_split_of(path) or "all": [rows]}
    parts = {}
    for split in dict.fromkeys(splits):
        mine = [i for i, name in enumerate(splits) if name == split]
        parts[split] = [_take(rows, mine)]
    return parts


def _take(rows: Rows, index: Sequence[int]) -> Rows:
    return Rows(
        tuple(rows.names[i] for i in index),
        None if rows.labels is None else rows.labels[index],
        None if rows.sequences is None else rows.sequences.take(index),
        None if rows.loci is None else tuple(rows.loci[i] for i in index),
        rows.classes,
    )


def _rows(path: Path, how: Reading) -> tuple[Rows, list[str] | None]:
    """Read a file: FASTA, or a table with letters, or one with coordinates alone; and its column of splits."""
    kind = suffix(path)
    if how.width is not None and kind not in BED:
        raise FormatError(f"{path}: a width was given, which is for BED and narrowPeak. Leave it out.")
    if kind in (*FASTA, *FASTQ):
        return Rows.of(read_sequences(path, case=how.case, rename=how.rename, coordinates=how.coordinates)), None
    if kind not in TABLES:  # of an unknown suffix the reader says which are known
        return Rows.of(read_sequences(path, rename=how.rename, genome=how.genome, width=how.width)), None
    table, where = read_table(path)
    splits = table_column("split", how.split_column, SPLIT_COLUMNS, table, str(path))
    if (
        splits is not None
        and (empty := next((i for i, cell in enumerate(splits) if cell in (None, "")), None)) is not None
    ):
        raise FormatError(f"{where(empty)}: the split is missing. Give every row one, or drop the column.")
    split_names = None if splits is None else [str(cell) for cell in splits]
    lettered = {column.strip().lower() for column in table.column_names} & set(SEQUENCE_COLUMNS)
    loci = None if lettered or how.sequence_column else table_loci(table, where, str(path))
    if loci is None:
        return Rows.of(table_sequences(table, where, str(path), **_read_as(how))), split_names
    return _intervals(table, where, str(path), loci, how), split_names


def _intervals(table: Any, where: Any, source: str, loci: Sequence[Locus | None], how: Reading) -> Rows:
    if None in loci:
        raise FormatError(f"{where(list(loci).index(None))}: neither letters nor coordinates; a row needs one of them.")
    labels = table_column("label", how.label_column, LABEL_COLUMNS, table, source)
    names = table_column("name", how.name_column, NAME_COLUMNS, table, source)
    numbers, classes = (None, None) if labels is None else read_labels(labels, where, source)
    return Rows(
        tuple(f"row{i}" for i in range(len(loci))) if names is None else tuple(map(str, names)),
        numbers,
        None,
        tuple(loci),
        classes,
    )


def _read_as(how: Reading) -> dict[str, Any]:
    return {
        "case": how.case,
        "rename": how.rename,
        "sequence_column": how.sequence_column,
        "label_column": how.label_column,
        "name_column": how.name_column,
        "coordinates": how.coordinates,
    }
