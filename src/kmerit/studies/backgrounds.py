"""The same positives against several sets of negatives: do the verdicts depend on the background?"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

from pydantic import Field

from kmerit.config import Several, Table
from kmerit.datasets.negatives import Kind
from kmerit.datasets.task import SPLITS
from kmerit.report import studies as reports
from kmerit.runs.stages import Watch, unwatched
from kmerit.runs.study import Trial, retrain, study_folder
from kmerit.store import write_csv, write_json
from kmerit.training.data import Splits, background_splits
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

    def splits(self) -> dict[str, Splits]:
        """Draw the positives, and a background of each kind."""
        both = {"train": self.train_rows, "validation": self.validation_rows, "test": self.test_rows}
        rows = {split: both[split] // 2 for split in SPLITS}
        return background_splits(self.task, self.kinds, rows, genome=self.genome, gtf=self.gtf, seed=self.seed)


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
    with study_folder(out, config, free=("kinds",), watch=watch) as study:
        for kind, splits in config.splits().items():
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
