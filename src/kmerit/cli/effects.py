"""Verbs on the effects of variants: variants, measured."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from kmerit.cli import options
from kmerit.cli.options import DISPLAY, Results, from_options
from kmerit.sequences import Strands

if TYPE_CHECKING:
    from kmerit.models.model import Model


# Annotations are evaluated here, for the options are read from them; those of heavy types stand in quotes.


@from_options(model=options.model)
def variants(
    model: "Model",
    vcf: Annotated[Path, typer.Option(help="Variants: VCF, plain, gzipped or bgzipped.", show_default=False)],
    genome: Annotated[
        Path, typer.Option(help="Genome of the same assembly: FASTA, plain or bgzipped.", show_default=False)
    ],
    out: Results,
    methods: Annotated[str, options.methods()] = "",
    target: Annotated[
        str, typer.Option(help="Output to explain: predicted (of the reference), or the number or name of one.")
    ] = "predicted",
    length: Annotated[
        int | None,
        typer.Option(min=1, help="Window in nucleotides; by default what the model takes or was trained on."),
    ] = None,
    windows: Annotated[
        Path | None,
        typer.Option(help="Intervals to score variants in, each on its strand: BED or a table.", show_default=False),
    ] = None,
    strands: Annotated[
        Strands | None,
        typer.Option(help="'both': average with the reverse complement; the default, except with --windows."),
    ] = None,
    skip_mismatches: Annotated[
        bool,
        typer.Option(
            "--skip-mismatches", help="List alleles whose reference differs from the genome, instead of refusing them."
        ),
    ] = False,
) -> None:
    r"""Score the variants of a VCF: the model's answer to each allele, and what methods predicted.

    Writes variants.vcf.gz (your rows with INFO fields), variants.parquet, left_out.csv (with reasons) and summary.json.

    Examples:
        kmerit variants --model bundled:promoter --vcf my.vcf.gz --genome hg38.fa --out effects
        kmerit variants --model my-dnabert/ --vcf my.vcf --genome hg38.fa --length 200 \
            --methods lrp,ism_first_order --target 1 --out effects
    """
    from kmerit.biology.variants import variants as score
    from kmerit.io.readers import read_sequences

    with DISPLAY.watch("scoring variants") as progress:
        folder = score(
            model,
            vcf,
            genome,
            methods=[name.strip() for name in methods.split(",") if name.strip()],
            target=options.number_or_name(target),
            length=length,
            windows=None if windows is None else read_sequences(windows, genome=genome),
            strands=strands,
            skip_mismatches=skip_mismatches,
            out=out,
            progress=progress,
            share=options.share(),
        )
    if options.is_part():
        return
    print(folder)


@from_options(model=options.model)
def measured(
    model: "Model",
    elements: Annotated[Path, typer.Argument(help="Measured effects: a table, a row per variant.", show_default=False)],
    out: Results,
    methods: Annotated[str, options.methods()] = "",
    target: Annotated[
        str | None,
        typer.Option(help="Output whose change is compared: its number or name.", show_default=False),
    ] = None,
    length: Annotated[
        int | None,
        typer.Option(min=1, help="Window in nucleotides; by default what the model takes or was trained on."),
    ] = None,
    left_flank: Annotated[str, typer.Option(help="Letters before a shorter element, as in the plasmid.")] = "",
    right_flank: Annotated[str, typer.Option(help="Letters after it.")] = "",
    flank_draws: Annotated[int, typer.Option(min=1, help="Random draws of missing flanks.")] = 4,
    strands: options.BothStrands = "both",
    release: Annotated[str | None, typer.Option(help="Assembly to use, if the table has several.")] = None,
    min_barcodes: Annotated[int, typer.Option(min=0, help="Leave out rows with fewer barcodes.")] = 10,
    resamples: Annotated[int, typer.Option(min=100, help="Bootstrap resamples.")] = 2000,
    seed: Annotated[int, typer.Option(min=0, help="Random seed.")] = 0,
) -> None:
    r"""Judge methods by measured effects: saturation mutagenesis of regulatory elements.

    An element counts only if the model's in-silico mutagenesis agrees with its effects. Writes tables, predictions and
    measured.html. The table of Kircher et al. 2019 (elements.tsv.gz) is read as it is.

    Examples:
        kmerit measured elements.tsv.gz --model bundled:promoter --target promoter --release GRCh38 \
            --methods lrp,ism_first_order --out judged
    """
    from kmerit.biology.measured import judgements
    from kmerit.biology.measured import measured as judge
    from kmerit.report.page import write_measured
    from kmerit.report.text import sentence

    with DISPLAY.watch("judging elements") as progress:
        result = judge(
            model,
            elements,
            methods=[name.strip() for name in methods.split(",") if name.strip()],
            target=None if target is None else options.number_or_name(target),
            length=length,
            flanks=(left_flank, right_flank),
            flank_draws=flank_draws,
            strands=strands,
            release=release,
            min_barcodes=min_barcodes,
            resamples=resamples,
            seed=seed,
            out=out,
            progress=progress,
        )
    for each in judgements(result):
        DISPLAY.write(sentence(each))
    print(f"Report: {write_measured(result, out)}")
