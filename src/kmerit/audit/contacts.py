"""Which rows have a copy, an overlapping row, or a near copy, and in which split.

Every answer is a table ``bool [row, split, same class or another]``: whether the row has such a partner there, other
than itself. A copy is the same letters on either strand, or the same interval where only coordinates are known.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from hashlib import blake2b
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kmerit.audit.dataset import CHROMOSOME, Dataset
from kmerit.sequence import COMPLEMENT, Words, canonical_kmers
from kmerit.types import Bool, Floats, Int64, Sequences

K = 32
SHARED = 40
"""Near copies share this many different 32-mers on either strand: 71 nt in one piece. Of short rows, as many as the
share `COVERED` of the shorter one's."""
MOST = 40
"""A 32-mer in more rows than this is a repeat; pairs are not counted over it, but for rows that have the share
`COVERED` of their 32-mers in common."""
COVERED = 0.5
"""A row is also a near copy if this share of its 32-mers occurs in the rows of a split, however often."""

SAME, OTHER = 0, 1
_PASSES = 8
_CHUNK = 1 << 21
_FIBONACCI = np.uint64(0x9E3779B97F4A7C15)


@dataclass(frozen=True, eq=False)
class NearCopies:
    """What near copies there are.

    Attributes:
        pairs: ``int64 [pair, 2]``, rows that share enough words; of a family larger than ``most`` enough pairs to link
            it, not all.
        table: ``bool [row, split, 2]``; in a row's own split only pairs count, elsewhere covered rows too.
        repeats: ``[row]``, the share of a row's words that are in more rows than ``most``.
        known: ``[row]``, whether a row has any word: without one nothing is known of it.
    """

    pairs: Int64
    table: Bool
    repeats: Floats
    known: Bool


def copies(dataset: Dataset, both_strands: bool = True) -> tuple[Int64, Bool]:
    """Number the different rows, and find those that occur again.

    Args:
        dataset: The rows.
        both_strands: Whether a reverse complement is a copy.

    Returns:
        ``int64 [row]``, equal for copies; and their table.
    """
    key = _interval_keys(dataset) if dataset.sequences is None else _sequence_keys(dataset.sequences, both_strands)
    width = len(dataset.classes)
    counts = np.zeros((int(key.max()) + 1, len(dataset.splits), width), dtype=np.int32)
    np.add.at(counts, (key, dataset.split, dataset.labels), 1)
    return key, _partners(dataset, counts[key])


def _partners(dataset: Dataset, counts: NDArray[np.int32]) -> Bool:
    """Turn ``[row, split, class]`` counts, each row counting itself, into a table of partners."""
    rows = np.arange(len(dataset))
    counts = counts.copy()
    counts[rows, dataset.split, dataset.labels] -= 1
    same = counts[rows, :, dataset.labels]
    return np.stack([same > 0, counts.sum(axis=2) > same], axis=2)


def _sequence_keys(sequences: Sequences, both_strands: bool) -> Int64:
    """Number sequences by their letters."""
    other = COMPLEMENT[sequences.bases[::-1]]
    total, offsets = sequences.bases.size, sequences.offsets.tolist()
    forward, backward = sequences.bases.tobytes(), other.tobytes()
    seen: dict[bytes, int] = {}
    keys = np.empty(len(sequences), dtype=np.int64)
    for i, (a, b) in enumerate(pairwise(offsets)):
        letters = min(forward[a:b], backward[total - b : total - a]) if both_strands else forward[a:b]
        keys[i] = seen.setdefault(blake2b(letters, digest_size=16).digest(), len(seen))
    return keys


def _interval_keys(dataset: Dataset) -> Int64:
    _, start, end = dataset.places()
    return np.unique(np.stack([start, end], axis=1), axis=0, return_inverse=True)[1].astype(np.int64).ravel()


