"""Attribution: one pass over a model, the scores of many methods."""

from kmerit.attribution.attribute import attribute
from kmerit.attribution.export import export
from kmerit.attribution.hypothetical import hypothetical
from kmerit.attribution.method import Method, methods
from kmerit.attribution.storage import read_attributions, read_check

__all__ = [
    "Method",
    "attribute",
    "export",
    "hypothetical",
    "methods",
    "read_attributions",
    "read_check",
]
