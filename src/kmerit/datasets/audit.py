"""The audit: read, count, compare, and report what could fool a trial."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from kmerit.datasets.dataset import Dataset, check_roles
from kmerit.datasets.features import DINUCLEOTIDES
from kmerit.datasets.findings import Audit, Config, Gap, Settings
from kmerit.datasets.reading import Data, Reading, read_dataset
from kmerit.datasets.similarity import OTHER, SAME, copies, distances, merged, near_copies_in, overlaps
from kmerit.sequences import Bool, Floats, Int64


@dataclass(frozen=True, eq=False)
class Evidence:
    """What is known of every row.

    Attributes:
        key: Equal for copies.
        copied, exact, overlapping, near: Tables of partners, ``bool [row, split, same class or another]``; ``exact``
            is that of copies on the same strand.
        wordy: ``[row]``, whether near copies can be found: the row has a word without N; None without letters.
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
    from kmerit.datasets.features import features
    from kmerit.datasets.similarity import copy_links, groups, place_links

    key, copied = copies(dataset)
    exact_key, exact = (key, copied) if dataset.sequences is None else copies(dataset, both_strands=False)
    tick()
    near = near_copies_in(
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
    from kmerit.datasets.features import FEATURES

    return (*FEATURES, "repeats")


def count_classes(dataset: Dataset, evidence: Evidence) -> dict[str, dict[str, Any]]:
    """Count every class, its test rows against its training rows."""
    several, last = len(dataset.splits) > 1, len(dataset.splits) - 1
    counts: dict[str, dict[str, Any]] = {}
    placed_rows, start, end = dataset.places()
    placed = dataset.placed
    for label, name in enumerate(dataset.classes):
        mine = dataset.labels == label
        test = mine & (dataset.split == last) if several else np.zeros(len(dataset), dtype=np.bool_)
        here = mine[placed_rows]
        loci, covered = merged(start[here], end[here]) if here.any() else (None, None)
        only_turned = evidence.copied[:, 0] & ~evidence.exact[:, 0]
        counts[name] = {
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
    return counts


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
        from kmerit.datasets.features import word_counts

        counts = word_counts(dataset.sequences, 1)
        letters = np.concatenate([counts, (dataset.lengths - counts.sum(axis=1))[:, None]], axis=1)
    groups = []
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
            groups.append(facts)
    return groups


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
    by_class: dict[str, Any] = {}
    for label, name in enumerate(dataset.classes):
        far = evidence.distance[dataset.labels == label]
        far = far[np.isfinite(far)]
        if far.size:
            low, middle, high = np.quantile(far, [0.05, 0.5, 0.95]).tolist()
            by_class[name] = {
                "rows": int(far.size),
                "overlapping": float((far == 0).mean()),
                "within_1000": float((far <= 1000).mean()),
                "quantile_05": low,
                "median": middle,
                "quantile_95": high,
            }
    return by_class or None


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


Progress = Callable[[int, int], None]


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
            files (``["train=a.csv", "test=b.csv"]``), a DataFrame (with a column ``split`` where there are several),
            or sequences by split: each `Sequences`, a DataFrame or a file.
        config: Settings and thresholds.
        reading: How files are to be understood; a genome to check coordinates against or to cut intervals out of.
        baselines: In place of the config's: which ways to distinguish the classes are tried; ``()`` for none.
        progress: Called with the steps done and to do.

    Returns:
        Numbers, and findings with what to do about them; everything is JSON-able.

    Raises:
        FormatError: Files that cannot be read, are the same file, or have coordinates that fit neither letters nor
            genome.
        LabelError: No labels, fewer than two classes, or two of one name.
        UsageError: Several splits, and none is named ``train``; or more than two, and none is named ``test``.

    Example:
        >>> import kmerit as km
        >>> rows = km.Sequences.from_strings(["ACGTTGCA", "GGATCCAT"], labels=[0, 1])
        >>> found = km.audit({"train": rows, "test": rows}, baselines=[])
        >>> found.classes["1"]["test_rows_copied_from_train"]
        1.0
    """
    from kmerit.datasets.findings import findings, unmeasured, unresolved

    config = config or Config()
    if baselines is not None:
        settings = Settings.parse({**config.settings.model_dump(), "baselines": list(baselines)})
        config = config.model_copy(update={"settings": settings})
    steps = _Steps(progress, 13 + len(config.settings.baselines))
    dataset = read_dataset(data, reading)
    check_roles(dataset)
    steps.tick()
    evidence = gather(dataset, config.settings, steps.tick)
    features, judged = _separate(dataset, evidence, config, steps.tick)
    draft = Audit(
        name=dataset.name,
        splits={name: int((dataset.split == i).sum()) for i, name in enumerate(dataset.splits)},
        classes=count_classes(dataset, evidence),
        groups=tuple(describe_groups(dataset, evidence)),
        leaks=tuple(count_leaks(dataset, evidence)),
        features=tuple(features),
        baselines=tuple(judged),
        distance=describe_distances(dataset, evidence),
        histograms=gc_histograms(dataset, evidence),
        findings=(),
        unchecked=(*_unchecked(dataset, evidence.wordy, config.settings.k), *_unmeasured(dataset, features, judged)),
        settings={
            **config.settings.model_dump(),
            **_read(dataset),
            "thresholds": config.thresholds.model_dump(),
            "gates": config.gates,
        },
    )
    steps.finish()
    unchecked = (*draft.unchecked, *unresolved(draft, config), *unmeasured(draft, config))
    return replace(draft, findings=tuple(findings(draft, config)), unchecked=unchecked)


def _read(dataset: Dataset) -> dict[str, Any]:
    facts: dict[str, Any] = {}
    if dataset.compared is not None:
        facts |= {"rows_compared_with_genome": dataset.compared[0], "rows_with_its_letters": dataset.compared[1]}
    if dataset.min_length > 1:
        facts |= {"min_length": dataset.min_length, "rows_left_out_as_too_short": dataset.too_short}
    return facts


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


def _separate(
    dataset: Dataset, evidence: Evidence, config: Config, tick: Callable[[], None]
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    from kmerit.datasets.features import compare_baselines, compare_features, contest

    several = len(dataset.splits) > 1
    leak = evidence.any_leak()[:, 0] if several else None
    leaked = leak[:, SAME] if leak is not None else np.zeros(len(dataset), dtype=np.bool_)
    rows = contest(dataset, evidence.group, leaked, config.settings)
    table, names = evidence.features, feature_names()
    if table is None:
        table, names = dataset.lengths.astype(float)[:, None], ("length",)
    values = {str(name): table[:, names.index(name)] for name in ("length", "GC") if name in names}
    features = compare_features(dataset, rows, table, names)
    tick()
    return features, compare_baselines(dataset, rows, values, leak, config.settings, tick)


def _unmeasured(dataset: Dataset, features: list[dict[str, Any]], baselines: list[dict[str, Any]]) -> list[Gap]:
    """List the AUROCs that are undefined, or are not over all classes."""
    gaps = []
    first, last = dataset.splits[0], dataset.splits[-1]
    for number, split in ((0, first), (len(dataset.splits) - 1, last)):
        missing = [name for label, name in enumerate(dataset.classes) if not dataset.group(number, label).any()]
        if missing and len(dataset.splits) > 1:
            gaps.append(Gap("class_missing", {"split": split, "class_names": missing, "learning": number == 0}))
    features_without = [entry["feature"] for entry in features if entry["auroc"] is None]
    baselines_without = [entry["baseline"] for entry in baselines if entry["auroc"]["value"] is None]
    if features_without or baselines_without:
        gaps.append(Gap("auroc_undefined", {"features": features_without, "baselines": baselines_without}))
    return gaps


def _unchecked(dataset: Dataset, wordy: Bool | None, k: int) -> list[Gap]:
    """List what could not be checked."""
    gaps = list(dataset.gaps)
    if dataset.unread:
        gaps.append(Gap("unread", {"files": list(dataset.unread)}))
    if dataset.too_short:
        gaps.append(Gap("left_out", {"rows": dataset.too_short, "min_length": dataset.min_length}))
    if dataset.sequences is None:
        gaps.append(Gap("no_letters"))
    if wordy is not None and (short := int((~wordy).sum())):
        gaps.append(Gap("wordless", {"rows": short, "of": len(dataset), "k": k}))
    if dataset.loci is None:
        gaps.append(Gap("no_coordinates"))
    if len(dataset.splits) == 1:
        gaps.append(Gap("one_split"))
    return gaps
