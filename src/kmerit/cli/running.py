"""Verbs of whole experiments: run, work, workflow, trial, report, compare; finetune, pretrain."""

import contextlib
import json
import os
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from kmerit.cli import options
from kmerit.cli.options import DISPLAY, Experiment, Overrides, Results, TrialScores, columns, from_options
from kmerit.formats import fixed
from kmerit.runs.settings import Preset

if TYPE_CHECKING:
    from kmerit.io.crops import Tiles
    from kmerit.models.model import Model
    from kmerit.runs.commands import CommandConfig
    from kmerit.sequences import Sequences

# Annotations are evaluated here, for the options are read from them; those of heavy types stand in quotes.


def _refuse_quick(is_set: bool) -> None:
    from kmerit.errors import UsageError

    if is_set:
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
            help="Preset that replaces the config's [trial]; quick: at most 60 sequences per class.",
            show_default=False,
        ),
    ] = None,
    overrides: Overrides = [],  # noqa: B006 - typer copies it
    quick: Quick = False,
) -> None:
    """Run a whole experiment: from sequences to the report, with a verdict on each method.

    Ends in a report card for each task, class and method. Interrupted runs resume with the same
    command. Several processes or machines share the work with: kmerit work

    Examples:
        kmerit run bundled:demo --out results/demo
        kmerit run bundled:fair --preset quick --out results/look
        kmerit run my.toml --out results/small --set data.per_class=10
    """
    from kmerit.runs.pipeline import run as run_config

    result = run_config(config, out, overrides, DISPLAY.watch, DISPLAY.write, preset)
    print(f"Report: {result.report}")


def work(
    config: Experiment,
    out: Results,
    plan: Annotated[bool, typer.Option("--plan", help="Do all work before the mutants, once.")] = False,
    shard: Annotated[
        str | None,
        typer.Option(metavar="i/N", help="Classify the i-th of N shares of the mutants.", show_default=False),
    ] = None,
    gather: Annotated[bool, typer.Option("--gather", help="Join all shares, and finish the run.")] = False,
    preset: Annotated[Preset | None, typer.Option(help="Preset; as for kmerit run.", show_default=False)] = None,
    overrides: Overrides = [],  # noqa: B006 - typer copies it
) -> None:
    """Run an experiment in parts, on several processes or machines that share a folder.

    Give --plan first, then every share in any order (give a stopped share again), then --gather. Writes the files of
    kmerit run. All parts take the same config, preset and --set. A config may hold a command
    of attribute, trial, variants, motifs or heads instead: command = "attribute --model ..."; --out is its output.

    Examples:
        kmerit work bundled:demo --out results/demo --plan
        kmerit work bundled:demo --out results/demo --shard 1/2
        kmerit work bundled:demo --out results/demo --shard 2/2
        kmerit work bundled:demo --out results/demo --gather
    """
    from kmerit.errors import UsageError
    from kmerit.runs.commands import command_of
    from kmerit.runs.pipeline import work as do_part
    from kmerit.store import Share, worked_by

    if plan + gather + (shard is not None) != 1:
        raise UsageError("kmerit work: expected one of --plan, --shard i/N and --gather.")
    share: Any = Share.parse(shard) if shard is not None else "plan" if plan else "gather"
    given = [*(["--preset", preset] if preset else []), *(word for each in overrides for word in ("--set", each))]
    with worked_by(shlex.join(["kmerit", "work", str(config), "--out", str(out), *given])):
        if (command := command_of(config, preset, overrides)) is not None:
            _do_part_of(command, config.parent, out, share)
        else:
            result = do_part(config, out, share, overrides, DISPLAY.watch, DISPLAY.write, preset)
            if gather:
                print(f"Report: {result.report}")
    if not gather:
        print(f"Plan: {out}" if plan else f"Share {shard}: {out}")


def _do_part_of(config: "CommandConfig", folder: Path, out: Path, share: Any) -> None:
    """Do a part of a verb's work; paths of its command are relative to the folder of its config.

    Raises:
        typer.Exit: The verb ended with another code than 0.
    """
    from kmerit.cli.app import app  # which has every verb, this one too
    from kmerit.runs.pipeline import threads

    words = [*config.words, "--out", os.path.abspath(out), *(["--quiet"] if DISPLAY.quiet else [])]
    words += ["--verbose"] if DISPLAY.verbose else []
    with contextlib.chdir(folder), threads(config.threads), options.sharing(share):
        if code := app(words, prog_name="kmerit", standalone_mode=False):
            raise typer.Exit(code)  # of a verb that was stopped, which has said so


