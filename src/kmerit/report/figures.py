"""Figures: the paper's Figure 1, the data of the page's chart, and figures for papers with the numbers behind them."""

from __future__ import annotations

import base64
import io
import math
import textwrap
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from kmerit.errors import UnknownName, UsageError
from kmerit.formats import draw_logo, percent
from kmerit.report import text
from kmerit.report.load import RANDOM, Card, Cell, Compared, Excess, Group, RunResults, TaskResult, banded, restores
from kmerit.report.table1 import GOOD_DROP, rows
from kmerit.report.text import VALUES, beyond, done_by
from kmerit.results import Attribution
from kmerit.sequences import Float, Sequences
from kmerit.store import write_bytes, write_csv
from kmerit.trials.controls import CONTEXT, CONTROLS, DECIDING
from kmerit.trials.measures import BOUNDS
from kmerit.trials.verdicts import FAITHFUL, SAME, UNDECIDED, WORSE


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
    other_count, size = 0, len(OTHERS)
    for method in methods:
        if method in STYLE:
            yield Look(*STYLE[method])
            continue
        again, at = divmod(other_count, size)
        other_count += 1
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


FIGURE2 = ("figure2.png", "figure2.svg")
"""Of a fair trial: excesses over every matched control."""


def write_figures(tasks: Sequence[TaskResult], folder: Path) -> dict[str, str]:
    """Write Figure 1, and Figure 2 of a fair trial, into a run's folder; those of an earlier report are removed.

    Returns:
        Drawings for a page, as data addresses: Figure 1 ``wide`` and ``narrow``, and ``verdicts of TASK``.
    """
    pictures = {}
    if (wide := figure1(tasks)) and (narrow := figure1(tasks, columns=1)):
        drawing = svg(wide)
        write_bytes(folder / "figure1.png", png(wide))
        write_bytes(folder / "figure1.svg", drawing.encode())
        pictures = {"wide": _inline(drawing), "narrow": _inline(svg(narrow))}
    else:  # one of an earlier report would no longer be of these results
        for name in ("figure1.png", "figure1.svg"):
            (folder / name).unlink(missing_ok=True)
    for name in FIGURE2:
        (folder / name).unlink(missing_ok=True)
    judged_tasks = [task for task in tasks if any(card.comparisons for card in task.cards.cards)]
    if judged_tasks:
        figure = plot_verdicts(judged_tasks).figure
        write_bytes(folder / FIGURE2[0], png(figure))
        write_bytes(folder / FIGURE2[1], svg(figure).encode())
        pictures |= {f"verdicts of {task.name}": _inline(svg(plot_verdicts([task]).figure)) for task in judged_tasks}
    return pictures


