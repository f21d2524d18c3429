"""Table 1: accuracies with their intervals, and the paper's next to them; in Markdown."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from kmerit.formats import DASH, baseline_text, fixed, interval, markdown_table, percent, significant, span, tokens
from kmerit.report import load, text
from kmerit.report.load import (
    RANDOM,
    Card,
    Cards,
    Cell,
    Departure,
    Group,
    Interval,
    RunResults,
    TaskResult,
    read_cards,
    read_departures,
)
from kmerit.store import write_text

INTACT, LRP_STAR, ALL = "n = 0", "LRP*", "all"
COMMON = (INTACT, ALL)
"""The columns whose mutants are the same for every method."""
GOOD = {"morf": "below", "lerf": "above", "insertion": "above"}
"""On which side of the random control a good method's accuracy lies, by order; of other orders it is not known."""
GOOD_DROP = {order: "above" if side == "below" else "below" for order, side in GOOD.items()}
"""On which side of a control's drop a good method's lies."""
METRICS = {"accuracy": "accuracy", "f1": "F1", "mcc": "MCC", "auroc": "AUROC", "auprc": "AUPRC",
           "r2": "R\N{SUPERSCRIPT TWO}", "pearson": "Pearson", "spearman": "Spearman", "rmse": "RMSE"}  # fmt: skip
CELL_COLUMNS = ("sequences", "draws", "floor_normalised_drop", "default_label_rate", "tokens_changed", "gc_shift",
                "flip_rate", "accuracy_correct")  # fmt: skip
CSV_COLUMNS = ("task", "class", "label", "quantity", "method", "n", "value", "low", "high", "paper", "random_low",
               "random_high", "drop", *CELL_COLUMNS)  # fmt: skip


@dataclass(frozen=True)
class Entry:
    """One accuracy of Table 1 and what stands next to it.

    Attributes:
        column: Its column: ``n = 0``, ``LRP*``, a method, ``all``.
        cell: Ours, or None where the run did not try it.
        paper: The paper's, or None where it has none.
        drop: Accuracy lost since n = 0.
        position: Against the random control's 95 % interval: below, inside, above, or None where that says nothing.
    """

    column: str
    cell: Cell | None
    paper: float | None
    drop: float
    position: str | None

    @property
    def floor_share(self) -> float:
        """The drop as a share of the way to the floor; NaN where that is unknown, or lies above the start."""
        share = self.cell.floor_normalised_drop if self.cell else math.nan
        return share if self.drop * share >= 0 else math.nan

    @property
    def tone(self) -> str:
        """What that position says of a score: ``good``, ``bad``, or ``neutral`` where it says nothing of either."""
        good_side = GOOD.get(self.cell.order) if self.cell else None
        if good_side is None or self.position not in ("below", "above"):
            return "neutral"
        return "good" if self.position == good_side else "bad"


@dataclass(frozen=True)
class Row:
    """One class of one task in Table 1.

    Attributes:
        name: Of the class, with its task where two tasks have a class of that name.
        main: The paper's four columns.
        scores: Each score at the n of comparison; none where nothing between 0 and "all" was tried.
        control: Random positions at that n; their interval is the control's 95 % interval.
        tokens: Tokens that the full mutation changes, which is all of them.
    """

    name: str
    task: TaskResult
    group: Group
    main: tuple[Entry, ...]
    scores: tuple[Entry, ...]
    control: Entry
    tokens: float

    def score(self, method: str) -> Entry | None:
        """Find a score's entry."""
        return next((entry for entry in self.scores if entry.column == method), None)


@dataclass(frozen=True)
class Metric:
    """One metric over a whole test set."""

    name: str
    title: str
    ours: Interval
    paper: float | None


def rows(run: RunResults) -> list[Row]:
    """Lay out Table 1, a row for each class."""
    groups = [(task, group) for task in run.tasks for group in task.groups]
    times = Counter(group.name for _, group in groups)
    return [
        _row(f"{group.name} ({task.name})" if times[group.name] > 1 else group.name, task, group)
        for task, group in groups
    ]


