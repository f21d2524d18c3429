"""From what a config leaves open to what a run does: names looked up, defaults of tasks filled in, device chosen."""

from __future__ import annotations

from kmerit.data import tasks
from kmerit.errors import ConfigError, UnknownName
from kmerit.runs.config import CropTable, RunConfig, TaskTable
from kmerit.runs.toml import Tree


def resolve(config: RunConfig) -> RunConfig:
    """Make everything explicit, and refuse names that nobody knows.

    Raises:
        UnknownName: A task, method, operator or order that does not exist.
        ConfigError: A key that its task cannot have.
    """
    from kmerit.attribution import methods
    from kmerit.faithfulness.operators import operator_named
    from kmerit.faithfulness.rankings import order_named

    for method in config.attribution.methods:
        if method not in methods():
            raise UnknownName("method", method, methods(), see="kmerit list methods")
    operator_named(config.trial.operator)
    order_named(config.trial.order)
    compute = config.compute.model_copy(update={"device": _device(config.compute.device)})
    return config.model_copy(
        update={
            "tasks": {name: _resolve_task(name, table, config) for name, table in config.tasks.items()},
            "compute": compute,
        }
    )


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


_OWN_FILES = ("validation", "train", "sequence_column", "label_column", "name_column")


def _device(name: str) -> str:
    if name != "auto":
        return name
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"
