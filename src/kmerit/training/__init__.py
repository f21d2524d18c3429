"""Pre-training and fine-tuning. Importing this package does not load torch; calling a training does."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from kmerit.errors import MissingExtra
from kmerit.training.config import FinetuneConfig, PretrainConfig

if TYPE_CHECKING:
    from kmerit.training.baselines import linear_baselines
    from kmerit.training.corpus import read_corpus, rows_measured_on, without_test_rows
    from kmerit.training.finetuning import answers, finetune, measure
    from kmerit.training.folder import is_done
    from kmerit.training.pretraining import pretrain
    from kmerit.training.splits import Splits, load_splits

__all__ = [
    "FinetuneConfig",
    "PretrainConfig",
    "Splits",
    "answers",
    "finetune",
    "is_done",
    "linear_baselines",
    "load_splits",
    "measure",
    "pretrain",
    "read_corpus",
    "rows_measured_on",
    "without_test_rows",
]

_LAZY = {
    "Splits": "splits",
    "answers": "finetuning",
    "check_recipe": "finetuning",
    "finetune": "finetuning",
    "is_done": "folder",
    "linear_baselines": "baselines",
    "load_splits": "splits",
    "measure": "finetuning",
    "pretrain": "pretraining",
    "read_corpus": "corpus",
    "rows_measured_on": "corpus",
    "without_test_rows": "corpus",
}


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        if _LAZY[name] in ("finetuning", "pretraining") and find_spec("accelerate") is None:
            raise MissingExtra("accelerate", "train", "Training")
        return getattr(import_module(f"kmerit.training.{_LAZY[name]}"), name)
    raise AttributeError(f"module 'kmerit.training' has no attribute {name!r}")
