"""From what a config leaves open to what a run does: names looked up, defaults of tasks filled in, device chosen."""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import TYPE_CHECKING

from kmerit.config import Tree
from kmerit.data import tasks
from kmerit.errors import ConfigError, UnknownName
from kmerit.runs.config import CropTable, DataTable, GridTable, RunConfig, TaskTable

if TYPE_CHECKING:
    from kmerit.faithfulness import Grid


def resolve(config: RunConfig) -> RunConfig:
    """Make everything explicit, and refuse names that nobody knows.

    The preset ``quick`` takes at most 60 sequences a class.

    Raises:
        UnknownName: A task, method, operator or order that does not exist.
        ConfigError: A key that its task cannot have, or that another one makes void.
        UsageError: A trial that contradicts itself.
        FormatError: A motif file that holds none.
        MissingExtra: A method needs a package that is not installed.
    """
    from kmerit.attribution import methods
    from kmerit.data.motifs import read_motifs

    for method in config.attribution.methods:
        if method not in methods():
            raise UnknownName("method", method, methods(), see="kmerit list methods")
        methods()[method].check_extra()
    if config.motifs is not None:
        read_motifs(config.motifs.file)
    compute = config.compute.model_copy(update={"device": _device(config.compute.device)})
    return config.model_copy(
        update={
            "tasks": {name: _resolve_task(name, table, config) for name, table in config.tasks.items()},
            "compute": compute,
            "trial": config.trial.model_copy(update=asdict(grid(config.trial))),
            "data": _resolve_data(config),
        }
    )


QUICK_PER_CLASS = 60
"""Sequences of each class in a trial of the preset quick, at most."""


def _resolve_data(config: RunConfig) -> DataTable:
    """Cap the sequences of a quick trial."""
    data = config.data
    if config.trial.preset != "quick":
        return data
    capped = {"per_class": min(data.per_class, QUICK_PER_CLASS)}
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
    from kmerit.faithfulness import PRESETS
    from kmerit.faithfulness.operators import operator_named
    from kmerit.faithfulness.rankings import order_named

    own: Tree = table.model_dump(exclude={"preset", "choice_count"}, exclude_none=True)
    made = replace(PRESETS[table.preset](), **own)
    for name in made.operators:
        operator_named(name)
    for name in made.orders:
        order_named(name)
    if (table.operators or table.orders) and not made.satellite_per_class:
        key = "operators" if table.operators else "orders"
        raise ConfigError(f"trial.{key} needs sequences to try them on: give trial.satellite_per_class, such as 50.")
    if table.satellite_per_class and not (made.operators or made.orders):
        raise ConfigError(
            f"trial.satellite_per_class is of other operators and orders, and the preset {table.preset!r} has none: "
            f"give trial.operators or trial.orders."
        )
    if not made.satellite_per_class:
        made = replace(made, operators=(), orders=())
    return made if made.operators or made.orders else replace(made, satellite_per_class=0)


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
