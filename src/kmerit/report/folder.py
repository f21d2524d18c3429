"""Read what a run left in its folder, and name what is missing.

Absent artefacts are listed and the rest is used; artefacts that are there but cannot be understood are refused, for
a report must not be made from results that were silently changed.
"""

from __future__ import annotations

import csv
import json
import math
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from kmerit.data.files import sha256
from kmerit.errors import FormatError, RunError
from kmerit.report import paper

SCHEMA = 1
"""The newest layout of a run folder that this version understands (``schema`` in manifest.json)."""
RANDOM = "random"
ARTEFACTS = ("info.json", "metrics.json", "choice.json", "summary.csv")
"""What a report reads of a task."""
_SHAPES = {"classes": list, "flags": dict, "dropped": dict, "warnings": list, "test": dict, "lrp_star": dict}


@dataclass(frozen=True)
class Cell:
    """One row of ``summary.csv``: a class under one method with ``n`` nucleotides substituted.

    Fractions are 0..1, ``tokens_changed`` is in tokens, ``default_label_rate`` is that at full mutation whatever the
    ``n``; what the summary does not hold is NaN.
    """

    label: int | None
    method: str
    operator: str
    order: str
    n: int
    full: bool
    accuracy: float
    low: float
    high: float
    sequences: int = 0
    draws: int = 0
    accuracy_correct: float = math.nan
    flip_rate: float = math.nan
    tokens_changed: float = math.nan
    gc_shift: float = math.nan
    default_label_rate: float = math.nan
    floor_normalised_drop: float = math.nan


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
    """

    label: int | None
    name: str
    class_name: str
    cells: tuple[Cell, ...]
    flags: Mapping[str, Mapping[str, Any]]
    lrp_star: str | None
    paper: paper.PaperClass | None

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
    def intact(self) -> Cell | None:
        """The outcome with nothing substituted: the same for every method."""
        return next((c for c in self._scored_first if c.n == 0 and not c.full), None)

    @property
    def mutated(self) -> Cell | None:
        """The outcome with every nucleotide substituted: the same for every method."""
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
    """What a run holds of one task."""

    name: str
    info: Mapping[str, Any]
    metrics: Mapping[str, Any]
    choice: Mapping[str, Any]
    groups: tuple[Group, ...]
    classes: tuple[str, ...]
    left_out: tuple[str, ...]

    @property
    def title(self) -> str:
        """What to call it."""
        return str(self.info.get("title") or self.name)

    @property
    def model(self) -> str:
        """The model's name, or nothing."""
        return str(self.info.get("model") or self.metrics.get("model") or "")

    @property
    def paper(self) -> paper.PaperTask | None:
        """The paper's counterpart, if any."""
        return paper.COUNTERPARTS.get(self.name)

    @property
    def default_label(self) -> str | None:
        """The class that the model calls when nothing of the sequence is left."""
        label = self.info.get("default_label")
        return None if label is None else display_name(self.name, self.classes, label)

    @property
    def default_label_rate(self) -> float:
        """How often it does, 0..1."""
        return number(self.info.get("default_label_rate"))

    @property
    def compared(self) -> int | None:
        """The n at which methods are compared: the paper's 20 where tried, else the largest below "all"."""
        counts = {n for group in self.groups for n in group.counts if n > 0}
        return paper.N if paper.N in counts else max(counts, default=None)


@dataclass(frozen=True)
class RunResults:
    """What a run folder holds."""

    folder: Path
    config: Mapping[str, Any]
    manifest: Mapping[str, Any]
    tasks: tuple[TaskResult, ...]
    missing: tuple[str, ...]
    altered: tuple[str, ...]


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
    if not isinstance(schema, int) or schema > SCHEMA:
        raise RunError(
            f"{str(folder)!r} has layout {schema!r}, and this kmerit reads up to {SCHEMA}. "
            f"Upgrade with: pip install --upgrade kmerit"
        )
    config = _toml(folder / "config.toml")
    places = sorted(place for place in (folder / "tasks").glob("*") if place.is_dir())
    order = list(config.get("tasks", {}))
    places.sort(key=lambda place: order.index(place.name) if place.name in order else len(order))
    tasks = tuple(_task(place) for place in places)
    if not any(task.groups or task.metrics for task in tasks):
        raise RunError(
            f"{str(folder)!r} holds no results: expected tasks/<task>/summary.csv or metrics.json. "
            f"Finish the run with: kmerit run CONFIG --out {folder}"
        )
    wanted = [folder / name for name in ("config.toml", "manifest.json")]
    wanted += [folder / "tasks" / name for name in order if folder / "tasks" / name not in places]
    wanted += [place / name for place in places for name in ARTEFACTS]
    missing = tuple(path.relative_to(folder).as_posix() for path in wanted if not path.exists())
    return RunResults(folder, config, manifest, tasks, missing, tuple(_altered(folder)))


