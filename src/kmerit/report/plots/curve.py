"""Outcomes against the number of nucleotides replaced, or put back: a panel for each class."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from kmerit.errors import UnknownName, UsageError
from kmerit.faithfulness.summary import BOUNDS
from kmerit.report import vocabulary
from kmerit.report.figures import BAND, GREY, INK, style
from kmerit.report.plots.saving import Plot, blank, paper_style
from kmerit.report.results import RANDOM, restores
from kmerit.report.tables import GOOD_DROP

_DRAWN = ("accuracy", "probability", "logit", "flip_rate", "tokens_changed", "gc_shift")
MEASURES = {name: vocabulary.MEASURES[name].title for name in _DRAWN}
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
    table, shown = _chosen(summary, methods, operator, order)
    if table.empty or measure not in table or not np.isfinite(table[measure].astype(float)).any():
        raise UsageError(f"There is nothing to draw: the summary holds no {measure}.")
    ends = BOUNDS.get(measure, ())
    shape = _Shape(measure, ends if set(ends) <= set(table) else (), MEASURES[measure])
    return _drawn(table, shown, shape, classes, note)


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
    table, shown = _chosen(table[table["measure"] == _SPELT.get(measure, measure)], methods, operator, order)
    table = table.assign(n=table["n"].astype(int), full=False, excess=table["value"])
    named = dict(zip(table["label"], table["class_name"], strict=True))
    names = classes or [named.get(label, f"class {label}") for label in range(max(named) + 1)]
    lost = f"{LOST[measure]} {'flipped' if measure == 'flip_rate' else 'lost'} beyond {control}"
    side = GOOD_DROP.get(str(table["order"].iloc[0]))
    told = f"Above 0, more is lost than with {control}" + (f"; a good score lies {side}." if side else ".")
    return _drawn(table, shown, _Shape("excess", ("low", "high"), lost, control), names, f"{note} {told}".strip())


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
    return table[table["method"].isin([*shown, RANDOM])], shown


def _drawn(table: pd.DataFrame, shown: Sequence[str], shape: _Shape, classes: Sequence[str], note: str) -> Plot:
    labels = sorted(table["label"].dropna().unique().tolist()) or [None]
    with paper_style():
        columns = min(2, len(labels))
        rows = math.ceil(len(labels) / columns)
        lines = textwrap.wrap(note, int(3.5 * columns * _LETTERS_AN_INCH))
        figure = blank(3.5 * columns, 2.5 * rows + 0.5 + 0.11 * len(lines))
        axes = figure.subplots(rows, columns, squeeze=False, sharey=True)
        for axis, label in zip(axes.flat, labels, strict=False):
            part = table if label is None else table[table["label"] == label]
            _panel(axis, part, shown, shape)
            axis.set_title(_name(classes, label), loc="left", fontweight="bold")
        for axis in axes[:, 0]:
            axis.set_ylabel(shape.title)
        for axis in list(axes.flat)[len(labels) :]:
            axis.set_visible(False)
        if lines:
            figure.supxlabel("\n".join(lines), x=0.02, ha="left", **_NOTE)
        figure.legend(handles=_legend(shown, table, shape), loc="outside upper center", ncols=4, frameon=False)
    table = table.assign(**{"class": [_name(classes, None if label != label else label) for label in table["label"]]})
    kept = ["label", "class", "method", "operator", "order", "n", "full", shape.value, *shape.ends]
    return Plot(figure, table[kept].reset_index(drop=True))


def _has_band(table: pd.DataFrame, shape: _Shape) -> bool:
    """Whether the random control's interval is known anywhere; of a single draw it is not."""
    control = table[table["method"] == RANDOM]
    return bool(shape.ends) and bool(np.isfinite(control[list(shape.ends)].astype(float)).all(axis=1).any())


def _name(classes: Sequence[str], label: Any) -> str:
    if label is None:
        return "all sequences"
    return classes[int(label)] if int(label) < len(classes) else f"class {int(label)}"


def _panel(axis: Any, part: pd.DataFrame, methods: Sequence[str], shape: _Shape) -> None:
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


def _legend(methods: Sequence[str], table: pd.DataFrame, shape: _Shape) -> list[Any]:
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
