"""Figure 1, as a picture and as data for the page's chart.

Figure 1: accuracy against the number of nucleotides replaced, or put back, a panel for each class. Colours are those
of Okabe and Ito, told apart by the colour-blind; every method has its own marker as well. The same results give the
same bytes: no dates, and identifiers in the SVG from a fixed salt.
"""

from __future__ import annotations

import io
import math
import textwrap
import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import matplotlib as mpl
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from kmerit.formats import percent
from kmerit.report import text
from kmerit.report.load import RANDOM, Cell, Excess, Group, RunResults, TaskResult, banded, restores
from kmerit.report.table1 import GOOD_DROP, rows
from kmerit.report.text import done_by
from kmerit.report.vocabulary import VALUES
from kmerit.trials.controls import CONTROLS


class Look(NamedTuple):
    """How a method is drawn: a colour, a marker, and dashes (on, off, ... in line widths; none is a solid line)."""

    colour: str
    marker: str
    dash: tuple[float, ...] = ()

    @property
    def line(self) -> dict[str, Any]:
        """What matplotlib must know."""
        return {"color": self.colour, "marker": self.marker, "linestyle": (0, self.dash) if self.dash else "-"}


STYLE = {
    "attention": ("#0072B2", "o"),
    "rollout": ("#56B4E9", "s"),
    "gradcam": ("#009E73", "^"),
    "lrp": ("#D55E00", "D"),
    "lrp_last": ("#E69F00", "v"),
    "full_lrp": ("#CC79A7", "P"),
}
DASHES: tuple[tuple[float, ...], ...] = ((), (7, 1.5, 1.5, 1.5), (1.2, 1.2), (9, 2, 1.5, 2, 1.5, 2))
"""Of a colour's first method, its second, ..."""
OTHERS = (("#000000", "X"), ("#7B4F9E", "<"), ("#8C6D31", ">"), ("#A3173B", "h"), ("#3B5B5B", "*"), ("#9A8F00", "p"))
INK, GREY, BAND = "#1A1A1A", "#5F5F5F", "#D3D6DA"
RC = {
    "font.family": "DejaVu Sans",
    "font.size": 8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": INK,
    "axes.linewidth": 0.8,
    "xtick.color": INK,
    "ytick.color": INK,
    "svg.fonttype": "none",
    "svg.hashsalt": "kmerit",
    "text.parse_math": False,
}
DPI = 200
LONGEST_NAME = 32


def style(methods: Sequence[str]) -> dict[str, Look]:
    """Give each method a look of its own: fixed for the paper's six, in turn for others.

    Beyond as many others as there are colours, these come again with other markers and dashes.

    Example:
        >>> style(["lrp", "mine"])["mine"]
        Look(colour='#000000', marker='X', dash=())
    """
    return dict(zip(methods, _looks(methods), strict=True))


def _looks(methods: Sequence[str]) -> Iterator[Look]:
    others, size = 0, len(OTHERS)
    for method in methods:
        if method in STYLE:
            yield Look(*STYLE[method])
            continue
        again, at = divmod(others, size)
        others += 1
        yield Look(OTHERS[at][0], OTHERS[(at + again) % size][1], DASHES[again % len(DASHES)])


def figure1(tasks: Sequence[TaskResult], columns: int = 2) -> Figure | None:
    """Draw accuracy against substituted nucleotides.

    Args:
        tasks: Those without a summary are left out.
        columns: Panels side by side; 1 for a narrow screen.

    Returns:
        The figure, or None where no task has a summary.
    """
    panels = [(task, group) for task in tasks for group in task.groups]
    if not panels:
        return None
    rows = math.ceil(len(panels) / columns)
    methods = tuple(dict.fromkeys(method for _, group in panels for method in group.methods))
    legend_columns = 5 if columns > 1 else 3
    legend = 0.1 + 0.17 * math.ceil((len(methods) + 3) / legend_columns)
    grids = dict.fromkeys(text.grid(task.cards.grid) for task in tasks if task.groups)
    lines = [line for grid in grids for line in textwrap.wrap(grid, 22 * int(3.6 * columns))]
    note = 0.12 * len(lines)
    height = 2.4 * rows + legend + note
    with _drawing():
        figure = Figure(figsize=(3.6 * columns, height))
        FigureCanvasAgg(figure)
        axes = list(figure.subplots(rows, columns, squeeze=False, sharey=True).flat)
        for axis, (task, group) in zip(axes, panels, strict=False):
            _panel(axis, task, group, style(methods))
            axis.set_ylim(_lowest(panels), 1.02)
        for axis in axes[::columns]:
            axis.set_ylabel("accuracy")
        for axis in axes[len(panels) :]:
            axis.set_visible(False)
        _legend(figure, methods, legend_columns, panels)
        figure.text(0.02, 0.05 / height, "\n".join(lines), fontsize=6, color=GREY, va="bottom")
        figure.tight_layout(rect=(0, note / height, 1, 1 - legend / height), h_pad=1.4, w_pad=1.0)
    return figure


def png(figure: Figure) -> bytes:
    """Render for a slide or a page."""
    out = io.BytesIO()
    with _drawing():
        figure.savefig(out, format="png", dpi=DPI, metadata={"Software": None}, facecolor="white")
    return out.getvalue()


def svg(figure: Figure) -> str:
    """Render for print; letters stay letters."""
    out = io.StringIO()
    with _drawing():
        figure.savefig(out, format="svg", metadata={"Date": None, "Creator": None}, facecolor="white")
    return out.getvalue()


@contextmanager
def _drawing() -> Iterator[None]:
    with mpl.rc_context(RC), warnings.catch_warnings():
        # A name in a script that the font lacks is drawn as boxes in the PNG, and whole in the SVG.
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        yield


