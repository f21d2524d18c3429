"""Leakage, class by class: does the collapse under mutation follow the leaked class, or the default label?

Four arms per data set: leaks of no class, the background, the regulatory class, both. Training rows give way to copies
of test rows, or to windows that overlap them; sizes, test set and everything else are the same in all arms.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
from pydantic import Field

from kmerit.audit import Config, Settings, audit
from kmerit.audit.planting import draw_leaking, overlapping_windows, placed, plant_leaks
from kmerit.config import Several, Table
from kmerit.data import Crop, find_task, load_task, prepare, read_sequences, sample_per_class
from kmerit.data.decontaminate import shared_kmers
from kmerit.data.groups import SHARED
from kmerit.errors import ConfigError
from kmerit.experiments.on_trial import Trial, Watch, on_trial, unwatched
from kmerit.experiments.study import of_config, study
from kmerit.faithfulness.asymmetry import class_difference, drops, falls, falls_further
from kmerit.faithfulness.comparisons import known
from kmerit.faithfulness.controls import RANDOM, is_control
from kmerit.store import Stages, atomic_write, write_text
from kmerit.training.splits import Splits
from kmerit.types import Floats, Int64, Outcomes, Sequences

WATCHED = 100
"""Validation rows of each class: they show how training goes, and choose nothing."""
KEPT = ["label", "method", "n", "full", "accuracy", "low", "high", "tokens_changed", "gc_shift"]
"""What is kept of a summary."""
Arm = Literal["none", "positives", "negatives", "both"]
ARMS: dict[Arm, tuple[int, ...]] = {"none": (), "positives": (1,), "negatives": (0,), "both": (0, 1)}
"""Which classes leak."""


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


@dataclass(frozen=True, eq=False)
class Design:
    """The rows of one data set, before anything leaks.

    Attributes:
        train: Training rows of the arm ``none``, whole.
        validation: Cropped; the same in all arms.
        test: Cropped; the same in all arms.
        leaks: What takes the place of training rows, whole, labelled.
        classes: Their names.
        crop: What models see.
    """

    train: Sequences
    validation: Sequences
    test: Sequences
    leaks: Sequences
    classes: tuple[str, ...]
    crop: Crop | None

    def arm(self, name: Arm, seed: int) -> Splits:
        """Plant the leaks of one arm."""
        train = plant_leaks(self.train, self.leaks, ARMS[name], seed)
        return Splits(train, self.validation, self.test, self.classes, self.crop, f"arm {name}")


def design(config: DataSet, seed: int) -> Design:
    """Gather the rows of a data set, and what may leak.

    Raises:
        ConfigError: Overlaps without a corpus.
        FormatError: Too few test rows are found in the corpus.
    """
    task = find_task(config.task)
    whole = {split: load_task(task, split) for split in ("train", "validation", "test")}
    least = dict.fromkeys(whole, task.min_length) | {"train": config.train_min_length or task.min_length}
    kept = {split: prepare(rows, min_length=least[split], drop_n=task.drop_n)[0] for split, rows in whole.items()}
    train, validation, test = kept["train"], kept["validation"], kept["test"]
    if config.leaks == "copies":
        test = _drawn(test, config.test_per_class, seed)
        leaks = test.take(draw_leaking(test, config.share, seed))
    else:
        if not config.corpus:
            raise ConfigError("leaks = 'overlaps' needs a corpus to cut windows out of: corpus = ['genome.fa.gz'].")
        pieces = _joined([read_sequences(path, case="upper") for path in config.corpus])
        # Few positives lie in the corpus: those of the training split are tested on, too, and nothing like them stays.
        pool = _joined([test, train])
        test = _drawn(pool.take(placed(pool, pieces)), config.test_per_class, seed)
        train = train.take(~np.isin(train.names, test.names))
        validation = validation.take(shared_kmers(validation, test) < SHARED)
        leaks = overlapping_windows(test.take(draw_leaking(test, config.share, seed)), pieces, seed)
    validation = _drawn(validation, WATCHED, seed)
    train = train.take(shared_kmers(train, test) < SHARED)
    train = _drawn(train, None if config.train_rows is None else config.train_rows // 2, seed)
    validation, test = (prepare(rows, crop=task.crop, drop_n=False)[0] for rows in (validation, test))
    return Design(train, validation, test, leaks, task.classes, task.crop)


def _drawn(rows: Sequences, per_class: int | None, seed: int) -> Sequences:
    return rows if per_class is None else sample_per_class(rows, per_class, seed)


def _joined(parts: list[Sequences]) -> Sequences:
    """Lay sequences end to end; loci are left behind."""
    offsets = np.concatenate([[0], np.cumsum(np.concatenate([part.lengths for part in parts]))]).astype(np.int64)
    known = [part.labels for part in parts if part.labels is not None]
    labels = np.concatenate(known) if len(known) == len(parts) else None
    names = tuple(name for part in parts for name in part.names)
    return Sequences(names, np.concatenate([part.bases for part in parts]), offsets, labels)


def run_leakage(config: LeakageConfig, out: str | Path, watch: Watch = unwatched) -> Path:
    """Run the crossed design; go on where a stopped one was.

    Args:
        config: What determines it.
        out: Folder of the results.
        watch: Shows the progress of a step.

    Returns:
        ``leakage.csv`` in it: a row per data set, arm, seed, class and method. Beside it ``leakage.json`` says, per
        data set, arm and seed, which class fell further, which leaked, and which is the default label, and per data
        set how much further one class falls, and what a leak adds to that (`effects`); ``study.json`` is the config.

    Raises:
        RunMismatch: The folder holds results of another config; ``arms`` and ``seeds`` may differ.
        KmeritError: Data or settings that do not fit.

    Example:
        >>> import tempfile
        >>> few = {"task": "ienhancer_2l", "leaks": "copies", "train_rows": 8, "test_per_class": 4}
        >>> config = LeakageConfig.parse(
        ...     {
        ...         "sets": {"few": few},
        ...         "arms": ["none"],
        ...         "seeds": [0],
        ...         "training": {"max_steps": 1, "device": "cpu"},
        ...         "trial": {"methods": ["attention"], "counts": [0, 5], "compared": 5, "per_class": 2},
        ...     }
        ... )
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     run_leakage(config, folder).name
        'leakage.csv'
    """
    out = Path(out)
    settings, earlier = of_config(config)
    with study(out, settings, free=("arms", "seeds"), earlier=earlier):  # no model depends on which others there are
        return _run(config, out, watch)


def _run(config: LeakageConfig, out: Path, watch: Watch) -> Path:
    rows: list[dict[str, Any]] = []
    told: list[dict[str, Any]] = []
    contrasts: dict[str, dict[str, Any]] = {}
    for name, settings in config.sets.items():
        rows_of_set = design(settings, config.seed)
        fallen: list[Fallen] = []
        for seed in config.seeds:  # all arms with one seed, then with the next: what is done early compares
            for arm in config.arms:
                splits = rows_of_set.arm(arm, config.seed)
                _audit(splits, out / name / arm)
                recipe = {**config.training, "seed": seed}
                outcomes, summary, verdict = on_trial(
                    recipe, config.trial, splits, out / name / arm / f"seed{seed}", watch
                )
                fallen.append(Fallen.of(outcomes, arm, seed, config.trial))
                keys = {"set": name, "arm": arm, "seed": seed}
                rows += [
                    keys | {str(key): value for key, value in row.items()} for row in summary[KEPT].to_dict("records")
                ]
                lost = drops(summary, config.trial.compared)
                told.append(
                    keys
                    | {"leaked": list(ARMS[arm]), "falls_further": falls_further(lost)}
                    | verdict
                    | {"drops": {m: {str(label): drop for label, drop in by.items()} for m, by in lost.items()}}
                )
        contrasts[name] = effects(fallen, config.trial.resamples, config.trial.seed)
    order = [(name, arm) for name in config.sets for arm in config.arms]
    rows, told = (sorted(each, key=lambda row: order.index((row["set"], row["arm"]))) for each in (rows, told))
    with atomic_write(out / "leakage.json") as part:
        found = {name: answer | {"effects": contrasts[name]} for name, answer in answers(told).items()}
        part.write_text(json.dumps({"models": told, "answers": found}, indent=2) + "\n", encoding="utf-8")
    with atomic_write(out / "leakage.csv") as part:
        pd.DataFrame(rows).to_csv(part, index=False, lineterminator="\n")
    return out / "leakage.csv"


def _audit(splits: Splits, folder: Path) -> None:
    """Write what the audit sees of the arm: the leaks that were planted, and no others."""
    stages = Stages(folder)
    if splits.test is None or stages.is_done("audit"):
        return
    train = prepare(splits.train, crop=splits.crop, drop_n=False)[0]
    found = audit(
        {"train": train, "test": splits.test}, config=Config(settings=Settings(baselines=("memory",), resamples=200))
    )
    write_text(folder / "audit.json", found.to_json())
    stages.mark_done("audit", ["audit.json"])


CONTRASTS: dict[str, dict[Arm, float]] = {
    "unleaked": {"none": 1.0},
    "positives": {"positives": 1.0, "none": -1.0},
    "negatives": {"negatives": -1.0, "none": 1.0},
    "leaked": {"positives": 0.5, "negatives": -0.5},
}
"""How arms are weighed. Of each arm it is taken how much further class 1 falls than class 0: without leaks; how much is
added on the side of the class that leaks, by a leak of class 1, of class 0, and by both on average."""


@dataclass(frozen=True, eq=False)
class Fallen:
    """What mutation took from the sequences on trial of one model.

    Attributes:
        arm: What leaked into its training split.
        seed: Of the training.
        labels: ``[sequence]``, the same in all models of a data set, as are the sequences.
        clusters: ``[sequence]``, sequences that count as one; None: each counts.
        lost: Accuracy ``[sequence]`` by ``n`` (a number, or ``all``), then by ranking: ``methods``, their mean, and
            ``random`` positions.
    """

    arm: Arm
    seed: int
    labels: Int64
    clusters: Int64 | None
    lost: dict[str, dict[str, Floats]]

    @classmethod
    def of(cls, outcomes: Outcomes, arm: Arm, seed: int, trial: Trial) -> Fallen:
        """Take from a trial what it has at the n that is compared, and with all mutated."""
        n = trial.compared
        lost = {str(n): {"methods": falls(outcomes, n)}}
        if trial.random_sets:
            lost[str(n)][RANDOM] = falls(outcomes, n, RANDOM)
        if "all" in trial.counts:
            lost["all"] = {"methods": falls(outcomes, None)}
        return cls(arm, seed, outcomes.classes, outcomes.clusters, lost)


def effects(models: Sequence[Fallen], resamples: int = 2000, seed: int = 0) -> dict[str, dict[str, dict[str, Any]]]:
    """Say how much further one class falls than the other: without leaks, and what a leak adds to that.

    Args:
        models: Of one data set.
        resamples: Bootstrap draws of the intervals, over sequences; the trainings are taken as they are.
        seed: Of those draws.

    Returns:
        By ``n``, then by ranking, then by contrast, see `CONTRASTS`: ``value``, ``low``, ``high`` in accuracy, and
        ``trainings``, the values of each seed alone. A contrast whose arms are not there is left out.

    Example:
        >>> model = Fallen("none", 0, np.array([0, 1]), None, {"20": {"methods": np.array([0.1, 0.3])}})
        >>> round(effects([model], resamples=100)["20"]["methods"]["unleaked"]["value"], 2)
        0.2
    """
    labels, clusters, arms = models[0].labels, models[0].clusters, {model.arm for model in models}
    seeds = list(dict.fromkeys(model.seed for model in models))
    asked = {name: weights for name, weights in CONTRASTS.items() if arms.issuperset(weights)}
    found: dict[str, dict[str, dict[str, Any]]] = {}
    for n, by_ranking in models[0].lost.items():
        for ranking in by_ranking:
            for name, weights in asked.items():
                each = [_weighed([m for m in models if m.seed == s], weights, n, ranking) for s in seeds]
                whole = class_difference(
                    np.mean(each, axis=0), labels, clusters=clusters, resamples=resamples, seed=seed
                )
                alone = [known(class_difference(one, labels, resamples=0).value) for one in each]
                told = {key: known(value) for key, value in whole._asdict().items()} | {"trainings": alone}
                found.setdefault(n, {}).setdefault(ranking, {})[name] = told
    return found


def _weighed(models: Sequence[Fallen], weights: Mapping[Arm, float], n: str, ranking: str) -> Floats:
    """Add what each sequence lost in the arms of one seed, weighed: ``[sequence]``."""
    return np.asarray(sum(weights[m.arm] * m.lost[n][ranking] for m in models if m.arm in weights))


def answers(models: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Say per data set what the collapse follows.

    Args:
        models: Per model ``set``, ``arm``, ``seed``, ``leaked``, ``default_label``, ``falls_further`` and ``drops``.

    Returns:
        Per data set: of the models with one leaked class, how many fell further in the ``leaked`` class and how many in
        the one that is ``not_default``, and how many there are; and per arm the ``drop`` of each class, averaged over
        methods and seeds, less that of the arm ``none`` (``against_none``).

    Example:
        >>> model = {"set": "a", "arm": "positives", "seed": 0, "leaked": [1], "default_label": 1, "falls_further": 1,
        ...          "drops": {"lrp": {"0": 0.1, "1": 0.3}}}
        >>> found = answers([model])["a"]
        >>> found["leaked"], found["not_default"], found["models"]
        (1, 0, 1)
    """
    found: dict[str, dict[str, Any]] = {}
    for name in dict.fromkeys(model["set"] for model in models):
        mine = [model for model in models if model["set"] == name]
        single = [model for model in mine if len(model["leaked"]) == 1 and model["falls_further"] is not None]
        by_arm = {arm: dict(_mean_drops([m for m in mine if m["arm"] == arm])) for arm in ARMS}
        none = by_arm["none"]
        found[name] = {
            "models": len(single),
            "leaked": sum(model["falls_further"] in model["leaked"] for model in single),
            "not_default": sum(
                model["default_label"] is not None and model["falls_further"] != model["default_label"]
                for model in single
            ),
            "drop": by_arm,
            "against_none": {
                arm: {label: drop - none[label] for label, drop in by_label.items() if label in none}
                for arm, by_label in by_arm.items()
                if arm != "none"
            },
        }
    return found


def _mean_drops(models: list[dict[str, Any]]) -> Iterator[tuple[str, float]]:
    labels = sorted({label for model in models for by in model["drops"].values() for label in by})
    for label in labels:
        each = [by[label] for model in models for method, by in model["drops"].items() if not is_control(method)]
        yield label, float(np.mean(each))
