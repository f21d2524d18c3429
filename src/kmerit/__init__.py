"""kmerit: which nucleotides does a genomic language model use, and can you trust the method that says so?

This is the public API. Torch is imported when a model is first asked for, not before.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from kmerit.datasets.audit import audit
from kmerit.errors import KmeritError
from kmerit.results import Attribution, Outcomes
from kmerit.sequences import Locus, Sequences, Tokens

if TYPE_CHECKING:
    from kmerit.attribution.attribute import attribute, hypothetical
    from kmerit.attribution.ledger import ledger, ledger_by_class
    from kmerit.attribution.method import Method, methods
    from kmerit.attribution.own_scores import own_scores
    from kmerit.attribution.references import Reference, completeness, reference
    from kmerit.biology.head_study import Heads, heads
    from kmerit.biology.measured import measured
    from kmerit.biology.motif_tests import Motifs, motifs
    from kmerit.biology.variants import variants
    from kmerit.datasets.planted_values import plant_values
    from kmerit.datasets.planting import Planting, plant
    from kmerit.datasets.task import load_task
    from kmerit.io.crops import Crop, Tiles, prepare, sample_per_class
    from kmerit.io.readers import read_sequences
    from kmerit.io.scores import export, read_attributions
    from kmerit.models.model import Model, load_model
    from kmerit.models.one_hot import one_hot_model
    from kmerit.models.wrap import wrap
    from kmerit.runs.compare import compare
    from kmerit.runs.pipeline import run
    from kmerit.studies.calibration import calibrate
    from kmerit.studies.regimes import study
    from kmerit.trials.measures import default_label, summarise
    from kmerit.trials.outcomes import read_outcomes
    from kmerit.trials.pairs import pairs
    from kmerit.trials.rankings import mutation_order
    from kmerit.trials.trial import Grid, mutate, trial
    from kmerit.trials.verdicts import judge

__version__ = "0.1.0"

_LAZY = {
    "Crop": "kmerit.io.crops",
    "Grid": "kmerit.trials.trial",
    "Heads": "kmerit.biology.head_study",
    "Method": "kmerit.attribution.method",
    "Model": "kmerit.models.model",
    "Motifs": "kmerit.biology.motif_tests",
    "Planting": "kmerit.datasets.planting",
    "Reference": "kmerit.attribution.references",
    "Tiles": "kmerit.io.crops",
    "attribute": "kmerit.attribution.attribute",
    "calibrate": "kmerit.studies.calibration",
    "compare": "kmerit.runs.compare",
    "completeness": "kmerit.attribution.references",
    "default_label": "kmerit.trials.measures",
    "export": "kmerit.io.scores",
    "heads": "kmerit.biology.head_study",
    "hypothetical": "kmerit.attribution.attribute",
    "judge": "kmerit.trials.verdicts",
    "ledger": "kmerit.attribution.ledger",
    "ledger_by_class": "kmerit.attribution.ledger",
    "load_model": "kmerit.models.model",
    "load_task": "kmerit.datasets.task",
    "measured": "kmerit.biology.measured",
    "methods": "kmerit.attribution.method",
    "motifs": "kmerit.biology.motif_tests",
    "mutate": "kmerit.trials.trial",
    "mutation_order": "kmerit.trials.rankings",
    "one_hot_model": "kmerit.models.one_hot",
    "own_scores": "kmerit.attribution.own_scores",
    "pairs": "kmerit.trials.pairs",
    "plant": "kmerit.datasets.planting",
    "plant_values": "kmerit.datasets.planted_values",
    "prepare": "kmerit.io.crops",
    "read_attributions": "kmerit.io.scores",
    "read_outcomes": "kmerit.trials.outcomes",
    "read_sequences": "kmerit.io.readers",
    "reference": "kmerit.attribution.references",
    "run": "kmerit.runs.pipeline",
    "sample_per_class": "kmerit.io.crops",
    "study": "kmerit.studies.regimes",
    "summarise": "kmerit.trials.measures",
    "trial": "kmerit.trials.trial",
    "variants": "kmerit.biology.variants",
    "wrap": "kmerit.models.wrap",
}

__all__ = [
    "Attribution",
    "Crop",
    "Grid",
    "Heads",
    "KmeritError",
    "Locus",
    "Method",
    "Model",
    "Motifs",
    "Outcomes",
    "Planting",
    "Reference",
    "Sequences",
    "Tiles",
    "Tokens",
    "__version__",
    "attribute",
    "audit",
    "calibrate",
    "compare",
    "completeness",
    "default_label",
    "export",
    "heads",
    "hypothetical",
    "judge",
    "ledger",
    "ledger_by_class",
    "load_model",
    "load_task",
    "measured",
    "methods",
    "motifs",
    "mutate",
    "mutation_order",
    "one_hot_model",
    "own_scores",
    "pairs",
    "plant",
    "plant_values",
    "prepare",
    "read_attributions",
    "read_outcomes",
    "read_sequences",
    "reference",
    "run",
    "sample_per_class",
    "study",
    "summarise",
    "trial",
    "variants",
    "wrap",
]


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return getattr(import_module(_LAZY[name]), name)
    raise AttributeError(f"module 'kmerit' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
