"""Verbs on data sets and studies: audit, split, negatives; plant, planted, leakage, backgrounds, study,
sanity, calibrate.
"""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from kmerit.cli import options
from kmerit.cli.options import DISPLAY, Out, Overrides, Quiet, Results, Study, Verbose, from_options
from kmerit.datasets.negatives import Kind
from kmerit.datasets.planting import Negatives, Regime, Unit, Windows
from kmerit.datasets.split import By
from kmerit.datasets.task import Split
from kmerit.sequences import Strands

if TYPE_CHECKING:
    from kmerit.datasets.findings import Config
    from kmerit.datasets.reading import Reading
    from kmerit.models.model import Model
    from kmerit.sequences import Sequences

# Annotations are evaluated here, for the options are read from them; those of heavy types stand in quotes.


Given = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="DATA",
        help="A task's name, a file with a column 'split', a folder, or several files: train=a.csv test=b.csv",
        show_default=False,
    ),
]
Data = Annotated[
    list[str], typer.Option("--data", help="Data set; the same as the argument. Repeatable.", show_default=False)
]


def gather(arguments: list[str] | None, data: list[str]) -> list[str]:
    """Join the data sets named by argument and by option.

    Raises:
        UsageError: None is named.
    """
    from kmerit.errors import UsageError

    paths = [*(arguments or ()), *data]
    if not paths:
        raise UsageError("Which data set? Give a file, a folder or a task's name: --data my.csv")
    return paths


def reading(
    genome: Annotated[
        Path | None,
        typer.Option(help="Genome FASTA: to extract intervals and to check coordinates.", show_default=False),
    ] = None,
    classes: Annotated[str | None, typer.Option(help="Class names in label order, comma-separated.")] = None,
    sequence_column: options.SequenceColumn = None,
    label_column: options.LabelColumn = None,
    name_column: options.NameColumn = None,
    split_column: Annotated[
        str | None, typer.Option(help="Column of the splits; recognised by its name if omitted.")
    ] = None,
    case: options.AnyCase = "upper",
    rename: options.Rename = False,
    width: options.Width = None,
    min_length: Annotated[int, typer.Option(min=1, help="Drop shorter rows.")] = 1,
    ignore_coordinates: Annotated[bool, typer.Option("--ignore-coordinates", help="Ignore coordinates.")] = False,
) -> "Reading":
    """Build the options of reading."""
    from kmerit.datasets.reading import Reading

    return Reading(
        sequence_column=sequence_column,
        label_column=label_column,
        name_column=name_column,
        split_column=split_column,
        classes=None if classes is None else tuple(name.strip() for name in classes.split(",")),
        case=case,
        rename=rename,
        genome=genome,
        width=width,
        coordinates=not ignore_coordinates,
        min_length=min_length,
    )


def config(
    config: Annotated[
        Path | None,
        typer.Option(
            "--config", "--thresholds", help="A TOML file with the tables thresholds and settings.", show_default=False
        ),
    ] = None,
    overrides: Overrides = [],  # noqa: B006 - typer copies it
) -> "Config":
    """Read the thresholds and settings."""
    from kmerit.config import read_toml
    from kmerit.datasets.findings import Config

    return Config.parse(read_toml(config, overrides))


