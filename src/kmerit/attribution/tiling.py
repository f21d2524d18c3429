"""Scores of tiles averaged to scores of whole sequences, and scores of both strands to one."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from kmerit.attribution.withholding import too_far
from kmerit.data.tiles import Pieces
from kmerit.types import Attribution, Float, Int64, Sequences


def averaged(tiles: Attribution, pieces: Pieces, whole: Sequences) -> Attribution:
    """Average the scores of tiles where they overlap; NaN counts only where every tile has it.

    Of the diagnostics, ``relevance_sum`` is the mean over tiles, ``delta`` the worst tile's (and a sequence with a tile
    that misses the tolerance is withheld whole), ``zero`` that all are, ``undefined`` and ``nonfinite`` that any is.
    ``tie_share`` is left out.

    Args:
        tiles: Scores of nucleotides of ``pieces.sequences``.
        pieces: How the sequences were taken apart.
        whole: The sequences.
    """
    shape = (len(whole), int(whole.lengths.max(initial=0)))
    sums, counts, covered = np.zeros(shape), np.zeros(shape), np.zeros(shape)
    effects = None if tiles.substitutions is None else np.zeros((*shape, 4))
    rows = zip(pieces.owner.tolist(), pieces.start.tolist(), pieces.sequences.lengths.tolist(), strict=True)
    for i, (owner, start, length) in enumerate(rows):
        part, scores = slice(start, start + length), tiles.scores[i, :length]
        has_score = ~np.isnan(scores)
        sums[owner, part] += np.where(has_score, scores, 0)
        counts[owner, part] += has_score
        covered[owner, part] += 1
        if effects is not None and tiles.substitutions is not None:
            effects[owner, part] += tiles.substitutions[i, :length]
    scores = np.full(shape, np.nan)
    np.divide(sums, counts, out=scores, where=counts > 0)
    first, previous = pieces.first, tiles.diagnostics
    diagnostics = {
        "relevance_sum": pieces.mean(previous["relevance_sum"]),
        "zero": np.logical_and.reduceat(previous["zero"], first),
        "undefined": np.logical_or.reduceat(previous["undefined"], first),
        "nonfinite": np.logical_or.reduceat(previous["nonfinite"], first),
        "delta": np.maximum.reduceat(previous["delta"], first),
        "micro_batch": np.minimum.reduceat(previous["micro_batch"], first),
    }
    if (tolerance := tiles.settings.get("tolerance")) is not None:
        scores[too_far(diagnostics["delta"], tolerance)] = np.nan
    return Attribution(
        method=tiles.method,
        scores=scores.astype(tiles.scores.dtype),
        level=tiles.level,
        target=tiles.target[first],
        names=whole.names,
        signed=tiles.signed,
        settings=tiles.settings,
        diagnostics=diagnostics,
        substitutions=None if effects is None else _mean(effects, covered, tiles.scores.dtype),
    )


def _mean(effects: Float, covered: Float, dtype: np.dtype[np.floating]) -> Float:
    return np.asarray(effects / np.maximum(covered, 1)[..., None], dtype=dtype)


def over_strands(forward: Attribution, back: Attribution, lengths: Int64) -> Attribution:
    """Average the scores of sequences with those of their reverse complements, positions turned back.

    NaN counts only where both have it. Of the diagnostics, ``relevance_sum`` is the mean, ``delta`` the worse strand's
    (and a sequence that misses the tolerance on one strand is withheld), ``zero`` that both are, ``undefined`` and
    ``nonfinite`` that one is. ``tie_share`` is left out.

    Args:
        forward: Scores of nucleotides of the sequences.
        back: Of their reverse complements.
        lengths: Of the sequences, ``int64 [sequence]``.
    """
    position = np.arange(forward.scores.shape[1])
    inside = position < lengths[:, None]
    at = np.where(inside, lengths[:, None] - 1 - position, 0)
    turned = np.where(inside, np.take_along_axis(back.scores, at, axis=1), np.nan)
    both = np.stack([forward.scores, turned])
    strand_count = np.isfinite(both).sum(axis=0)
    scores = np.full(forward.scores.shape, np.nan, dtype=forward.scores.dtype)
    np.divide(np.where(np.isfinite(both), both, 0).sum(axis=0), strand_count, out=scores, where=strand_count > 0)
    mine, theirs = forward.diagnostics, back.diagnostics
    diagnostics = {
        "relevance_sum": (mine["relevance_sum"] + theirs["relevance_sum"]) / 2,
        "zero": mine["zero"] & theirs["zero"],
        "undefined": mine["undefined"] | theirs["undefined"],
        "nonfinite": mine["nonfinite"] | theirs["nonfinite"],
        "delta": np.maximum(mine["delta"], theirs["delta"]),
        "micro_batch": np.minimum(mine["micro_batch"], theirs["micro_batch"]),
    }
    if (tolerance := forward.settings.get("tolerance")) is not None:
        scores[too_far(diagnostics["delta"], tolerance)] = np.nan
    effects = None
    if forward.substitutions is not None and back.substitutions is not None:
        # In the order ACGT the complement of base b is 3 - b.
        other = np.take_along_axis(back.substitutions, at[..., None], axis=1)[..., ::-1]
        effects = np.where(inside[..., None], (forward.substitutions + other) / 2, 0).astype(scores.dtype)
    return replace(forward, scores=scores, diagnostics=diagnostics, substitutions=effects)
