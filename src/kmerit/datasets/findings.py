"""The result of an audit: numbers, findings and their thresholds."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, get_args, overload

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, NonNegativeInt, PositiveInt, field_validator

from kmerit.config import Several, Table
from kmerit.errors import FormatError, UsageError
from kmerit.formats import ShownAudit
from kmerit.results import Remark
from kmerit.sequences import Rows
from kmerit.sequences import Several as Selection
from kmerit.store import write_text

if TYPE_CHECKING:
    import pandas as pd


Baseline = Literal[
    "length", "GC", "chromosome", "memory", "ends", "nearest neighbour", "4-mer regression", "6-mer forest"
]
BASELINES: tuple[Baseline, ...] = get_args(Baseline)
"""Ways to distinguish the classes without learning biology; from cheap to expensive."""


class Thresholds(Table):
    """Above these (for ``smallest_class``: below) a finding is reported; shares of rows unless noted, 0 to 1.

    Attributes:
        copied: Rows of a class in a later split that are copies of training rows of that class, on either strand.
        overlapping: Likewise, whose coordinates overlap.
        near: Likewise, that are near copies.
        leaked: Likewise, that are any of these; reported where none of them is reported by itself, or where it is set.
        contradicting: Rows of a class that have a copy with another label.
        near_contradicting: Rows of a class in a later split that are near copies of training rows of another class; and
            rows that are near copies of rows of another class in their own split.
        repeated: Rows of a class and split that repeat an earlier row of that split.
        feature_auroc: AUROC of a single feature, in the direction that suits it; this one and the next three are found
            where the whole 95 % interval is above the threshold.
        baseline_auroc: AUROC of a baseline.
        ends: How much higher the AUROC of the first and last 20 letters is than that of GC content.
        leak_gain: How much more accurate a baseline is on all test rows than on those without a leak.
        mixed: Rows that overlap a row of another class on the genome.
        with_n: Rows of a class and split with an N.
        low_complexity: Rows of a class and split of low complexity.
        too_short: Rows of a class and split shorter than a 6-mer.
        smallest_class: Share of a split's rows that the smallest class has.
    """

    copied: float = 0.01
    overlapping: float = 0.05
    near: float = 0.05
    leaked: float = 0.05
    contradicting: float = 0.0
    near_contradicting: float = 0.01
    repeated: float = 0.05
    feature_auroc: float = 0.8
    baseline_auroc: float = 0.95
    ends: float = 0.05
    leak_gain: float = 0.05
    mixed: float = 0.01
    with_n: float = 0.01
    low_complexity: float = 0.05
    too_short: float = 0.0
    smallest_class: float = 0.2

    @field_validator("*")
    @classmethod
    def _share(cls, value: float) -> float:
        if not 0 <= value <= 1:  # shares, AUROCs and their differences: no number is above 1
            raise ValueError(
                f"expected a number from 0 to 1, got {value:g}: nothing would ever exceed it. Write a share, not a "
                f"percentage: 0.05 for 5 %"
            )
        return value


class Settings(Table):
    """How an audit is made.

    Attributes:
        k: Length of the words that near copies share.
        shared: Number of different words in common that makes near copies.
        most: Words in more rows than this count as repeats, not as something in common.
        covered: A row is also a near copy if this share of its words occurs in the training rows.
        baselines: Which are tried.
        train_rows: Training rows that regression learns from; the forest takes half of them, nearest neighbour all.
        test_rows: Test rows that features and baselines are measured on.
        trees: Of the forest.
        resamples: Bootstrap draws of each interval of an accuracy; clusters of linked rows are drawn together.
        seed: Of samples, forest and bootstrap.
    """

    k: Annotated[int, Field(ge=8, le=32)] = 32
    shared: PositiveInt = 40
    most: PositiveInt = 40
    covered: Annotated[float, Field(gt=0, le=1)] = 0.5
    baselines: Several[Baseline] = BASELINES
    train_rows: PositiveInt = 20_000
    test_rows: PositiveInt = 10_000
    trees: PositiveInt = 100
    resamples: NonNegativeInt = 500
    seed: NonNegativeInt = 0


class Config(Table):
    """The config of an audit.

    Attributes:
        settings: How it is made.
        thresholds: Above which a finding is reported.

    Example:
        >>> Config.parse({"thresholds": {"copied": 0.0}}).gates
        ('copied',)
    """

    settings: Settings = Settings()
    thresholds: Thresholds = Thresholds()

    @property
    def gates(self) -> tuple[str, ...]:
        """The thresholds that the user has set: where one is exceeded, ``kmerit audit`` ends with exit code 3."""
        return tuple(name for name in Thresholds.model_fields if name in self.thresholds.model_fields_set)


SCHEMA = 2


@dataclass(frozen=True, kw_only=True)
class Finding(Remark):
    """Something in a data set that could fool a trial.

    Attributes:
        CODES: The thresholds that may be exceeded, see :class:`Thresholds`; ``one_split`` (leaks between splits
            cannot be seen) and ``half_placed`` (some rows have no coordinates) have none. With them what else
            is to be said: the ``split`` and its ``rows``, the split that is leaked ``against``, whether only rows with
            coordinates count (``placed_only``), ...
        where: The class, feature, baseline or split.
        label: The class's number, where it is about one class.
        value: What was found; a share unless the threshold says otherwise.
        threshold: What is still let pass.
        gate: Whether the user's config asks to stop on it.
    """

    CODES: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "contradicting": (),
        **dict.fromkeys(
            ("copied", "overlapping", "near", "leaked", "near_contradicting"),
            ("split", "rows", "against", "placed_only"),
        ),
        "one_split": (),
        "feature_auroc": ("at_least",),
        "ends": ("auroc", "gc"),
        "baseline_auroc": (),
        "leak_gain": ("accuracy", "accuracy_clean", "share_from_leaked"),
        "mixed": ("placed_only",),
        "repeated": ("split", "rows"),
        "half_placed": ("by_class",),
        "smallest_class": ("split", "rows"),
        "too_short": ("split", "rows"),
        "with_n": ("split", "rows"),
        "low_complexity": ("split", "rows"),
    }

    where: str
    label: int | None
    value: float
    threshold: float
    gate: bool = False


class Gap(Remark):
    """Something that an audit could not look at, or could not decide.

    Attributes:
        CODES: ``unread``: files of the folder that were not read. ``left_out``: rows shorter than asked.
            ``no_letters``, ``no_coordinates``, ``one_split``: not given. ``wordless``: rows without ``k`` letters in
            one piece. ``class_missing``: classes that a split lacks. ``auroc_undefined``: of these features and
            baselines. ``off_genome``: rows on chromosomes that the genome lacks. ``other_letters``: rows whose letters
            are not the genome's. ``unmeasured``: thresholds of the config that nothing could be compared with, or
            (``partly``) not in every class and split. ``all_unresolved``: even a full separation of so few rows would
            not be beyond the threshold. ``unresolved``: the value is above the threshold, its interval is not.
    """

    CODES: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "unread": ("files",),
        "left_out": ("rows", "min_length"),
        "no_letters": (),
        "wordless": ("rows", "of", "k"),
        "no_coordinates": (),
        "one_split": (),
        "class_missing": ("split", "class_names", "learning"),
        "auroc_undefined": ("features", "baselines"),
        "off_genome": ("rows", "split", "class_name", "chromosomes"),
        "other_letters": ("rows", "of", "split", "class_name"),
        "unmeasured": ("thresholds", "partly"),
        "all_unresolved": ("code", "threshold", "ceiling"),
        "unresolved": ("where", "code", "threshold", "value", "low"),
    }


class Concern(Remark):
    """Something that a verdict on a data set must be read with.

    Attributes:
        CODES: ``leaked``: test rows of a class that leak from training rows, by the ``kind`` that most of them do.
            ``leaked_across``: likewise from another split. ``separable``: a feature or baseline distinguishes the
            classes. ``ends``: the ends do, better than GC content. ``contradictory``: rows whose copies, or near copies
            in the split ``against``, have another label. ``leaks_unknown``: there is one split only.
            ``separability_unknown``: the test rows are of one class. ``separability_unseen``: they are too few.
    """

    CODES: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "leaked": ("class_name", "kind", "share", "any_share", "placed_only"),
        "leaked_across": ("class_name", "split", "against", "share"),
        "separable": ("by", "auroc"),
        "ends": ("auroc", "gc"),
        "contradictory": ("class_name", "share", "split", "against"),
        "leaks_unknown": (),
        "separability_unknown": (),
        "separability_unseen": (),
    }


@dataclass(frozen=True)
class Audit(ShownAudit, Rows[Finding]):
    """What an audit found.

    Attributes:
        name: Of the data set.
        splits: Rows per split.
        classes: By name of the class: its ``label``; ``rows``, ``distinct_rows``, ``train_rows``, ``test_rows``,
            ``test_rows_placed`` (those with coordinates; shares of overlaps are of these); as shares of its test rows
            ``test_rows_copied_from_train``, ``test_rows_reverse_complement_of_train`` (copies on the other strand
            only), ``test_rows_overlapping_train``, ``test_rows_near_train`` and ``test_rows_leaked`` (any of them),
            all with training rows of the same class, and ``test_rows_contradicted_by_train`` (copies of another class)
            and ``test_rows_near_another_class`` (near copies of one); ``loci`` and ``covered_nt`` (overlapping rows
            merged). None where there is nothing to tell it by.
        groups: Per split and class: lengths, letters, composition, repeats.
        leaks: Per pair of splits and class: rows of the later one that copy, overlap or nearly copy the earlier one;
            ``placed`` is how many have coordinates. Overlaps are None unless rows of both have some.
        features: How well each single feature ranks the classes.
        baselines: How well each baseline predicts them, and what of that comes from leaked rows.
        distance: From rows of one class to the nearest row of another, in nt, by class; None without coordinates.
        histograms: Shares of GC content in 20 bins, by class.
        findings: What exceeds a threshold, worst first.
        unchecked: What could not be looked at, or not be decided.
        settings: How the audit was made; its thresholds.
    """

    name: str
    splits: Mapping[str, int]
    classes: Mapping[str, Mapping[str, Any]]
    groups: tuple[Mapping[str, Any], ...]
    leaks: tuple[Mapping[str, Any], ...]
    features: tuple[Mapping[str, Any], ...]
    baselines: tuple[Mapping[str, Any], ...]
    distance: Mapping[str, Any] | None
    histograms: Mapping[str, Any] | None
    findings: tuple[Finding, ...]
    unchecked: tuple[Gap, ...]
    settings: Mapping[str, Any] = field(default_factory=dict)
    schema: int = SCHEMA

    _what: ClassVar[str] = "finding"

    def _row_names(self) -> tuple[str, ...]:
        return tuple(finding.code for finding in self.findings)

    def _row(self, i: int) -> Finding:
        return self.findings[i]

    @overload  # type: ignore[override]
    def __getitem__(self, key: int) -> Finding: ...

    @overload
    def __getitem__(self, key: str | Selection) -> Audit: ...

    def __getitem__(self, key: int | str | Selection) -> Finding | Audit:
        """Return a finding by its number; an audit of some findings by a slice, a list, a mask, or their code."""
        if isinstance(key, str) and key in self:
            return self.take([i for i, code in enumerate(self._row_names()) if code == key])
        return super().__getitem__(key)

    def take(self, rows: NDArray[Any] | Sequence[int] | slice) -> Audit:
        """Select findings by index, slice or boolean mask; all else stays.

        Example:
            >>> import kmerit as km
            >>> sequences = km.Sequences.from_strings(["ACGTTGCA", "GGATCCAT"], labels=[0, 1])
            >>> result = km.audit({"train": sequences, "test": sequences}, baselines=())
            >>> result["copied"].take([0])[0].code
            'copied'
        """
        return replace(self, findings=tuple(self.findings[i] for i in np.arange(len(self))[rows]))

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the audit as JSON, as ``audit.json`` of ``kmerit audit`` has it.

        Raises:
            UsageError: The suffix is not ``.json``.

        Example:
            >>> import tempfile
            >>> import kmerit as km
            >>> sequences = km.Sequences.from_strings(["ACGTTGCA", "GGATCCAT"], labels=[0, 1])
            >>> result = km.audit({"train": sequences, "test": sequences}, baselines=())
            >>> with tempfile.TemporaryDirectory() as folder:
            ...     Audit.load(result.save(f"{folder}/audit.json")).findings == result.findings
            True
        """
        target = Path(path)
        if target.suffix != ".json":
            raise UsageError(f"{path}: an audit is written as JSON; give the file the suffix .json.")
        write_text(target, self.to_json())
        return target

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Audit:
        """Read what `save`, or ``kmerit audit``, wrote.

        Raises:
            FormatError: The file is no audit, or there is none.

        Example:
            >>> Audit.load("nowhere.json")
            Traceback (most recent call last):
            kmerit.errors.FormatError: nowhere.json: no such file. Write an audit with Audit.save or kmerit audit.
        """
        try:
            text = Path(path).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError):
            raise FormatError(f"{path}: no such file. Write an audit with Audit.save or kmerit audit.") from None
        return cls.from_json(text)

    def __repr__(self) -> str:
        splits = ", ".join(f"{split} {rows:,}" for split, rows in self.splits.items())
        codes = ", ".join(dict.fromkeys(finding.code for finding in self.findings))
        count = "1 finding" if len(self.findings) == 1 else f"{len(self.findings)} findings"
        return f"<Audit of {self.name}: {splits}; {count}{f': {codes}' if codes else ''}>"

    def to_frame(self) -> pd.DataFrame:
        """Give a row per finding, worst first: the fields of `Finding`.

        Example:
            >>> import kmerit as km
            >>> rows = km.Sequences.from_strings(["ACGTTGCA", "GGATCCAT"], labels=[0, 1])
            >>> result = km.audit({"train": rows, "test": rows}, baselines=())
            >>> result.to_frame().columns[:3].tolist()
            ['code', 'values', 'where']
        """
        import pandas as pd

        columns = [each.name for each in fields(Finding)]
        return pd.DataFrame([asdict(finding) for finding in self.findings], columns=columns)

    @property
    def stops(self) -> bool:
        """Whether a threshold that the user's config names is exceeded."""
        return any(finding.gate for finding in self.findings)

    def as_dict(self) -> dict[str, Any]:
        """Give everything as plain data, ready for JSON."""
        return asdict(self)

    def to_json(self) -> str:
        """Write JSON, the same bytes for the same data; unknown numbers are null."""
        return json.dumps(self.as_dict(), indent=2, ensure_ascii=False, allow_nan=False) + "\n"

    @classmethod
    def from_json(cls, text: str) -> Audit:
        """Read what :meth:`to_json` wrote.

        Raises:
            FormatError: It is not an audit, or one of another version of kmerit.
        """
        try:
            tree = json.loads(text)
            if tree["schema"] != SCHEMA:
                raise FormatError(f"The audit has layout {tree['schema']}; this kmerit reads {SCHEMA}. Make it again.")
            findings = tuple(Finding(**finding) for finding in tree.pop("findings"))
            unchecked = tuple(Gap(**gap) for gap in tree.pop("unchecked"))
            lists = ("groups", "leaks", "features", "baselines")
            fields: dict[str, Any] = {key: tuple(value) if key in lists else value for key, value in tree.items()}
            return cls(**fields, findings=findings, unchecked=unchecked)
        except (ValueError, KeyError, TypeError) as error:
            raise FormatError(f"Not an audit in JSON ({type(error).__name__}: {error}). Make it again.") from None

    @property
    def concerns(self) -> tuple[Concern, ...]:
        """List what a verdict on this data set must be read with.

        Of each class one leak, that of most rows, and one more for each split but the first that test rows leak from;
        then what separates the classes easily, contradictory labels, and what is not known of all this.

        Example:
            >>> from kmerit.datasets.audit import audit
            >>> from kmerit.sequences import Sequences
            >>> rows = Sequences.from_strings(["ACGTTGCA", "GGATCCAT"], labels=[0, 1])
            >>> [each.code for each in audit({"train": rows, "test": rows}, baselines=()).concerns]
            ['leaked', 'leaked', 'separability_unseen']
        """
        reasons = [each for name in self.classes for each in self._leaks(name)]
        for finding in self.findings:
            if finding.code in ("feature_auroc", "baseline_auroc") and finding.where != "memory":
                reasons.append(Concern("separable", {"by": finding.where, "auroc": finding.value}))
            if finding.code == "ends":
                reasons.append(Concern("ends", {"auroc": finding.values["auroc"], "gc": finding.values["gc"]}))
            if finding.code in ("contradicting", "near_contradicting"):
                splits = {name: finding.values.get(name) for name in ("split", "against")}
                reasons.append(
                    Concern("contradictory", {"class_name": finding.where, "share": finding.value, **splits})
                )
        if len(self.splits) == 1:
            reasons.append(Concern("leaks_unknown"))
        if all(entry["strength"] is None for entry in self.features):
            reasons.append(Concern("separability_unknown"))
        elif all(entry.get("ceiling", 1.0) <= self._threshold("feature_auroc") for entry in self.features):
            reasons.append(Concern("separability_unseen"))
        return tuple(reasons)

    def _leaks(self, name: str) -> Iterator[Concern]:
        """Find what of a class leaks from the training split, and from later ones, by which a model was chosen."""
        facts = self.classes[name]
        excess = {
            code: share
            for code, key in _LEAKS.items()
            if (share := facts.get(key)) is not None and share > self._threshold(code)
        }
        if excess:
            # All kinds together speak where none does alone. Of shares that read alike, the gravest kind's.
            kind = max([code for code in excess if code != "leaked"] or excess, key=lambda code: round(excess[code], 3))
            placed_only = (
                kind == "overlapping" and facts.get("test_rows_placed", facts["test_rows"]) != facts["test_rows"]
            )
            values = {"kind": kind, "share": excess[kind], "any_share": facts["test_rows_leaked"]}
            yield Concern("leaked", {"class_name": name, **values, "placed_only": placed_only})
        splits = [*self.splits]
        for pair in self.leaks:
            if pair["class"] != name or pair["split"] != splits[-1] or pair["against"] == splits[0]:
                continue
            shares = {
                code: pair[code] / rows
                for code in _LEAKS
                if pair.get(code) is not None
                and (rows := pair.get("placed", pair["rows"]) if code == "overlapping" else pair["rows"])
            }
            if any(share > self._threshold(code) for code, share in shares.items()):
                where = {"split": pair["split"], "against": pair["against"]}
                yield Concern("leaked_across", {"class_name": name, **where, "share": shares["leaked"]})

    def _threshold(self, code: str) -> float:
        return float(self.settings["thresholds"][code])


