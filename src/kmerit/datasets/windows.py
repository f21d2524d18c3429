"""Windows of a genome: drawn uniformly, or with the GC content of given rows, and cut out."""

from __future__ import annotations

import numpy as np

from kmerit.errors import SequenceError
from kmerit.sequences import Int8, Int64, Sequences, gc_count

_GC_STEP = 3
"""Width of the bins, in nt, in which the counts of G and C of two windows match."""


def draw_windows(corpus: Sequences, length: int, number: int, rng: np.random.Generator) -> Int64:
    """Draw where windows start, uniformly over a corpus; none crosses the end of a record or holds an N.

    Args:
        corpus: Records, as chromosomes are.
        length: Of a window, in nucleotides.
        number: Draws.
        rng: Draws them.

    Returns:
        ``int64 [window]``, positions in the corpus's flat bases; fewer than ``number`` where a draw had to be left out.

    Example:
        >>> corpus = Sequences.from_strings(["ACGTACGT", "NNNNNNNN"])
        >>> starts = draw_windows(corpus, 4, 100, np.random.default_rng(0))
        >>> sorted(set(starts.tolist()))
        [0, 1, 2, 3, 4]
    """
    start = rng.integers(0, max(corpus.bases.size - length, 1), number)
    record = np.searchsorted(corpus.offsets, start, side="right") - 1
    n_before = np.concatenate([[0], np.cumsum(corpus.bases == 4)])
    inside = start + length <= corpus.offsets[record + 1]
    kept: Int64 = start[inside & (n_before[np.minimum(start + length, corpus.bases.size)] == n_before[start])]
    return kept


def matched_windows(
    corpus: Sequences, rows: Int8, number: int, rng: np.random.Generator, pool: int = 2_000_000
) -> Int64:
    """Draw windows with as many G and C as given rows have, to the nearest three nucleotides.

    Args:
        corpus: Records, as chromosomes are.
        rows: ``int8 [row, position]``; each window is drawn for a random one of these rows.
        number: Windows to draw; fewer come where no window matches.
        rng: Draws them.
        pool: Windows to choose from.

    Returns:
        ``int64 [window]``, positions in the corpus's flat bases.

    Example:
        >>> corpus = Sequences.from_strings(["AATTATTAGGCCGGCG"])
        >>> rich, _ = Sequences.from_strings(["GCGCGC"]).padded()
        >>> starts = matched_windows(corpus, rich, 20, np.random.default_rng(0), pool=200)
        >>> all(window.count("A") == 0 for window in cut_windows(corpus, starts, 6).strings())
        True
    """
    starts = draw_windows(corpus, rows.shape[1], pool, rng)
    gc_before = np.concatenate([[0], np.cumsum((corpus.bases == 1) | (corpus.bases == 2))])
    bins = (gc_before[starts + rows.shape[1]] - gc_before[starts]) // _GC_STEP
    order = np.argsort(bins, kind="stable")
    wanted = gc_count(rows)[rng.integers(len(rows), size=number)] // _GC_STEP
    low, high = (np.searchsorted(bins[order], wanted, side=side) for side in ("left", "right"))
    matched = high > low
    chosen: Int64 = starts[order[rng.integers(low[matched], high[matched])]]
    return chosen


def cut_windows(corpus: Sequences, starts: Int64, length: int) -> Sequences:
    """Cut windows out of a corpus, with label 0.

    Args:
        corpus: Records, as chromosomes are.
        starts: ``int64 [window]``, positions in its flat bases.
        length: Of a window, in nucleotides.

    Example:
        >>> cut_windows(Sequences.from_strings(["AACCGGTT"]), np.array([2, 4]), 4).strings()
        ['CCGG', 'GGTT']
    """
    bases = corpus.bases[starts[:, None] + np.arange(length)]
    names = tuple(f"window{i}" for i in range(starts.size))
    offsets = np.arange(starts.size + 1, dtype=np.int64) * length
    return Sequences(names, bases.ravel(), offsets, np.zeros(starts.size, dtype=np.int64))


def with_windows(
    rows: Sequences, corpus: Sequences, number: int, rng: np.random.Generator, matched: float = 0.5
) -> Sequences:
    """Put windows of a corpus, with label 0, after rows.

    Args:
        rows: Of one length, with classes as labels.
        corpus: Records, as chromosomes are.
        number: Windows to draw; fewer come where a draw had to be left out.
        rng: Draws them.
        matched: Share of windows with the GC content of a row.

    Raises:
        SequenceError: Rows of several lengths.

    Example:
        >>> rows, corpus = Sequences.from_strings(["GCGC"], labels=[1]), Sequences.from_strings(["ACGTACGT"])
        >>> with_windows(rows, corpus, 1, np.random.default_rng(0), matched=0).labels.tolist()
        [1, 0]
    """
    bases, lengths = rows.padded()
    length = int(lengths.min())
    if length != lengths.max():
        raise SequenceError(f"Expected rows of one length to draw windows for, got {length} to {lengths.max()} nt.")
    like_rows = matched_windows(corpus, bases, round(number * matched), rng)
    starts = np.concatenate([like_rows, draw_windows(corpus, length, number - like_rows.size, rng)])
    return Sequences.concat([rows, cut_windows(corpus, starts, length)])


def windows_like(rows: Sequences, corpus: Sequences, number: int, rng: np.random.Generator) -> Sequences:
    """Draw windows of a corpus with the median length of rows, and their GC content.

    Args:
        rows: Of any lengths; the windows have the GC content of the starts of those long enough.
        corpus: Records, as chromosomes are.
        number: Windows to draw; fewer come where no window matches.
        rng: Draws them.

    Returns:
        Windows with label 0.

    Example:
        >>> rows, corpus = Sequences.from_strings(["GCGC", "GC"]), Sequences.from_strings(["AATTGCCA"])
        >>> windows_like(rows, corpus, 1, np.random.default_rng(0)).lengths.tolist()
        [3]
    """
    length = int(np.median(rows.lengths))
    bases = rows.padded()[0][rows.lengths >= length, :length]
    return cut_windows(corpus, matched_windows(corpus, bases, number, rng), length)
