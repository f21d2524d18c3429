"""From what a config leaves open to what a run does: names looked up, defaults of tasks filled in, device chosen."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

from kmerit.config import Tree
from kmerit.data import tasks
from kmerit.errors import ConfigError, UnknownName
from kmerit.runs.config import CropTable, GridTable, RunConfig, TaskTable

if TYPE_CHECKING:
    from kmerit.faithfulness import Grid


def resolve(config: RunConfig) -> RunConfig:
    """Make everything explicit, and refuse names that nobody knows.

    Raises:
        UnknownName: A task, method, operator or order that does not exist.
        ConfigError: A key that its task cannot have.
        FormatError: A motif file that holds none.
        MissingExtra: A method needs a package that is not installed.
    """
    from kmerit.attribution import methods
    from kmerit.data.motifs import read_motifs
    from kmerit.faithfulness.operators import operator_named
    from kmerit.faithfulness.rankings import order_named

    for method in config.attribution.methods:
        if method not in methods():
            raise UnknownName("method", method, methods(), see="kmerit list methods")
        methods()[method].check_extra()
    operator_named(config.trial.operator)
    order_named(config.trial.order)
    if config.motifs is not None:
        read_motifs(config.motifs.file)
    compute = config.compute.model_copy(update={"device": _device(config.compute.device)})
    return config.model_copy(
        update={
            "tasks": {name: _resolve_task(name, table, config) for name, table in config.tasks.items()},
            "compute": compute,
        }
    )


QUICK_PER_CLASS = 60
"""Sequences of each class in a quick trial, at most."""


def for_trial(config: RunConfig, quick: bool = False) -> RunConfig:
    """Complete a config for ``kmerit trial``: the grid takes the place of ``[trial]``, which is the paper's protocol.

    Args:
        config: As it was given.
        quick: Whether to take the grid of a first look in its place, and few sequences.

    Raises:
        UnknownName: An operator or order that does not exist.
        UsageError: A grid that contradicts itself.
    """
    from kmerit.faithfulness import Grid
    from kmerit.faithfulness.comparisons import OPERATOR, ORDER
    from kmerit.faithfulness.operators import operator_named
    from kmerit.faithfulness.rankings import order_named

    table = config.grid or GridTable()
    if quick:
        values = asdict(Grid.quick()).items()
        table = GridTable.parse({key: list(v) if isinstance(v, tuple) else v for key, v in values})
        few = min(config.data.per_class, QUICK_PER_CLASS)
        config = config.model_copy(update={"data": config.data.model_copy(update={"per_class": few})})
    for name in table.operators:
        operator_named(name)
    for name in table.orders:
        order_named(name)
    grid(table)
    core: Tree = {"counts": sorted({0, *(n for n in table.counts if n != "all")}) + ["all"] * ("all" in table.counts)}
    core |= {"replicates": table.draws, "random_sets": table.random_sets, "operator": OPERATOR, "order": ORDER}
    return config.model_copy(update={"grid": table, "trial": config.trial.model_copy(update=core)})


def grid(table: GridTable) -> Grid:
    """Make the grid of a trial.

    Raises:
        UsageError: It contradicts itself.
    """
    from kmerit.faithfulness import Grid

    values: Tree = {key: tuple(value) if isinstance(value, list) else value for key, value in table}
    return Grid(**values)


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


def _device(name: str) -> str:
    if name != "auto":
        return name
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"
