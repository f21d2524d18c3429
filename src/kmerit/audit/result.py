"""The result of an audit: numbers, findings, and sentences."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kmerit.errors import FormatError
from kmerit.formats import share as percent
from kmerit.notebook import ShownAudit

if TYPE_CHECKING:
    import pandas as pd

SCHEMA = 1


@dataclass(frozen=True)
class Finding:
    """Something in a data set that could fool a trial.

    Attributes:
        code: The threshold that is exceeded; ``one_split`` and ``half_placed`` have none.
        where: The class, or the split and class, or the data set.
        label: The class's number, where it is about one class.
        value: What was found; a share unless the threshold says otherwise.
        threshold: What is still let pass.
        text: The finding in one sentence.
        remedy: What to do about it.
        gate: Whether the user's config asks to stop on it.
    """

    code: str
    where: str
    label: int | None
    value: float
    threshold: float
    text: str
    remedy: str
    gate: bool = False


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
        unchecked: What could not be looked at, and why.
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
    unchecked: tuple[str, ...]
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
            ['code', 'where', 'label']
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
            FormatError: It is not an audit, or one of a newer kmerit.
        """
        try:
            tree = json.loads(text)
            if tree["schema"] > SCHEMA:
                raise FormatError(f"The audit has layout {tree['schema']}; this kmerit reads up to {SCHEMA}. Upgrade.")
            findings = tuple(Finding(**finding) for finding in tree.pop("findings"))
            lists = ("groups", "leaks", "features", "baselines", "unchecked")
            fields: dict[str, Any] = {key: tuple(value) if key in lists else value for key, value in tree.items()}
            return cls(**fields, findings=findings)
        except (ValueError, KeyError, TypeError) as error:
            raise FormatError(f"Not an audit in JSON ({type(error).__name__}: {error}). Make it again.") from None

    def for_report(self) -> list[dict[str, str]]:
        """Give the findings as a run's report wants them: ``title``, ``severity``, ``text``, ``remedy``."""
        return [
            {
                "title": f"{_TITLES[finding.code]}: {finding.where}",
                "severity": "failure" if finding.gate else "warning" if finding.code in _GRAVE else "note",
                "text": finding.text,
                "remedy": finding.remedy,
            }
            for finding in self.findings
        ]

    def warnings(self) -> list[tuple[str | None, str]]:
        """Say in a few words each what a verdict on this data set must be read with.

        Returns:
            The class concerned (None: the whole set) and a line such as ``leaked: 75.5 % of positive test rows are
            copies of training rows``; one leak per class, that of most rows, and one more for each split beside
            training and test that test rows leak from.

        Example:
            >>> from kmerit.audit import audit
            >>> from kmerit.types import Sequences
            >>> rows = Sequences.from_strings(["ACGTTGCA", "GGATCCAT"], labels=[0, 1])
            >>> audit({"train": rows, "test": rows}, baselines=()).warnings()[0]
            ('0', 'leaked: 100 % of 0 test rows are copies of training rows')
        """
        lines: list[tuple[str | None, str]] = []
        for name, facts in self.classes.items():
            told = [
                (share, words)
                for code, key, words in _LEAKS
                if (share := facts.get(key)) is not None and share > self._threshold(code)
            ]
            if told:
                # All kinds together speak where none does alone. Of shares that read alike, the gravest kind's.
                alone = [each for each in told if each[1] != _LEAKS[-1][2]]
                share, words = max(alone or told, key=lambda each: round(each[0], 3))
                partly = words == _OVERLAP and facts.get("test_rows_placed", facts["test_rows"]) != facts["test_rows"]
                which = "test rows with coordinates" if partly else "test rows"
                lines.append((name, f"leaked: {percent(share)} of {name} {which} {words}"))
            lines += [(name, f"leaked: {text}") for text in self._from_validation(name)]
        for finding in self.findings:
            if finding.code in ("feature_auroc", "baseline_auroc") and finding.where != "memory":
                trivially = "trivially separable" if finding.value >= 0.95 else "easily separable"
                lines.append((None, f"{trivially}: {finding.where} alone, AUROC {finding.value:.2f}"))
            if finding.code == "ends":
                lines.append((None, f"cut differently: {finding.text}"))
            if finding.code in ("contradicting", "near_contradicting"):
                lines.append((finding.where, f"contradictory labels: {finding.text}"))
        return lines

    def in_a_line(self) -> str:
        """Say in one short line whether a verdict on this data set can be trusted: leaks, easy tells, labels.

        Example:
            >>> from kmerit.audit import audit
            >>> from kmerit.types import Sequences
            >>> rows = Sequences.from_strings(["ACGTTGCA", "GGATCCAT"], labels=[0, 1])
            >>> audit({"train": rows, "test": rows}, baselines=()).in_a_line()
            'leaked: 100 % of the 0 and 100 % of the 1 test rows; too few rows to see easy tells'
        """
        told = []
        leaked = [
            f"{percent(facts['test_rows_leaked'])} of the {name}"
            for name, facts in self.classes.items()
            if any((share := facts.get(key)) is not None and share > self._threshold(code) for code, key, _ in _LEAKS)
        ]
        if leaked:
            told.append(f"leaked: {' and '.join(leaked)} test rows")
        if chosen := [text for name in self.classes for text in self._from_validation(name)]:
            told.append(f"leaked: {' and '.join(chosen)}")
        codes = {finding.code for finding in self.findings}
        easy = [f for f in self.findings if f.code in ("feature_auroc", "baseline_auroc") and f.where != "memory"]
        if easy:
            best = max(easy, key=lambda finding: finding.value)
            told.append(f"{best.where} alone distinguishes the classes, AUROC {best.value:.2f}")
        if "ends" in codes:
            told.append("where rows were cut distinguishes the classes")
        if codes & {"contradicting", "near_contradicting"}:
            told.append("contradictory labels")
        if len(self.splits) == 1:
            told.insert(0, "leaks unknown: no training rows were given")
        known = [entry["strength"] for entry in self.features if entry["strength"] is not None]
        if not known:
            told.append("easy tells unknown: the test rows are of one class")
        elif all(entry.get("ceiling", 1.0) <= self._threshold("feature_auroc") for entry in self.features):
            told.append("too few rows to see easy tells")
        elif len(self.splits) == 1 and len(told) == 1:
            told.append("no easy tells found")
        return "; ".join(told) or "no leaks or easy tells found"

    def _from_validation(self, name: str) -> list[str]:
        """Say which test rows of a class leak from splits beside the training split: a model was chosen by them."""
        splits = [*self.splits]
        first, last = splits[0], splits[-1]
        said = []
        for pair in self.leaks:
            if pair["class"] != name or pair["split"] != last or pair["against"] == first:
                continue
            shares = {
                code: pair[code] / rows
                for code, *_ in _LEAKS
                if pair.get(code) is not None
                and (rows := pair.get("placed", pair["rows"]) if code == "overlapping" else pair["rows"])
            }
            if any(share > self._threshold(code) for code, share in shares.items()):
                said.append(
                    f"{percent(shares['leaked'])} of {name} {last} rows are in {pair['against']}, too, or near it"
                )
        return said

    def _threshold(self, code: str) -> float:
        """Give the threshold that was in force; audits of before a threshold was made have its default."""
        from kmerit.audit.settings import Thresholds

        return float(self.settings.get("thresholds", {}).get(code, getattr(Thresholds(), code)))


