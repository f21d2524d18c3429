"""What of an audit's numbers exceeds a threshold, and what could not be compared with one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from kmerit.audit.result import Audit, Finding, Gap
from kmerit.audit.settings import Config

_LEAKS = {"copied": "copied", "overlapping": "overlapping", "near": "near", "leaked": "leaked"} | {
    "near_contradicting": "near_another_class"
}
"""Thresholds of rows that leak from another split, and what the audit counts of each."""
_ROWS = {"repeated": "repeated", "near_contradicting": "near_another_class"} | {
    code: code for code in ("with_n", "low_complexity", "too_short")
}
"""Thresholds of the rows of one split and class, and what the audit counts of each."""


def findings(audit: Audit, config: Config) -> list[Finding]:
    """Compare an audit's numbers with thresholds; gates first, then by how far they are exceeded."""
    found = [finding for part in (_leaks, _rows, _separable, _classes, _shape) for finding in part(audit, config)]
    return sorted(found, key=lambda f: (not f.gate, _ORDER.index(f.code), -f.value))


_ORDER = tuple(Finding.CODES)


def unmeasured(audit: Audit, config: Config) -> list[Gap]:
    """Say which of the thresholds that the config sets could not be compared with anything.

    Example:
        >>> from kmerit.audit import audit
        >>> from kmerit.types import Sequences
        >>> config = Config.parse({"thresholds": {"copied": 0.0, "with_n": 0.0}})
        >>> rows = Sequences.from_strings(["ACGTTGCA", "GGATCCAT"], labels=[0, 1])
        >>> audit(rows, config=config, baselines=()).unchecked[-1]
        Gap(code='unmeasured', values={'thresholds': ['copied'], 'partly': False})
    """
    areas = {entry["baseline"]: entry["auroc"]["value"] for entry in audit.baselines}
    found: dict[str, list[Any]] = {
        **{code: [pair.get(key) for pair in audit.leaks] for code, key in _LEAKS.items()},
        "contradicting": [facts["rows_contradicted"] for facts in audit.classes.values()],
        "mixed": [facts["rows_overlapping_another_class"] for facts in audit.classes.values()],
        "feature_auroc": [entry["strength"] for entry in audit.features],
        "baseline_auroc": [*areas.values()],
        "ends": [areas.get("ends")],
        "leak_gain": [entry["leak_gain"]["value"] for entry in audit.baselines],
        "smallest_class": [0],
    }
    found["near_contradicting"] += [group["near_another_class"] for group in audit.groups]
    missing, partly = [], []
    for code in config.gates:
        values = found.get(code, [group.get(code) for group in audit.groups])
        if all(value is None for value in values):
            missing.append(code)
        elif code not in _OF_ALL and None in values:
            partly.append(code)
    return [
        Gap("unmeasured", {"thresholds": thresholds, "partly": thresholds is partly})
        for thresholds in (missing, partly)
        if thresholds
    ]


_OF_ALL = ("feature_auroc", "baseline_auroc", "ends", "leak_gain", "smallest_class")
"""Thresholds of numbers that are of all classes together."""


def _exceeding(
    config: Config, code: str, where: str, label: int | None, value: float | None, **values: Any
) -> Iterator[Finding]:
    threshold = float(getattr(config.thresholds, code))
    if value is not None and (value < threshold if code == "smallest_class" else value > threshold):
        yield _finding(code, where, label, value, threshold, values, code in config.gates)


def _finding(
    code: str,
    where: str,
    label: int | None,
    value: float,
    threshold: float,
    values: Mapping[str, Any],
    gate: bool = False,
) -> Finding:
    return Finding(code, values, where=where, label=label, value=value, threshold=threshold, gate=gate)


def _leaks(audit: Audit, config: Config) -> Iterator[Finding]:
    for pair in audit.leaks:
        label = audit.classes[pair["class"]]["label"]
        exceeded: set[str] = set()
        for code, key in _LEAKS.items():
            if pair[key] is None or (code == "leaked" and exceeded and code not in config.gates):
                continue
            placed_only = code == "overlapping" and pair["placed"] < pair["rows"]
            rows = pair["placed"] if placed_only else pair["rows"]
            where = {"split": pair["split"], "rows": rows, "against": pair["against"], "placed_only": placed_only}
            for finding in _exceeding(config, code, pair["class"], label, pair[key] / rows, **where):
                exceeded.add(code)
                yield finding


def _classes(audit: Audit, config: Config) -> Iterator[Finding]:
    for name, facts in audit.classes.items():
        label = facts["label"]
        yield from _exceeding(config, "contradicting", name, label, facts["rows_contradicted"])
        if (share := facts["rows_overlapping_another_class"]) is not None:
            some = any(group["placed"] < group["rows"] for group in audit.groups if group["class"] == name)
            yield from _exceeding(config, "mixed", name, label, share, placed_only=some)


def _rows(audit: Audit, config: Config) -> Iterator[Finding]:
    for group in audit.groups:
        label = audit.classes[group["class"]]["label"]
        for code, key in _ROWS.items():
            if (count := group.get(key)) is not None:
                where: dict[str, Any] = {"split": group["split"], "rows": group["rows"]}
                if code == "near_contradicting":
                    where |= {"against": group["split"], "placed_only": False}
                yield from _exceeding(config, code, group["class"], label, count / group["rows"], **where)


