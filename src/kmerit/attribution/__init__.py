"""Attribution: one pass over a model, the scores of many methods."""

from kmerit.attribution.attribute import attribute
from kmerit.attribution.export import export
from kmerit.attribution.hypothetical import hypothetical
from kmerit.attribution.method import Method, methods
from kmerit.attribution.own_scores import own_scores
from kmerit.attribution.storage import read_attributions, read_check

__all__ = [
    "Method",
    "attribute",
    "export",
    "hypothetical",
    "methods",
    "own_scores",
    "read_attributions",
    "read_check",
]
