"""Sanity checks of attribution methods on one model, with intervals over sequences. Source: adebayo2018."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import Field

import kmerit as km
from kmerit.config import Table
from kmerit.errors import ModelError
from kmerit.models.model import Model
from kmerit.report import studies as reports
from kmerit.runs.stages import Watch, unwatched
from kmerit.runs.study import Study, study_folder
from kmerit.store import write_json
from kmerit.training.data import load_splits, shuffle_labels
from kmerit.training.recipe import FinetuneConfig
from kmerit.trials.checks import Omission, has_parts, sanity_checks
from kmerit.trials.execution import clusters_of
from kmerit.uncertainty import mean_interval


class SanityConfig(Table):
    """What is checked."""

    methods: list[str] = Field(min_length=1)
    recipe: dict[str, Any] | None = Field(None, description="a fine-tuning, to train the model again")
    seeds: int = Field(1, ge=0, description="other seeds to train the recipe with")
    seed: int = Field(0, ge=0, description="of random weights and labels")
    resamples: int = Field(2000, ge=100)


def run_sanity(
    model: Model, sequences: km.Sequences, config: SanityConfig, out: str | Path, watch: Watch = unwatched
) -> Path:
    """Check methods, each against what its scores should and should not depend on.

    Args:
        model: A classifier.
        sequences: What is scored.
        config: Methods, and how to train the model again, if that is wanted.
        out: Folder of the results and of the models that were trained; a training that was stopped resumes.
        watch: Shows the progress of a step.

    Returns:
        ``sanity.md`` in the folder. ``sanity.json``: one entry per check, stage and method, with the mean over
        sequences, its interval and how many sequences have a value.

    Raises:
        ModelError: A model that predicts a value.
        SequenceError: No sequences.
        RunMismatch: The folder holds checks of another config, model or sequences.

    Example:
        >>> import tempfile
        >>> model, sequences = km.load_model("bundled:promoter"), km.Sequences.from_strings(["TATAAAGGCGCGCC"])
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     out = run_sanity(model, sequences, SanityConfig.parse({"methods": ["attention"]}), folder)
        ...     "| class swap | 1.00 |" in out.read_text()
        True
    """
    if model.problem.value != "classes":
        raise ModelError(
            f"{model.name} predicts {model.n_classes} {model.problem.value}; sanity checks compare classes. Give a "
            f"classifier, or one label with model.task(...) or --label: {model.listed}."
        )
    out = Path(out)
    with study_folder(out, config, watch=watch, model=model, sequences=sequences) as study:
        draws: dict[str, Any] = {
            "clusters": clusters_of(sequences).tolist(),
            "resamples": config.resamples,
            "seed": config.seed,
        }
        others = retrained(config, model, study)
        options: dict[str, Any] = {"seed": config.seed, "others": others, "watched": study.watched}
        rows: list[dict[str, Any]] = [
            {"check": check, "stage": stage, "method": method}
            | mean_interval(values, **draws).known()
            | {"sequences": int(np.isfinite(values).sum())}
            for check, stage, by_method in sanity_checks(model, sequences, config.methods, **options)
            for method, values in by_method.items()
        ]
        omissions = [] if has_parts(model) else [Omission("parts_unknown", {"model": model.name})]
        about = {"model": model.name, "sequences": len(sequences), "checks": rows}
        write_json(out / "sanity.json", about | {"left_out": [asdict(each) for each in omissions]})
        return reports.sanity(out / "sanity.md", model.name, len(sequences), rows, omissions)


def retrained(config: SanityConfig, model: Model, study: Study) -> Iterator[tuple[str, str, Model]]:
    """Train the recipe again: on shuffled labels, and with other seeds."""
    if config.recipe is None:
        return
    recipe = FinetuneConfig.parse({**config.recipe, "measure_test": False})
    splits = load_splits(recipe)
    plan = [("shuffled labels", "", "shuffled_labels", recipe, shuffle_labels(splits, config.seed))]
    for seed in range(recipe.seed + 1, recipe.seed + config.seeds + 1):
        plan.append(("another seed", str(seed), f"seed{seed}", recipe.model_copy(update={"seed": seed}), splits))
    for check, stage, name, one, data in plan:
        other = study.train(one, name, data=data, device=str(model.device), micro_batch=model.micro_batch)
        if other.n_classes != model.n_classes:
            raise ModelError(
                f"The recipe's model has {other.n_classes} classes, {model.name} has {model.n_classes}. "
                f"Give the recipe that the model was trained by (--recipe)."
            )
        yield check, stage, other
