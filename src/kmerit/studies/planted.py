"""Planted truth: does the mutagenesis trial judge and rank attribution methods as the truth does?

Per data set: plant, train a small model, see whether it learned the signal, score the methods against the truth, put
them on trial, and compare the two. Hard negatives are real scores that should not find the signal: turned round, of
another sequence, for the wrong class, of an early layer, of a model trained on shuffled labels. Every stage leaves its
files and is not done again.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

import kmerit as km
from kmerit.config import Several, Table
from kmerit.datasets.planting import Planted, plant, read_planted
from kmerit.formats import DASH, fixed, interval
from kmerit.metrics import classification_metrics
from kmerit.models.model import Model
from kmerit.report import text
from kmerit.store import write_csv, write_json
from kmerit.studies.study import Watch, once, report, scored, shuffle_labels, study, table, watched
from kmerit.training.data import load_splits
from kmerit.training.recipe import FinetuneConfig
from kmerit.trials.checks import Case, agreement, composition_correlations, localisation, needed, truth_of
from kmerit.trials.controls import CONTROLS, DECIDING, context_share
from kmerit.trials.nulls import turned_scores
from kmerit.trials.verdicts import FAITHFUL, SAME, UNDECIDED, WORSE, Verdict, aopc_by_method
from kmerit.uncertainty import mean_interval, paired_reversals, ranking_agreement

EARLY = {"attention": {"first_layer": 0, "last_layer": 0}, "partial_lrp": {"layer": 0}}
"""Options by which a method reads the first layer."""
NOT_FAITHFUL = (SAME, WORSE)
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


def run_planted(config: PlantedConfig, out: str | Path, watch: Watch) -> Path:
    """Run the whole study; resume a stopped one.

    Args:
        config: What determines it.
        out: Folder of the results.
        watch: Shows the progress of a step: gets its title, gives a context with a function of (done, all).

    Returns:
        ``planted.md`` in the folder, with ``planted.csv`` (data set x method), ``planted.json`` (everything),
        ``agreement.json``, and a folder for each set.

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
        ...     "not learned" in out.read_text()
        True
    """
    import pandas as pd

    out = Path(out)
    with study(out, config):
        results: dict[str, Row] = {}
        for name in config.sets:
            one = OneSet(config, name, out / name, watch)
            path = once(out / name, "result", "result.json", one.write)
            results[name] = json.loads(path.read_text(encoding="utf-8"))
        write_json(out / "planted.json", results)
        cases = [Case(**case) for result in results.values() for case in result.get("cases", [])]
        totals = asdict(agreement(cases)) if cases else None
        if totals is not None:
            write_json(out / "agreement.json", totals)
        rows = [{"set": name, **row} for name, result in results.items() for row in result.get("methods", [])]
        write_csv(out / "planted.csv", pd.DataFrame(rows))
        return write_report(out / "planted.md", results, totals)


class OneSet(NamedTuple):
    """One data set of the study, in its folder."""

    config: PlantedConfig
    name: str
    folder: Path
    watch: Watch

    @property
    def recipe(self) -> FinetuneConfig:
        """Of the set's model."""
        files = {split: str(self.folder / "data" / f"{split}.parquet") for split in ("train", "validation", "test")}
        own = self.config.training_of.get(self.name, {})
        return FinetuneConfig.parse({"baselines": False, "resamples": 200, **self.config.training, **own, **files})

    def model(self, place: str, title: str, **options: Any) -> Model:
        """Train a model of the set, or load it."""
        from kmerit.training import finetune

        folder: Path = watched(
            self.watch, f"{self.name}: {title}", finetune, self.recipe, self.folder / place, **options
        )
        return km.load_model(folder, device="cpu", micro_batch=self.config.trial.micro_batch)

    def scores(self, stage: str, *args: Any, **options: Any) -> Mapping[str, km.Attribution]:
        """Score sequences, or read the scores."""
        return km.read_attributions(scored(self.watch, f"{self.name}: {stage}", self.folder, stage, *args, **options))

    def trial(self, place: str, controls: tuple[str, ...], *args: Any) -> km.Outcomes:
        """Put scores on trial."""
        trial = self.config.trial
        design = {"counts": trial.counts, "replicates": trial.replicates, "seed": self.config.seed}
        title, out = f"{self.name}: trial of {place}", self.folder / place
        return km.read_outcomes(watched(self.watch, title, km.mutate, *args, controls=controls, out=out, **design))

    def write(self, path: Path) -> None:
        """Plant, train, score, put on trial, and compare; write what came out."""
        config, planting = self.config, self.config.sets[self.name]
        truth = read_planted(plant(planting, out=self.folder / "data"), "test")
        model = self.model("model", "training")
        about, flipped = learned(model, truth, config.learned)
        result = {"regime": planting.regime, "motifs": list(planting.motifs), "negatives": planting.negatives, **about}
        if about["learned"]:
            truth = truth.take(np.flatnonzero(flipped)[: config.trial.sequences])
            chosen = truth.sequences
            scores = self.scores("scores", model, chosen, config.trial.methods, 1)
            outcomes = self.trial("outcomes", CONTROLS, model, chosen, scores)
            draws = {"clusters": outcomes.clusters, "resamples": config.resamples, "seed": config.seed}
            result |= {"sequences": len(chosen), **compared(truth, scores, outcomes, draws)}
            hard = self.hard_negatives(model, chosen) if config.trial.hard else {}
            if hard:
                outcomes = self.trial("hard", DECIDING, model, chosen, {**scores, **hard})
            manifest = json.loads((self.folder / "data" / "manifest.json").read_text(encoding="utf-8"))
            masks = motif_masks(truth, {motif["identifier"]: motif["nt"] for motif in manifest["motifs"]})
            every = cases(self.name, truth, masks, scores, hard, outcomes, draws)
            result["cases"] = [asdict(case) for case in every]
            if truth.log_odds is not None and "ism" in scores:
                # How much of what the model uses the strata of the control context hold.
                result["context_explains"] = context_share(chosen, scores["ism"].scores)
        write_json(path, result)

    def hard_negatives(self, model: Model, chosen: km.Sequences) -> dict[str, km.Attribution]:
        """Change real scores in five ways, so that they should find nothing.

        Returns:
            By ``METHOD, WAY``, as if they explained class 1 of these very sequences.
        """
        methods, seed = self.config.trial.hard, self.config.seed

        def values(stage: str, of: Model, names: list[str], target: int = 1, **options: Any) -> dict[str, Any]:
            attributions = self.scores(stage, of, chosen, names, target, **options)
            return {method: each.scores for method, each in attributions.items()}

        own = values("hard", model, methods)
        ways = {
            "turned": {method: turned_scores(scores, chosen, seed) for method, scores in own.items()},
            "another sequence": {method: np.roll(scores, 1, axis=0) for method, scores in own.items()},
            "wrong class": values("wrong class", model, methods, 0),
        }
        if early := {method: EARLY[method] for method in EARLY if method in methods}:
            ways["early layer"] = values("early layer", model, list(early), options=early)
        shuffled = shuffle_labels(load_splits(self.recipe), seed)
        other = self.model("shuffled", "training on shuffled labels", data=shuffled)
        ways["shuffled labels"] = values("shuffled labels", other, methods)
        target = np.ones(len(chosen), dtype=np.int64)
        return {
            f"{method}, {way}": km.Attribution(f"{method}, {way}", scores, "nucleotide", target, chosen.names)
            for way, by_method in ways.items()
            for method, scores in by_method.items()
        }


