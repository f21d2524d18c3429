"""What the numbers say, in sentences: description, not verdict."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

from kmerit.faithfulness.verdicts import FAITHFUL, SAME, UNDECIDED, WORSE
from kmerit.formats import fixed, percent
from kmerit.report.floor import floor_of, kept
from kmerit.report.notices import own_notices
from kmerit.report.results import RANDOM, RunResults, TaskResult
from kmerit.report.tables import Row, join, rows

SMALL_SAMPLE = 100
"""Below this many sequences a class, an accuracy's 95 % interval is wider than about 0.15."""


MOST_GROUPS = 3
"""Of methods that are faithful on the same classes, in the sentence of the verdicts."""
DONE = {
    "morf": "highest-scored nucleotides replaced",
    "lerf": "lowest-scored nucleotides replaced",
    "insertion": "highest-scored nucleotides put back into a sequence otherwise replaced",
}
"""What each order does with n nucleotides."""


def done(table: Sequence[Row]) -> str:
    """Say what was done with n nucleotides."""
    return join(dict.fromkeys(done_by(cell.order) for row in table for cell in row.group.cells), "or")


def done_by(order: str) -> str:
    """Say what an order does with n nucleotides."""
    return DONE.get(order, f"nucleotides in the order {order}")


def design(table: Sequence[Row]) -> str:
    """Name the operators and orders of the trial."""
    cells = [cell for row in table for cell in row.group.cells]
    return join(dict.fromkeys(f"operator {cell.operator}, order {cell.order}" for cell in cells), "or")


def headline(run: RunResults) -> list[str]:
    """Say in three sentences what the trial showed."""
    table = rows(run)
    if not table:
        return ["No mutagenesis trial is in this folder yet; below stand the metrics over the whole test set."]
    return [_verdicts(table) or _against_random(table), _default_labels(run, table), _footprint(table)]


def _verdicts(table: Sequence[Row]) -> str:
    """Say what the trial against fair controls concluded, what is faithful first; nothing where it was not held."""
    judged = [(row, card) for row in table for card in row.task.cards.cards if card.label == row.group.label]
    if not judged:
        return ""
    classes: dict[str, list[str]] = {}
    for row, card in judged:
        if card.verdict == FAITHFUL:
            classes.setdefault(card.method, []).append(row.name)
    methods: dict[tuple[str, ...], list[str]] = {}
    for method, names in classes.items():
        methods.setdefault(tuple(names), []).append(method)
    tried = list(dict.fromkeys(row.name for row, _ in judged))
    groups = [
        f"{join(of)} on {'every class' if len(names) == len(tried) > 1 else join(names)}"
        for names, of in sorted(methods.items(), key=lambda each: -len(each[0]))
    ]
    count = sum(map(len, classes.values()))
    text = f"Against matched controls, {count or 'none'} of {counted([len(judged)], 'ranking')} (a score on a class) "
    text += "is faithful" if count <= 1 else "are faithful"
    if groups:
        more = len(groups) - MOST_GROUPS
        text += f": {'; '.join(groups[:MOST_GROUPS])}" + (" and more (see the report cards)" if more > 0 else "")
    times = Counter(card.verdict for _, card in judged if card.verdict != FAITHFUL)
    order = [verdict for verdict in (WORSE, SAME, UNDECIDED) if verdict in times]
    order += [verdict for verdict in times if verdict not in order]
    others = ", ".join(f"{times[each]} {_plural(each, times[each])}" for each in order)
    return f"{text}. The others: {others}." if others else f"{text}."


def _plural(verdict: str, count: int) -> str:
    return verdict if count == 1 else verdict.replace(" its ", " their ")


