"""Load what a run left in its folder, and name what is missing.

Read what a run left in its folder, and name what is missing. Absent artefacts are listed and the rest is used;
artefacts that are there but cannot be understood are refused, for a report must not be made from results that were
silently changed.
"""

from __future__ import annotations

import csv
import json
import math
import os
import tomllib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from kmerit.datasets.findings import Audit, Concern
from kmerit.errors import FormatError, RunError, UnknownName, UsageError
from kmerit.io.files import read_text
from kmerit.io.tables import first_line
from kmerit.report import text
from kmerit.report.text import MEASURES
from kmerit.results import Remark
from kmerit.store import Stages, altered
from kmerit.trials.controls import is_control
from kmerit.trials.design import Prospect
from kmerit.trials.rankings import ORDERS
from kmerit.trials.verdicts import Caveat, Floor, ValueFloor

if TYPE_CHECKING:
    import pandas as pd

    from kmerit.biology.motif_tests import Motifs


CITATION = "Consens et al. 2023, Transforming Genomic Interpretability: A DNABERT Case Study"
LINK = "https://openreview.net/forum?id=Fs2c16sbS7"
COMPARED_COUNT = 20
"""The number of substituted nucleotides at which Table 1 compares the methods."""


@dataclass(frozen=True)
class PaperClass:
    """One row of Table 1: accuracies on one class.

    Attributes:
        name: The paper's name for the class.
        intact: At n = 0.
        lrp_star: At n = 20, the better of the two LRP scores, chosen on the test sequences.
        attention: At n = 20.
        mutated: At n = 200, every nucleotide.
    """

    name: str
    intact: float
    lrp_star: float
    attention: float
    mutated: float


@dataclass(frozen=True)
class PaperTask:
    """What the paper reports for one task.

    Attributes:
        name: Its data set.
        classes: By label.
        accuracy: On the whole test set, after fine-tuning.
        leak: What its test split shares with its training split, counted on the official intervals.
    """

    name: str
    classes: tuple[PaperClass, PaperClass]
    accuracy: float
    leak: str


PROMOTERS = PaperTask(
    "human_nontata_promoters",
    (
        PaperClass("non-promoter", intact=0.968, lrp_star=0.814, attention=0.854, mutated=0.306),
        PaperClass("non-TATA promoter", intact=0.878, lrp_star=0.784, attention=0.788, mutated=0.678),
    ),
    accuracy=0.93,
    leak="99.6 % of its negative test rows overlap a negative training row",
)
ENHANCERS = PaperTask(
    "human_enhancers_ensembl",
    (
        PaperClass("non-enhancer", intact=0.870, lrp_star=0.838, attention=0.852, mutated=0.620),
        PaperClass("enhancer", intact=0.876, lrp_star=0.490, attention=0.512, mutated=0.386),
    ),
    accuracy=0.86,
    leak="75.5 % of its positive test rows are exact copies of positive training rows",
)

COUNTERPARTS = {
    "human_nontata_promoters": PROMOTERS,
    "epdnew_nontata": PROMOTERS,
    "human_enhancers_ensembl": ENHANCERS,
    "human_enhancers_dedup": ENHANCERS,
}
"""Our tasks, and the paper's task whose numbers stand next to them."""


DEPARTURES = "departures.csv"
"""Of a task, where they were measured."""
LEDGER = "ledger.csv"
"""Of a task, where a method that has one was among the run's."""
REFERENCE, REFERENCES = "reference.json", "references.csv"
"""Of a task whose outputs were compared with a reference: which, and how far ranks depend on it."""


class Artefact(BaseModel):
    """A JSON object; fields that are absent have a default, the others must be of their type."""

    model_config = ConfigDict(frozen=True, extra="ignore", protected_namespaces=())


class Agreement(Artefact):
    """Rank correlation of a sample's scores with those in float64."""

    sequences: int | None = None
    min: float | None = None
    median: float | None = None


class Flags(Artefact):
    """How far a class's scores can be trusted.

    How many sequences have degenerate scores (all zero, 0/0, not finite), the share of tied ranks, the mean sum of
    relevance where a method has one, and the agreement with float64.
    """

    zero: int | None = None
    undefined: int | None = None
    nonfinite: int | None = None
    tie_share: float | None = None
    sequences: int | None = None
    relevance_sum: float | None = None
    float64: Agreement | None = None


