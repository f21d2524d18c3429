"""Pre-training and fine-tuning. Importing this package does not load torch; calling a training does."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from kmerit.errors import MissingExtra
from kmerit.training.config import FinetuneConfig, PretrainConfig

if TYPE_CHECKING:
    from kmerit.training.finetuning import finetune
    from kmerit.training.pretraining import pretrain

__all__ = ["FinetuneConfig", "PretrainConfig", "finetune", "pretrain"]

_LAZY = {
    "check_recipe": "kmerit.training.finetuning",
    "finetune": "kmerit.training.finetuning",
    "pretrain": "kmerit.training.pretraining",
}


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        if find_spec("accelerate") is None:
            raise MissingExtra("accelerate", "train", "Training")
        return getattr(import_module(_LAZY[name]), name)
    raise AttributeError(f"module 'kmerit.training' has no attribute {name!r}")
