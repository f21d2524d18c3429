"""Verbs that look around: list, fetch, doctor."""

import json
from dataclasses import asdict
from pathlib import Path
from textwrap import wrap
from typing import Annotated, Any

import typer

from kmerit.cli import options
from kmerit.cli.options import DISPLAY
from kmerit.errors import UnknownName

METHODS = "methods"
Row = dict[str, Any]


def list_(
    kind: Annotated[
        str | None,
        typer.Argument(
            metavar="KIND",
            help=f"One of {', '.join(options.KINDS)}; all of them by default.",
            show_default=False,
            autocompletion=options.kinds,
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """List attribution methods, tasks, model families, and bundled models and configs.

    Examples:
        kmerit list methods
        kmerit list tasks --json
    """
    if kind is not None and kind not in _LISTS:
        raise UnknownName("kind of list", kind, _LISTS)
    tables = {each: _LISTS[each]() for each in ([kind] if kind else _LISTS)}
    if as_json:
        print(json.dumps(tables[kind] if kind else tables, indent=2, ensure_ascii=False))
        return
    if kind == METHODS:
        _print_table(tables[kind])
        return
    print("\n\n".join(_as_text(name, rows) for name, rows in tables.items()))


def fetch(
    task: Annotated[str, typer.Argument(help="Task name; see: kmerit list tasks", show_default=False)],
) -> None:
    """Download the sequences of a task for offline use.

    Interrupted downloads resume.

    Example:
        kmerit fetch human_nontata_promoters
    """
    from kmerit.datasets.task import fetch as fetch_task

    with DISPLAY.watch(f"{task} (bytes)") as progress:
        folder = fetch_task(task, progress=progress)
    print(folder)


def _methods() -> list[Row]:
    from kmerit.attribution.method import methods

    return [
        {
            "name": method.name,
            "summary": method.summary,
            "cost": method.cost,
            "needs": method.wants,
            "level": method.level,
            "signed": method.signed,
            "options": {
                key: list(value) if isinstance(value, tuple) else value for key, value in method.options.items()
            },
            "source": method.cites,
        }
        for method in methods().values()
    ]


def _tasks() -> list[Row]:
    from kmerit.datasets.task import tasks

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
    from kmerit.models.family import families

    return [{"name": f.name, "summary": f.summary, "source": f.cites} for f in families().values()]


def _models() -> list[Row]:
    from kmerit.models.checkpoint import BUNDLED, bundled, locate

    def row(name: str) -> Row:
        config = json.loads((locate(BUNDLED + name) / "config.json").read_text(encoding="utf-8"))
        about = config.get("kmerit", {})
        return {"name": BUNDLED + name, "classes": list(config["id2label"].values()), "crop": about.get("crop", "none")}

    return [row(name) for name in bundled()]


def _configs() -> list[Row]:
    from kmerit.config import BUNDLED, bundled_configs

    def row(name: str, path: Path) -> Row:
        text = path.read_text(encoding="utf-8").split("\n#\n")[0]
        return {"name": BUNDLED + name, "summary": " ".join(text.replace("#", "").split()), "file": str(path)}

    return [row(name, path) for name, path in bundled_configs().items()]


_LISTS = dict(zip(options.KINDS, (_methods, _tasks, _families, _models, _configs), strict=True))


_NARROWEST = 72
"""Columns of text that the table needs; on a narrower screen its lines are wrapped by the terminal."""


def _print_table(rows: list[Row]) -> None:
    """Lay methods out as a table that fits the screen: nothing is truncated, long texts wrap."""
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console(highlight=False)
    table = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False, expand=True)
    print("methods:")
    for title, width in (("method", 20), ("cost", 9), ("scores", 10), ("what it is", None)):
        table.add_column(title, width=width, overflow="fold")
    for row in rows:
        details = Text(f"\nneeds: {', '.join(row['needs'])}; source: {row['source']}", style="dim")
        if row["options"]:
            details.append("\noptions: " + ", ".join(f"{k}={_spell_option(v)}" for k, v in row["options"].items()))
        scores = f"{row['level']}\n{'signed' if row['signed'] else 'unsigned'}"
        what = Text.assemble(row["summary"], details)
        table.add_row(Text(row["name"], style="bold"), f"{row['cost']}", scores, what, end_section=True)
    console.print(table, width=max(console.width, _NARROWEST))
    print("cost: in forward passes, alone; needs: of the one pass that all methods share")
    print("options: NAME=DEFAULT, or NAME=DEFAULT|OTHERS")


def _spell_option(value: Any) -> str:
    return "|".join(map(str, value)) if isinstance(value, list) else f"{value}"


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
    if isinstance(value, dict):
        return ", ".join(f"{key}={_spell_option(option)}" for key, option in value.items()) or "none"
    return ", ".join(value) if isinstance(value, list) else f"{value}"


# Annotations are evaluated here, for the options are read from them.


_MARKS = {"ok": "ok      ", "note": "note    ", "warning": "warning ", "failed": "FAILED  "}
_INDENT = 28


def doctor(
    as_json: Annotated[bool, typer.Option("--json", help="For machines.")] = False,
) -> None:
    """Check the installation: versions, device, memory, cache, bundled files. Exit code 1 if something is broken.

    Examples:
        kmerit doctor
        kmerit doctor --json
    """
    from kmerit.runs.installation import FAILED, examine

    checks = examine()
    if as_json:
        print(json.dumps([asdict(check) for check in checks], indent=2, ensure_ascii=False))
    else:
        for check in checks:
            head = f"{_MARKS[check.state]}{check.name}"
            print("\n".join(wrap(check.text, 110, initial_indent=head.ljust(_INDENT), subsequent_indent=" " * _INDENT)))
    if any(check.state == FAILED for check in checks):
        raise typer.Exit(1)
