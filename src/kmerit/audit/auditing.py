"""One audit: read, count, compare, and say what was found."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from kmerit.audit.composition import DINUCLEOTIDES
from kmerit.audit.contacts import OTHER, SAME, NearCopies, copies, distances, merged, near_copies, overlaps
from kmerit.audit.dataset import Dataset
from kmerit.audit.reading import Data, Reading, read_dataset
from kmerit.audit.result import Audit
from kmerit.audit.settings import Config
from kmerit.types import Bool, Floats, Int64

Progress = Callable[[int, int], None]


@dataclass(frozen=True, eq=False)
class Evidence:
    """What is known of every row.

    Attributes:
        key: Equal for copies.
        copied, exact, overlapping, near: Tables of partners, ``bool [row, split, same class or another]``; ``exact``
            is that of copies on the same strand.
        links: Near copies, None without letters.
        features: ``[row, feature]``, None without letters.
        distance: ``[row]``, None without coordinates.
        group: Equal for rows that are linked by a copy, an overlap, or a near copy.
    """

    key: Int64
    copied: Bool
    exact: Bool
    overlapping: Bool | None
    near: Bool | None
    links: NearCopies | None
    features: Floats | None
    distance: Floats | None
    group: Int64

    def any_leak(self) -> Bool:
        """Join the tables: any kind of partner."""
        tables = [table for table in (self.copied, self.overlapping, self.near) if table is not None]
        return np.asarray(np.logical_or.reduce(tables))


def audit(
    data: Data,
    *,
    config: Config | None = None,
    reading: Reading | None = None,
    baselines: Sequence[str] | None = None,
    progress: Progress | None = None,
) -> Audit:
    """Look for what in a data set could fool a trial: leaks, easy features, contradictory labels.

    Args:
        data: A task's name, a file with a column ``split``, a folder of splits or of official intervals, several
            files (``["train=a.csv", "test=b.csv"]``), or sequences by split.
        config: Settings and thresholds.
        reading: How files are to be understood; a genome to check coordinates against or to cut intervals out of.
        baselines: In place of the config's: which ways to tell the classes are tried; ``()`` for none.
        progress: Told the steps done and to do.

    Returns:
        Numbers, and findings with what to do about them; everything is JSON-able.

    Raises:
        FormatError: Files that cannot be read, are the same file, or have coordinates that fit neither letters nor
            genome.
        LabelError: No labels, or fewer than two classes.

    Example:
        >>> import kmerit as km
        >>> rows = km.Sequences.from_strings(["ACGTTGCA", "GGATCCAT"], labels=[0, 1])
        >>> found = km.audit({"train": rows, "test": rows}, baselines=[])
        >>> found.classes["1"]["test_rows_copied_from_train"]
        1.0
    """
    from kmerit.audit.findings import findings

    config = config or Config()
    if baselines is not None:
        config = replace(config, settings=replace(config.settings, baselines=tuple(baselines)))
    steps = _Steps(progress, 13 + len(config.settings.baselines))
    dataset = read_dataset(data, reading)
    steps.tick()
    evidence = gather(dataset, config, steps.tick)
    features, judged = _separate(dataset, evidence, config, steps.tick)
    draft = Audit(
        name=dataset.name,
        splits={name: int((dataset.split == i).sum()) for i, name in enumerate(dataset.splits)},
        classes=_classes(dataset, evidence),
        groups=tuple(_groups(dataset, evidence)),
        leaks=tuple(_leaks(dataset, evidence)),
        features=tuple(features),
        baselines=tuple(judged),
        distance=_distance(dataset, evidence),
        histograms=_histograms(dataset, evidence),
        findings=(),
        unchecked=tuple(_unchecked(dataset)),
        settings={**asdict(config.settings), "thresholds": asdict(config.thresholds), "gates": config.gates},
    )
    steps.finish()
    return replace(draft, findings=tuple(findings(draft, config)))


class _Steps:
    """Counts what is done, for a bar."""

    def __init__(self, progress: Progress | None, total: int) -> None:
        self._progress, self._total, self._done = progress, total, 0

    def tick(self) -> None:
        self._done = min(self._done + 1, self._total)
        if self._progress is not None:
            self._progress(self._done, self._total)

    def finish(self) -> None:
        self._done = self._total - 1
        self.tick()


def gather(dataset: Dataset, config: Config, tick: Callable[[], None] = lambda: None) -> Evidence:
    """Find every row's partners, features and group."""
    from kmerit.audit.composition import features
    from kmerit.audit.grouping import copy_links, groups, place_links

    settings = config.settings
    key, copied = copies(dataset)
    exact = copied if dataset.sequences is None else copies(dataset, both_strands=False)[1]
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
        near,
        table,
        distances(dataset),
        groups(len(dataset), *links),
    )


def feature_names() -> tuple[str, ...]:
    """Name the columns of the evidence's features."""
    from kmerit.audit.composition import FEATURES

    return (*FEATURES, "repeats")


