"""New splits on disk: nothing that they were made of is overwritten, and old and new ones are never seen together."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from kmerit.audit.dataset import Dataset
from kmerit.audit.folders import KNOWN
from kmerit.audit.splitting import SPLITS, Division, distinct_names
from kmerit.data.files import unpacked_name
from kmerit.data.text_folders import SPLIT_NAMES
from kmerit.errors import UsageError
from kmerit.store import atomic_write, put_together, replaceable, staged, sums, write_json
from kmerit.types import Int64, Sequences

GROUPS, MANIFEST = "groups.csv", "manifest.json"


def refuse_own_input(out: Path, given: Iterable[str]) -> None:
    """Refuse a folder in which writing would overwrite, or mix with, what is read.

    Args:
        out: The folder to be.
        given: Data sets as they are named: a folder, a file, ``train=FILE``, or a task.

    Raises:
        UsageError: One of them is that folder, or a file that would be written.

    Example:
        >>> refuse_own_input(Path("splits"), ["train=my.csv"])
    """
    written = {f"{split}{suffix}" for split in SPLITS for suffix in (".parquet", ".csv")} | {GROUPS}
    for text in given:
        path = Path(text.partition("=")[2] or text)
        same = path.exists() and path.resolve() == out.resolve()
        if same or (path.name in written and path.is_file() and path.resolve().parent == out.resolve()):
            raise UsageError(f"{path} is read, and would be overwritten in {out}. Give another folder: --out OTHER")


def write_split(division: Division, out: Path | str) -> Path:
    """Write one file per split (Parquet; CSV if only coordinates are known), ``groups.csv``, and ``manifest.json``.

    Files of an earlier split of kmerit in that folder are replaced, and removed where the new split has none such: all
    at once, so that whenever this is stopped no old file is seen with a new one.

    Returns:
        The manifest.

    Raises:
        UsageError: The folder has files of splits that are not of an earlier split of kmerit, or were changed since.
        RunLocked: Another process writes to it.

    Example:
        >>> import tempfile
        >>> from kmerit.audit import split
        >>> rows = Sequences.from_strings(["ACGTTGCA", "GGATCCAT", "TTTTGACA", "CCATTGAC"], labels=[0, 1, 0, 1])
        >>> write_split(split(rows, test=0.5), tempfile.mkdtemp()).name
        'manifest.json'
    """
    folder, dataset = Path(out), division.dataset
    check_written(folder)
    with staged(folder, _is_own) as place:
        names = distinct_names(dataset)
        for number, name in enumerate(dataset.splits):
            _write_rows(dataset, names, np.flatnonzero(dataset.split == number), place, name)
        with atomic_write(place / GROUPS) as part, part.open("w", encoding="utf-8", newline="") as file:
            table = csv.writer(file, lineterminator="\n")
            table.writerow(["name", "split", "group"])
            rows = (dataset.splits[i] for i in dataset.split), division.group.tolist()
            table.writerows(zip(names, *rows, strict=True))
        files = sums(place, (path.name for path in place.iterdir()))
        write_json(place / MANIFEST, _manifest(division, files))
        put_together(place, folder, check_written(folder, files), MANIFEST)
    return folder / MANIFEST


def _is_own(name: str) -> bool:
    return name in (GROUPS, MANIFEST) or name in {
        f"{split}{suffix}" for split in SPLITS for suffix in (".parquet", ".csv")
    }


def _manifest(division: Division, files: dict[str, str]) -> dict[str, Any]:
    dataset = division.dataset
    return {
        "data": dataset.name,
        "classes": list(dataset.classes),
        "rows": {
            name: {label: int(dataset.group(number, j).sum()) for j, label in enumerate(dataset.classes)}
            for number, name in enumerate(dataset.splits)
        },
        "groups": int(np.unique(division.group).size),
        "dropped": division.dropped,
        "settings": division.settings,
        "sha256": files,
    }


def check_written(folder: Path, new: dict[str, str] | None = None) -> list[str]:
    """List the files of an earlier split; refuse those that look like splits and are not, or no longer, of one.

    Args:
        folder: Where the new ones will be.
        new: Their sums: what is there already of a writing that was stopped.

    Raises:
        UsageError: There is a file that would be overwritten, or mixed with the new ones.
    """
    known: dict[str, str] = {}
    manifest = folder / MANIFEST
    if manifest.is_file():
        try:
            known = dict(json.loads(manifest.read_text(encoding="utf-8"))["sha256"])
        except (ValueError, KeyError, TypeError):
            raise UsageError(f"{manifest} is not of a split. Give another folder: --out OTHER") from None
    found = replaceable(folder, "split", lambda name: name == GROUPS or _looks_like_a_split(name), known, new)
    return [*found, *([MANIFEST] if manifest.is_file() else [])]


def _looks_like_a_split(name: str) -> bool:
    bare = Path(unpacked_name(Path(name)))
    return bare.stem in SPLIT_NAMES and bare.suffix.lower() in KNOWN


def _write_rows(dataset: Dataset, names: Sequence[str], rows: Int64, folder: Path, split: str) -> None:
    """Write the rows of a split: with sequences Parquet, else their coordinates as CSV."""
    numbers = np.array(dataset.numbers, dtype=np.int64)[dataset.labels[rows]]
    loci = None if dataset.loci is None else tuple(dataset.loci[i] for i in rows)
    if dataset.sequences is not None:
        from kmerit.data import write_sequences

        part, own = dataset.sequences.take(rows), tuple(names[i] for i in rows)
        classes = dataset.classes if dataset.named else None
        kept = Sequences(own, part.bases, part.offsets, numbers, loci, classes=classes)
        write_sequences(kept, folder / f"{split}.parquet")
        return
    labels = dataset.classes if dataset.named else dataset.numbers
    with atomic_write(folder / f"{split}.csv") as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(["name", "chrom", "start", "end", "strand", "label"])
        for at, i in enumerate(rows.tolist()):
            locus = None if loci is None else loci[at]
            table.writerow([names[i], *(locus or ("", "", "", "")), labels[dataset.labels[i]]])
