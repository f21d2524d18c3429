"""Verbs that look around: list, fetch."""

from __future__ import annotations

import json
from enum import StrEnum
from textwrap import wrap
from typing import Annotated, Any

import typer

from kmerit.cli.display import DISPLAY
from kmerit.cli.options import Quiet, Verbose

Row = dict[str, Any]


class Kind(StrEnum):
    """What can be listed."""

    METHODS = "methods"
    TASKS = "tasks"
    FAMILIES = "families"
    MODELS = "models"


def list_(
    kind: Annotated[Kind | None, typer.Argument(help="All of them by default.", show_default=False)] = None,
    as_json: Annotated[bool, typer.Option("--json", help="For machines.")] = False,
) -> None:
    """List the attribution methods, tasks, model families and bundled models.

    Examples:
        kmerit list methods
        kmerit list tasks --json
    """
    listed = {each.value: _LISTS[each]() for each in ([kind] if kind else Kind)}
    if as_json:
        print(json.dumps(listed[kind.value] if kind else listed, indent=2, ensure_ascii=False))
        return
    print("\n\n".join(_as_text(name, rows) for name, rows in listed.items()))


def fetch(
    task: Annotated[str, typer.Argument(help="Name of a task, see: kmerit list tasks", show_default=False)],
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Download the sequences of a task, so that later commands need no network.

    A download that broke off goes on where it was.

    Example:
        kmerit fetch human_nontata_promoters
    """
    from kmerit.data import fetch as fetch_task

    with DISPLAY.watch(f"{task} (bytes)") as progress:
        folder = fetch_task(task, progress=progress)
    print(folder)


def _methods() -> list[Row]:
    from kmerit.attribution import methods

    return [
        {"name": m.name, "summary": m.summary, "signed": m.signed, "cost": m.cost, "source": m.cites}
        for m in methods().values()
    ]


def _tasks() -> list[Row]:
    from kmerit.data import tasks

    return [
        {
            "name": task.name,
            "summary": task.description,
            "classes": list(task.classes),
            "bundled": task.packed,
            "test rows": sum(task.rows["test"]),
            "licence": task.licence,
        }
        for task in tasks().values()
    ]


def _families() -> list[Row]:
    from kmerit.models import families

    return [{"name": f.name, "summary": f.summary, "source": f.cites} for f in families().values()]


def _models() -> list[Row]:
    from kmerit.models import bundled
    from kmerit.models.checkpoint import BUNDLED, locate

    def row(name: str) -> Row:
        config = json.loads((locate(BUNDLED + name) / "config.json").read_text(encoding="utf-8"))
        about = config.get("kmerit", {})
        return {"name": BUNDLED + name, "classes": list(config["id2label"].values()), "crop": about.get("crop", "none")}

    return [row(name) for name in bundled()]


_LISTS = {Kind.METHODS: _methods, Kind.TASKS: _tasks, Kind.FAMILIES: _families, Kind.MODELS: _models}


def _as_text(title: str, rows: list[Row]) -> str:
    """Lay rows out for reading: the name, under it what it is, and the rest."""
    lines = [f"{title}:"]
    for row in rows:
        details = [f"{key}: {_spell(value)}" for key, value in row.items() if key not in ("name", "summary")]
        lines.append(f"  {row['name']}")
        for text in filter(None, (row.get("summary"), "; ".join(details))):
            lines += wrap(text, 100, initial_indent=" " * 6, subsequent_indent=" " * 6)
    return "\n".join(lines if rows else [*lines, "  none"])


def _spell(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return ", ".join(value) if isinstance(value, list) else f"{value}"