def _row(name: str, task: TaskResult, group: Group) -> Row:
    compared = task.compared
    # The paper compares at n = 20: next to another n its numbers would mislead.
    ends, trial = group.paper, group.paper if compared == load.COMPARED_COUNT else None

    def entry(column: str, cell: Cell | None, paper_value: float | None = None) -> Entry:
        start = group.intact
        drop = start.accuracy - cell.accuracy if cell and start else math.nan
        position = group.against_random(cell) if cell and column not in (*COMMON, RANDOM) else None
        return Entry(column, cell, paper_value, drop, position)

    def at(method: str | None) -> Cell | None:
        return group.at(method, compared) if compared else None

    main = (
        entry(INTACT, group.intact, ends.intact if ends else None),
        entry(LRP_STAR, at(group.lrp_star), trial.lrp_star if trial else None),
        entry("attention", at("attention"), trial.attention if trial else None),
        entry(ALL, group.mutated, ends.mutated if ends else None),
    )
    scores = tuple(entry(method, at(method)) for method in group.methods if compared)
    control = entry(RANDOM, at(RANDOM))
    return Row(name, task, group, main, scores, control, group.mutated.tokens_changed if group.mutated else math.nan)


def test_metrics(task: TaskResult) -> list[Metric]:
    """List the metrics over the whole test set (the paper's section 5.1)."""
    intervals = {name: value for name, value in task.metrics.test.items() if isinstance(value, Interval)}
    order = [name for name in METRICS if name in intervals] + [name for name in intervals if name not in METRICS]
    accuracy = task.paper.accuracy if task.paper else None
    return [
        Metric(name, METRICS.get(name, name), intervals[name], accuracy if name == "accuracy" else None)
        for name in order
    ]


@dataclass(frozen=True)
class BaselineRow:
    """A model, or one of its baselines, by the model's card.

    Attributes:
        title: What it is.
        metrics: Its metrics, by name.
        above: Those of the model less its own; empty of the model itself.
    """

    title: str
    metrics: Mapping[str, Interval]
    above: Mapping[str, Interval]


@dataclass(frozen=True)
class BaselineTable:
    """A model above its baselines.

    Attributes:
        columns: The name of each metric, its title, and whether differences are known.
        rows: The model's first.
    """

    columns: tuple[tuple[str, str, bool], ...]
    rows: tuple[BaselineRow, ...]


def baseline_table(task: TaskResult) -> BaselineTable | None:
    """Lay out a task's model and its baselines as the model's card gives them; None without baselines."""
    card = task.metrics.baselines
    if card is None or not card.baselines:
        return None
    rows = [BaselineRow("this model", card.model, {})]
    rows += [BaselineRow(baseline_text(each.name), each.metrics, each.above) for each in card.baselines]
    columns = [
        (name, title, any(name in row.above for row in rows))
        for name, title in METRICS.items()
        if any(name in row.metrics for row in rows)
    ]
    return BaselineTable(tuple(columns), tuple(rows))


def write_tables(run: RunResults, folder: Path) -> None:
    """Write ``table1.csv`` and ``table1.md`` into a run's folder."""
    write_text(folder / "table1.csv", table1_csv(run))
    write_text(folder / "table1.md", table1_md(run))


def table1_csv(run: RunResults) -> str:
    """Write Table 1 and the test metrics for machines: a row for each number."""
    lines = [line for row in rows(run) for line in _csv_lines(row)]
    lines += [
        {
            "task": task.name,
            "quantity": f"test_{metric.name}",
            "value": metric.ours.value,
            "low": metric.ours.low,
            "high": metric.ours.high,
            "paper": metric.paper,
            "sequences": task.metrics.rows,
        }
        for task in run.tasks
        for metric in test_metrics(task)
    ]
    plain = [{key: _plain(value) for key, value in line.items()} for line in lines]
    return str(pd.DataFrame(plain, columns=list(CSV_COLUMNS), dtype=object).to_csv(index=False, lineterminator="\n"))


