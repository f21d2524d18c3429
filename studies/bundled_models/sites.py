"""What the bundled models learn from: DNase sites, windows of the genome, sequences that only teachers answer to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import Field

import kmerit as km
from kmerit.config import Table
from kmerit.errors import ConfigError, FormatError
from kmerit.io.readers import write_sequences
from kmerit.sequences import canonical_kmers
from kmerit.store import write_json
from kmerit.training.data import read_corpus, rows_measured_on, without_test_rows

GC_STEP = 3
"""Windows whose counts of G and C fall into the same bin of so many nucleotides count as matched."""
Array = NDArray[Any]


class Sites(Table):
    """DNase sites, told from the genome and by cell: the supervised warm-up."""

    file: str = Field(description="CSV with the columns chr, cell, sequence; all of one length")
    held_out: list[str] = Field(["chr1"], description="chromosomes whose sites are the validation split")
    windows: float = Field(6, gt=0, description="genome windows to draw from, per site")
    matched: float = Field(0.5, ge=0, le=1, description="share of windows with the GC content of a site")
    seed: int = 0


def read_sites(path: str) -> tuple[km.Sequences, Array, list[str]]:
    """Read sites: labels from 1 in the order of the cells' names, the chromosomes, the names of the cells."""
    try:
        frame = pd.read_csv(path)
    except OSError as error:
        raise FormatError(f"{path}: expected a CSV of DNase sites ({error.strerror or error}).") from error
    if missing := {"chr", "cell", "sequence"} - set(frame.columns):
        raise FormatError(
            f"{path}: expected the columns chr, cell and sequence; missing: {', '.join(sorted(missing))}."
        )
    cells = pd.Categorical(frame["cell"])
    names = [f"site{i}" for i in range(len(frame))]
    sequences = km.Sequences.from_strings(frame["sequence"].tolist(), (cells.codes.astype(int) + 1).tolist(), names)
    return sequences, frame["chr"].to_numpy(), list(cells.categories)


def clean(
    sites: Sites,
    corpus_files: Sequence[str],
    exclude: Sequence[str],
    rows: Mapping[str, km.Sequences],
    number: int,
    shared: int,
    out: Path,
) -> None:
    """Write the sites with windows of the genome, and what teachers answer to; the account of the cleaning last.

    Args:
        sites: Where the sites are, and how many windows there are for each.
        corpus_files: The genome that windows are cut out of.
        exclude: Tasks and files that models are measured on.
        rows: By name of a model, its training rows: windows with their GC content are cut for its teachers.
        number: Of those windows.
        shared: No unlabelled sequence shares a word so long with a row that models are measured on.
        out: Folder of the files.
    """
    corpus, of_corpus = without_test_rows(read_corpus(corpus_files), exclude)
    every, chromosomes, _ = read_sites(sites.file)
    kept, of_sites = without_test_rows(every, exclude)
    held_out = np.isin(chromosomes[np.isin(every.names, kept.names)], sites.held_out)
    rng = np.random.default_rng(sites.seed)
    train = with_windows(kept.take(~held_out), corpus, sites, sites.windows, rng)
    write_sequences(train, out / "sites_train.parquet")
    write_sequences(with_windows(kept.take(held_out), corpus, sites, 1, rng), out / "sites_validation.parquet")
    rng = np.random.default_rng((sites.seed, 1))
    unlabelled = {"unlabelled": train}
    for name, labelled in rows.items():
        bases = labelled.padded()[0][labelled.lengths >= (length := int(np.median(labelled.lengths))), :length]
        unlabelled[f"unlabelled_{name}"] = cut(corpus, matched_windows(corpus, bases, number, rng), length)
    measured = rows_measured_on(exclude)
    for name, sequences in unlabelled.items():
        write_sequences(without_words(sequences, measured, shared), out / f"{name}.parquet")
    accounts = {"corpus": of_corpus, "sites": of_sites}
    write_json(out / "cleaning.json", {name: each.as_dict() if each else {} for name, each in accounts.items()})