class Note(Remark):
    """Something that a reader of a task's numbers must know.

    Attributes:
        CODES: ``few_sequences``: of these classes there are fewer than ``wanted``; of a value the one name is empty.
            ``no_lrp_star``: LRP* was not chosen. ``foreign_model``: nobody here knows what the model has learned from;
            ``leaks`` says what leaks are counted against: ``train_key`` (the config's key), ``task`` (its training
            split), ``unknown``.
            ``no_ledger``: the entries of the ledger of these ``methods`` do not add up to the output.
            ``other_unit``: predictions are not compared with labels, which are in another unit than the ``label``
            that is explained of the ``model``.
            ``baselines_unread``: the metrics.json beside the model's weights is not one that kmerit writes; ``problem``
            is the first thing that is wrong with it.
    """

    CODES: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "few_sequences": ("wanted", "by_class"),
        "no_lrp_star": (),
        "foreign_model": ("leaks",),
        "no_ledger": ("methods",),
        "other_unit": ("model", "label"),
        "baselines_unread": ("problem",),
    }


class Info(Artefact):
    """``info.json``: what a reader must know in addition to a task's numbers.

    Labels are the keys of ``flags[method]``.
    """

    title: str = ""
    classes: list[str] = []
    model: str = ""
    model_digest: str = ""
    value: str = ""
    default_label: int | None = None
    default_label_rate: float | None = None
    flags: dict[str, dict[str, Flags]] = {}
    dropped: dict[str, Any] = {}
    notes: tuple[Note, ...] = ()


class Interval(Artefact):
    """A number with its 95 % interval."""

    value: float | None = None
    low: float | None = None
    high: float | None = None


class Baseline(Artefact):
    """A model to compare with, by the card of the one that is compared.

    ``metrics`` are its own, ``above`` those of the card's model less its own, on the same rows: ``accuracy`` and
    ``auroc``, of a value ``r2`` and ``pearson``.
    """

    name: str = ""
    metrics: dict[str, Interval] = {}
    above: dict[str, Interval] = {}


class Baselines(Artefact):
    """What a model's own card (the ``metrics.json`` beside its weights) says of models to compare with.

    ``model`` are the metrics of the model itself on the card's rows: ``rows`` of them, of the ``split`` of the data set
    ``data``, cut to ``crop``. ``this_run`` says whether they are the rows that the run measured: as many, and the
    model's metrics are the same. Without baselines all is empty; ``unread`` says why a file was not understood.
    """

    data: str = ""
    split: str = ""
    crop: str = ""
    rows: int | None = None
    this_run: bool | None = None
    model: dict[str, Interval] = {}
    baselines: tuple[Baseline, ...] = ()
    unread: Note | None = None


class Metrics(Artefact):
    """``metrics.json``: how good the model is on the test set."""

    test: dict[str, Interval | float | None] = {}
    rows_of_split: int | None = None
    """The number of test sequences where only some were predicted."""
    model: str = ""
    withheld: Note | None = None
    """Why nothing was measured."""
    baselines: Baselines | None = None
    """What the model's card says of models to compare with; None where no run has looked."""

    @property
    def rows(self) -> int | None:
        """The number of test sequences."""
        rows = self.test.get("rows")
        return int(rows) if isinstance(rows, float) else None


class Choice(Artefact):
    """``choice.json``: which LRP score is LRP*, by label, chosen on how many validation sequences."""

    lrp_star: dict[str, str] = {}
    sequences: int = 0


class Compared(Artefact):
    """A method next to one control: the excess in logits, its 95 % interval, its band, and the margin."""

    control: str = ""
    excess: float | None = None
    low: float | None = None
    high: float | None = None
    band_low: float | None = None
    band_high: float | None = None
    margin: float | None = None
    effect_size: float | None = None


class Card(Artefact):
    """One method's verdict on one class.

    The excess is over the deciding control whose band begins lowest (of what is worse: ends highest), in logits;
    ``low`` to ``high`` is that band.
    """

    method: str = ""
    sign: str = ""
    class_name: str = ""
    label: int = 0
    verdict: str = ""
    control: str | None = None
    excess: float | None = None
    low: float | None = None
    high: float | None = None
    beyond: bool | None = None
    effect_size: float | None = None
    detectable: float | None = None
    sequences: int = 0
    mistaken: int = 0
    comparisons: list[Compared] = []
    caveats: tuple[Caveat, ...] = ()


