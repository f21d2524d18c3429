"""Verbs that make models: pretrain, finetune."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from kmerit.cli.options import DISPLAY, Overrides, columns

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
    config: Recipe = None,
    overrides: Overrides = [],  # noqa: B006 - typer copies it
) -> None:
    r"""Fine-tune a pre-trained model on labelled sequences.

    The default recipe is the paper's. Interrupted trainings resume.

    Examples:
        kmerit finetune --base bundled:encoder --train mine.csv --out models/mine
        kmerit finetune --base zhihan1996/DNA_bert_6 --out models/promoters \
            --task human_nontata_promoters --set epochs=3
        kmerit finetune --base bundled:encoder --train cells.csv --labels K562,HepG2 --out models/cells
    """
    from kmerit.training import finetune as train_model
    from kmerit.training.recipe import FinetuneConfig

    given: dict[str, Any] = {"base": base, "task": task, "train": train, "validation": validation, "test": test}
    given["labels"] = None if labels is None else columns(labels)
    recipe = FinetuneConfig.parse(_recipe(config, overrides, given))
    with DISPLAY.watch("fine-tuning") as progress:
        folder = train_model(recipe, out, progress=progress)
    for line in _results(folder):
        DISPLAY.say(line)
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
    """Report validation and test metrics, and the baselines on the same test rows."""
    from kmerit.training import card

    log = json.loads((folder / "training_log.json").read_text(encoding="utf-8"))["log"]
    measured = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
    lines = []
    if validated := [entry for entry in log if "eval_loss" in entry]:
        values = ", ".join(
            f"{name.removeprefix('eval_')} {value:.3f}"
            for name, value in validated[-1].items()
            if name.startswith("eval_")
        )
        lines.append(f"validation, last of {len(validated)}: {values}")
    if (table := card.metrics_table(measured)) is None:
        return [*lines, "test: not measured; give test rows (--test) for that"]
    columns = table["columns"][1:]
    for label, *values in table["rows"]:
        lines.append(f"test, {label}: " + ", ".join(map(" ".join, zip(columns, values, strict=True))))
    return lines


def _recipe(config: Path | None, overrides: list[str], given: dict[str, Any]) -> dict[str, Any]:
    """Join a recipe's file, the options, and ``--set``; the later wins."""
    from kmerit.config import merge, parse_override, read_toml

    recipe = read_toml(config) | {key: value for key, value in given.items() if value is not None}
    for override in overrides:
        merge(recipe, parse_override(override))
    return recipe
