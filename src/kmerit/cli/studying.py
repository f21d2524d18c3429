"""Verbs of studies: plant, planted, leakage, backgrounds, sanity, calibrate."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from kmerit.cli import options
from kmerit.cli.options import DISPLAY, Out, Overrides, Results, Study, made
from kmerit.datasets.planting import Negatives, Regime, Unit, Windows
from kmerit.sequences import Strands

if TYPE_CHECKING:
    from kmerit.models.model import Model
    from kmerit.sequences import Sequences


# Annotations are evaluated here, for the options are read from them; those of heavy types stand in quotes.


def plant(
    regime: Annotated[Regime, typer.Option(help="Signal that defines class 1.", show_default=False)],
    out: Annotated[Path, typer.Option(help="Output folder of the data set.", show_default=False)],
    motifs: Annotated[str, typer.Option(help="Motif names, comma-separated: one for localised, else two.")] = "",
    meme: Annotated[
        str | None, typer.Option(help="Your MEME file; twelve JASPAR motifs by default.", show_default=False)
    ] = None,
    background: Annotated[Windows, typer.Option(help="Windows unchanged, or with dinucleotides shuffled.")] = (
        "shuffled"
    ),
    source: Annotated[
        str, typer.Option(help="Source of the windows: a task (its class 0), or your sequences.")
    ] = "epdnew_nontata",
    negatives: Annotated[
        Negatives, typer.Option(help="Class 0: other windows, GC-matched windows, or shuffled positives.")
    ] = ("random"),
    length: Annotated[int, typer.Option(min=1, help="Sequence length in nucleotides.")] = 100,
    train: Annotated[int, typer.Option(min=2, help="Training sequences, half of each class.")] = 8000,
    validation: Annotated[int, typer.Option(min=2, help="Validation sequences.")] = 500,
    test: Annotated[int, typer.Option(min=2, help="Test sequences.")] = 500,
    match: Annotated[float, typer.Option(help="Share of a motif's highest score that counts as a match.")] = 0.7,
    strands: Annotated[Strands, typer.Option(help="Strands to plant motifs on.")] = "forward",
    distance: Annotated[int, typer.Option(min=0, help="spacing: nucleotides between the motifs in class 1.")] = 6,
    apart: Annotated[int, typer.Option(min=1, help="spacing: minimum difference of the distance in class 0.")] = 4,
    unit: Annotated[Unit, typer.Option(help="composition: unit whose frequency differs.")] = "base",
    strength: Annotated[float, typer.Option(help="composition: spread of the log-odds, in nats.")] = 0.4,
    seed: Annotated[int, typer.Option(min=0, help="Random seed.")] = 0,
) -> None:
    """Generate sequences with known ground truth: which nucleotides make the label.

    Writes three splits with labels, the truth of each (train.truth.parquet ...), and a manifest.

    Examples:
        kmerit plant --regime localised --motifs CTCF --out planted/ctcf
        kmerit plant --regime and --motifs USF1,NFYA --negatives gc_matched --out planted/both
    """
    from kmerit.datasets.planting import Planting
    from kmerit.datasets.planting import plant as make

    planting = Planting(
        regime=regime,
        motifs=tuple(name.strip() for name in motifs.split(",") if name.strip()),
        meme=meme,
        length=length,
        train=train,
        validation=validation,
        test=test,
        background=background,
        source=source,
        negatives=negatives,
        match=match,
        strands=strands,
        distance=distance,
        apart=apart,
        unit=unit,
        strength=strength,
        seed=seed,
    )
    print(make(planting, out=out))


def planted(
    config: Study,
    out: Results,
    overrides: Overrides = [],  # noqa: B006 - typer copies it
) -> None:
    """Compare the trial's ranking of attribution methods with known ground truth.

    Per data set: plant, train a small model, check that it learned, run the methods, and put them on trial.
    Interrupted studies resume.

    Example:
        kmerit planted bundled:planted --out results/planted
    """
    from kmerit.config import read_toml
    from kmerit.studies.planted import PlantedConfig, run_planted

    print(f"Report: {run_planted(PlantedConfig.parse(read_toml(config, overrides)), out, DISPLAY.watch)}")


def leakage(
    config: Study,
    out: Results,
    overrides: Overrides = [],  # noqa: B006 - typer copies it
) -> None:
    """Plant leaks class by class: does the collapse under mutation follow the leak or the default label?

    Trains a model for each arm (leaks in no class, one, the other, both) and seed, and runs the same trial on each.
    Interrupted studies resume.

    Example:
        kmerit leakage bundled:leakage --out results/leakage
    """
    from kmerit.config import read_toml
    from kmerit.studies.leakage import LeakageConfig, run_leakage

    print(f"Report: {run_leakage(LeakageConfig.parse(read_toml(config, overrides)), out, DISPLAY.watch)}")


def backgrounds(
    config: Study,
    out: Results,
    overrides: Overrides = [],  # noqa: B006 - typer copies it
) -> None:
    """Retrain on other negative sets and compare verdicts.

    Warns wherever the ranking of methods, or the class with the larger drop, changes between backgrounds. Interrupted
    studies resume.

    Example:
        kmerit backgrounds bundled:negatives --out results/negatives
    """
    from kmerit.config import read_toml
    from kmerit.report.text import sentence
    from kmerit.studies.backgrounds import BackgroundsConfig, Change, run_backgrounds

    written = run_backgrounds(BackgroundsConfig.parse(read_toml(config, overrides)), out, DISPLAY.watch)
    for change in json.loads(written.with_suffix(".json").read_text(encoding="utf-8"))["changes"]:
        DISPLAY.say(f"warning: {sentence(Change(**change))}")
    print(f"Report: {written}")


@made(sequences=options.sequences, model=options.model)
def sanity(
    sequences: "Sequences",
    model: "Model",
    out: Out,
    methods: Annotated[str, options.methods()] = (
        "attention,rollout,gradcam,lrp,full_lrp,input_x_gradient,integrated_gradients"
    ),
    recipe: Annotated[
        Path | None,
        typer.Option(help="Training recipe (TOML): retrain the model on shuffled labels and with other seeds."),
    ] = None,
    seeds: Annotated[int, typer.Option(min=0, help="With --recipe: number of other seeds.")] = 1,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the random weights and labels.")] = 0,
    resamples: Annotated[int, typer.Option(min=100, help="Bootstrap draws of each interval.")] = 2000,
) -> None:
    r"""Check that scores depend on what they should: the class, the weights, the labels, the strand.

    Writes sanity.json and sanity.md: every check with its interval over the sequences.

    Examples:
        kmerit sanity --model bundled:promoter --sequences my.fa --crop 200 --out sanity
        kmerit sanity --model my/ --sequences my.csv --recipe recipe.toml --out sanity
    """
    from kmerit.config import read_toml
    from kmerit.studies.sanity import SanityConfig, run_sanity

    settings: dict[str, Any] = {
        "methods": [name.strip() for name in methods.split(",") if name.strip()],
        "recipe": None if recipe is None else read_toml(recipe),
        "seeds": seeds,
        "seed": seed,
        "resamples": resamples,
    }
    print(f"Report: {run_sanity(model, sequences, SanityConfig.parse(settings), out, DISPLAY.watch)}")


@made(sequences=options.sequences, model=options.model)
def calibrate(
    sequences: "Sequences",
    model: "Model",
    out: Results,
    quick: Annotated[bool, typer.Option("--quick", help="Small pools, in minutes: effects, but no proof of rates.")] = (
        False
    ),
    overrides: Overrides = [],  # noqa: B006 - typer copies it
) -> None:
    r"""Measure how often verdicts err on your model: null rankings called faithful, or worse.

    Sequences need labels and one length. Writes calibration.md: effects, rates and their bounds. Interrupted
    calibrations resume. The keys of --set are those of kmerit.studies.calibration.CalibrationConfig.

    Examples:
        kmerit calibrate --model bundled:promoter --sequences my.csv --crop 200 --quick --out calibration
        kmerit calibrate --model my/ --sequences my.csv --out calibration --set pool=1000 --set 'sizes=[100]'
    """
    from kmerit.config import read_toml
    from kmerit.studies.calibration import calibrate as run

    folder = run(model, sequences, out, quick=quick, watch=DISPLAY.watch, **read_toml(None, overrides))
    print(f"Report: {folder / 'calibration.md'}")
