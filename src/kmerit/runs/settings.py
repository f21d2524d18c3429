"""The config of a run, checked to the last key; names looked up and defaults filled in."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BeforeValidator, Field, FiniteFloat, NonNegativeInt, PositiveInt, model_validator
from pydantic_core import PydanticCustomError

from kmerit.config import Several, Table, Tree, merge, parse_override, read_toml
from kmerit.datasets.task import tasks
from kmerit.errors import ConfigError, UnknownName
from kmerit.io.crops import Anchor
from kmerit.io.files import Case
from kmerit.sequences import Strands

if TYPE_CHECKING:
    from kmerit.trials.trial import Grid


Preset = Literal["fair", "paper", "quick"]


def _share(value: object) -> object:
    if isinstance(value, str) and re.fullmatch(r"\d+(\.\d+)?%", value):
        return value
    raise PydanticCustomError("share", "a share such as '10%'")


Share = Annotated[str, BeforeValidator(_share)]
"""Of a sequence's length."""
TaskName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")]


class CropTable(Table):
    """Which part of a longer sequence is kept."""

    length: PositiveInt
    anchor: Anchor = "left"


class FilterTable(Table):
    """What is kept of the sequences; an absent key follows ``[data]``, then the task's own default."""

    crop: CropTable | Literal["none"] | None = None
    min_length: PositiveInt | None = None
    drop_n: bool | None = None


class TaskTable(FilterTable):
    """One task: its sequences, and the model that is put on trial.

    Attributes:
        model: A folder, a hub name, or ``bundled:NAME``.
        revision: Branch, tag or commit of a hub name.
        label: Of a model that predicts several labels, the one that is put on trial, by its number or name.
        finetune: In place of ``model``: make it first, from ``base``; other keys as in ``[training]``.
        source: Where the data of a registered task lie, if they do not come with kmerit.
        sequences: Your own labelled file, if the task is not a registered one.
        validation: Your own labelled file to choose LRP* on; without it, what is left of ``sequences`` is used.
        train: Your own labelled file to fine-tune on.
        classes: Names of the classes of your own file, in the order of the labels.
        title: What to call the task in the report.
        case: ``upper`` reads lower-case (soft-masked) letters of your own files as upper case; ``exact`` refuses them.
        rename: Whether names that occur twice in your own files are numbered.
        sequence_column, label_column, name_column: Columns of your own files, where they are not found by themselves.
        genome: FASTA that your own files are intervals of: tables of chrom, start, end and label.
        width: Nucleotides cut out around the middle of each interval.
        coordinates: False ignores coordinates that stand next to letters in your own files.
        own: Scores that another program made, put on trial like those of a method: a file, whose methods keep their
            names, or a table from name to file. Parquet, ``.csv`` or ``.tsv``, of the test sequences by name; arrays
            (``.npy``, ``.npz``) with a row for each test sequence that is kept.
    """

    model: str | None = None
    revision: str | None = None
    label: NonNegativeInt | str | None = None
    finetune: Tree | None = None
    source: str | None = None
    sequences: str | None = None
    validation: str | None = None
    train: str | None = None
    classes: list[str] | None = None
    title: str | None = None
    case: Case = "upper"
    rename: bool = False
    sequence_column: str | None = None
    label_column: str | None = None
    name_column: str | None = None
    genome: str | None = None
    width: PositiveInt | None = None
    coordinates: bool | None = None
    own: str | Annotated[dict[str, str], Field(min_length=1)] | None = None

    @model_validator(mode="after")
    def _one_model(self) -> TaskTable:
        if (self.model is None) == (self.finetune is None):
            raise ValueError("give either the key 'model', or a table 'finetune' with a 'base' to start from")
        return self