_LEAKS = {
    "copied": "test_rows_copied_from_train",
    "overlapping": "test_rows_overlapping_train",
    "near": "test_rows_near_train",
    "leaked": "test_rows_leaked",
}


_LEAK_FINDINGS = {"copied": "copied", "overlapping": "overlapping", "near": "near", "leaked": "leaked"} | {
    "near_contradicting": "near_another_class"
}
"""Thresholds of rows that leak from another split, and what the audit counts of each."""
_ROWS = {"repeated": "repeated", "near_contradicting": "near_another_class"} | {
    code: code for code in ("with_n", "low_complexity", "too_short")
}
"""Thresholds of the rows of one split and class, and what the audit counts of each."""


def findings(audit: Audit, config: Config) -> list[Finding]:
    """Compare an audit's numbers with thresholds; gates first, then by how far they are exceeded."""
    entries = [finding for part in (_leaks, _rows, _separable, _classes, _shape) for finding in part(audit, config)]
    return sorted(entries, key=lambda f: (not f.gate, _ORDER.index(f.code), -f.value))


_ORDER = tuple(Finding.CODES)


def unmeasured(audit: Audit, config: Config) -> list[Gap]:
    """List the thresholds that the config sets and that could not be compared with anything.

    Example:
        >>> from kmerit.datasets.audit import audit
        >>> from kmerit.sequences import Sequences
        >>> config = Config.parse({"thresholds": {"copied": 0.0, "with_n": 0.0}})
        >>> rows = Sequences.from_strings(["ACGTTGCA", "GGATCCAT"], labels=[0, 1])
        >>> audit(rows, config=config, baselines=()).unchecked[-1]
        Gap(code='unmeasured', values={'thresholds': ['copied'], 'partly': False})
    """
    areas = {entry["baseline"]: entry["auroc"]["value"] for entry in audit.baselines}
    by_code: dict[str, list[Any]] = {
        **{code: [pair.get(key) for pair in audit.leaks] for code, key in _LEAK_FINDINGS.items()},
        "contradicting": [facts["rows_contradicted"] for facts in audit.classes.values()],
        "mixed": [facts["rows_overlapping_another_class"] for facts in audit.classes.values()],
        "feature_auroc": [entry["strength"] for entry in audit.features],
        "baseline_auroc": [*areas.values()],
        "ends": [areas.get("ends")],
        "leak_gain": [entry["leak_gain"]["value"] for entry in audit.baselines],
        "smallest_class": [0],
    }
    by_code["near_contradicting"] += [group["near_another_class"] for group in audit.groups]
    missing, partly = [], []
    for code in config.gates:
        values = by_code.get(code, [group.get(code) for group in audit.groups])
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
        for code, key in _LEAK_FINDINGS.items():
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
            partly_placed = any(group["placed"] < group["rows"] for group in audit.groups if group["class"] == name)
            yield from _exceeding(config, "mixed", name, label, share, placed_only=partly_placed)


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
    """List the thresholds that could not be decided for want of rows.

    Example:
        >>> from kmerit.datasets.audit import audit
        >>> from kmerit.sequences import Sequences
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
        # A GC content that predicts nothing may lie below chance by luck; the ends are not the better for that.
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
    row_counts = {name: [0, 0] for name in audit.classes}
    for group in audit.groups:
        if group["placed"] is not None:
            row_counts[group["class"]][0] += group["placed"]
            row_counts[group["class"]][1] += group["rows"]
    missing = {name: counts for name, counts in row_counts.items() if counts[0] < counts[1]}
    if missing and any(known for known, _ in row_counts.values()):
        yield _finding("half_placed", ", ".join(missing), None, 1.0, 0.0, {"by_class": missing})
