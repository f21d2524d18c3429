"""Scores of tiles, averaged to scores of whole sequences."""

from __future__ import annotations

import numpy as np

from kmerit.attribution.withholding import too_far
from kmerit.data.tiles import Pieces
from kmerit.types import Attribution, Float, Sequences


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
        known = ~np.isnan(scores)
        sums[owner, part] += np.where(known, scores, 0)
        counts[owner, part] += known
        covered[owner, part] += 1
        if effects is not None and tiles.substitutions is not None:
            effects[owner, part] += tiles.substitutions[i, :length]
    scores = np.full(shape, np.nan)
    np.divide(sums, counts, out=scores, where=counts > 0)
    first, given = pieces.first, tiles.diagnostics
    diagnostics = {
        "relevance_sum": pieces.mean(given["relevance_sum"]),
        "zero": np.logical_and.reduceat(given["zero"], first),
        "undefined": np.logical_or.reduceat(given["undefined"], first),
        "nonfinite": np.logical_or.reduceat(given["nonfinite"], first),
        "delta": np.maximum.reduceat(given["delta"], first),
        "micro_batch": np.minimum.reduceat(given["micro_batch"], first),
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
