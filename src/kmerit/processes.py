"""Several processes on one trial: each takes its share of the chunks, and the first joins them.

Started through ``accelerate launch`` or ``torchrun``; a process on its own is the first of one.
"""

from __future__ import annotations

import os
from datetime import timedelta

from kmerit.errors import MissingExtra

_PATIENCE = timedelta(days=7)
"""How long the others wait for one that is at work."""


def rank() -> int:
    """Number this process, from 0."""
    return int(os.environ.get("RANK", "0"))


def count() -> int:
    """Count the processes that work together."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def is_first() -> bool:
    """Return whether this is the process that joins and writes what all have made."""
    return rank() == 0


def meet() -> None:
    """Wait until every process has reached this point.

    Raises:
        MissingExtra: accelerate is not installed.
    """
    if count() == 1:
        return
    try:
        from accelerate import PartialState
    except ImportError as error:
        raise MissingExtra("accelerate", "train", "Work on several processes") from error
    from torch.cuda import is_available

    # Without cpu=True accelerate takes processes on a machine that has no GPU for single ones, and nobody waits.
    PartialState(cpu=not is_available(), timeout=_PATIENCE).wait_for_everyone()
