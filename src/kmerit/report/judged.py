"""What stands beside the report cards: warnings, the footprint and the grid, each said once."""

from __future__ import annotations

from collections.abc import Sequence

from kmerit.faithfulness.cards import BEYOND
from kmerit.faithfulness.verdicts import FAITHFUL
from kmerit.formats import fixed
from kmerit.report.artefacts import Card
from kmerit.report.results import RANDOM, Group, RunResults, TaskResult
from kmerit.report.tables import join

FAR_BELOW = 2 / 3
"""Of the tokens that random positions change; a method that changes fewer has a footprint worth a warning."""


def warned(task: TaskResult) -> list[tuple[str, str]]:
    """List each warning of a task's cards once, with whom it is for; a class stands for all of its methods.

    What the floor explains is left to `kmerit.report.floor`.
    """
    methods = {card.method for card in task.cards.cards}
    said_elsewhere = {floor.sentence for floor in task.cards.floors if floor.label is not None}
    told: dict[str, dict[str, list[str]]] = {}
    for card in task.cards.cards:
        for text in card.warnings:
            if text not in said_elsewhere:
                told.setdefault(text, {}).setdefault(class_of(task, card), []).append(card.method)
    return [
        ("; ".join(name if methods <= set(of) else f"{name} ({', '.join(of)})" for name, of in by_class.items()), text)
        for text, by_class in told.items()
    ]


def own_warnings(task: TaskResult, card: Card) -> list[str]:
    """List what only this card must say: not what holds for every method on its class."""
    others = [other for other in task.cards.cards if other.label == card.label and other.method != card.method]
    return [text for text in card.warnings if not others or any(text not in other.warnings for other in others)]


def class_of(task: TaskResult, card: Card) -> str:
    """Name a card's class as the rest of the page does."""
    return task.shown_classes[card.label] if 0 <= card.label < len(task.shown_classes) else card.class_name


def beyond(card: Card) -> str:
    """Give the second answer in a word; nothing for a method that is not faithful."""
    return BEYOND[card.beyond] if card.verdict == FAITHFUL else ""


def decisions(run: RunResults) -> list[str]:
    """Say what a run could decide, and what not, whatever its scores; nothing where there are no verdicts."""
    judged = [task for task in run.tasks if task.cards.cards]
    if not judged:
        return []
    cards = [card for task in judged for card in task.cards.cards]
    lines = []
    for task in judged:
        able = [each for each in task.cards.prospects if each.decides and each.detectable is not None]
        unable = [each for each in task.cards.prospects if not each.decides]
        if able:
            each = join([f"{fixed(p.detectable, 2)} for {task.shown_classes[p.label]} ({p.clusters})" for p in able])
            lines.append(
                f"{task.name}: the smallest effect that so many independent sequences show, in standard deviations: "
                f"{each}. A smaller one stays undecided, whether it is there or not; more sequences decide more."
            )
        if unable:
            each = join([f"{task.shown_classes[p.label]} ({p.clusters} independent sequences)" for p in unable])
            lines.append(f"{task.name}: nothing can be decided on {each}: these are too few.")
    if not any(each.margin is not None for card in cards for each in card.comparisons):
        lines.append(
            "No method can be called “no better than its controls” here: that takes exact in-silico mutagenesis "
            "(trial.ism_per_class)."
        )
    return lines


def footprints(task: TaskResult) -> list[str]:
    """Say for each class which judged methods changed far fewer tokens than random positions did."""
    return [text for group in task.groups if (text := _footprint(task, group))]


def _footprint(task: TaskResult, group: Group) -> str:
    control = group.at(RANDOM, task.compared)
    judged = [card.method for card in task.cards.cards if card.label == group.label]
    if control is None:
        return ""
    cells = [cell for method in judged if (cell := group.at(method, task.compared)) is not None]
    small = [cell for cell in cells if cell.tokens_changed < FAR_BELOW * control.tokens_changed]
    if not small:
        return ""
    each = join([f"{cell.method} {fixed(cell.tokens_changed, 0)}" for cell in small])
    return (
        f"{group.name}: at n = {task.compared} far fewer tokens changed than under random positions "
        f"({fixed(control.tokens_changed, 0)}): {each}. Equal n is not equal damage, so random decides nothing: "
        "under the controls shifted, clump and other as many tokens change as under the scores."
    )


def grids(run: RunResults) -> list[tuple[str, str]]:
    """Say once what each trial mutated: names of tasks, and the sentence."""
    tasks: dict[str, list[str]] = {}
    for task in run.tasks:
        if task.cards.grid:
            tasks.setdefault(task.cards.grid, []).append(task.name)
    return [(_named(names, run.tasks), grid) for grid, names in tasks.items()]


def _named(names: Sequence[str], tasks: Sequence[TaskResult]) -> str:
    return "" if len(names) == len(tasks) else join(names)
