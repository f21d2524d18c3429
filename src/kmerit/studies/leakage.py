"""Leakage, class by class: does the collapse under mutation follow the leaked class, or the default label?

Four arms per data set: leaks of no class, the background, the regulatory class, both. Training rows give way to copies
of test rows, or to windows that overlap them; sizes, test set and everything else are the same in all arms.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from kmerit.config import Several, Table
from kmerit.datasets.leaks import LeakingTask
from kmerit.report import studies as reports
from kmerit.runs.stages import Watch, unwatched
from kmerit.runs.study import Trial, retrain, study_folder
from kmerit.store import write_csv, write_json
from kmerit.training.data import leaking_splits
from kmerit.trials.measures import class_contrasts, collapse_counts, falls_further, losses

KEPT = ["label", "method", "n", "full", "accuracy", "low", "high", "tokens_changed", "gc_shift"]
"""What is kept of a summary."""
Arm = Literal["none", "positives", "negatives", "both"]
ARMS: dict[Arm, tuple[int, ...]] = {"none": (), "positives": (1,), "negatives": (0,), "both": (0, 1)}
"""Which classes leak."""
CONTRASTS: dict[str, dict[str, float]] = {
    "unleaked": {"none": 1.0},
    "positives": {"positives": 1.0, "none": -1.0},
    "negatives": {"negatives": -1.0, "none": 1.0},
    "leaked": {"positives": 0.5, "negatives": -0.5},
}
"""How arms are weighed; of each arm, how much further class 1 falls than class 0."""


class LeakageConfig(Table):
    """The crossed design."""

    sets: dict[str, LeakingTask] = Field(min_length=1)
    arms: Several[Arm] = ("none", "positives", "negatives", "both")
    seeds: list[int] = Field([0, 1, 2], min_length=1)
    seed: int = Field(0, ge=0, description="of the leaks, the same in all arms")
    training: dict[str, Any] = Field({}, description="keys of a fine-tuning")
    trial: Trial = Field(description="the same in all arms; its seed draws the sequences on trial")


def run_leakage(config: LeakageConfig, out: str | Path, watch: Watch = unwatched) -> Path:
    """Run the crossed design; resume a stopped one.

    Args:
        config: What determines it.
        out: Folder of the results.
        watch: Shows the progress of a step.

    Returns:
        ``leakage.md`` in it. ``leakage.csv`` has a row per data set, arm, seed, class and method; ``leakage.json``
        says, per data set, arm and seed, which class fell further, which leaked, and which is the default label, and
        per data set how much further one class falls, and what a leak adds to that (`effects`); ``study.json`` is the
        config.

    Raises:
        RunMismatch: The folder holds results of another config; ``arms`` and ``seeds`` may differ.
        KmeritError: Data or settings that do not fit.

    Example:
        >>> import tempfile
        >>> few = {"task": "ienhancer_2l", "leaks": "copies", "train_rows": 8, "test_per_class": 4}
        >>> trial = {"methods": ["attention"], "counts": [0, 5], "compared": 5, "per_class": 2}
        >>> design = {"sets": {"few": few}, "arms": ["none"], "seeds": [0], "trial": trial}
        >>> config = LeakageConfig.parse({**design, "training": {"max_steps": 1, "device": "cpu"}})
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     run_leakage(config, folder).name
        'leakage.md'
    """
    import pandas as pd

    out, methods = Path(out), config.trial.methods
    tables, models, answers = [], [], {}
    with study_folder(out, config, free=("arms", "seeds"), watch=watch) as study:  # no model depends on the others
        for name, settings in config.sets.items():
            sets = leaking_splits(settings, {arm: ARMS[arm] for arm in config.arms}, config.seed)
            of_set, lost = [], []
            for seed in config.seeds:  # all arms with one seed, then with the next: what is done early compares
                for arm in config.arms:
                    splits = sets[arm]
                    (study / name / arm).audit(splits, baselines=("memory",), resamples=200)
                    folder, recipe = study / name / arm / f"seed{seed}", {**config.training, "seed": seed}
                    model = retrain(folder, recipe, splits, config.trial)
                    keys: dict[str, Any] = {"set": name, "arm": arm, "seed": seed}
                    further = falls_further(model.row["drops"], methods)
                    of_set.append({**keys, "leaked": list(ARMS[arm]), "falls_further": further, **model.row})
                    lost.append(losses(model.outcomes, methods, config.trial.compared).assign(**keys))
                    tables.append(model.summary[KEPT].assign(**keys))
            models += sorted(of_set, key=lambda row: config.arms.index(row["arm"]))
            effects = class_contrasts(pd.concat(lost), CONTRASTS, config.trial.resamples, config.trial.seed)
            answers[name] = collapse_counts(of_set, methods, [*ARMS]) | {"effects": effects}
        order = [*config.sets, *config.arms].index
        summary = pd.concat(tables).sort_values(["set", "arm"], key=lambda column: column.map(order), kind="stable")
        write_csv(out / "leakage.csv", summary[["set", "arm", "seed", *KEPT]])
        write_json(out / "leakage.json", {"models": models, "answers": answers})
        return reports.leakage(out / "leakage.md", models, answers, methods)
