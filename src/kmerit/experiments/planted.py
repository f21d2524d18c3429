"""Planted truth: does the mutagenesis trial judge and rank attribution methods as the truth does?

Per data set: plant, train a small model, see whether it learned the signal, score the methods against the truth, put
them on trial, and compare the two. Hard negatives are real scores that should not find the signal: turned round, of
another sequence, for the wrong class, of an early layer, of a model trained on shuffled labels. Every stage leaves its
files and is not done again.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
import pandas as pd
from pydantic import Field, model_validator

from kmerit.attribution import attribute, read_attributions
from kmerit.config import Several, Table
from kmerit.data import Planted, Planting, plant, read_planted
from kmerit.data.registry import SPLITS
from kmerit.experiments.on_trial import Watch
from kmerit.experiments.study import of_config, study
from kmerit.faithfulness import CONTROLS, Verdict, judge, mutate, read_outcomes
from kmerit.faithfulness.agreement import Case, agreement, truth_of
from kmerit.faithfulness.contexts import explained, strata
from kmerit.faithfulness.controls import DECIDING
from kmerit.faithfulness.endpoint import aopc_by_method
from kmerit.faithfulness.localisation import composition_correlations, localisation, needed
from kmerit.faithfulness.nulls import turned
from kmerit.faithfulness.verdicts import FAITHFUL, SAME, UNDECIDED, WORSE
from kmerit.models import Model, load_model
from kmerit.statistics import Interval
from kmerit.statistics.agreement import mean_interval, paired_reversals, ranking_agreement
from kmerit.statistics.metrics import classification_metrics
from kmerit.store import Stages, atomic_write, write_json
from kmerit.training import FinetuneConfig, finetune
from kmerit.training.splits import load_splits, shuffle_labels
from kmerit.types import Attribution, Bool, Float, Floats, Int8, Int64, Sequences

Scores = dict[str, Float]


class Learned(Table):
    """When a model counts as having learned the signal."""

    auroc: float = Field(default=0.95, ge=0, le=1, description="on the test split, at least")
    flips: float = Field(default=0.8, ge=0, le=1, description="share of the positives called so, at least")


class Trial(Table):
    """The mutagenesis trial on each model."""

    sequences: int = Field(150, ge=2, description="test positives whose call scrubbing flips")
    methods: list[str] = Field(min_length=2)
    counts: Several[int | Literal["all"]] = (0, 1, 5, 10, 20, "all")
    replicates: int = Field(3, ge=1)
    micro_batch: int = Field(32, ge=1)
    hard: list[str] = Field([], description="methods whose scores are also spoilt, so that they should find nothing")


class PlantedConfig(Table):
    """Data sets, the model trained on each, and the trial."""

    sets: dict[str, Planting] = Field(min_length=1)
    training: dict[str, Any] = Field({}, description="keys of a fine-tuning; of all sets")
    training_of: dict[str, dict[str, Any]] = Field({}, description="keys that one set has otherwise, by its name")
    learned: Learned = Learned()
    trial: Trial
    resamples: int = Field(2000, ge=100)
    seed: int = 0

    @model_validator(mode="after")
    def _sets_are_there(self) -> Self:
        for name in self.training_of:
            if name not in self.sets:
                raise ValueError(f"training_of: {name!r} is not among the sets ({', '.join(self.sets)})")
        return self


def run_planted(config: PlantedConfig, out: str | Path, watch: Watch) -> Path:
    """Run the whole study; go on where a stopped one was.

    Args:
        config: What determines it.
        out: Folder of the results.
        watch: Shows the progress of a step: gets its title, gives a context with a function of (done, all).

    Returns:
        The folder: ``planted.csv`` (data set x method), ``planted.json`` (everything), and a folder for each set.

    Raises:
        RunMismatch: The folder holds another study.

    Example:
        >>> import tempfile
        >>> from contextlib import nullcontext
        >>> config = PlantedConfig.parse(
        ...     {
        ...         "sets": {"letters": {"regime": "composition", "train": 4, "validation": 2, "test": 4}},
        ...         "training": {"k": 3, "hidden": 8, "layers": 1, "heads": 1, "max_steps": 1, "device": "cpu"},
        ...         "trial": {"methods": ["lrp", "ism"]},
        ...         "learned": {"auroc": 1.0, "flips": 1.0},
        ...     }
        ... )
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     out = run_planted(config, folder, lambda title: nullcontext(lambda done, total: None))
        ...     sorted(path.name for path in out.iterdir())
        ['letters', 'planted.csv', 'planted.json', 'study.json']
    """
    out = Path(out)
    settings, earlier = of_config(config)
    with study(out, settings, earlier=earlier):
        return _run(config, out, watch)


def _run(config: PlantedConfig, out: Path, watch: Watch) -> Path:
    results = {}
    for name, planting in config.sets.items():
        stages = Stages(out / name)
        if not stages.is_done("result"):
            write_json(out / name / "result.json", _study(config, name, planting, out / name, watch))
            stages.mark_done("result", ["result.json"])
        results[name] = json.loads((out / name / "result.json").read_text(encoding="utf-8"))
    write_json(out / "planted.json", results)
    every = [Case(**case) for result in results.values() for case in result.get("cases", [])]
    if every:
        write_json(out / "agreement.json", asdict(agreement(every)))
    rows = [{"set": name, **row} for name, result in results.items() for row in result.get("methods", [])]
    with atomic_write(out / "planted.csv") as part:
        pd.DataFrame(rows).to_csv(part, index=False)
    return out


def _study(config: PlantedConfig, name: str, planting: Planting, folder: Path, watch: Watch) -> dict[str, Any]:
    data = plant(planting, out=folder / "data")
    with watch(f"{name}: training") as progress:
        finetune(training(config, name, data), folder / "model", progress=progress)
    truth = read_planted(data, "test")
    model = load_model(folder / "model", device="cpu", micro_batch=config.trial.micro_batch)
    about, flipped = learned(model, truth, config.learned)
    result = {"regime": planting.regime, "motifs": list(planting.motifs), "negatives": planting.negatives, **about}
    if not about["learned"]:
        return result
    rows = np.flatnonzero(flipped)[: config.trial.sequences]
    chosen = truth.sequences.take(rows)
    with watch(f"{name}: attribution") as progress:
        stages = Stages(folder)
        if not stages.is_done("scores"):
            methods = config.trial.methods
            attribute(model, chosen, methods, 1, out=folder / "scores.parquet", progress=progress)
            stages.mark_done("scores", ["scores.parquet"])
    with watch(f"{name}: trial") as progress:
        mutate(
            model,
            chosen,
            folder / "scores.parquet",
            counts=config.trial.counts,
            replicates=config.trial.replicates,
            controls=CONTROLS,
            seed=config.seed,
            out=folder / "curve",
            progress=progress,
        )
    spoilt: dict[str, Attribution] = {}
    if config.trial.hard:
        spoilt = hard_negatives(config, name, model, chosen, folder, watch)
        with watch(f"{name}: hard negatives") as progress:
            mutate(
                model,
                chosen,
                {**read_attributions(folder / "scores.parquet"), **spoilt},
                counts=config.trial.counts,
                replicates=config.trial.replicates,
                controls=DECIDING,
                seed=config.seed,
                out=folder / "hard",
                progress=progress,
            )
    judged = [asdict(case) for case in cases(config, name, folder, truth, rows, spoilt)]
    found = {**result, "sequences": len(chosen), **compare(config, folder, truth, rows), "cases": judged}
    scores = read_attributions(folder / "scores.parquet")
    if truth.log_odds is not None and "ism" in scores:
        # How much of what the model uses the strata of the control context hold.
        found["context_explains"] = explained(strata(list(chosen)), scores["ism"].scores.ravel().astype(np.float64))
    return found


HARD = ("turned", "another sequence", "wrong class", "early layer", "shuffled labels")
"""What is done to real scores so that they should find nothing."""
EARLY = {"attention": {"first_layer": 0, "last_layer": 0}, "partial_lrp": {"layer": 0}}
"""Options by which a method reads the first layer."""


def hard_negatives(
    config: PlantedConfig, name: str, model: Model, chosen: Sequences, folder: Path, watch: Watch
) -> dict[str, Attribution]:
    """Spoil real scores in five ways; the scores of each way are kept in the set's folder.

    Returns:
        By ``METHOD, WAY``, as if they explained class 1 of these very sequences.
    """
    methods = config.trial.hard

    def kept(way: str, of: Model, names: list[str], target: int, options: Mapping[str, Any] | None = None) -> Scores:
        path = folder / f"{way.replace(' ', '_')}.parquet"
        stages = Stages(folder)
        if not stages.is_done(way):
            with watch(f"{name}: {way}") as progress:
                attribute(of, chosen, names, target, options=options, out=path, progress=progress)
            stages.mark_done(way, [path.name])
        return {method: each.scores for method, each in read_attributions(path).items()}

    own = kept("hard", model, methods, 1)
    found: dict[str, Scores] = {
        "turned": {method: turned(scores, chosen, config.seed) for method, scores in own.items()},
        "another sequence": {method: np.roll(scores, 1, axis=0) for method, scores in own.items()},
        "wrong class": kept("wrong class", model, methods, 0),
    }
    if early := [method for method in EARLY if method in methods]:
        found["early layer"] = kept("early layer", model, early, 1, {method: EARLY[method] for method in early})
    recipe = training(config, name, folder / "data")
    with watch(f"{name}: training on shuffled labels") as progress:
        finetune(recipe, folder / "shuffled", data=shuffle_labels(load_splits(recipe), config.seed), progress=progress)
    other = load_model(folder / "shuffled", device="cpu", micro_batch=config.trial.micro_batch)
    found["shuffled labels"] = kept("shuffled labels", other, methods, 1)
    target = np.ones(len(chosen), dtype=np.int64)
    return {
        f"{method}, {way}": Attribution(f"{method}, {way}", scores, "nucleotide", target, chosen.names)
        for way, by_method in found.items()
        for method, scores in by_method.items()
    }


def training(config: PlantedConfig, name: str, data: Path) -> FinetuneConfig:
    """Give the recipe of one set's model.

    Raises:
        ConfigError: Unknown keys or wrong values.
    """
    files: dict[str, str] = {split: str(data / f"{split}.parquet") for split in SPLITS}
    own = config.training_of.get(name, {})
    return FinetuneConfig.parse({"baselines": False, "resamples": 200, **config.training, **own, **files})


def learned(model: Model, truth: Planted, least: Learned) -> tuple[dict[str, Any], Bool]:
    """Find out whether a model learned the planted signal: it tells the classes, and scrubbing flips its call.

    Returns:
        The measurements; and which sequences are positives, called so, and flipped by scrubbing, ``bool [sequence]``.
    """
    labels = np.asarray(truth.sequences.labels)
    logits = model.logits(truth.sequences)
    metrics = classification_metrics(labels, logits, resamples=200)
    called = logits.argmax(axis=1) == 1
    right = called & (labels == 1)
    flipped = right & (_called(model, truth.scrubbed, truth) == 0)
    wiped = right & (_called(model, truth.background, truth) == 0)
    share = float(flipped.sum() / max(right.sum(), 1))
    enough = bool(metrics["auroc"]["value"] >= least.auroc and share >= least.flips and flipped.sum() >= 2)
    return {
        "learned": enough,
        "auroc": metrics["auroc"],
        "accuracy": metrics["accuracy"],
        "scrubbing_flips": share,
        "restoring_background_flips": float(wiped.sum() / max(right.sum(), 1)),
    }, flipped


def _called(model: Model, bases: Int8, truth: Planted) -> Floats:
    rows, length = bases.shape
    variant = Sequences(truth.sequences.names, bases.ravel().copy(), np.arange(rows + 1) * length)
    return np.asarray(model.logits(variant).argmax(axis=1))


def compare(config: PlantedConfig, folder: Path, truth: Planted, rows: Any) -> dict[str, Any]:
    """Set what the truth says of each method beside what the trial says."""
    scores = read_attributions(folder / "scores.parquet")
    outcomes = read_outcomes(folder / "curve")
    measured = {method: _against_truth(found, truth, rows) for method, found in scores.items()}
    judged = judge(outcomes, resamples=config.resamples, seed=config.seed)
    verdicts = {verdict.method: verdict for verdict in judged if verdict.label == 1}
    names, chance, clusters = list(scores), _chance(truth, rows), outcomes.clusters
    ranked_by = next(iter(chance))
    dropped = aopc_by_method(outcomes)
    by_trial = np.stack([dropped[method] for method in names], axis=1)
    tables = {measure: np.stack([measured[method][measure] for method in names], axis=1) for measure in chance}
    reversed_pairs = [
        {"truth_prefers": names[a], "trial_prefers": names[b], "truth_margin": margin, "trial_margin": trial_margin}
        for a, b, margin, trial_margin in paired_reversals(
            tables[ranked_by], by_trial, config.resamples, clusters=clusters, seed=config.seed
        )
    ]
    methods = []
    for method, values in measured.items():
        intervals = {key: _interval(each, clusters, config) for key, each in values.items()}
        finds_by = [key for key, found in intervals.items() if found["low"] is not None and found["low"] > chance[key]]
        methods.append(_row(method, ranked_by, intervals, finds_by, verdicts[method]))
    methods.sort(key=lambda row: -(row["truth"] or 0.0))
    return {
        "ranked_by": ranked_by,
        "chance": chance,
        "methods": methods,
        "kendall_tau": {measure: _agreement(table, by_trial, clusters, config) for measure, table in tables.items()},
        "pairs": len(names) * (len(names) - 1) // 2,
        "reversed_pairs": sorted(reversed_pairs, key=lambda pair: -pair["truth_margin"]),
        "false_acquittals": [r["method"] for r in methods if not r["finds"] and r["verdict"] == FAITHFUL],
        "false_convictions": [r["method"] for r in methods if r["finds"] and r["verdict"] in (SAME, WORSE)],
        "undecided": [r["method"] for r in methods if r["verdict"] == UNDECIDED],
    }


def cases(
    config: PlantedConfig,
    name: str,
    folder: Path,
    truth: Planted,
    rows: Any,
    spoilt: Mapping[str, Attribution],
) -> list[Case]:
    """Set what the truth says of every ranking next to what the trial says.

    Methods are judged on one card, a hard negative as one more line of it.
    """
    scores = read_attributions(folder / "scores.parquet")
    outcomes = read_outcomes(folder / ("hard" if spoilt else "curve"))
    clusters, exact = outcomes.clusters, scores.get("ism")
    measure = next(iter(_chance(truth, rows)))

    def truth_for(values: Attribution) -> str:
        measured = [_against_truth(values, truth, rows)[measure]]
        if exact is not None and truth.log_odds is None:
            measured.append(localisation(values.scores, needed(exact.scores, truth.mask[rows]))["auroc"])
        settings: dict[str, Any] = {"clusters": clusters, "resamples": config.resamples, "seed": config.seed}
        return truth_of(measure, *(mean_interval(each, **settings) for each in measured))

    def cards(methods: list[str]) -> dict[str, Verdict]:
        found = judge(outcomes, methods=methods, resamples=config.resamples, seed=config.seed)
        return {verdict.method: verdict for verdict in found if verdict.label == 1}

    own = cards(list(scores))
    found = [Case(name, m, "", truth_for(each), own[m].verdict, own[m].sequences) for m, each in scores.items()]
    for ranking, each in spoilt.items():
        verdict = cards([*scores, ranking])[ranking]
        found.append(
            Case(name, ranking, ranking.rpartition(", ")[2], truth_for(each), verdict.verdict, verdict.sequences)
        )
    return found


def _chance(truth: Planted, rows: Any) -> dict[str, float]:
    """Say what scores that know nothing reach, by measure; methods are ranked by the first one."""
    if truth.log_odds is not None:
        return {"correlation": 0.0}
    share = float(truth.mask[rows].mean())
    return {"auroc": 0.5, "auprc": share, "mass_inside": share}


def _agreement(by_truth: Floats, by_trial: Floats, clusters: Int64, config: PlantedConfig) -> dict[str, float | None]:
    """Compare two rankings of the methods that have a value in both."""
    there = np.isfinite(by_truth).any(axis=0) & np.isfinite(by_trial).any(axis=0)
    tables = (by_truth[:, there], by_trial[:, there])
    found = ranking_agreement(*tables, clusters=clusters, resamples=config.resamples, seed=config.seed)
    return {**_known(found), "methods": int(there.sum())}


def _against_truth(scores: Attribution, truth: Planted, rows: Any) -> dict[str, Floats]:
    if truth.log_odds is not None:
        return {"correlation": composition_correlations(scores.scores, truth.log_odds[rows])}
    return localisation(scores.scores, truth.mask[rows])


def _interval(values: Floats, clusters: Int64, config: PlantedConfig) -> dict[str, float | None]:
    return _known(mean_interval(values, clusters=clusters, resamples=config.resamples, seed=config.seed))


def _known(interval: Interval) -> dict[str, float | None]:
    return {key: value if np.isfinite(value) else None for key, value in interval._asdict().items()}


def _row(
    method: str, ranked_by: str, intervals: Mapping[str, dict[str, float | None]], finds_by: list[str], verdict: Verdict
) -> dict[str, Any]:
    truth = {"truth": intervals[ranked_by]["value"], "truth_low": intervals[ranked_by]["low"]}
    others = {
        f"{key}{suffix}": interval[end]
        for key, interval in intervals.items()
        if key != ranked_by
        for suffix, end in (("", "value"), ("_low", "low"), ("_high", "high"))
    }
    return {
        "method": method,
        "measure": ranked_by,
        **truth,
        "truth_high": intervals[ranked_by]["high"],
        **others,
        "finds": ranked_by in finds_by,
        "finds_by": finds_by,
        "verdict": verdict.verdict,
        "excess": verdict.excess,
        "excess_low": verdict.low,
        "excess_high": verdict.high,
        "control": verdict.control,
        "warnings": list(verdict.warnings),
    }