_OVERLAP = "overlap training rows"
_LEAKS = (
    ("copied", "test_rows_copied_from_train", "are copies of training rows"),
    ("overlapping", "test_rows_overlapping_train", _OVERLAP),
    ("near", "test_rows_near_train", "are near copies of training rows"),
    ("leaked", "test_rows_leaked", "copy or overlap training rows, or nearly copy them"),
)


_GRAVE = (
    *("contradicting", "near_contradicting", "copied", "overlapping", "near", "leaked"),
    *("feature_auroc", "ends", "baseline_auroc", "leak_gain"),
)
_TITLES = {
    "contradicting": "Contradictory labels",
    "copied": "Copies of training rows",
    "overlapping": "Overlap with training rows",
    "near": "Near copies of training rows",
    "leaked": "Leaks of any kind",
    "near_contradicting": "Near copies that contradict each other's label",
    "one_split": "One split only",
    "feature_auroc": "One feature distinguishes the classes",
    "ends": "The ends distinguish the classes",
    "baseline_auroc": "A baseline distinguishes the classes",
    "leak_gain": "Accuracy from leaked rows",
    "mixed": "Overlap with another class",
    "repeated": "Repeated rows",
    "half_placed": "Coordinates missing",
    "smallest_class": "Uneven classes",
    "too_short": "Rows without a 6-mer",
    "with_n": "Unknown nucleotides",
    "low_complexity": "Low complexity",
}


def write_audit(audit: Audit, out: Path | str) -> Path:
    """Write ``audit.json`` and the page ``audit.html`` into a folder.

    Returns:
        The page.

    Example:
        >>> import tempfile
        >>> from kmerit.audit import audit
        >>> from kmerit.types import Sequences
        >>> rows = Sequences.from_strings(["ACGTTGCA", "GGATCCAT"], labels=[0, 1])
        >>> write_audit(audit({"train": rows, "test": rows}, baselines=()), tempfile.mkdtemp()).name
        'audit.html'
    """
    from kmerit.audit.page import page
    from kmerit.store import hold, write_text

    folder = Path(out)
    with hold(folder):
        for name, text in (("audit.json", audit.to_json()), ("audit.html", page(audit))):
            write_text(folder / name, text)
    return folder / "audit.html"
