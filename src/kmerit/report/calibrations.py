"""Which row of the calibration tables applies to a verdict: docs/calibration.md, in numbers."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from importlib.resources import files


@dataclass(frozen=True)
class Calibrated:
    """How often verdicts err, by a calibration of the model: one-sided 95 % upper bounds, the highest of all rankings.

    Attributes:
        model: Digest of the model.
        label: The class, by number.
        sequences: Of each class, in an experiment.
        pool: Sequences of the scarcest class that experiments were drawn from.
        faithful: Share of experiments that call a ranking of noise, one among real methods, faithful.
        worse: ... that call it worse than its controls.
        beyond: ... that call a rule of letters beyond composition.
    """

    model: str
    label: int
    sequences: int
    pool: int
    faithful: float
    worse: float
    beyond: float


@cache
def _rows() -> tuple[Calibrated, ...]:
    path = files("kmerit") / "assets" / "calibrations.json"
    return tuple(Calibrated(**row) for row in json.loads(path.read_text(encoding="utf-8")))


def calibrated(model: str, label: int, sequences: int) -> Calibrated | None:
    """Find the row for a verdict: of its model and class, the largest experiment that is no larger than it.

    Args:
        model: Digest of the model.
        label: The class, by number.
        sequences: What the verdict rests on.

    Returns:
        None if the model was not calibrated, or not with so few sequences.

    Example:
        >>> calibrated("of no bundled model", 0, 200) is None
        True
    """
    fitting = [row for row in _rows() if (row.model, row.label) == (model, label) and row.sequences <= sequences]
    return max(fitting, key=lambda row: row.sequences, default=None)