def _csv_lines(row: Row) -> Iterator[dict[str, Any]]:
    others = (entry for entry in row.scores if entry.column != "attention")
    for entry in (*row.main, *others, row.control):
        if (cell := entry.cell) is None:
            continue
        common = entry.column in COMMON
        control = None if common else row.control.cell
        yield {
            "task": row.task.name,
            "class": row.group.name,
            "label": row.group.label,
            "quantity": "accuracy_lrp_star" if entry.column == LRP_STAR else "accuracy",
            "method": "" if common else cell.method,
            "n": "all" if cell.full else cell.n,
            "value": cell.accuracy,
            "low": cell.low,
            "high": cell.high,
            "paper": entry.paper,
            "random_low": control.low if control else None,
            "random_high": control.high if control else None,
            "drop": entry.drop,
            **{name: getattr(cell, name) for name in CELL_COLUMNS},
        }


def _plain(value: Any) -> Any:
    if isinstance(value, float):
        return significant(value, 6) if math.isfinite(value) else ""
    return "" if value is None else value


ALL_TAKEN = "n = all"


def table1_md(run: RunResults) -> str:
    """Write Table 1 and the test metrics for people."""
    table = rows(run)
    measured_tasks = [task for task in run.tasks if test_metrics(task)]
    out = ["# Table 1", ""]
    if table:
        out += [*_md_trial(run, table), ""]
    if reasons := text.withheld(run):
        out += [_md(reasons), ""]
    if measured_tasks:
        section = " (the paper's section 5.1)" if run.published else ""
        out += [
            f"## {text.test_set(run)}{section}",
            "",
            _md(text.tested(run)),
            "",
            *_md_tested(measured_tasks, run.published),
            "",
            *_md_baselines(run),
        ]
    if run.published:
        out += [
            f"The paper: {load.CITATION}. Its LRP\\* was chosen on the test sequences, ours on validation sequences; "
            "test sequences of its splits occur in, or overlap with, its training sequences.",
            "",
        ]
    return "\n".join(out)


def write_cards_md(folder: str | Path, title: str = "", model: str = "") -> Path:
    """Write ``cards.md`` from the ``cards.json`` of a folder.

    Args:
        folder: What :func:`kmerit.trials.measures.write_cards` wrote into.
        title: Heads it: the task, say.
        model: Digest of the model, for its calibration.

    Raises:
        FormatError: There is no ``cards.json``, or it cannot be understood.

    Example:
        >>> import tempfile
        >>> folder = Path(tempfile.mkdtemp())
        >>> _ = (folder / "cards.json").write_text('{"cards": []}')
        >>> write_cards_md(folder, "mine").read_text().splitlines()[0]
        '# Report cards: mine'
    """
    path = Path(folder) / "cards.md"
    write_text(path, cards_md(read_cards(Path(folder)), title, model, read_departures(Path(folder))))
    return path


def cards_md(cards: Cards, title: str = "", model: str = "", departures: Sequence[Departure] = ()) -> str:
    """Write report cards for people."""
    lines = [
        f"# Report cards{f': {title}' if title else ''}",
        "",
        text.rule(values=[cards.endpoint.value]),
        "",
        *_md_table(
            ("class", "method", "verdict", "beyond composition", "excess", "band", "control", "sd", "sequences"),
            map(_md_card, cards.cards),
        ),
        "",
        f"Data set: {text.in_a_line(cards.data_set)}.",
    ]
    warnings, operators = text.caveats(cards.cards), dict.fromkeys(each.operator for each in cards.floors)
    actions = [text.grid(cards.grid)]
    actions += (
        [text.evaluations(**cards.evaluations.model_dump(), value=cards.endpoint.value)] if cards.evaluations else []
    )
    for heading, entries in (
        ("Warnings", [f"{of}: {about}" for of, about in warnings]),
        ("The floor", [text.floor(cards.floors, operator=operator) for operator in operators]),
        ("The floor", [text.value_floor(cards.value_floors, each.operator) for each in cards.value_floors]),
        ("Calibration", text.calibration(model, cards.cards, value=cards.endpoint.value)),
        ("What was done", [entry for entry in actions if entry]),
    ):
        if entries:
            lines += ["", f"## {heading}", "", *(f"- {entry}" for entry in entries)]
    if departures:
        columns, rows = departure_cells(departures)
        lines += ["", "## How far mutants leave the data", "", text.DEPARTURES, "", *_md_table(columns, rows)]
    return "\n".join(lines) + "\n"