def _against_random(table: Sequence[Row]) -> str:
    table = [row for row in table if row.scores]
    if not table:
        return (
            "Nothing between n = 0 and n = all was tried, and there every score replaces the same nucleotides: no "
            "score can be told from another here, and none is judged."
        )
    top = join(sorted({str(row.task.compared) for row in table}))
    if not any(entry.position for row in table for entry in row.scores):
        single = any(row.control.cell for row in table)
        what = "The random control is a single draw, which has no interval," if single else "There is no random control"
        return f"{what} at n = {top}, so no score can be told from chance here."
    below, none, above = [], [], []
    for row in table:
        found = [entry.column for entry in row.scores if entry.position == "below"]
        over = [entry.column for entry in row.scores if entry.position == "above"]
        everyone = len(found) == len(row.scores) > 1
        if found:
            below.append(f"{f'all {len(found)} scores' if everyone else join(found)} on {row.name}")
        else:
            none.append(row.name)
        if over:
            above.append(f"{join(over)} on {row.name}")
    if none:
        below.append(f"no score on {join(none, 'or')}")
    replaced = done(table).replace("nucleotides", "nucleotide") if top == "1" else done(table)
    text = f"With the {top} {replaced}, accuracy lies below the random control's 95 % interval for {'; '.join(below)}"
    if above:
        text += f"; it lies above that interval for {'; '.join(above)}"
    return text + "."


def _default_labels(run: RunResults, table: Sequence[Row]) -> str:
    """Say for each class how often a fully replaced sequence gets the default label, and whether classes stay apart."""
    calls = []
    for task in run.tasks:
        ends = [(row.name, row.group.mutated) for row in table if row.task is task]
        rates = [f"{percent(end.default_label_rate)} of {name}" for name, end in ends if end is not None]
        if task.default_label is not None and rates:
            calls.append(f"the model for {task.name} answers “{task.default_label}” for {join(rates)}")
    if not calls:
        return "What the model answers when every nucleotide is replaced was not recorded."
    text = f"With every nucleotide replaced, {join(calls)}: every method ends at this accuracy"
    apart = [task.name for task in run.tasks if task.groups and kept(task)]
    return f"{text}; on {join(apart)} the mutants still differ between classes." if apart else f"{text}."


def _footprint(table: Sequence[Row]) -> str:
    changed = _finite(entry.cell.tokens_changed for row in table for entry in row.scores if entry.cell)
    random = _finite(row.control.cell.tokens_changed for row in table if row.control.cell)
    widths = _finite(entry.cell.high - entry.cell.low for row in table for entry in row.scores if entry.cell)
    widths = widths or _finite(
        end.high - end.low for row in table for end in (row.group.intact, row.group.mutated) if end
    )
    counts = sorted({cell.sequences for row in table for cell in row.group.cells if cell.sequences})
    text = (
        f"Each accuracy rests on {counted(counts, 'sequence')}" if counts else "The number of sequences is not recorded"
    )
    if widths:
        text += f", and its 95 % interval is up to {fixed(max(widths), 2)} wide"
    if changed:
        text += f"; the replaced nucleotides change {counted(changed, 'token')}"
        if random:
            text += f" where random positions change {_range(random)}"
            apart = max(changed) < min(random) or max(random) < min(changed)
            text += ", so equal n is not equal damage" if apart else ""
    return text + "."


def cautions(run: RunResults) -> list[tuple[str, str]]:
    """Say what could mislead here, each with this run's numbers: a title and a sentence or two."""
    table = rows(run)
    if not table:
        return []
    entries = [entry for row in table for entry in row.scores if entry.cell]
    out = [("The floor", _floor_caution(run, table))]
    if changed := _finite(entry.cell.tokens_changed for entry in entries if entry.cell):
        text = (
            "One substitution changes up to k overlapping k-mers, and neighbours share them: scattered positions "
            f"change many more tokens than clustered ones. Here {_range(changed)} tokens changed under the scores"
        )
        random = _finite(row.control.cell.tokens_changed for row in table if row.control.cell)
        text += f" and {_range(random)} under uniformly random positions" if random else ""
        text += (
            "; the verdicts rest on controls that change as many as a score does: shifted, clump and other."
            if any(task.cards.cards for task in run.tasks)
            else "; controls that change as many as a score does are fairer."
        )
        out.append(("The token footprint", text))
    if gc := _finite(entry.cell.gc_shift for entry in entries if entry.cell):
        out.append(
            ("Composition", "Substitution moves GC content: by another base at random, towards one half and beyond. "
             f"Its mean change here is {_range(gc, 3)}.")
        )  # fmt: skip
    out += [("Leakage", text) for text in [_leak_caution(run.tasks)] if text]
    out += [("Choice", _choice_caution(run.tasks, len(entries)))]
    return out


