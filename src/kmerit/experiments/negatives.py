"""The same positives against four sets of negatives: does what the trial says depend on the background?

::

    python -m kmerit.experiments.negatives configs/negatives.toml --out runs/negatives
"""

from __future__ import annotations

import json
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
from pydantic import Field

from kmerit.attribution import attribute
from kmerit.audit import Config, Settings, audit, make_negatives
from kmerit.audit.negatives import Kind
from kmerit.data import find_task, load_task, prepare, sample_per_class
from kmerit.data.files import atomic_write
from kmerit.errors import KmeritError
from kmerit.faithfulness import CONTROLS, default_label, judge, mutate, read_curve, summarise
from kmerit.faithfulness.asymmetry import changes, drops, falls_further, ranking
from kmerit.models import load_model
from kmerit.training import FinetuneConfig, finetune
from kmerit.training.config import Table
from kmerit.training.splits import Splits
from kmerit.types import Sequences

TOLD = ("method", "label", "verdict", "excess", "low", "high")
"""What is kept of a verdict."""
Split = Literal["train", "validation", "test"]


class Trial(Table):
    """The trial that every model is put on."""

    per_class: int = Field(200, ge=1)
    methods: list[str] = Field(min_length=1)
    counts: tuple[int | str, ...] = (0, 1, 5, 10, 15, 20, "all")
    compared: int = Field(20, ge=1, description="the n at which drops are compared")
    replicates: int = Field(3, ge=1)
    random_sets: int = Field(10, ge=0)


class NegativesConfig(Table):
    """Positives of a task, and the backgrounds they are told from."""

    task: str = "epdnew_nontata"
    kinds: tuple[Kind, ...] = ("random", "gc", "shuffled", "gene_body")
    genome: str | None = Field(None, description="FASTA, plain or gzipped; for random and gc")
    gtf: str | None = Field(None, description="genes of that genome; gene bodies are resampled by default")
    train_rows: int = Field(3000, ge=2, description="of both classes together")
    validation_rows: int = Field(600, ge=2)
    test_rows: int = Field(2000, ge=2)
    training: dict[str, Any] = Field({}, description="keys of a fine-tuning")
    trial: Trial
    resamples: int = Field(1000, ge=1)
    seed: int = Field(0, ge=0)


def make_sets(config: NegativesConfig) -> dict[str, Splits]:
    """Draw the positives once, and give them each kind of background.

    Windows of a genome are drawn for all splits together, so that none overlaps one of another split.

    Raises:
        ConfigError: A kind that needs a genome, and none is given.
    """
    task = find_task(config.task)
    wanted: dict[Split, int] = {
        "train": config.train_rows // 2,
        "validation": config.validation_rows // 2,
        "test": config.test_rows // 2,
    }
    positives: dict[Split, Sequences] = {}
    for split, rows in wanted.items():
        whole = load_task(task, split)
        own = whole.take(np.flatnonzero(whole.labels == 1))
        kept, _ = prepare(own, crop=task.crop, min_length=task.min_length, drop_n=task.drop_n)
        positives[split] = sample_per_class(kept, rows, config.seed)
    sets: dict[str, Splits] = {}
    for kind in config.kinds:
        background = _backgrounds(config, kind, positives)
        parts = {split: _joined(background[split], positives[split]) for split in positives}
        names = (kind, task.classes[1])
        sets[kind] = Splits(parts["train"], parts["validation"], parts["test"], names, task.crop, kind)
    return sets


def _backgrounds(config: NegativesConfig, kind: Kind, positives: dict[Split, Sequences]) -> dict[Split, Sequences]:
    if kind == "gene_body" and config.gtf is None:
        return {split: make_negatives(rows, kind, split=split, seed=config.seed) for split, rows in positives.items()}
    every = _all(list(positives.values()))
    made = make_negatives(every, kind, genome=config.genome, gtf=config.gtf, seed=config.seed)
    found, first = {}, 0
    for split, rows in positives.items():
        found[split] = made.take(slice(first, first + len(rows)))
        first += len(rows)
    return found