def departure_cells(departures: Sequence[Departure]) -> tuple[list[str], list[list[str]]]:
    """Format how far mutants leave the data: the columns, and a row per operator and count.

    Example:
        >>> row = load.Departure(operator="mask", n="all", sequences=20, state=0.9, state_low=0.8, state_high=1.0)
        >>> columns, rows = departure_cells([row])
        >>> dict(zip(columns, rows[0]))["state of [CLS]"]
        '0.90 (0.80 to 1.00)'
    """
    columns = ["operator", "n", "sequences", "state of [CLS]", "letters", "moved", "log-likelihood"]
    rows = [
        [
            row.operator,
            row.n,
            str(row.sequences),
            interval(row.state, row.state_low, row.state_high, digits=2),
            interval(row.letters, row.letters_low, row.letters_high, digits=2),
            fixed(row.moved, 2),
            fixed(row.likelihood),
        ]
        for row in departures
    ]
    if any(row.pseudo is not None for row in departures):
        columns += ["pseudo-likelihood", "its change"]
        for cells, row in zip(rows, departures, strict=True):
            pseudo = math.nan if row.pseudo is None else row.pseudo
            cells += [interval(pseudo, row.pseudo_low, row.pseudo_high, digits=2), fixed(row.pseudo_change)]
    return columns, rows


def _md_card(card: Card) -> list[str]:
    return [
        _bar(card.class_name),
        _bar(card.method),
        card.verdict,
        text.beyond(card),
        fixed(card.excess, none=""),
        "" if card.low is None or card.high is None else f"{fixed(card.low)} to {fixed(card.high)}",
        card.control or "",
        fixed(card.effect_size, 2, none=""),
        str(card.sequences),
    ]


def _bar(name: str) -> str:
    """Keep names with a bar from ending a cell."""
    return name.replace("|", "\\|")


def _md_trial(run: RunResults, table: Sequence[Row]) -> list[str]:
    with_scores = [row for row in table if row.scores]
    n = ", ".join(map(str, sorted({row.task.compared for row in with_scores})))
    intact, mutated = (ALL_TAKEN, INTACT) if any(row.group.restores for row in table) else (INTACT, ALL_TAKEN)
    lrp = [method for method in ("lrp", "lrp_last") if any(row.score(method) for row in table)]
    lines = [
        f"Accuracy by class with the n {text.done(table)}, and its 95 % interval"
        + ("; *in italics* the paper's number." if run.published else "."),
        "",
    ]
    takes_all = text.takes_all(table)
    last = [mutated] if takes_all else []
    if not with_scores:
        ends = ([_md(row.name), *map(_md_entry, (row.main[0], row.main[-1])[: 1 + takes_all])] for row in table)
        return [*lines, *_md_table(("class", intact, *last), ends), *_md_floors(run)]
    lines += [
        *_md_table(
            ("class", intact, f"n = {n}, LRP\\*", f"n = {n}, attention", *last,
             *(f"n = {n}, {_md(method)}" for method in lrp), f"n = {n}, random: 95 %"),
            ([_md(row.name), *map(_md_entry, row.main[: 3 + takes_all]),
              *(_md_entry(row.score(method)) for method in lrp), _control(row)] for row in table),
        ),
        "",
        f"## {text.every_method(table)}",
        "",
        *_md_table(
            ("class", "method", "accuracy", "random: 95 %", "against random", "drop", "of the way to the floor",
             "default label at the floor", "tokens changed", "GC shift"),
            (_md_score(row, entry) for row in table for entry in row.scores),
        ),
    ]  # fmt: skip
    return [*lines, *_md_floors(run)]


