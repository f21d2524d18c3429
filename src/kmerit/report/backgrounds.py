"""The study of backgrounds in words and tables: what of a verdict changes with the negatives."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kmerit.formats import fixed, interval, markdown_table
from kmerit.report.studies import class_or_neither, read_study
from kmerit.store import write_text


def write_backgrounds(folder: str | Path) -> Path:
    """Write ``negatives.md`` from a study's ``negatives.json``.

    Raises:
        FormatError: There is none, or it is damaged.

    Example:
        >>> import json, tempfile
        >>> folder = Path(tempfile.mkdtemp())
        >>> known = {"value": 0.8, "low": 0.7, "high": 0.9}
        >>> found = {"accuracy": known, "auroc": known, "default_label": 0, "falls_further": 1, "ranking": ["lrp"],
        ...          "drops": {"lrp": {"0": 0.1, "1": 0.3}}, "verdicts": []}
        >>> _ = (folder / "negatives.json").write_text(json.dumps({"sets": {"gc": found}, "warnings": []}))
        >>> "| gc | 0.800 (0.700 to 0.900) |" in write_backgrounds(folder).read_text()
        True
    """
    folder = Path(folder)
    told = read_study(folder, "negatives.json", "backgrounds")
    warned = [f"- {text}" for text in told["warnings"]] or ["- Neither the ranking of methods nor the class changes."]
    text = [
        "# The same positives against other backgrounds",
        "\n".join(warned),
        "## Models",
        _models(told["sets"]),
        "## Verdicts",
        "Excess of the AOPC of the logit over the nearest deciding control, in logits, with its band over the "
        "sequences.",
        _verdicts(told["sets"]),
    ]
    write_text(folder / "negatives.md", "\n\n".join(text) + "\n")
    return folder / "negatives.md"


def _models(sets: Mapping[str, Mapping[str, Any]]) -> str:
    head = ["background", "accuracy", "AUROC", "default label", "falls further", "drops (class 0, class 1)", "ranking"]
    rows = []
    for name, found in sets.items():
        drops = [f"{method} {' / '.join(fixed(by[k]) for k in sorted(by))}" for method, by in found["drops"].items()]
        cells = [
            name,
            interval(**found["accuracy"]),
            interval(**found["auroc"]),
            class_or_neither(found["default_label"]),
        ]
        cells += [class_or_neither(found["falls_further"]), "; ".join(drops), ", ".join(found["ranking"])]
        rows.append(cells)
    return markdown_table(head, rows)


def _verdicts(sets: Mapping[str, Mapping[str, Any]]) -> str:
    cells = {(name, v["method"], v["label"]): v for name, found in sets.items() for v in found["verdicts"]}
    keys = dict.fromkeys(key[1:] for key in cells)
    rows = ([method, label, *(_verdict(cells.get((name, method, label))) for name in sets)] for method, label in keys)
    return markdown_table(["method", "class", *sets], rows)


def _verdict(found: Mapping[str, Any] | None) -> str:
    if found is None:
        return "–"
    return f"{found['verdict']}: {interval(found['excess'], found['low'], found['high'])}"