class Evaluations(Artefact):
    """How many mutants were classified, and how many a naive trial would have classified."""

    done: int
    naive: int
    share_saved: float
    of_rankings: dict[str, int] = {}


class Judged(Artefact):
    """What verdicts rest on: the value's name, of a model that predicts one."""

    value: str = ""


class Cards(Artefact):
    """``cards.json``: the verdicts of a trial, and what they rest on.

    ``grid`` is what was mutated, ``prospects`` what the sequences of each class can show, ``data_set`` what the
    verdicts must be read with, None where nobody audited it.
    """

    grid: dict[str, Any] | None = None
    evaluations: Evaluations | None = None
    prospects: tuple[Prospect, ...] = ()
    data_set: tuple[Concern, ...] | None = None
    floors: tuple[Floor, ...] = ()
    value_floors: tuple[ValueFloor, ...] = ()
    cards: tuple[Card, ...] = ()
    endpoint: Judged = Judged()


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One row of ``summary.csv``: a class under one method with ``n`` nucleotides substituted.

    Fractions are 0..1, ``tokens_changed`` is in tokens, ``default_label_rate`` is that at full mutation for every
    ``n``; what the summary does not hold is NaN.
    """

    label: int | None = None
    method: str
    operator: str
    order: str
    n: int
    full: bool
    accuracy: float = math.nan
    low: float = math.nan
    high: float = math.nan
    sequences: int = 0
    draws: int = 0
    accuracy_correct: float = math.nan
    flip_rate: float = math.nan
    probability: float = math.nan
    logit: float = math.nan
    probability_low: float = math.nan
    probability_high: float = math.nan
    logit_low: float = math.nan
    logit_high: float = math.nan
    flip_rate_low: float = math.nan
    flip_rate_high: float = math.nan
    tokens_changed: float = math.nan
    gc_shift: float = math.nan
    default_label_rate: float = math.nan
    floor_normalised_drop: float = math.nan


@dataclass(frozen=True, kw_only=True)
class Excess:
    """One row of ``excesses.csv``: how much more a class lost under one method than under one of its controls.

    The value and its 95 % interval are in logits, or a difference of accuracies; what is not known is NaN.
    """

    label: int
    method: str
    control: str
    operator: str
    order: str
    measure: str
    n: int
    value: float = math.nan
    low: float = math.nan
    high: float = math.nan


@dataclass(frozen=True, kw_only=True)
class Account:
    """One row of ``ledger.csv``: the mean explained output of a class by one method, and who received it."""

    method: str
    sequences: int
    output: float
    input: float
    special: float
    bias: float
    norm_offset: float
    position: float
    softmax: float
    input_share: float
    label: int | None = None
    output_reference: float | None = None
    reference: float | None = None
    position_share: float | None = None
    no_input_share: float | None = None


@dataclass(frozen=True, kw_only=True)
class Dependence:
    """One row of ``references.csv``: Kendall's tau of a method's scores by two references, the mean over sequences."""

    method: str
    one: str
    other: str
    sequences: int
    tau: float = math.nan


@dataclass(frozen=True, kw_only=True)
class Departure:
    """One row of ``departures.csv``: how far the mutants of an operator leave the data; what is not known is NaN."""

    operator: str
    n: str
    sequences: int
    state: float = math.nan
    state_low: float = math.nan
    state_high: float = math.nan
    letters: float = math.nan
    letters_low: float = math.nan
    letters_high: float = math.nan
    moved: float = math.nan
    likelihood: float = math.nan
    pseudo: float | None = None
    pseudo_low: float = math.nan
    pseudo_high: float = math.nan
    pseudo_change: float = math.nan


class Compare(Artefact):
    """``reference.json``: what outputs were compared with, and its mean over the sequences on trial.

    ``formed`` are the references among which ranks were compared, ``missing`` says why another is none of them.
    """

    kind: str = ""
    mean: float | None = None
    sequences: int | None = None
    formed: list[str] = []
    missing: dict[str, str] = {}


class Hit(Artefact):
    """A motif on a sequence: nucleotides ``start`` to ``end``, half-open."""

    sequence: str
    start: int
    end: int
    motif: str
    strand: Literal["+", "-", "."] = "."
    score: float | None = None


class Hits(Artefact):
    """``hits.json``: motif hits, where they were computed."""

    source: str = ""
    hits: tuple[Hit, ...] = ()


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
    paper: PaperClass | None
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
        motifs: Which families of motifs are in the data, found and used, where that was asked.
        reference: What outputs were compared with.
        references: How far ranks depend on that.
        ledger: What nucleotides, offsets and positions received, by method and class, where that was accounted for.
        departures: How far the mutants of each operator leave the data, where that was measured.
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
    motifs: Motifs | None = None
    ledger: tuple[Account, ...] = ()
    reference: Compare | None = None
    references: tuple[Dependence, ...] = ()
    departures: tuple[Departure, ...] = ()

    def card(self, method: str, label: int | None) -> Card | None:
        """Find the verdict on a score and class, where a fair trial left one."""
        return next((card for card in self.cards.cards if card.method == method and card.label == label), None)

    @property
    def design(self) -> tuple[str, str] | None:
        """The operator and order that the groups show."""
        return next(((cell.operator, cell.order) for group in self.groups for cell in group.cells), None)

    @property
    def about(self) -> str:
        """What distinguishes the classes, in a sentence."""
        return "" if self.info.title == self.name else self.info.title

    @property
    def model(self) -> str:
        """The model's name, or nothing."""
        return self.info.model or self.metrics.model

    @property
    def curves(self) -> list[tuple[str, dict[str, Cell]]]:
        """Of a value, what is left of it by method, controls last: by ``n``, or ``all``; nothing of classes."""
        if not self.info.value:
            return []
        by_method: dict[str, dict[str, Cell]] = {}
        for cell in _primary(list(self.cells))[0]:
            by_method.setdefault(cell.method, {})["all" if cell.full else str(cell.n)] = cell
        return sorted(by_method.items(), key=lambda each: each[0] == RANDOM)

    @property
    def paper(self) -> PaperTask | None:
        """The paper's counterpart, if any."""
        return COUNTERPARTS.get(self.name)

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

        0 where nothing between 0 and "all" was tried: there every method replaces the same nucleotides.
        """
        counts = {n for group in self.groups for n in group.counts}
        return COMPARED_COUNT if COMPARED_COUNT in counts else max(counts, default=0)


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
        """Whether the paper has numbers of any task, to stand next to ours."""
        return any(task.paper for task in self.tasks)


def display_name(task: str, classes: tuple[str, ...], label: int) -> str:
    """Name a class as the paper does where it has it: ours are often just "background"."""
    published = COUNTERPARTS.get(task)
    names = [row.name for row in published.classes] if published else classes
    return names[label] if 0 <= label < len(names) else f"class {label}"


SCHEMA = 2
"""The layout of a run folder that this version understands (``schema`` in manifest.json)."""
ARTEFACTS = ("info.json", "metrics.json", "choice.json", "summary.csv", "cards.json")
"""What a report reads of a task."""
EXPLORED = ("sequences.parquet", "attributions.parquet", "outcomes/outcomes.json")
"""What the sequence explorer reads besides."""
_READ = {"config.toml", "manifest.json", *ARTEFACTS, "sequences.parquet", "attributions.parquet", "tokens.parquet",
         "outcomes.json", "mutants.parquet", "cells.parquet", "curves.csv", "excesses.csv", "audit.json",
         "hits.json", LEDGER, REFERENCE, REFERENCES, DEPARTURES}  # fmt: skip
_SHOWN_EXCESSES = {measure.excess_of for measure in MEASURES.values()} - {None}
_REQUIRED = {
    Cell: {"label", "method", "operator", "order", "n", "full", "accuracy", "low", "high"},
    Excess: {"label", "class_name", "condition", "method", "control", "operator", "order", "measure", "n"}
    | {"value", "low", "high"},
    Account: {"method", "sequences", "output", "input", "special", "bias", "norm_offset", "position", "softmax"}
    | {"label", "input_share"},
    Dependence: {"method", "one", "other", "sequences", "tau"},
    Departure: {"operator", "n", "sequences", "state", "letters", "moved", "likelihood"},
}
_REMEDY = "Remove the file, and run again to write a new one."
_Kind = TypeVar("_Kind", bound=Artefact)
_Row = TypeVar("_Row", Cell, Excess, Account, Dependence, Departure)


def read_run(folder: Path) -> RunResults:
    """Read the artefacts of a run.

    Raises:
        RunError: The folder does not exist, is a trial's, holds no results, or was written by a newer kmerit.
        FormatError: An artefact is there and cannot be understood.
    """
    if not folder.is_dir():
        raise RunError(f"{str(folder)!r} is not a folder; expected the output of: kmerit run CONFIG --out FOLDER")
    manifest = _json(folder / "manifest.json")
    schema = manifest.get("schema", SCHEMA)
    if not isinstance(schema, int) or schema != SCHEMA:
        newer = not isinstance(schema, int) or schema > SCHEMA
        remedy = "Upgrade with: pip install --upgrade kmerit" if newer else "Run it again: kmerit run CONFIG --out NEW"
        raise RunError(f"{str(folder)!r} has layout {schema!r}, and this kmerit reads {SCHEMA}. {remedy}")
    config = _toml(folder / "config.toml")
    places = sorted(place for place in (folder / "tasks").glob("*") if place.is_dir())
    order = list(config.get("tasks", {}))
    places.sort(key=lambda place: order.index(place.name) if place.name in order else len(order))
    tasks = tuple(_task(place) for place in places)
    if not any(task.groups or task.metrics.test or task.metrics.withheld for task in tasks):
        if any((folder / name).is_file() for name in ("outcomes.json", "outcomes/outcomes.json")):
            is_judged = (folder / "cards.md").is_file()
            remedy = f"Its report cards: {folder / 'cards.md'}" if is_judged else "Judge it with: kmerit trial"
            raise RunError(f"{str(folder)!r} is the folder of a trial; expected that of a run. {remedy}")
        raise RunError(
            f"{str(folder)!r} holds no results: expected tasks/<task>/summary.csv or metrics.json. "
            f"Finish the run with: kmerit run CONFIG --out {folder}"
        )
    return RunResults(config, manifest, tasks, missing(folder), tuple(_altered(folder)))


def missing(folder: Path) -> tuple[str, ...]:
    """Name what a finished run holds for its report and this folder does not, by its path inside the folder.

    Raises:
        FormatError: The config is there and cannot be understood.

    Example:
        >>> import tempfile
        >>> missing(Path(tempfile.mkdtemp()))
        ('config.toml', 'manifest.json')
    """
    task_folders = [folder / "tasks" / name for name in _toml(folder / "config.toml").get("tasks", {})]
    places = sorted(
        {*task_folders, *(folder / "tasks").glob("*")}, key=lambda place: (place not in task_folders, place)
    )
    paths = [folder / name for name in ("config.toml", "manifest.json")]
    for place in places:
        is_folder = os.path.isdir(place)  # False also for a name that no system takes
        paths += [place / name for name in (*ARTEFACTS, *EXPLORED)] if is_folder else [place] * (place in task_folders)
    return tuple(path.relative_to(folder).as_posix() for path in paths if not os.path.exists(path))


def read_summary(folder: Path, task: str | None = None) -> tuple[pd.DataFrame, tuple[str, ...], str]:
    """Read the summary of one task of a run, its classes as the report names them, and what its trial mutated.

    Args:
        folder: The run's.
        task: Which; none need be named where there is one.

    Raises:
        RunError: As `read_run`, or the task has no trial.
        UsageError: No task is named, and the run has several.
        UnknownName: No such task.
        FormatError: An artefact cannot be understood.
    """
    import pandas as pd

    result = _one(folder, task)
    if not result.cells:
        raise RunError(f"{str(folder)!r} holds no trial of {result.name!r} yet. Finish the run with: kmerit run")
    return pd.DataFrame([asdict(cell) for cell in result.cells]), result.shown_classes, text.grid(result.cards.grid)


def read_excesses(folder: Path, task: str | None = None) -> tuple[pd.DataFrame, tuple[str, ...], str]:
    """Read how much more was lost under each method than under its controls, as `read_summary` reads a summary.

    Args:
        folder: The run's.
        task: Which; none need be named where there is one.

    Raises:
        RunError: As `read_run`, or the task has no trial.
        UsageError: No task is named, and the run has several.
        UnknownName: No such task.
        FormatError: An artefact cannot be understood.
    """
    import pandas as pd

    result = _one(folder, task)
    path = folder / "tasks" / result.name / "excesses.csv"
    if not path.exists():
        raise RunError(f"{str(folder)!r} holds no excesses of {result.name!r} yet. Finish the run with: kmerit run")
    try:
        return pd.read_csv(path, dtype={"n": str}), result.shown_classes, text.grid(result.cards.grid)
    except ValueError as problem:  # pandas' own errors are of this class
        raise FormatError(f"{str(path)!r} is not a table ({first_line(problem)}). {_REMEDY}") from None


def _one(folder: Path, task: str | None) -> TaskResult:
    tasks = {each.name: each for each in read_run(folder).tasks}
    if task is None and len(tasks) > 1:
        raise UsageError(f"{str(folder)!r} has several tasks; name one with --task: {', '.join(tasks)}.")
    name = task or next(iter(tasks))
    if name not in tasks:
        raise UnknownName("task", name, tasks)
    return tasks[name]


def read_departures(folder: Path) -> tuple[Departure, ...]:
    """Read how far the mutants of each operator leave the data; nothing where that was not measured.

    Raises:
        FormatError: The table cannot be understood.
    """
    return tuple(_rows(folder / DEPARTURES, Departure))


def read_cards(folder: Path) -> Cards:
    """Read the ``cards.json`` of a folder.

    Raises:
        FormatError: There is none, or it cannot be understood.
    """
    path = folder / "cards.json"
    if not path.exists():
        raise FormatError(f"{str(path)!r} is not there; expected the report cards of a trial.")
    return _artefact(path, Cards)


def _altered(folder: Path) -> Iterator[str]:
    """Name what a report reads and is no longer what its stage recorded."""
    stages = Stages(folder)
    for stage in stages.names():
        recorded = stages.recorded(stage)
        if recorded is None:
            yield f"stages/{stage}.json"
        for name in altered(folder, recorded or {}):
            if Path(name).name in _READ and (folder / name).exists():
                yield name


def _task(place: Path) -> TaskResult:
    info = _artefact(place / "info.json", Info)
    choice = _artefact(place / "choice.json", Choice)
    every = _summary(place / "summary.csv")
    cells, left_out = _primary(every)
    labels = sorted({cell.label for cell in cells if cell.label is not None})
    classes = tuple(info.classes or (f"class {i}" for i in range(max(labels, default=-1) + 1)))
    # The paper lists the regulatory class, label 1, before the background.
    order: list[int | None] = (
        [] if info.value else [*(reversed(labels) if len(classes) == 2 else labels)] or [None] * bool(cells)
    )
    audit = _audit(place / "audit.json")
    groups = tuple(
        _group(place.name, classes, label, [cell for cell in cells if cell.label == label], info, choice, audit)
        for label in order
    )
    metrics = _artefact(place / "metrics.json", Metrics)
    cards = _artefact(place / "cards.json", Cards)
    if cells and all(cell.full or cell.n == 0 for cell in cells):  # every method replaced the same: no verdict is one
        cards = cards.model_copy(update={"cards": ()})
    return TaskResult(
        place.name,
        info,
        metrics,
        choice,
        groups,
        classes,
        left_out,
        tuple(every),
        cards,
        audit,
        _artefact(place / "hits.json", Hits),
        tuple(c for c in _summary(place / "curves.csv") if is_control(c.method) and c.method != RANDOM),
        tuple(_rows(place / "excesses.csv", Excess, _shown)),
        _motifs(place / "motifs"),
        tuple(_rows(place / LEDGER, Account)),
        _artefact(place / REFERENCE, Compare) if (place / REFERENCE).exists() else None,
        tuple(_rows(place / REFERENCES, Dependence)),
        read_departures(place),
    )


def _motifs(folder: Path) -> Motifs | None:
    if not folder.is_dir():
        return None
    from kmerit.biology.motif_tests import Motifs

    return Motifs.load(folder)


def _group(
    task: str,
    classes: tuple[str, ...],
    label: int | None,
    cells: Sequence[Cell],
    info: Info,
    choice: Choice,
    audit: Audit | None,
) -> Group:
    published = COUNTERPARTS.get(task)
    names = {name: display_name(task, classes, at) for at, name in enumerate(classes)}
    own = classes[label] if label is not None and label < len(classes) else ""
    lines = () if audit is None else text.concerns(audit.concerns, names)
    return Group(
        label,
        "all sequences" if label is None else display_name(task, classes, label),
        own,
        tuple(cells),
        {method: by_label[str(label)] for method, by_label in info.flags.items() if str(label) in by_label},
        choice.lrp_star.get(str(label)),
        published.classes[label] if published and label in (0, 1) else None,
        tuple(line for name, line in lines if name == own),
    )


def _primary(cells: list[Cell]) -> tuple[list[Cell], tuple[str, ...]]:
    """Keep the paper's operator and order where tried, else the first; say what else the summary holds."""
    designs = list(dict.fromkeys((cell.operator, cell.order) for cell in cells))
    if not designs:
        return [], ()
    primary = ("random_other", "morf") if ("random_other", "morf") in designs else designs[0]
    rows = [cell for cell in cells if (cell.operator, cell.order) == primary]
    return rows, tuple(f"{operator}, {order}" for operator, order in designs if (operator, order) != primary)