def _md_floors(run: RunResults) -> list[str]:
    lines: list[str] = []
    for task in run.tasks:
        if task.default_label is not None:
            lines += [
                "",
                f"{_md(task.name)}: with every nucleotide replaced, the model answers {_md(task.default_label)}, its "
                f"default label, for {percent(task.info.default_label_rate)} of the sequences.",
            ]
    return lines


def _md_tested(tasks: Sequence[TaskResult], published: bool) -> list[str]:
    return _md_table(
        ("task", "sequences", "metric", "value", *(["paper"] if published else [])),
        (
            [_md(task.name), fixed(task.metrics.rows, 0), _md(metric.title),
             f"{fixed(metric.ours.value)} {span(metric.ours.low, metric.ours.high)}",
             *([fixed(metric.paper)] if published else [])]
            for task in tasks
            for metric in test_metrics(task)
        ),
    )  # fmt: skip


def _md_baselines(run: RunResults) -> list[str]:
    lines = []
    if caption := text.baselines_caption(run):
        lines += [f"### {text.OTHER_MODELS}", "", _md(caption), ""]
    for task in run.tasks:
        if (table := baseline_table(task)) is not None:
            titles = [part for _, title, differs in table.columns for part in (title, "difference")[: 1 + differs]]
            cells = (
                [_md(row.title), *(_md_number(numbers.get(name)) for name, _, differs in table.columns
                                   for numbers in (row.metrics, row.above)[: 1 + differs])]
                for row in table.rows
            )  # fmt: skip
            lines += [_md(text.baseline_rows(task)), "", *_md_table(("model", *map(_md, titles)), cells), ""]
    return [*lines, _md(notes), ""] if (notes := text.no_baselines(run)) else lines


def _md_number(number: Interval | None) -> str:
    return DASH if number is None else f"{fixed(number.value)} {span(number.low, number.high)}".rstrip()


def _md_entry(entry: Entry | None) -> str:
    if entry is None or entry.cell is None:
        return DASH if entry is None or entry.paper is None else f"{DASH}; *{fixed(entry.paper)}*"
    choice_note = f" ({_md(entry.cell.method)})" if entry.column == LRP_STAR else ""
    ours = f"{fixed(entry.cell.accuracy)} {span(entry.cell.low, entry.cell.high)}{choice_note}"
    return ours if entry.paper is None else f"{ours}; *{fixed(entry.paper)}*"


def _md_score(row: Row, entry: Entry) -> list[str]:
    head = [_md(row.name), _md(entry.column)]
    if (cell := entry.cell) is None:
        return [*head, *[DASH] * 8]
    return [
        *head,
        f"{fixed(cell.accuracy)} {span(cell.low, cell.high)}",
        _control(row),
        entry.position or DASH,
        fixed(entry.drop),
        percent(entry.floor_share),
        percent(cell.default_label_rate),
        tokens(cell.tokens_changed, row.tokens),
        fixed(cell.gc_shift),
    ]


def _control(row: Row) -> str:
    control = row.control.cell
    return span(control.low, control.high) or DASH if control else DASH


def _md_table(head: Iterable[str], body: Iterable[Iterable[str]]) -> list[str]:
    return markdown_table(list(head), map(list, body)).splitlines()


def _md(text: str) -> str:
    """Keep a name from being read as Markdown."""
    return "".join(f"\\{c}" if c in "\\`*_{}[]<>#|&~" else c for c in " ".join(text.split()))
