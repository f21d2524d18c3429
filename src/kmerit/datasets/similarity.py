"""Similarity of sequences: copies, near copies, overlaps on the genome, and groups that a split must not tear apart.

Groups of sequences that a split must keep together: neighbours on the genome, and near copies. A validation split is
carved from a training split by group, so that a model cannot be praised for remembering.

Remove from a corpus everything it shares with test sequences, on either strand. A stretch is shared if at least 40 of
the 32-mers that start in it, within one window, are 32-mers of one and the same test sequence or of its reverse
complement. Places are counted, not different words, so that runs of one base count.

Which rows have a copy, an overlapping row, or a near copy, and in which split. Every answer is a table ``bool [row,
split, same class or another]``: whether the row has such a partner there, other than itself. A copy is the same
letters on either strand, or the same interval where only coordinates are known.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from hashlib import blake2b
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kmerit.datasets.dataset import CHROMOSOME, Dataset
from kmerit.io.crops import crop_locus
from kmerit.sequences import COMPLEMENT, Bool, Floats, Int64, Sequences, Words, canonical_kmers

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
    shared_words, repeated = np.zeros(n, dtype=np.int64), [(np.zeros(0, dtype=np.uint64), np.zeros(0, dtype=np.int32))]
    # Nearly all words occur once: of each part of them only the others are held.
    total = int(np.maximum(sequences.lengths - K + 1, 0).sum())
    bits = (total // _TOGETHER).bit_length()
    for part in range(1 << bits if total else 0):
        words, row = _words(sequences, K, part, bits)
        shared_words += np.bincount(row, minlength=n)
        again = words[1:] == words[:-1]
        several = (np.append(again, False) | np.append(False, again))[: words.size]
        repeated.append((words[several], row[several]))
    words, row = map(np.concatenate, zip(*repeated, strict=True))
    order = np.argsort(words, kind="stable")
    words, row = words[order], row[order]
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
    runs = coo_array((np.ones(follow.size, dtype=np.int32), (row[follow], row[follow + 1])), shape=(n, n))
    runs = (runs.tocsr() + shared.tocsr() * (runs.tocsr() > 0)).tocoo()
    family = runs.data >= _half(shared_words, runs.row, runs.col)
    return np.concatenate(
        [
            copy_links(_sequence_keys(sequences, both_strands=True)),
            np.stack([shared.row[close], shared.col[close]], axis=1),
            np.stack([runs.row[family], runs.col[family]], axis=1),
        ]
    ).astype(np.int64)


def _half(shared_words: Int64, one: Int64, other: Int64) -> Int64:
    """Count half of the words of the shorter sequence of each pair, one at least."""
    return np.asarray(np.maximum(1, (np.minimum(shared_words[one], shared_words[other]) + 1) // 2))


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


def related_groups(sequences: Sequences, near: int) -> list[str]:
    """Name the group of every sequence: near copies, and loci at most ``near`` nucleotides apart, are in one.

    Example:
        >>> related_groups(Sequences.from_strings(["ACGT" * 20, "TTGCA" * 9, "ACGT" * 20]), 0)
        ['seq0', 'seq1', 'seq0']
    """
    return group_names(sequences, near_copies(sequences), neighbours(sequences, near))


def distinct_kmers(sequences: Sequences) -> tuple[Words, Int64]:
    """List the different canonical 32-mers of every sequence, and whose each is, sorted by word, then by owner."""
    return _distinct(*_all_kmers(sequences))


def _all_kmers(sequences: Sequences, k: int = K) -> tuple[Words, Int64]:
    words, valid = canonical_kmers(sequences.bases, k)
    row = np.repeat(np.arange(len(sequences)), sequences.lengths)[: words.size]
    inside = valid & (np.arange(words.size) + k <= sequences.offsets[row + 1])
    return words[inside], row[inside]


def _distinct(words: Words, row: Int64) -> tuple[Words, Int64]:
    order = np.lexsort((row, words))
    words, row = words[order], row[order]
    is_first = np.append(True, (words[1:] != words[:-1]) | (row[1:] != row[:-1]))[: words.size]
    return words[is_first], row[is_first]


_TOGETHER = 1 << 21
"""Words that are sorted together."""
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


def without_kmers_of(records: Sequences, against: Sequences, k: int) -> Sequences:
    """Leave out every sequence that shares a single k-mer, on either strand, with one of the others.

    Args:
        records: Rows.
        against: Sequences whose k-mers must not occur.
        k: From 1 to 32.

    Example:
        >>> rows = Sequences.from_strings(["AACGT", "AAAAA"])
        >>> without_kmers_of(rows, Sequences.from_strings(["CGTT"]), 4).strings()
        ['AAAAA']
    """
    theirs, _ = _all_kmers(against, k)
    words, row = _all_kmers(records, k)
    kept = np.ones(len(records), dtype=np.bool_)
    kept[row[np.isin(words, theirs)]] = False
    return records.take(kept)


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
    cut_count = np.unique(owner[enough & ~uncut]).size
    survivors = np.unique(owner[enough]).size
    return pieces, Decontamination(
        rows=len(records),
        dropped=len(records) - survivors,
        cut=cut_count,
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
        matches = self._words[at] == words[maybe] if self._words.size else np.zeros(maybe.size, dtype=np.bool_)
        position, at = maybe[matches], at[matches]
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


MOST = 40
"""A 32-mer in more rows than this is a repeat; pairs are not counted over it, but for rows that have the share
`COVERED` of their 32-mers in common."""
COVERED = 0.5
"""A row is also a near copy if this share of its 32-mers occurs in the rows of a split, however often."""

SAME, OTHER = 0, 1
_PASSES = 8
_ROWS_AT_ONCE = 1 << 19


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
    digests = np.empty(len(sequences), dtype="S16")
    for first, last in _chunks(sequences):
        offsets = sequences.offsets[first : last + 1] - sequences.offsets[first]
        bases = sequences.bases[sequences.offsets[first] : sequences.offsets[last]]
        forward, backward, total = bases.tobytes(), COMPLEMENT[bases[::-1]].tobytes(), bases.size
        for i, (a, b) in enumerate(pairwise(offsets.tolist()), start=first):
            letters = min(forward[a:b], backward[total - b : total - a]) if both_strands else forward[a:b]
            digests[i] = blake2b(letters, digest_size=16).digest()
    return np.unique(digests, return_inverse=True)[1].astype(np.int64).ravel()


def _interval_keys(dataset: Dataset) -> Int64:
    _, start, end = dataset.places()
    return np.unique(np.stack([start, end], axis=1), axis=0, return_inverse=True)[1].astype(np.int64).ravel()


def overlaps(dataset: Dataset) -> Bool | None:
    """Find the rows whose loci overlap, on either strand; None without coordinates."""
    if dataset.loci is None:
        return None
    placed_rows, start, end = dataset.places()
    counts = np.zeros((len(dataset), len(dataset.splits), len(dataset.classes)), dtype=np.int32)
    for split in range(len(dataset.splits)):
        for label in range(len(dataset.classes)):
            of_class = dataset.group(split, label)[placed_rows]
            starts, ends = np.sort(start[of_class]), np.sort(end[of_class])
            before, over = np.searchsorted(starts, end, "left"), np.searchsorted(ends, start, "right")
            counts[placed_rows, split, label] = before - over
    table = np.zeros((len(dataset), len(dataset.splits), 2), dtype=np.bool_)
    rows = np.zeros(len(dataset), dtype=np.bool_)
    rows[placed_rows] = True
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
    placed_rows, start, end = dataset.places()
    result = np.full(len(dataset), np.nan)
    for label in range(len(dataset.classes)):
        of_class = dataset.labels[placed_rows] == label
        if of_class.all() or not of_class.any():
            continue
        starts, ends = np.sort(start[~of_class]), np.sort(end[~of_class])
        a, b = start[of_class], end[of_class]
        inside = np.searchsorted(starts, b, "left") > np.searchsorted(ends, a, "right")
        previous = np.searchsorted(ends, a, "right") - 1
        right = np.searchsorted(starts, b, "left")
        behind = np.where(previous >= 0, a - ends[np.maximum(previous, 0)], CHROMOSOME)
        ahead = np.where(right < starts.size, starts[np.minimum(right, starts.size - 1)] - b, CHROMOSOME)
        nearest = np.where(inside, 0, np.minimum(behind, ahead)).astype(float)
        nearest[nearest > CHROMOSOME / 4] = np.nan
        result[placed_rows[of_class]] = nearest
    return result


def near_copies_in(
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
        shared: Different words in common that make a near copy; of short rows the share ``covered`` of the shorter.
        most: Words in more rows than this are left out of that count.
        covered: Or so large a share of a row's words that occur anywhere in a split, or in one row, however frequent.
        tick: Called after each of the parts.
    """
    from scipy.sparse import coo_array, csr_array

    sequences = dataset.sequences
    if sequences is None:
        return None
    n, sides = len(dataset), len(dataset.splits) * len(dataset.classes)
    total = np.zeros(n, dtype=np.int64)
    frequent = np.zeros(n, dtype=np.int64)
    cover = np.zeros((n, len(dataset.splits), 2), dtype=np.int32)
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
            _cover(dataset, cover, row, present[column])
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
    near: Bool = (cover >= covered * total[:, None, None]) & (total > 0)[:, None, None]
    near[np.arange(n), dataset.split] = False  # within a split every word is covered by its own row
    for a, b in (pairs.T, pairs[:, ::-1].T):
        # A long row is no near copy of a short one that it holds.
        own = times >= np.minimum(shared, covered * total[a])
        kind = (dataset.labels[a] != dataset.labels[b]).astype(np.int64)
        near[a[own], dataset.split[b[own]], kind[own]] = True
    return NearCopies(pairs, near, frequent / np.maximum(total, 1), total > 0)


