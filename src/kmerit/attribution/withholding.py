"""Scores that do not add up are withheld, sequence by sequence: NaN in their place, and the reason with them."""

from __future__ import annotations

import warnings
from dataclasses import replace

import numpy as np

from kmerit.errors import WithheldWarning
from kmerit.types import Attribution, Bool, Float

TOLERANCE = 0.01
"""By how much scores may miss what they should add up to, as a share of that."""


def too_far(delta: Float, tolerance: float) -> Bool:
    """Return which sequences' scores miss their sum by more than the tolerance, or are NaN.

    The decision is each sequence's own: it depends neither on other sequences nor on other methods.

    Example:
        >>> too_far(np.array([0.0, 0.02, np.nan]), 0.01).tolist()
        [False, True, True]
    """
    return np.asarray(~(delta <= tolerance))


def reason_to_withhold(delta: Float, tolerance: float | None) -> str | None:
    """Describe how many sequences' scores are withheld, and why; None if there are none.

    Args:
        delta: ``[sequence]``, by how much the scores' sum misses what it should be, as a share of that.
        tolerance: The greatest that is allowed; None: any.

    Example:
        >>> reason_to_withhold(np.array([0.3, 0.2, 0.4]), 0.01)
        'median delta 30 % over 3 sequences, all above 1 %'
        >>> reason_to_withhold(np.array([0.0, 0.002, 0.4]), 0.01)
        '1 of 3 sequences have a delta above 1 %, up to 40 %'
        >>> reason_to_withhold(np.array([0.0, 0.002, 0.004]), 0.01)
    """
    if tolerance is None or not (far := too_far(delta, tolerance)).any():
        return None
    above = f"above {100 * tolerance:.3g} %"
    if far.all():
        return f"median delta {100 * np.median(delta):.3g} % over {delta.size} sequences, all {above}"
    return f"{far.sum()} of {delta.size} sequences have a delta {above}, up to {100 * delta[far].max():.3g} %"


def noted(attribution: Attribution) -> Attribution:
    """Note under ``withheld`` in the settings for how many sequences scores were withheld, and why."""
    tolerance, delta = attribution.settings.get("tolerance"), attribution.diagnostics.get("delta")
    reason = None if delta is None else reason_to_withhold(delta, tolerance)
    return (
        attribution if reason is None else replace(attribution, settings={**attribution.settings, "withheld": reason})
    )


def warn(method: str, delta: Float, tolerance: float | None) -> None:
    """Warn of scores that were withheld, if any were."""
    if tolerance is None or (reason := reason_to_withhold(delta, tolerance)) is None:
        return
    whose = "Its" if too_far(delta, tolerance).all() else "Their"
    warnings.warn(f"{method} is withheld: {reason}. {whose} scores are NaN.", WithheldWarning, stacklevel=3)