def _summary(path: Path) -> list[Cell]:
    return list(_rows(path, Cell))


def _shown(row: Mapping[str, str | None]) -> bool:
    """Whether a row of excesses is one that a page shows: of all sequences, at a number of nucleotides below all."""
    return row["condition"] == "all" and row["measure"] in _SHOWN_EXCESSES and str(row["n"]).isdigit()


def _rows(
    path: Path, kind: type[_Row], keep: Callable[[Mapping[str, str | None]], bool] = lambda _: True
) -> Iterator[_Row]:
    """Read the rows of a table that are wanted; a table that is not there has none."""
    if not path.exists():
        return
    columns, adapter = {field.name for field in fields(kind)}, TypeAdapter(kind)
    reader = csv.DictReader(StringIO(read_text(path), newline=""))
    try:
        if absent := _REQUIRED[kind] - set(reader.fieldnames or ()):
            raise FormatError(f"{str(path)!r} lacks the columns {', '.join(sorted(absent))}. {_REMEDY}")
        for row in reader:
            if keep(row):
                try:
                    yield adapter.validate_python(
                        {name: text for name, text in row.items() if name in columns and text}
                    )
                except ValidationError as problem:
                    where = f"{str(path)!r}, line {reader.line_num}"
                    raise FormatError(f"{where}: {_first(problem)}. {_REMEDY}") from None
    except csv.Error as problem:
        raise FormatError(f"{str(path)!r}, line {reader.line_num}: {problem}. {_REMEDY}") from None


