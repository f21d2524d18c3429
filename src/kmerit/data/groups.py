"""Groups of sequences that a split must keep together: neighbours on the genome, and near copies.

A validation split is carved from a training split by group, so that a model cannot be praised for remembering.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b
from itertools import pairwise

import numpy as np

from kmerit.sequence import Words, canonical_kmers, reverse_complement
from kmerit.types import Int64, Sequences

K = 32
SHARED = 40
"""Two sequences that share this many different 32-mers, on either strand, are near copies (71 nt in one piece)."""
VALIDATION_SHARE = 0.1


def in_validation(group: str) -> bool:
    """Return whether a group belongs to the validation split: a tenth do, by the hash of their name.

    Example:
        >>> sum(in_validation(f"gene{i}") for i in range(1000))
        98
    """
    digest = blake2b(group.encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") < VALIDATION_SHARE * 2**64


def near_copies(sequences: Sequences, most: int = 40) -> Int64:
    """Pair sequences that are copies of each other, or nearly, on either strand.

    Two are near copies if they share at least 40 different 32-mers, or half of the shorter one's where it has fewer
    than 80. Exact copies are paired at any length and number.

    Args:
        sequences: Up to a few hundred thousand short ones.
        most: A 32-mer found in more sequences than this is a repeat of the genome: it counts only between sequences
            that share half of all their 32-mers, as those of one large family do.

    Returns:
        ``int64 [pair, 2]``, indices of the sequences; of exact copies and of large families enough pairs to link them
        all, not every pair.

    Example:
        >>> rows = Sequences.from_strings(["ACGTT", "GGGGG", "AACGT"])
        >>> near_copies(rows).tolist()
        [[0, 2]]
    """
    from scipy.sparse import coo_array, csr_array

    n = len(sequences)
    words, row = _all_kmers(sequences)
    shared_words = np.bincount(_distinct(words, row)[1], minlength=n)
    # Nearly all words occur once: they are sorted out first, with numpy's fastest sort.
    order = np.argsort(words)
    again = words[order][1:] == words[order][:-1]
    repeated = order[(np.append(again, False) | np.append(False, again))[: words.size]]
    words, row = _distinct(words[repeated], row[repeated])
    first = np.flatnonzero(np.append(True, words[1:] != words[:-1])[: words.size])
    times = np.diff(np.append(first, words.size))
    column = np.repeat(np.arange(first.size), times)
    useful = np.repeat((times > 1) & (times <= most), times)
    ones = np.ones(int(useful.sum()), dtype=np.int32)
    table = csr_array((ones, (row[useful], column[useful])), shape=(n, first.size))
    shared = (table @ table.T).tocoo()
    close = (shared.row < shared.col) & (shared.data >= np.minimum(SHARED, _half(shared_words, shared.row, shared.col)))
    # Owners of a frequent word are many: each is compared with the next one alone.
    follow = np.flatnonzero((column[1:] == column[:-1]) & ~useful[1:]) if column.size else np.zeros(0, dtype=np.int64)
    chained = coo_array((np.ones(follow.size, dtype=np.int32), (row[follow], row[follow + 1])), shape=(n, n))
    chained = (chained.tocsr() + shared.tocsr() * (chained.tocsr() > 0)).tocoo()
    family = chained.data >= _half(shared_words, chained.row, chained.col)
    return np.concatenate(
        [
            _copies(sequences),
            np.stack([shared.row[close], shared.col[close]], axis=1),
            np.stack([chained.row[family], chained.col[family]], axis=1),
        ]
    ).astype(np.int64)


def _half(shared_words: Int64, one: Int64, other: Int64) -> Int64:
    """Count half of the words of the shorter sequence of each pair, one at least."""
    return np.asarray(np.maximum(1, (np.minimum(shared_words[one], shared_words[other]) + 1) // 2))


def _copies(sequences: Sequences) -> Int64:
    """Pair each sequence with the first one of the same letters, on either strand."""
    first_rows: dict[bytes, int] = {}
    pairs = []
    for i, (start, end) in enumerate(pairwise(sequences.offsets.tolist())):
        bases = sequences.bases[start:end]
        letters = min(bases.tobytes(), reverse_complement(bases).tobytes())
        if (first := first_rows.setdefault(letters, i)) < i:
            pairs.append((first, i))
    return np.array(pairs, dtype=np.int64).reshape(-1, 2)


def neighbours(sequences: Sequences, near: int) -> Int64:
    """Pair sequences whose loci overlap or lie at most ``near`` nucleotides apart, on either strand.

    Returns:
        ``int64 [pair, 2]``; enough pairs to link every cluster, not all of them.
    """
    loci = sequences.loci or (None,) * len(sequences)
    places = sorted((locus.chrom, locus.start, locus.end, i) for i, locus in enumerate(loci) if locus is not None)
    pairs = []
    chrom, reach, last = "", 0, 0
    for this_chrom, start, end, i in places:
        if this_chrom == chrom and start - reach <= near:
            pairs.append((last, i))
            reach = max(reach, end)
        else:
            chrom, reach = this_chrom, end
        last = i
    return np.array(pairs, dtype=np.int64).reshape(-1, 2)


def group_names(sequences: Sequences, *pairs: Int64, own_names: Sequence[str | None] | None = None) -> list[str]:
    """Name the group of every sequence: all that are linked, directly or not, have the same name.

    Args:
        sequences: What is to be grouped.
        pairs: ``int64 [pair, 2]`` links.
        own_names: A name per sequence that links those of equal name (a gene), or None.

    Returns:
        The first given name in the group, else the name of its first sequence.
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    n = len(sequences)
    first: dict[str, int] = {}
    own_names = own_names or [None] * n
    same = [(first.setdefault(name, i), i) for i, name in enumerate(own_names) if name]
    links = np.concatenate([*pairs, np.array(same, dtype=np.int64).reshape(-1, 2)])
    graph = coo_array((np.ones(len(links), dtype=np.int8), (links[:, 0], links[:, 1])), shape=(n, n))
    _, component = connected_components(graph, directed=False)
    names: dict[int, str] = {}
    for i in sorted(range(n), key=lambda i: not own_names[i]):
        names.setdefault(int(component[i]), own_names[i] or sequences.names[i])
    return [names[int(c)] for c in component]


def distinct_kmers(sequences: Sequences) -> tuple[Words, Int64]:
    """List the different canonical 32-mers of every sequence, and whose each is, sorted by word, then by owner."""
    return _distinct(*_all_kmers(sequences))


def _all_kmers(sequences: Sequences) -> tuple[Words, Int64]:
    words, valid = canonical_kmers(sequences.bases, K)
    row = np.repeat(np.arange(len(sequences)), sequences.lengths)[: words.size]
    inside = valid & (np.arange(words.size) + K <= sequences.offsets[row + 1])
    return words[inside], row[inside]


def _distinct(words: Words, row: Int64) -> tuple[Words, Int64]:
    order = np.lexsort((row, words))
    words, row = words[order], row[order]
    fresh = np.append(True, (words[1:] != words[:-1]) | (row[1:] != row[:-1]))[: words.size]
    return words[fresh], row[fresh]