def overlaps(dataset: Dataset) -> Bool | None:
    """Find the rows whose loci overlap, on either strand; None without coordinates."""
    if dataset.loci is None:
        return None
    known, start, end = dataset.places()
    counts = np.zeros((len(dataset), len(dataset.splits), len(dataset.classes)), dtype=np.int32)
    for split in range(len(dataset.splits)):
        for label in range(len(dataset.classes)):
            mine = dataset.group(split, label)[known]
            starts, ends = np.sort(start[mine]), np.sort(end[mine])
            begun, over = np.searchsorted(starts, end, "left"), np.searchsorted(ends, start, "right")
            counts[known, split, label] = begun - over
    table = np.zeros((len(dataset), len(dataset.splits), 2), dtype=np.bool_)
    rows = np.zeros(len(dataset), dtype=np.bool_)
    rows[known] = True
    counts[~rows, dataset.split[~rows], dataset.labels[~rows]] = 1  # an unplaced row has at least itself
    table |= _partners(dataset, counts)
    return table


def merged(start: Int64, end: Int64) -> tuple[int, int]:
    """Merge overlapping intervals: how many are left, and how many nucleotides they cover.

    Example:
        >>> merged(np.array([0, 5, 20]), np.array([10, 15, 30]))
        (2, 25)
    """
    if not start.size:
        return 0, 0
    order = np.argsort(start, kind="stable")
    start, reach = start[order], np.maximum.accumulate(end[order])
    first = np.append(True, start[1:] >= reach[:-1])
    last = np.append(first[1:], True)
    return int(first.sum()), int((reach[last] - start[first]).sum())


def distances(dataset: Dataset) -> Floats | None:
    """Measure how far each row's locus is from the nearest one of another class, on its chromosome.

    Returns:
        ``[row]``, nucleotides; 0 where they overlap, NaN where unknown; None without coordinates.
    """
    if dataset.loci is None:
        return None
    known, start, end = dataset.places()
    result = np.full(len(dataset), np.nan)
    for label in range(len(dataset.classes)):
        mine = dataset.labels[known] == label
        if mine.all() or not mine.any():
            continue
        starts, ends = np.sort(start[~mine]), np.sort(end[~mine])
        a, b = start[mine], end[mine]
        inside = np.searchsorted(starts, b, "left") > np.searchsorted(ends, a, "right")
        left = np.searchsorted(ends, a, "right") - 1
        right = np.searchsorted(starts, b, "left")
        behind = np.where(left >= 0, a - ends[np.maximum(left, 0)], CHROMOSOME)
        ahead = np.where(right < starts.size, starts[np.minimum(right, starts.size - 1)] - b, CHROMOSOME)
        nearest = np.where(inside, 0, np.minimum(behind, ahead)).astype(float)
        nearest[nearest > CHROMOSOME / 4] = np.nan
        result[known[mine]] = nearest
    return result


def near_copies(
    dataset: Dataset,
    *,
    k: int = K,
    shared: int = SHARED,
    most: int = MOST,
    covered: float = COVERED,
    tick: Callable[[], None] = lambda: None,
) -> NearCopies | None:
    """Find rows that share many words, letter for letter on either strand; None without letters.

    The words are worked through in parts, by their hash, so that memory stays a fraction of all of them.

    Args:
        dataset: The rows.
        k: Length of a word.
        shared: So many different words in common make a near copy; of short rows the share ``covered`` of the shorter.
        most: Words in more rows than this are left out of that count.
        covered: Or so large a share of a row's words that occur anywhere in a split, or in one row, however frequent.
        tick: Told after each of the parts.
    """
    from scipy.sparse import coo_array, csr_array

    sequences = dataset.sequences
    if sequences is None:
        return None
    n, sides = len(dataset), len(dataset.splits) * len(dataset.classes)
    total = np.zeros(n, dtype=np.int64)
    frequent = np.zeros(n, dtype=np.int64)
    found = np.zeros((n, len(dataset.splits), 2), dtype=np.int32)
    common, family = csr_array((n, n), dtype=np.int32), csr_array((n, n), dtype=np.int32)
    for part in range(_PASSES):
        words, row = _words(sequences, k, part)
        total += np.bincount(row, minlength=n)
        first = np.flatnonzero(np.append(True, words[1:] != words[:-1])[: words.size])
        times = np.diff(np.append(first, words.size))
        column = np.repeat(np.arange(first.size), times)
        again = np.repeat(times > 1, times)
        row, column, often = row[again], column[again], np.repeat(times, times)[again]
        if row.size:
            column = np.unique(column, return_inverse=True)[1]
            present = np.zeros((int(column[-1]) + 1, sides), dtype=np.bool_)
            present[column, dataset.side[row]] = True
            _cover(dataset, found, row, present[column])
            useful = often <= most
            frequent += np.bincount(row[~useful], minlength=n)
            ones = np.ones(int(useful.sum()), dtype=np.int32)
            table = csr_array((ones, (row[useful], column[useful])), shape=(n, int(column[-1]) + 1))
            common = common + table @ table.T
            # All pairs over a frequent word would be too many: each row is paired with the first that has it.
            owner = row[np.flatnonzero(np.append(True, column[1:] != column[:-1]))][column]
            apart = ~useful & (owner != row)
            family = family + csr_array((np.ones(int(apart.sum()), np.int32), (owner[apart], row[apart])), shape=(n, n))
        tick()
    pairs, times = _pairs(coo_array(common), coo_array(common.multiply(family > 0) + family), total, shared, covered)
    near: Bool = (found >= covered * total[:, None, None]) & (total > 0)[:, None, None]
    near[np.arange(n), dataset.split] = False  # within a split every word is covered by its own row
    for a, b in (pairs.T, pairs[:, ::-1].T):
        # A long row is no near copy of a short one that it holds.
        own = times >= np.minimum(shared, covered * total[a])
        kind = (dataset.labels[a] != dataset.labels[b]).astype(np.int64)
        near[a[own], dataset.split[b[own]], kind[own]] = True
    return NearCopies(pairs, near, frequent / np.maximum(total, 1), total > 0)