def _inline(drawing: str) -> str:
    return "data:image/svg+xml;base64," + base64.b64encode(drawing.encode()).decode("ascii")


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
    names_present = {cell.method.partition("(")[0] for task in run.tasks for cell in (*task.cells, *task.controls)}
    return {
        "values": VALUES,
        "controls": [control for control in CONTROLS if control in names_present],
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


FORMATS: dict[str, dict[str, Any]] = {
    ".png": {"Software": None},
    ".svg": {"Date": None, "Creator": None},
    ".pdf": {"CreationDate": None, "Creator": None, "Producer": None},
}
"""Endings, and what a file must not say of when and by what it was made."""


@dataclass(frozen=True, eq=False)
class Plot:
    """A figure, and the numbers that it shows, one to a row."""

    figure: Figure
    numbers: pd.DataFrame


@contextmanager
def paper_style() -> Iterator[None]:
    """Draw as all of kmerit's figures are drawn."""
    with mpl.rc_context({**RC, "pdf.fonttype": 42}):
        yield


def blank(width: float, height: float) -> Figure:
    """Make a figure that belongs to no window; inches."""
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def check_out(out: Path) -> None:
    """Refuse an ending that is no format, before anything is computed.

    Raises:
        UsageError: With the formats there are.
    """
    if out.suffix and out.suffix not in FORMATS:
        raise UsageError(
            f"--out: {out.name!r} ends in {out.suffix!r}; expected .png, .svg or .pdf, or no ending for all three."
        )


def outputs(out: Path) -> tuple[Path, ...]:
    """List the files of a figure, its numbers last.

    Example:
        >>> [path.name for path in outputs(Path("figure.svg"))]
        ['figure.svg', 'figure.csv']
    """
    endings = [out.suffix] if out.suffix else [*FORMATS]
    return tuple(out.with_suffix(ending) for ending in (*endings, ".csv"))


def save(plot: Plot, out: Path | str) -> tuple[Path, ...]:
    """Write a figure, and its numbers as a CSV next to it.

    Args:
        plot: What to write.
        out: A file in .png, .svg or .pdf; without an ending, all three are written.

    Returns:
        What was written, the CSV last.

    Raises:
        UsageError: Another ending.

    Example:
        >>> import tempfile
        >>> import pandas as pd
        >>> with paper_style(), tempfile.TemporaryDirectory() as folder:
        ...     plot = Plot(blank(2, 1), pd.DataFrame({"n": [0, 5]}))
        ...     [path.name for path in save(plot, folder + "/figure.svg")]
        ['figure.svg', 'figure.csv']
    """
    out = Path(out)
    check_out(out)
    *figures, numbers = outputs(out)
    for path in figures:
        buffer = io.BytesIO()
        with paper_style():
            plot.figure.savefig(
                buffer, format=path.suffix[1:], dpi=DPI, metadata=FORMATS[path.suffix], facecolor="white"
            )
        write_bytes(path, buffer.getvalue())
    write_csv(numbers, plot.numbers, float_format="%.6g")
    return (*figures, numbers)


_DRAWN = ("accuracy", "probability", "logit", "flip_rate", "tokens_changed", "gc_shift")
MEASURES = {name: text.MEASURES[name].title for name in _DRAWN}
"""What can be drawn, and how its axis is called."""
LOST = {"accuracy": "accuracy", "probability": "probability", "logit": "logit", "flip_rate": "answers"}
"""Of which measures there is an excess over controls, and what was lost; answers were flipped."""
_SPELT = {"flip_rate": "flips"}
_DODGE = 0.012
_NOTE = {"fontsize": 6, "color": GREY}
_LETTERS_AN_INCH = 22


def plot_curve(
    summary: pd.DataFrame,
    classes: Sequence[str] = (),
    methods: Sequence[str] | None = None,
    measure: str = "accuracy",
    operator: str | None = None,
    order: str | None = None,
    note: str = "",
) -> Plot:
    """Draw a measure against the number of nucleotides replaced, or put back.

    Intervals are drawn where the summary holds them. The random control's is a band; of a single draw there is none.

    Args:
        summary: Of `summarise`, or a run's ``summary.csv``.
        classes: Names by label.
        methods: Which; all by default, and the random control with them.
        measure: One of `MEASURES`.
        operator: Which of the trial's; its first by default.
        order: Which of the trial's; its first by default.
        note: Stands under the picture: what was mutated, say, from `kmerit.report.text.grid`.

    Raises:
        UnknownName: A measure, method, operator or order that is not there.
        UsageError: Nothing to draw.

    Example:
        >>> import pandas as pd
        >>> rows = [(1, "lrp", "random_other", "morf", n, False, 0.9 - n / 50, 0.8, 0.95) for n in (0, 5)]
        >>> names = ["label", "method", "operator", "order", "n", "full", "accuracy", "low", "high"]
        >>> plot_curve(pd.DataFrame(rows, columns=names)).numbers["accuracy"].tolist()
        [0.9, 0.8]
    """
    if measure not in MEASURES:
        raise UnknownName("measure", measure, MEASURES)
    table, names = _chosen(summary, methods, operator, order)
    if table.empty or measure not in table or not np.isfinite(table[measure].astype(float)).any():
        raise UsageError(f"There is nothing to draw: the summary holds no {measure}.")
    ends = BOUNDS.get(measure, ())
    shape = _Shape(measure, ends if set(ends) <= set(table) else (), MEASURES[measure])
    return _drawn(table, names, shape, classes, note)


def plot_excess(
    excesses: pd.DataFrame,
    control: str = RANDOM,
    classes: Sequence[str] = (),
    methods: Sequence[str] | None = None,
    measure: str = "logit",
    operator: str | None = None,
    order: str | None = None,
    note: str = "",
) -> Plot:
    """Draw how much more was lost under each method than under one of its controls, with 95 % intervals.

    Args:
        excesses: Of `excesses`, or the ``excesses.csv`` of a fair trial.
        control: ``random``, ``shifted``, ``clump`` or ``other``; it is the dashed line at 0.
        classes: Names by label; those of the table by default.
        methods: Which; all by default.
        measure: One of `LOST`.
        operator: Which of the trial's; its first by default.
        order: Which of the trial's; its first by default.
        note: Stands under the picture.

    Raises:
        UnknownName: A control, measure, method, operator or order that is not there.
        UsageError: Nothing to draw.

    Example:
        >>> import pandas as pd
        >>> row = {"label": 1, "class_name": "promoter", "condition": "all", "method": "lrp", "control": "random",
        ...        "operator": "random_other", "order": "morf", "measure": "logit", "low": 0.1, "high": 0.3}
        >>> table = pd.DataFrame([row | {"n": "5", "value": 0.1}, row | {"n": "20", "value": 0.2}])
        >>> plot_excess(table).numbers["excess"].tolist()
        [0.1, 0.2]
    """
    if measure not in LOST:
        raise UnknownName("measure", measure, LOST)
    if excesses.empty:
        raise UsageError(
            "There is nothing to draw: the trial had no controls. Mutate with controls, or run a fair trial."
        )
    controls = list(dict.fromkeys(excesses["control"]))
    if control not in controls:
        raise UnknownName("control", control, controls)
    table = excesses[(excesses["condition"] == "all") & (excesses["control"] == control)]
    table = table[table["n"].astype(str).str.isdigit()]  # where all is replaced, every ranking replaces the same
    there = [name for name in LOST if _SPELT.get(name, name) in set(table["measure"])]
    if measure not in there:
        raise UsageError(
            f"There is nothing to draw: the trial holds no excess of {measure} over {control} below n = all. "
            + (f"Draw {' or '.join(there)}." if there else "Mutate with a count there, too.")
        )
    table, chosen = _chosen(table[table["measure"] == _SPELT.get(measure, measure)], methods, operator, order)
    table = table.assign(n=table["n"].astype(int), full=False, excess=table["value"])
    class_names = dict(zip(table["label"], table["class_name"], strict=True))
    names = classes or [class_names.get(label, f"class {label}") for label in range(max(class_names) + 1)]
    axis_title = f"{LOST[measure]} {'flipped' if measure == 'flip_rate' else 'lost'} beyond {control}"
    side = GOOD_DROP.get(str(table["order"].iloc[0]))
    explanation = text.excess_note(control, side)
    shape = _Shape("excess", ("low", "high"), axis_title, control)
    return _drawn(table, chosen, shape, names, f"{note} {explanation}".strip())


@dataclass(frozen=True)
class _Shape:
    """What is drawn of a table.

    Attributes:
        value: The column.
        ends: The columns of its interval; none where it has none.
        title: Of the axis.
        zero: What stands at 0: a control, where excesses over it are drawn.
    """

    value: str
    ends: tuple[str, ...]
    title: str
    zero: str = ""


def _chosen(
    table: pd.DataFrame, methods: Sequence[str] | None, operator: str | None, order: str | None
) -> tuple[pd.DataFrame, list[str]]:
    """Keep the rows of one operator and order, and of the methods; the random control's stay."""
    for column, choice in (("operator", operator), ("order", order)):
        names = list(dict.fromkeys(table[column]))
        if choice is not None and choice not in names:
            raise UnknownName(column, choice, names)
        table = table[table[column] == (choice or next(iter(names), None))]
    names = [name for name in dict.fromkeys(table["method"]) if name != RANDOM]
    for name in methods or ():
        if name not in names:
            raise UnknownName("method", name, names)
    selected_names = list(methods or names)
    return table[table["method"].isin([*selected_names, RANDOM])], selected_names


def _drawn(table: pd.DataFrame, names: Sequence[str], shape: _Shape, classes: Sequence[str], note: str) -> Plot:
    labels = sorted(table["label"].dropna().unique().tolist()) or [None]
    with paper_style():
        columns = min(2, len(labels))
        rows = math.ceil(len(labels) / columns)
        lines = textwrap.wrap(note, int(3.5 * columns * _LETTERS_AN_INCH))
        figure = blank(3.5 * columns, 2.5 * rows + 0.5 + 0.11 * len(lines))
        axes = figure.subplots(rows, columns, squeeze=False, sharey=True)
        for axis, label in zip(axes.flat, labels, strict=False):
            part = table if label is None else table[table["label"] == label]
            _curve_panel(axis, part, names, shape)
            axis.set_title(_name(classes, label), loc="left", fontweight="bold")
        for axis in axes[:, 0]:
            axis.set_ylabel(shape.title)
        for axis in list(axes.flat)[len(labels) :]:
            axis.set_visible(False)
        if lines:
            figure.supxlabel("\n".join(lines), x=0.02, ha="left", **_NOTE)
        figure.legend(handles=_curve_legend(names, table, shape), loc="outside upper center", ncols=4, frameon=False)
    table = table.assign(**{"class": [_name(classes, None if label != label else label) for label in table["label"]]})
    csv_columns = ["label", "class", "method", "operator", "order", "n", "full", shape.value, *shape.ends]
    return Plot(figure, table[csv_columns].reset_index(drop=True))


def _has_band(table: pd.DataFrame, shape: _Shape) -> bool:
    """Whether the random control's interval is known anywhere; of a single draw it is not."""
    control = table[table["method"] == RANDOM]
    return bool(shape.ends) and bool(np.isfinite(control[list(shape.ends)].astype(float)).all(axis=1).any())


def _name(classes: Sequence[str], label: Any) -> str:
    if label is None:
        return "all sequences"
    return classes[int(label)] if int(label) < len(classes) else f"class {int(label)}"


def _curve_panel(axis: Any, part: pd.DataFrame, methods: Sequence[str], shape: _Shape) -> None:
    partial = part[~part["full"].astype(bool)].sort_values("n")
    last = max(1, int(partial["n"].max())) if len(partial) else 1
    bounds, measure = shape.ends, shape.value
    if shape.zero:
        axis.axhline(0, color=GREY, linestyle=(0, (4, 2)), linewidth=1)
    control = partial[partial["method"] == RANDOM]
    if len(control):
        if bounds:
            axis.fill_between(control["n"], *(control[end] for end in bounds), color=BAND, linewidth=0)
        dot = "." if len(control) == 1 else None
        axis.plot(control["n"], control[measure], color=GREY, linestyle=(0, (4, 2)), linewidth=1, marker=dot)
    for i, (method, look) in enumerate(style(methods).items()):
        rows = partial[partial["method"] == method]
        x = rows["n"] + (i - (len(methods) - 1) / 2) * _DODGE * last * (rows["n"] > 0)
        axis.plot(x, rows[measure], **look.line, markersize=4, markeredgecolor="white", linewidth=1.2)
        if bounds:
            axis.vlines(x, *(rows[end] for end in bounds), color=look.colour, linewidth=0.8, alpha=0.6)
    counts = sorted(partial["n"].unique().tolist())
    ticks = [n for n in counts if n == 0 or n >= last * 0.1]
    names = [str(n) for n in ticks]
    full = part[part["full"].astype(bool)].sort_values("method", key=lambda column: column == RANDOM)
    if len(full):
        end, value = last * 1.2, float(full[measure].iloc[0])
        axis.plot([end], [value], color=INK, marker="o", markersize=3.6)
        if bounds:
            axis.vlines([end], *(full[bound].iloc[:1] for bound in bounds), color=INK, linewidth=1)
        ticks, names = [*ticks, end], [*names, "all"]
    back = any(map(restores, part["order"].unique()))
    # What every nucleotide replaced leaves: at n = all, or where they are put back, at n = 0.
    floor = partial[partial["n"] == 0].sort_values("method", key=lambda c: c == RANDOM) if back else full
    if len(floor):
        axis.axhline(float(floor[measure].iloc[0]), color=INK, linewidth=0.7, linestyle=(0, (1, 2)))
    axis.set_xticks(ticks, names)
    axis.grid(axis="y", color="#ECECEC", linewidth=0.6)
    axis.set_axisbelow(True)
    least = ", least relevant first" if set(part["order"]) == {"lerf"} else ""
    axis.set_xlabel(f"nucleotides {'put back' if back else 'replaced'}{least}")


def _curve_legend(methods: Sequence[str], table: pd.DataFrame, shape: _Shape) -> list[Any]:
    handles: list[Any] = [
        Line2D([], [], **look.line, markersize=4, linewidth=1.2, label=method)
        for method, look in style(methods).items()
    ]
    if shape.zero:
        handles.append(Line2D([], [], color=GREY, linestyle=(0, (4, 2)), linewidth=1, label=shape.zero))
    if (table["method"] == RANDOM).any():
        handles.append(Line2D([], [], color=GREY, linestyle=(0, (4, 2)), linewidth=1, label="random: mean"))
        if _has_band(table, shape):
            handles.append(Patch(color=BAND, label="random: 95 %"))
    if table["full"].astype(bool).any():
        handles.append(Line2D([], [], color=INK, linewidth=0.7, linestyle=(0, (1, 2)), label="all replaced"))
    return handles


def plot_heads(attention: Float, letters: str = "", title: str = "") -> Plot:
    """Draw how much attention [CLS] pays to each nucleotide, by layer and head.

    A row is scaled by its own largest value; the CSV holds the attention as it is.

    Args:
        attention: ``[layer, head, position]``, of `head_attention`; NaN where no token covers a nucleotide.
        letters: The sequence's, drawn under the picture where they fit.
        title: Of the picture.

    Raises:
        UsageError: Of another shape.

    Example:
        >>> plot_heads(np.random.default_rng(0).random((2, 3, 10))).numbers.columns.tolist()
        ['layer', 'head', 'position', 'attention']
    """
    if attention.ndim != 3 or not attention.size:
        raise UsageError(f"Expected attention [layer, head, position], got {attention.shape}.")
    layers, heads, length = attention.shape
    rows = attention.reshape(layers * heads, length).astype(float)
    largest = np.nanmax(np.where(np.isfinite(rows), rows, 0), axis=1)
    with paper_style():
        figure = blank(6.5, min(9.5, max(2.4, 1.0 + 0.13 * len(rows))))
        axis = figure.subplots()
        axis.set_facecolor("#BDBDBD")
        scaled = rows / np.where(largest, largest, 1)[:, None]
        image = axis.imshow(scaled, aspect="auto", interpolation="nearest", cmap="viridis", vmin=0, vmax=1)
        figure.colorbar(image, ax=axis, label="attention / largest of its head", fraction=0.04, pad=0.02)
        for layer in range(1, layers):
            axis.axhline(layer * heads - 0.5, color="white", linewidth=1)
        axis.set_yticks([(layer + 0.5) * heads - 0.5 for layer in range(layers)], [f"layer {i}" for i in range(layers)])
        if letters and length <= 80:
            axis.set_xticks(range(length), list(letters), fontsize=6)
            axis.tick_params(axis="x", length=0)
        axis.set_xlabel("position (nt)")
        axis.set_title(title or "attention of [CLS], by head", loc="left", fontweight="bold")
    places = zip(("layer", "head", "position"), np.indices(attention.shape), strict=True)
    numbers: dict[str, Any] = {name: index.ravel() for name, index in places}
    return Plot(figure, pd.DataFrame(numbers | {"attention": attention.ravel()}))


MOST_NAMES = 40
"""More rows than these are not named next to the picture."""


def plot_heatmap(attribution: Attribution) -> Plot:
    """Draw scores as colours, sequences aligned at their first position.

    A row is scaled by its own largest magnitude, so that weak sequences are seen next to strong ones; the CSV holds the
    scores as they are. Blue is negative, red positive; grey, no score.

    Args:
        attribution: Scores per nucleotide.

    Raises:
        UsageError: Scores of tokens, or of no sequence.

    Example:
        >>> import kmerit as km
        >>> model, sequences = km.load_model("bundled:promoter"), km.Sequences.from_strings(["TATAAAGGCGCGCC"])
        >>> plot_heatmap(km.attribute(model, sequences, ["lrp"])["lrp"]).numbers.shape
        (14, 3)
    """
    if attribution.level != "nucleotide":
        raise UsageError(f"The scores of {attribution.method!r} are per {attribution.level}; expected nucleotides.")
    if not len(attribution):
        raise UsageError("Expected the scores of at least one sequence, got none.")
    scores = attribution.scores.astype(float)
    finite = np.isfinite(scores)
    largest = np.abs(np.where(finite, scores, 0)).max(axis=1)
    scaled = scores / np.where(largest, largest, 1)[:, None]
    with paper_style():
        figure = blank(6.5, min(9.0, 1.2 + 0.14 * len(scores)))
        axis = figure.subplots()
        axis.set_facecolor("#BDBDBD")
        low, colours = (-1, "RdBu_r") if (scaled[finite] < 0).any() else (0, "Blues")
        image = axis.imshow(scaled, aspect="auto", interpolation="nearest", cmap=colours, vmin=low, vmax=1)
        figure.colorbar(image, ax=axis, label="score / largest of its sequence", fraction=0.04, pad=0.02)
        axis.set_xlabel("position (nt)")
        axis.set_title(attribution.method, loc="left", fontweight="bold")
        if len(scores) <= MOST_NAMES:
            axis.set_yticks(range(len(scores)), [name[:24] for name in attribution.names], fontsize=6)
        else:
            axis.set_ylabel(f"{len(scores)} sequences")
    row, position = np.nonzero(finite)
    names = np.array(attribution.names, dtype=object)
    return Plot(figure, pd.DataFrame({"name": names[row], "position": position, "score": scores[finite]}))


_WIDEST = 24.0
_INCHES_A_LETTER = 0.11


def plot_logo(
    sequences: Sequences,
    attributions: Mapping[str, Attribution],
    name: str,
    start: int = 0,
    end: int | None = None,
) -> Plot:
    """Draw one sequence's scores: letters as high as their scores, negative ones below the line.

    Args:
        sequences: What was explained.
        attributions: Scores per nucleotide, by method.
        name: Which sequence.
        start: First position, counted from 0.
        end: The position after the last; that of the sequence by default.

    Raises:
        UnknownName: No sequence of that name, in the sequences or in the scores.
        UsageError: Scores of tokens, no method, or positions outside the sequence.
        SequenceError: Scores of other letters under that name.
        Withheld: A method's scores of that sequence were withheld.
        MissingExtra: logomaker is not installed.

    Example:
        >>> import kmerit as km
        >>> model, sequences = km.load_model("bundled:promoter"), km.Sequences.from_strings(["TATAAAGGCGCGCC"])
        >>> plot = plot_logo(sequences, km.attribute(model, sequences, ["lrp"]), "seq0", end=10)
        >>> plot.numbers.columns.tolist(), len(plot.numbers)
        (['position', 'letter', 'lrp'], 10)
    """
    if name not in sequences.names:
        raise UnknownName("sequence", name, sequences.names)
    letters = sequences.string(sequences.names.index(name))
    end = len(letters) if end is None else end
    if not 0 <= start < end <= len(letters):
        raise UsageError(f"Positions {start} to {end} are not within {name!r}, which has {len(letters)} nucleotides.")
    if not attributions:
        raise UsageError("Expected at least one method to draw, got none.")
    one = sequences.take([sequences.names.index(name)])
    tracks = {method: _scores(attribution, one)[start:end] for method, attribution in attributions.items()}
    with paper_style():
        width = min(_WIDEST, max(4.0, 0.8 + _INCHES_A_LETTER * (end - start)))
        figure = blank(width, 1.5 * len(tracks) + 0.4)
        axes = figure.subplots(len(tracks), 1, squeeze=False, sharex=True)[:, 0]
        for axis, (method, scores) in zip(axes, tracks.items(), strict=True):
            draw_logo(letters[start:end], scores, start, method, axis)
            axis.label_outer()
        figure.suptitle(name, fontsize=9)
    numbers = pd.DataFrame({"position": np.arange(start, end), "letter": list(letters[start:end]), **tracks})
    return Plot(figure, numbers)


def _scores(attribution: Attribution, one: Sequences) -> np.ndarray:
    (name,), length = one.names, one.bases.size
    if attribution.level != "nucleotide":
        raise UsageError(f"The scores of {attribution.method!r} are per {attribution.level}; a logo needs nucleotides.")
    if name not in attribution.names:
        raise UnknownName("sequence", name, attribution.names)
    row = attribution.take([attribution.names.index(name)])
    if row.identity is None and (row.scores.shape[1] < length or np.isfinite(row.scores[0, length:]).any()):
        raise UsageError(f"The scores of {name!r} are not of its {length} nucleotides. Attribute these sequences.")
    scores: np.ndarray = row.of(one).usable().scores[0, :length]
    return scores


COLOURS = {FAITHFUL: "#0072B2", WORSE: "#A3173B", SAME: INK, UNDECIDED: "#8A8A8A"}
MARKERS = {"shifted": "o", "clump": "s", "other": "^", CONTEXT: "D"}
_LANE = {"shifted": 0.27, "clump": 0.09, "other": -0.09, CONTEXT: -0.27}


def plot_verdicts(tasks: Sequence[TaskResult]) -> Plot:
    """Draw the excess over each matched control, a row for each method and a panel for each class.

    A whisker is the band, by which the verdict is made. The grey block round 0 is the smallest margin of a method's
    three controls. The diamond is ``context``: filled where the second answer is yes.

    Args:
        tasks: Of a fair trial.

    Raises:
        UsageError: No report cards with comparisons.

    Example:
        >>> over = [{"control": c, "excess": 0.2, "band_low": 0.1, "band_high": 0.3, "margin": 0.05} for c in DECIDING]
        >>> card = Card.model_validate({"method": "lrp", "label": 1, "verdict": "faithful", "comparisons": over})
        >>> from kmerit.report.load import Cards, Choice, Info, Metrics
        >>> from kmerit.report.load import Hits
        >>> rest = ((), ("off", "on"), (), (), Cards(cards=[card]), None, Hits())
        >>> plot_verdicts([TaskResult("mine", Info(), Metrics(), Choice(), *rest)]).numbers["control"].tolist()
        ['shifted', 'clump', 'other']
    """
    panels = [
        (task, label, [card for card in task.cards.cards if card.label == label and card.comparisons])
        for task in tasks
        for label in dict.fromkeys(card.label for card in reversed(task.cards.cards))
    ]
    panels = [panel for panel in panels if panel[2]]
    if not panels:
        raise UsageError("There is nothing to draw: no report card compares a method with a control.")
    columns = min(2, len(panels))
    rows = [panels[at : at + columns] for at in range(0, len(panels), columns)]
    heights = [max(len(cards) for _, _, cards in row) for row in rows]
    with paper_style():
        legend_columns = 4 if columns > 1 else 2  # of one panel, four are wider than the figure
        legend = 0.17 * math.ceil(len(_verdict_legend()) / legend_columns)
        figure = blank(4.4 * columns, 0.4 + legend + sum(0.36 * height + 0.55 for height in heights))
        axes = figure.subplots(len(rows), columns, squeeze=False, gridspec_kw={"height_ratios": heights})
        for line, row in zip(axes, rows, strict=True):
            for axis, (task, label, cards) in zip(line, row, strict=False):
                _verdict_panel(axis, cards, task.info.value or "logits")
                title = task.shown_classes[label] if label < len(task.shown_classes) else cards[0].class_name
                axis.set_title(title, loc="left", fontweight="bold")
            for axis in line[len(row) :]:
                axis.set_visible(False)
        figure.legend(handles=_verdict_legend(), loc="outside upper center", ncols=legend_columns, frameon=False)
    return Plot(figure, _numbers(panels))


def _verdict_panel(axis: Any, cards: Sequence[Card], unit: str) -> None:
    axis.axvline(0, color=GREY, linestyle=(0, (4, 2)), linewidth=1)
    for at, card in enumerate(cards):
        middle, colour = len(cards) - 1 - at, COLOURS.get(card.verdict, GREY)
        margins = [each.margin for each in card.comparisons if each.margin is not None]
        if margins:
            axis.barh(middle, 2 * min(margins), left=-min(margins), height=0.9, color=BAND, linewidth=0, zorder=0)
        for each in card.comparisons:
            if each.control in MARKERS and each.excess is not None:
                _mark(
                    axis,
                    each,
                    middle + _LANE[each.control],
                    colour,
                    filled=each.control != CONTEXT or bool(card.beyond),
                )
        word = card.verdict + (f", beyond composition: {beyond(card)}" if card.verdict == FAITHFUL else "")
        axis.annotate(
            word, (1, middle + 0.43), xycoords=("axes fraction", "data"), ha="right", va="center", fontsize=5.5,
            color=colour,
        )  # fmt: skip
    axis.set_yticks(range(len(cards)), [card.method for card in reversed(cards)])
    axis.set_ylim(-0.6, len(cards) - 0.3)
    axis.set_xlabel(f"excess over the control, {unit}")
    axis.grid(axis="x", color="#ECECEC", linewidth=0.6)
    axis.set_axisbelow(True)


def _mark(axis: Any, each: Compared, y: float, colour: str, *, filled: bool) -> None:
    low, high = (each.low, each.high) if each.band_low is None else (each.band_low, each.band_high)
    if low is not None and high is not None:
        axis.hlines(y, low, high, color=colour, linewidth=0.8)
    face = colour if filled else "white"
    axis.plot([each.excess], [y], MARKERS[each.control], color=colour, markerfacecolor=face, markersize=3.6)


def _verdict_legend() -> list[Any]:
    controls: list[Any] = [
        Line2D([], [], color=INK, marker=marker, markersize=4, linewidth=0.8, label=f"over {control}")
        for control, marker in MARKERS.items()
    ]
    colours = [Patch(color=colour, label=verdict) for verdict, colour in COLOURS.items()]
    return [*controls, *colours, Patch(color=BAND, label="margin: 10 % of exact ISM")]


def _numbers(panels: Sequence[tuple[TaskResult, int, Sequence[Card]]]) -> pd.DataFrame:
    keys = ("control", "excess", "low", "high", "band_low", "band_high", "margin", "effect_size")
    return pd.DataFrame(
        [
            {"task": task.name, "label": label, "method": card.method, "sign": card.sign}
            | {"verdict": card.verdict, "beyond": card.beyond}
            | {key: getattr(each, key) for key in keys}
            for task, label, cards in panels
            for card in cards
            for each in card.comparisons
            if each.control in (*DECIDING, CONTEXT)
        ]
    ).replace({None: np.nan})
