"""A calibration of verdicts in words and tables: effects of rankings that know nothing, and the rates of claims."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from kmerit.experiments.calibration import ALONE, AMONG, BEYOND, DOSE, FOIL, LETTER, LIMITS, NOISES, UNADJUSTED
from kmerit.faithfulness.controls import CONTEXT, DECIDING
from kmerit.faithfulness.verdicts import FAITHFUL, WORSE
from kmerit.formats import DASH, interval, markdown_table
from kmerit.report.studies import read_study
from kmerit.store import write_text

Row = Mapping[str, Any]
POOLS_PER_EXPERIMENT = 10
"""A pool of fewer times an experiment's sequences has a chance mean of its own, and its rates follow that."""


def write_calibration(folder: str | Path) -> Path:
    """Write ``calibration.md`` from a calibration's ``calibration.json``.

    Raises:
        FormatError: There is none, or it is damaged.

    Example:
        >>> import json, tempfile
        >>> folder = Path(tempfile.mkdtemp())
        >>> rate = {"card": "one among the methods", "kind": "noise", "ranking": "uniform", "label": 0, "size": 50,
        ...         "claim": "faithful", "pool": 2000, "count": 3, "rate": 0.003, "lower": 0.001, "upper": 0.008}
        >>> found = {"model": "m", "classes": ["off"], "sequences": {"off": 2000}, "effects": [], "rates": [rate],
        ...          "config": {"experiments": 1000, "sizes": [50], "draws": 2, "pool": 2000, "others": 500}}
        >>> _ = (folder / "calibration.json").write_text(json.dumps(found))
        >>> "| uniform | off | faithful | 0.3 (0.8) |" in write_calibration(folder).read_text()
        True
    """
    folder = Path(folder)
    found = read_study(folder, "calibration.json", "calibrate")
    sections = [
        "# Calibration of verdicts",
        _about(found),
        *(f"- {text}" for text in failures(found) or ["Nothing that has a limit passes it."]),
        "## Effects",
        "Mean excess in standard deviations over sequences, with its 95 % interval. Of rankings that know nothing it "
        "must be 0 over the controls that they are exchangeable with: noise over all three, a method's scores turned "
        "round over clump and other, a habit of place over other, letters over context.",
        _effects(found),
        "## Claims",
        f"In per cent of {found['config']['experiments']:,} resampled experiments, in brackets the one-sided 95 % "
        "upper bound (Clopper-Pearson).",
        *(text for title, rows in _parts(found) if rows for text in (f"### {title}", _rates(found, rows))),
    ]
    write_text(folder / "calibration.md", "\n\n".join(sections) + "\n")
    return folder / "calibration.md"


def failures(found: Mapping[str, Any]) -> list[str]:
    """Say which limits are passed, and which sizes the pool is too small for."""
    out = []
    for row in found["rates"]:
        limit = LIMITS.get(row["card"])
        bounded = row["kind"] == NOISES or (row["kind"] == LETTER and row["claim"] == BEYOND)
        if limit is not None and bounded and row["upper"] > limit:
            out.append(
                f"**{row['ranking']}, {_class(found, row)}, {row['size']} sequences, {row['claim']} ({row['card']})**: "
                f"{_rate(row)} %, limit {100 * limit:.1f}."
            )
    for size in found["config"]["sizes"]:
        pools = {row["pool"] for row in found["rates"] if row["size"] == size and row["kind"] in (NOISES, LETTER)}
        if pools and min(pools) < POOLS_PER_EXPERIMENT * size:
            out.append(
                f"At {size} sequences the pool of {min(pools)} is small: its own chance mean moves the rates, so they "
                f"prove nothing. Look at the effects."
            )
    return out


def _about(found: Mapping[str, Any]) -> str:
    config = found["config"]
    sequences = ", ".join(f"{count} {name}" for name, count in found["sequences"].items())
    return (
        f"Model: {found['model']}. Pool: {sequences}, all called so by the model; of these, up to {config['others']} a "
        f"class for methods, doses and foils. {config['draws']} draws of alleles and of each control."
    )


def _effects(found: Mapping[str, Any]) -> str:
    cells = {(row["ranking"], row["label"], row["control"]): row for row in found["effects"]}
    rankings = dict.fromkeys((row["kind"], row["ranking"], row["label"]) for row in found["effects"])
    head = ["kind", "ranking", "class", *DECIDING, CONTEXT, "sequences"]
    lines = []
    for kind, ranking, label in rankings:
        rows = [cells.get((ranking, label, control)) for control in (*DECIDING, CONTEXT)]
        name = found["classes"][label]
        count = next(row["sequences"] for row in rows if row)
        lines.append([kind, ranking, name, *map(_effect, rows), str(count)])
    return markdown_table(head, lines)


def _effect(row: Row | None) -> str:
    if row is None:
        return DASH
    return interval(row["effect"], row["low"], row["high"], 2)


def _parts(found: Mapping[str, Any]) -> list[tuple[str, list[Row]]]:
    rates: list[Row] = found["rates"]

    def chosen(card: str, kinds: Sequence[str], claims: Sequence[str] = (FAITHFUL, WORSE)) -> list[Row]:
        return [row for row in rates if row["card"] == card and row["kind"] in kinds and row["claim"] in claims]

    return [
        ("A null as one more line of the methods' card (at most 2.5)", chosen(AMONG, [NOISES])),
        ("A card of nulls alone, any claim (at most 7.5)", [row for row in rates if row["card"] == ALONE]),
        ("A null alone, by three tests at 2.5 %", chosen(UNADJUSTED, [NOISES])),
        ("Letters beyond composition, as one more line (at most 2.5)", chosen(AMONG, [LETTER], [BEYOND])),
        ("Letters over context alone, by one test at 2.5 %", chosen(UNADJUSTED, [LETTER], [BEYOND])),
        ("Letters by the first answer, no null of it", chosen(AMONG, [LETTER])),
        ("Doses, as one more line", chosen(AMONG, [DOSE], [FAITHFUL, WORSE, BEYOND])),
        ("Foils, as one more line", chosen(AMONG, [FOIL], [FAITHFUL, WORSE, BEYOND])),
    ]


def _rates(found: Mapping[str, Any], rows: Sequence[Row]) -> str:
    sizes = found["config"]["sizes"]
    cells = {(row["ranking"], row["label"], row["claim"], row["size"]): row for row in rows}
    keys = dict.fromkeys((row["ranking"], row["label"], row["claim"]) for row in rows)
    head = ["ranking", "class", "claim", *(f"{size} a class" for size in sizes)]
    return markdown_table(
        head,
        (
            [ranking, _class(found, {"label": label}), claim]
            + [_rate(cells[ranking, label, claim, size]) for size in sizes]
            for ranking, label, claim in keys
        ),
    )


def _class(found: Mapping[str, Any], row: Row) -> str:
    return found["classes"][row["label"]] if row["label"] >= 0 else "any"


def _rate(row: Row) -> str:
    return f"{100 * row['rate']:.1f} ({100 * row['upper']:.1f})"