def _pairs(common: Any, family: Any, total: Int64, shared: int, covered: float) -> tuple[Int64, Int64]:
    """List the pairs that share enough words, and those that share most of them, frequent ones too; and how many."""
    triples = []
    for table, least in ((common, 0), (family, shared)):
        half = covered * np.minimum(total[table.row], total[table.col])
        threshold = np.maximum(half, least) if least else np.minimum(half, shared)
        close = (table.data >= np.maximum(threshold, 1)) & (table.row < table.col)
        triples.append(np.stack([table.row[close], table.col[close], table.data[close]], axis=1))
    several = np.concatenate(triples).astype(np.int64)
    pairs, pair_of_row = np.unique(several[:, :2], axis=0, return_inverse=True)
    times = np.zeros(len(pairs), dtype=np.int64)
    np.maximum.at(times, pair_of_row.ravel(), several[:, 2])
    return pairs, times


def _cover(dataset: Dataset, cover: NDArray[np.int32], row: NDArray[np.int32], present: Bool) -> None:
    """Count, per row and split, the words that rows of the same or another class there have."""
    n, width = len(dataset), len(dataset.classes)
    for split in range(len(dataset.splits)):
        here = present[:, split * width : (split + 1) * width]
        same = here[np.arange(row.size), dataset.labels[row]]
        other = here.sum(axis=1) > same
        cover[:, split, SAME] += np.bincount(row[same], minlength=n).astype(np.int32)
        cover[:, split, OTHER] += np.bincount(row[other], minlength=n).astype(np.int32)


