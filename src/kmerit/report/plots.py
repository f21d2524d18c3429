"""Figures for papers: one style, written with the numbers behind them."""

from __future__ import annotations

import io
import math
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from kmerit.errors import UnknownName, UsageError
from kmerit.notebook import draw_logo
from kmerit.report import vocabulary
from kmerit.report.figures import BAND, DPI, GREY, INK, RC, style
from kmerit.report.load import RANDOM, Card, Compared, TaskResult, restores
from kmerit.report.table1 import GOOD_DROP
from kmerit.report.text import beyond
from kmerit.results import Attribution
from kmerit.sequences import Float, Sequences
from kmerit.store import write_bytes, write_csv
from kmerit.trials.controls import CONTEXT, DECIDING
from kmerit.trials.measures import BOUNDS
from kmerit.trials.verdicts import FAITHFUL, SAME, UNDECIDED, WORSE

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
    explanation = f"Above 0, more is lost than with {control}" + (f"; a good score lies {side}." if side else ".")
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
    chosen = list(methods or names)
    return table[table["method"].isin([*chosen, RANDOM])], chosen


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
        figure = blank(4.4 * columns, 0.9 + sum(0.36 * height + 0.55 for height in heights))
        axes = figure.subplots(len(rows), columns, squeeze=False, gridspec_kw={"height_ratios": heights})
        for line, row in zip(axes, rows, strict=True):
            for axis, (task, label, cards) in zip(line, row, strict=False):
                _verdict_panel(axis, cards)
                title = task.shown_classes[label] if label < len(task.shown_classes) else cards[0].class_name
                axis.set_title(title, loc="left", fontweight="bold")
            for axis in line[len(row) :]:
                axis.set_visible(False)
        figure.legend(handles=_verdict_legend(), loc="outside upper center", ncols=4, frameon=False)
    return Plot(figure, _numbers(panels))


def _verdict_panel(axis: Any, cards: Sequence[Card]) -> None:
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
            {"task": task.name, "label": label, "method": card.method, "line": card.line}
            | {"verdict": card.verdict, "beyond": card.beyond}
            | {key: getattr(each, key) for key in keys}
            for task, label, cards in panels
            for card in cards
            for each in card.comparisons
            if each.control in (*DECIDING, CONTEXT)
        ]
    ).replace({None: np.nan})
