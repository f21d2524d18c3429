"""Answers on both strands: their mean, and by how much they differ."""

from __future__ import annotations

import logging
from typing import NamedTuple, get_args

import numpy as np

from kmerit.errors import UsageError
from kmerit.sequence import Strands
from kmerit.types import Float, Problem

_LOG = logging.getLogger(__name__)
LARGE = 0.05
"""Above this, the mean change of answers between strands, or the share of sequences that change class, is warned of."""


class StrandChange(NamedTuple):
    """By how much answers change between a sequence and its reverse complement.

    Attributes:
        mean: Mean over sequences of the largest change of a probability; of values, in standard deviations over the
            sequences.
        changed: Share of sequences that get another class, or of answers that cross 0.5; None of values.
    """

    mean: float
    changed: float | None


def check_strands(strands: str) -> None:
    """Refuse another word than ``forward`` or ``both``.

    Raises:
        UsageError: With those there are.
    """
    if strands not in get_args(Strands):
        raise UsageError(f"strands: expected 'forward' or 'both', got {strands!r}.")


def strand_change(problem: Problem, forward: Float, back: Float, name: str) -> StrandChange:
    """Measure how answers ``[sequence, output]`` change between strands, and log a warning if they change much.

    Args:
        problem: What the outputs mean.
        forward: Of the sequences.
        back: Of their reverse complements.
        name: Of the model.
    """
    change = np.abs(forward.astype(np.float64) - back)
    if problem.are_values:
        spread = forward.std(axis=0)
        scale = np.where(spread > 0, spread, np.maximum(np.abs(forward).max(axis=0), np.finfo(np.float32).tiny))
        result = StrandChange(float((change / scale).max(axis=1).mean()), None)
        what = f"{result.mean:.2g} standard deviations"
    else:
        classes = problem is Problem.CLASSES
        other = forward.argmax(1) != back.argmax(1) if classes else (forward > 0.5) != (back > 0.5)
        result = StrandChange(float(change.max(axis=1).mean()), float(other.mean()))
        what = f"{result.mean:.2g} in probability"
    if result.mean > LARGE or (result.changed or 0) > LARGE:
        crossed = "" if result.changed is None else f"; {result.changed:.0%} of them get another class"
        _LOG.warning(
            "%s predicts differently for the reverse complement: %s on average, over %d sequences%s. The mean over "
            "both strands hides that.",
            *(name, what, len(forward), crossed),
        )
    return result
