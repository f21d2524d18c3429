"""The result of an audit: numbers, findings, and what a verdict must be read with, as codes and numbers."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import TYPE_CHECKING, Any, ClassVar

from kmerit.errors import FormatError
from kmerit.notebook import ShownAudit
from kmerit.types import Remark

if TYPE_CHECKING:
    import pandas as pd

SCHEMA = 2


@dataclass(frozen=True, kw_only=True)
class Finding(Remark):
    """Something in a data set that could fool a trial.

    Attributes:
        CODES: The thresholds that may be exceeded, see :class:`kmerit.audit.Thresholds`; ``one_split`` (leaks between
            splits cannot be seen) and ``half_placed`` (some rows have no coordinates) have none. With them what else
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
class Audit(ShownAudit):
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
        baselines: How well each baseline tells them, and what of that comes from leaked rows.
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

    def __repr__(self) -> str:
        splits = ", ".join(f"{split} {rows:,}" for split, rows in self.splits.items())
        codes = ", ".join(dict.fromkeys(finding.code for finding in self.findings))
        return f"<Audit of {self.name}: {splits}; {len(self.findings)} findings{f': {codes}' if codes else ''}>"

    def to_frame(self) -> pd.DataFrame:
        """Give a row per finding, worst first: the fields of `Finding`.

        Example:
            >>> import kmerit as km
            >>> rows = km.Sequences.from_strings(["ACGTTGCA", "GGATCCAT"], labels=[0, 1])
            >>> found = km.audit({"train": rows, "test": rows}, baselines=())
            >>> found.to_frame().columns[:3].tolist()
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
            >>> from kmerit.audit import audit
            >>> from kmerit.types import Sequences
            >>> rows = Sequences.from_strings(["ACGTTGCA", "GGATCCAT"], labels=[0, 1])
            >>> [each.code for each in audit({"train": rows, "test": rows}, baselines=()).concerns]
            ['leaked', 'leaked', 'separability_unseen']
        """
        found = [each for name in self.classes for each in self._leaks(name)]
        for finding in self.findings:
            if finding.code in ("feature_auroc", "baseline_auroc") and finding.where != "memory":
                found.append(Concern("separable", {"by": finding.where, "auroc": finding.value}))
            if finding.code == "ends":
                found.append(Concern("ends", {"auroc": finding.values["auroc"], "gc": finding.values["gc"]}))
            if finding.code in ("contradicting", "near_contradicting"):
                splits = {name: finding.values.get(name) for name in ("split", "against")}
                found.append(Concern("contradictory", {"class_name": finding.where, "share": finding.value, **splits}))
        if len(self.splits) == 1:
            found.append(Concern("leaks_unknown"))
        if all(entry["strength"] is None for entry in self.features):
            found.append(Concern("separability_unknown"))
        elif all(entry.get("ceiling", 1.0) <= self._threshold("feature_auroc") for entry in self.features):
            found.append(Concern("separability_unseen"))
        return tuple(found)

    def _leaks(self, name: str) -> Iterator[Concern]:
        """Find what of a class leaks from the training split, and from later ones, by which a model was chosen."""
        facts = self.classes[name]
        told = {
            code: share
            for code, key in _LEAKS.items()
            if (share := facts.get(key)) is not None and share > self._threshold(code)
        }
        if told:
            # All kinds together speak where none does alone. Of shares that read alike, the gravest kind's.
            kind = max([code for code in told if code != "leaked"] or told, key=lambda code: round(told[code], 3))
            placed_only = (
                kind == "overlapping" and facts.get("test_rows_placed", facts["test_rows"]) != facts["test_rows"]
            )
            values = {"kind": kind, "share": told[kind], "any_share": facts["test_rows_leaked"]}
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
