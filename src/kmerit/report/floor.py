"""The floor of a task in the page's words: what the model answers to mutants, and whether these still differ."""

from __future__ import annotations

from kmerit.faithfulness.endpoint import OPERATOR
from kmerit.faithfulness.floor import SAME
from kmerit.formats import fixed, percent
from kmerit.report.artefacts import CardFloor
from kmerit.report.results import TaskResult
from kmerit.report.tables import join

TOO_FEW = "These are too few sequences to say what full mutation leaves of a class."


def floor_of(task: TaskResult) -> str:
    """Say what the model answers to fully mutated sequences, how far classes differ in it, and what that explains.

    Nothing where no fair trial measured the floor.
    """
    floors = _measured(task)
    known = [floor for floor in floors if floor.label is not None and floor.default_label is not None]
    if not known:
        return " ".join(floor.sentence for floor in floors)
    names = dict(zip(task.classes, task.shown_classes, strict=True))
    shown = task.shown_classes
    rates = [f"{percent(rate)} of {names.get(name, name)}" for name, rate in known[0].rates.items()]
    default = next(
        (shown[i] for f in known if (i := f.default_label) is not None and i < len(shown)), "its default label"
    )
    text = f"With every nucleotide replaced ({OPERATOR}), the model answers “{default}” for {join(rates)}"
    falls = [
        f"that of {shown[floor.label]} from {fixed(floor.accuracy, 2)} to {fixed(floor.floor, 2)}"
        for floor in known
        if floor.explains and floor.label is not None and floor.label < len(shown)
    ]
    text += f"; this alone explains the fall of accuracy, {join(falls)}." if falls else "."
    return " ".join([text, *_differences(task, known)])


def kept(task: TaskResult) -> list[CardFloor]:
    """Find the classes that full mutation does not erase: the interval of their difference leaves 0 out."""
    return [floor for floor in _measured(task) if _erased(floor) is False]


def _measured(task: TaskResult) -> list[CardFloor]:
    return [floor for floor in task.cards.floors if floor.operator == OPERATOR]


def _erased(floor: CardFloor) -> bool | None:
    """Whether the difference of a class may be 0; None where its interval is not known."""
    return None if floor.low is None or floor.high is None else floor.low <= 0 <= floor.high


def _differences(task: TaskResult, known: list[CardFloor]) -> list[str]:
    """Say by how much the answers to a class's mutants differ from those to the others, and what follows."""
    told = [floor for floor in known if floor.difference is not None]
    if not told:
        return []
    if len(told) == 2:  # the second class's is the first's, turned round
        told = told[:1]
        out = [f"Difference: {_difference(told[0])}."]
    else:
        each = [f"{_name(task, floor)} {_difference(floor)}" for floor in told]
        out = [f"Difference from the mean of the other classes: {'; '.join(each)}."]
    apart = [floor for floor in told if _erased(floor) is False]
    if apart:
        whose = "the class" if len(apart) == len(told) else join([_name(task, floor) for floor in apart])
        out.append(
            f"Full mutation does not erase {whose}: the mutants still differ between classes, in composition for "
            "instance, so the default label is not all that sets the floor."
        )
    elif any(_erased(f) is None or max(-(f.low or 0), f.high or 0) > SAME for f in told):
        out.append(TOO_FEW)
    return out


def _name(task: TaskResult, floor: CardFloor) -> str:
    at = floor.label
    return task.shown_classes[at] if at is not None and at < len(task.shown_classes) else f"class {at}"


def _difference(floor: CardFloor) -> str:
    if floor.low is None or floor.high is None:
        return _signed(floor.difference)
    return f"{_signed(floor.difference)}, 95 % interval {_signed(floor.low)} to {_signed(floor.high)}"


def _signed(share: float | None) -> str:
    text = percent(share)
    return f"+{text}" if share is not None and text[0] in "123456789" else text
