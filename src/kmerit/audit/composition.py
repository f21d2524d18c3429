"""What a sequence is made of: one number per row and feature, and tables of words."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from kmerit.sequence import kmers
from kmerit.types import Floats, Int64, N, Sequences

Float32 = NDArray[np.float32]
_CHUNK = 1 << 21

DINUCLEOTIDES = tuple(f"{a}p{b}" for a in "ACGT" for b in "ACGT")
"""Written with the phosphate between, so that the dinucleotide GpC is not taken for GC content."""
FEATURES = ("length", "GC", "CpG o/e", "N", "low complexity", "longest run", *DINUCLEOTIDES)
"""Features of letters, in the order of the columns of :func:`features`."""


def word_counts(sequences: Sequences, k: int) -> Float32:
    """Count each sequence's overlapping words.

    Returns:
        ``float32 [sequence, 4**k]``; words over an N count for nothing.

    Example:
        >>> word_counts(Sequences.from_strings(["AACA", "CC"]), 1).tolist()
        [[3.0, 1.0, 0.0, 0.0], [0.0, 2.0, 0.0, 0.0]]
    """
    size = 4**k
    table = np.zeros((len(sequences), size), dtype=np.float32)
    for a, b in _chunks(sequences, size):
        offsets = sequences.offsets[a : b + 1] - sequences.offsets[a]
        words = kmers(sequences.bases[sequences.offsets[a] : sequences.offsets[b]], k)
        row = np.repeat(np.arange(b - a), np.diff(offsets))[: words.size]
        inside = (words >= 0) & (np.arange(words.size) + k <= offsets[row + 1])
        cells = np.bincount(row[inside] * size + words[inside], minlength=(b - a) * size)
        table[a:b] = cells.reshape(b - a, size)
    return table


def word_shares(sequences: Sequences, k: int) -> Float32:
    """Give the words of each sequence as shares of all it has."""
    table = word_counts(sequences, k)
    table /= np.maximum(table.sum(axis=1, keepdims=True), 1)
    return table


def features(sequences: Sequences) -> Floats:
    """Measure every sequence.

    ``length`` in nt; ``GC`` and ``N`` as shares; ``CpG o/e`` is CpG x length / (C x G), 0 where there is no C or G;
    ``low complexity`` counts pairs of equal triplets against those expected of random letters (1; a run of one base
    has 64): the DUST score, scaled by the length; ``longest run`` of one base in nt; dinucleotides as shares.

    Returns:
        ``[sequence, feature]``, columns as in :data:`FEATURES`.

    Source: morgulis2006, section 2.1 (DUST score); gardinergarden1987 (CpG observed / expected).

    Example:
        >>> dict(zip(FEATURES, features(Sequences.from_strings(["CGCG"]))[0].round(2).tolist()))["CpG o/e"]
        2.0
    """
    lengths = sequences.lengths.astype(float)
    single = word_counts(sequences, 1)
    pairs = word_counts(sequences, 2)
    triplets = word_counts(sequences, 3)
    known = np.maximum(single.sum(axis=1), 1)
    expected = single[:, 1] * single[:, 2]
    cpg = np.where(expected > 0, pairs[:, 6] * known / np.maximum(expected, 1), 0.0)
    triplet = triplets.sum(axis=1)
    equal = (triplets * (triplets - 1)).sum(axis=1) / np.maximum(triplet * (triplet - 1) / 64, 1)
    columns = [
        lengths,
        (single[:, 1] + single[:, 2]) / known,
        cpg,
        1 - single.sum(axis=1) / lengths,
        equal,
        longest_runs(sequences),
        *(pairs / np.maximum(pairs.sum(axis=1, keepdims=True), 1)).T,
    ]
    return np.stack(columns, axis=1).astype(np.float64)


def longest_runs(sequences: Sequences) -> Int64:
    """Measure the longest run of one known base in every sequence, in nt.

    Example:
        >>> longest_runs(Sequences.from_strings(["AACCCG", "CNN"])).tolist()
        [3, 1]
    """
    bases = sequences.bases
    starts = np.ones(bases.size, dtype=np.bool_)
    starts[1:] = bases[1:] != bases[:-1]
    starts[sequences.offsets[:-1]] = True
    first = np.flatnonzero(starts)
    length = np.where(bases[first] < N, np.diff(np.append(first, bases.size)), 0)
    longest = np.zeros(len(sequences), dtype=np.int64)
    np.maximum.at(longest, np.searchsorted(sequences.offsets, first, side="right") - 1, length)
    return longest


def _chunks(sequences: Sequences, size: int) -> list[tuple[int, int]]:
    """Cut the rows so that neither letters nor cells of a piece are many."""
    per_piece = max(1, min(_CHUNK // size, _CHUNK // max(1, int(sequences.lengths.mean()))))
    starts = range(0, len(sequences), per_piece)
    return [(a, min(a + per_piece, len(sequences))) for a in starts]
