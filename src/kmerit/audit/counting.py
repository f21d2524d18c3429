"""What an audit counts: leaks by class, what rows are made of, how far classes lie apart."""

from __future__ import annotations

from typing import Any

import numpy as np

from kmerit.audit.composition import DINUCLEOTIDES
from kmerit.audit.contacts import OTHER, SAME, merged
from kmerit.audit.dataset import Dataset
from kmerit.audit.evidence import Evidence, feature_names
from kmerit.types import Bool, Floats


def count_classes(dataset: Dataset, evidence: Evidence) -> dict[str, dict[str, Any]]:
    """Count every class, its test rows against its training rows."""
    several, last = len(dataset.splits) > 1, len(dataset.splits) - 1
    found: dict[str, dict[str, Any]] = {}
    known, start, end = dataset.places()
    placed = dataset.placed
    for label, name in enumerate(dataset.classes):
        mine = dataset.labels == label
        test = mine & (dataset.split == last) if several else np.zeros(len(dataset), dtype=np.bool_)
        here = mine[known]
        loci, covered = merged(start[here], end[here]) if here.any() else (None, None)
        only_turned = evidence.copied[:, 0] & ~evidence.exact[:, 0]
        found[name] = {
            "label": dataset.numbers[label],
            "rows": int(mine.sum()),
            "train_rows": int((mine & (dataset.split == 0)).sum()) if several else None,
            "test_rows": int(test.sum()) if several else None,
            "test_rows_placed": int((test & placed).sum()) if several and placed.any() else None,
            "distinct_rows": int(np.unique(evidence.key[mine]).size),
            "loci": loci,
            "covered_nt": covered,
            "test_rows_copied_from_train": _share(evidence.copied[:, 0, SAME], test),
            "test_rows_reverse_complement_of_train": None
            if dataset.sequences is None
            else _share(only_turned[:, SAME], test),
            "test_rows_overlapping_train": _share(evidence.overlapping[:, 0, SAME], test & placed)
            if evidence.overlapping is not None and (placed & dataset.group(0, label)).any()
            else None,
            "test_rows_near_train": _share_near(evidence, SAME, test),
            "test_rows_leaked": _share(evidence.any_leak()[:, 0, SAME], test),
            "test_rows_contradicted_by_train": _share(evidence.copied[:, 0, OTHER], test),
            "test_rows_near_another_class": _share_near(evidence, OTHER, test),
            "rows_contradicted": _share(evidence.copied[:, :, OTHER].any(axis=1), mine),
            "rows_overlapping_another_class": _share(evidence.overlapping[:, :, OTHER].any(axis=1), mine & placed)
            if evidence.overlapping is not None and (placed & ~mine).any()
            else None,
        }
    return found


def _share(what: Any, among: Bool) -> float | None:
    return float(what[among].mean()) if among.any() else None


def _share_near(evidence: Evidence, kind: int, among: Bool) -> float | None:
    """Give a share of rows, unless all are too short to have a near copy."""
    return _share(evidence.near[:, 0, kind], among) if evidence.near is not None and _wordy(evidence, among) else None


def _wordy(evidence: Evidence, among: Bool) -> bool:
    return evidence.wordy is not None and bool(evidence.wordy[among].any())


def count_leaks(dataset: Dataset, evidence: Evidence) -> list[dict[str, Any]]:
    """Count, for every split and each earlier one, the rows of each class with a partner there.

    Overlaps are counted among the ``placed`` rows, those with coordinates; they are unknown (None) unless there are
    some in both splits.
    """
    placed = dataset.placed
    tables = {
        "copied": evidence.copied,
        "near": evidence.near,
        "leaked": evidence.any_leak(),
    }
    return [
        {
            "split": dataset.splits[later],
            "against": dataset.splits[earlier],
            "class": name,
            "rows": int(mine.sum()),
            "placed": None if dataset.loci is None else int((mine & placed).sum()),
            "overlapping": int(evidence.overlapping[mine & placed, earlier, SAME].sum())
            if evidence.overlapping is not None
            and (mine & placed).any()
            and (dataset.group(earlier, label) & placed).any()
            else None,
            **{
                kind: None
                if table is None or (kind == "near" and not _wordy(evidence, mine))
                else int(table[mine, earlier, SAME].sum())
                for kind, table in tables.items()
            },
            "contradicted": int(evidence.copied[mine, earlier, OTHER].sum()),
            "near_another_class": int(evidence.near[mine, earlier, OTHER].sum())
            if evidence.near is not None and _wordy(evidence, mine)
            else None,
        }
        for later in range(len(dataset.splits))
        for earlier in range(later)
        for label, name in enumerate(dataset.classes)
        for mine in [dataset.group(later, label)]
        if mine.any()
    ]