def _all(parts: list[Sequences]) -> Sequences:
    loci = [locus for part in parts for locus in part.loci or (None,) * len(part)]
    strings = [text for part in parts for text in part.strings()]
    return Sequences.from_strings(strings, names=[f"p{i}" for i in range(len(strings))], loci=loci)


def _joined(background: Sequences, positives: Sequences) -> Sequences:
    """Put background and positives into one split; coordinates are left behind, as no model may use them."""
    labels = [0] * len(background) + [1] * len(positives)
    return Sequences.from_strings(
        [*background.strings(), *positives.strings()], labels, [*background.names, *positives.names]
    )


def run_negatives(config: NegativesConfig, out: str | Path) -> Path:
    """Train a model against each background, put it on trial, and say what changes; go on where a stopped run was.

    Args:
        config: What determines it.
        out: Folder of the results.

    Returns:
        ``negatives.csv`` in it: a row per background, class, method and count. Beside it ``negatives.json``: accuracy,
        default label, drops, and a warning wherever the ranking of methods or the class that falls further changes.

    Raises:
        KmeritError: Data or settings that do not fit.
    """
    out = Path(out)
    rows: list[dict[str, Any]] = []
    told: dict[str, dict[str, Any]] = {}
    lost = {}
    for kind, splits in make_sets(config).items():
        _audit(splits, out / kind)
        table, told[kind] = _one(config, splits, out / kind)
        lost[kind] = drops(table, config.trial.compared)
        told[kind] |= {"ranking": ranking(lost[kind]), "falls_further": falls_further(lost[kind])}
        rows += [{"negatives": kind, **{str(k): v for k, v in row.items()}} for row in table.to_dict("records")]
    warnings = [text for a, b in pairwise(lost) for text in changes((a, b), lost[a], lost[b])]
    for text in warnings:
        print(f"warning: {text}", file=sys.stderr)
    with atomic_write(out / "negatives.json") as part:
        part.write_text(json.dumps({"sets": told, "warnings": warnings}, indent=2) + "\n", encoding="utf-8")
    with atomic_write(out / "negatives.csv") as part:
        pd.DataFrame(rows).to_csv(part, index=False, lineterminator="\n")
    return out / "negatives.csv"


def _audit(splits: Splits, folder: Path) -> None:
    """Write how easily each background is told from the positives without a model."""
    if splits.test is None or (folder / "audit.json").exists():
        return
    baselines = ("GC", "memory", "4-mer regression")
    found = audit({"train": splits.train, "test": splits.test}, config=Config(Settings(baselines=baselines)))
    with atomic_write(folder / "audit.json") as part:
        part.write_text(found.to_json(), encoding="utf-8")


def _one(config: NegativesConfig, splits: Splits, folder: Path) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Train one model and put it on trial: the summary, and what is said of the model."""
    trial = config.trial
    recipe = {"base": "bundled:encoder", "baselines": False, "seed": config.seed, **config.training}
    model = load_model(finetune(FinetuneConfig.parse(recipe), folder / "model", data=splits))
    sample = sample_per_class(splits.test or splits.train, trial.per_class, config.seed)
    curve = read_curve(
        mutate(
            model,
            sample,
            attribute(model, sample, trial.methods),
            counts=trial.counts,
            replicates=trial.replicates,
            random_sets=trial.random_sets,
            controls=CONTROLS,
            seed=config.seed,
            out=folder / "curve",
        )
    )
    summary = summarise(curve, resamples=config.resamples, seed=config.seed)
    metrics = json.loads((folder / "model" / "metrics.json").read_text(encoding="utf-8"))["test"]
    return summary, {
        "accuracy": metrics["accuracy"],
        "auroc": metrics["auroc"],
        "default_label": default_label(curve),
        "verdicts": [
            {key: getattr(verdict, key) for key in TOLD}
            for verdict in judge(curve, resamples=config.resamples, seed=config.seed)
        ],
    }


def main() -> None:
    """Run the study that a config describes."""
    import argparse
    import tomllib

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    asked = parser.parse_args()
    try:
        tree = tomllib.loads(asked.config.read_text(encoding="utf-8"))
        print(run_negatives(NegativesConfig.parse(tree), asked.out))
    except KmeritError as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        sys.exit(error.exit_code)


if __name__ == "__main__":
    main()
