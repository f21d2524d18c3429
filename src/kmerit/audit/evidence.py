"""What is known of every row, before anything is counted."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from kmerit.audit.contacts import copies, distances, near_copies, overlaps
from kmerit.audit.dataset import Dataset
from kmerit.audit.settings import Settings
from kmerit.types import Bool, Floats, Int64


@dataclass(frozen=True, eq=False)
class Evidence:
    """What is known of every row.

    Attributes:
        key: Equal for copies.
        copied, exact, overlapping, near: Tables of partners, ``bool [row, split, same class or another]``; ``exact``
            is that of copies on the same strand.
        wordy: ``[row]``, whether near copies can be told at all: the row has a word without N; None without letters.
        exact_key: Equal for copies on the same strand.
        features: ``[row, feature]``, None without letters.
        distance: ``[row]``, None without coordinates.
        group: Equal for rows that are linked by a copy, an overlap, or a near copy.
    """

    key: Int64
    copied: Bool
    exact: Bool
    overlapping: Bool | None
    near: Bool | None
    wordy: Bool | None
    exact_key: Int64
    features: Floats | None
    distance: Floats | None
    group: Int64

    def any_leak(self) -> Bool:
        """Join the tables: any kind of partner."""
        tables = [table for table in (self.copied, self.overlapping, self.near) if table is not None]
        return np.asarray(np.logical_or.reduce(tables))


def gather(dataset: Dataset, settings: Settings, tick: Callable[[], None] = lambda: None) -> Evidence:
    """Find every row's partners, features and group."""
    from kmerit.audit.composition import features
    from kmerit.audit.grouping import copy_links, groups, place_links

    key, copied = copies(dataset)
    exact_key, exact = (key, copied) if dataset.sequences is None else copies(dataset, both_strands=False)
    tick()
    near = near_copies(
        dataset, k=settings.k, shared=settings.shared, most=settings.most, covered=settings.covered, tick=tick
    )
    links = [copy_links(key), place_links(dataset)] + ([] if near is None else [near.pairs])
    table = None
    if dataset.sequences is not None and near is not None:
        table = np.concatenate([features(dataset.sequences), near.repeats[:, None]], axis=1)
    tick()
    return Evidence(
        key,
        copied,
        exact,
        overlaps(dataset),
        None if near is None else near.table,
        None if near is None else near.known,
        exact_key,
        table,
        distances(dataset),
        groups(len(dataset), *links),
    )


def feature_names() -> tuple[str, ...]:
    """Name the columns of the evidence's features."""
    from kmerit.audit.composition import FEATURES

    return (*FEATURES, "repeats")