def describe_groups(dataset: Dataset, evidence: Evidence) -> list[dict[str, Any]]:
    """Describe the rows of every split and class."""
    placed = None if dataset.loci is None else dataset.placed
    letters = None
    if dataset.sequences is not None:
        from kmerit.audit.composition import word_counts

        known = word_counts(dataset.sequences, 1)
        letters = np.concatenate([known, (dataset.lengths - known.sum(axis=1))[:, None]], axis=1)
    found = []
    for split, split_name in enumerate(dataset.splits):
        for label, name in enumerate(dataset.classes):
            mine = dataset.group(split, label)
            if not mine.any():
                continue
            lengths = dataset.lengths[mine]
            distinct, by_strand = (int(np.unique(key[mine]).size) for key in (evidence.key, evidence.exact_key))
            facts: dict[str, Any] = {
                "split": split_name,
                "class": name,
                "rows": int(mine.sum()),
                "length": {
                    "min": int(lengths.min()),
                    "median": float(np.median(lengths)),
                    "mean": float(lengths.mean()),
                    "max": int(lengths.max()),
                },
                "too_short": int((lengths < SHORTEST).sum()),
                "distinct": distinct,
                "repeated": int(mine.sum()) - distinct,
                "repeated_on_the_other_strand": None if dataset.sequences is None else by_strand - distinct,
                "overlapping_each_other": _inside(
                    evidence.overlapping if (mine & dataset.placed).any() else None, mine, split
                ),
                "near_each_other": _inside(evidence.near if _wordy(evidence, mine) else None, mine, split),
                "near_another_class": _inside(evidence.near if _wordy(evidence, mine) else None, mine, split, OTHER),
                "placed": None if placed is None else int(placed[mine].sum()),
            }
            if letters is not None and evidence.features is not None:
                facts |= _composition(evidence.features[mine], letters[mine])
            found.append(facts)
    return found


SHORTEST = 6
"""Shorter rows have no 6-mer."""
LOW_COMPLEXITY = 4.0
"""Rows with more than four times the pairs of equal triplets that random letters have are of low complexity."""


def _inside(table: Bool | None, mine: Bool, split: int, kind: int = SAME) -> int | None:
    return None if table is None else int(table[mine, split, kind].sum())


def _composition(features: Floats, letters: Floats) -> dict[str, Any]:
    names = feature_names()
    columns = {name: features[:, j] for j, name in enumerate(names)}
    return {
        "alphabet": {letter: int(count) for letter, count in zip("ACGTN", letters.sum(axis=0), strict=True)},
        "with_n": int((letters[:, 4] > 0).sum()),
        "gc": {"mean": float(columns["GC"].mean()), "sd": float(columns["GC"].std())},
        "cpg_oe": float(columns["CpG o/e"].mean()),
        "low_complexity": int((columns["low complexity"] > LOW_COMPLEXITY).sum()),
        "longest_run": int(columns["longest run"].max()),
        "repeats": float(columns["repeats"].mean()),
        "dinucleotides": {pair: float(columns[pair].mean()) for pair in DINUCLEOTIDES},
    }


def describe_distances(dataset: Dataset, evidence: Evidence) -> dict[str, Any] | None:
    """Summarise how far rows are from the nearest row of another class."""
    if evidence.distance is None:
        return None
    found: dict[str, Any] = {}
    for label, name in enumerate(dataset.classes):
        far = evidence.distance[dataset.labels == label]
        far = far[np.isfinite(far)]
        if far.size:
            low, middle, high = np.quantile(far, [0.05, 0.5, 0.95]).tolist()
            found[name] = {
                "rows": int(far.size),
                "overlapping": float((far == 0).mean()),
                "within_1000": float((far <= 1000).mean()),
                "quantile_05": low,
                "median": middle,
                "quantile_95": high,
            }
    return found or None


def gc_histograms(dataset: Dataset, evidence: Evidence) -> dict[str, Any] | None:
    """Give each class's shares of rows in 20 bins of GC content."""
    if evidence.features is None:
        return None
    gc = evidence.features[:, feature_names().index("GC")]
    bins = np.linspace(0, 1, 21)
    return {
        name: (np.histogram(gc[dataset.labels == label], bins)[0] / max(1, (dataset.labels == label).sum())).tolist()
        for label, name in enumerate(dataset.classes)
    }