def _separate(
    dataset: Dataset, evidence: Evidence, config: Config, tick: Callable[[], None]
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    from kmerit.audit.separability import compare_baselines, compare_features, contest

    several = len(dataset.splits) > 1
    leak = evidence.any_leak()[:, 0] if several else None
    leaked = leak[:, SAME] if leak is not None else np.zeros(len(dataset), dtype=np.bool_)
    rows = contest(dataset, evidence.group, leaked, config.settings)
    if not rows.judge.size or not rows.learn.size:
        return [], []
    table, names = evidence.features, feature_names()
    if table is None:
        table, names = dataset.lengths.astype(float)[:, None], ("length",)
    values = {str(name): table[:, names.index(name)] for name in ("length", "GC") if name in names}
    features = compare_features(dataset, rows, table, names, config.settings)
    tick()
    return features, compare_baselines(dataset, rows, values, leak, config.settings, tick)


def _classes(dataset: Dataset, evidence: Evidence) -> dict[str, dict[str, Any]]:
    """Count every class, its test rows against its training rows."""
    several, last = len(dataset.splits) > 1, len(dataset.splits) - 1
    found: dict[str, dict[str, Any]] = {}
    known, start, end = dataset.places()
    for label, name in enumerate(dataset.classes):
        mine = dataset.labels == label
        test = mine & (dataset.split == last) if several else np.zeros(len(dataset), dtype=np.bool_)
        here = mine[known]
        loci, covered = merged(start[here], end[here]) if here.any() else (None, None)
        only_turned = evidence.copied[:, 0] & ~evidence.exact[:, 0]
        found[name] = {
            "label": label,
            "rows": int(mine.sum()),
            "train_rows": int((mine & (dataset.split == 0)).sum()) if several else None,
            "test_rows": int(test.sum()) if several else None,
            "distinct_rows": int(np.unique(evidence.key[mine]).size),
            "loci": loci,
            "covered_nt": covered,
            "test_rows_copied_from_train": _share(evidence.copied[:, 0, SAME], test),
            "test_rows_reverse_complement_of_train": None
            if dataset.sequences is None
            else _share(only_turned[:, SAME], test),
            "test_rows_overlapping_train": _share_placed(dataset, evidence.overlapping, SAME, test),
            "test_rows_near_train": None if evidence.near is None else _share(evidence.near[:, 0, SAME], test),
            "test_rows_leaked": _share(evidence.any_leak()[:, 0, SAME], test),
            "test_rows_contradicted_by_train": _share(evidence.copied[:, 0, OTHER], test),
            "rows_contradicted": _share(evidence.copied[:, :, OTHER].any(axis=1), mine),
            "rows_overlapping_another_class": None
            if evidence.overlapping is None
            else _share(evidence.overlapping[:, :, OTHER].any(axis=1), mine),
        }
    return found


def _share(what: Any, among: Bool) -> float | None:
    return float(what[among].mean()) if among.any() else None


def _share_placed(dataset: Dataset, table: Bool | None, kind: int, among: Bool) -> float | None:
    """Give a share of rows, unless none of them has coordinates."""
    if table is None or dataset.loci is None:
        return None
    placed = np.array([locus is not None for locus in dataset.loci])
    return _share(table[:, 0, kind], among) if (placed & among).any() else None


def _leaks(dataset: Dataset, evidence: Evidence) -> list[dict[str, Any]]:
    """Count, for every split and each earlier one, the rows of each class with a partner there."""
    tables = {
        "copied": evidence.copied,
        "overlapping": evidence.overlapping,
        "near": evidence.near,
        "leaked": evidence.any_leak(),
    }
    return [
        {
            "split": dataset.splits[later],
            "against": dataset.splits[earlier],
            "class": name,
            "rows": int(mine.sum()),
            **{
                kind: None if table is None else int(table[mine, earlier, SAME].sum()) for kind, table in tables.items()
            },
            "contradicted": int(evidence.copied[mine, earlier, OTHER].sum()),
        }
        for later in range(len(dataset.splits))
        for earlier in range(later)
        for label, name in enumerate(dataset.classes)
        for mine in [dataset.group(later, label)]
        if mine.any()
    ]


def _groups(dataset: Dataset, evidence: Evidence) -> list[dict[str, Any]]:
    """Describe the rows of every split and class."""
    placed = None if dataset.loci is None else np.array([locus is not None for locus in dataset.loci])
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
            distinct = int(np.unique(evidence.key[mine]).size)
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
                "overlapping_each_other": _inside(evidence.overlapping, mine, split),
                "near_each_other": _inside(evidence.near, mine, split),
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


def _inside(table: Bool | None, mine: Bool, split: int) -> int | None:
    return None if table is None else int(table[mine, split, SAME].sum())


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


def _distance(dataset: Dataset, evidence: Evidence) -> dict[str, Any] | None:
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


def _histograms(dataset: Dataset, evidence: Evidence) -> dict[str, Any] | None:
    if evidence.features is None:
        return None
    gc = evidence.features[:, feature_names().index("GC")]
    bins = np.linspace(0, 1, 21)
    return {
        name: (np.histogram(gc[dataset.labels == label], bins)[0] / max(1, (dataset.labels == label).sum())).tolist()
        for label, name in enumerate(dataset.classes)
    }


def _unchecked(dataset: Dataset) -> list[str]:
    """Say what could not be looked at."""
    said = []
    if dataset.sequences is None:
        said.append("Letters are not known: composition, near copies and baselines on words were not looked at.")
    if dataset.loci is None:
        said.append("Coordinates are not known: overlaps and distances were not looked at.")
    if len(dataset.splits) == 1:
        said.append("There is one split only: leaks between splits cannot be seen; baselines hold a quarter out.")
    return said