def _words(sequences: Sequences, k: int, part: int, bits: int = 3) -> tuple[Words, NDArray[np.int32]]:
    """List the different words of every sequence whose hash falls into one of ``2**bits`` parts, with their owners.

    Sorted by word, then by owner.
    """
    words, rows = [np.zeros(0, dtype=np.uint64)], [np.zeros(0, dtype=np.int32)]
    for a, b in _chunks(sequences):
        bases = sequences.bases[sequences.offsets[a] : sequences.offsets[b]]
        every, is_word = canonical_kmers(bases, k)
        mine = is_word
        if bits:
            mine &= every * _FIBONACCI >> np.uint64(64 - bits) == np.uint64(part)
        position = np.flatnonzero(mine) + sequences.offsets[a]
        row = np.searchsorted(sequences.offsets, position, side="right") - 1
        inside = position + k <= sequences.offsets[row + 1]
        words.append(every[mine][inside])
        rows.append(row[inside].astype(np.int32))
    word, row = _joined(words), _joined(rows)
    order = np.argsort(word, kind="stable")  # rows are in ascending order already, and stay so within a word
    word = word[order]
    row = row[order]
    fresh = np.append(True, (word[1:] != word[:-1]) | (row[1:] != row[:-1]))[: word.size]
    return word[fresh], row[fresh]


def _joined(parts: list[NDArray[Any]]) -> NDArray[Any]:
    """Concatenate arrays, and forget them."""
    whole = np.concatenate(parts)
    parts.clear()
    return whole


def _chunks(sequences: Sequences) -> Iterator[tuple[int, int]]:
    """Cut the rows into runs of half a million nucleotides."""
    a = 0
    while a < len(sequences):
        b = int(np.searchsorted(sequences.offsets, sequences.offsets[a] + _ROWS_AT_ONCE, side="right")) - 1
        b = max(b, a + 1)
        yield a, b
        a = b


def copy_links(key: Int64) -> Int64:
    """Link every row to the first one with its key: ``int64 [link, 2]``."""
    _, first, group = np.unique(key, return_index=True, return_inverse=True)
    links = np.stack([first[group], np.arange(key.size)], axis=1)
    return np.asarray(links[links[:, 0] != links[:, 1]], dtype=np.int64)


def place_links(dataset: Dataset, near: int = 0) -> Int64:
    """Link rows whose loci overlap or lie at most ``near`` nt apart; enough links for every cluster, not all."""
    placed_rows, start, end = dataset.places()
    order = np.argsort(start, kind="stable")
    reach = np.maximum.accumulate(end[order]) if order.size else end
    linked = start[order][1:] - reach[:-1] <= near
    return np.stack([placed_rows[order][:-1][linked], placed_rows[order][1:][linked]], axis=1).astype(np.int64)


def groups(rows: int, *links: Int64) -> Int64:
    """Number the groups of rows that are linked, directly or not.

    Example:
        >>> groups(4, np.array([[0, 2]]), np.array([[2, 3]])).tolist()
        [0, 1, 0, 0]
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    edges = np.concatenate([np.zeros((0, 2), dtype=np.int64), *links])
    graph = coo_array((np.ones(len(edges), dtype=np.int8), (edges[:, 0], edges[:, 1])), shape=(rows, rows))
    return np.asarray(connected_components(graph, directed=False)[1], dtype=np.int64)
