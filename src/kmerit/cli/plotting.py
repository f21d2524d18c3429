"""Verbs that draw: plot curve, verdicts, logo, heatmap, heads."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from kmerit.cli import options
from kmerit.cli.options import made, writes
from kmerit.errors import UnknownName, UsageError

if TYPE_CHECKING:
    from kmerit.models.model import Model
    from kmerit.report.plots import Plot
    from kmerit.results import Attribution
    from kmerit.sequences import Sequences


# Annotations are evaluated here, for the options are read from them; those of heavy types stand in quotes.


Out = Annotated[
    Path,
    typer.Option(
        help="Output figure: .png, .svg or .pdf; without a suffix, all three. A CSV with its numbers is written, too.",
        show_default=False,
    ),
]
Attributions = Annotated[Path, typer.Option(help="Scores per nucleotide, from: kmerit attribute", show_default=False)]
Methods = Annotated[
    str | None,
    typer.Option(
        help="Methods, comma-separated; all by default.",
        show_default=False,
        autocompletion=options.complete_methods,
    ),
]


def _outputs(out: Path) -> "tuple[Path, ...]":
    from kmerit.report.plots import outputs

    return outputs(out)


@writes(_outputs)
def curve(
    out: Out,
    run: Annotated[Path | None, typer.Option(help="Folder of a run.", show_default=False)] = None,
    task: Annotated[str | None, typer.Option(help="Task of the run, if it has several.")] = None,
    trial: Annotated[Path | None, typer.Option(help="Folder of: kmerit mutate", show_default=False)] = None,
    methods: Methods = None,
    measure: Annotated[
        str | None,
        typer.Option(
            help=f"One of {', '.join(options.MEASURES)}; accuracy by default, with --beyond logit.",
            autocompletion=options.measures,
        ),
    ] = None,
    beyond: Annotated[
        str | None,
        typer.Option(
            help=f"Draw the excess drop over this control: {', '.join(options.CONTROLS)}.",
            autocompletion=options.controls,
        ),
    ] = None,
    operator: Annotated[str | None, typer.Option(help="One of the trial's; the first by default.")] = None,
    order: Annotated[str | None, typer.Option(help="One of the trial's; the first by default.")] = None,
) -> None:
    """Draw the mutagenesis curve: performance against nucleotides replaced, a panel for each class.

    Examples:
        kmerit plot curve --run results/demo --task epdnew_nontata --out promoters
        kmerit plot curve --trial trial --measure probability --out probability.pdf
        kmerit plot curve --run results/demo --task epdnew_nontata --beyond shifted --out excess
    """
    from kmerit.report.plots import check_out, plot_curve, plot_excess

    check_out(out)
    if (run is None) == (trial is None):
        raise UsageError(
            "Say what to draw: --run FOLDER (of kmerit run) or --trial FOLDER (of kmerit mutate), one of them."
        )
    if run is not None:
        from kmerit.report.load import read_excesses, read_summary

        table, classes, grid = read_summary(run, task) if beyond is None else read_excesses(run, task)
    else:
        from kmerit.report import text
        from kmerit.trials.measures import excesses, summarise
        from kmerit.trials.outcomes import read_outcomes

        outcomes = read_outcomes(trial or "")
        table, classes = summarise(outcomes) if beyond is None else excesses(outcomes), ()
        grid = text.grid(outcomes.settings.get("grid"))
    if beyond is None:
        plot = plot_curve(table, classes, _listed(methods), measure or "accuracy", operator, order, grid)
    else:
        plot = plot_excess(table, beyond, classes, _listed(methods), measure or "logit", operator, order, grid)
    _save(plot, out)


@writes(_outputs)
def verdicts(
    out: Out,
    run: Annotated[Path, typer.Option(help="Folder of: kmerit run", show_default=False)],
    task: Annotated[str | None, typer.Option(help="Task of the trial; all by default.")] = None,
) -> None:
    """Draw each method's excess over each matched control, with its band, and the verdict.

    Example:
        kmerit plot verdicts --run results/demo --task epdnew_nontata --out verdicts
    """
    from kmerit.report.load import read_run
    from kmerit.report.plots import check_out, plot_verdicts

    check_out(out)
    tasks = {each.name: each for each in read_run(run).tasks}
    if task is not None and task not in tasks:
        raise UnknownName("task", task, tasks)
    _save(plot_verdicts([each for name, each in tasks.items() if task in (None, name)]), out)


@writes(_outputs)
@made(sequences=options.sequences)
def logo(
    sequences: "Sequences",
    attributions: Attributions,
    name: Annotated[str, typer.Option(help="Which sequence.", show_default=False)],
    out: Out,
    methods: Methods = None,
    start: Annotated[int, typer.Option(min=0, help="First position, counted from 0.")] = 0,
    end: Annotated[int | None, typer.Option(help="The position after the last.", show_default=False)] = None,
) -> None:
    r"""Draw one sequence's scores as letters, as high as they score. Needs: pip install 'kmerit[logo]'.

    Scores and sequences of a run lie side by side in its folder, tasks/TASK.

    Examples:
        kmerit plot logo --sequences RUN/tasks/TASK/sequences.parquet \
            --attributions RUN/tasks/TASK/attributions.parquet --name NAME --out logo
        kmerit plot logo --sequences my.fa --crop 200 --attributions scores.parquet --methods lrp,attention \
            --name chr1:100-300 --start 40 --end 120 --out logo.pdf
    """
    from kmerit.report.plots import check_out, plot_logo

    check_out(out)
    _save(plot_logo(sequences, _read(attributions, methods), name, start, end), out)


@writes(_outputs)
def heatmap(
    attributions: Attributions,
    method: Annotated[
        str, typer.Option(help="Which method.", show_default=False, autocompletion=options.complete_methods)
    ],
    out: Out,
) -> None:
    """Draw the scores of all sequences, a row for each.

    Examples:
        kmerit plot heatmap --attributions RUN/tasks/TASK/attributions.parquet --method lrp --out heatmap
        kmerit plot heatmap --attributions scores.parquet --method lrp --out heatmap.png
    """
    from kmerit.report.plots import check_out, plot_heatmap

    check_out(out)
    (attribution,) = _read(attributions, method).values()
    _save(plot_heatmap(attribution), out)


@writes(_outputs)
@made(sequences=options.sequences, model=options.model)
def heads(
    sequences: "Sequences",
    model: "Model",
    name: Annotated[str, typer.Option(help="Which sequence.", show_default=False)],
    out: Out,
) -> None:
    r"""Draw what each attention head looks at: a row for each layer and head.

    Example:
        kmerit plot heads --model bundled:promoter --sequences my.fa --crop 200 --name chr1:100-300 --out heads.svg
    """
    from kmerit.biology.heads import head_attention
    from kmerit.report.plots import check_out, plot_heads

    check_out(out)
    if name not in sequences.names:
        raise UnknownName("sequence", name, sequences.names)
    one = sequences.take([sequences.names.index(name)])
    _save(plot_heads(head_attention(model, one)[0], one.string(0), f"{name}: attention of [CLS]"), out)


def _read(path: Path, methods: str | None) -> "dict[str, Attribution]":
    from kmerit.io.scores import read_attributions

    attributions = read_attributions(path)
    for name in _listed(methods) or ():
        if name not in attributions:
            raise UnknownName("method", name, attributions)
    return {name: attributions[name] for name in _listed(methods) or attributions}


def _listed(text: str | None) -> list[str] | None:
    return None if text is None else [name.strip() for name in text.split(",") if name.strip()]


def _save(plot: "Plot", out: Path) -> None:
    from kmerit.report.plots import save

    for path in save(plot, out):
        print(path)