@dataclass(frozen=True)
class _Estimate:
    """Something that was measured on a sample of rows: a finding only where its whole interval is too much.

    Attributes:
        code: The threshold.
        where: The feature or baseline.
        value: The estimate.
        low: The low end of its 95 % interval; None where there is no interval.
        ceiling: That end, had the rows been separated fully.
        values: What else the finding says.
    """

    code: str
    where: str
    value: float | None
    low: float | None
    ceiling: float | None
    values: Mapping[str, Any] = field(default_factory=dict)

    def clears(self, threshold: float) -> bool:
        return self.low is not None and self.low > threshold


def unresolved(audit: Audit, config: Config) -> list[Gap]:
    """Say which thresholds could not be compared with what was measured, for want of rows.

    Example:
        >>> from kmerit.audit import audit
        >>> from kmerit.types import Sequences
        >>> rows = Sequences.from_strings(["ACGTTGCA", "GGATCCAT"], labels=[0, 1])
        >>> gap = audit(rows, baselines=()).unchecked[-1]
        >>> gap.code, gap.values["code"]
        ('all_unresolved', 'feature_auroc')
    """
    gaps = []
    estimates = list(_estimates(audit))
    for code in ("feature_auroc", "baseline_auroc", "ends"):
        threshold = float(getattr(config.thresholds, code))
        ceilings = [each.ceiling for each in estimates if each.code == code and each.ceiling is not None]
        if ceilings and max(ceilings) <= threshold:
            gaps.append(Gap("all_unresolved", {"code": code, "threshold": threshold, "ceiling": max(ceilings)}))
            estimates = [each for each in estimates if each.code != code]
    for each in estimates:
        threshold = float(getattr(config.thresholds, each.code))
        if each.value is not None and each.value > threshold and not each.clears(threshold):
            numbers = {"threshold": threshold, "value": each.value, "low": each.low}
            gaps.append(Gap("unresolved", {"where": each.where, "code": each.code, **numbers}))
    return gaps


def _separable(audit: Audit, config: Config) -> Iterator[Finding]:
    for each in _estimates(audit):
        if each.clears(float(getattr(config.thresholds, each.code))):
            yield from _exceeding(config, each.code, each.where, None, each.value, **each.values)


def _estimates(audit: Audit) -> Iterator[_Estimate]:
    for entry in audit.features:
        if entry["strength"] is not None:
            low = entry["at_least"]
            values = {"at_least": low}
            yield _Estimate("feature_auroc", entry["feature"], entry["strength"], low, entry["ceiling"], values)
    yield from _baselines(audit)


def _baselines(audit: Audit) -> Iterator[_Estimate]:
    areas = {entry["baseline"]: entry["auroc"] for entry in audit.baselines if entry["auroc"]["value"] is not None}
    if "ends" in areas:
        ends, gc = areas["ends"], areas.get("GC", {"value": 0.5, "high": 0.5})
        # A GC content that tells nothing may lie below chance by luck; the ends are not the better for that.
        least, unsure = max(gc["value"], 0.5), max(gc["high"] or 1.0, 0.5) - max(gc["value"], 0.5)

        def beyond(value: float, low: float | None) -> float | None:
            """Give the low end of the difference's interval, from those of both (Newcombe's square-and-add)."""
            return None if low is None else value - least - float(np.hypot(value - low, unsure))

        low, ceiling = beyond(ends["value"], ends["low"]), beyond(1.0, ends["ceiling"])
        values = {"auroc": ends["value"], "gc": gc["value"]}
        yield _Estimate("ends", "ends", ends["value"] - least, low, ceiling, values)
    for entry in audit.baselines:
        name, area, gain = entry["baseline"], entry["auroc"], entry["leak_gain"]
        if area["value"] is not None:
            yield _Estimate("baseline_auroc", name, area["value"], area["low"], area["ceiling"])
        if gain["value"] is not None:
            numbers = {each: entry[each]["value"] for each in Finding.CODES["leak_gain"]}
            yield _Estimate("leak_gain", name, gain["value"], gain["low"], None, numbers)


def _shape(audit: Audit, config: Config) -> Iterator[Finding]:
    if len(audit.splits) == 1:
        yield _finding("one_split", next(iter(audit.splits)), None, 1.0, 0.0, {})
    for split, rows in audit.splits.items():
        sizes = {group["class"]: group["rows"] for group in audit.groups if group["split"] == split}
        smallest = min(audit.classes, key=lambda name: sizes.get(name, 0))
        share, label = sizes.get(smallest, 0) / max(rows, 1), audit.classes[smallest]["label"]
        yield from _exceeding(config, "smallest_class", smallest, label, share, split=split, rows=rows)
    placed = {name: [0, 0] for name in audit.classes}
    for group in audit.groups:
        if group["placed"] is not None:
            placed[group["class"]][0] += group["placed"]
            placed[group["class"]][1] += group["rows"]
    missing = {name: counts for name, counts in placed.items() if counts[0] < counts[1]}
    if missing and any(known for known, _ in placed.values()):
        yield _finding("half_placed", ", ".join(missing), None, 1.0, 0.0, {"by_class": missing})
