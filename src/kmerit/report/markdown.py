"""Table 1 and report cards in Markdown: for people, in a terminal, an issue or a manuscript's draft."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from kmerit.formats import DASH, fixed, markdown_table, percent, span, tokens
from kmerit.report import paper, text
from kmerit.report.artefacts import Card, Cards
from kmerit.report.folder import read_cards
from kmerit.report.results import RunResults, TaskResult
from kmerit.report.tables import INTACT, LRP_STAR, Entry, Row, rows, test_metrics
from kmerit.store import write_text

ALL_TAKEN = "n = all"


def table1_md(run: RunResults) -> str:
    """Write Table 1 and the test metrics for people."""
    table = rows(run)
    tested = [task for task in run.tasks if test_metrics(task)]
    out = ["# Table 1", ""]
    if table:
        out += [*_md_trial(run, table), ""]
    if tested:
        section = " (the paper's section 5.1)" if run.published else ""
        out += [f"## Whole test set{section}", "", *_md_tested(tested, run.published), ""]
    if run.published:
        out += [
            f"The paper: {paper.CITATION}. Its LRP\\* was chosen on the test sequences, ours on validation sequences; "
            "test sequences of its splits occur in, or overlap with, its training sequences.",
            "",
        ]
    return "\n".join(out)


def write_cards_md(folder: str | Path, title: str = "") -> Path:
    """Write ``cards.md`` from the ``cards.json`` of a folder.

    Args:
        folder: What :func:`kmerit.faithfulness.write_cards` wrote into.
        title: Heads it: the task, say.

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
    write_text(path, cards_md(read_cards(Path(folder)), title))
    return path


def cards_md(cards: Cards, title: str = "") -> str:
    """Write report cards for people."""
    lines = [
        f"# Report cards{f': {title}' if title else ''}",
        "",
        f"Endpoint: {text.ENDPOINT}, random_other. {text.RULE} Excess: over the deciding control that the method comes "
        "closest to, in logits, with its band.",
        "",
        *_md_table(
            ("class", "method", "verdict", "beyond composition", "excess", "band", "control", "sd", "sequences",
             "data set"),
            (_md_card(card, text.in_a_line(cards.data_set)) for card in cards.cards),
        ),
    ]  # fmt: skip
    warned, operators = text.caveats(cards.cards), dict.fromkeys(each.operator for each in cards.floors)
    done = [text.grid(cards.grid)]
    done += [text.evaluations(**cards.evaluations.model_dump())] if cards.evaluations else []
    for heading, entries in (
        ("Warnings", [f"{of}: {about}" for of, about in warned]),
        ("The floor", [text.floor(cards.floors, operator=operator) for operator in operators]),
        ("What was done", [entry for entry in done if entry]),
    ):
        if entries:
            lines += ["", f"## {heading}", "", *(f"- {entry}" for entry in entries)]
    return "\n".join(lines) + "\n"


def _md_card(card: Card, data_set: str) -> list[str]:
    return [
        _bar(card.class_name),
        _bar(card.method),
        card.verdict,
        text.beyond(card),
        "" if card.excess is None else f"{card.excess:.3f}",
        "" if card.low is None or card.high is None else f"{card.low:.3f} to {card.high:.3f}",
        card.control or "",
        "" if card.effect_size is None else f"{card.effect_size:.2f}",
        str(card.sequences),
        _bar(data_set),
    ]


def _bar(name: str) -> str:
    """Keep names with a bar from ending a cell."""
    return name.replace("|", "\\|")


def _md_trial(run: RunResults, table: Sequence[Row]) -> list[str]:
    scored = [row for row in table if row.scores]
    n = ", ".join(map(str, sorted({row.task.compared for row in scored})))
    intact, mutated = (ALL_TAKEN, INTACT) if any(row.group.restores for row in table) else (INTACT, ALL_TAKEN)
    lrp = [method for method in ("lrp", "lrp_last") if any(row.score(method) for row in table)]
    lines = [
        f"Accuracy by class with the n {text.done(table)}, and its 95 % interval"
        + ("; *in italics* the paper's number." if run.published else "."),
        "",
    ]
    if not scored:
        ends = ([_md(row.name), _md_entry(row.main[0]), _md_entry(row.main[-1])] for row in table)
        return [*lines, *_md_table(("class", intact, mutated), ends), *_md_floors(run)]
    lines += [
        *_md_table(
            ("class", intact, f"n = {n}, LRP\\*", f"n = {n}, attention", mutated,
             *(f"n = {n}, {_md(method)}" for method in lrp), f"n = {n}, random: 95 %"),
            ([_md(row.name), *map(_md_entry, row.main), *(_md_entry(row.score(method)) for method in lrp),
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


def _md_entry(entry: Entry | None) -> str:
    if entry is None or entry.cell is None:
        return DASH if entry is None or entry.paper is None else f"{DASH}; *{fixed(entry.paper)}*"
    chosen = f" ({_md(entry.cell.method)})" if entry.column == LRP_STAR else ""
    ours = f"{fixed(entry.cell.accuracy)} {span(entry.cell.low, entry.cell.high)}{chosen}"
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
        percent(cell.floor_normalised_drop),
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
