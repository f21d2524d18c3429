"""Attribution: one pass over a model, the scores of many methods."""

# The folder is imported before the function of the same name, which then takes its place here.
import kmerit.attribution.methods  # noqa: F401
from kmerit.attribution.attribute import attribute
from kmerit.attribution.method import Method, methods
from kmerit.attribution.storage import read_attributions

__all__ = ["Method", "attribute", "methods", "read_attributions"]
