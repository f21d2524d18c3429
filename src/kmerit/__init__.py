"""kmerit: which nucleotides does a genomic language model use, and can you trust the method that says so?

This is the one public door. Torch is imported when a model is first asked for, not before.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from kmerit.audit import audit
from kmerit.errors import KmeritError
from kmerit.types import Attribution, Locus, MutagenesisCurve, Sequences, Tokens

if TYPE_CHECKING:
    from kmerit.attribution import attribute, export, hypothetical, read_attributions
    from kmerit.data import Planting, load_task, plant, read_sequences
    from kmerit.experiments.calibration import calibrate
    from kmerit.faithfulness import judge, mutate
    from kmerit.faithfulness.fair import trial
    from kmerit.models import load_model, one_hot_model

__version__ = "0.1.0"

_LAZY = {
    "Planting": "kmerit.data",
    "attribute": "kmerit.attribution",
    "calibrate": "kmerit.experiments.calibration",
    "export": "kmerit.attribution",
    "hypothetical": "kmerit.attribution",
    "judge": "kmerit.faithfulness",
    "load_model": "kmerit.models",
    "load_task": "kmerit.data",
    "mutate": "kmerit.faithfulness",
    "one_hot_model": "kmerit.models",
    "plant": "kmerit.data",
    "read_attributions": "kmerit.attribution",
    "read_sequences": "kmerit.data",
    "trial": "kmerit.faithfulness",
}

__all__ = [
    "Attribution",
    "KmeritError",
    "Locus",
    "MutagenesisCurve",
    "Planting",
    "Sequences",
    "Tokens",
    "__version__",
    "attribute",
    "audit",
    "calibrate",
    "export",
    "hypothetical",
    "judge",
    "load_model",
    "load_task",
    "mutate",
    "one_hot_model",
    "plant",
    "read_attributions",
    "read_sequences",
    "trial",
]


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return getattr(import_module(_LAZY[name]), name)
    raise AttributeError(f"module 'kmerit' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
