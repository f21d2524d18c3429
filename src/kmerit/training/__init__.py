"""Pre-training and fine-tuning. Importing this package loads no torch; calling a training does."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from kmerit.errors import MissingExtra

if TYPE_CHECKING:
    from kmerit.training.finetuning import answers, check_recipe, finetune, mean_answers, measure
    from kmerit.training.pretraining import pretrain

__all__ = ["answers", "check_recipe", "finetune", "mean_answers", "measure", "pretrain"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'kmerit.training' has no attribute {name!r}")
    if find_spec("accelerate") is None:
        raise MissingExtra("accelerate", "train", "Training")
    file = "pretraining" if name == "pretrain" else "finetuning"
    return getattr(import_module(f"kmerit.training.{file}"), name)
