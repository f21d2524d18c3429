"""Verbs on the user's own model and sequences: predict, attribute, export, mutate."""

# Annotations are evaluated here, for the options are read from them; those of heavy types stand in quotes.
import shlex
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from kmerit.cli import options
from kmerit.cli.display import DISPLAY
from kmerit.cli.options import made, writes
from kmerit.types import ExportFormat, Level

if TYPE_CHECKING:
    from kmerit.data import Tiles
    from kmerit.models import Model
    from kmerit.types import Sequences

SIX = "attention,rollout,gradcam,lrp,lrp_last,full_lrp"


@made(sequences=options.sequences, model=options.model, tiles=options.tiles)
def predict(
    sequences: "Sequences",
    model: "Model",
    tiles: "Tiles | None",
    strands: options.BothStrands = "forward",
    out: Annotated[
        Path | None,
        typer.Option(
            help="Output file: .csv, .tsv, .json, .jsonl or .parquet; standard output by default.", show_default=False
        ),
    ] = None,
) -> None:
    """Predict classes with probabilities, label probabilities, or values.

    Examples:
        kmerit predict --model bundled:promoter --sequences my.fa --crop 200
        kmerit predict --model my-dnabert/ --sequences my.csv --out predictions.csv
        zcat my.fa.gz | kmerit predict --model bundled:promoter --sequences - --out predictions.json
        kmerit predict --model bundled:promoter --sequences long.fa --tile 200 --stride 100
        kmerit predict --model my-cells/ --sequences cells.csv --labels K562,HepG2
    """
    from kmerit.cli.predictions import check_ending, evaluation, predictions, print_predictions, write_predictions

    if out is not None:
        check_ending(out)
    with DISPLAY.watch("predicting") as progress:
        if tiles is not None:
            tiles.log(sequences)
        values = model.predict(sequences, progress, tiles, strands)
    columns = predictions(values)
    for line in evaluation(sequences, model, values):
        DISPLAY.say(line)
    if out is None:
        print_predictions(columns, sys.stdout)
        return
    write_predictions(columns, out)
    print(out)


@writes(lambda out: [out.with_suffix(".check.json"), out])
@made(sequences=options.sequences, model=options.model, tiles=options.tiles)
def attribute(
    sequences: "Sequences",
    model: "Model",
    tiles: "Tiles | None",
    out: Annotated[Path, typer.Option(help="Output file of the scores, Parquet.", show_default=False)],
    methods: Annotated[str, options.methods()] = SIX,
    strands: options.BothStrands = "forward",
    target: Annotated[
        str, typer.Option(help="Output to explain: predicted, label (the true class), or the number or name of one.")
    ] = "predicted",
    level: Annotated[Level, typer.Option(help="Scores per nucleotide, or per token.")] = "nucleotide",
    option: Annotated[
        list[str],
        typer.Option(metavar="METHOD.KEY=VALUE", help="Option of a method, such as lrp.start_layer=2. Repeatable."),
    ] = [],  # noqa: B006 - typer copies it
    check: Annotated[
        bool, typer.Option("--check", help="Rescore a sample in float64 and report rank agreement.")
    ] = False,
    check_size: Annotated[int, typer.Option(min=1, help="Size of that random sample.")] = 20,
) -> None:
    """Score every nucleotide by its contribution to the model's output.

    Examples:
        kmerit attribute --model bundled:promoter --sequences my.fa --crop 200 --out scores.parquet
        kmerit attribute --model my-dnabert/ --sequences my.fa --methods lrp,attention --check --out scores.parquet
    """
    from kmerit.attribution import attribute as score
    from kmerit.attribution import read_check
    from kmerit.config import read_toml

    with DISPLAY.watch("scoring nucleotides") as progress:
        path = score(
            model,
            sequences,
            _names(methods),
            options.number_or_name(target),
            level,
            options=read_toml(None, option),
            tiles=tiles,
            strands=strands,
            check=check_size if check else 0,
            out=out,
            progress=progress,
        )
    if check:
        DISPLAY.say(_check_table(read_check(path), str(model.dtype).removeprefix("torch.")))
    print(path)


