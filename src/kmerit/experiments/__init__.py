"""Whole studies, one file each: leakage planted class by class, sets of negatives. Importing this loads no torch."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kmerit.experiments.leakage import LeakageConfig, run_leakage
    from kmerit.experiments.negatives import NegativesConfig, run_negatives

__all__ = ["LeakageConfig", "NegativesConfig", "run_leakage", "run_negatives"]

_ROOM = {
    "LeakageConfig": "kmerit.experiments.leakage",
    "run_leakage": "kmerit.experiments.leakage",
    "NegativesConfig": "kmerit.experiments.negatives",
    "run_negatives": "kmerit.experiments.negatives",
}


def __getattr__(name: str) -> Any:
    if name in _ROOM:
        return getattr(import_module(_ROOM[name]), name)
    raise AttributeError(f"module 'kmerit.experiments' has no attribute {name!r}")
