"""The same positives against several sets of negatives: do the verdicts depend on the background?"""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from pydantic import Field

import kmerit as km
from kmerit.config import Several, Table
from kmerit.datasets.negatives import Kind, draw_positives, make_backgrounds
from kmerit.datasets.task import Split, find_task
from kmerit.report import studies as reports
from kmerit.runs.stages import Watch, unwatched
from kmerit.runs.study import Trial, retrain, study_folder
from kmerit.store import write_csv, write_json
from kmerit.training.data import Splits
from kmerit.trials.controls import RANDOM
from kmerit.trials.measures import changes, falls_further, rank_by_drop


class BackgroundsConfig(Table):
    """Positives of a task, and the backgrounds that models learn to distinguish them from."""

    task: str = "epdnew_nontata"
    kinds: Several[Kind] = ("random", "gc", "shuffled", "gene_body")
    genome: str | None = Field(None, description="FASTA, plain or gzipped; for random and gc")
    gtf: str | None = Field(None, description="genes of that genome; gene bodies are resampled by default")
    train_rows: int = Field(3000, ge=2, description="of both classes together")
    validation_rows: int = Field(600, ge=2)
    test_rows: int = Field(2000, ge=2)
    training: dict[str, Any] = Field({}, description="keys of a fine-tuning")
    trial: Trial
    seed: int = Field(0, ge=0, description="of the rows, the backgrounds and the training")


def make_sets(config: BackgroundsConfig) -> dict[str, Splits]:
    """Draw the positives once, and give them each kind of background.

    Raises:
        ConfigError: A kind that needs a genome, and none is given.
    """
    task = find_task(config.task)
    rows: dict[Split, int] = {
        "train": config.train_rows,
        "validation": config.validation_rows,
        "test": config.test_rows,
    }
    positives = draw_positives(task, {split: number // 2 for split, number in rows.items()}, config.seed)
    sets: dict[str, Splits] = {}
    for kind in config.kinds:
        backgrounds = make_backgrounds(positives, kind, genome=config.genome, gtf=config.gtf, seed=config.seed)
        # Without coordinates, as no model may use them.
        train, validation, test = (
            replace(km.Sequences.concat(pair), loci=None, windows=None)
            for pair in zip(backgrounds, positives.values(), strict=True)
        )
        sets[kind] = Splits(train, validation, test, (kind, task.classes[1]), task.crop, kind)
    return sets


def run_backgrounds(config: BackgroundsConfig, out: str | Path, watch: Watch = unwatched) -> Path:
    """Train a model against each background, put it on trial, and say what changes; resume a stopped run.

    Args:
        config: What determines it.
        out: Folder of the results.
        watch: Shows the progress of a step.

    Returns:
        ``negatives.md`` in it. ``negatives.csv`` has a row per background, class, method and count; ``negatives.json``
        has accuracy, default label, drops, and a `Change` wherever the ranking of methods or the class that falls
        further changes; ``study.json`` is the config.

    Raises:
        RunMismatch: The folder holds results of another config; ``kinds`` may differ.
        KmeritError: Data or settings that do not fit.

    Example:
        >>> import tempfile
        >>> few = {"kinds": ["shuffled"], "train_rows": 8, "validation_rows": 4, "test_rows": 8}
        >>> trial = {"methods": ["attention"], "counts": [0, 5], "compared": 5, "per_class": 2}
        >>> config = BackgroundsConfig.parse({**few, "trial": trial, "training": {"max_steps": 1, "device": "cpu"}})
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     run_backgrounds(config, folder).name
        'negatives.md'
    """
    import pandas as pd

    out, methods = Path(out), config.trial.methods
    tables, sets = [], {}
    with study_folder(
        out, config, free=("kinds",), watch=watch
    ) as study:  # each kind is drawn by itself, with one seed
        for kind, splits in make_sets(config).items():
            (study / kind).audit(splits, baselines=("GC", "memory", "4-mer regression"))
            model = retrain(study / kind, {**config.training, "seed": config.seed}, splits, config.trial)
            drops = {name: by for name, by in model.row.pop("drops").items() if name in (*methods, RANDOM)}
            order = {"ranking": rank_by_drop(drops, methods), "falls_further": falls_further(drops, methods)}
            sets[kind] = {**model.row, **order, "drops": drops}
            tables.append(model.summary.assign(negatives=kind)[["negatives", *model.summary.columns]])
        every = changes(sets)
        write_json(out / "negatives.json", {"sets": sets, "changes": [asdict(change) for change in every]})
        write_csv(out / "negatives.csv", pd.concat(tables))
        return reports.backgrounds(out / "negatives.md", sets, every)