Scores = Mapping[str, km.Attribution]


def compared(truth: Planted, scores: Scores, outcomes: km.Outcomes, draws: Row) -> Row:
    """Compare what the truth says of each method with what the trial says.

    Args:
        truth: Of the sequences on trial.
        scores: By method.
        outcomes: Of their trial.
        draws: Options of every bootstrap.
    """
    verdicts, names, chance = verdicts_of(outcomes, draws), list(scores), chance_of(truth)
    ranked_by, dropped = next(iter(chance)), aopc_by_method(outcomes)
    values = {method: against_truth(each, truth) for method, each in scores.items()}
    by_trial = np.stack([dropped[method] for method in names], axis=1)
    by_truth = {measure: np.stack([values[method][measure] for method in names], axis=1) for measure in chance}
    methods: list[Row] = []
    for method in names:
        means = {key: mean_interval(each, **draws).known() for key, each in values[method].items()}
        finds_by = [key for key, mean in means.items() if mean["low"] is not None and mean["low"] > chance[key]]
        row: Row = {"method": method, "measure": ranked_by}
        for key, mean in means.items():
            name = "truth" if key == ranked_by else key
            row |= {name: mean["value"], f"{name}_low": mean["low"], f"{name}_high": mean["high"]}
        verdict = verdicts[method]
        row |= {"finds": ranked_by in finds_by, "finds_by": finds_by, "verdict": verdict.verdict}
        row |= {"excess": verdict.excess, "excess_low": verdict.low, "excess_high": verdict.high}
        methods.append(row | {"control": verdict.control, "caveats": [asdict(each) for each in verdict.caveats]})
    methods.sort(key=lambda row: -(row["truth"] or 0.0))
    taus = {}
    for measure, of_rows in by_truth.items():
        there = np.isfinite(of_rows).any(axis=0) & np.isfinite(by_trial).any(axis=0)
        tau = ranking_agreement(of_rows[:, there], by_trial[:, there], **draws).known()
        taus[measure] = {**tau, "methods": int(there.sum())}
    reversed_pairs = [
        {"truth_prefers": names[a], "trial_prefers": names[b], "truth_margin": margin, "trial_margin": trial_margin}
        for a, b, margin, trial_margin in paired_reversals(by_truth[ranked_by], by_trial, **draws)
    ]
    return {
        "ranked_by": ranked_by,
        "chance": chance,
        "methods": methods,
        "kendall_tau": taus,
        "pairs": len(names) * (len(names) - 1) // 2,
        "reversed_pairs": sorted(reversed_pairs, key=lambda pair: -float(pair["truth_margin"])),
        "false_acquittals": [row["method"] for row in methods if not row["finds"] and row["verdict"] == FAITHFUL],
        "false_convictions": [row["method"] for row in methods if row["finds"] and row["verdict"] in NOT_FAITHFUL],
        "undecided": [row["method"] for row in methods if row["verdict"] == UNDECIDED],
    }


