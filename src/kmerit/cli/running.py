"""Verbs of whole experiments: run, report."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from kmerit.cli.display import DISPLAY
from kmerit.cli.options import Experiment, Overrides, Results


def run(
    config: Experiment,
    out: Results,
    overrides: Overrides = [],  # noqa: B006 - typer copies it
) -> None:
    """Run a whole experiment, from sequences to the report.

    A run that was stopped resumes when the same command is given again.

    Examples:
        kmerit run bundled:demo --out results/demo
        kmerit run my.toml --out results/small --set data.per_class=10
    """
    from kmerit.runs import run as run_config

    print(f"Report: {run_config(config, out, overrides, DISPLAY.watch)}")


def trial(
    config: Experiment,
    out: Results,
    quick: Annotated[bool, typer.Option("--quick", help="A first look: 60 sequences a class, a small grid.")] = False,
    overrides: Overrides = [],  # noqa: B006 - typer copies it
) -> None:
    """Put methods on a fair trial: is each better than rankings that know nothing?

    Ends in a report card for each task, class and method. A trial that was stopped resumes when the same command
    is given again; on several processes: accelerate launch --num_processes 2 -m kmerit.cli trial ...

    Examples:
        kmerit trial bundled:trial --quick --out results/look
        kmerit trial bundled:trial --out results/trial
        kmerit trial my.toml --out results/small --set data.per_class=20
    """
    from kmerit.processes import is_first
    from kmerit.runs import trial as try_config

    path = try_config(config, out, overrides, DISPLAY.watch, DISPLAY.say, quick)
    if is_first():
        print(f"Report: {path}")


def report(
    folder: Annotated[Path, typer.Argument(help="Folder of a run.", show_default=False)],
) -> None:
    """Write the tables, the figure and the page of a run again.

    Nothing is computed; what is missing of an unfinished run is named on stderr and in the page.

    Example:
        kmerit report results/demo
    """
    from kmerit.report.folder import missing
    from kmerit.runs import rewrite_report

    path = rewrite_report(folder)
    if absent := missing(folder):
        lines = "".join(f"\n  {name}" for name in absent)
        DISPLAY.say(
            f"Missing from {str(folder)!r}, and so from the page; the run with its config fills in what is not there, "
            f"kmerit run CONFIG --out {folder}:{lines}"
        )
    print(f"Report: {path}")
