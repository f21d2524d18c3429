"""One audit: read, count, compare, and say what was found."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from kmerit.audit.contacts import SAME
from kmerit.audit.counting import count_classes, count_leaks, describe_distances, describe_groups, gc_histograms
from kmerit.audit.dataset import Dataset, check_roles
from kmerit.audit.evidence import Evidence, feature_names, gather
from kmerit.audit.reading import Data, Reading, read_dataset
from kmerit.audit.result import Audit, Gap
from kmerit.audit.settings import Config, Settings
from kmerit.types import Bool

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
        progress: Told the steps done and to do.

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
    from kmerit.audit.findings import findings, unmeasured, unresolved

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
    found: dict[str, Any] = {}
    if dataset.compared is not None:
        found |= {"rows_compared_with_genome": dataset.compared[0], "rows_with_its_letters": dataset.compared[1]}
    if dataset.min_length > 1:
        found |= {"min_length": dataset.min_length, "rows_left_out_as_too_short": dataset.too_short}
    return found


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
    from kmerit.audit.separability import compare_baselines, compare_features, contest

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


def _unmeasured(dataset: Dataset, features: list[dict[str, Any]], judged: list[dict[str, Any]]) -> list[Gap]:
    """Say what AUROCs are undefined, or are not over all classes."""
    found = []
    first, last = dataset.splits[0], dataset.splits[-1]
    for number, split in ((0, first), (len(dataset.splits) - 1, last)):
        missing = [name for label, name in enumerate(dataset.classes) if not dataset.group(number, label).any()]
        if missing and len(dataset.splits) > 1:
            found.append(Gap("class_missing", {"split": split, "class_names": missing, "learning": number == 0}))
    features_without = [entry["feature"] for entry in features if entry["auroc"] is None]
    baselines_without = [entry["baseline"] for entry in judged if entry["auroc"]["value"] is None]
    if features_without or baselines_without:
        found.append(Gap("auroc_undefined", {"features": features_without, "baselines": baselines_without}))
    return found


def _unchecked(dataset: Dataset, wordy: Bool | None, k: int) -> list[Gap]:
    """Say what could not be looked at."""
    found = list(dataset.gaps)
    if dataset.unread:
        found.append(Gap("unread", {"files": list(dataset.unread)}))
    if dataset.too_short:
        found.append(Gap("left_out", {"rows": dataset.too_short, "min_length": dataset.min_length}))
    if dataset.sequences is None:
        found.append(Gap("no_letters"))
    if wordy is not None and (short := int((~wordy).sum())):
        found.append(Gap("wordless", {"rows": short, "of": len(dataset), "k": k}))
    if dataset.loci is None:
        found.append(Gap("no_coordinates"))
    if len(dataset.splits) == 1:
        found.append(Gap("one_split"))
    return found