@made(sequences=options.sequences)
def export(
    sequences: "Sequences",
    attributions: Annotated[
        Path, typer.Option(help="Scores of the same sequences, from: kmerit attribute", show_default=False)
    ],
    to: Annotated[
        ExportFormat, typer.Option(help="npz is for TF-MoDISco; the others need coordinates.", show_default=False)
    ],
    out: Annotated[Path, typer.Option(help="Output file; for npz, output folder.", show_default=False)],
    method: Annotated[str | None, typer.Option(help="Method to export, if the file has scores of several.")] = None,
    chrom_sizes: Annotated[
        Path | None, typer.Option(help="Chromosome lengths for bigwig: chrom.sizes or a .fai file.")
    ] = None,
) -> None:
    r"""Write scores for other programs: TF-MoDISco (npz), genome browsers (bed, bedgraph, bigwig).

    Coordinates are columns chrom, start, end, strand of a table, or locus=chr1:100-300:+ in a FASTA header.

    Examples:
        kmerit export --attributions scores.parquet --method ism --sequences my.fa --crop 200 --to npz --out modisco
        kmerit export --attributions scores.parquet --method lrp --sequences my.csv --to bigwig --out lrp.bw
    """
    from kmerit.attribution import export as write
    from kmerit.attribution import read_attributions
    from kmerit.errors import UnknownName, UsageError

    by_method = read_attributions(attributions)
    if method is None and len(by_method) > 1:
        raise UsageError(f"{attributions} has scores of {', '.join(by_method)}. Choose one with --method.")
    name = next(iter(by_method)) if method is None else method
    if name not in by_method:
        raise UnknownName("method of this file", name, by_method)
    print(write(by_method[name], sequences, out, to, chrom_sizes=chrom_sizes))
    if to == "npz":
        files = f"-s {shlex.quote(str(out / 'ohe.npz'))} -a {shlex.quote(str(out / 'shap.npz'))}"
        width = int(sequences.lengths.min())
        DISPLAY.say(f"For motifs (pip install modisco-lite): modisco motifs {files} -n 2000 -w {width} -o motifs.h5")


@made(sequences=options.sequences, model=options.model)
def mutate(
    sequences: "Sequences",
    model: "Model",
    attributions: Annotated[
        Path,
        typer.Option(
            help="Scores of the same sequences, from: kmerit attribute; or your own, .npy or .npz.", show_default=False
        ),
    ],
    out: Annotated[Path, typer.Option(help="Output folder of the outcomes; reuse it to resume.", show_default=False)],
    counts: Annotated[str, typer.Option(help="Numbers of nucleotides to replace, comma-separated.")] = (
        "0,1,5,10,15,20,all"
    ),
    replicates: Annotated[int, typer.Option(min=1, help="Random draws of the replacement nucleotides.")] = 5,
    random_sets: Annotated[
        int,
        typer.Option(
            min=0,
            help="Random rankings to compare with, rows 'random' of the table.",
        ),
    ] = 10,
    operator: Annotated[str, typer.Option(help="What replaces a nucleotide.")] = "random_other",
    order: Annotated[str, typer.Option(help="morf: most relevant first; lerf: least; insertion.")] = "morf",
    controls: Annotated[
        str, typer.Option(help="Controls for a verdict, comma-separated: random, shifted, clump, other, context.")
    ] = "",
    seed: Annotated[int, typer.Option(min=0, help="Random seed.")] = 0,
) -> None:
    r"""Mutate the nucleotides that scores rank first, and measure how the prediction changes.

    Writes every outcome to --out and prints a summary as CSV, with random positions for comparison.

    Example:
        kmerit mutate --model bundled:promoter --sequences my.fa --crop 200 \
            --attributions scores.parquet --out trial > summary.csv
    """
    from kmerit.faithfulness import mutate as put_on_trial
    from kmerit.faithfulness import read_outcomes, summarise
    from kmerit.processes import is_first

    with DISPLAY.watch("mutating") as progress:
        folder = put_on_trial(
            model,
            sequences,
            attributions,
            counts=_counts(counts),
            replicates=replicates,
            random_sets=random_sets,
            operator=_names(operator),
            order=_names(order),
            seed=seed,
            out=out,
            progress=progress,
            controls=_names(controls),
        )
    if not is_first():
        return
    summarise(read_outcomes(folder)).to_csv(sys.stdout, index=False)


def _check_table(report: "Mapping[str, Mapping[str, Any]]", dtype: str) -> str:
    """Lay out a check in float64: how well the ranks agree, the worst sequence and the median one."""
    rows: list[tuple[str, ...]] = [
        ("method", "sequences", "Spearman: min", "median", "same top 20: min", "median", "no ranks")
    ]
    for method, agreement in report.items():
        values = [
            agreement[key] and agreement[key][which] for key in ("spearman", "top") for which in ("min", "median")
        ]
        cells = ["-" if value is None else f"{value:.6f}" for value in values]
        rows.append((method, str(agreement["sequences"]), *cells, str(agreement["undefined"])))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    return "\n".join([f"{dtype} against float64:", *lines])


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]


def _counts(text: str) -> list[int | str]:
    """Read ``0,1,5,all``; what is not a number is left for the library to refuse."""
    return [int(count) if count.isdecimal() else count for count in _names(text)]
