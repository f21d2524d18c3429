"""Whole studies, one file each: calibration, leakage, negatives, planted truth, sanity. Importing loads no torch."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kmerit.experiments.calibration import CalibrationConfig, run_calibration
    from kmerit.experiments.leakage import LeakageConfig, run_leakage
    from kmerit.experiments.negatives import NegativesConfig, run_negatives
    from kmerit.experiments.planted import PlantedConfig, run_planted
    from kmerit.experiments.sanity import SanityConfig, run_sanity

__all__ = [
    "CalibrationConfig",
    "LeakageConfig",
    "NegativesConfig",
    "PlantedConfig",
    "SanityConfig",
    "run_calibration",
    "run_leakage",
    "run_negatives",
    "run_planted",
    "run_sanity",
]

_ROOM = {
    "CalibrationConfig": "kmerit.experiments.calibration",
    "run_calibration": "kmerit.experiments.calibration",
    "LeakageConfig": "kmerit.experiments.leakage",
    "run_leakage": "kmerit.experiments.leakage",
    "NegativesConfig": "kmerit.experiments.negatives",
    "run_negatives": "kmerit.experiments.negatives",
    "PlantedConfig": "kmerit.experiments.planted",
    "run_planted": "kmerit.experiments.planted",
    "SanityConfig": "kmerit.experiments.sanity",
    "run_sanity": "kmerit.experiments.sanity",
}


def __getattr__(name: str) -> Any:
    if name in _ROOM:
        return getattr(import_module(_ROOM[name]), name)
    raise AttributeError(f"module 'kmerit.experiments' has no attribute {name!r}")