def _floor_caution(run: RunResults, table: Sequence[Row]) -> str:
    ends = [f"{row.group.name} {fixed(row.group.mutated.accuracy)}" for row in table if row.group.mutated is not None]
    text = (
        "With every nucleotide replaced the model still answers, often its default label, and for that label accuracy "
        "may hardly fall at all; what of a class the mutants keep, composition for one, moves this floor, too. So each "
        "drop is also given as a share of the way to the floor (a dash where the way is under 0.05)."
    )
    text += f" With every nucleotide replaced: {join(ends)}." if ends else ""
    # With report cards, the floor stands under them.
    told = [f" {task.name}: {found}" for task in run.tasks if not task.cards.cards and (found := floor_of(task))]
    return text + "".join(told)


def _leak_caution(tasks: Iterable[TaskResult]) -> str:
    told = []
    for task in tasks:
        if task.paper is None:
            continue
        same = task.name == task.paper.name
        told.append(
            f"{task.name} is the paper's own set: {task.paper.leak}"
            if same
            else f"the paper's numbers beside {task.name} come from {task.paper.name}, where {task.paper.leak}; "
            "the rows here are other ones, so the two are not like for like"
        )
    return f"{'; '.join(told)[:1].upper()}{'; '.join(told)[1:]}." if told else ""


def _choice_caution(tasks: Sequence[TaskResult], comparisons: int) -> str:
    sizes = sorted({task.choice.sequences for task in tasks if task.choice.sequences})
    text = "LRP* is the better of lrp and lrp_last"
    text += f", chosen on {counted(sizes, 'validation sequence')}" if sizes else "; here no choice is recorded"
    text += " (the paper chose on the test sequences)." if any(task.paper for task in tasks) else "."
    if not comparisons:
        return text
    text += (
        f" {counted([comparisons], 'comparison')} with random's interval "
        f"{'stands' if comparisons == 1 else 'stand'} on this page, "
    )
    if any(task.cards.cards for task in tasks):
        return (
            f"{text}not corrected for their number; the verdicts do not rest on them, but on paired differences from "
            "matched controls, whose bands hold over all methods and classes of a task at once."
        )
    return (
        f"{text}none corrected for their number: about one ranking in twenty that knows nothing would fall outside too."
    )


def warnings(run: RunResults) -> list[str]:
    """List what a reader must know before trusting a number: the run's own warnings, small samples, altered files."""
    tasks_of: dict[str, list[str]] = {}
    for task in run.tasks:
        for text in _task_warnings(task):
            tasks_of.setdefault(text, []).append(task.name)
    everywhere = [f"{join(names)}: {text}" for text, names in tasks_of.items()]
    return everywhere + [f"{name} was changed after the run wrote it." for name in run.altered]


def _task_warnings(task: TaskResult) -> Iterator[str]:
    sizes = [max((cell.sequences for cell in group.cells), default=0) for group in task.groups]
    few = sorted({size for size in sizes if 0 < size < SMALL_SAMPLE})
    if few:
        yield f"small samples ({counted(few, 'sequence')} a class). Read the intervals, not the points."
    if task.groups and not any(group.curve(RANDOM) for group in task.groups):
        yield "no random control. Set random_sets in the trial's settings."
    yield from own_notices(task)
    if task.left_out:
        yield f"summary.csv also holds what the tables do not show ({'; '.join(task.left_out)})."


def counted(values: Iterable[float], noun: str) -> str:
    """Count: ``1 sequence``, ``30 to 60 sequences``.

    Example:
        >>> counted([1], "sequence"), counted([1, 30], "sequence")
        ('1 sequence', '1 to 30 sequences')
    """
    text = _range(values)
    return f"{text} {noun}" if text == "1" else f"{text} {noun}s"


def _finite(values: Iterable[float]) -> list[float]:
    return [value for value in values if math.isfinite(value)]


def _range(values: Iterable[float], digits: int = 0) -> str:
    texts = [fixed(value, digits) for value in sorted(values)]
    return texts[0] if texts[0] == texts[-1] else f"{texts[0]} to {texts[-1]}"