def cases(
    name: str,
    truth: Planted,
    motifs: Sequence[NDArray[np.bool_]],
    scores: Scores,
    hard: Scores,
    outcomes: km.Outcomes,
    draws: Row,
) -> Iterator[Case]:
    """Pair what the truth says of every ranking with what the trial says.

    Methods are judged on one card, a hard negative as one more line of it.
    """
    exact, measure = scores.get("ism"), next(iter(chance_of(truth)))
    own = verdicts_of(outcomes, draws, list(scores))
    for ranking, each in {**scores, **hard}.items():
        estimates = [against_truth(each, truth)[measure]]
        if exact is not None and truth.log_odds is None:
            masks = [needed(exact.scores, truth.mask), *motifs]
            estimates += [localisation(each.scores, mask)["auroc"] for mask in masks]
        says = truth_of(measure, *(mean_interval(estimate, **draws) for estimate in estimates))
        verdict = (own if ranking in own else verdicts_of(outcomes, draws, [*scores, ranking]))[ranking]
        way = ranking.rpartition(", ")[2] if ranking in hard else ""
        yield Case(name, ranking, way, says, verdict.verdict, verdict.sequences)


def motif_masks(truth: Planted, widths: Mapping[str, int]) -> list[NDArray[np.bool_]]:
    """Give the letters of each motif by itself, where there are several: a model may need but one of them."""
    masks = {motif: np.zeros(truth.mask.shape, dtype=np.bool_) for motif in widths}
    for i, placements in enumerate(truth.placements):
        for motif, start, _ in placements:
            masks[motif][i, start : start + widths[motif]] = True
    return [*masks.values()] if len(masks) > 1 else []


def verdicts_of(outcomes: km.Outcomes, draws: Row, methods: list[str] | None = None) -> dict[str, Verdict]:
    """Judge methods on the positives."""
    verdicts = km.judge(outcomes, methods=methods, resamples=draws["resamples"], seed=draws["seed"])
    return {verdict.method: verdict for verdict in verdicts if verdict.label == 1}


