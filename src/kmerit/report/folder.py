"""Read what a run left in its folder, and name what is missing.

Absent artefacts are listed and the rest is used; artefacts that are there but cannot be understood are refused, for
a report must not be made from results that were silently changed.
"""

from __future__ import annotations

import csv
import json
import os
import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, fields
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from kmerit.audit import Audit
from kmerit.data.files import read_text
from kmerit.data.tables import first_line
from kmerit.errors import FormatError, RunError, UnknownName, UsageError
from kmerit.faithfulness.controls import is_control
from kmerit.report import paper, text
from kmerit.report.artefacts import Artefact, Cards, Cell, Choice, Excess, Info, Metrics
from kmerit.report.results import RANDOM, Group, RunResults, TaskResult, display_name
from kmerit.report.slots import Hits
from kmerit.report.vocabulary import MEASURES
from kmerit.store import Stages, altered

if TYPE_CHECKING:
    import pandas as pd

SCHEMA = 2
"""The layout of a run folder that this version understands (``schema`` in manifest.json)."""
ARTEFACTS = ("info.json", "metrics.json", "choice.json", "summary.csv", "cards.json")
"""What a report reads of a task."""
EXPLORED = ("sequences.parquet", "attributions.parquet", "curve/outcomes.json")
"""What the sequence explorer reads besides."""
_READ = {"config.toml", "manifest.json", *ARTEFACTS, "sequences.parquet", "attributions.parquet", "tokens.parquet",
         "outcomes.json", "mutants.parquet", "cells.parquet", "curves.csv", "excesses.csv", "audit.json",
         "hits.json"}  # fmt: skip
_SHOWN_EXCESSES = {measure.beyond for measure in MEASURES.values()} - {None}
_REQUIRED = {
    Cell: {"label", "method", "operator", "order", "n", "full", "accuracy", "low", "high"},
    Excess: {"label", "class_name", "condition", "method", "control", "operator", "order", "measure", "n"}
    | {"value", "low", "high"},
}
_REMEDY = "Remove the file, and run again to make it anew."
_Kind = TypeVar("_Kind", bound=Artefact)
_Row = TypeVar("_Row", Cell, Excess)


def read_run(folder: Path) -> RunResults:
    """Read the artefacts of a run.

    Raises:
        RunError: The folder does not exist, holds no results, or was written by a newer kmerit.
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
    if not any(task.groups or task.metrics.test for task in tasks):
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
    named = [folder / "tasks" / name for name in _toml(folder / "config.toml").get("tasks", {})]
    places = sorted({*named, *(folder / "tasks").glob("*")}, key=lambda place: (place not in named, place))
    wanted = [folder / name for name in ("config.toml", "manifest.json")]
    for place in places:
        here = os.path.isdir(place)  # False also for a name that no system takes
        wanted += [place / name for name in (*ARTEFACTS, *EXPLORED)] if here else [place] * (place in named)
    return tuple(path.relative_to(folder).as_posix() for path in wanted if not os.path.exists(path))


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

    found = _one(folder, task)
    if not found.cells:
        raise RunError(f"{str(folder)!r} holds no trial of {found.name!r} yet. Finish the run with: kmerit run")
    return pd.DataFrame([asdict(cell) for cell in found.cells]), found.shown_classes, text.grid(found.cards.grid)


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

    found = _one(folder, task)
    path = folder / "tasks" / found.name / "excesses.csv"
    if not path.exists():
        raise RunError(f"{str(folder)!r} holds no excesses of {found.name!r} yet. Finish the run with: kmerit run")
    try:
        return pd.read_csv(path, dtype={"n": str}), found.shown_classes, text.grid(found.cards.grid)
    except ValueError as problem:  # pandas' own errors are of this class
        raise FormatError(f"{str(path)!r} is no table ({first_line(problem)}). {_REMEDY}") from None


def _one(folder: Path, task: str | None) -> TaskResult:
    tasks = {each.name: each for each in read_run(folder).tasks}
    if task is None and len(tasks) > 1:
        raise UsageError(f"{str(folder)!r} has several tasks; name one with --task: {', '.join(tasks)}.")
    name = task or next(iter(tasks))
    if name not in tasks:
        raise UnknownName("task", name, tasks)
    return tasks[name]


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
    order: list[int | None] = [*(reversed(labels) if len(classes) == 2 else labels)] or [None] * bool(cells)
    audit = _audit(place / "audit.json")
    groups = tuple(
        _group(place.name, classes, label, [cell for cell in cells if cell.label == label], info, choice, audit)
        for label in order
    )
    metrics = _artefact(place / "metrics.json", Metrics)
    cards = _artefact(place / "cards.json", Cards)
    if cells and all(cell.full or cell.n == 0 for cell in cells):  # every score replaced the same: no verdict is one
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
    )


def _group(
    task: str,
    classes: tuple[str, ...],
    label: int | None,
    cells: Sequence[Cell],
    info: Info,
    choice: Choice,
    audit: Audit | None,
) -> Group:
    published = paper.COUNTERPARTS.get(task)
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
    chosen = ("random_other", "morf") if ("random_other", "morf") in designs else designs[0]
    kept = [cell for cell in cells if (cell.operator, cell.order) == chosen]
    return kept, tuple(f"{operator}, {order}" for operator, order in designs if (operator, order) != chosen)


def _summary(path: Path) -> list[Cell]:
    return list(_rows(path, Cell))


def _shown(row: Mapping[str, str | None]) -> bool:
    """Whether a row of excesses is one that a page shows: of all sequences, at a number of nucleotides below all."""
    return row["condition"] == "all" and row["measure"] in _SHOWN_EXCESSES and str(row["n"]).isdigit()


def _rows(
    path: Path, kind: type[_Row], wanted: Callable[[Mapping[str, str | None]], bool] = lambda _: True
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
            if wanted(row):
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
