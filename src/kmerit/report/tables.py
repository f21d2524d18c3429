"""Table 1: our accuracies with their intervals, and the paper's beside them."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pandas as pd

from kmerit.report import paper
from kmerit.report.artefacts import Cell, Interval
from kmerit.report.results import RANDOM, Group, RunResults, TaskResult

INTACT, LRP_STAR, ALL = "n = 0", "LRP*", "all"
COMMON = (INTACT, ALL)
"""The columns whose mutants are the same for every score."""
GOOD = {"morf": "below", "lerf": "above", "insertion": "above"}
"""On which side of the random control a good score's accuracy lies, by order; of other orders it is not known."""
GOOD_DROP = {order: "above" if side == "below" else "below" for order, side in GOOD.items()}
"""On which side of a control's drop a good score's lies."""
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

    @property
    def tone(self) -> str:
        """What that position says of a score: ``good``, ``bad``, or ``neutral`` where it says nothing of either."""
        good = GOOD.get(self.cell.order) if self.cell else None
        if good is None or self.position not in ("below", "above"):
            return "neutral"
        return "good" if self.position == good else "bad"


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
    # The paper compares at n = 20: beside another n its numbers would mislead.
    ends, trial = group.paper, group.paper if compared == paper.N else None

    def entry(column: str, cell: Cell | None, theirs: float | None = None) -> Entry:
        start = group.intact
        drop = start.accuracy - cell.accuracy if cell and start else math.nan
        position = group.against_random(cell) if cell and column not in (*COMMON, RANDOM) else None
        return Entry(column, cell, theirs, drop, position)

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
    held = {name: value for name, value in task.metrics.test.items() if isinstance(value, Interval)}
    order = [name for name in METRICS if name in held] + [name for name in held if name not in METRICS]
    accuracy = task.paper.accuracy if task.paper else None
    return [
        Metric(name, METRICS.get(name, name), held[name], accuracy if name == "accuracy" else None) for name in order
    ]


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
        return f"{value:.6g}" if math.isfinite(value) else ""
    return "" if value is None else value
