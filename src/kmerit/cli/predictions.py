"""Output of ``kmerit predict``: a table with a row per sequence, in the format of the file's suffix."""

# Annotations are evaluated lazily here: this file has no options.
from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

import numpy as np

from kmerit.errors import UsageError
from kmerit.types import Problem

if TYPE_CHECKING:
    from kmerit.models import Model
    from kmerit.types import Float, Predictions, Sequences

Columns = Mapping[str, Sequence[Any]]
ENDINGS = (".csv", ".tsv", ".json", ".jsonl", ".parquet")


def check_ending(out: Path) -> None:
    """Refuse a file whose ending names no format.

    Raises:
        UsageError: It does not.
    """
    if out.suffix.lower() not in ENDINGS:
        raise UsageError(f"--out {out}: the ending says the format; expected {', '.join(ENDINGS)}.")


def predictions(result: Predictions) -> dict[str, list[Any]]:
    """Lay predictions out as columns, numbers rounded to the six digits that float32 is sure of."""
    frame = result.to_frame()
    return {
        str(name): [_rounded(value) for value in column] if column.dtype.kind == "f" else column.tolist()
        for name, column in frame.items()
    }


def evaluation(sequences: Sequences, model: Model, values: Float) -> list[str]:
    """Report metrics of each of several labels or values, if the sequences have them.

    Raises:
        LabelError: One is none of the model's.
    """
    from kmerit.errors import LabelError, short
    from kmerit.statistics import output_metrics

    names, labels = sequences.outputs, sequences.labels
    if names is None or labels is None:
        return []
    if model.problem in (Problem.CLASSES, Problem.VALUE):  # of one label, or value, its own column
        labels, names = np.asarray(model.numbered(sequences).labels)[:, None], model.labels[-1:]
    if missing := [name for name in names if name not in model.labels]:
        raise LabelError(f"{short(missing[0])} is none of the {model.problem} of {model.name}: {model.listed}.")
    answers = values[:, [model.output(name) for name in names]].astype(np.float64)
    if not model.regression:
        if ((labels != 0) & (labels != 1)).any():
            raise LabelError(f"Expected 0 or 1 for each label of {model.name}, found other numbers.")
        answers = answers - 0.5  # ranks and calls as the logit does
    means, each = output_metrics(labels, answers, values=model.regression, resamples=0)
    rows = dict(zip(names, each, strict=True)) | ({f"mean of {len(names)}": means} if len(names) > 1 else {})
    metrics = ("r2", "pearson", "spearman") if model.regression else ("auroc", "auprc", "accuracy")
    return [
        f"{name}: "
        + ", ".join(
            f"{metric} {'undefined' if row[metric]['value'] is None else format(row[metric]['value'], '.3f')}"
            for metric in metrics
        )
        for name, row in rows.items()
    ]


def write_predictions(columns: Columns, out: Path) -> None:
    """Write a table to a file, whole or not at all, in the format of its ending."""
    from kmerit.store import atomic_write

    suffix = out.suffix.lower()
    with atomic_write(out) as part:
        if suffix == ".parquet":
            import pyarrow as pa
            import pyarrow.parquet

            pa.parquet.write_table(pa.table(dict(columns)), part, compression="zstd")
            return
        with part.open("w", encoding="utf-8", newline="") as file:
            if suffix in (".json", ".jsonl"):
                _write_json(columns, file, lines=suffix == ".jsonl")
            else:
                print_predictions(columns, file, "," if suffix == ".csv" else "\t")


def print_predictions(columns: Columns, file: TextIO, separator: str = ",") -> None:
    """Write a table as text."""
    import csv

    table = csv.writer(file, lineterminator="\n", delimiter=separator)
    table.writerow(columns)
    for row in zip(*columns.values(), strict=True):
        table.writerow([f"{cell:.6g}" if isinstance(cell, float) else cell for cell in row])


def _write_json(columns: Columns, file: TextIO, lines: bool) -> None:
    rows = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
    written = [json.dumps(row, ensure_ascii=False) for row in rows]
    file.write("\n".join(written) + "\n" if lines else "[\n" + ",\n".join(written) + "\n]\n")


def _rounded(value: Any) -> float:
    """Keep six digits, as many as float32 is sure of."""
    return float(f"{float(value):.6g}")
