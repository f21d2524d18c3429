"""What of the numbers is worth telling, and what to do about it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from kmerit.audit.result import Audit, Finding
from kmerit.audit.settings import Config
from kmerit.formats import share as percent

_SPLIT = "Split anew by group: kmerit split --data DATA --out FOLDER; or leave those test rows out."
_VARIANTS = (
    "Find out whose label is right. If a few letters do decide (variants), keep them, near copies in one split: "
    "kmerit split does that."
)
_LEAKS = (
    ("copied", "copied", "are copies of rows of the same class in {against}, on either strand", _SPLIT),
    ("overlapping", "overlapping", "overlap rows of the same class in {against} on the genome", _SPLIT),
    ("near", "near", "are near copies of rows of the same class in {against}", _SPLIT),
    ("leaked", "leaked", "copy, overlap or nearly copy rows of the same class in {against}", _SPLIT),
    (
        "near_contradicting",
        "near_another_class",
        "are near copies of rows of another class in {against}: they contradict each other's label",
        _VARIANTS,
    ),
)


def findings(audit: Audit, config: Config) -> list[Finding]:
    """Compare an audit's numbers with thresholds; gates first, then by how far they are exceeded."""
    found = [finding for part in (_leaks, _rows, _separable, _classes, _shape) for finding in part(audit, config)]
    return sorted(found, key=lambda f: (not f.gate, _ORDER.index(f.code), -f.value))


_ORDER = (
    *(
        "contradicting",
        "copied",
        "overlapping",
        "near",
        "leaked",
        "near_contradicting",
        "one_split",
        "feature_auroc",
        "ends",
    ),
    *(
        "baseline_auroc",
        "leak_gain",
        "mixed",
        "repeated",
        "half_placed",
        "smallest_class",
        "too_short",
        "with_n",
        "low_complexity",
    ),
)


