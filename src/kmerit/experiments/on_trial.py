"""What studies of data sets do with each model: train it, and put it on trial."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from pydantic import Field

from kmerit.attribution import attribute, read_attributions
from kmerit.config import Several, Table
from kmerit.data import sample_per_class
from kmerit.faithfulness import default_label, judge, mutate, read_outcomes, summarise
from kmerit.faithfulness.controls import DECIDING, RANDOM
from kmerit.faithfulness.curves import read_about
from kmerit.models import Model, load_model
from kmerit.store import Stages
from kmerit.training import FinetuneConfig, finetune
from kmerit.training.splits import Splits
from kmerit.types import Outcomes, Sequences

if TYPE_CHECKING:
    import pandas as pd

Watch = Callable[[str], AbstractContextManager[Callable[[int, int], None]]]
"""Shows the progress of a step: gets its title, gives a context with a function of (done, all)."""

TOLD = ("method", "label", "verdict", "excess", "low", "high", "control")
"""What is kept of a verdict."""


def unwatched(title: str) -> AbstractContextManager[Callable[[int, int], None]]:
    """Show no progress."""
    return nullcontext(lambda done, total: None)


class Trial(Table):
    """The trial that every model is put on."""

    per_class: int = Field(200, ge=1)
    methods: list[str] = Field(min_length=1)
    counts: Several[int | Literal["all"]] = (0, 1, 5, 10, 15, 20, "all")
    compared: int = Field(20, ge=1, description="the n at which drops are compared")
    replicates: int = Field(3, ge=1)
    random_sets: int = Field(10, ge=0)
    resamples: int = Field(1000, ge=100)
    seed: int = Field(0, ge=0, description="of the sequences on trial and of their mutants")


class Tried(NamedTuple):
    """What came of a model.

    Attributes:
        outcomes: Of its trial.
        summary: Of the same.
        told: ``accuracy`` and ``auroc`` on the whole test split with their intervals, the ``default_label``, and the
            ``verdicts``.
    """

    outcomes: Outcomes
    summary: pd.DataFrame
    told: dict[str, Any]


def on_trial(recipe: dict[str, Any], trial: Trial, splits: Splits, folder: Path, watch: Watch) -> Tried:
    """Train a model and put it on trial, or go on where either was stopped.

    Args:
        recipe: Keys of a fine-tuning, from the bundled encoder unless it says otherwise.
        trial: Which mutants of which sequences.
        splits: What the model is trained, chosen and tried on.
        folder: Of the model and its trial.
        watch: Shows the progress.
    """
    title = f"{folder.parent.name}/{folder.name}"
    config = FinetuneConfig.parse({"base": "bundled:encoder", "baselines": False, **recipe})
    with watch(f"{title}: training") as progress:
        model = load_model(finetune(config, folder / "model", data=splits, progress=progress))
    sample = sample_per_class(splits.test or splits.train, trial.per_class, trial.seed)
    place = folder / "curve"
    about = read_about(place)
    if about is None or about["settings"]["model_sha256"] != model.digest:
        with watch(f"{title}: attribution") as progress:
            scores = _scored(model, sample, trial.methods, folder / "scores.parquet", progress)
        with watch(f"{title}: trial") as progress:
            mutate(
                model,
                sample,
                scores,
                counts=trial.counts,
                replicates=trial.replicates,
                random_sets=trial.random_sets,
                controls=(RANDOM, *DECIDING),
                seed=trial.seed,
                out=place,
                progress=progress,
            )
    outcomes = read_outcomes(place)
    metrics = json.loads((folder / "model" / "metrics.json").read_text(encoding="utf-8"))["test"]
    told = {
        "accuracy": metrics["accuracy"],
        "auroc": metrics["auroc"],
        "default_label": default_label(outcomes),
        "verdicts": [
            {key: getattr(verdict, key) for key in TOLD}
            for verdict in judge(outcomes, resamples=trial.resamples, seed=trial.seed)
        ],
    }
    return Tried(outcomes, summarise(outcomes, resamples=trial.resamples, seed=trial.seed), told)


def _scored(
    model: Model, sample: Sequences, methods: list[str], path: Path, progress: Callable[[int, int], None]
) -> Path:
    """Keep the scores of a model: made anew, their last bits can differ, and a trial that was stopped not go on."""
    stages = Stages(path.parent)
    if stages.is_done("scores") and all(
        each.settings["model"] == model.digest for each in read_attributions(path).values()
    ):
        return path
    attribute(model, sample, methods, out=path, progress=progress)
    stages.mark_done("scores", [path.name])
    return path
