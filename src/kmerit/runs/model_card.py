"""What a model's own card says of models to compare with, for those who read what a run measured."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from kmerit.config import Tree, check
from kmerit.errors import CheckpointError, ConfigError
from kmerit.report.load import Note

CARD = "metrics.json"
"""Beside the weights of a model that `kmerit finetune` has made, or that ships with kmerit."""
SHOWN = ("accuracy", "auroc", "r2", "pearson")
"""Which of a card's metrics are kept."""
SAME = 0.0005
"""By how much metrics may differ that are the same: half of the last digit that a report shows."""


class _Number(BaseModel):
    model_config = ConfigDict(strict=True, allow_inf_nan=False)

    value: float | None
    low: float | None
    high: float | None


class _Measured(BaseModel):
    model_config = ConfigDict(strict=True, extra="allow")
    __pydantic_extra__: dict[str, _Number] = Field(init=False)

    rows: int = Field(gt=0)

    @property
    def metrics(self) -> dict[str, _Number]:
        return self.__pydantic_extra__


class _Card(BaseModel):
    """What `kmerit.training.measure` returns, as far as it is read here."""

    model_config = ConfigDict(strict=True, protected_namespaces=())

    model: str
    crop: str
    split: dict[str, int]
    data: str = ""
    test: _Measured | None = None
    validation: Any = None
    baselines: dict[str, _Measured] = {}
    above: dict[str, _Measured] = {}


def recorded_baselines(folder: Path, measured: Mapping[str, Any]) -> Tree:
    """Read the baselines of a model's card, and find out whether they are of the rows that were measured.

    Args:
        folder: The model's, with the file ``metrics.json`` of `kmerit finetune` or without.
        measured: The metrics of the model as measured now: ``rows``, and by name the ``value`` of each.

    Returns:
        The fields of `kmerit.report.load.Baselines`, for JSON; none where no baselines are recorded. A file that is
        not kmerit's, as another program's of the same name, is no error: ``unread`` says what is wrong with it.

    Example:
        >>> from kmerit.models.checkpoint import locate
        >>> known = recorded_baselines(locate("bundled:promoter"), {"rows": 100, "auroc": {"value": 0.9}})
        >>> known["data"], known["rows"], known["this_run"], known["baselines"][0]["name"]
        ('epdnew_nontata', 6232, False, '4-mers')
    """
    path = folder / CARD
    if not path.is_file():
        return {}
    try:
        card = _read(path)
    except (CheckpointError, ConfigError, OSError) as error:
        return {"unread": asdict(Note("baselines_unread", {"problem": _reason(error, path)}))}
    split, own = ("test", card.test) if card.test is not None else ("validation", card.validation)
    if own is None or not card.baselines:
        return {}
    return {
        "data": card.data or _data_set(folder),
        "split": split,
        "crop": card.crop,
        "rows": own.rows,
        "this_run": _is_same(own, measured),
        "model": _kept(own),
        "baselines": [
            {"name": name, "metrics": _kept(theirs), "above": _kept(card.above[name]) if name in card.above else {}}
            for name, theirs in card.baselines.items()
        ],
    }


def _read(path: Path) -> _Card:
    from kmerit.models.checkpoint import read_object

    tree = read_object(path)
    card = check(_Card, tree)
    if card.test is None and card.validation is not None:
        return card.model_copy(update={"validation": check(_Measured, tree["validation"], inside="validation")})
    return card


def _reason(error: Exception, path: Path) -> str:
    """Say what is wrong with a file, without its place: results do not depend on that."""
    if isinstance(error, OSError):
        return f"{error.strerror or type(error).__name__}."
    return str(error).removeprefix(f"{path}: ")


def _data_set(folder: Path) -> str:
    """Name the data set by the model's config, for cards that do not."""
    from kmerit.models.checkpoint import read_object

    path = folder / "config.json"
    about = read_object(path).get("kmerit") if path.is_file() else None
    task = about.get("task") if isinstance(about, dict) else None
    return task if isinstance(task, str) else ""


def _kept(measured: _Measured) -> Tree:
    return {name: measured.metrics[name].model_dump() for name in SHOWN if name in measured.metrics}


def _is_same(card: _Measured, measured: Mapping[str, Any]) -> bool:
    """Whether as many rows were measured, with the same result, so that they are the same rows."""
    pairs = [(card.metrics[name].value, measured[name]["value"]) for name in card.metrics if name in measured]
    return measured.get("rows") == card.rows and bool(pairs) and all(_is_equal(*pair) for pair in pairs)


def _is_equal(one: float | None, other: float | None) -> bool:
    if one is None or other is None:
        return one is other
    return math.isclose(one, other, rel_tol=SAME, abs_tol=SAME)
