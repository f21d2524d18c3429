"""Sanity checks as a table: check and stage against method."""

from __future__ import annotations

from pathlib import Path

from kmerit.formats import DASH, interval, markdown_table
from kmerit.report.studies import read_study
from kmerit.store import write_text

EXPECTED = {
    "sparsity": "Gini's index of the sizes of scores: 0 even, towards 1 all in one place",
    "entropy": "entropy of the sizes of scores, as a share of the greatest: 1 even, 0 all in one place",
    "ism": "rank correlation with exact in silico mutagenesis: high if scores say what single substitutions do",
    "class swap": "rank correlation with the scores for the next class: low, or negative, if scores know the class",
    "strand": "rank correlation with the scores of the reverse complement: high if the strand does not matter",
    "random weights": "rank correlation after this and all parts above are random: low if scores know the weights",
    "shuffled labels": "rank correlation with a model trained on shuffled labels: low if scores know the task",
    "another seed": "rank correlation with a model of another seed: high if scores are the task's, not the seed's",
}


def write_sanity(folder: str | Path) -> Path:
    """Write ``sanity.md`` from ``sanity.json``.

    Raises:
        FormatError: There is none, or it is damaged.

    Example:
        >>> import json, tempfile
        >>> folder = Path(tempfile.mkdtemp())
        >>> row = {"check": "ism", "stage": "", "method": "lrp", "value": 0.5, "low": 0.4, "high": 0.6, "sequences": 9}
        >>> _ = (folder / "sanity.json").write_text(json.dumps({"model": "m", "sequences": 9, "checks": [row]}))
        >>> "0.50 (0.40 to 0.60)" in write_sanity(folder).read_text()
        True
    """
    folder = Path(folder)
    found = read_study(folder, "sanity.json", "sanity")
    rows = found["checks"]
    methods = list(dict.fromkeys(row["method"] for row in rows))
    cells = {(row["check"], row["stage"], row["method"]): row for row in rows}
    lines = []
    for check, stage in dict.fromkeys((row["check"], row["stage"]) for row in rows):
        title = f"{check}, {stage}" if stage else check
        lines.append([title, *(_cell(cells.get((check, stage, m)), found) for m in methods)])
    checks = dict.fromkeys(row["check"] for row in rows)
    text = [
        f"# Sanity checks: {found['model']}",
        f"{found['sequences']} sequences; the class explained is the predicted one. Means over sequences, with 95 % "
        f"bootstrap intervals; where fewer sequences have a value, their number follows.",
        markdown_table(["check", *methods], lines),
        "\n".join(f"- **{check}**: {EXPECTED[check]}." for check in checks),
        *(f"Left out: {text}" for text in found.get("left_out", [])),
    ]
    write_text(folder / "sanity.md", "\n\n".join(text) + "\n")
    return folder / "sanity.md"


def _cell(row: dict[str, float | None] | None, found: dict[str, int]) -> str:
    if row is None or row["value"] is None:
        return DASH
    few = "" if row["sequences"] == found["sequences"] else f", {row['sequences']}"
    return f"{interval(row['value'], row['low'], row['high'], 2)}{few}"
