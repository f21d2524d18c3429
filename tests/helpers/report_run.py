"""A run folder as `kmerit run` leaves it, with invented but plausible numbers."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from kmerit.datasets.findings import Audit, Finding, Thresholds

METHODS = ("attention", "rollout", "gradcam", "lrp", "lrp_last", "full_lrp")
COUNTS = (0, 1, 5, 10, 15, 20)
LENGTH = 200
SEQUENCES = 30

# Per class: accuracy intact, accuracy when all is replaced, share of the way to the floor that a method covers at 20.
CLASSES = {
    "epdnew_nontata": (
        ("background", 0.80, 0.33, (0.52, 0.36, 0.44, 0.61, 0.55, 0.20), 0.30),
        ("promoter", 0.83, 0.67, (0.50, 0.30, 0.35, 0.70, 0.40, -0.10), 0.35),
    ),
    "human_enhancers_dedup": (
        ("background", 0.73, 0.61, (0.20, 0.10, 0.30, 0.30, 0.25, 0.15), 0.22),
        ("enhancer", 0.70, 0.37, (0.80, 0.45, 0.60, 0.95, 0.90, 0.30), 0.40),
    ),
}
DEFAULTS = {"epdnew_nontata": (1, 0.67), "human_enhancers_dedup": (0, 0.62)}
TITLES = {
    "epdnew_nontata": "Human promoters without a TATA box (-200 to +50 of their start) against fragments of genes.",
    "human_enhancers_dedup": "Human enhancers against random genome windows of equal lengths.",
}
MODELS = {"epdnew_nontata": "bundled:promoter", "human_enhancers_dedup": "bundled:enhancer"}


def summary_rows(task: str) -> list[dict[str, Any]]:
    """Write the rows that `summarise` would."""
    default, _ = DEFAULTS[task]
    rows: list[dict[str, Any]] = []
    for label, (_, intact, floor, reach, random_reach) in enumerate(CLASSES[task]):
        for m, method in enumerate((*METHODS, "random")):
            goal = random_reach if method == "random" else reach[m]
            for n in (*COUNTS, LENGTH):
                full = n == LENGTH
                share = 1.0 if full else goal * (1 - math.exp(-n / 9)) / (1 - math.exp(-20 / 9))
                accuracy = intact - (intact - floor) * share
                half = 0.05 * math.sqrt(n / 20) if method == "random" else 1.96 * math.sqrt(accuracy * 0.2 / SEQUENCES)
                rows.append(
                    {
                        "label": label,
                        "method": method,
                        "operator": "random_other",
                        "order": "morf",
                        "n": n,
                        "full": full,
                        "sequences": SEQUENCES,
                        "draws": 10 if method == "random" else 3,
                        "accuracy": accuracy,
                        "low": max(0.0, accuracy - half),
                        "high": min(1.0, accuracy + half),
                        "accuracy_correct": 1.0 - share * 0.5,
                        "flip_rate": share * 0.4,
                        "probability": accuracy,
                        "logit": 1.5 - share,
                        "tokens_changed": 195.0 if full else (n and min(195.0, 6 * n * (0.77 - 0.06 * m % 0.3))),
                        "gc_shift": -0.05 * share,
                        "default_label_rate": floor if label == default else 1 - floor,
                        "floor_normalised_drop": share,
                        "probability_low": accuracy - half / 2,
                        "probability_high": accuracy + half / 2,
                        "flip_rate_low": share * 0.3,
                        "flip_rate_high": share * 0.5,
                    }
                )
    return rows


def excess_rows(task: str) -> list[dict[str, Any]]:
    """Write the rows that `excesses` would, of two controls."""
    shared = {"operator": "random_other", "order": "morf"}
    return [
        {
            "label": label,
            "class_name": name,
            "condition": condition,
            "method": method,
            "control": control,
            **shared,
            "measure": measure,
            "n": n,
            "sequences": SEQUENCES,
            "value": value,
            "low": value - 0.1,
            "high": value + 0.1,
        }
        for label, (name, _, _, reach, random_reach) in enumerate(CLASSES[task])
        for condition in ("all", "correct")
        for m, method in enumerate(METHODS)
        for control, step in (("random", 0.0), ("shifted", 0.05))
        for measure in ("logit", "probability", "accuracy", "flips")
        for n in (*map(str, COUNTS[1:]), "all", "aopc")
        for value in [0.0 if n == "all" else (reach[m] - random_reach - step) * (1 if n == "aopc" else int(n) / 20)]
    ]


GRID = {"sequences": {"core": 400}, "counts": [5, 20], "draws": 2, "random_sets": 4}
"""What a fair trial of 400 sequences mutated."""


def audit_of(classes: Sequence[str], findings: Sequence[Finding] = (), promoter_copied: float = 0.0) -> Audit:
    """An audit of a training and a test split with these findings; of the class promoter so many rows are copies."""
    facts = {
        name: {
            "label": label,
            "test_rows": 100,
            "test_rows_copied_from_train": promoter_copied * (name == "promoter"),
            "test_rows_leaked": promoter_copied * (name == "promoter"),
        }
        for label, name in enumerate(classes)
    }
    settings = {"thresholds": Thresholds().model_dump(), "gates": []}
    features = ({"feature": "GC", "strength": 0.6},)
    splits = {"train": 200, "test": 200}
    return Audit("mine", splits, facts, (), (), features, (), None, None, tuple(findings), (), settings)


def interval(value: float, half: float = 0.015) -> dict[str, float]:
    """A number with its interval, as in metrics.json."""
    return {"value": value, "low": value - half, "high": value + half}


def write_json(path: Path, value: Mapping[str, Any]) -> None:
    """Write one JSON artefact."""
    path.write_text(json.dumps(value, indent=1), encoding="utf-8")


def write_task(folder: Path, task: str) -> Path:
    """Write the artefacts of one task that a report reads."""
    place = folder / "tasks" / task
    place.mkdir(parents=True)
    pd.DataFrame(summary_rows(task)).to_csv(place / "summary.csv", index=False)
    default, rate = DEFAULTS[task]
    flag = {"zero": 0, "undefined": 0, "nonfinite": 0, "tie_share": 0.0, "sequences": SEQUENCES}
    flags = {method: {"0": dict(flag), "1": dict(flag)} for method in METHODS}
    flags["gradcam"]["1"] |= {"undefined": 2, "tie_share": 0.31}
    flags["lrp"]["0"] |= {"zero": 3, "tie_share": 0.12, "relevance_sum": 0.987}
    flags["lrp"]["0"]["float64"] = {"sequences": 11, "min": 0.9912, "median": 0.9987}
    write_json(
        place / "info.json",
        {
            "task": task,
            "title": TITLES[task],
            "classes": [name for name, *_ in CLASSES[task]],
            "model": MODELS[task],
            "model_digest": "5f" * 32,
            "default_label": default,
            "default_label_rate": rate,
            "flags": flags,
            "dropped": {"test": {"shorter than 200 nt": 112, "with N": 3}},
            "notes": [{"code": "no_lrp_star", "values": {}}],
        },
    )
    write_json(
        place / "metrics.json",
        {
            "test": {
                "rows": 7000,
                "accuracy": interval(0.845),
                "f1": interval(0.841),
                "mcc": interval(0.69),
                "auroc": interval(0.925),
                "auprc": interval(0.918),
            },
            "model": MODELS[task],
            "crop": {"length": 200, "anchor": "left"},
            "split": "test",
        },
    )
    write_json(
        place / "choice.json",
        {
            "lrp_star": {"0": "lrp", "1": "lrp_last"},
            "validation_drop": {"0": {"lrp": 0.2, "lrp_last": 0.1}, "1": {"lrp": 0.1, "lrp_last": 0.2}},
            "sequences": 60,
        },
    )
    return place


CONFIG = """seed = 0
[tasks.epdnew_nontata]
model = "bundled:promoter"
[tasks.human_enhancers_dedup]
model = "bundled:enhancer"
[data]
per_class = 30
crop = { length = 251, anchor = "left" }
[trial]
counts = [0, 1, 5, 10, 15, 20, "all"]
draws = 3
"""
MANIFEST = {
    "schema": 2,
    "seed": 0,
    "tasks": {"epdnew_nontata": {"data": {"test": "ab" * 32}}},
    "versions": {"kmerit": "0.1.0", "python": "3.11.9", "torch": "2.7.1"},
    "micro_batch": 8,
    "threads": 2,
    "device": "cpu",
}


def write_run(folder: Path) -> Path:
    """Write what a finished run of two tasks leaves for its report."""
    for task in CLASSES:
        write_task(folder, task)
    (folder / "config.toml").write_text(CONFIG, encoding="utf-8")
    write_json(folder / "manifest.json", MANIFEST)
    return folder
