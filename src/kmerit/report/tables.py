"""Table 1: our accuracies with their intervals, and the paper's beside them."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from kmerit.report import paper
from kmerit.report.folder import RANDOM, Cell, Group, RunResults, TaskResult, number

DASH = "–"
INTACT, LRP_STAR, ALL = "n = 0", "LRP*", "all"
COMMON = (INTACT, ALL)
"""The columns whose mutants are the same for every score."""
METRICS = {"accuracy": "accuracy", "f1": "F1", "mcc": "MCC", "auroc": "AUROC", "auprc": "AUPRC"}
CELL_COLUMNS = ("sequences", "draws", "floor_normalised_drop", "default_label_rate", "tokens_changed", "gc_shift",
                "flip_rate", "accuracy_correct")  # fmt: skip
CSV_COLUMNS = ("task", "class", "label", "quantity", "method", "n", "value", "low", "high", "paper", "random_low",
               "random_high", "drop", *CELL_COLUMNS)  # fmt: skip


@dataclass(frozen=True)
class Entry:
    """One accuracy of Table 1 and what stands beside it.

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


@dataclass(frozen=True)
class Row:
    """One class of one task in Table 1.

    Attributes:
        main: The paper's four columns.
        scores: Each score at the n of comparison.
        control: Random positions at that n; their interval is the control's 95 % interval.
        tokens: Tokens that the full mutation changes, which is all of them.
    """

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
    value: float
    low: float
    high: float
    paper: float | None


def rows(run: RunResults) -> list[Row]:
    """Lay out Table 1, a row for each class."""
    return [_row(task, group) for task in run.tasks for group in task.groups]


def _row(task: TaskResult, group: Group) -> Row:
    compared = task.compared or 0
    # The paper compares at n = 20: beside another n its numbers would mislead.
    ends, trial = group.paper, group.paper if compared == paper.N else None

    def entry(column: str, cell: Cell | None, theirs: float | None = None) -> Entry:
        start = group.intact
        drop = start.accuracy - cell.accuracy if cell and start else math.nan
        position = group.against_random(cell) if cell and column not in (*COMMON, RANDOM) else None
        return Entry(column, cell, theirs, drop, position)

    main = (
        entry(INTACT, group.intact, ends.intact if ends else None),
        entry(LRP_STAR, group.at(group.lrp_star, compared), trial.lrp_star if trial else None),
        entry("attention", group.at("attention", compared), trial.attention if trial else None),
        entry(ALL, group.mutated, ends.mutated if ends else None),
    )
    scores = tuple(entry(method, group.at(method, compared)) for method in group.methods)
    control = entry(RANDOM, group.at(RANDOM, compared))
    return Row(task, group, main, scores, control, group.mutated.tokens_changed if group.mutated else math.nan)


def test_metrics(task: TaskResult) -> list[Metric]:
    """List the metrics over the whole test set (the paper's section 5.1)."""
    held: dict[str, Any] = {
        name: value for name, value in task.metrics.get("test", {}).items() if isinstance(value, Mapping)
    }
    order = [name for name in METRICS if name in held] + [name for name in held if name not in METRICS]
    return [
        Metric(
            name,
            METRICS.get(name, name),
            value=number(held[name].get("value")),
            low=number(held[name].get("low")),
            high=number(held[name].get("high")),
            paper=task.paper.accuracy if task.paper and name == "accuracy" else None,
        )
        for name in order
    ]


def table1_csv(run: RunResults) -> str:
    """Write Table 1 and the test metrics for machines: a row for each number."""
    out = io.StringIO()
    writer = csv.DictWriter(out, CSV_COLUMNS, restval="", lineterminator="\n")
    writer.writeheader()
    for row in rows(run):
        for line in _csv_lines(row):
            writer.writerow({key: _plain(value) for key, value in line.items()})
    for task in run.tasks:
        for metric in test_metrics(task):
            line = {
                "task": task.name,
                "quantity": f"test_{metric.name}",
                "value": metric.value,
                "low": metric.low,
                "high": metric.high,
                "paper": metric.paper,
                "sequences": task.metrics["test"].get("rows"),
            }
            writer.writerow({key: _plain(value) for key, value in line.items()})
    return out.getvalue()


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
        return f"{value:.6g}" if math.isfinite(value) else ""
    return "" if value is None else value


def table1_md(run: RunResults) -> str:
    """Write Table 1 and the test metrics for people."""
    table = rows(run)
    tested = [task for task in run.tasks if test_metrics(task)]
    out = ["# Table 1", ""]
    if table:
        out += [*_md_trial(run, table), ""]
    if tested:
        out += ["## Whole test set (the paper's section 5.1)", "", *_md_tested(tested), ""]
    out += [
        f"The paper: {paper.CITATION}. Its LRP\\* was chosen on the test sequences, ours on validation sequences; "
        "test sequences of its splits occur in, or overlap with, its training sequences.",
        "",
    ]
    return "\n".join(out)


