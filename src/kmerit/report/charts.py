"""Figure 1 as data, for the chart that a reader explores: every operator and order that was tried."""

from __future__ import annotations

import math
from typing import Any

from kmerit.report.artefacts import Cell
from kmerit.report.figures import style
from kmerit.report.results import RANDOM, RunResults
from kmerit.report.tables import percent, rows

DARK = {
    "#000000": "#F2F2F2",
    "#0072B2": "#4BA3DB",
    "#7B4F9E": "#B794DB",
    "#8C6D31": "#CBA65F",
    "#A3173B": "#F07A93",
    "#3B5B5B": "#8FBDBD",
    "#9A8F00": "#D8CE46",
}
"""What a colour of the figure becomes on a dark page; others stay."""
SYMBOLS = {
    "o": "circle", "s": "square", "^": "triangle", "D": "diamond", "v": "wye", "P": "cross", "X": "times",
    "<": "star", ">": "triangle2", "h": "hexagon", "*": "asterisk", "p": "square2",
}  # fmt: skip
"""The chart's marker for the figure's."""
VALUES = (
    "accuracy", "low", "high", "probability", "probability_low", "probability_high", "logit", "logit_low", "logit_high",
    "accuracy_correct", "flip_rate", "flip_rate_low", "flip_rate_high", "tokens_changed", "gc_shift",
)  # fmt: skip


def chart(run: RunResults) -> dict[str, Any]:
    """Lay out Figure 1's numbers, a group for each panel; what is not known is None."""
    names = dict.fromkeys(cell.method for task in run.tasks for cell in task.cells if cell.method != RANDOM)
    return {
        "methods": [
            {"name": name, "id": f"m{i}", "light": colour, "dark": DARK.get(colour, colour), "symbol": SYMBOLS[marker]}
            for i, (name, (colour, marker)) in enumerate(style(tuple(names)).items())
        ],
        "groups": [
            {
                "id": str(i),
                "title": row.name,
                "note": _note(row.task.name, row.group.name, row.task.default_label, row.task.info.default_label_rate),
                "compared": row.task.compared,
                "random": bool(row.group.curve(RANDOM)),
                "designs": _designs([cell for cell in row.task.cells if cell.label == row.group.label]),
            }
            for i, row in enumerate(rows(run))
        ],
    }


def _note(task: str, name: str, default: str | None, rate: float | None) -> str:
    return f"{task}; the default label, {percent(rate)}" if name == default else task


def _designs(cells: list[Cell]) -> list[dict[str, Any]]:
    designs: dict[tuple[str, str], list[Cell]] = {}
    for cell in cells:
        designs.setdefault((cell.operator, cell.order), []).append(cell)
    # The paper's first: it is what the tables show.
    order = sorted(designs, key=lambda design: design != ("random_other", "morf"))
    return [
        {"name": f"{operator}, {way}", "cells": [_plain(c) for c in designs[operator, way]]} for operator, way in order
    ]


def _plain(cell: Cell) -> dict[str, Any]:
    values = {name: getattr(cell, name) for name in VALUES}
    return {
        "method": cell.method,
        "n": cell.n,
        "full": cell.full,
        **{name: round(value, 5) if math.isfinite(value) else None for name, value in values.items()},
    }