def learned(model: Model, truth: Planted, least: Learned) -> tuple[Row, NDArray[np.bool_]]:
    """Test whether a model learned the planted signal: it separates the classes, and scrubbing flips its call.

    Returns:
        The measurements; and which sequences are positives, called so, and flipped by scrubbing, ``bool [sequence]``.
    """
    labels, logits = np.asarray(truth.sequences.labels), model.logits(truth.sequences)

    def called(bases: NDArray[np.int8]) -> NDArray[Any]:
        offsets = np.arange(len(bases) + 1) * bases.shape[1]
        return np.asarray(
            model.logits(km.Sequences(truth.sequences.names, bases.ravel().copy(), offsets)).argmax(axis=1)
        )

    metrics = classification_metrics(labels, logits, resamples=200)
    right = (logits.argmax(axis=1) == 1) & (labels == 1)
    flipped = right & (called(truth.scrubbed) == 0)
    wiped = right & (called(truth.background) == 0)
    share = float(flipped.sum() / max(right.sum(), 1))
    enough = bool(metrics["auroc"]["value"] >= least.auroc and share >= least.flips and flipped.sum() >= 2)
    return {
        "learned": enough,
        "auroc": metrics["auroc"],
        "accuracy": metrics["accuracy"],
        "scrubbing_flips": share,
        "restoring_background_flips": float(wiped.sum() / max(right.sum(), 1)),
    }, flipped


def chance_of(truth: Planted) -> dict[str, float]:
    """Return what uninformative scores reach, by measure; methods are ranked by the first one."""
    if truth.log_odds is not None:
        return {"correlation": 0.0}
    share = float(truth.mask.mean())
    return {"auroc": 0.5, "auprc": share, "mass_inside": share}


def against_truth(scores: km.Attribution, truth: Planted) -> dict[str, NDArray[Any]]:
    """Measure scores against the mask, or the log-odds, sequence by sequence."""
    if truth.log_odds is not None:
        return {"correlation": composition_correlations(scores.scores, truth.log_odds)}
    return {**localisation(scores.scores, truth.mask)}


def write_report(path: Path, results: Mapping[str, Row], agreed: Row | None) -> Path:
    """Write the study in words and tables: data set, method, what the truth says, what the trial says."""
    there = {name: result for name, result in results.items() if result["learned"]}
    summary = "\n".join(f"- **{name}**: {text.planted(result)}" for name, result in results.items())
    sections = ["# Planted truth and the mutagenesis trial", text.PLANTED, summary]
    if there:
        sections.append(text.acquitted([row for result in there.values() for row in result["methods"]]))
        if agreed is not None:
            sections.append(text.agreement(**agreed))
        cells = ({"method": r["method"], name: both(r)} for name, result in there.items() for r in result["methods"])
        sections += [text.TRUTH_AND_TRIAL, table(cells, ["method"])]
    for name, result in there.items():
        sections += [f"## {name}", text.planted_set(result), table(line(row) for row in result["methods"])]
    return report(path, *sections)


def both(row: Row) -> str:
    """Format truth and verdict; in bold where they disagree."""
    cell = f"{fixed(row['truth'], 2)}, {row['verdict']}"
    agrees = row["verdict"] == UNDECIDED or row["finds"] == (row["verdict"] == FAITHFUL)
    return cell if agrees else f"**{cell}**"


def line(row: Row) -> dict[str, str]:
    """Format one method's results."""
    titles = {"truth": row["measure"], "auprc": "auprc", "mass_inside": "mass_inside"}
    truths = {text.TRUTHS[name]: _interval(row, key) for key, name in titles.items() if key in row}
    finds = {"finds it": "yes" if row["finds"] else "no", "trial's verdict": row["verdict"]}
    return {"method": row["method"]} | truths | finds | {
        "excess": _interval(row, "excess"), "control": row["control"] or DASH
    }  # fmt: skip


def _interval(row: Row, key: str) -> str:
    return interval(row[key], row[f"{key}_low"], row[f"{key}_high"])
