"""Where sequences lie in a genome: found letter for letter, on either strand."""

from __future__ import annotations

import numpy as np

from kmerit.sequence import canonical_kmers, reverse_complement
from kmerit.types import Int64, Sequences

_K = 32
_CHUNK = 1 << 22


def locate(sequences: Sequences, pieces: Sequences) -> tuple[Int64, Int64]:
    """Find each sequence in pieces of a genome: its first occurrence, whole and exact.

    Args:
        sequences: Of at least 32 nt, the first 32 of them known.
        pieces: Of a genome.

    Returns:
        Places in the flat bases of the pieces, ``int64 [sequence]``, -1 where a sequence is not found; and strands, 1
        or -1.

    Example:
        >>> genome = Sequences.from_strings(["ACGTTGCAAC" * 2 + "GGATTACAGATTACACCAGTGTTTACCGGTAGACCA"])
        >>> place, strand = locate(Sequences.from_strings(["TGGTCTACCGGTAAACACTGGTGTAATCTGTAATCC"]), genome)
        >>> place.tolist(), strand.tolist()
        ([20], [-1])
    """
    place = np.full(len(sequences), -1, dtype=np.int64)
    strand = np.ones(len(sequences), dtype=np.int64)
    long = [i for i in range(len(sequences)) if sequences.lengths[i] >= _K]
    heads = [canonical_kmers(sequences.bases[sequences.offsets[i] : sequences.offsets[i] + _K], _K) for i in long]
    owners: dict[int, list[int]] = {}
    for i, (word, valid) in zip(long, heads, strict=True):
        if valid[0]:
            owners.setdefault(int(word[0]), []).append(i)
    first_words = np.array(sorted(owners), dtype=np.uint64)
    if not first_words.size:
        return place, strand
    for start in range(0, pieces.bases.size, _CHUNK):
        words, valid = canonical_kmers(pieces.bases[start : start + _CHUNK + _K - 1], _K)
        at = np.minimum(np.searchsorted(first_words, words), first_words.size - 1)
        for position in np.flatnonzero((first_words[at] == words) & valid).tolist():
            for i in owners[int(words[position])]:
                if place[i] < 0:
                    _try(sequences, pieces, i, start + position, place, strand)
    return place, strand


def _try(sequences: Sequences, pieces: Sequences, i: int, position: int, place: Int64, strand: Int64) -> None:
    """Compare all letters: the head lies at ``position``, read forwards or backwards."""
    bases = sequences.bases[sequences.offsets[i] : sequences.offsets[i + 1]]
    piece = int(np.searchsorted(pieces.offsets, position, side="right")) - 1
    for sign, begin, letters in (
        (1, position, bases),
        (-1, position + _K - bases.size, reverse_complement(bases)),
    ):
        inside = pieces.offsets[piece] <= begin and begin + bases.size <= pieces.offsets[piece + 1]
        if inside and np.array_equal(pieces.bases[begin : begin + bases.size], letters):
            place[i], strand[i] = begin, sign
            return
