"""Unlabelled sequences: reading them, cleaning them of test rows, holding a part out, cutting windows from them."""

from __future__ import annotations

import os
from collections.abc import Sequence

import numpy as np

from kmerit.data import find_task, load_task, read_sequences
from kmerit.data.decontaminate import Decontamination, decontaminate
from kmerit.errors import ConfigError, SequenceError
from kmerit.sequence import canonical_kmers
from kmerit.types import Bool, Int8, Int64, N, Sequences

_GC_STEP = 3
"""Windows whose counts of G and C fall into the same bin of so many nucleotides count as matched."""


def read_corpus(paths: Sequence[str]) -> Sequences:
    """Read files of sequences, soft-masked or not, one after the other.

    Raises:
        ConfigError: No file.
    """
    if not paths:
        raise ConfigError("Pre-training needs a corpus: corpus = ['genome.fa.gz'] (--corpus genome.fa.gz).")
    return joined([read_sequences(path, case="upper") for path in paths])


def joined(parts: Sequence[Sequences]) -> Sequences:
    """Put sets of sequences end to end; several sets' names are numbered, since they may repeat.

    Example:
        >>> one = Sequences.from_strings(["ACG"])
        >>> joined([one, one]).names
        ('0:seq0', '1:seq0')
    """
    if len(parts) == 1:
        return parts[0]
    names = tuple(f"{i}:{name}" for i, part in enumerate(parts) for name in part.names)
    offsets = np.concatenate([[0], np.cumsum(np.concatenate([part.lengths for part in parts]))])
    return Sequences(names, np.concatenate([part.bases for part in parts]), offsets)


def without_test_rows(sequences: Sequences, exclude: Sequence[str]) -> tuple[Sequences, Decontamination | None]:
    """Cut out whatever shares 40 32-mers, on either strand, with a row that models are measured on or chosen by.

    Args:
        sequences: A corpus, or labelled rows.
        exclude: Names of tasks (their test and validation rows), and files of sequences.

    Raises:
        UnknownName: Neither a task nor a file.
    """
    if not exclude:
        return sequences, None
    return decontaminate(sequences, rows_measured_on(exclude))


def rows_measured_on(names: Sequence[str]) -> Sequences:
    """Read the test and validation rows of tasks, and all rows of files.

    Raises:
        UnknownName: Neither a task nor a file.
    """
    rows: list[Sequences] = []
    for name in names:
        if os.path.isfile(name):
            rows.append(read_sequences(name, case="upper"))
        else:
            task = find_task(name)
            rows += [load_task(task, "test"), load_task(task, "validation")]
    return joined(rows)


def without_words(sequences: Sequences, rows: Sequences, k: int) -> Sequences:
    """Leave out every sequence that shares a single k-mer, on either strand, with any of these rows.

    Example:
        >>> kept = without_words(Sequences.from_strings(["AACGT", "AAAAA"]), Sequences.from_strings(["CGTT"]), 4)
        >>> kept.strings()
        ['AAAAA']
    """
    words, known = canonical_kmers(rows.bases, k)
    theirs = np.unique(words[known & _inside(rows, k)])
    words, known = canonical_kmers(sequences.bases, k)
    start = np.flatnonzero(known & _inside(sequences, k))
    nearest = np.minimum(np.searchsorted(theirs, words[start]), theirs.size - 1)
    shared = start[theirs[nearest] == words[start]] if theirs.size else start[:0]
    kept = np.ones(len(sequences), dtype=np.bool_)
    kept[np.searchsorted(sequences.offsets, shared, side="right") - 1] = False
    return sequences.take(kept)


def _inside(sequences: Sequences, k: int) -> Bool:
    """Tell which words of sequences that lie end to end lie inside one of them."""
    inside = np.ones(max(sequences.bases.size - k + 1, 0), dtype=np.bool_)
    for end in sequences.offsets[1:-1]:
        inside[max(end - k + 1, 0) : end] = False
    return inside


