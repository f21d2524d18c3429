"""Whole studies, one file each, written on the public API: calibration, leakage, backgrounds, planted truth, sanity.

Importing loads no torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kmerit.studies.backgrounds import BackgroundsConfig, run_backgrounds
    from kmerit.studies.calibration import CalibrationConfig, calibrate
    from kmerit.studies.leakage import LeakageConfig, run_leakage
    from kmerit.studies.planted import PlantedConfig, run_planted
    from kmerit.studies.sanity import SanityConfig, run_sanity

_ROOM = {
    "BackgroundsConfig": "backgrounds",
    "CalibrationConfig": "calibration",
    "LeakageConfig": "leakage",
    "PlantedConfig": "planted",
    "SanityConfig": "sanity",
    "calibrate": "calibration",
    "run_backgrounds": "backgrounds",
    "run_leakage": "leakage",
    "run_planted": "planted",
    "run_sanity": "sanity",
}
__all__ = [
    "BackgroundsConfig",
    "CalibrationConfig",
    "LeakageConfig",
    "PlantedConfig",
    "SanityConfig",
    "calibrate",
    "run_backgrounds",
    "run_leakage",
    "run_planted",
    "run_sanity",
]


def __getattr__(name: str) -> Any:
    if name in _ROOM:
        return getattr(import_module(f"kmerit.studies.{_ROOM[name]}"), name)
    raise AttributeError(f"module 'kmerit.studies' has no attribute {name!r}")