def unmeasured(audit: Audit, config: Config) -> list[str]:
    """Say which of the thresholds that the config sets could not be compared with anything.

    Example:
        >>> from kmerit.audit import audit
        >>> from kmerit.types import Sequences
        >>> config = Config.parse({"thresholds": {"copied": 0.0, "with_n": 0.0}})
        >>> rows = Sequences.from_strings(["ACGTTGCA", "GGATCCAT"], labels=[0, 1])
        >>> audit(rows, config=config, baselines=()).unchecked[-1]
        'Could not be checked, and passing says nothing about it: threshold copied.'
    """
    areas = {entry["baseline"]: entry["auroc"]["value"] for entry in audit.baselines}
    found: dict[str, list[Any]] = {
        **{code: [pair.get(key) for pair in audit.leaks] for code, key, *_ in _LEAKS},
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
    said = []
    for codes, how, of in (
        (missing, "Could not be checked", "them" if len(missing) > 1 else "it"),
        (partly, "Could not be checked for every class and split", "the others"),
    ):
        if codes:
            told = f"threshold{'s' if len(codes) > 1 else ''} {', '.join(codes)}"
            said.append(f"{how}, and passing says nothing about {of}: {told}.")
    return said


_OF_ALL = ("feature_auroc", "baseline_auroc", "ends", "leak_gain", "smallest_class")
"""Thresholds of numbers that are of all classes together."""


def _told(
    config: Config, code: str, where: str, label: int | None, value: float | None, text: str, remedy: str
) -> Iterator[Finding]:
    threshold = float(getattr(config.thresholds, code))
    if value is not None and (value < threshold if code == "smallest_class" else value > threshold):
        yield Finding(code, where, label, value, threshold, text, remedy, code in config.gates)


def _leaks(audit: Audit, config: Config) -> Iterator[Finding]:
    for pair in audit.leaks:
        label = audit.classes[pair["class"]]["label"]
        told: set[str] = set()
        for code, key, words, remedy in _LEAKS:
            if pair[key] is None or (code == "leaked" and told and code not in config.gates):
                continue
            rows, which = pair["rows"], ""
            if code == "overlapping" and pair["placed"] < rows:
                rows, which = pair["placed"], " with coordinates"
            share = pair[key] / rows
            text = (
                f"{percent(share)} of the {rows:,} {pair['split']} rows of {pair['class']}{which} "
                f"{words.format(against=pair['against'])}."
            )
            for finding in _told(config, code, pair["class"], label, share, text, remedy):
                told.add(code)
                yield finding


def _classes(audit: Audit, config: Config) -> Iterator[Finding]:
    for name, facts in audit.classes.items():
        share = facts["rows_contradicted"]
        if share is not None:
            text = f"{percent(share)} of the rows of {name} have a copy with another label."
            remedy = "Find out which label is right, or drop both: kmerit split drops them and counts them."
            yield from _told(config, "contradicting", name, facts["label"], share, text, remedy)
        share = facts["rows_overlapping_another_class"]
        if share is not None:
            some = any(group["placed"] < group["rows"] for group in audit.groups if group["class"] == name)
            which = " with coordinates" if some else ""
            text = f"{percent(share)} of the rows of {name}{which} overlap a row of another class on the genome."
            remedy = "Draw the background away from the positives, or drop what overlaps."
            yield from _told(config, "mixed", name, facts["label"], share, text, remedy)


def _rows(audit: Audit, config: Config) -> Iterator[Finding]:
    told = (
        (
            "repeated",
            "repeated",
            "repeat an earlier row of the same split",
            "Drop the second copies: kmerit split does.",
        ),
        (
            "near_contradicting",
            "near_another_class",
            "are near copies of rows of another class in the same split: they contradict each other's label",
            _VARIANTS,
        ),
        ("with_n", "with_n", "have an N", "Drop them (drop_n = true), or mind that no k-mer covers an N."),
        (
            "low_complexity",
            "low_complexity",
            "are of low complexity",
            "Look whether they are simple repeats, and drop them if so.",
        ),
        ("too_short", "too_short", "are shorter than a 6-mer", "Drop them: min_length = 6 or more."),
    )
    for group in audit.groups:
        label = audit.classes[group["class"]]["label"]
        for code, key, words, remedy in told:
            if (count := group.get(key)) is not None:
                share = count / group["rows"]
                text = f"{percent(share)} of the {group['rows']:,} {group['split']} rows of {group['class']} {words}."
                yield from _told(config, code, group["class"], label, share, text, remedy)


@dataclass(frozen=True)
class _Estimate:
    """Something that was measured on a sample of rows: a finding only where its whole interval is too much.

    Attributes:
        code: The threshold.
        where: The feature or baseline.
        value: The estimate.
        low: The low end of its 95 % interval; None where there is no interval.
        ceiling: That end, had the rows been separated fully.
        text: The finding in one sentence.
        remedy: What to do about it.
    """

    code: str
    where: str
    value: float | None
    low: float | None
    ceiling: float | None
    text: str
    remedy: str

    def clears(self, threshold: float) -> bool:
        return self.low is not None and self.low > threshold


def unresolved(audit: Audit, config: Config) -> list[str]:
    """Say which thresholds could not be compared with what was measured, for want of rows.

    Example:
        >>> from kmerit.audit import audit
        >>> from kmerit.types import Sequences
        >>> rows = Sequences.from_strings(["ACGTTGCA", "GGATCCAT"], labels=[0, 1])
        >>> print(audit(rows, baselines=()).unchecked[-1])
        Could not be checked; too few rows: whether any feature exceeds feature_auroc 0.8 (...).
    """
    lines = []
    estimates = list(_estimates(audit))
    for code, what in (("feature_auroc", "feature"), ("baseline_auroc", "baseline"), ("ends", "cut of the ends")):
        threshold = float(getattr(config.thresholds, code))
        ceilings = [each.ceiling for each in estimates if each.code == code and each.ceiling is not None]
        if ceilings and max(ceilings) <= threshold:
            lines.append(
                f"whether any {what} exceeds {code} {threshold:g} (on these rows the 95 % interval of a full "
                f"separation begins at {max(ceilings):.2f})"
            )
            estimates = [each for each in estimates if each.code != code]
    for each in estimates:
        threshold = float(getattr(config.thresholds, each.code))
        if each.value is not None and each.value > threshold and not each.clears(threshold):
            low = "no interval" if each.low is None else f"95 % interval from {each.low:.2f}"
            lines.append(f"whether {each.where} exceeds {each.code} {threshold:g} ({each.value:.2f}, {low})")
    return [f"Could not be checked; too few rows: {line}." for line in lines]


def _separable(audit: Audit, config: Config) -> Iterator[Finding]:
    for each in _estimates(audit):
        if each.clears(float(getattr(config.thresholds, each.code))):
            yield from _told(config, each.code, each.where, None, each.value, each.text, each.remedy)


def _estimates(audit: Audit) -> Iterator[_Estimate]:
    yield from _features(audit)
    yield from _baselines(audit)


def _features(audit: Audit) -> Iterator[_Estimate]:
    for entry in audit.features:
        name, strength, low = entry["feature"], entry["strength"], entry["at_least"]
        if strength is None:
            continue
        text = f"{name} alone distinguishes the classes: AUROC {strength:.2f}"
        text += "." if low is None else f", with 95 % confidence at least {low:.2f}."
        remedy = _REMEDIES.get(
            name, "Match the background in composition: kmerit negatives --kind gc, or --kind shuffled."
        )
        yield _Estimate("feature_auroc", name, strength, low, entry["ceiling"], text, remedy)


_REMEDIES = {
    "length": "Match the classes in length, or crop all rows to one.",
    "N": "Drop rows with an N (drop_n = true), in both classes; or find out why one class has more.",
    "longest run": "Look whether runs are left from cloning, sequencing or padding; cut them off, or drop such rows.",
    "low complexity": "Look whether such rows are simple repeats or padding of one class, and drop them if so.",
    "repeats": "Mask the repeats of the genome, or drop rows that are mostly repeats, in both classes alike.",
}
"""Of features that are no matter of composition."""


def _baselines(audit: Audit) -> Iterator[_Estimate]:
    areas = {entry["baseline"]: entry["auroc"] for entry in audit.baselines if entry["auroc"]["value"] is not None}
    if "ends" in areas:
        ends, gc = areas["ends"], areas.get("GC", {"value": 0.5, "high": 0.5})
        text = (
            f"The first and last 20 letters distinguish the classes with AUROC {ends['value']:.2f}, GC content with "
            f"{gc['value']:.2f}: where rows were cut gives their class away."
        )
        remedy = "Cut both classes alike: shift the ends at random, or crop from the centre."
        # A GC content that tells nothing may lie below chance by luck; the ends are not the better for that.
        least, unsure = max(gc["value"], 0.5), max(gc["high"] or 1.0, 0.5) - max(gc["value"], 0.5)

        def beyond(value: float, low: float | None) -> float | None:
            """Give the low end of the difference's interval, from those of both (Newcombe's square-and-add)."""
            return None if low is None else value - least - float(np.hypot(value - low, unsure))

        low, ceiling = beyond(ends["value"], ends["low"]), beyond(1.0, ends["ceiling"])
        yield _Estimate("ends", "ends", ends["value"] - least, low, ceiling, text, remedy)
    for entry in audit.baselines:
        name, area, gain = entry["baseline"], entry["auroc"], entry["leak_gain"]
        if area["value"] is not None:
            text = f"The baseline {name} reaches AUROC {area['value']:.2f}."
            remedy = _SPLIT if name == "memory" else "Report it beside every model: what a model earns begins above it."
            yield _Estimate("baseline_auroc", name, area["value"], area["low"], area["ceiling"], text, remedy)
        if gain["value"] is not None:
            share = entry["share_from_leaked"]["value"]
            text = (
                f"The baseline {name} is right on {percent(entry['accuracy']['value'])} of all test rows and on "
                f"{percent(entry['accuracy_clean']['value'])} of those without a leak"
            )
            text += "." if share is None else f"; {percent(share)} of its right answers are on leaked rows."
            yield _Estimate("leak_gain", name, gain["value"], gain["low"], None, text, _SPLIT)


def _shape(audit: Audit, config: Config) -> Iterator[Finding]:
    if len(audit.splits) == 1:
        split = next(iter(audit.splits))
        text = f"There is one split only ({split!r}): leaks between splits cannot be seen."
        yield Finding("one_split", split, None, 1.0, 0.0, text, "Make splits: kmerit split --data DATA --out FOLDER")
    for split, rows in audit.splits.items():
        sizes = {group["class"]: group["rows"] for group in audit.groups if group["split"] == split}
        smallest = min(audit.classes, key=lambda name: sizes.get(name, 0))
        share = sizes.get(smallest, 0) / max(rows, 1)
        text = f"{smallest} has {percent(share)} of the {rows:,} {split} rows."
        remedy = "Measure AUROC or MCC, not accuracy; weight the classes in training."
        yield from _told(config, "smallest_class", smallest, audit.classes[smallest]["label"], share, text, remedy)
    placed = {name: [0, 0] for name in audit.classes}
    for group in audit.groups:
        if group["placed"] is not None:
            placed[group["class"]][0] += group["placed"]
            placed[group["class"]][1] += group["rows"]
    missing = {name: counts for name, counts in placed.items() if counts[0] < counts[1]}
    if missing and any(known for known, _ in placed.values()):
        counts = ", ".join(f"{known:,} of {rows:,} rows of {name}" for name, (known, rows) in missing.items())
        text = f"{counts} have coordinates; overlaps and distances are known for those alone."
        remedy = "Give coordinates for all rows, or trust near copies by sequence alone."
        yield Finding("half_placed", ", ".join(missing), None, 1.0, 0.0, text, remedy)
