"""Splits without leaks: every row once, groups kept together, written without overwriting anything."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np

from kmerit.datasets.dataset import Dataset, bare_chromosome
from kmerit.datasets.findings import Settings
from kmerit.datasets.reading import KNOWN, Data, Reading, read_dataset
from kmerit.datasets.similarity import OTHER, NearCopies, copies, groups, near_copies_in, place_links
from kmerit.datasets.task import SPLITS
from kmerit.errors import ConfigError, FormatError, UsageError
from kmerit.io.files import unpacked_name
from kmerit.io.readers import SPLIT_NAMES
from kmerit.sequences import Bool, Int64, Sequences
from kmerit.store import put_together, replaceable, staged, sums, write_csv, write_json

By = Literal["group", "chromosome"]


@dataclass(frozen=True, eq=False)
class Division:
    """A data set divided into new splits.

    Attributes:
        dataset: The rows that are kept, each different from all others on either strand; ``splits`` are the new ones.
        group: ``int64 [row]``, equal for rows that belong together; no group is in two splits.
        dropped: Rows left out: ``repeated`` (second copies), ``contradicting`` (copies with different labels),
            ``near_training`` (rows for a later split that nearly copy or are covered by training rows without being
            of their group: repeats, or another chromosome's copy), with a validation split ``near_validation``
            (test rows that do so with its rows), and ``too_short`` (rows below the least length asked for).
        settings: What determined it; ``not_read``: files next to the splits; ``gaps``: coordinates in doubt.
    """

    dataset: Dataset
    group: Int64
    dropped: dict[str, int]
    settings: dict[str, Any]


def split(
    data: Data,
    *,
    test: float = 0.2,
    validation: float = 0.0,
    by: By = "group",
    chromosomes: Sequence[str] = (),
    near: int = 1000,
    seed: int = 0,
    settings: Settings | None = None,
    reading: Reading | None = None,
) -> Division:
    """Divide a data set into new splits, without copies and without leaks.

    Groups are linked by near copies of sequence on either strand, and by loci that lie at most ``near`` nucleotides
    apart. Large groups are placed first, each where its classes are missed most; so every split gets about its share
    of every class.

    Args:
        data: As for an audit; the splits it has are joined first.
        test: Share of the rows.
        validation: Share of the rows; 0 for none.
        by: ``"group"``, or ``"chromosome"``: whole chromosomes go to one split.
        chromosomes: Of the test split, if by chromosome; by default they are drawn.
        near: Nucleotides between loci of one group.
        seed: Of the order in which groups of equal size are placed.
        settings: What near copies are.
        reading: How files are to be understood.

    Returns:
        The rows, their splits and groups, and an account of what was dropped.

    Raises:
        ConfigError: Shares that leave nothing, chromosomes that no row has, or chromosomes and not by chromosome.
        FormatError: By chromosome, and rows without coordinates; or a split would be empty.

    Example:
        >>> from kmerit.sequences import Sequences
        >>> rows = Sequences.from_strings(["ACGTTGCA", "GGATCCAT", "GGATCCAT", "TTTTGACA"], labels=[0, 1, 1, 0])
        >>> done = split(rows, test=0.5)
        >>> len(done.dataset), done.dropped["repeated"]
        (3, 1)
    """
    if not 0 < test < 1 or not 0 <= validation < 1 or test + validation >= 1:
        raise ConfigError(f"test, validation: expected shares that leave some for training, got {test}, {validation}.")
    if by not in get_args(By):
        raise ConfigError(f"by: expected 'group' or 'chromosome', got {by!r}.")
    if chromosomes and by != "chromosome":
        raise ConfigError(
            f"chromosomes: {', '.join(chromosomes)} can be the test split only when splitting by chromosome. "
            f"Add --by chromosome, or leave --chromosomes out."
        )
    settings = settings or Settings()
    whole = read_dataset(data, reading)
    key, table = copies(whole)
    contradicting = table[:, :, OTHER].any(axis=1)
    first = np.zeros(len(whole), dtype=np.bool_)
    first[np.unique(key, return_index=True)[1]] = True
    own_rows = np.flatnonzero(first & ~contradicting)
    dropped = {
        "repeated": int((~first & ~contradicting).sum()),
        "contradicting": int(contradicting.sum()),
    }
    rows = replace(whole, names=distinct_names(whole)).take(own_rows)
    links = _near(rows, settings)
    link_tables = [place_links(rows, near)] + ([] if links is None else [links.pairs])
    group = groups(len(rows), *link_tables) if by == "group" else _chromosomes(rows)
    group_count = int(group.max()) + 1
    test_rows = _named_chromosomes(rows, chromosomes) if by == "chromosome" and chromosomes else None
    shares = {"train": 1 - test - validation, "validation": validation, "test": test}
    names = [name for name in SPLITS if shares[name] > 0]
    split_of_row = _place(rows, group, [shares[name] for name in names], seed, test_rows)
    result = replace(rows, splits=tuple(names), split=split_of_row)
    for number, name in enumerate(names[:-1]):
        leaking = _near_split(result, number, settings)
        dropped[f"near_{'training' if name == 'train' else name}"] = int(leaking.sum())
        result, group = result.take(np.flatnonzero(~leaking)), group[~leaking]
    for number, name in enumerate(names):
        if not (result.split == number).any():
            raise FormatError(
                f"{rows.name}: nothing is left for {name}: {len(rows)} different rows form {group_count} "
                f"groups. Give more rows, or another share."
            )
    dropped["too_short"] = whole.too_short
    about: dict[str, Any] = {"test": test, "validation": validation, "by": by, "near": near, "seed": seed}
    about |= {"chromosomes": list(chromosomes)} | settings.model_dump(include={"k", "shared", "most", "covered"})
    about |= {"min_length": whole.min_length, "not_read": list(whole.unread)}
    about["gaps"] = [asdict(gap) for gap in whole.gaps]
    return Division(result, group, dropped, about)


def _near(dataset: Dataset, settings: Settings) -> NearCopies | None:
    return near_copies_in(dataset, k=settings.k, shared=settings.shared, most=settings.most, covered=settings.covered)


def _near_split(dataset: Dataset, number: int, settings: Settings) -> Bool:
    """Mark the rows of later splits that still nearly copy rows of one split, of any class."""
    # Of no class: words that rows of two classes have between them count together.
    copies = _near(replace(dataset, labels=np.zeros_like(dataset.labels), classes=("any",)), settings)
    if copies is None:
        return np.zeros(len(dataset), dtype=np.bool_)
    return np.asarray(copies.table[:, number].any(axis=1) & (dataset.split > number))


def distinct_names(dataset: Dataset) -> tuple[str, ...]:
    """Name rows by themselves, or with their old split in front where two splits use the same names."""
    if len(set(dataset.names)) == len(dataset.names):
        return dataset.names
    return tuple(f"{dataset.splits[s]}/{name}" for s, name in zip(dataset.split, dataset.names, strict=True))


def _chromosomes(dataset: Dataset) -> Int64:
    names = _chromosome_names(dataset)
    return np.asarray(np.unique(names, return_inverse=True)[1], dtype=np.int64)


def _chromosome_names(dataset: Dataset) -> list[str]:
    if dataset.loci is None or None in dataset.loci:
        raise FormatError(
            f"{dataset.name}: splitting by chromosome needs the coordinates of every row. Use --by group."
        )
    return [bare_chromosome(locus.chrom) for locus in dataset.loci if locus is not None]


def _named_chromosomes(dataset: Dataset, chosen: Sequence[str]) -> Bool:
    names = _chromosome_names(dataset)
    if unknown := sorted(name for name in chosen if bare_chromosome(name) not in names):
        chromosomes_present = sorted({locus.chrom for locus in dataset.loci or () if locus is not None})
        raise ConfigError(f"chromosomes: no row lies on {unknown[0]!r}; there are {', '.join(chromosomes_present)}.")
    return np.isin(names, [bare_chromosome(name) for name in chosen])


def _place(dataset: Dataset, group: Int64, shares: list[float], seed: int, fixed: Bool | None) -> Int64:
    """Give every group a split: large ones first, each where its classes are missed most."""
    width = len(dataset.classes)
    counts = np.zeros((int(group.max()) + 1, width))
    np.add.at(counts, (group, dataset.labels), 1)
    total = np.maximum(counts.sum(axis=0), 1)
    order = np.random.default_rng(seed).permutation(len(counts))
    order = order[np.argsort(-counts.sum(axis=1)[order], kind="stable")]
    missing = np.outer(shares, total)
    home = np.zeros(len(counts), dtype=np.int64)
    free = np.ones(len(shares), dtype=np.bool_)
    if fixed is not None:
        test_groups = np.unique(group[fixed])
        home[test_groups] = len(shares) - 1
        order = order[~np.isin(order, test_groups)]
        free[-1] = False
    size = np.array(shares)[:, None] * total
    for each in order.tolist():
        own = counts[each]
        # Relative to a split's size: a row that a small split lacks weighs more than one that a large one lacks.
        after = (missing - own) / size
        cost = np.where(free, (after**2).sum(axis=1) - ((missing / size) ** 2).sum(axis=1), np.inf)
        best = int(np.argmin(cost))
        home[each] = best
        missing[best] -= own
    return home[group]


GROUPS, MANIFEST = "groups.csv", "manifest.json"


def refuse_own_input(out: Path, sources: Iterable[str]) -> None:
    """Refuse a folder in which writing would overwrite, or mix with, what is read.

    Args:
        out: The folder to be.
        sources: Data sets as they are named: a folder, a file, ``train=FILE``, or a task.

    Raises:
        UsageError: One of them is that folder, or a file that would be written.

    Example:
        >>> refuse_own_input(Path("splits"), ["train=my.csv"])
    """
    outputs = {f"{split}{suffix}" for split in SPLITS for suffix in (".parquet", ".csv")} | {GROUPS}
    for text in sources:
        path = Path(text.partition("=")[2] or text)
        same = path.exists() and path.resolve() == out.resolve()
        if same or (path.name in outputs and path.is_file() and path.resolve().parent == out.resolve()):
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
        >>> from kmerit.datasets.split import split
        >>> rows = Sequences.from_strings(["ACGTTGCA", "GGATCCAT", "TTTTGACA", "CCATTGAC"], labels=[0, 1, 0, 1])
        >>> write_split(split(rows, test=0.5), tempfile.mkdtemp()).name
        'manifest.json'
    """
    import pandas as pd

    folder, dataset = Path(out), division.dataset
    check_written(folder)
    with staged(folder, _is_own) as place:
        names = distinct_names(dataset)
        for number, name in enumerate(dataset.splits):
            _write_rows(dataset, names, np.flatnonzero(dataset.split == number), place, name)
        columns = {"name": names, "split": [dataset.splits[i] for i in dataset.split], "group": division.group}
        write_csv(place / GROUPS, pd.DataFrame(columns))
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
    sums: dict[str, str] = {}
    manifest = folder / MANIFEST
    if manifest.is_file():
        try:
            sums = dict(json.loads(manifest.read_text(encoding="utf-8"))["sha256"])
        except (ValueError, KeyError, TypeError):
            raise UsageError(f"{manifest} is not of a split. Give another folder: --out OTHER") from None
    names = replaceable(folder, "split", lambda name: name == GROUPS or _looks_like_a_split(name), sums, new)
    return [*names, *([MANIFEST] if manifest.is_file() else [])]


def _looks_like_a_split(name: str) -> bool:
    bare = Path(unpacked_name(Path(name)))
    return bare.stem in SPLIT_NAMES and bare.suffix.lower() in KNOWN


def _write_rows(dataset: Dataset, names: Sequence[str], rows: Int64, folder: Path, split: str) -> None:
    """Write the rows of a split: with sequences Parquet, else their coordinates as CSV."""
    import pandas as pd

    numbers = np.array(dataset.numbers, dtype=np.int64)[dataset.labels[rows]]
    loci = None if dataset.loci is None else tuple(dataset.loci[i] for i in rows)
    if dataset.sequences is not None:
        from kmerit.io.readers import write_sequences

        part, own = dataset.sequences.take(rows), tuple(names[i] for i in rows)
        classes = dataset.classes if dataset.named else None
        renumbered = Sequences(own, part.bases, part.offsets, numbers, loci, classes=classes)
        write_sequences(renumbered, folder / f"{split}.parquet")
        return
    labels = dataset.classes if dataset.named else dataset.numbers
    table = [
        [names[i], *((loci and loci[at]) or [""] * 4), labels[dataset.labels[i]]] for at, i in enumerate(rows.tolist())
    ]
    columns = ["name", "chrom", "start", "end", "strand", "label"]
    write_csv(folder / f"{split}.csv", pd.DataFrame(table, columns=columns, dtype=object))