class DataTable(FilterTable):
    """Which sequences are drawn.

    Attributes:
        per_class: Test sequences of each class; all there are if fewer.
        validation_per_class: As many to choose LRP* on; ``per_class`` if absent.
        test_per_class: Test sequences of each class that the model's accuracy is measured on, or ``all``, as it is if
            absent; of a quick trial 250.
    """

    per_class: PositiveInt = 500
    validation_per_class: PositiveInt | None = None
    test_per_class: PositiveInt | Literal["all"] | None = None


class AttributionTable(Table):
    """How nucleotides are scored.

    Attributes:
        methods: Names of methods.
        target: Which class is explained: ``predicted``, ``label`` (the true one), or its name or number. Of models of
            tracks, which of them and which bins: ``{ tracks = [0], bins = "center", how = "mean" }``.
        strands: ``both`` averages the scores with those of the reverse complement.
        reference: What the output is compared with, see `kmerit.attribution.references.reference`: ``shuffled``,
            ``negatives`` (test sequences of class 0), ``training`` (the rows of ``train``), or a number.
    """

    methods: list[str] = Field(default=["attention", "rollout", "gradcam", "lrp", "lrp_last", "full_lrp"], min_length=1)
    target: NonNegativeInt | str | dict[str, Any] = "predicted"
    strands: Strands = "forward"
    reference: Literal["shuffled", "negatives", "training"] | FiniteFloat | None = None

    @property
    def task_target(self) -> int | str:
        """What is explained of the task's model, which is of one value where tracks and bins are named."""
        return "predicted" if isinstance(self.target, dict) else self.target


class GridTable(Table):
    """What is mutated: a preset, and keys that differ from it; `kmerit.trials.trial.Grid` explains them.

    Attributes:
        preset: ``fair`` for a verdict with all that puts it in perspective, ``paper`` for the paper's table and figure
            and a verdict, ``quick`` for a first look, on at most 60 sequences a class.
    """

    preset: Preset = "fair"
    counts: Annotated[Several[NonNegativeInt | Literal["all"] | Share], Field(min_length=1)] | None = None
    draws: PositiveInt | None = None
    random_sets: PositiveInt | None = None
    sizes: bool | None = None
    satellite_per_class: NonNegativeInt | None = None
    orders: Several[str] | None = None
    operators: Several[str] | None = None
    operator_count: PositiveInt | None = None
    ism_per_class: NonNegativeInt | None = None
    greedy_per_class: NonNegativeInt | None = None
    greedy_count: PositiveInt | None = None
    greedy_candidates: PositiveInt | None = None


class TrialTable(GridTable):
    """The trial, and the choice of LRP*.

    Attributes:
        choice_count: The count at which LRP* is chosen.
        departure: An encoder, such as ``bundled:encoder``: how far the mutants of each operator leave the data is
            measured by its [CLS] state, and stands in ``cards.md``; without it that is not measured.
        departure_masked: With ``departure``, a masked language model over k-mers whose pseudo-likelihood is measured,
            too.
    """

    choice_count: PositiveInt = 20
    departure: str | None = None
    departure_masked: str | None = None

    @model_validator(mode="after")
    def _with_an_encoder(self) -> TrialTable:
        if self.departure_masked is not None and self.departure is None:
            raise ValueError("departure_masked goes with departure, an encoder such as bundled:encoder")
        return self


_NOT_OF_GRID = ("choice_count", "departure", "departure_masked")
"""Keys of ``[trial]`` that a preset leaves as they are."""


class MotifTable(Table):
    """Motifs that the report marks on the sequences; without this table none is looked for.

    Attributes:
        file: A MEME file; if absent, the twelve motifs of JASPAR 2024 that come with kmerit, and with ``test`` the
            families of JASPAR 2026.
        match: Share of a motif's highest score from which a window counts.
        test: Whether to ask which families are in the data, found by the methods, and used by the model, and to mark
            those; then hits go by p value, and ``match`` plays no part.
        label: With ``test``, number of the class asked about; the last of two if absent.
        families: With ``test``, names of families or of members that the model is asked about; if absent, those that
            have enough hits to be tested, or are enriched.
        de_novo: With ``test``, whether motifs are also made of the scores alone.
    """

    test: bool = False
    label: NonNegativeInt | None = None
    families: Several[str] | None = None
    de_novo: bool = False
    file: str | None = None
    match: Annotated[float, Field(gt=0, le=1)] = 0.85