def _panel(axis: Any, task: TaskResult, group: Group, styles: dict[str, Look]) -> None:
    compared = task.compared
    last = max(group.counts, default=0) or 1
    strip = [last * (1.13 + 0.055 * i) for i in range(len(group.methods))] if compared else []
    end = max(strip, default=last) + last * 0.2
    control = group.curve(RANDOM)
    if control:
        x = [cell.n for cell in control]
        axis.fill_between(x, [c.low for c in control], [c.high for c in control], color=BAND, linewidth=0, zorder=1)
        axis.plot(x, [cell.accuracy for cell in control], color=GREY, linestyle=(0, (4, 2)), linewidth=1, zorder=2)
        if len(control) == 1:
            axis.plot(x, [cell.accuracy for cell in control], color=GREY, marker=".", markersize=6, zorder=2)
    if control and strip and (at := group.at(RANDOM, compared)):
        axis.fill_between([strip[0] - 0.6, strip[-1] + 0.6], at.low, at.high, color=BAND, linewidth=0)
    for i, method in enumerate(group.methods):
        look = {**styles[method].line, "markersize": 4.2, "markeredgecolor": "white", "markeredgewidth": 0.4}
        curve = group.curve(method)
        axis.plot([c.n for c in curve], [c.accuracy for c in curve], linewidth=1.3, zorder=3, **look)
        if strip and (cell := group.at(method, compared)):
            _whisker(axis, strip[i], cell, styles[method].colour)
            axis.plot([strip[i]], [cell.accuracy], zorder=5, **look)
    for cell in (group.intact, group.mutated):
        if cell:
            x_end = end if cell.full else 0.0
            _whisker(axis, x_end, cell, INK)
            axis.plot([x_end], [cell.accuracy], color=INK, marker="o", markersize=3.6, zorder=6)
    if group.mutated:
        axis.axhline(group.mutated.accuracy, color=INK, linewidth=0.7, linestyle=(0, (1, 2)), zorder=1)
    axis.set_title(_heading(task, group), loc="left", fontsize=8.5, fontweight="bold", color=INK, pad=14)
    axis.text(0, 1.035, _short(task.name), transform=axis.transAxes, fontsize=7, color=GREY, va="bottom")
    _axis(axis, group, compared, last, strip, end)


def _heading(task: TaskResult, group: Group) -> str:
    name = _short(group.name)
    if group.name != task.default_label:
        return name
    return f"{name} (default label, {percent(task.info.default_label_rate)})"


def _short(name: str) -> str:
    """Keep a long name inside its panel."""
    return name if len(name) <= LONGEST_NAME else f"{name[: LONGEST_NAME - 1]}…"


def _lowest(panels: Sequence[tuple[TaskResult, Group]]) -> float:
    """Start the common axis a tenth or less below the lowest value drawn."""
    cells = [cell for _, group in panels for cell in group.cells if not (cell.full and cell.method == RANDOM)]
    values = [value for cell in cells for value in (cell.low, cell.accuracy)]
    return math.floor(10 * min((value for value in values if math.isfinite(value)), default=0)) / 10 - 0.02


def _whisker(axis: Any, x: float, cell: Cell, colour: str) -> None:
    if math.isfinite(cell.low) and math.isfinite(cell.high):
        axis.plot([x, x], [cell.low, cell.high], color=colour, linewidth=1.1, solid_capstyle="butt", zorder=4)


def _axis(axis: Any, group: Group, compared: int, last: int, strip: list[float], end: float) -> None:
    """Label the counts, the strip of intervals where there is one, and beyond a break, the full mutation."""
    axis.set_yticks([0, 0.2, 0.4, 0.6, 0.8, 1.0])
    axis.grid(axis="y", color="#ECECEC", linewidth=0.6, zorder=0)
    axis.set_axisbelow(True)
    middle = {(strip[0] + strip[-1]) / 2: f"95 % at {compared}"} if strip else {}
    ticks = [n for n in group.counts if n == 0 or n >= last * 0.1]
    axis.set_xticks([*ticks, *middle, end], [*map(str, ticks), *middle.values(), "all"])
    axis.tick_params(axis="x", length=2.5)
    axis.set_xlim(-last * 0.04, end + last * 0.06)
    axis.set_xlabel(f"nucleotides {'put back' if group.restores else 'replaced'}", fontsize=7.5)
    floor = axis.get_xaxis_transform()
    for x in (*([last * 1.055] if strip else []), end - last * 0.11):
        axis.plot([x], [0], marker=[(-0.7, -1), (0.7, 1)], markersize=6, color="white", transform=floor, clip_on=False)
        axis.plot(
            [x - last * 0.01],
            [0],
            marker=[(-0.7, -1), (0.7, 1)],
            markersize=6,
            color=INK,
            transform=floor,
            clip_on=False,
        )


def _legend(figure: Figure, methods: Sequence[str], columns: int, panels: Sequence[tuple[TaskResult, Group]]) -> None:
    handles: list[Any] = [
        Line2D([], [], **look.line, markersize=4.5, linewidth=1.3, label=method)
        for method, look in style(methods).items()
    ]
    if any(group.curve(RANDOM) for _, group in panels):
        handles.append(Line2D([], [], color=GREY, linestyle=(0, (4, 2)), linewidth=1, label="random: mean"))
    if any(banded(group.curve(RANDOM)) for _, group in panels):
        handles.append(Patch(color=BAND, label="random: 95 %"))
    handles.append(Line2D([], [], color=INK, linewidth=0.7, linestyle=(0, (1, 2)), label="all replaced"))
    figure.legend(handles=handles, loc="upper center", ncols=columns, frameon=False, fontsize=7.5, handlelength=2.2)


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
