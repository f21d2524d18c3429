"""Sanity checks of attribution methods on one model, with intervals over sequences. Source: adebayo2018."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

from pydantic import Field

import kmerit as km
from kmerit.config import Table
from kmerit.models.model import Model
from kmerit.report import studies as reports
from kmerit.runs.stages import Watch, unwatched
from kmerit.runs.study import retrain_like, study_folder
from kmerit.store import write_json
from kmerit.trials.checks import Omission, check_classifier, has_parts, sanity_checks, summarise_checks
from kmerit.trials.execution import clusters_of


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
    check_classifier(model)
    out = Path(out)
    with study_folder(out, config, watch=watch, model=model, sequences=sequences) as study:
        seeds = {"seeds": config.seeds, "seed": config.seed}
        others = [] if config.recipe is None else retrain_like(study, model, config.recipe, **seeds)
        options: dict[str, Any] = {"seed": config.seed, "others": others, "watched": study.watched}
        checks = sanity_checks(model, sequences, config.methods, **options)
        rows = summarise_checks(checks, clusters=clusters_of(sequences), resamples=config.resamples, seed=config.seed)
        omissions = [] if has_parts(model) else [Omission("parts_unknown", {"model": model.name})]
        about = {"model": model.name, "sequences": len(sequences), "checks": rows}
        write_json(out / "sanity.json", about | {"left_out": [asdict(each) for each in omissions]})
        return reports.sanity(out / "sanity.md", model.name, len(sequences), rows, omissions)
