"""Verbs on the user's own model and sequences: predict, attribute, export, mutate, pairs."""

import json
import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TextIO

import numpy as np
import typer

from kmerit.cli import options
from kmerit.cli.options import DISPLAY, TrialScores, from_options, writes
from kmerit.errors import UsageError
from kmerit.formats import fixed, significant
from kmerit.results import ExportFormat, Level, Problem

if TYPE_CHECKING:
    from kmerit.io.crops import Tiles
    from kmerit.models.model import Model
    from kmerit.results import Predictions
    from kmerit.sequences import Float, Sequences


Columns = Mapping[str, Sequence[Any]]
ENDINGS = (".csv", ".tsv", ".json", ".jsonl", ".parquet")


def check_ending(out: Path) -> None:
    """Refuse a file whose ending names no format.

    Raises:
        UsageError: It does not.
    """
    if out.suffix.lower() not in ENDINGS:
        raise UsageError(f"--out {out}: the suffix sets the format; expected {', '.join(ENDINGS)}.")


def predictions(result: "Predictions") -> dict[str, list[Any]]:
    """Lay predictions out as columns, numbers rounded to the six digits that float32 is sure of."""
    frame = result.to_frame()
    return {
        str(name): [_rounded(value) for value in column] if column.dtype.kind == "f" else column.tolist()
        for name, column in frame.items()
    }


def evaluation(sequences: "Sequences", model: "Model", values: "Float") -> list[str]:
    """Report metrics of each of several labels or values, if the sequences have them.

    Raises:
        LabelError: One is not one of the model's.
    """
    from kmerit.errors import LabelError, short
    from kmerit.metrics import output_metrics

    names, labels = sequences.outputs, sequences.labels
    if names is None or labels is None:
        return []
    if model.problem in (Problem.CLASSES, Problem.VALUE):  # of one label, or value, its own column
        labels, names = np.asarray(model.numbered(sequences).labels)[:, None], model.labels[-1:]
    if missing := [name for name in names if name not in model.labels]:
        raise LabelError(f"{short(missing[0])} is not one of the {model.problem} of {model.name}: {model.listed}.")
    answers = values[:, [model.output(name) for name in names]].astype(np.float64)
    if not model.regression:
        if ((labels != 0) & (labels != 1)).any():
            raise LabelError(f"Expected 0 or 1 for each label of {model.name}, found other numbers.")
        answers = answers - 0.5  # ranks and calls as the logit does
    means, each = output_metrics(labels, answers, values=model.regression, resamples=0)
    rows = dict(zip(names, each, strict=True)) | ({f"mean of {len(names)}": means} if len(names) > 1 else {})
    metrics = ("r2", "pearson", "spearman") if model.regression else ("auroc", "auprc", "accuracy")
    return [
        f"{name}: "
        + ", ".join(
            f"{metric} {'undefined' if row[metric]['value'] is None else format(row[metric]['value'], '.3f')}"
            for metric in metrics
        )
        for name, row in rows.items()
    ]


def write_predictions(columns: Columns, out: Path) -> None:
    """Write a table to a file, whole or not at all, in the format of its ending."""
    from kmerit.store import atomic_write

    suffix = out.suffix.lower()
    with atomic_write(out) as part:
        if suffix == ".parquet":
            import pyarrow as pa
            import pyarrow.parquet

            pa.parquet.write_table(pa.table(dict(columns)), part, compression="zstd")
            return
        with part.open("w", encoding="utf-8", newline="") as file:
            if suffix in (".json", ".jsonl"):
                _write_json(columns, file, lines=suffix == ".jsonl")
            else:
                print_predictions(columns, file, "," if suffix == ".csv" else "\t")


def print_predictions(columns: Columns, file: TextIO, separator: str = ",") -> None:
    """Write a table as text."""
    import pandas as pd

    pd.DataFrame(columns).to_csv(file, sep=separator, index=False, lineterminator="\n", float_format="%.6g")


