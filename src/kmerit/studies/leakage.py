"""Leakage, class by class: does the collapse under mutation follow the leaked class, or the default label?

Four arms per data set: leaks of no class, the background, the regulatory class, both. Training rows give way to copies
of test rows, or to windows that overlap them; sizes, test set and everything else are the same in all arms.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from pydantic import Field

import kmerit as km
from kmerit.config import Several, Table
from kmerit.datasets.planting import draw_leaking, overlapping_windows, placed, plant_leaks
from kmerit.datasets.similarity import without_shared
from kmerit.datasets.task import find_task
from kmerit.errors import ConfigError
from kmerit.report import studies as reports
from kmerit.runs.stages import Watch, unwatched
from kmerit.runs.study import Trial, retrain
from kmerit.store import write_csv, write_json
from kmerit.training.data import Splits
from kmerit.trials.measures import falls_further, losses, mean_drops
from kmerit.uncertainty import class_difference

if TYPE_CHECKING:
    import pandas as pd

WATCHED = 100
"""Validation rows of each class: they show how training goes, and choose nothing."""
KEPT = ["label", "method", "n", "full", "accuracy", "low", "high", "tokens_changed", "gc_shift"]
"""What is kept of a summary."""
Arm = Literal["none", "positives", "negatives", "both"]
ARMS: dict[Arm, tuple[int, ...]] = {"none": (), "positives": (1,), "negatives": (0,), "both": (0, 1)}
"""Which classes leak."""
CONTRASTS: dict[str, dict[Arm, float]] = {
    "unleaked": {"none": 1.0},
    "positives": {"positives": 1.0, "none": -1.0},
    "negatives": {"negatives": -1.0, "none": 1.0},
    "leaked": {"positives": 0.5, "negatives": -0.5},
}
"""How arms are weighed; of each arm, how much further class 1 falls than class 0."""


class DataSet(Table):
    """One data set of the design."""

    task: str
    leaks: Literal["copies", "overlaps"]
    share: float = Field(0.755, gt=0, le=1, description="of each class's test rows that leak, where it leaks")
    train_min_length: int | None = Field(None, ge=1, description="nucleotides; that of the test rows by default")
    train_rows: int | None = Field(None, ge=2, description="of both classes together; all there are by default")
    test_per_class: int | None = Field(None, ge=1, description="all there are by default")
    corpus: list[str] = Field([], description="FASTA that windows are cut out of; for overlaps")


class LeakageConfig(Table):
    """The crossed design."""

    sets: dict[str, DataSet] = Field(min_length=1)
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
    with km.study(out, config, free=("arms", "seeds"), watch=watch) as study:  # no model depends on the others
        for name, settings in config.sets.items():
            unleaked, leaks = design(settings, config.seed)
            of_set, lost = [], []
            for seed in config.seeds:  # all arms with one seed, then with the next: what is done early compares
                for arm in config.arms:
                    train = plant_leaks(unleaked.train, leaks, ARMS[arm], config.seed)
                    splits = replace(unleaked, train=train, name=f"arm {arm}")
                    (study / name / arm).audit(splits, baselines=("memory",), resamples=200)
                    folder, recipe = study / name / arm / f"seed{seed}", {**config.training, "seed": seed}
                    model = retrain(folder, recipe, splits, config.trial)
                    keys: dict[str, Any] = {"set": name, "arm": arm, "seed": seed}
                    further = falls_further(model.row["drops"], methods)
                    of_set.append({**keys, "leaked": list(ARMS[arm]), "falls_further": further, **model.row})
                    lost.append(losses(model.outcomes, methods, config.trial.compared).assign(**keys))
                    tables.append(model.summary[KEPT].assign(**keys))
            models += sorted(of_set, key=lambda row: config.arms.index(row["arm"]))
            difference = effects(pd.concat(lost), config.trial.resamples, config.trial.seed)
            answers[name] = answer(of_set, methods) | {"effects": difference}
        order = [*config.sets, *config.arms].index
        rows = pd.concat(tables).sort_values(["set", "arm"], key=lambda column: column.map(order), kind="stable")
        write_csv(out / "leakage.csv", rows[["set", "arm", "seed", *KEPT]])
        write_json(out / "leakage.json", {"models": models, "answers": answers})
        return reports.leakage(out / "leakage.md", models, answers, methods)


def design(config: DataSet, seed: int) -> tuple[Splits, km.Sequences]:
    """Gather the rows of a data set before anything leaks, and what may leak.

    Raises:
        ConfigError: Overlaps without a corpus.
        FormatError: Too few test rows are found in the corpus.
    """
    task = find_task(config.task)
    least = {"train": config.train_min_length or task.min_length}
    train, validation, test = (
        km.prepare(km.load_task(task, split), min_length=least.get(split, task.min_length), drop_n=task.drop_n)[0]
        for split in ("train", "validation", "test")
    )

    def drawn(rows: km.Sequences, per_class: int | None) -> km.Sequences:
        return rows if per_class is None else km.sample_per_class(rows, per_class, seed)

    if config.leaks == "copies":
        test = drawn(test, config.test_per_class)
        leaks = test.take(draw_leaking(test, config.share, seed))
    elif not config.corpus:
        raise ConfigError("leaks = 'overlaps' needs a corpus to cut windows out of: corpus = ['genome.fa.gz'].")
    else:
        pieces = joined([km.read_sequences(path, case="upper") for path in config.corpus])
        # Few positives lie in the corpus: those of the training split are tested on, too, and nothing like them stays.
        pool = joined([test, train])
        test = drawn(pool.take(placed(pool, pieces)), config.test_per_class)
        train = train.take(~np.isin(train.names, test.names))
        validation = without_shared(validation, test)
        leaks = overlapping_windows(test.take(draw_leaking(test, config.share, seed)), pieces, seed)
    validation = drawn(validation, WATCHED)
    train = drawn(without_shared(train, test), config.train_rows and config.train_rows // 2)
    validation, test = (km.prepare(rows, crop=task.crop, drop_n=False)[0] for rows in (validation, test))
    return Splits(train, validation, test, task.classes, task.crop), leaks


def joined(parts: Sequence[km.Sequences]) -> km.Sequences:
    """Put sequences end to end; loci are left out."""
    return replace(km.Sequences.concat(parts), loci=None)


def effects(lost: pd.DataFrame, resamples: int = 2000, seed: int = 0) -> dict[str, dict[str, dict[str, Any]]]:
    """Compute how much further one class falls than the other: without leaks, and what a leak adds to that.

    Args:
        lost: `losses` of the models of one data set, with ``arm`` and ``seed``.
        resamples: Bootstrap draws of the intervals, over sequences; the trainings are taken as they are.
        seed: Of those draws.

    Returns:
        By ``n``, then by ranking, then by contrast, see `CONTRASTS`: ``value``, ``low``, ``high`` in accuracy, and
        ``trainings``, the values of each seed alone. A contrast whose arms are not there is left out.
    """
    by_arm = lost.pivot(index=["n", "ranking", "sequence", "label", "cluster", "seed"], columns="arm", values="lost")
    by_n: dict[str, dict[str, dict[str, Any]]] = {}
    for n, ranking in dict.fromkeys(zip(lost["n"], lost["ranking"], strict=True)):
        contrasts = by_n.setdefault(n, {}).setdefault(ranking, {})
        for name, weights in CONTRASTS.items():
            if set(weights) <= set(by_arm):
                each = sum(by * by_arm.loc[(n, ranking), arm] for arm, by in weights.items()).unstack("seed")
                labels, clusters = (each.index.get_level_values(key).to_numpy() for key in ("label", "cluster"))
                whole = class_difference(each.mean(axis=1, skipna=False), labels, clusters, resamples, seed)
                alone = [class_difference(each[of], labels, clusters, 0).known()["value"] for of in each]
                contrasts[name] = whole.known() | {"trainings": alone}
    return by_n


def answer(models: list[dict[str, Any]], methods: list[str]) -> dict[str, Any]:
    """Count what the collapse follows in one data set.

    Args:
        models: Per model ``arm``, ``leaked``, ``default_label``, ``falls_further`` and ``drops``.
        methods: Without controls.

    Returns:
        Of the ``models`` with one leaked class, how many fell further in the ``leaked`` class and how many in the one
        that is ``not_default``; and per arm the ``drop`` of each class, averaged over methods and seeds, less that of
        the arm ``none`` (``against_none``).
    """
    single = [model for model in models if len(model["leaked"]) == 1 and model["falls_further"] is not None]
    by_arm = {arm: mean_drops([model["drops"] for model in models if model["arm"] == arm], methods) for arm in ARMS}
    none = by_arm["none"]
    return {
        "models": len(single),
        "leaked": sum(model["falls_further"] in model["leaked"] for model in single),
        "not_default": sum(model["default_label"] not in (None, model["falls_further"]) for model in single),
        "drop": by_arm,
        "against_none": {
            arm: {label: drop - none[label] for label, drop in by_label.items() if label in none}
            for arm, by_label in by_arm.items()
            if arm != "none"
        },
    }
