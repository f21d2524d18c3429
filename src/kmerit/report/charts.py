"""Figure 1 as data, for the chart that a reader explores: every operator and order that was tried."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from kmerit.faithfulness.controls import CONTROLS
from kmerit.formats import percent
from kmerit.report.artefacts import Cell, Excess
from kmerit.report.figures import style
from kmerit.report.results import RANDOM, RunResults, restores
from kmerit.report.tables import GOOD_DROP, rows
from kmerit.report.text import done_by
from kmerit.report.vocabulary import VALUES

DARK = {
    "#000000": "#F2F2F2",
    "#0072B2": "#3F8CFF",
    "#56B4E9": "#B5E6FF",
    "#7B4F9E": "#B794DB",
    "#8C6D31": "#CBA65F",
    "#A3173B": "#F07A93",
    "#3B5B5B": "#8FBDBD",
    "#9A8F00": "#D8CE46",
}
"""What a colour of the figure becomes on a dark page; others stay."""
SYMBOLS = {
    "o": "circle", "s": "square", "^": "up", "D": "diamond", "v": "down", "P": "cross", "X": "saltire",
    "<": "left", ">": "right", "h": "hexagon", "*": "star", "p": "pentagon",
}  # fmt: skip
"""The chart's marker for the figure's."""


def chart(run: RunResults) -> dict[str, Any]:
    """Lay out Figure 1's numbers, a group for each panel.

    A cell is a list: method, n, whether everything was mutated, and the `VALUES`, None where one is not known. So is an
    excess: control, method, measure, n, value and the ends of its interval. ``good``: on which side of a control good
    scores have theirs.
    """
    names = dict.fromkeys(cell.method for task in run.tasks for cell in task.cells if cell.method != RANDOM)
    there = {cell.method.partition("(")[0] for task in run.tasks for cell in (*task.cells, *task.controls)}
    return {
        "values": VALUES,
        "controls": [control for control in CONTROLS if control in there],
        "methods": [
            {
                "name": name,
                "id": f"m{i}",
                "light": look.colour,
                "dark": DARK.get(look.colour, look.colour),
                "symbol": SYMBOLS[look.marker],
                "dash": " ".join(f"{2 * width:g}" for width in look.dash),
            }
            for i, (name, look) in enumerate(style(tuple(names)).items())
        ],
        "groups": [
            {
                "id": str(i),
                "title": row.name,
                "note": _note(row.task.name, row.group.name, row.task.default_label, row.task.info.default_label_rate),
                "compared": row.task.compared,
                "designs": _designs(
                    [c for c in (*row.task.cells, *row.task.controls) if c.label == row.group.label],
                    [excess for excess in row.task.excesses if excess.label == row.group.label],
                ),
            }
            for i, row in enumerate(rows(run))
        ],
    }


def _note(task: str, name: str, default: str | None, rate: float | None) -> str:
    return f"{task}; the default label, {percent(rate)}" if name == default else task


def _designs(cells: Sequence[Cell], excesses: Sequence[Excess]) -> list[dict[str, Any]]:
    designs: dict[tuple[str, str], list[Cell]] = {}
    for cell in cells:
        designs.setdefault((cell.operator, cell.order), []).append(cell)
    # The paper's first: it is what the tables show.
    order = sorted(designs, key=lambda design: design != ("random_other", "morf"))
    return [
        {
            "name": f"{operator}, {way}",
            "done": done_by(way),
            "restores": restores(way),
            "good": GOOD_DROP.get(way),
            "cells": [_plain(cell) for cell in designs[operator, way]],
            "excesses": [
                [each.control, each.method, each.measure, each.n, *_known((each.value, each.low, each.high))]
                for each in excesses
                if (each.operator, each.order) == (operator, way)
            ],
        }
        for operator, way in order
    ]


def _plain(cell: Cell) -> list[Any]:
    return [cell.method, cell.n, int(cell.full), *_known(getattr(cell, name) for name in VALUES)]


def _known(values: Iterable[float]) -> Iterator[float | None]:
    return (round(value, 5) if math.isfinite(value) else None for value in values)
