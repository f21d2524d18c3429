"""When memory runs out: the same work again, with half the micro-batch."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, TypeVar

import torch

from kmerit.errors import OutOfMemory

if TYPE_CHECKING:
    from kmerit.models.model import Model

T = TypeVar("T")
_LOG = logging.getLogger(__name__)


def fitting(model: Model, work: Callable[[Model], T]) -> T:
    """Do a piece of work with the model's micro-batch, and again with half of it as often as memory runs out.

    A piece is all made with one micro-batch, which whoever does the work records: so a result is what a run with that
    micro-batch would have given.

    Args:
        model: Its micro-batch is the first to be tried; it is left as it was found.
        work: What to do, given the model or a copy with a smaller micro-batch.

    Raises:
        OutOfMemory: A single sequence does not fit.

    Example:
        >>> import kmerit as km
        >>> fitting(km.load_model("bundled:promoter"), lambda model: model.micro_batch)
        8
    """
    while True:
        try:
            return work(model)
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
            if model.micro_batch == 1:
                raise OutOfMemory(
                    f"{model.device} has too little memory for {model.name} even with one sequence at a time. "
                    f"Crop the sequences with --crop, close what else uses the memory, or choose another --device."
                ) from error
        # Out of the handler the failed pass is forgotten, and what it held can be freed.
        model = replace(model, micro_batch=model.micro_batch // 2)
        if model.device.type == "cuda":
            torch.cuda.empty_cache()
        _LOG.warning("Out of memory on %s; going on with a micro-batch of %d.", model.device, model.micro_batch)


def slices(count: int, model: Model) -> Iterator[slice]:
    """Cut ``count`` rows into micro-batches."""
    for start in range(0, count, model.micro_batch):
        yield slice(start, min(start + model.micro_batch, count))


def is_out_of_memory(error: Exception) -> bool:
    """Graphics cards have an exception of their own; processors and other devices only say it."""
    phrases = ("out of memory", "can't allocate memory", "not enough memory")
    return isinstance(error, torch.OutOfMemoryError) or any(words in str(error).lower() for words in phrases)
