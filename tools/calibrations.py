"""Gather the rows of the calibration tables that report cards link to, from docs/calibration/*-rates.csv.

Run it when a calibration was run again; then tools/sums.py.
"""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import kmerit as km

ROOT = Path(__file__).parent.parent
PLACE = ROOT / "src" / "kmerit" / "assets" / "calibrations.json"
AMONG = "one among the methods"
DOSE = "ism, 20% of each score"


def rows(name: str) -> list[dict[str, Any]]:
    """Give a row for each class and number of sequences of a bundled model's calibration.

    Args:
        name: Of the model, as in ``docs/calibration/NAME-rates.csv``.
    """
    with (ROOT / "docs" / "calibration" / f"{name}-rates.csv").open(encoding="utf-8", newline="") as file:
        rates = [row for row in csv.DictReader(file) if row["card"] == AMONG]
    digest = km.load_model(f"bundled:{name}").digest

    def highest(label: str, size: str, kind: str, claim: str, column: str = "upper") -> float:
        key = (label, size, kind, claim)
        values = (float(r[column]) for r in rates if (r["label"], r["size"], r["kind"], r["claim"]) == key)
        return round(max(values), 4)

    return [
        {
            "model": digest,
            "label": int(label),
            "sequences": int(size),
            "pool": min(int(r["pool"]) for r in rates if r["kind"] == "noise"),
            "faithful": highest(label, size, "noise", "faithful"),
            "worse": highest(label, size, "noise", "worse than its controls"),
            "beyond": highest(label, size, "letters", "beyond composition"),
        }
        for label in sorted({r["label"] for r in rates})
        for size in dict.fromkeys(r["size"] for r in rates)
    ]


def main() -> None:
    """Write the rows of every table that is there."""
    names = sorted(
        path.name.removesuffix("-rates.csv") for path in PLACE.parents[3].glob("docs/calibration/*-rates.csv")
    )
    lines = ",\n ".join(json.dumps(row) for name in names for row in rows(name))
    PLACE.write_text(f"[{lines}]\n", encoding="utf-8")


if __name__ == "__main__":
    main()
