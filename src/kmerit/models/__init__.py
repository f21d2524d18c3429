"""Loading models; families, tokenisers, the encoder and its rule books."""

from kmerit.models.checkpoint import bundled
from kmerit.models.family import Family, families
from kmerit.models.loading import load_model
from kmerit.models.model import Model
from kmerit.models.one_hot import OneHotModel, one_hot_model
from kmerit.models.wrap import wrap

__all__ = ["Family", "Model", "OneHotModel", "bundled", "families", "load_model", "one_hot_model", "wrap"]
