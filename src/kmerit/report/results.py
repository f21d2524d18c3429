"""What a run found, as far as a report shows it."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from kmerit.audit import Audit, Concern
from kmerit.faithfulness.rankings import ORDERS
from kmerit.report import paper
from kmerit.report.artefacts import Card, Cards, Cell, Choice, Excess, Flags, Info, Metrics
from kmerit.report.slots import Hits

RANDOM = "random"
"""The control: positions drawn uniformly."""


def restores(order: str) -> bool:
    """Whether an order puts nucleotides back, into a sequence replaced everywhere else.

    Example:
        >>> restores("insertion"), restores("morf"), restores("mine")
        (True, False, False)
    """
    return order in ORDERS and ORDERS[order].restores


def banded(cells: Iterable[Cell]) -> list[Cell]:
    """Keep the cells whose interval is known: of a single draw there is none."""
    return [cell for cell in cells if math.isfinite(cell.low) and math.isfinite(cell.high)]


@dataclass(frozen=True)
class Group:
    """The trial of one class: what a panel of Figure 1 and a row of Table 1 show.

    Attributes:
        label: Its index; None where the sequences have no labels.
        name: The paper's name for it where it has one, else the task's.
        class_name: The task's.
        cells: Its rows of the summary, of one operator and order.
        flags: By method: sequences whose scores are degenerate.
        lrp_star: The better of the two LRP scores on validation sequences.
        paper: Its row of the paper's Table 1.
        audit: What in its data could fool the trial.
    """

    label: int | None
    name: str
    class_name: str
    cells: tuple[Cell, ...]
    flags: Mapping[str, Flags]
    lrp_star: str | None
    paper: paper.PaperClass | None
    audit: tuple[str, ...] = ()

    @property
    def methods(self) -> tuple[str, ...]:
        """Methods in the order of the run, controls left out."""
        return tuple(dict.fromkeys(cell.method for cell in self.cells if cell.method != RANDOM))

    @property
    def counts(self) -> tuple[int, ...]:
        """Numbers of substitutions in ascending order, the full mutation left out."""
        return tuple(sorted({cell.n for cell in self.cells if not cell.full}))

    def at(self, method: str | None, n: int) -> Cell | None:
        """Find the outcome of a method at ``n`` substitutions."""
        return next((c for c in self.cells if c.method == method and c.n == n and not c.full), None)

    def curve(self, method: str) -> list[Cell]:
        """List a method's outcomes by ascending ``n``, the full mutation left out."""
        return sorted((c for c in self.cells if c.method == method and not c.full), key=lambda c: c.n)

    @property
    def restores(self) -> bool:
        """Whether nucleotides are put back, not replaced: then nothing is replaced at n = all."""
        return any(restores(cell.order) for cell in self.cells)

    @property
    def intact(self) -> Cell | None:
        """The outcome with nothing substituted: the same for every method."""
        return self._last if self.restores else self._first

    @property
    def mutated(self) -> Cell | None:
        """The outcome with every nucleotide substituted: the same for every method."""
        return self._first if self.restores else self._last

    @property
    def _first(self) -> Cell | None:
        return next((c for c in self._scored_first if c.n == 0 and not c.full), None)

    @property
    def _last(self) -> Cell | None:
        return next((c for c in self._scored_first if c.full), None)

    @property
    def _scored_first(self) -> list[Cell]:
        # The random control's interval is one of draws; the methods' is over sequences, and is the one wanted here.
        return sorted(self.cells, key=lambda c: c.method == RANDOM)

    def against_random(self, cell: Cell) -> str | None:
        """Say where an accuracy lies: ``below``, ``inside`` or ``above`` the random control's 95 % interval."""
        control = self.at(RANDOM, cell.n)
        if control is None or not all(map(math.isfinite, (cell.accuracy, control.low, control.high))):
            return None
        return "below" if cell.accuracy < control.low else "above" if cell.accuracy > control.high else "inside"


@dataclass(frozen=True)
class TaskResult:
    """What a run holds of one task.

    Attributes:
        cells: All of the summary; a group has those of one operator and order.
        left_out: The operators and orders that no group shows.
        cards: Verdicts, the audit and motif hits are there where stages left them.
        controls: Of ``curves.csv``, what the fair controls did; the random one is among ``cells``.
        excesses: Of ``excesses.csv``, how much more was lost under a method than under each of its controls.
    """

    name: str
    info: Info
    metrics: Metrics
    choice: Choice
    groups: tuple[Group, ...]
    classes: tuple[str, ...]
    left_out: tuple[str, ...]
    cells: tuple[Cell, ...]
    cards: Cards
    audit: Audit | None
    hits: Hits
    controls: tuple[Cell, ...] = ()
    excesses: tuple[Excess, ...] = ()

    def card(self, method: str, label: int | None) -> Card | None:
        """Find the verdict on a score and class, where a fair trial left one."""
        return next((card for card in self.cards.cards if card.method == method and card.label == label), None)

    @property
    def design(self) -> tuple[str, str] | None:
        """The operator and order that the groups show."""
        return next(((cell.operator, cell.order) for group in self.groups for cell in group.cells), None)

    @property
    def about(self) -> str:
        """What is to be told apart, in a sentence."""
        return "" if self.info.title == self.name else self.info.title

    @property
    def model(self) -> str:
        """The model's name, or nothing."""
        return self.info.model or self.metrics.model

    @property
    def paper(self) -> paper.PaperTask | None:
        """The paper's counterpart, if any."""
        return paper.COUNTERPARTS.get(self.name)

    @property
    def default_label(self) -> str | None:
        """The class that the model calls when every nucleotide is replaced."""
        label = self.info.default_label
        return None if label is None else display_name(self.name, self.classes, label)

    @property
    def shown_classes(self) -> tuple[str, ...]:
        """The classes' names as the page gives them, by label."""
        return tuple(display_name(self.name, self.classes, label) for label in range(len(self.classes)))

    @property
    def class_names(self) -> dict[str, str]:
        """The name to show of each class, by the data's."""
        return dict(zip(self.classes, self.shown_classes, strict=True))

    def class_of(self, card: Card) -> str:
        """Name a card's class as the rest of the page does."""
        return self.shown_classes[card.label] if 0 <= card.label < len(self.classes) else card.class_name

    @property
    def concerns(self) -> tuple[Concern, ...]:
        """What of the data set the numbers must be read with."""
        return () if self.audit is None else self.audit.concerns

    @property
    def compared(self) -> int:
        """The n at which methods are compared: the paper's 20 where tried, else the largest below "all".

        0 where nothing between 0 and "all" was tried: there every score replaces the same nucleotides.
        """
        counts = {n for group in self.groups for n in group.counts}
        return paper.N if paper.N in counts else max(counts, default=0)


@dataclass(frozen=True)
class RunResults:
    """What a run folder holds."""

    config: Mapping[str, Any]
    manifest: Mapping[str, Any]
    tasks: tuple[TaskResult, ...]
    missing: tuple[str, ...]
    altered: tuple[str, ...]

    @property
    def published(self) -> bool:
        """Whether the paper has numbers of any task, to stand beside ours."""
        return any(task.paper for task in self.tasks)


def display_name(task: str, classes: tuple[str, ...], label: int) -> str:
    """Name a class as the paper does where it has it: ours are often just "background"."""
    published = paper.COUNTERPARTS.get(task)
    names = [row.name for row in published.classes] if published else classes
    return names[label] if 0 <= label < len(names) else f"class {label}"
