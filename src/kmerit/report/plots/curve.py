"""Outcomes against the number of nucleotides replaced, or put back: a panel for each class."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from kmerit.errors import UnknownName, UsageError
from kmerit.faithfulness.summary import BOUNDS
from kmerit.report.figures import BAND, GREY, INK, style
from kmerit.report.plots.saving import Plot, blank, paper_style
from kmerit.report.results import RANDOM, restores

MEASURES = {
    "accuracy": "accuracy",
    "probability": "probability of the explained class",
    "logit": "logit of the explained class",
    "flip_rate": "share of answers flipped",
    "tokens_changed": "tokens changed",
    "gc_shift": "change of GC content",
}
"""What can be drawn, and how its axis is called."""
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
        note: Stands under the picture: what was mutated, say, from `grid_sentence`.

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
    table = summary
    for column, wanted in (("operator", operator), ("order", order)):
        known = list(dict.fromkeys(table[column]))
        if wanted is not None and wanted not in known:
            raise UnknownName(column, wanted, known)
        table = table[table[column] == (wanted or next(iter(known), None))]
    known = [name for name in dict.fromkeys(table["method"]) if name != RANDOM]
    for name in methods or ():
        if name not in known:
            raise UnknownName("method", name, known)
    shown = list(methods or known)
    table = table[table["method"].isin([*shown, RANDOM])]
    labels = sorted(table["label"].dropna().unique().tolist()) or [None]
    if table.empty or measure not in table or not np.isfinite(table[measure].astype(float)).any():
        raise UsageError(f"There is nothing to draw: the summary holds no {measure}.")
    with paper_style():
        columns = min(2, len(labels))
        rows = math.ceil(len(labels) / columns)
        lines = textwrap.wrap(note, int(3.5 * columns * _LETTERS_AN_INCH))
        figure = blank(3.5 * columns, 2.5 * rows + 0.5 + 0.11 * len(lines))
        axes = figure.subplots(rows, columns, squeeze=False, sharey=True)
        for axis, label in zip(axes.flat, labels, strict=False):
            part = table if label is None else table[table["label"] == label]
            _panel(axis, part, shown, measure)
            axis.set_title(_name(classes, label), loc="left", fontweight="bold")
        for axis in axes[:, 0]:
            axis.set_ylabel(MEASURES[measure])
        for axis in list(axes.flat)[len(labels) :]:
            axis.set_visible(False)
        if lines:
            figure.supxlabel("\n".join(lines), x=0.02, ha="left", **_NOTE)
        figure.legend(handles=_legend(shown, table, measure), loc="outside upper center", ncols=4, frameon=False)
    table = table.assign(**{"class": [_name(classes, None if label != label else label) for label in table["label"]]})
    kept = ["label", "class", "method", "operator", "order", "n", "full", measure, *_bounds(table, measure)]
    return Plot(figure, table[kept].reset_index(drop=True))


def _bounds(table: pd.DataFrame, measure: str) -> tuple[str, ...]:
    """Name the columns of a measure's interval; none where the summary does not hold it."""
    ends = BOUNDS.get(measure, ())
    return ends if set(ends) <= set(table) else ()


def _has_band(table: pd.DataFrame, measure: str) -> bool:
    """Whether the random control's interval is known anywhere; of a single draw it is not."""
    control, bounds = table[table["method"] == RANDOM], _bounds(table, measure)
    return bool(bounds) and bool(np.isfinite(control[list(bounds)].astype(float)).all(axis=1).any())


def _name(classes: Sequence[str], label: Any) -> str:
    if label is None:
        return "all sequences"
    return classes[int(label)] if int(label) < len(classes) else f"class {int(label)}"


def _panel(axis: Any, part: pd.DataFrame, methods: Sequence[str], measure: str) -> None:
    partial = part[~part["full"].astype(bool)].sort_values("n")
    last = max(1, int(partial["n"].max())) if len(partial) else 1
    bounds = _bounds(part, measure)
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
    axis.set_xlabel(f"nucleotides {'put back' if back else 'replaced'}")


def _legend(methods: Sequence[str], table: pd.DataFrame, measure: str) -> list[Any]:
    handles: list[Any] = [
        Line2D([], [], **look.line, markersize=4, linewidth=1.2, label=method)
        for method, look in style(methods).items()
    ]
    if (table["method"] == RANDOM).any():
        handles.append(Line2D([], [], color=GREY, linestyle=(0, (4, 2)), linewidth=1, label="random: mean"))
        if _has_band(table, measure):
            handles.append(Patch(color=BAND, label="random: 95 %"))
    if table["full"].astype(bool).any():
        handles.append(Line2D([], [], color=INK, linewidth=0.7, linestyle=(0, (1, 2)), label="all replaced"))
    return handles
