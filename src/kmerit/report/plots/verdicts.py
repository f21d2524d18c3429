"""Verdicts at a glance: each method's excess over each matched control, its band, and both answers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from kmerit.errors import UsageError
from kmerit.faithfulness.controls import CONTEXT, DECIDING
from kmerit.faithfulness.verdicts import FAITHFUL, SAME, UNDECIDED, WORSE
from kmerit.report.artefacts import Card, Compared
from kmerit.report.figures import BAND, GREY, INK
from kmerit.report.plots.saving import Plot, blank, paper_style
from kmerit.report.results import TaskResult
from kmerit.report.text import beyond

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
        >>> from kmerit.report.artefacts import Cards, Choice, Info, Metrics
        >>> from kmerit.report.slots import Findings, Hits
        >>> rest = ((), ("off", "on"), (), (), Cards(cards=[card]), Findings(), Hits())
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
        figure = blank(4.4 * columns, 0.9 + sum(0.36 * height + 0.55 for height in heights))
        axes = figure.subplots(len(rows), columns, squeeze=False, gridspec_kw={"height_ratios": heights})
        for line, row in zip(axes, rows, strict=True):
            for axis, (task, label, cards) in zip(line, row, strict=False):
                _panel(axis, cards)
                title = task.shown_classes[label] if label < len(task.shown_classes) else cards[0].class_name
                axis.set_title(title, loc="left", fontweight="bold")
            for axis in line[len(row) :]:
                axis.set_visible(False)
        figure.legend(handles=_legend(), loc="outside upper center", ncols=4, frameon=False)
    return Plot(figure, _numbers(panels))


def _panel(axis: Any, cards: Sequence[Card]) -> None:
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
    axis.set_xlabel("excess over the control, logits")
    axis.grid(axis="x", color="#ECECEC", linewidth=0.6)
    axis.set_axisbelow(True)


def _mark(axis: Any, each: Compared, y: float, colour: str, *, filled: bool) -> None:
    low, high = (each.low, each.high) if each.band_low is None else (each.band_low, each.band_high)
    if low is not None and high is not None:
        axis.hlines(y, low, high, color=colour, linewidth=0.8)
    face = colour if filled else "white"
    axis.plot([each.excess], [y], MARKERS[each.control], color=colour, markerfacecolor=face, markersize=3.6)


def _legend() -> list[Any]:
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
            {"task": task.name, "label": label, "method": card.method, "line": card.line}
            | {"verdict": card.verdict, "beyond": card.beyond}
            | {key: getattr(each, key) for key in keys}
            for task, label, cards in panels
            for card in cards
            for each in card.comparisons
            if each.control in (*DECIDING, CONTEXT)
        ]
    ).replace({None: np.nan})