def with_windows(
    sites: km.Sequences, corpus: km.Sequences, config: Sites, per_site: float, rng: np.random.Generator
) -> km.Sequences:
    """Put genome windows (label 0) after sites."""
    bases, lengths = sites.padded()
    length = int(lengths.min())
    if length != lengths.max():
        raise ConfigError(f"{config.file}: expected sites of one length, found {length} to {lengths.max()} nt.")
    number = round(len(sites) * per_site)
    matched = matched_windows(corpus, bases, round(number * config.matched), rng)
    starts = np.concatenate([matched, windows(corpus, length, number - matched.size, rng)])
    return km.Sequences.concat([sites, cut(corpus, starts, length)])


def windows(corpus: km.Sequences, length: int, number: int, rng: np.random.Generator) -> Array:
    """Draw where windows start, uniformly over the corpus; none crosses a record's end or holds an N.

    Returns:
        ``int64 [window]``, positions in the flat bases; fewer than ``number`` where draws had to be left out.
    """
    start = rng.integers(0, max(corpus.bases.size - length, 1), number)
    record = np.searchsorted(corpus.offsets, start, side="right") - 1
    n_before = np.concatenate([[0], np.cumsum(corpus.bases == 4)])
    inside = start + length <= corpus.offsets[record + 1]
    kept: Array = start[inside & (n_before[np.minimum(start + length, corpus.bases.size)] == n_before[start])]
    return kept


def matched_windows(
    corpus: km.Sequences, like: Array, number: int, rng: np.random.Generator, pool: int = 2_000_000
) -> Array:
    """Draw windows with as many G and C as given rows have, to the nearest three nucleotides.

    Args:
        corpus: Where they are drawn from.
        like: ``int8 [row, position]``; each window is drawn for a random one of these rows.
        number: How many to draw; fewer come where no window matches.
        rng: Draws them.
        pool: Windows to choose from.
    """
    starts = windows(corpus, like.shape[1], pool, rng)
    gc_before = np.concatenate([[0], np.cumsum((corpus.bases == 1) | (corpus.bases == 2))])
    bins = (gc_before[starts + like.shape[1]] - gc_before[starts]) // GC_STEP
    order = np.argsort(bins, kind="stable")
    wanted = ((like == 1) | (like == 2)).sum(axis=1)[rng.integers(len(like), size=number)] // GC_STEP
    low, high = (np.searchsorted(bins[order], wanted, side=side) for side in ("left", "right"))
    some = high > low
    chosen: Array = starts[order[rng.integers(low[some], high[some])]]
    return chosen


def cut(corpus: km.Sequences, starts: Array, length: int) -> km.Sequences:
    """Make sequences of windows, with label 0."""
    bases = corpus.bases[starts[:, None] + np.arange(length)]
    names = tuple(f"window{i}" for i in range(starts.size))
    offsets = np.arange(starts.size + 1, dtype=np.int64) * length
    return km.Sequences(names, bases.ravel(), offsets, np.zeros(starts.size, dtype=np.int64))


def without_words(sequences: km.Sequences, rows: km.Sequences, k: int) -> km.Sequences:
    """Leave out every sequence that shares a single k-mer, on either strand, with any of these rows.

    Example:
        >>> from kmerit import Sequences
        >>> without_words(Sequences.from_strings(["AACGT", "AAAAA"]), Sequences.from_strings(["CGTT"]), 4).strings()
        ['AAAAA']
    """
    theirs, _ = words_of(rows, k)
    words, of_sequence = words_of(sequences, k)
    kept = np.ones(len(sequences), dtype=np.bool_)
    kept[of_sequence[np.isin(words, theirs)]] = False
    return sequences.take(kept)


def words_of(sequences: km.Sequences, k: int) -> tuple[Array, Array]:
    """List the canonical k-mers of all sequences, and the sequence that each lies in."""
    words, known = canonical_kmers(sequences.bases, k)
    start = np.flatnonzero(known)
    of_sequence = np.searchsorted(sequences.offsets, start, side="right") - 1
    inside = start + k <= sequences.offsets[of_sequence + 1]
    return words[start[inside]], of_sequence[inside]
