"""What the reader of a task's numbers must know beside them: ``info.json``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from kmerit.runs.inputs import class_labels
from kmerit.runs.job import Job
from kmerit.runs.toml import Tree
from kmerit.types import Int64, MutagenesisCurve

if TYPE_CHECKING:
    import pandas as pd

    from kmerit.audit import Audit

_FLAGS = ("zero", "undefined", "nonfinite")


def notes(job: Job, curve: MutagenesisCurve, summary: pd.DataFrame) -> Tree:
    """Gather classes, model, default label, flags of the scores, what was dropped, and warnings."""
    from kmerit.faithfulness import default_label

    sample = job.sequences("sequences")
    labels = class_labels(sample, job.name)
    about, classes = job.read_json("model.json"), job.table.classes
    names = classes or about["labels"]
    lines = _audit_lines(job)
    flags = _flags(job, labels)
    return {
        "task": job.name,
        "title": job.table.title or job.name,
        "classes": names,
        "model": about["name"],
        "model_digest": about["digest"],
        "default_label": default_label(curve),
        "default_label_rate": _default_label_rate(summary),
        "flags": flags,
        "dropped": job.read_json("data.json")["dropped"],
        "audit": {str(label): told for label, told in lines.items() if label is not None},
        "warnings": [*lines.get(None, []), *_few(job, labels, names), *_flagged(flags, names), *_unchosen(job)],
    }


def audited(job: Job) -> Audit:
    """Read what the audit of the task's splits found."""
    from kmerit.audit import Audit

    return Audit.from_json((job.folder / "audit.json").read_text(encoding="utf-8"))


def _audit_lines(job: Job) -> dict[int | None, list[str]]:
    """Gather what the audit says of each class, by label, and of the whole task (None)."""
    found = audited(job)
    lines: dict[int | None, list[str]] = {}
    for name, text in found.warnings():
        lines.setdefault(None if name is None else int(found.classes[name]["label"]), []).append(text)
    return lines


def _default_label_rate(summary: pd.DataFrame) -> float | None:
    """Average over the classes how often a fully mutated sequence is given the default label."""
    rows = summary[summary["full"] & (summary["method"] == summary["method"].iloc[0])]
    return float(np.average(rows["default_label_rate"], weights=rows["sequences"])) if len(rows) else None


def _flags(job: Job, labels: Int64) -> Tree:
    """Count per method and class the sequences whose scores are flagged, and average the share of tied positions."""
    import pyarrow.parquet as pq

    columns = ["sequence", "method", *_FLAGS, "tie_share"]
    table = pq.read_table(job.folder / "attributions.parquet", columns=columns).to_pandas()
    table["label"] = labels[table["sequence"].to_numpy()]
    flags: dict[str, dict[str, Any]] = {method: {} for method in job.config.attribution.methods}
    for (method, label), rows in table.groupby(["method", "label"], observed=True):
        counts = {flag: int(rows[flag].sum()) for flag in _FLAGS}
        flags[str(method)][str(label)] = counts | {"tie_share": float(rows["tie_share"].mean()), "sequences": len(rows)}
    return flags


def _few(job: Job, labels: Int64, names: list[str]) -> list[str]:
    wanted = job.config.data.per_class
    found = np.bincount(labels, minlength=len(names))
    short = [f"{name} {count}" for name, count in zip(names, found, strict=True) if count < wanted]
    return [f"Fewer than the {wanted} sequences asked for of {', '.join(short)}: all there are."] if short else []


def _flagged(flags: Tree, names: list[str]) -> list[str]:
    told = {"zero": "all zero", "undefined": "0/0, set to zero", "nonfinite": "not finite"}
    return [
        f"{method}: {counts[flag]} of {counts['sequences']} sequences of {names[int(label)]} have scores {meaning}."
        for method, by_label in flags.items()
        for label, counts in by_label.items()
        for flag, meaning in told.items()
        if counts[flag]
    ]


def _unchosen(job: Job) -> list[str]:
    choice = job.read_json("choice.json")
    return [] if choice["lrp_star"] else ["LRP* was not chosen: it needs lrp, lrp_last and validation sequences."]
