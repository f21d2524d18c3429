"""Splits without leaks: every row once, and what belongs together in one split."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal, get_args

import numpy as np

from kmerit.audit.contacts import OTHER, NearCopies, copies, near_copies
from kmerit.audit.dataset import Dataset, bare_chromosome
from kmerit.audit.grouping import groups, place_links
from kmerit.audit.reading import Data, Reading, read_dataset
from kmerit.audit.settings import Settings
from kmerit.errors import ConfigError, FormatError
from kmerit.types import Bool, Int64

By = Literal["group", "chromosome"]
SPLITS = ("train", "validation", "test")


@dataclass(frozen=True, eq=False)
class Division:
    """A data set divided anew.

    Attributes:
        dataset: The rows that are kept, each different from all others on either strand; ``splits`` are the new ones.
        group: ``int64 [row]``, equal for rows that belong together; no group is in two splits.
        dropped: Rows left out: ``repeated`` (second copies), ``contradicting`` (copies with different labels),
            ``near_training`` (rows for a later split that nearly copy or are covered by training rows without being
            of their group: repeats, or another chromosome's copy), with a validation split ``near_validation``
            (test rows that do so with its rows), and ``too_short`` (rows below the least length asked for).
        settings: What determined it; ``not_read``: files that lay beside the splits; ``gaps``: coordinates in doubt.
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
    """Divide a data set anew, without copies and without leaks.

    Groups are linked by near copies of sequence on either strand, and by loci that lie at most ``near`` nucleotides
    apart. Large groups are placed first, each where its classes are missed most; so every split gets about its share
    of every class.

    Args:
        data: As for an audit; whatever splits it has are joined first.
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
        >>> from kmerit.types import Sequences
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
    kept = np.flatnonzero(first & ~contradicting)
    dropped = {
        "repeated": int((~first & ~contradicting).sum()),
        "contradicting": int(contradicting.sum()),
    }
    rows = replace(whole, names=distinct_names(whole)).take(kept)
    links = _near(rows, settings)
    linked = [place_links(rows, near)] + ([] if links is None else [links.pairs])
    group = groups(len(rows), *linked) if by == "group" else _chromosomes(rows)
    formed = int(group.max()) + 1
    fixed = _named_chromosomes(rows, chromosomes) if by == "chromosome" and chromosomes else None
    shares = {"train": 1 - test - validation, "validation": validation, "test": test}
    names = [name for name in SPLITS if shares[name] > 0]
    placed = _place(rows, group, [shares[name] for name in names], seed, fixed)
    divided = replace(rows, splits=tuple(names), split=placed)
    for number, name in enumerate(names[:-1]):
        leaking = _near_split(divided, number, settings)
        dropped[f"near_{'training' if name == 'train' else name}"] = int(leaking.sum())
        divided, group = divided.take(np.flatnonzero(~leaking)), group[~leaking]
    for number, name in enumerate(names):
        if not (divided.split == number).any():
            raise FormatError(
                f"{rows.name}: nothing is left for {name}: {len(rows)} different rows form {formed} "
                f"groups. Give more rows, or another share."
            )
    dropped["too_short"] = whole.too_short
    about: dict[str, Any] = {"test": test, "validation": validation, "by": by, "near": near, "seed": seed}
    about |= {"chromosomes": list(chromosomes)} | settings.model_dump(include={"k", "shared", "most", "covered"})
    about |= {"min_length": whole.min_length, "not_read": list(whole.unread)}
    about["gaps"] = [asdict(gap) for gap in whole.gaps]
    return Division(divided, group, dropped, about)


def _near(dataset: Dataset, settings: Settings) -> NearCopies | None:
    return near_copies(dataset, k=settings.k, shared=settings.shared, most=settings.most, covered=settings.covered)


def _near_split(dataset: Dataset, number: int, settings: Settings) -> Bool:
    """Mark the rows of later splits that still nearly copy rows of one split, of any class."""
    # Of no class: words that rows of two classes have between them count together.
    found = _near(replace(dataset, labels=np.zeros_like(dataset.labels), classes=("any",)), settings)
    if found is None:
        return np.zeros(len(dataset), dtype=np.bool_)
    return np.asarray(found.table[:, number].any(axis=1) & (dataset.split > number))


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


def _named_chromosomes(dataset: Dataset, wanted: Sequence[str]) -> Bool:
    names = _chromosome_names(dataset)
    if unknown := sorted(name for name in wanted if bare_chromosome(name) not in names):
        there = sorted({locus.chrom for locus in dataset.loci or () if locus is not None})
        raise ConfigError(f"chromosomes: no row lies on {unknown[0]!r}; there are {', '.join(there)}.")
    return np.isin(names, [bare_chromosome(name) for name in wanted])


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
        tested = np.unique(group[fixed])
        home[tested] = len(shares) - 1
        order = order[~np.isin(order, tested)]
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
