"""Verbs that show: list, fetch, doctor; plot curve, verdicts, logo, heatmap, heads."""

import json
from dataclasses import asdict
from pathlib import Path
from textwrap import wrap
from typing import TYPE_CHECKING, Annotated, Any

import typer

from kmerit.cli import options
from kmerit.cli.options import DISPLAY, from_options, writes
from kmerit.errors import UnknownName, UsageError
from kmerit.trials.controls import CONTROLS

if TYPE_CHECKING:
    from kmerit.models.model import Model
    from kmerit.report.figures import Plot
    from kmerit.results import Attribution
    from kmerit.sequences import Sequences

METHODS = "methods"
Row = dict[str, Any]


def list_(
    kind: Annotated[
        str | None,
        typer.Argument(
            metavar="KIND",
            help=f"One of {', '.join(options.KINDS)}; all of them by default.",
            show_default=False,
            autocompletion=options.kinds,
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """List methods, operators, tasks, model families, bundled models and configs, and features of heads.

    Examples:
        kmerit list methods
        kmerit list tasks --json
    """
    if kind is not None and kind not in _LISTS:
        raise UnknownName("kind of list", kind, _LISTS)
    tables = {each: _LISTS[each]() for each in ([kind] if kind else _LISTS)}
    if as_json:
        print(json.dumps(tables[kind] if kind else tables, indent=2, ensure_ascii=False))
        return
    if kind == METHODS:
        _print_table(tables[kind])
        return
    print("\n\n".join(_as_text(name, rows) for name, rows in tables.items()))


def fetch(
    task: Annotated[str, typer.Argument(help="Task name; see: kmerit list tasks", show_default=False)],
) -> None:
    """Download the sequences of a task for offline use.

    Interrupted downloads resume.

    Example:
        kmerit fetch human_nontata_promoters
    """
    from kmerit.datasets.task import fetch as fetch_task

    with DISPLAY.watch(f"{task} (bytes)") as progress:
        folder = fetch_task(task, progress=progress)
    print(folder)


def _methods() -> list[Row]:
    from kmerit.attribution.method import methods

    return [
        {
            "name": method.name,
            "summary": method.summary,
            "cost": method.cost,
            "needs": method.wants,
            "level": method.level,
            "signed": method.signed,
            "options": {
                key: list(value) if isinstance(value, tuple) else value for key, value in method.options.items()
            },
            "source": method.cites,
        }
        for method in methods().values()
    ]


def _tasks() -> list[Row]:
    from kmerit.datasets.task import tasks

    return [
        {
            "name": task.name,
            "summary": task.description,
            "classes": list(task.classes),
            "bundled": task.packed,
            "test rows": sum(task.rows["test"]),
            "licence": task.licence,
        }
        for task in tasks().values()
    ]


def _families() -> list[Row]:
    from kmerit.models.family import families

    return [{"name": f.name, "summary": f.summary, "source": f.cites} for f in families().values()]


def _models() -> list[Row]:
    from kmerit.models.checkpoint import BUNDLED, bundled, locate

    def row(name: str) -> Row:
        config = json.loads((locate(BUNDLED + name) / "config.json").read_text(encoding="utf-8"))
        about = config.get("kmerit", {})
        classes = list(config["id2label"].values()) if "id2label" in config else ["none, it predicts a value"]
        return {"name": BUNDLED + name, "classes": classes, "crop": about.get("crop", "none")}

    return [row(name) for name in bundled()]


def _configs() -> list[Row]:
    from kmerit.config import BUNDLED, bundled_configs

    def row(name: str, path: Path) -> Row:
        text = path.read_text(encoding="utf-8").split("\n#\n")[0]
        return {"name": BUNDLED + name, "summary": " ".join(text.replace("#", "").split()), "file": str(path)}

    return [row(name, path) for name, path in bundled_configs().items()]


def _operators() -> list[Row]:
    from kmerit.trials.operators import OPERATORS, delete_from, infill

    return [
        {"name": each.name, "summary": each.summary, "keeps": ["length", *each.keeps]}
        for each in [*OPERATORS.values(), delete_from("GENOME"), infill("MODEL")]
    ]


def _features() -> list[Row]:
    from kmerit.biology.feature import features

    return [
        {
            "name": name,
            "summary": each.summary,
            "values": "0 and 1" if each.mask else "numbers",
            "options": [key for key in each.model_fields if key != "label"],
        }
        for name, each in features().items()
    ]


_LISTS = dict(zip(options.KINDS, (_methods, _operators, _tasks, _families, _models, _configs, _features), strict=True))


_NARROWEST = 72
"""Columns of text that the table needs; on a narrower screen its lines are wrapped by the terminal."""


def _print_table(rows: list[Row]) -> None:
    """Lay methods out as a table that fits the screen: nothing is truncated, long texts wrap."""
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console(highlight=False)
    table = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False, expand=True)
    print("methods:")
    for title, width in (("method", 20), ("cost", 9), ("scores", 10), ("what it is", None)):
        table.add_column(title, width=width, overflow="fold")
    for row in rows:
        details = Text(f"\nneeds: {', '.join(row['needs'])}; source: {row['source']}", style="dim")
        if row["options"]:
            details.append("\noptions: " + ", ".join(f"{k}={_spell_option(v)}" for k, v in row["options"].items()))
        scores = f"{row['level']}\n{'signed' if row['signed'] else 'unsigned'}"
        description = Text.assemble(row["summary"], details)
        table.add_row(Text(row["name"], style="bold"), f"{row['cost']}", scores, description, end_section=True)
    console.print(table, width=max(console.width, _NARROWEST))
    print("cost: in forward passes, alone; needs: of the one pass that all methods share")
    print("options: NAME=DEFAULT, or NAME=DEFAULT|OTHERS")


def _spell_option(value: Any) -> str:
    return "|".join(map(str, value)) if isinstance(value, list) else f"{value}"


def _as_text(title: str, rows: list[Row]) -> str:
    """Lay rows out for reading: the name, under it what it is, and the rest."""
    lines = [f"{title}:"]
    for row in rows:
        details = [f"{key}: {_spell(value)}" for key, value in row.items() if key not in ("name", "summary")]
        lines.append(f"  {row['name']}")
        for text in filter(None, (row.get("summary"), "; ".join(details))):
            lines += wrap(text, 100, initial_indent=" " * 6, subsequent_indent=" " * 6)
    return "\n".join(lines if rows else [*lines, "  none"])


def _spell(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, dict):
        return ", ".join(f"{key}={_spell_option(option)}" for key, option in value.items()) or "none"
    return ", ".join(value) if isinstance(value, list) else f"{value}"


# Annotations are evaluated here, for the options are read from them.


_MARKS = {"ok": "ok      ", "note": "note    ", "warning": "warning ", "failed": "FAILED  "}
_INDENT = 28


def doctor(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Check the installation: versions, device, memory, cache, bundled files. Exit code 1 if something is broken.

    Examples:
        kmerit doctor
        kmerit doctor --json
    """
    from kmerit.runs.installation import FAILED, examine

    checks = examine()
    if as_json:
        print(json.dumps([asdict(check) for check in checks], indent=2, ensure_ascii=False))
    else:
        for check in checks:
            head = f"{_MARKS[check.state]}{check.name}"
            print("\n".join(wrap(check.text, 110, initial_indent=head.ljust(_INDENT), subsequent_indent=" " * _INDENT)))
    if any(check.state == FAILED for check in checks):
        raise typer.Exit(1)


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
    from kmerit.report.figures import outputs

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
            help=f"One of {', '.join(options.MEASURES)}; accuracy by default, logit with --control.",
            autocompletion=options.measures,
        ),
    ] = None,
    control: Annotated[
        str | None,
        typer.Option(
            help=f"Draw the excess drop over this control: {', '.join(CONTROLS)}.",
            autocompletion=options.controls,
        ),
    ] = None,
    operator: Annotated[str | None, typer.Option(help="One of the trial's; its first by default.")] = None,
    order: Annotated[str | None, typer.Option(help="One of the trial's; its first by default.")] = None,
) -> None:
    """Draw the mutagenesis curve: performance against nucleotides replaced, a panel for each class.

    Examples:
        kmerit plot curve --run results/demo --task epdnew_nontata --out promoters
        kmerit plot curve --trial trial --measure probability --out probability.pdf
        kmerit plot curve --run results/demo --task epdnew_nontata --control shifted --out excess
    """
    from kmerit.report.figures import check_out, plot_curve, plot_excess

    check_out(out)
    if (run is None) == (trial is None):
        raise UsageError("Give either --run FOLDER (of kmerit run) or --trial FOLDER (of kmerit mutate).")
    if run is not None:
        from kmerit.report.load import read_excesses, read_summary

        table, classes, grid = read_summary(run, task) if control is None else read_excesses(run, task)
    else:
        from kmerit.report import text
        from kmerit.trials.measures import excesses, summarise
        from kmerit.trials.outcomes import read_outcomes

        outcomes = read_outcomes(trial or "")
        table, classes = summarise(outcomes) if control is None else excesses(outcomes), ()
        grid = text.grid(outcomes.settings.get("grid"))
    if control is None:
        plot = plot_curve(table, classes, _listed(methods), measure or "accuracy", operator, order, grid)
    else:
        plot = plot_excess(table, control, classes, _listed(methods), measure or "logit", operator, order, grid)
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
    from kmerit.report.figures import check_out, plot_verdicts
    from kmerit.report.load import read_run

    check_out(out)
    tasks = {each.name: each for each in read_run(run).tasks}
    if task is not None and task not in tasks:
        raise UnknownName("task", task, tasks)
    _save(plot_verdicts([each for name, each in tasks.items() if task in (None, name)]), out)


@writes(_outputs)
@from_options(sequences=options.sequences)
def logo(
    sequences: "Sequences",
    attributions: Attributions,
    name: Annotated[str, typer.Option(help="Name of the sequence.", show_default=False)],
    out: Out,
    methods: Methods = None,
    start: Annotated[int, typer.Option(min=0, help="First position, counted from 0.")] = 0,
    end: Annotated[int | None, typer.Option(help="The position after the last.", show_default=False)] = None,
) -> None:
    r"""Draw one sequence's scores as a logo: letters as tall as their scores. Needs: pip install 'kmerit[logo]'.

    Scores and sequences of a run lie side by side in its folder, tasks/TASK.

    Examples:
        kmerit plot logo --sequences RUN/tasks/TASK/sequences.parquet \
            --attributions RUN/tasks/TASK/attributions.parquet --name NAME --out logo
        kmerit plot logo --sequences my.fa --crop 251 --attributions scores.parquet --methods lrp,attention \
            --name chr1:100-300 --start 40 --end 120 --out logo.pdf
    """
    from kmerit.report.figures import check_out, plot_logo

    check_out(out)
    _save(plot_logo(sequences, _read(attributions, methods), name, start, end), out)


@writes(_outputs)
def heatmap(
    attributions: Attributions,
    method: Annotated[
        str, typer.Option(help="Name of the method.", show_default=False, autocompletion=options.complete_methods)
    ],
    out: Out,
) -> None:
    """Draw the scores of all sequences, a row for each.

    Examples:
        kmerit plot heatmap --attributions RUN/tasks/TASK/attributions.parquet --method lrp --out heatmap
        kmerit plot heatmap --attributions scores.parquet --method lrp --out heatmap.png
    """
    from kmerit.report.figures import check_out, plot_heatmap

    check_out(out)
    (attribution,) = _read(attributions, method).values()
    _save(plot_heatmap(attribution), out)


@writes(_outputs)
@from_options(sequences=options.sequences, model=options.model)
def heads(
    sequences: "Sequences",
    model: "Model",
    name: Annotated[str, typer.Option(help="Name of the sequence.", show_default=False)],
    out: Out,
) -> None:
    r"""Draw what each attention head looks at: a row for each layer and head.

    Example:
        kmerit plot heads --model bundled:promoter --sequences my.fa --crop 251 --name chr1:100-300 --out heads.svg
    """
    from kmerit.biology.heads import head_attention
    from kmerit.report.figures import check_out, plot_heads

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
    from kmerit.report.figures import save

    for path in save(plot, out):
        print(path)
