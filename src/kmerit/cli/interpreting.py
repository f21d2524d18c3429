"""Verbs that ask what scores and heads mean for DNA: motifs, heads."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from kmerit.cli import options
from kmerit.cli.options import DISPLAY, Overrides, Results

if TYPE_CHECKING:
    from kmerit.biology.motif_tests import Motifs
    from kmerit.models.model import Model
    from kmerit.sequences import Sequences


# Annotations are evaluated here, for the options are read from them; those of heavy types stand in quotes.


def motifs(
    out: Results,
    config: Annotated[
        str | None,
        typer.Argument(
            help="An experiment, TOML or bundled:NAME: its sequences, model and methods.", show_default=False
        ),
    ] = None,
    run: Annotated[Path | None, typer.Option(help="Folder of a run.", show_default=False)] = None,
    task: Annotated[str | None, typer.Option(help="Task of the run or config, if it has several.")] = None,
    sequences: Annotated[
        str | None, typer.Option(help="Sequences that were scored; as for kmerit attribute.", show_default=False)
    ] = None,
    attributions: Annotated[
        Path | None,
        typer.Option(
            help="Scores of these sequences, from: kmerit attribute; or own ones: .npy, .npz, .csv, .tsv",
            show_default=False,
        ),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(
            help="The explained model; tests which motifs it uses.",
            show_default=False,
            autocompletion=options.models,
        ),
    ] = None,
    crop: options.CropLength = None,
    anchor: options.CropPart = "left",
    min_length: options.MinLength = None,
    drop_n: options.DropN = False,
    label_column: options.LabelColumn = None,
    label: Annotated[
        int | None, typer.Option(min=0, help="Class to test; the last of two by default.", show_default=False)
    ] = None,
    meme: Annotated[
        Path | None,
        typer.Option(help="Your motifs in MEME format; JASPAR 2026 vertebrates by default.", show_default=False),
    ] = None,
    families: Annotated[
        str | None,
        typer.Option(
            help="Families to ask the model about, comma-separated, by their own or a member's name; by default those "
            "with enough hits, or enriched.",
            show_default=False,
        ),
    ] = None,
    de_novo: Annotated[
        bool,
        typer.Option("--de-novo", help="Also make motifs of the scores alone, and compare them with the families."),
    ] = False,
    modisco: Annotated[
        bool, typer.Option("--modisco", help="With --de-novo: TF-MoDISco for methods that score substitutions.")
    ] = False,
    floor: Annotated[
        list[str],
        typer.Option(
            metavar="NAME=FILE",
            help="With --de-novo: scores of the same sequences by an uninformed model, such as one trained on "
            "shuffled labels. Repeatable.",
        ),
    ] = [],  # noqa: B006 - typer copies it
    backgrounds: Annotated[
        int, typer.Option(min=100, help="Shuffled sequences into which each motif is inserted.")
    ] = 100,
    seed: Annotated[int, typer.Option(min=0, help="Random seed.")] = 0,
    overrides: Overrides = [],  # noqa: B006 - typer copies it
) -> None:
    r"""Test each family of motifs: is it enriched in the data, found by the methods, used by the model?

    Takes saved scores, a run, or a config. Writes motifs.csv (the three answers), families.meme, hits.bed and tables
    in Parquet; prints what was found but is not used, and used but not found. Interrupted work resumes.

    Examples:
        kmerit motifs --sequences my.csv --crop 200 --attributions scores.parquet --model my/ --out motifs
        kmerit motifs --run results/demo --task epdnew_nontata --out motifs
        kmerit motifs bundled:demo --task epdnew_nontata --out motifs
    """
    from kmerit.biology.motif_tests import motifs as ask
    from kmerit.errors import UsageError
    from kmerit.report.text import motif_step

    sources = [config is not None, run is not None, sequences is not None]
    if sum(sources) != 1 or (sequences is None) != (attributions is None):
        raise UsageError("Give one: a config, --run, or --sequences with --attributions (and --model).")
    if (modisco or floor) and not de_novo:
        raise UsageError("--modisco and --floor go with --de-novo.")
    if config is not None and options.share() is not None:
        raise UsageError("motifs in shares: give --run or saved scores in place of a config, which makes them first.")
    inputs: tuple[Sequences, Path, Model | None]
    if sequences is not None and attributions is not None:
        rows = options.sequences(
            sequences, crop, anchor, min_length=min_length, drop_n=drop_n, label_column=label_column
        )
        inputs = rows, attributions, None if model is None else options.model(model)
    else:
        inputs = _of_run(config, run, task, out, overrides)
    with DISPLAY.watch("motifs (parts)") as progress:
        result = ask(
            inputs[1],
            inputs[0],
            inputs[2],
            meme=meme,
            label=label,
            families=None if families is None else [name.strip() for name in families.split(",")],
            de_novo=de_novo,
            modisco=modisco,
            floors=_named(floor),
            backgrounds=backgrounds,
            seed=seed,
            out=out,
            progress=progress,
            announce=lambda step, count: None if DISPLAY.quiet else DISPLAY.write(motif_step(step, count)),
            share=options.share(),
        )
    if result is None:
        return
    _say(result)
    print(f"Motifs: {out / 'motifs.csv'}")


def heads(
    config: Annotated[
        Path, typer.Argument(help="The study, a TOML file: windows, features, stages.", show_default=False)
    ],
    out: Results,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1, mps")] = "auto",
    overrides: Overrides = [],  # noqa: B006 - typer copies it
) -> None:
    """Compare attention heads with features of DNA, across stages of training, and ablate them.

    An association counts if it survives rotation of the features along the chromosome on both halves of
    the loci, and exceeds what heads of random models reach. Writes tables (CSV, Parquet) and
    heads.html. Interrupted work resumes.

    Example:
        kmerit heads study.toml --out heads
    """
    from kmerit.biology.head_study import read_heads_config, run_heads
    from kmerit.report.page import write_heads
    from kmerit.report.text import head_lines

    study = read_heads_config(config, overrides)
    with DISPLAY.watch("heads (models)") as progress:
        result = run_heads(study, device=device, out=out, progress=progress, share=options.share())
    if result is None:
        return
    for line in head_lines(result):
        print(line)
    print(f"Report: {write_heads(result, out)}")


def _of_run(
    config: str | None, run: Path | None, task: str | None, out: Path, overrides: list[str]
) -> "tuple[Sequences, Path, Model | None]":
    from kmerit.runs.pipeline import Run
    from kmerit.runs.pipeline import run as run_config

    result = Run(run or out)
    if config is not None:
        result = run_config(config, out / "run", overrides, DISPLAY.watch, DISPLAY.write, until="attribute")
    return result.sequences(task), result.scores(task), result.model(task)


def _named(floors: list[str]) -> dict[str, Path]:
    from kmerit.errors import UsageError

    pairs = [text.partition("=") for text in floors]
    for name, sign, path in pairs:
        if not (name and sign and path):
            raise UsageError(f"--floor {name}{sign}{path}: expected NAME=FILE.")
    return {name: Path(path) for name, _, path in pairs}


def _say(result: "Motifs") -> None:
    """Print the table of what is found and what is used, by method."""
    from kmerit.report.text import motif_lines

    for line in motif_lines(result):
        print(line)