def workflow(
    config: Experiment,
    out: Annotated[
        Path, typer.Option("--out", help="Output folder of the workflow and of its run.", show_default=False)
    ],
    shares: Annotated[int, typer.Option(help="Shares of the mutants.")] = 8,
    preset: Annotated[Preset | None, typer.Option(help="Preset; as for kmerit run.", show_default=False)] = None,
    overrides: Overrides = [],  # noqa: B006 - typer copies it
) -> None:
    """Write a workflow that runs an experiment in shares: Snakefile, profiles (local, SLURM), Kubernetes jobs.

    Examples:
        kmerit workflow bundled:demo --out results/flow --shares 2 --set compute.threads=1
    """
    from kmerit.runs.workflow import threads_of_a_part, write_workflow

    snakefile = write_workflow(config, out, shares, overrides, preset)
    if (threads := threads_of_a_part(config, overrides, preset)) > 1:
        DISPLAY.write(
            f"Each part takes {threads} threads: Snakemake makes one share for every {threads} of its --cores at once. "
            f"For one for every core: --set compute.threads=1 (in a config with a command, threads = 1)."
        )
    print(f"Workflow: {snakefile}")


@from_options(sequences=options.sequences, model=options.model, tiles=options.tiles)
def trial(
    sequences: "Sequences",
    model: "Model",
    tiles: "Tiles | None",
    attributions: TrialScores,
    out: Results,
    preset: Annotated[Preset, typer.Option(help="Preset of the trial.")] = "fair",
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

    Writes the raw outcomes (outcomes/), every measure, and a card per class and method (cards.md, cards.json).
    Interrupted trials resume with the same command.

    Example:
        kmerit trial --model bundled:promoter --sequences my.fa --crop 251 \
            --attributions scores.parquet --preset quick --out judged
    """
    from kmerit.attribution.own_scores import scores_for_trial
    from kmerit.config import read_toml
    from kmerit.errors import UsageError
    from kmerit.report import text
    from kmerit.report.table1 import write_cards_md
    from kmerit.runs.settings import GridTable, grid
    from kmerit.store import refuse_strangers
    from kmerit.trials.measures import FILES, write_cards
    from kmerit.trials.outcomes import read_outcomes
    from kmerit.trials.trial import trial as put_on_trial

    keys = read_toml(None, overrides)
    for table in ("trial", "grid"):
        if table in keys:
            raise UsageError(f"--set {table}.KEY=VALUE: kmerit trial takes the key alone, --set KEY=VALUE.")
    design = grid(GridTable.parse({"preset": preset, **keys}))
    refuse_strangers(out, "a trial", lambda entry: entry.name in ("outcomes", "cards.md", *FILES))
    with DISPLAY.watch("trial") as progress:
        folder = put_on_trial(
            model,
            sequences,
            scores_for_trial(attributions),
            design,
            seed=seed,
            out=out / "outcomes",
            progress=progress,
            announce=lambda prospects: DISPLAY.write("\n".join(map(text.prospect, prospects))),
            share=options.share(),
            tiles=tiles,
            judging={"resamples": resamples},
        )
    if options.is_part():
        return
    write_cards(read_outcomes(folder), out, resamples=resamples, seed=seed)
    print(f"Report cards: {write_cards_md(out, model=model.digest)}")


def report(
    folder: Annotated[Path, typer.Argument(help="Folder of a run.", show_default=False)],
) -> None:
    """Rewrite the tables, figures and page of a run.

    Computes nothing. For an unfinished run, names the missing results on stderr and in the page.

    Example:
        kmerit report results/demo
    """
    from kmerit.report.load import missing
    from kmerit.runs.pipeline import rewrite_report

    path = rewrite_report(folder)
    if absent := missing(folder):
        lines = "".join(f"\n  {name}" for name in absent)
        DISPLAY.write(
            f"Missing from {str(folder)!r}, and so from the page; the run with its config adds it, "
            f"kmerit run CONFIG --out {folder}:{lines}"
        )
    print(f"Report: {path}")


def compare(
    runs: Annotated[
        list[str],
        typer.Argument(metavar="[NAME=]RUN...", help="Folders of kmerit run or kmerit trial.", show_default=False),
    ],
    out: Results,
    task: Annotated[str | None, typer.Option(help="Task of the runs, if they have several.")] = None,
    scores: Annotated[
        list[str],
        typer.Option(
            metavar="NAME=FILE",
            help="Scores that a folder of kmerit trial ranked; runs hold theirs. Repeatable.",
            show_default=False,
        ),
    ] = [],  # noqa: B006 - typer copies it
    resamples: Annotated[int, typer.Option(min=100, help="Bootstrap draws of each interval.")] = 2000,
    seed: Annotated[int, typer.Option(min=0, help="Random seed.")] = 0,
) -> None:
    r"""Compare two or more runs, models or seeds on the same sequences.

    Writes the paired differences of each method's excess, the agreement of the scores position by position, and the
    verdicts side by side: compare.html, compare.md and tables. Other sequences, crops or settings are refused.

    Examples:
        kmerit compare results/seed0 results/seed1 --task mine --out compared
        kmerit compare old=results/seed0 new=results/seed1 --resamples 5000 --out compared
    """
    from kmerit.errors import UsageError
    from kmerit.report.text import sentence
    from kmerit.runs.compare import compare as put_side_by_side
    from kmerit.runs.compare import named

    pairs = [each.partition("=") for each in scores]
    if entry := next(
        (each for each, (name, equals, path) in zip(scores, pairs, strict=True) if not (name and path)), None
    ):
        raise UsageError(f"--scores {entry}: expected NAME=FILE, with the name of a run.")
    files = {name: path for name, _, path in pairs}
    result = put_side_by_side(named(runs), task=task, scores=files, resamples=resamples, seed=seed, out=out)
    for each in result.remarks:
        DISPLAY.write(sentence(each))
    print(f"Report: {out / 'compare.html'}")


Recipe = Annotated[
    Path | None,
    typer.Option("--config", help="Recipe, a TOML file; other options override it.", show_default=False),
]
Folder = Annotated[Path, typer.Option(help="Output folder of the model; reuse it to resume.", show_default=False)]


def finetune(
    out: Folder,
    base: Annotated[
        str | None, typer.Option(help="Model to start from: folder, hub name, or bundled:NAME.", show_default=False)
    ] = None,
    task: Annotated[
        str | None, typer.Option(help="Registered task; see: kmerit list tasks", show_default=False)
    ] = None,
    train: Annotated[
        str | None,
        typer.Option(help="Your labelled training sequences: a file, or a folder with splits.", show_default=False),
    ] = None,
    validation: Annotated[
        str | None,
        typer.Option(
            help="Your validation sequences, to choose the checkpoint; a part of --train by default.",
            show_default=False,
        ),
    ] = None,
    test: Annotated[
        str | None, typer.Option(help="Your test sequences, measured once at the end.", show_default=False)
    ] = None,
    labels: Annotated[
        str | None,
        typer.Option(help="Columns of several labels (0 or 1) or values, comma-separated.", show_default=False),
    ] = None,
    architecture: Annotated[
        str | None,
        typer.Option(
            help="Of a new model: bert (over k-mers), hyenadna (nucleotides, long contexts), or enformer (values).",
            show_default=False,
        ),
    ] = None,
    config: Recipe = None,
    overrides: Overrides = [],  # noqa: B006 - typer copies it
) -> None:
    r"""Fine-tune a pre-trained model on labelled sequences.

    The default recipe is the paper's. Interrupted training resumes.

    Examples:
        kmerit finetune --base bundled:encoder --train mine.csv --out models/mine
        kmerit finetune --base zhihan1996/DNA_bert_6 --out models/promoters \
            --task human_nontata_promoters --set epochs=3
        kmerit finetune --base bundled:encoder --train cells.csv --labels K562,HepG2 --out models/cells
        kmerit finetune --architecture enformer --train planted/sequences.csv --out models/values \
            --set hidden=48 --set heads=2
    """
    from kmerit.training import finetune as train_model
    from kmerit.training.recipe import FinetuneConfig

    settings: dict[str, Any] = {"base": base, "task": task, "train": train, "validation": validation, "test": test}
    settings["labels"] = None if labels is None else columns(labels)
    settings["architecture"] = architecture
    if architecture == "enformer":
        settings["regression"] = True  # it predicts nothing else
    recipe = FinetuneConfig.parse(_recipe(config, overrides, settings))
    with DISPLAY.watch("fine-tuning") as progress:
        folder = train_model(recipe, out, progress=progress)
    for line in _results(folder):
        DISPLAY.write(line)
    print(folder)


def pretrain(
    out: Folder,
    corpus: Annotated[list[str], typer.Option(help="FASTA to train on. Repeatable.", show_default=False)] = [],  # noqa: B006 - typer copies it
    config: Recipe = None,
    overrides: Overrides = [],  # noqa: B006 - typer copies it
) -> None:
    """Pre-train a new DNABERT on masked k-mers of your FASTA.

    Example:
        kmerit pretrain --corpus genome.fa.gz --out models/encoder --set layers=3
    """
    from kmerit.training import pretrain as train_model
    from kmerit.training.recipe import PretrainConfig

    recipe = PretrainConfig.parse(_recipe(config, overrides, {"corpus": corpus or None}))
    with DISPLAY.watch("pre-training") as progress:
        print(train_model(recipe, out, progress=progress))


def _results(folder: Path) -> list[str]:
    """Report validation and test metrics, and the baselines on the same rows."""
    from kmerit.training import card

    log = json.loads((folder / "training_log.json").read_text(encoding="utf-8"))["log"]
    metrics = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
    lines = []
    if validated := [entry for entry in log if "eval_loss" in entry]:
        values = ", ".join(
            f"{name.removeprefix('eval_')} {fixed(value)}"
            for name, value in validated[-1].items()
            if name.startswith("eval_")
        )
        lines.append(f"validation, last of {len(validated)}: {values}")
    split, columns = None, []
    if (table := card.metrics_table(metrics)) is not None:
        split, columns = table["split"], table["columns"][1:]
        for label, *values in table["rows"]:
            lines.append(f"{split}, {label}: " + ", ".join(map(" ".join, zip(columns, values, strict=True))))
    if split != "test":
        lines.append("test: not measured; give test rows (--test) for that")
    return lines


def _recipe(config: Path | None, overrides: list[str], options_set: dict[str, Any]) -> dict[str, Any]:
    """Join a recipe's file, the options, and ``--set``; the later wins."""
    from kmerit.config import merge, parse_override, read_toml

    recipe = read_toml(config) | {key: value for key, value in options_set.items() if value is not None}
    for override in overrides:
        merge(recipe, parse_override(override))
    return recipe