class StatisticsTable(Table):
    """Intervals: how many resamples a bootstrap takes."""

    resamples: Annotated[int, Field(ge=100)] = 2000


class ComputeTable(Table):
    """The machine; where these agree, results agree to the byte.

    Attributes:
        device: ``auto``, ``cpu``, ``cuda``, ``cuda:1`` ...
        dtype: What models compute in.
        micro_batch: Sequences per forward pass, or ``auto``: 8 on a processor, what a probe finds on a graphics card.
        threads: Of the processor.
    """

    device: str = "auto"
    dtype: Literal["float32", "float64"] = "float32"
    micro_batch: PositiveInt | Literal["auto"] = "auto"
    threads: PositiveInt = 2


class RunConfig(Table):
    """Everything that determines a run; ``training`` holds keys for every task's ``finetune``."""

    seed: NonNegativeInt = 0
    tasks: Annotated[dict[TaskName, TaskTable], Field(min_length=1)]
    data: DataTable = DataTable()
    attribution: AttributionTable = AttributionTable()
    trial: TrialTable = TrialTable()
    motifs: MotifTable | None = None
    statistics: StatisticsTable = StatisticsTable()
    compute: ComputeTable = ComputeTable()
    training: Tree = Field(default={})


_MOVED = {
    "grid": "the table [grid] is now [trial], with the same keys",
    "trial.replicates": "write trial.draws",
    "trial.controls": "every preset has all controls; leave the key out",
    "trial.operator": "mutants of random_other decide; write others into the list trial.operators",
    "trial.order": "most relevant first (morf) decides; write others into the list trial.orders",
    "attribution.own": "own scores are of one task's sequences; write tasks.NAME.own",
}
"""How keys of older configs are written now."""


def load_config(path: Path | str, overrides: Sequence[str] = (), preset: Preset | None = None) -> RunConfig:
    """Read, override and check a config.

    Args:
        path: The TOML, or ``bundled:NAME``. Relative paths to models and sequences in it start from its folder, those
            of a bundled one from here.
        overrides: ``"trial.draws=3"``: a key path and a TOML value (a bare word is taken as a string).
        preset: Of the trial, in place of what the config's ``[trial]`` mutates.

    Raises:
        ConfigError: No such file, not TOML, an unknown key, a value of the wrong kind.

    Example:
        >>> config = load_config("bundled:demo", ["trial.draws=1"])
        >>> list(config.tasks), config.trial.preset, config.trial.draws
        (['epdnew_nontata', 'human_enhancers_dedup'], 'paper', 1)
    """
    tree = read_toml(path)
    if {"tasks", "lengths", "methods"} <= tree.keys():
        raise ConfigError(
            f"{path} is the config of a study, which is no run. Do it with: kmerit study {path} --out FOLDER (a share "
            f"of it: --shard i/N)."
        )
    if preset is not None and isinstance(trial := tree.get("trial", {}), dict):
        tree["trial"] = {key: value for key, value in trial.items() if key in _NOT_OF_GRID} | {"preset": preset}
    for override in overrides:
        merge(tree, parse_override(override))
    _refuse_moved(tree)
    config = RunConfig.parse(tree)
    folder = Path(path).resolve().parent
    update: Tree = {"tasks": {name: _anchored(task, folder) for name, task in config.tasks.items()}}
    keys: Tree = {}
    for key in ("departure", "departure_masked"):
        if (name := getattr(config.trial, key)) is not None:
            keys[key] = _absolute(name, folder)
    if config.trial.operators is not None:
        keys["operators"] = tuple(_anchored_operator(name, folder) for name in config.trial.operators)
    update["trial"] = config.trial.model_copy(update=keys)
    if config.motifs is not None and config.motifs.file is not None:
        update["motifs"] = config.motifs.model_copy(update={"file": _absolute(config.motifs.file, folder)})
    return config.model_copy(update=update)


