"""New splits on disk: nothing that they were made of is overwritten, and nothing of an earlier split stays."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from kmerit.audit.dataset import Dataset
from kmerit.audit.folders import KNOWN
from kmerit.audit.splitting import SPLITS, Division, distinct_names
from kmerit.data.files import unpacked_name
from kmerit.data.text_folders import SPLIT_NAMES
from kmerit.errors import UsageError
from kmerit.types import Int64, Sequences


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
    written = {f"{split}{suffix}" for split in SPLITS for suffix in (".parquet", ".csv")} | {"groups.csv"}
    for text in given:
        path = Path(text.partition("=")[2] or text)
        same = path.exists() and path.resolve() == out.resolve()
        if same or (path.name in written and path.is_file() and path.resolve().parent == out.resolve()):
            raise UsageError(f"{path} is read, and would be overwritten in {out}. Give another folder: --out OTHER")


def write_split(division: Division, out: Path | str) -> Path:
    """Write one file per split (Parquet; CSV if only coordinates are known), ``groups.csv``, and ``manifest.json``.

    Files of an earlier split of kmerit in that folder are replaced, and removed where the new split has none such.

    Returns:
        The manifest.

    Raises:
        UsageError: The folder has files of splits that are not of an earlier split of kmerit.

    Example:
        >>> import tempfile
        >>> from kmerit.audit import split
        >>> rows = Sequences.from_strings(["ACGTTGCA", "GGATCCAT", "TTTTGACA", "CCATTGAC"], labels=[0, 1, 0, 1])
        >>> write_split(split(rows, test=0.5), tempfile.mkdtemp()).name
        'manifest.json'
    """
    from kmerit.data import write_sequences
    from kmerit.data.files import atomic_write, sha256

    folder, dataset = Path(out), division.dataset
    names, numbers = distinct_names(dataset), np.array(dataset.numbers, dtype=np.int64)
    folder.mkdir(parents=True, exist_ok=True)
    stale = _written_before(folder)
    files = {}
    for number, name in enumerate(dataset.splits):
        mine = np.flatnonzero(dataset.split == number)
        path = folder / f"{name}.{'parquet' if dataset.sequences is not None else 'csv'}"
        if dataset.sequences is not None:
            part = dataset.sequences.take(mine)
            loci = None if dataset.loci is None else tuple(dataset.loci[i] for i in mine)
            own = tuple(names[i] for i in mine)
            labels, classes = numbers[dataset.labels[mine]], dataset.classes if dataset.named else None
            write_sequences(Sequences(own, part.bases, part.offsets, labels, loci, classes=classes), path)
        else:
            _write_intervals(dataset, names, mine, path)
        files[path.name] = sha256(path)
    with atomic_write(folder / "groups.csv") as part_, part_.open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(["name", "split", "group"])
        table.writerows(zip(names, (dataset.splits[i] for i in dataset.split), division.group.tolist(), strict=True))
    manifest = {
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
    with atomic_write(folder / "manifest.json") as part_:
        part_.write_text(json.dumps(manifest, indent=2, ensure_ascii=False) + "\n", encoding="utf-8", newline="\n")
    for path in stale:
        if path.name not in files:
            path.unlink(missing_ok=True)
    return folder / "manifest.json"


def _written_before(folder: Path) -> list[Path]:
    """List the files of an earlier split; refuse those that look like splits and are not of one."""
    known: set[str] = set()
    manifest = folder / "manifest.json"
    if manifest.is_file():
        try:
            known = set(json.loads(manifest.read_text(encoding="utf-8"))["sha256"])
        except (ValueError, KeyError, TypeError):
            raise UsageError(f"{manifest} is not of a split. Give another folder: --out OTHER") from None
    found = []
    for path in sorted(folder.iterdir()):
        bare = unpacked_name(path)
        if Path(bare).stem in SPLIT_NAMES and Path(bare).suffix.lower() in KNOWN:
            if path.name not in known:
                raise UsageError(
                    f"{path} is there and not of an earlier split: it would be mixed with the new ones. Move it away, "
                    f"or give another folder: --out OTHER"
                )
            found.append(path)
    return found


def _write_intervals(dataset: Dataset, names: Sequence[str], rows: Int64, path: Path) -> None:
    from kmerit.data.files import atomic_write

    labels = dataset.classes if dataset.named else dataset.numbers
    with atomic_write(path) as part, part.open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(["name", "chrom", "start", "end", "strand", "label"])
        for i in rows.tolist():
            locus = None if dataset.loci is None else dataset.loci[i]
            table.writerow([names[i], *(locus or ("", "", "", "")), labels[dataset.labels[i]]])