def _artefact(path: Path, kind: type[_Kind]) -> _Kind:
    try:
        return kind.model_validate({name: value for name, value in _json(path).items() if value is not None})
    except ValidationError as problem:
        raise FormatError(f"{str(path)!r}: {_first(problem)}. {_REMEDY}") from None
    except FormatError as problem:  # a remark of another version
        raise FormatError(f"{str(path)!r}: {problem} {_REMEDY}") from None


def _audit(path: Path) -> Audit | None:
    if not path.exists():
        return None
    try:
        return Audit.from_json(read_text(path))
    except FormatError as problem:
        raise FormatError(f"{str(path)!r}: {problem}") from None


def _first(problem: ValidationError) -> str:
    first = problem.errors()[0]
    return f"{'.'.join(map(str, first['loc']))}: {first['msg'].lower()}, found {str(first['input'])[:40]!r}"


def _json(path: Path) -> dict[str, Any]:
    if not path.exists():
        return {}
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as problem:
        raise FormatError(f"{str(path)!r} is not JSON ({problem}). {_REMEDY}") from None
    if not isinstance(value, dict):
        raise FormatError(f"{str(path)!r}: expected a JSON object, found {type(value).__name__}. {_REMEDY}")
    return value


def _toml(path: Path) -> dict[str, Any]:
    if not path.exists():
        return {}
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as problem:
        raise FormatError(f"{str(path)!r} is not TOML ({problem}). {_REMEDY}") from None