def _refuse_moved(tree: Tree) -> None:
    """Refuse keys of older configs, with their new spelling."""
    for name, remedy in _MOVED.items():
        at: Any = tree
        for key in name.split("."):
            at = at.get(key) if isinstance(at, dict) else None
        if at is not None:
            raise ConfigError(f"Unknown key {name!r}: {remedy}.")


def _anchored(task: TaskTable, folder: Path) -> TaskTable:
    """Make the task's paths absolute."""
    update: Tree = {key: _absolute(value, folder) for key in ("model", "source") if (value := getattr(task, key))}
    files = ("sequences", "validation", "train", "genome")
    update |= {key: str(folder / value) for key in files if (value := getattr(task, key))}
    if task.own is not None:
        own = task.own
        update["own"] = str(folder / own) if isinstance(own, str) else {k: str(folder / v) for k, v in own.items()}
    if task.finetune and isinstance(base := task.finetune.get("base"), str):
        update["finetune"] = {**task.finetune, "base": _absolute(base, folder)}
    return task.model_copy(update=update)


def _anchored_operator(name: str, folder: Path) -> str:
    """Make the path of the model absolute that letters are drawn from."""
    inside = re.fullmatch(r"infill\((.+)\)", name)
    return name if inside is None else f"infill({_absolute(inside[1], folder)})"


def _absolute(name: str, folder: Path) -> str:
    """Make a path absolute; a name that is no path below ``folder`` (a hub name) stays."""
    return str(folder / name) if os.path.exists(folder / name) else name


def _check_motifs(table: MotifTable) -> None:
    """Refuse keys of the test without it, and families that nobody knows."""
    from kmerit.biology.motif_hits import families_named, read_families

    for key in ("label", "families", "de_novo"):
        if not table.test and getattr(table, key) not in (None, False):
            raise ConfigError(f"motifs.{key}: only the test of motifs takes it. Add motifs.test = true, or remove it.")
    if table.families is not None:
        families_named(table.families, read_families(table.file))


def resolve(config: RunConfig) -> RunConfig:
    """Make everything explicit, and refuse names that nobody knows.

    The preset ``quick`` takes at most 60 sequences a class, and 250 to measure the model's accuracy.

    Raises:
        UnknownName: A task, method, operator or order that does not exist.
        ConfigError: A key that its task cannot have, or that another one makes void.
        UsageError: A trial that contradicts itself.
        FormatError: A motif file that holds none.
        MissingExtra: A method needs a package that is not installed.
    """
    from kmerit.attribution.method import methods
    from kmerit.io.motifs import read_motifs

    for method in config.attribution.methods:
        if method not in methods():
            raise UnknownName("method", method, methods(), see="kmerit list methods")
        methods()[method].check_extra()
    if config.motifs is not None:
        read_motifs(config.motifs.file)
        _check_motifs(config.motifs)
    compute = _compute(config.compute)
    return config.model_copy(
        update={
            "tasks": {name: _resolve_task(name, table, config) for name, table in config.tasks.items()},
            "compute": compute,
            "trial": config.trial.model_copy(update=asdict(grid(config.trial))),
            "data": _resolve_data(config),
        }
    )


QUICK_PER_CLASS, QUICK_TEST = 60, 250
"""Sequences of each class in a trial of the preset quick, at most; and those that accuracy is measured on."""


