"""Verbs of whole experiments: run, trial, report."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from kmerit.cli import options
from kmerit.cli.options import DISPLAY, Experiment, Overrides, Results, made

if TYPE_CHECKING:
    from kmerit.models.model import Model
    from kmerit.sequences import Sequences


# Annotations are evaluated here, for the options are read from them; those of heavy types stand in quotes.


Preset = Literal["fair", "paper", "quick"]


def _refuse_quick(asked: bool) -> None:
    from kmerit.errors import UsageError

    if asked:
        raise UsageError("--quick is now: --preset quick")


def _refuse_config(config: str | None) -> None:
    from kmerit.errors import UsageError

    if config is not None:
        raise UsageError(f"kmerit trial takes scores, not a config. Use: kmerit run {config} --out DIR")


Quick = Annotated[bool, typer.Option("--quick", hidden=True, is_eager=True, callback=_refuse_quick)]


def run(
    config: Experiment,
    out: Results,
    preset: Annotated[
        Preset | None,
        typer.Option(
            help="What the trial mutates, in place of the config's [trial]; quick: 60 sequences a class at most.",
            show_default=False,
        ),
    ] = None,
    overrides: Overrides = [],  # noqa: B006 - typer copies it
    quick: Quick = False,
) -> None:
    """Run a whole experiment: from sequences to the report, with a verdict on each method.

    Ends in a report card for each task, class and method. Interrupted runs resume with the same
    command; several processes share the work: accelerate launch --num_processes 2 -m kmerit.cli run ...

    Examples:
        kmerit run bundled:demo --out results/demo
        kmerit run bundled:fair --preset quick --out results/look
        kmerit run my.toml --out results/small --set data.per_class=10
    """
    from kmerit.processes import is_first
    from kmerit.runs.pipeline import run as run_config

    path = run_config(config, out, overrides, DISPLAY.watch, DISPLAY.say, preset)
    if is_first():
        print(f"Report: {path}")


@made(sequences=options.sequences, model=options.model)
def trial(
    sequences: "Sequences",
    model: "Model",
    attributions: Annotated[
        list[str],
        typer.Option(
            metavar="[NAME=]FILE",
            help="Scores of the same sequences, from kmerit attribute, or your own (.npy, .npz). Repeatable.",
            show_default=False,
        ),
    ],
    out: Results,
    preset: Annotated[Preset, typer.Option(help="What the trial mutates.")] = "fair",
    overrides: Annotated[
        list[str], typer.Option("--set", metavar="KEY=VALUE", help="Override a key of the preset, such as draws=1.")
    ] = [],  # noqa: B006 - typer copies it
    resamples: Annotated[int, typer.Option(min=100, help="Bootstrap draws of each interval.")] = 2000,
    seed: Annotated[int, typer.Option(min=0, help="Random seed.")] = 0,
    config: Annotated[
        str | None, typer.Argument(hidden=True, is_eager=True, callback=_refuse_config, show_default=False)
    ] = None,
    quick: Quick = False,
) -> None:
    r"""Put saved or own scores on trial: is each method better than its controls?

    Writes the raw outcomes (curve/), every measure, and a report card for each class and method (cards.md, cards.json).
    Interrupted trials resume with the same command.

    Example:
        kmerit trial --model bundled:promoter --sequences my.fa --crop 200 \
            --attributions scores.parquet --preset quick --out judged
    """
    from kmerit.attribution.own_scores import read_scores
    from kmerit.config import read_toml
    from kmerit.processes import is_first
    from kmerit.report import text
    from kmerit.report.table1 import write_cards_md
    from kmerit.runs.settings import GridTable, grid
    from kmerit.store import refuse_strangers
    from kmerit.trials.cards import FILES, write_cards
    from kmerit.trials.outcomes import read_outcomes
    from kmerit.trials.trial import trial as put_on_trial

    design = grid(GridTable.parse({"preset": preset, **read_toml(None, overrides)}))
    refuse_strangers(out, "a trial", lambda entry: entry.name in ("curve", "cards.md", *FILES))
    with DISPLAY.watch("trial") as progress:
        folder = put_on_trial(
            model,
            sequences,
            read_scores(attributions),
            design,
            seed=seed,
            out=out / "curve",
            progress=progress,
            announce=lambda found: DISPLAY.say("\n".join(map(text.prospect, found))) if is_first() else None,
        )
    if is_first():
        write_cards(read_outcomes(folder), out, resamples=resamples, seed=seed)
        print(f"Report cards: {write_cards_md(out)}")


def report(
    folder: Annotated[Path, typer.Argument(help="Folder of a run.", show_default=False)],
) -> None:
    """Write the tables, the figure and the page of a run again.

    Nothing is computed; what is missing of an unfinished run is named on stderr and in the page.

    Example:
        kmerit report results/demo
    """
    from kmerit.report.load import missing
    from kmerit.runs.pipeline import rewrite_report

    path = rewrite_report(folder)
    if absent := missing(folder):
        lines = "".join(f"\n  {name}" for name in absent)
        DISPLAY.say(
            f"Missing from {str(folder)!r}, and so from the page; the run with its config fills in what is not there, "
            f"kmerit run CONFIG --out {folder}:{lines}"
        )
    print(f"Report: {path}")