@from_options(reading=reading, config=config)
def audit(
    reading: "Reading",
    config: "Config",
    out: Annotated[Path, typer.Option(help="Output folder of the page and the numbers.", show_default=False)],
    given: Given = None,
    data: Data = [],  # noqa: B006 - typer copies it
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    r"""Check a data set for what could mislead a trial: leaks, easy features, contradictory labels.

    Writes audit.html and audit.json. Exits with code 3 if a threshold set in the config (or by --set) is exceeded;
    other findings are only reported. Lines that begin with "gap" name what could not be checked: exit code 0 says
    nothing about it.

    Examples:
        kmerit audit human_enhancers_dedup --out audit
        kmerit audit train=my_train.csv test=my_test.csv --out audit --set thresholds.copied=0.01
        kmerit audit --data datasets/human_enhancers_ensembl --out audit --json
    """
    from kmerit.datasets.audit import audit as look
    from kmerit.report import text
    from kmerit.report.page import write_audit
    from kmerit.store import hold

    with hold(out), DISPLAY.watch("auditing (steps)") as progress:
        result = look(gather(given, data), config=config, reading=reading, progress=progress)
        page = write_audit(result, out)
    if as_json:
        print(result.to_json(), end="")
    else:
        for finding in map(text.finding, result.findings):
            print(f"{'STOP' if finding.severity == 'failure' else 'note'}  {finding.text}\n      {finding.remedy}")
        for gap in result.unchecked:
            print(f"gap   {text.sentence(gap)}")
        print(page)
    if result.stops:
        raise typer.Exit(3)


@from_options(reading=reading, config=config)
def split(
    reading: "Reading",
    config: "Config",
    out: Annotated[Path, typer.Option(help="Output folder of the splits and their manifest.", show_default=False)],
    given: Given = None,
    data: Data = [],  # noqa: B006 - typer copies it
    test: Annotated[float, typer.Option(help="Share of the rows.")] = 0.2,
    validation: Annotated[float, typer.Option(help="Share of the rows; 0 for none.")] = 0.0,
    by: Annotated[By, typer.Option(help="Unit that stays in one split: linked rows, or whole chromosomes.")] = "group",
    chromosomes: Annotated[
        str,
        typer.Option(
            help="With --by chromosome: the chromosomes of the test split, comma-separated.", show_default=False
        ),
    ] = "",
    near: Annotated[int, typer.Option(min=0, help="Link loci at most this many nt apart.")] = 1000,
    seed: Annotated[int, typer.Option(min=0, help="Random seed.")] = 0,
    verbose: Verbose = False,
) -> None:
    """Split a data set without copies and without leaks between the splits.

    Removes copies on either strand and rows with contradictory labels; keeps near copies and neighbours together.

    Examples:
        kmerit split my.csv --out splits --test 0.2 --validation 0.1
        kmerit split --data datasets/human_enhancers_ensembl --out splits --by chromosome --chromosomes chr8,chr9
    """
    from kmerit.datasets.findings import Gap
    from kmerit.datasets.split import check_written, refuse_own_input, write_split
    from kmerit.datasets.split import split as divide
    from kmerit.report import text
    from kmerit.store import hold

    paths = gather(given, data)
    refuse_own_input(out, paths)
    with hold(out):
        check_written(out)
        division = divide(
            paths,
            test=test,
            validation=validation,
            by=by,
            chromosomes=[name.strip() for name in chromosomes.split(",") if name.strip()],
            near=near,
            seed=seed,
            settings=config.settings,
            reading=reading,
        )
        counts = ", ".join(f"{count} {reason.replace('_', ' ')}" for reason, count in division.dropped.items())
        DISPLAY.write(f"Kept {len(division.dataset)} rows; dropped {counts}.")
        if division.settings["not_read"]:
            DISPLAY.write(f"Not read: {', '.join(division.settings['not_read'])}.")
        for gap in division.settings["gaps"]:
            DISPLAY.write(text.sentence(Gap(**gap)))
        print(write_split(division, out))


def negatives(
    positives: Annotated[
        str,
        typer.Option(help="FASTA, CSV, TSV or Parquet of the positives; or BED or narrowPeak.", show_default=False),
    ],
    kind: Annotated[Kind, typer.Option(help="Source of the negatives.", show_default=False)],
    out: Annotated[Path, typer.Option(help="Output file; its suffix sets the format.", show_default=False)],
    genome: Annotated[
        Path | None, typer.Option(help="Genome FASTA to draw windows from, plain or gzipped.", show_default=False)
    ] = None,
    gtf: Annotated[
        Path | None, typer.Option(help="Genes, for gene_body; the task epdnew_nontata by default.", show_default=False)
    ] = None,
    per_positive: Annotated[int, typer.Option(min=1, help="Negatives for each positive.")] = 1,
    split: Annotated[Split, typer.Option(help="Split of epdnew_nontata that gene_body resamples.")] = "train",
    case: options.AnyCase = "upper",
    rename: options.Rename = False,
    width: options.Width = None,
    with_positives: Annotated[
        bool, typer.Option("--with-positives", help="Write the positives, too, labelled 1.")
    ] = False,
    seed: Annotated[int, typer.Option(min=0, help="Random seed.")] = 0,
    verbose: Verbose = False,
) -> None:
    """Generate a negative set for positives: random genome, GC-matched, shuffled, or from gene bodies.

    Every row is as long as its positive; genome windows overlap neither the positives nor each other. Positives may be
    intervals (BED, narrowPeak), extracted from the genome; --with-positives writes both into one labelled file.

    Examples:
        kmerit negatives --positives my.fa --kind shuffled --out background.fa
        kmerit negatives --positives my.csv --kind gc --genome hg38.fa --out background.csv --seed 1
        kmerit negatives --positives peaks.narrowPeak --width 200 --kind gc --genome hg38.fa --with-positives \
            --out train.csv
    """
    from kmerit.datasets.negatives import labelled, make_negatives
    from kmerit.io.bed import are_intervals
    from kmerit.io.readers import read_sequences, write_sequences

    intervals = are_intervals(positives)
    rows = read_sequences(positives, case=case, rename=rename, genome=genome if intervals else None, width=width)
    if rows.labels is not None and (rows.labels == 0).any() and (rows.labels == 1).any():
        rows = rows.take(rows.labels == 1)
        DISPLAY.write(f"{positives}: the {len(rows)} rows of class 1 are taken as the positives.")
    made_rows = make_negatives(rows, kind, genome=genome, gtf=gtf, per_positive=per_positive, split=split, seed=seed)
    write_sequences(labelled(rows, made_rows) if with_positives else made_rows, out)
    print(out)


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
    """Generate sequences with known ground truth: which nucleotides determine the label.

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
    """Plant leaks class by class, and test whether accuracy falls with the leak or with the default label.

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
    from kmerit.studies.backgrounds import BackgroundsConfig, run_backgrounds
    from kmerit.trials.measures import Change

    report = run_backgrounds(BackgroundsConfig.parse(read_toml(config, overrides)), out, DISPLAY.watch)
    for change in json.loads(report.with_suffix(".json").read_text(encoding="utf-8"))["changes"]:
        DISPLAY.write(f"warning: {sentence(Change(**change))}")
    print(f"Report: {report}")


def study(
    config: Study,
    out: Results,
    shard: Annotated[
        str | None,
        typer.Option(
            metavar="i/N", help="Train, score and try the i-th of N shares of the models.", show_default=False
        ),
    ] = None,
    overrides: Overrides = [],  # noqa: B006 - typer copies it
) -> None:
    """Cross tasks, lengths, models or seeds, operators and methods, and see what verdicts depend on.

    Writes one table (study.parquet), the methods' agreement, shares of the variance, and a page. Interrupted studies
    resume; seeds and operators may be computed in parts. Several processes or machines that see one folder do a share
    each (--shard); then the command without --shard does what is left and writes the results.

    Examples:
        kmerit study bundled:regimes --out results/regimes
        kmerit study bundled:regimes --out results/regimes --shard 1/2
    """
    import kmerit as km

    made = km.study(config, out, overrides, DISPLAY.watch, shard=shard)
    print(f"Report: {made}" if shard is None else f"Share {shard}: {made}")


@from_options(sequences=options.sequences, model=options.model)
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
        kmerit sanity --model bundled:promoter --sequences my.fa --crop 251 --out sanity
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


@from_options(sequences=options.sequences, model=options.model)
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
    calibrations resume. --set overrides settings such as pool, others, methods, sizes and experiments.

    Examples:
        kmerit calibrate --model bundled:promoter --sequences my.csv --crop 251 --quick --out calibration
        kmerit calibrate --model my/ --sequences my.csv --out calibration --set pool=1000 --set 'sizes=[100]'
    """
    from kmerit.config import read_toml
    from kmerit.studies.calibration import calibrate as run

    folder = run(model, sequences, out, quick=quick, watch=DISPLAY.watch, **read_toml(None, overrides))
    print(f"Report: {folder / 'calibration.md'}")
