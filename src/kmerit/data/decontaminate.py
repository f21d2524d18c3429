"""Remove from a corpus everything it shares with test sequences, on either strand.

A stretch is shared if at least 40 of the 32-mers that start in it, within one window, are 32-mers of one and the same
test sequence or of its reverse complement. Places are counted, not different words, so that runs of one base count.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray

from kmerit.data.filters import crop_locus
from kmerit.data.groups import SHARED, K, distinct_kmers
from kmerit.sequence import Words, canonical_kmers
from kmerit.types import Bool, Int64, Sequences

_CHUNK = 1 << 22
_FIBONACCI = np.uint64(0x9E3779B97F4A7C15)
"""2^64 / golden ratio: multiplication by it spreads neighbouring words over the filter."""


@dataclass(frozen=True)
class Decontamination:
    """Counts of what was removed.

    Attributes:
        rows: Sequences before.
        dropped: Sequences of which nothing is left.
        cut: Sequences of which a part is left.
        pieces: Sequences after.
        nt: Nucleotides before.
        removed_nt: Nucleotides cut out because they are shared.
        scrap_nt: Nucleotides of pieces that were too short to keep.
    """

    rows: int
    dropped: int
    cut: int
    pieces: int
    nt: int
    removed_nt: int
    scrap_nt: int

    def as_dict(self) -> dict[str, int]:
        """Return the counts by name, for a manifest."""
        return asdict(self)


def shared_kmers(records: Sequences, against: Sequences) -> Int64:
    """Count the 32-mers that every record shares with the test sequence it shares most with, on either strand.

    Args:
        records: Rows, or pieces of chromosomes.
        against: Test sequences, up to some ten million nucleotides.

    Returns:
        ``int64 [sequence]``.

    Example:
        >>> test = Sequences.from_strings(["ACGTTGCAAC" * 5])
        >>> shared_kmers(Sequences.from_strings(["GTTGCAACGT" * 4, "A" * 50]), test).tolist()
        [9, 0]
    """
    most = np.zeros(len(records), dtype=np.int64)
    pairs, times = np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64)
    for position, test in _shared(records, against, overlap=0):
        record = np.searchsorted(records.offsets, position, side="right") - 1
        pairs = np.concatenate([pairs, record * len(against) + test])
        times = np.concatenate([times, np.ones(position.size, dtype=np.int64)])
        pairs, inverse = np.unique(pairs, return_inverse=True)
        times = np.bincount(inverse, weights=times).astype(np.int64)
    np.maximum.at(most, pairs // max(len(against), 1), times)
    return most


def without_shared(records: Sequences, against: Sequences) -> Sequences:
    """Leave out every sequence that shares 40 32-mers or more with one of the others, on either strand.

    Example:
        >>> rows = Sequences.from_strings(["ACGTTGCAAC" * 10, "TTGACATTAC" * 10])
        >>> without_shared(rows, rows.take([0])).names
        ('seq1',)
    """
    return records.take(shared_kmers(records, against) < SHARED)


def decontaminate(
    records: Sequences, against: Sequences, *, least: int = SHARED, window: int = 600, shortest: int = 200
) -> tuple[Sequences, Decontamination]:
    """Remove stretches shared with test sequences: no remaining window has ``least`` 32-mers of any of them.

    A record of at most ``window`` nucleotides goes as a whole. Of a longer one the shared stretches are cut out; the
    pieces are called ``name/start-end`` (0-based in the record), and keep their label and their place.

    Args:
        records: A corpus: short rows, chromosomes, or both.
        against: Test sequences.
        least: How many shared 32-mers are too many.
        window: Within how many nucleotides they count together; at least the length of the test sequences.
        shortest: Fewest nucleotides of a piece worth keeping; whole records are kept at any length.

    Returns:
        The clean sequences, and an account.
    """
    dirty = _dirty_stretches(records, against, least, window)
    lengths = records.lengths
    owner = np.searchsorted(records.offsets, dirty[:, 0], side="right") - 1
    whole_row = lengths[owner] <= window
    dirty[whole_row] = np.stack([records.offsets[owner], records.offsets[owner + 1]], axis=1)[whole_row]
    stretches, owner, uncut, removed = _clean_stretches(records, dirty)
    enough = uncut | (stretches[:, 1] - stretches[:, 0] >= shortest)
    scrap = int((stretches[~enough, 1] - stretches[~enough, 0]).sum())
    pieces = _take_stretches(records, stretches[enough], owner[enough], uncut[enough])
    touched = np.unique(owner[enough & ~uncut]).size
    survivors = np.unique(owner[enough]).size
    return pieces, Decontamination(
        rows=len(records),
        dropped=len(records) - survivors,
        cut=touched,
        pieces=len(pieces),
        nt=records.bases.size,
        removed_nt=removed,
        scrap_nt=scrap,
    )


def _shared(records: Sequences, against: Sequences, overlap: int) -> Iterator[tuple[Int64, Int64]]:
    """Walk over the records in chunks: where shared 32-mers start, and the test sequences that have them.

    Args:
        records: Their flat bases are walked over.
        against: Test sequences.
        overlap: How many positions of the next chunk each chunk repeats.

    Yields:
        Positions in the flat bases and indices of test sequences, ``int64 [pair]`` each, sorted by test sequence, then
        by position.
    """
    dictionary = _Dictionary(against)
    for start in range(0, records.bases.size, _CHUNK):
        words, valid = canonical_kmers(records.bases[start : start + _CHUNK + overlap + K - 1], K)
        position, test = dictionary.find(words, valid)
        position += start
        record = np.searchsorted(records.offsets, position, side="right") - 1
        inside = position + K <= records.offsets[record + 1]
        position, test = position[inside], test[inside]
        order = np.lexsort((position, test))
        yield position[order], test[order]


class _Dictionary:
    """The canonical 32-mers of test sequences with their owners, sorted, behind a filter that spares most searches."""

    def __init__(self, sequences: Sequences) -> None:
        words, self._owner = distinct_kmers(sequences)
        self._words, self._first = np.unique(words, return_index=True)
        self._times = np.diff(np.append(self._first, words.size))
        # At most one slot in 32 is taken, so that few words that are not in here are looked for.
        self._bits = min(self._words.size.bit_length() + 5, 30)
        self._filter: Bool = np.zeros(1 << self._bits, dtype=np.bool_)
        self._filter[_slot(self._words, self._bits)] = True

    def find(self, words: Words, valid: Bool) -> tuple[Int64, Int64]:
        """Pair the positions of the known words that are in here with each of their owners."""
        maybe = np.flatnonzero(self._filter[_slot(words, self._bits)] & valid)
        at = np.searchsorted(self._words, words[maybe])
        at[at == self._words.size] = 0
        here = self._words[at] == words[maybe] if self._words.size else np.zeros(maybe.size, dtype=np.bool_)
        position, at = maybe[here], at[here]
        times = self._times[at]
        ends = np.cumsum(times)
        rank = np.arange(times.sum()) - np.repeat(ends - times, times)
        return np.repeat(position, times), self._owner[np.repeat(self._first[at], times) + rank]


def _slot(words: Words, bits: int) -> Words:
    slot: Words = words * _FIBONACCI >> np.uint64(64 - bits)
    return slot


def _dirty_stretches(records: Sequences, against: Sequences, least: int, window: int) -> Int64:
    """Mark every stretch from a shared 32-mer to the ``least``-th one on, if both lie in one window of one record.

    A window with ``least`` 32-mers of one test sequence or more holds such a stretch; so without them there is none.

    Returns:
        ``int64 [stretch, 2]``, half-open in the flat bases; stretches may overlap.
    """
    stretches = [np.zeros((0, 2), dtype=np.int64)]
    for position, test in _shared(records, against, overlap=window):
        count = max(position.size - least + 1, 0)
        first, last = position[:count], position[position.size - count :]
        record = np.searchsorted(records.offsets, position, side="right") - 1
        same = (test[:count] == test[position.size - count :]) & (record[:count] == record[position.size - count :])
        close = same & (last + K - first <= window)
        stretches.append(np.unique(np.stack([first[close], last[close] + K], axis=1), axis=0))
    return np.concatenate(stretches)


def _clean_stretches(records: Sequences, dirty: Int64) -> tuple[Int64, Int64, Bool, int]:
    """Return the clean stretches: stretches, their record, whether it is whole, nucleotides removed."""
    # A border opens (+1) or closes (-1) a dirty stretch; records begin and end with a stretch of no length.
    edges = np.concatenate([dirty.ravel(), np.repeat(records.offsets[1:-1], 2)])
    steps = np.concatenate([np.tile([1, -1], len(dirty)), np.tile([1, -1], len(records) - 1)])
    order = np.lexsort((-steps, edges))
    depth = np.concatenate([[0], np.cumsum(steps[order])])
    bounds: Int64 = np.concatenate([[0], edges[order], [records.bases.size]]).astype(np.int64)
    between = np.stack([bounds[:-1], bounds[1:]], axis=1)
    size = between[:, 1] - between[:, 0]
    clean = between[(depth == 0) & (size > 0)]
    owner = np.searchsorted(records.offsets, clean[:, 0], side="right") - 1
    uncut: Bool = clean[:, 1] - clean[:, 0] == records.lengths[owner]
    return clean, owner, uncut, int(size[depth > 0].sum())


def _take_stretches(records: Sequences, stretches: Int64, owner: Int64, uncut: NDArray[np.bool_]) -> Sequences:
    offsets = np.concatenate([np.zeros(1, dtype=np.int64), np.cumsum(stretches[:, 1] - stretches[:, 0])])
    bases = np.concatenate([np.zeros(0, dtype=np.int8), *(records.bases[a:b] for a, b in stretches.tolist())])
    inside = (stretches - records.offsets[owner][:, None]).tolist()
    rows = list(zip(owner.tolist(), inside, uncut.tolist(), strict=True))
    names = tuple(records.names[i] if whole else f"{records.names[i]}/{a}-{b}" for i, (a, b), whole in rows)
    loci = None
    if records.loci is not None:
        loci = tuple(locus and crop_locus(locus, a, b) for i, (a, b), _ in rows for locus in [records.loci[i]])
    labels = None if records.labels is None else records.labels[owner]
    return Sequences(names, bases, offsets, labels, loci)