def _write_json(columns: Columns, file: TextIO, lines: bool) -> None:
    rows = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
    cells = [json.dumps(row, ensure_ascii=False) for row in rows]
    file.write("\n".join(cells) + "\n" if lines else "[\n" + ",\n".join(cells) + "\n]\n")


def _rounded(value: Any) -> float:
    """Keep six digits, as many as float32 is sure of."""
    return float(significant(float(value), 6))


# Annotations are evaluated here, for the options are read from them; those of heavy types stand in quotes.


SIX = "attention,rollout,gradcam,lrp,lrp_last,full_lrp"


@from_options(sequences=options.sequences, model=options.model, tiles=options.tiles)
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
        kmerit predict --model bundled:promoter --sequences my.fa --crop 251
        kmerit predict --model my-dnabert/ --sequences my.csv --out predictions.csv
        zcat my.fa.gz | kmerit predict --model bundled:promoter --sequences - --out predictions.json
        kmerit predict --model bundled:promoter --sequences long.fa --tile 251 --stride 100
        kmerit predict --model my-cells/ --sequences cells.csv --labels K562,HepG2
    """
    if out is not None:
        check_ending(out)
    with DISPLAY.watch("predicting") as progress:
        if tiles is not None:
            tiles.log(sequences)
        values = model.predict(sequences, progress, tiles, strands)
    columns = predictions(values)
    for line in evaluation(sequences, model, values):
        DISPLAY.write(line)
    if out is None:
        print_predictions(columns, sys.stdout)
        return
    write_predictions(columns, out)
    print(out)


@writes(lambda out: [out.with_suffix(".check.json"), out])
@from_options(sequences=options.sequences, model=options.model, tiles=options.tiles)
def attribute(
    sequences: "Sequences",
    model: "Model",
    tiles: "Tiles | None",
    out: Annotated[Path, typer.Option(help="Output file of the scores, Parquet.", show_default=False)],
    methods: Annotated[str, options.methods()] = SIX,
    strands: options.BothStrands = "forward",
    target: Annotated[
        str,
        typer.Option(
            help="Output to explain: predicted, label (the true class), its number or name, or tracks and bins as JSON."
        ),
    ] = "predicted",
    level: Annotated[Level, typer.Option(help="Scores per nucleotide, or per token.")] = "nucleotide",
    option: Annotated[
        list[str],
        typer.Option(metavar="METHOD.KEY=VALUE", help="Option of a method, such as lrp.start_layer=2. Repeatable."),
    ] = [],  # noqa: B006 - typer copies it
    reference: options.ReferenceName = None,
    reference_sequences: options.ReferenceRows = None,
    check: Annotated[
        bool, typer.Option("--check", help="Rescore a sample in float64 and report rank agreement.")
    ] = False,
    check_size: Annotated[int, typer.Option(min=1, help="Size of that random sample.")] = 20,
) -> None:
    """Score every nucleotide by its contribution to the model's output.

    Examples:
        kmerit attribute --model bundled:promoter --sequences my.fa --crop 251 --out scores.parquet
        kmerit attribute --model my-dnabert/ --sequences my.fa --methods lrp,attention --check --out scores.parquet
        kmerit attribute --model my-values/ --sequences my.fa --methods cp_lrp --reference shuffled --out scores.parquet
    """
    from kmerit.attribution.attribute import attribute as score
    from kmerit.config import read_toml
    from kmerit.io.scores import read_check

    explained_reference = options.reference_of(model, sequences, reference, reference_sequences, target)
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
            reference=explained_reference,
            check=check_size if check else 0,
            out=out,
            progress=progress,
            share=options.share(),
        )
    if options.is_part():
        return
    if check:
        DISPLAY.write(_check_table(read_check(path), str(model.dtype).removeprefix("torch.")))
    print(path)


@from_options(sequences=options.sequences, model=options.model)
def ledger(
    sequences: "Sequences",
    model: "Model",
    methods: Annotated[str, typer.Option(help="cp_lrp, attnlrp or both, comma-separated.")] = "cp_lrp,attnlrp",
    target: Annotated[
        str, typer.Option(help="Output to explain: predicted, label, its number or name, or tracks and bins as JSON.")
    ] = "predicted",
    option: Annotated[
        list[str],
        typer.Option(
            metavar="METHOD.gamma=VALUE", help="Gamma of the first convolution: cp_lrp.gamma=0.25. Repeatable."
        ),
    ] = [],  # noqa: B006 - typer copies it
    reference: options.ReferenceName = None,
    reference_sequences: options.ReferenceRows = None,
    by_class: Annotated[bool, typer.Option("--by-class", help="Print the means of each class.")] = False,
) -> None:
    """Account for the explained output: relevance of the sequence, special tokens, biases and the rest. Prints CSV.

    Examples:
        kmerit ledger --model bundled:promoter --sequences my.fa --crop 251 --target promoter
        kmerit ledger --model my-values/ --sequences my.fa --reference shuffled --by-class
    """
    from kmerit.attribution.ledger import ledger as account
    from kmerit.attribution.ledger import ledger_by_class
    from kmerit.config import read_toml

    explained_target = options.number_or_name(target)
    why = options.reference_of(model, sequences, reference, reference_sequences, target)
    table = account(model, sequences, _names(methods), explained_target, why, read_toml(None, option))
    (ledger_by_class(table) if by_class else table).to_csv(sys.stdout, index=False)


@from_options(sequences=options.sequences)
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
    from kmerit.errors import UnknownName, UsageError
    from kmerit.io.scores import export as write
    from kmerit.io.scores import read_attributions

    by_method = read_attributions(attributions)
    if method is None and len(by_method) > 1:
        raise UsageError(f"{attributions} has scores of {', '.join(by_method)}. Choose one with --method.")
    name = next(iter(by_method)) if method is None else method
    if name not in by_method:
        raise UnknownName("method of this file", name, by_method)
    if to == "npz" and not by_method[name].signed:
        useful = [f"--method {other}" for other, scores in by_method.items() if scores.signed]
        raise UsageError(
            f"The scores of {name} are unsigned, and of no use to TF-MoDISco, which needs signed contributions. "
            f"{'Of this file, export ' + ', '.join(useful) if useful else 'Attribute with ism or ism_first_order'}."
        )
    print(write(by_method[name], sequences, out, to, chrom_sizes=chrom_sizes))
    if to == "npz":
        if by_method[name].substitutions is None:
            DISPLAY.write(
                f"{name} knows nothing of other bases, so TF-MoDISco gets a score only at the base that is there. "
                f"ism and ism_first_order give hypothetical contributions."
            )
        files = f"-s {shlex.quote(str(out / 'ohe.npz'))} -a {shlex.quote(str(out / 'shap.npz'))}"
        width = int(sequences.lengths.min())
        DISPLAY.write(f"For motifs (pip install modisco-lite): modisco motifs {files} -n 2000 -w {width} -o motifs.h5")


@from_options(sequences=options.sequences, model=options.model, tiles=options.tiles)
def mutate(
    sequences: "Sequences",
    model: "Model",
    tiles: "Tiles | None",
    attributions: Annotated[
        Path,
        typer.Option(
            help="Scores of the same sequences, from: kmerit attribute; or your own: .npy, .npz, .csv, .tsv.",
            show_default=False,
        ),
    ],
    out: Annotated[Path, typer.Option(help="Output folder of the outcomes; reuse it to resume.", show_default=False)],
    counts: Annotated[
        str, typer.Option(help="Numbers of nucleotides to mutate, or shares such as 10%, comma-separated.")
    ] = ("0,1,5,10,15,20,all"),
    replicates: Annotated[int, typer.Option(min=1, help="Random draws of the replacement nucleotides.")] = 5,
    random_sets: Annotated[
        int,
        typer.Option(
            min=0,
            help="Random rankings to compare with, rows 'random' of the table.",
        ),
    ] = 10,
    operator: Annotated[
        str, typer.Option(help="How nucleotides are mutated, comma-separated; see: kmerit list operators")
    ] = "random_other",
    order: Annotated[str, typer.Option(help="morf: most relevant first; lerf: least; insertion.")] = "morf",
    controls: Annotated[
        str, typer.Option(help="Controls for a verdict, comma-separated: random, shifted, clump, other, context.")
    ] = "",
    seed: Annotated[int, typer.Option(min=0, help="Random seed.")] = 0,
) -> None:
    r"""Mutate the nucleotides that scores rank first, and measure how the prediction changes.

    Writes every outcome to --out and prints a summary as CSV, with random positions for comparison.

    Example:
        kmerit mutate --model bundled:promoter --sequences my.fa --crop 251 \
            --attributions scores.parquet --out trial > summary.csv
    """
    from kmerit.trials.measures import summarise
    from kmerit.trials.outcomes import read_outcomes
    from kmerit.trials.trial import mutate as put_on_trial

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
            tiles=tiles,
        )
    summarise(read_outcomes(folder)).to_csv(sys.stdout, index=False)


@from_options(sequences=options.sequences, model=options.model, tiles=options.tiles)
def pairs(
    sequences: "Sequences",
    model: "Model",
    tiles: "Tiles | None",
    attributions: TrialScores,
    out: Annotated[Path, typer.Option(help="Output folder of the tables.", show_default=False)],
    top: Annotated[int, typer.Option(min=2, help="Highest-scored positions that are paired.")] = 8,
    per_class: Annotated[int, typer.Option(min=1, help="Sequences of each class, drawn at random.")] = 25,
    budget: Annotated[
        int | None, typer.Option(min=1, help="Refuse to classify more mutants than this.", show_default=False)
    ] = None,
    resamples: Annotated[int, typer.Option(min=100, help="Bootstrap draws of each interval.")] = 2000,
    seed: Annotated[int, typer.Option(min=0, help="Random seed.")] = 0,
) -> None:
    r"""Compare joint effects of pairs of positions with the sum of single effects: additive, redundant, conjunction?

    Mutates the positions that scores rank first, alone and in pairs, to all other bases. Writes summary.csv and
    pairs.csv, also as Parquet.

    Example:
        kmerit pairs --model bundled:promoter --sequences my.fa --crop 251 \
            --attributions scores.parquet --top 3 --out pairs
    """
    from kmerit.attribution.own_scores import scores_for_trial
    from kmerit.report.text import PAIRS, sentence
    from kmerit.trials.pairs import pairs as compare_pairs

    with DISPLAY.watch("mutating pairs") as progress:
        result = compare_pairs(
            model,
            sequences,
            scores_for_trial(attributions),
            top=top,
            per_class=per_class,
            budget=budget,
            resamples=resamples,
            seed=seed,
            out=out,
            progress=progress,
            announce=lambda count: DISPLAY.write(f"Pairs of {top} positions: {count:,} classifications."),
            tiles=tiles,
        )
    for each in result.remarks:
        DISPLAY.write(sentence(each))
    DISPLAY.write(PAIRS)
    print(out)


def _check_table(report: "Mapping[str, Mapping[str, Any]]", dtype: str) -> str:
    """Lay out a check in float64: how well the ranks agree, the worst sequence and the median one."""
    rows: list[tuple[str, ...]] = [
        ("method", "sequences", "Spearman: min", "median", "same top 20: min", "median", "no ranks")
    ]
    for method, agreement in report.items():
        values = [
            agreement[key] and agreement[key][which] for key in ("spearman", "top") for which in ("min", "median")
        ]
        cells = ["-" if value is None else fixed(value, 6) for value in values]
        rows.append((method, str(agreement["sequences"]), *cells, str(agreement["undefined"])))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    return "\n".join([f"{dtype} against float64:", *lines])


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]


def _counts(text: str) -> list[int | str]:
    """Read ``0,1,5,all``; what is not a number is left for the library to refuse."""
    return [int(count) if count.isdecimal() else count for count in _names(text)]
