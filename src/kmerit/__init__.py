"""kmerit: which nucleotides does a genomic language model use, and can you trust the method that says so?

This is the one public door. Torch is imported when a model is first asked for, not before.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from kmerit.audit import audit
from kmerit.errors import KmeritError
from kmerit.types import Attribution, Locus, Outcomes, Sequences, Tokens

if TYPE_CHECKING:
    from kmerit.attribution import (
        Method,
        attribute,
        export,
        hypothetical,
        methods,
        own_scores,
        read_attributions,
    )
    from kmerit.data import Crop, Planting, Tiles, load_task, plant, prepare, read_sequences, sample_per_class
    from kmerit.faithfulness import Grid, default_label, judge, mutate, read_outcomes, summarise
    from kmerit.faithfulness.fair import trial
    from kmerit.faithfulness.positions import mutation_order
    from kmerit.models import Model, load_model, one_hot_model, wrap
    from kmerit.studies.calibration import calibrate

__version__ = "0.1.0"

_LAZY = {
    "Crop": "kmerit.data",
    "Grid": "kmerit.faithfulness",
    "Method": "kmerit.attribution",
    "Model": "kmerit.models",
    "Planting": "kmerit.data",
    "Tiles": "kmerit.data",
    "attribute": "kmerit.attribution",
    "calibrate": "kmerit.studies.calibration",
    "default_label": "kmerit.faithfulness",
    "export": "kmerit.attribution",
    "hypothetical": "kmerit.attribution",
    "judge": "kmerit.faithfulness",
    "load_model": "kmerit.models",
    "load_task": "kmerit.data",
    "methods": "kmerit.attribution",
    "mutate": "kmerit.faithfulness",
    "mutation_order": "kmerit.faithfulness.positions",
    "one_hot_model": "kmerit.models",
    "own_scores": "kmerit.attribution",
    "plant": "kmerit.data",
    "prepare": "kmerit.data",
    "read_attributions": "kmerit.attribution",
    "read_outcomes": "kmerit.faithfulness",
    "read_sequences": "kmerit.data",
    "sample_per_class": "kmerit.data",
    "summarise": "kmerit.faithfulness",
    "trial": "kmerit.faithfulness",
    "wrap": "kmerit.models",
}

__all__ = [
    "Attribution",
    "Crop",
    "Grid",
    "KmeritError",
    "Locus",
    "Method",
    "Model",
    "Outcomes",
    "Planting",
    "Sequences",
    "Tiles",
    "Tokens",
    "__version__",
    "attribute",
    "audit",
    "calibrate",
    "default_label",
    "export",
    "hypothetical",
    "judge",
    "load_model",
    "load_task",
    "methods",
    "mutate",
    "mutation_order",
    "one_hot_model",
    "own_scores",
    "plant",
    "prepare",
    "read_attributions",
    "read_outcomes",
    "read_sequences",
    "sample_per_class",
    "summarise",
    "trial",
    "wrap",
]


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return getattr(import_module(_LAZY[name]), name)
    raise AttributeError(f"module 'kmerit' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
