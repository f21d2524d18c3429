"""Table 1: our accuracies with their intervals, and the paper's beside them."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from kmerit.report import paper
from kmerit.report.folder import RANDOM, Cell, Group, RunResults, TaskResult, number

DASH = "–"
METRICS = {"accuracy": "accuracy", "f1": "F1", "mcc": "MCC", "auroc": "AUROC", "auprc": "AUPRC"}
CSV_COLUMNS = (
    "task", "class", "label", "quantity", "method", "n", "value", "low", "high", "paper", "sequences", "draws",
    "random_low", "random_high", "drop", "floor_normalised_drop", "default_label_rate", "tokens_changed", "gc_shift",
    "flip_rate", "accuracy_correct",
)  # fmt: skip


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
        beside: Each score at the n of comparison.
        control: Random positions at that n.
        tokens: Tokens that the full mutation changes, which is all of them.
    """

    task: TaskResult
    group: Group
    main: tuple[Entry, ...]
    beside: tuple[Entry, ...]
    control: Cell | None
    tokens: float


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
    published = group.paper if compared == paper.N else None

    def entry(column: str, cell: Cell | None, theirs: float | None, trial: bool = True) -> Entry:
        start = group.intact
        drop = start.accuracy - cell.accuracy if cell and start else math.nan
        return Entry(column, cell, theirs, drop, group.against_random(cell) if cell and trial else None)

    main = (
        entry("n = 0", group.intact, group.paper and group.paper.intact, trial=False),
        entry("LRP*", group.at(group.lrp_star, compared), published and published.lrp_star),
        entry("attention", group.at("attention", compared), published and published.attention),
        entry("all", group.mutated, group.paper and group.paper.mutated, trial=False),
    )
    beside = tuple(entry(method, group.at(method, compared), None) for method in group.methods)
    tokens = group.mutated.tokens_changed if group.mutated else math.nan
    return Row(task, group, main, beside, group.at(RANDOM, compared), tokens)


def test_metrics(task: TaskResult) -> list[Metric]:
    """List the metrics over the whole test set (the paper's section 5.1)."""
    held = {name: value for name, value in task.metrics.get("test", {}).items() if isinstance(value, Mapping)}
    order = [name for name in METRICS if name in held] + [name for name in held if name not in METRICS]
    return [
        Metric(
            name,
            METRICS.get(name, name),
            *(number(held[name].get(part)) for part in ("value", "low", "high")),
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
    entries = [*row.main, *(entry for entry in row.beside if entry.column != "attention")]
    if row.control:
        drop = row.group.intact.accuracy - row.control.accuracy if row.group.intact else math.nan
        entries.append(Entry(RANDOM, row.control, None, drop, None))
    for entry in entries:
        if (cell := entry.cell) is None:
            continue
        common = entry.column in ("n = 0", "all")
        yield {
            "task": row.task.name,
            "class": row.group.name,
            "label": row.group.label,
            "quantity": "accuracy_lrp_star" if entry.column == "LRP*" else "accuracy",
            "method": "" if common else cell.method,
            "n": "all" if cell.full else cell.n,
            "value": cell.accuracy,
            "low": cell.low,
            "high": cell.high,
            "paper": entry.paper,
            "random_low": row.control.low if row.control and not common else None,
            "random_high": row.control.high if row.control and not common else None,
            "drop": entry.drop,
            **{name: getattr(cell, name) for name in CSV_COLUMNS if hasattr(cell, name) and name not in _TAKEN},
        }


_TAKEN = {"label", "method", "n", "low", "high"}


def _plain(value: Any) -> Any:
    if isinstance(value, float):
        return f"{value:.6g}" if math.isfinite(value) else ""
    return "" if value is None else value


def table1_md(run: RunResults) -> str:
    """Write Table 1 and the test metrics for people."""
    table = rows(run)
    out = ["# Table 1", ""]
    compared = sorted({row.task.compared for row in table if row.task.compared})
    n = ", ".join(map(str, compared))
    if table:
        out += [
            "Accuracy by class after the n highest-scored nucleotides were replaced, with its 95 % interval; "
            "*in italics* the paper's number.",
            "",
            *_md_table(
                ("class", "n = 0", f"n = {n}, LRP*", f"n = {n}, attention", "all"),
                ([_md(row.group.name), *map(_main_cell, row.main)] for row in table),
            ),
            "",
            f"## Every score at n = {n}, and what stands beside the drop",
            "",
            *_md_table(
                ("class", "score", "accuracy", "random positions, 95 %", "against random", "drop", "of the way to the floor",
                 "default label called", "tokens changed"),
                (_beside_cells(row, entry) for row in table for entry in row.beside),
            ),
            "",
        ]  # fmt: skip
        for task in run.tasks:
            if task.default_label is not None:
                rate = percent(task.default_label_rate)
                out += [
                    f"With every nucleotide replaced, the model of {_md(task.title)} calls {rate} of the sequences "
                    f"{_md(task.default_label)}: its default label, the floor.",
                    "",
                ]
    tested = [task for task in run.tasks if test_metrics(task)]
    if tested:
        out += ["## Whole test set (the paper's section 5.1)", ""]
        out += _md_table(
            ("task", "rows", "metric", "value", "paper"),
            (
                [_md(task.title), str(task.metrics["test"].get("rows", DASH)), _md(metric.title),
                 f"{fixed(metric.value)} {span(metric.low, metric.high)}", fixed(metric.paper)]
                for task in tested
                for metric in test_metrics(task)
            ),
        )  # fmt: skip
        out += [""]
    out += [
        f"The paper: {paper.CITATION}. Its LRP* was chosen on the test sequences, ours on validation sequences; "
        "its splits leak, as the report says.",
        "",
    ]
    return "\n".join(out)


def _main_cell(entry: Entry) -> str:
    if entry.cell is None:
        ours = DASH
    else:
        chosen = f" ({_md(entry.cell.method)})" if entry.column == "LRP*" else ""
        ours = f"{fixed(entry.cell.accuracy)} {span(entry.cell.low, entry.cell.high)}{chosen}"
    return ours if entry.paper is None else f"{ours}; *{fixed(entry.paper)}*"


def _beside_cells(row: Row, entry: Entry) -> list[str]:
    if (cell := entry.cell) is None:
        return [_md(row.group.name), _md(entry.column), *[DASH] * 7]
    return [
        _md(row.group.name),
        _md(entry.column),
        f"{fixed(cell.accuracy)} {span(cell.low, cell.high)}",
        span(row.control.low, row.control.high) if row.control else DASH,
        entry.position or DASH,
        fixed(entry.drop),
        percent(cell.floor_normalised_drop),
        percent(cell.default_label_rate),
        tokens(cell.tokens_changed, row.tokens),
    ]


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