def _altered(folder: Path) -> Iterator[str]:
    """Name what a report reads and is no longer what its stage recorded."""
    for record in sorted((folder / "stages").glob("*.json")):
        for name, digest in _json(record).get("artefacts", {}).items():
            path = folder / name
            if path.name in ARTEFACTS and path.exists() and sha256(path) != digest:
                yield name


def display_name(task: str, classes: tuple[str, ...], label: int) -> str:
    """Name a class as the paper does where it has it: ours are often just "background"."""
    published = paper.COUNTERPARTS.get(task)
    names = [row.name for row in published.classes] if published else classes
    return names[label] if 0 <= label < len(names) else f"class {label}"


def number(value: Any) -> float:
    """Read a number of a JSON artefact; NaN where there is none."""
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else math.nan


def _task(place: Path) -> TaskResult:
    info, metrics, choice = (_json(place / f"{name}.json") for name in ("info", "metrics", "choice"))
    cells, left_out = _primary(_summary(place / "summary.csv"))
    labels = sorted({cell.label for cell in cells if cell.label is not None})
    classes = tuple(map(str, info.get("classes") or (f"class {i}" for i in range(max(labels, default=-1) + 1))))
    # The paper lists the regulatory class, label 1, before the background.
    order: list[int | None] = [*(reversed(labels) if len(classes) == 2 else labels)] or [None] * bool(cells)
    groups = tuple(
        _group(place.name, classes, label, [cell for cell in cells if cell.label == label], info, choice)
        for label in order
    )
    return TaskResult(place.name, info, metrics, choice, groups, classes, left_out)


def _group(
    task: str,
    classes: tuple[str, ...],
    label: int | None,
    cells: Sequence[Cell],
    info: Mapping[str, Any],
    choice: Mapping[str, Any],
) -> Group:
    published = paper.COUNTERPARTS.get(task)
    return Group(
        label,
        "all sequences" if label is None else display_name(task, classes, label),
        classes[label] if label is not None and label < len(classes) else "",
        tuple(cells),
        {method: by_label.get(str(label), {}) for method, by_label in info.get("flags", {}).items()},
        choice.get("lrp_star", {}).get(str(label)),
        published.classes[label] if published and label in (0, 1) else None,
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
    if not path.exists():
        return []
    with path.open(newline="", encoding="utf-8") as lines:
        reader = csv.DictReader(lines)
        required = {"label", "method", "operator", "order", "n", "full", "accuracy", "low", "high"}
        if absent := required - set(reader.fieldnames or ()):
            raise FormatError(f"{str(path)!r} lacks the columns {', '.join(sorted(absent))}. {_REMEDY}")
        return [_cell(row, f"{str(path)!r}, line {reader.line_num}") for row in reader]


def _cell(row: Mapping[str, str | None], where: str) -> Cell:
    values: dict[str, Any] = {}
    try:
        for field in fields(Cell):
            text = row.get(field.name) or ""
            if field.type == "str":
                values[field.name] = text
            elif field.type == "bool":
                values[field.name] = {"true": True, "1": True, "false": False, "0": False}[text.lower()]
            elif field.type == "float":
                values[field.name] = float(text) if text else math.nan
            elif field.type == "int":
                values[field.name] = int(float(text)) if text else 0
            else:
                values[field.name] = int(float(text)) if text.lower() not in ("", "all", "nan", "-1") else None
    except (KeyError, ValueError, OverflowError):
        raise FormatError(f"{where}: {text!r} is no value for {field.name!r}. {_REMEDY}") from None
    return Cell(**values)


_REMEDY = "Remove the file, and run again to make it anew."


def _json(path: Path) -> dict[str, Any]:
    if not path.exists():
        return {}
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as problem:
        raise FormatError(f"{str(path)!r} is not JSON ({problem}). {_REMEDY}") from None
    if not isinstance(value, dict):
        raise FormatError(f"{str(path)!r}: expected a JSON object, found {type(value).__name__}. {_REMEDY}")
    for key, shape in _SHAPES.items():
        if key in value and not isinstance(value[key], shape):
            found = type(value[key]).__name__
            raise FormatError(f"{str(path)!r}: {key!r} is a {found}, expected a {shape.__name__}. {_REMEDY}")
    return value


def _toml(path: Path) -> dict[str, Any]:
    if not path.exists():
        return {}
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except ValueError as problem:
        raise FormatError(f"{str(path)!r} is not TOML ({problem}). {_REMEDY}") from None