def _pairs(common: Any, family: Any, total: Int64, shared: int, covered: float) -> tuple[Int64, Int64]:
    """List the pairs that share enough words, and those that share most of them, frequent ones too; and how many."""
    found = []
    for table, least in ((common, 0), (family, shared)):
        half = covered * np.minimum(total[table.row], total[table.col])
        needed = np.maximum(half, least) if least else np.minimum(half, shared)
        close = (table.data >= np.maximum(needed, 1)) & (table.row < table.col)
        found.append(np.stack([table.row[close], table.col[close], table.data[close]], axis=1))
    several = np.concatenate(found).astype(np.int64)
    pairs, which = np.unique(several[:, :2], axis=0, return_inverse=True)
    times = np.zeros(len(pairs), dtype=np.int64)
    np.maximum.at(times, which.ravel(), several[:, 2])
    return pairs, times


def _cover(dataset: Dataset, found: NDArray[np.int32], row: Int64, present: Bool) -> None:
    """Count, per row and split, the words that rows of the same or another class there have."""
    n, width = len(dataset), len(dataset.classes)
    for split in range(len(dataset.splits)):
        here = present[:, split * width : (split + 1) * width]
        same = here[np.arange(row.size), dataset.labels[row]]
        other = here.sum(axis=1) > same
        found[:, split, SAME] += np.bincount(row[same], minlength=n).astype(np.int32)
        found[:, split, OTHER] += np.bincount(row[other], minlength=n).astype(np.int32)


def _words(sequences: Sequences, k: int, part: int) -> tuple[Words, Int64]:
    """List the different words of every sequence whose hash falls into one part, sorted, with their owners."""
    words, rows = [], []
    for a, b in _chunks(sequences):
        bases = sequences.bases[sequences.offsets[a] : sequences.offsets[b]]
        every, known = canonical_kmers(bases, k)
        mine = known & (every * _FIBONACCI >> np.uint64(61) == np.uint64(part))
        position = np.flatnonzero(mine) + sequences.offsets[a]
        row = np.searchsorted(sequences.offsets, position, side="right") - 1
        inside = position + k <= sequences.offsets[row + 1]
        words.append(every[mine][inside])
        rows.append(row[inside].astype(np.int64))
    word, row = np.concatenate(words), np.concatenate(rows)
    order = np.argsort(word, kind="stable")  # rows are in ascending order already, and stay so within a word
    word, row = word[order], row[order]
    fresh = np.append(True, (word[1:] != word[:-1]) | (row[1:] != row[:-1]))[: word.size]
    return word[fresh], row[fresh]


def _chunks(sequences: Sequences) -> Iterator[tuple[int, int]]:
    """Cut the rows into runs of some million nucleotides."""
    a = 0
    while a < len(sequences):
        b = int(np.searchsorted(sequences.offsets, sequences.offsets[a] + _CHUNK, side="right")) - 1
        b = max(b, a + 1)
        yield a, b
        a = b
