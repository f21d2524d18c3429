"""Planted truth: does the mutagenesis trial judge and rank attribution methods as the truth does?

Per data set: plant, train a small model, see whether it learned the signal, score the methods against the truth, put
them on trial, and compare the two. Hard negatives are real scores that should not find the signal: turned round, of
another sequence, for the wrong class, of an early layer, of a model trained on shuffled labels. Every stage leaves its
files and is not done again.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
from pydantic import Field, model_validator

import kmerit as km
from kmerit.config import Several, Table
from kmerit.datasets.planting import Planted, plant, read_planted
from kmerit.datasets.task import SPLITS
from kmerit.report import studies as reports
from kmerit.runs.stages import Watch, unwatched
from kmerit.runs.study import Study, study_folder
from kmerit.store import write_csv, write_json
from kmerit.training.data import load_splits, shuffle_labels
from kmerit.training.recipe import FinetuneConfig
from kmerit.trials.controls import CONTROLS, DECIDING, context_share
from kmerit.trials.nulls import EARLY, hard_negatives
from kmerit.trials.truth import Case, agreement, cases, learned, truth_and_trial

Row = dict[str, Any]


class Learned(Table):
    """When a model counts as having learned the signal."""

    auroc: float = Field(default=0.95, ge=0, le=1, description="on the test split, at least")
    flips: float = Field(default=0.8, ge=0, le=1, description="share of the positives called so, at least")


class PlantedTrial(Table):
    """The mutagenesis trial on each model."""

    sequences: int = Field(150, ge=2, description="test positives whose call scrubbing flips")
    methods: list[str] = Field(min_length=2)
    counts: Several[int | Literal["all"]] = (0, 1, 5, 10, 20, "all")
    replicates: int = Field(3, ge=1)
    micro_batch: int = Field(32, ge=1)
    hard: list[str] = Field([], description="methods whose scores are also changed so that they should find nothing")


class PlantedConfig(Table):
    """Data sets, the model trained on each, and the trial."""

    sets: dict[str, km.Planting] = Field(min_length=1)
    training: dict[str, Any] = Field({}, description="keys of a fine-tuning; of all sets")
    training_of: dict[str, dict[str, Any]] = Field({}, description="keys that one set has otherwise, by its name")
    learned: Learned = Learned()
    trial: PlantedTrial
    resamples: int = Field(2000, ge=100)
    seed: int = 0

    @model_validator(mode="after")
    def _sets_are_there(self) -> Self:
        for name in self.training_of:
            if name not in self.sets:
                raise ValueError(f"training_of: {name!r} is not among the sets ({', '.join(self.sets)})")
        return self


def run_planted(config: PlantedConfig, out: str | Path, watch: Watch = unwatched) -> Path:
    """Run the whole study; resume a stopped one.

    Args:
        config: What determines it.
        out: Folder of the results.
        watch: Shows the progress of a step.

    Returns:
        ``planted.md`` in the folder, with ``planted.csv`` (data set x method), ``planted.json`` (everything),
        ``agreement.json``, and a folder for each set.

    Raises:
        RunMismatch: The folder holds another study.

    Example:
        >>> import tempfile
        >>> letters = {"regime": "composition", "train": 4, "validation": 2, "test": 4}
        >>> tiny = {"k": 3, "hidden": 8, "layers": 1, "heads": 1, "max_steps": 1, "device": "cpu"}
        >>> keys = {"sets": {"letters": letters}, "training": tiny, "trial": {"methods": ["lrp", "ism"]}}
        >>> config = PlantedConfig.parse({**keys, "learned": {"auroc": 1.0, "flips": 1.0}})
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     "not learned" in run_planted(config, folder).read_text()
        True
    """
    import pandas as pd

    out = Path(out)
    with study_folder(out, config, watch=watch) as study:
        results: dict[str, Row] = {}
        for name in config.sets:
            one = PlantedSet(config, name, study / name)
            results[name] = json.loads(one.study.once("result", "result.json", one.write).read_text(encoding="utf-8"))
        write_json(out / "planted.json", results)
        every = [Case(**case) for result in results.values() for case in result.get("cases", [])]
        totals = asdict(agreement(every)) if every else None
        if totals is not None:
            write_json(out / "agreement.json", totals)
        rows = [{"set": name, **row} for name, result in results.items() for row in result.get("methods", [])]
        write_csv(out / "planted.csv", pd.DataFrame(rows))
        return reports.planted(out / "planted.md", results, totals)


@dataclass(frozen=True)
class PlantedSet:
    """One data set of the study, in its folder."""

    config: PlantedConfig
    name: str
    study: Study

    def write(self, path: Path) -> None:
        """Plant, train, score, put on trial, and compare; write what came out."""
        config, study, planting = self.config, self.study, self.config.sets[self.name]
        truth = read_planted(plant(planting, out=study.folder / "data"), "test")
        model = self.model("model")
        about, flipped = learned(model, truth, config.learned.auroc, config.learned.flips)
        result = {"regime": planting.regime, "motifs": list(planting.motifs), "negatives": planting.negatives, **about}
        if about["learned"]:
            result |= self.trial(model, truth.take(np.flatnonzero(flipped)[: config.trial.sequences]))
        write_json(path, result)

    def trial(self, model: km.Model, truth: Planted) -> Row:
        """Score the test positives, put methods and hard negatives on trial, and compare both with the truth."""
        config, study, sequences = self.config, self.study, truth.sequences
        design = config.trial.model_dump(include={"counts", "replicates"}) | {"seed": config.seed}
        scores = study.attribute(model, sequences, config.trial.methods, 1)
        outcomes = study.mutate(model, sequences, scores, controls=CONTROLS, **design)
        draws = {"clusters": outcomes.clusters, "resamples": config.resamples, "seed": config.seed}
        result = {"sequences": len(sequences), **truth_and_trial(truth, scores, outcomes, **draws)}
        hard = self.hard_negatives(model, sequences) if config.trial.hard else {}
        if hard:
            outcomes = study.mutate(model, sequences, {**scores, **hard}, "hard", controls=DECIDING, **design)
        result["cases"] = [asdict(case) for case in cases(self.name, truth, scores, hard, outcomes, **draws)]
        if truth.log_odds is not None and "ism" in scores:
            # How much of what the model uses the strata of the control context hold.
            result["context_explains"] = context_share(sequences, scores["ism"].scores)
        return result

    @property
    def recipe(self) -> FinetuneConfig:
        """Of the set's model."""
        files: Row = {split: str(self.study.folder / "data" / f"{split}.parquet") for split in SPLITS}
        own = self.config.training_of.get(self.name, {})
        return FinetuneConfig.parse({"baselines": False, "resamples": 200, **self.config.training, **own, **files})

    def model(self, name: str, **options: Any) -> km.Model:
        """Train a model of the set, or load it."""
        micro_batch = self.config.trial.micro_batch
        return self.study.train(self.recipe, name, device="cpu", micro_batch=micro_batch, **options)

    def hard_negatives(self, model: km.Model, sequences: km.Sequences) -> dict[str, km.Attribution]:
        """Score another class, another layer and another model, and change real scores: none should find anything."""
        methods, seed = self.config.trial.hard, self.config.seed
        attribute = self.study.attribute
        others = {"wrong class": attribute(model, sequences, methods, 0, name="wrong_class")}
        if early := {method: EARLY[method] for method in EARLY if method in methods}:
            others["early layer"] = attribute(model, sequences, list(early), 1, name="early_layer", options=early)
        other = self.model("shuffled", data=shuffle_labels(load_splits(self.recipe), seed))
        others["shuffled labels"] = attribute(other, sequences, methods, 1, name="shuffled_labels")
        return hard_negatives(attribute(model, sequences, methods, 1, name="hard"), others, sequences, seed)