def _md_trial(run: RunResults, table: Sequence[Row]) -> list[str]:
    n = ", ".join(map(str, sorted({row.task.compared for row in table if row.task.compared})))
    named = [method for method in ("lrp", "lrp_last") if any(row.score(method) for row in table)]
    lines = [
        "Accuracy by class after the n highest-scored nucleotides were replaced, with its 95 % interval; "
        "*in italics* the paper's number.",
        "",
        *_md_table(
            ("class", INTACT, f"n = {n}, LRP\\*", f"n = {n}, attention", "n = all",
             *(f"n = {n}, {_md(method)}" for method in named), f"n = {n}, random: 95 %"),
            ([_md(row.group.name), *map(_md_entry, row.main), *(_md_entry(row.score(method)) for method in named),
              _control(row)] for row in table),
        ),
        "",
        f"## Every score at n = {n}, and what stands beside its drop",
        "",
        *_md_table(
            ("class", "score", "accuracy", "random: 95 %", "against random", "drop", "of the way to the floor",
             "default label at the floor", "tokens changed", "GC shift"),
            (_md_score(row, entry) for row in table for entry in row.scores),
        ),
    ]  # fmt: skip
    for task in run.tasks:
        if task.default_label is not None:
            lines += [
                "",
                f"{_md(task.title)}: with every nucleotide replaced, the model answers {_md(task.default_label)}, its "
                f"default label, for {percent(task.default_label_rate)} of the sequences.",
            ]
    return lines


def _md_tested(tasks: Sequence[TaskResult]) -> list[str]:
    return _md_table(
        ("task", "sequences", "metric", "value", "paper"),
        (
            [_md(task.title), str(task.metrics["test"].get("rows", DASH)), _md(metric.title),
             f"{fixed(metric.value)} {span(metric.low, metric.high)}", fixed(metric.paper)]
            for task in tasks
            for metric in test_metrics(task)
        ),
    )  # fmt: skip


def _md_entry(entry: Entry | None) -> str:
    if entry is None or entry.cell is None:
        return DASH if entry is None or entry.paper is None else f"{DASH}; *{fixed(entry.paper)}*"
    chosen = f" ({_md(entry.cell.method)})" if entry.column == LRP_STAR else ""
    ours = f"{fixed(entry.cell.accuracy)} {span(entry.cell.low, entry.cell.high)}{chosen}"
    return ours if entry.paper is None else f"{ours}; *{fixed(entry.paper)}*"


def _md_score(row: Row, entry: Entry) -> list[str]:
    names = [_md(row.group.name), _md(entry.column)]
    if (cell := entry.cell) is None:
        return [*names, *[DASH] * 8]
    return [
        *names,
        f"{fixed(cell.accuracy)} {span(cell.low, cell.high)}",
        _control(row),
        entry.position or DASH,
        fixed(entry.drop),
        percent(cell.floor_normalised_drop),
        percent(cell.default_label_rate),
        tokens(cell.tokens_changed, row.tokens),
        fixed(cell.gc_shift),
    ]


def _control(row: Row) -> str:
    control = row.control.cell
    return span(control.low, control.high) or DASH if control else DASH


def _md_table(head: Iterable[str], body: Iterable[Iterable[str]]) -> list[str]:
    head = list(head)
    return [f"| {' | '.join(line)} |" for line in (head, ["---"] * len(head), *body)]


def _md(text: str) -> str:
    """Keep a name from being read as Markdown."""
    return "".join(f"\\{c}" if c in "\\`*_{}[]<>#|&~" else c for c in " ".join(text.split()))


def fixed(value: float | None, digits: int = 3) -> str:
    """Write a number with fixed digits and a true minus sign; a dash where there is none."""
    if value is None or not math.isfinite(value):
        return DASH
    text = f"{value:.{digits}f}"
    return text.replace("-", "\N{MINUS SIGN}") if float(text) else text.lstrip("-")


def span(low: float, high: float) -> str:
    """Write an interval."""
    return f"[{fixed(low)}, {fixed(high)}]" if math.isfinite(low) and math.isfinite(high) else ""


def percent(value: float | None) -> str:
    """Write a fraction as per cent."""
    return DASH if value is None or not math.isfinite(value) else f"{fixed(100 * value, 0)} %"


def tokens(changed: float, total: float) -> str:
    """Write how many tokens changed, and of how many."""
    if not math.isfinite(changed):
        return DASH
    return f"{fixed(changed, 0)} of {fixed(total, 0)}" if math.isfinite(total) else fixed(changed, 0)
