"""What the reader of a task's numbers must know with them: ``info.json``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np

from kmerit.config import Tree
from kmerit.report.artefacts import Note
from kmerit.runs.drawing import class_labels
from kmerit.runs.job import Job
from kmerit.types import Bool, Int64, Outcomes

if TYPE_CHECKING:
    import pandas as pd

    from kmerit.audit import Audit

_FLAGS = ("zero", "undefined", "nonfinite")


def notes(job: Job, outcomes: Outcomes, summary: pd.DataFrame) -> Tree:
    """Gather classes, model, default label, flags of the scores, what was dropped, and notes."""
    from kmerit.faithfulness import default_label

    sample = job.sequences("sequences")
    labels = class_labels(sample, job.name)
    about, classes = job.read_json("model.json"), job.table.classes
    names = classes or about["labels"]
    flags = _flags(job, labels)
    return {
        "task": job.name,
        "title": job.table.title or job.name,
        "classes": names,
        "model": about["name"],
        "model_digest": about["digest"],
        "default_label": default_label(outcomes),
        "default_label_rate": _default_label_rate(summary),
        "flags": flags,
        "dropped": job.read_json("data.json")["dropped"],
        "notes": [asdict(note) for note in (*_few(job, labels, names), *_unchosen(job), *_foreign(job))],
    }


def audited(job: Job) -> Audit:
    """Read what the audit of the task's splits found."""
    from kmerit.audit import Audit

    return Audit.from_json((job.folder / "audit.json").read_text(encoding="utf-8"))


def _default_label_rate(summary: pd.DataFrame) -> float | None:
    """Average over the classes how often a fully mutated sequence is given the default label."""
    rows = summary[summary["full"] & (summary["method"] == summary["method"].iloc[0])]
    return float(np.average(rows["default_label_rate"], weights=rows["sequences"])) if len(rows) else None


def _flags(job: Job, labels: Int64) -> Tree:
    """Tell per method and class how far scores can be trusted.

    Sequences whose scores are flagged are counted; the share of tied positions and the sum of relevance are averaged;
    the ranks of a sample are compared with those in float64.
    """
    import pyarrow.parquet as pq

    from kmerit.attribution import read_check
    from kmerit.attribution.storage import check_file

    scores = job.folder / "attributions.parquet"
    checked = read_check(scores) if check_file(scores).exists() else {}
    columns = ["sequence", "method", *_FLAGS, "tie_share", "relevance_sum"]
    table = pq.read_table(scores, columns=columns).to_pandas()
    table["label"] = labels[table["sequence"].to_numpy()]
    flags: dict[str, dict[str, Any]] = {str(method): {} for method in table["method"].unique()}
    for (method, label), rows in table.groupby(["method", "label"], observed=True):
        counts = {flag: int(rows[flag].sum()) for flag in _FLAGS}
        total = rows["relevance_sum"].mean()
        flags[str(method)][str(label)] = counts | {
            "tie_share": float(rows["tie_share"].mean()),
            "sequences": len(rows),
            "relevance_sum": float(total) if np.isfinite(total) else None,
            "float64": _in_float64(checked.get(str(method)), labels == label),
        }
    return flags


def _in_float64(check: Mapping[str, Any] | None, of_class: Bool) -> Tree | None:
    """Summarise how a class's checked sequences agree in ranks with float64; None where none could be compared."""
    from kmerit.attribution.precision import summary

    each = zip(check["rows"], check["each"], strict=True) if check else ()
    found = [pair[0] for row, pair in each if pair is not None and of_class[row]]
    return {"sequences": len(found), **(summary(np.array(found)) or {})} if found else None


def _few(job: Job, labels: Int64, names: list[str]) -> list[Note]:
    wanted = job.config.data.per_class
    found = np.bincount(labels, minlength=len(names)).tolist()
    short = {name: count for name, count in zip(names, found, strict=True) if count < wanted}
    return [Note("few_sequences", {"wanted": wanted, "by_class": short})] if short else []


def _unchosen(job: Job) -> list[Note]:
    return [] if job.read_json("choice.json")["lrp_star"] else [Note("no_lrp_star")]


def _foreign(job: Job) -> list[Note]:
    """Warn where nobody here knows what the model has learned from."""
    table = job.table
    if table.finetune is not None or (table.model or "").startswith("bundled:"):
        return []
    leaks = "train_key" if table.train is not None else "task" if table.sequences is None else "unknown"
    return [Note("foreign_model", {"leaks": leaks})]