def _resolve_data(config: RunConfig) -> DataTable:
    """Cap the sequences of a quick trial."""
    data = config.data
    if config.trial.preset != "quick":
        return data
    capped: Tree = {"per_class": min(data.per_class, QUICK_PER_CLASS), "test_per_class": data.test_per_class}
    capped["test_per_class"] = capped["test_per_class"] or QUICK_TEST
    if data.validation_per_class is not None:
        capped["validation_per_class"] = min(data.validation_per_class, QUICK_PER_CLASS)
    return data.model_copy(update=capped)


def grid(table: GridTable) -> Grid:
    """Make what a trial mutates: the preset's grid, with the config's own keys in place of its own.

    Raises:
        UnknownName: An operator or order that does not exist.
        UsageError: It contradicts itself.
        ConfigError: Satellites without sequences, or sequences without satellites.

    Example:
        >>> grid(GridTable(preset="quick", counts=[3])).counts
        (3,)
    """
    from kmerit.trials.operators import operator_named
    from kmerit.trials.rankings import order_named
    from kmerit.trials.trial import PRESETS

    own: Tree = table.model_dump(exclude={"preset", *_NOT_OF_GRID}, exclude_none=True)
    result = replace(PRESETS[table.preset](), **own)
    for name in result.operators:
        operator_named(name)
    for name in result.orders:
        order_named(name)
    if (table.operators or table.orders) and not result.satellite_per_class:
        key = "operators" if table.operators else "orders"
        raise ConfigError(f"trial.{key} needs sequences to try them on: give trial.satellite_per_class, such as 50.")
    if table.satellite_per_class and not (result.operators or result.orders):
        raise ConfigError(
            f"trial.satellite_per_class is of other operators and orders, and the preset {table.preset!r} has none: "
            f"give trial.operators or trial.orders."
        )
    if not result.satellite_per_class:
        result = replace(result, operators=(), orders=())
    return result if result.operators or result.orders else replace(result, satellite_per_class=0)


def _resolve_task(name: str, table: TaskTable, config: RunConfig) -> TaskTable:
    """Fill in what is kept of the sequences: from the task's table, else ``[data]``, else the task's own default."""
    if table.sequences is None:
        if name not in tasks():
            raise UnknownName("task", name, tasks(), see="kmerit list tasks, or give your own file: sequences = ...")
        own = tasks()[name]
        foreign = [key for key in _OWN_FILES if getattr(table, key) is not None]
        if foreign:
            raise ConfigError(f"tasks.{name}.{foreign[0]} needs your own file; {name} is a task that kmerit knows.")
        crop = "none" if own.crop is None else CropTable(length=own.crop.length, anchor=own.crop.anchor)
        defaults: Tree = {"crop": crop, "min_length": own.min_length, "drop_n": own.drop_n}
        defaults |= {"classes": list(own.classes), "title": own.description}
    else:
        defaults = {"crop": "none", "min_length": 1, "drop_n": True, "title": name}
    filters = {key: getattr(config.data, key) for key in ("crop", "min_length", "drop_n")}
    update = {
        key: next(value for value in (getattr(table, key), filters.get(key), default) if value is not None)
        for key, default in defaults.items()
    }
    return table.model_copy(update=update)


_OWN_FILES = (
    "validation",
    "train",
    "sequence_column",
    "label_column",
    "name_column",
    "genome",
    "width",
    "coordinates",
)


def _compute(table: ComputeTable) -> ComputeTable:
    """Name the device, and the micro-batch where no probe is to find it."""
    import torch

    from kmerit.models.inference import is_probed, micro_batch_of

    has_card = table.device == "auto" and torch.cuda.is_available()
    device = ("cuda" if has_card else "cpu") if table.device == "auto" else table.device
    micro_batch, undecided = micro_batch_of(table.micro_batch)
    named: Tree = {"device": device}
    with suppress(RuntimeError):  # no device of torch's: whoever loads a model says so
        if undecided and not is_probed(torch.device(device)):
            named["micro_batch"] = micro_batch
    return table.model_copy(update=named)