def held_out(corpus: Sequences, share: float, least: int) -> tuple[Sequences, Sequences | None]:
    """Hold out the far end of a corpus, cutting the record it begins in.

    Args:
        corpus: Records end to end.
        share: Of its nucleotides.
        least: Fewest nucleotides held out.

    Returns:
        The corpus without its end, and the end (None for a share of 0).

    Raises:
        SequenceError: Nothing would be left.

    Example:
        >>> front, end = held_out(Sequences.from_strings(["ACGT", "GGGG"]), 0.25, 1)
        >>> front.strings(), end.strings()
        (['ACGT', 'GG'], ['GG'])
    """
    if share == 0:
        return corpus, None
    cut = corpus.bases.size - max(round(corpus.bases.size * share), least)
    if cut < least:
        raise SequenceError(
            f"A corpus of {corpus.bases.size} nt is too small to hold {share:.1%} of it out (at least {least} nt). "
            f"Give more, or validation_share = 0."
        )
    record = int(np.searchsorted(corpus.offsets, cut, side="right")) - 1
    whole = record + int(cut > corpus.offsets[record])  # records of which something comes before the cut
    front = Sequences(corpus.names[:whole], corpus.bases[:cut], np.append(corpus.offsets[:whole], cut))
    ends = np.concatenate([[cut], corpus.offsets[record + 1 :]]) - cut
    return front, Sequences(corpus.names[record:], corpus.bases[cut:], ends)


def windows(corpus: Sequences, length: int, number: int, rng: np.random.Generator) -> Int64:
    """Draw where windows start, uniformly over the corpus; none crosses a record's end or holds an N.

    Returns:
        ``int64 [window]``, positions in the flat bases; fewer than ``number`` where draws had to be left out.
    """
    start = rng.integers(0, max(corpus.bases.size - length, 1), number)
    record = np.searchsorted(corpus.offsets, start, side="right") - 1
    n_before = np.concatenate([[0], np.cumsum(corpus.bases == N)])
    end = start + length
    inside = end <= corpus.offsets[record + 1]
    kept: Int64 = start[inside & (n_before[np.minimum(end, corpus.bases.size)] == n_before[start])]
    return kept


def matched_windows(
    corpus: Sequences, like: Int8, number: int, rng: np.random.Generator, pool: int = 2_000_000
) -> Int64:
    """Draw windows with as many G and C as given rows have, to the nearest three nucleotides.

    Args:
        corpus: Where they are drawn from.
        like: ``int8 [row, position]``; each window is drawn for a random one of these rows.
        number: How many to draw.
        rng: Draws them.
        pool: Windows to choose from.

    Returns:
        ``int64 [window]``, positions in the flat bases; fewer than ``number`` where no window matches.
    """
    starts = windows(corpus, like.shape[1], pool, rng)
    gc_before = np.concatenate([[0], np.cumsum((corpus.bases == 1) | (corpus.bases == 2))])
    bins = (gc_before[starts + like.shape[1]] - gc_before[starts]) // _GC_STEP
    order = np.argsort(bins, kind="stable")
    wanted = ((like == 1) | (like == 2)).sum(axis=1)[rng.integers(len(like), size=number)] // _GC_STEP
    low, high = (np.searchsorted(bins[order], wanted, side=side) for side in ("left", "right"))
    some = high > low
    chosen: Int64 = starts[order[rng.integers(low[some], high[some])]]
    return chosen


def cut_windows(corpus: Sequences, starts: Int64, length: int, label: int) -> Sequences:
    """Make labelled sequences of windows."""
    bases = corpus.bases[starts[:, None] + np.arange(length)]
    return Sequences(
        tuple(f"window{i}" for i in range(starts.size)),
        bases.ravel(),
        np.arange(starts.size + 1, dtype=np.int64) * length,
        np.full(starts.size, label, dtype=np.int64),
    )
