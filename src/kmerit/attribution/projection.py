"""From tokens to nucleotides: one projection for overlapping k-mers, BPE and 6-mers alike, through ``spans``."""

from __future__ import annotations

import numpy as np

from kmerit.errors import UsageError
from kmerit.types import Float, Tokens

PROJECTIONS = ("mean", "share", "max")


def to_nucleotides(scores: Float, tokens: Tokens, length: int, how: str = "mean") -> Float:
    """Combine the scores of the tokens that cover each nucleotide.

    Args:
        scores: ``[sequence, token]``, special tokens included; they cover nothing.
        tokens: Their spans.
        length: Positions of the longest sequence.
        how: ``mean`` over the covering tokens (DNABERT's own rule), ``share`` (each token splits its score over its
            nucleotides, which conserves the sum), or ``max``.

    Returns:
        ``[sequence, position]`` in the dtype of the scores; NaN where no token covers a nucleotide.

    Raises:
        UsageError: No such projection.

    Source: ji2021 for the mean.
    """
    if how not in PROJECTIONS:
        raise UsageError(f"projection: expected one of {', '.join(PROJECTIONS)}, got {how!r}.")
    start, width = tokens.spans[..., 0], tokens.spans[..., 1] - tokens.spans[..., 0]
    out = np.full((len(scores), length), -np.inf if how == "max" else 0, dtype=scores.dtype)
    cover = np.zeros((len(scores), length), dtype=np.int32)
    for step in range(int(width.max(initial=0))):  # the step-th nucleotide of every token: no two tokens collide
        row, token = np.nonzero(width > step)
        at = (row, start[row, token] + step)
        value = scores[row, token]
        if how == "max":
            out[at] = np.maximum(out[at], value)
        else:
            out[at] += value / width[row, token].astype(scores.dtype) if how == "share" else value
        cover[at] += 1
    if how == "mean":
        out /= np.maximum(cover, 1).astype(scores.dtype)
    out[cover == 0] = np.nan
    return out
