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
from kmerit.datasets.similarity import without_kmers_of
from kmerit.datasets.windows import cut_windows, draw_windows, matched_windows
from kmerit.errors import ConfigError, FormatError
from kmerit.io.readers import write_sequences
from kmerit.store import write_json
from kmerit.training.data import read_corpus, rows_measured_on, without_test_rows

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
        unlabelled[f"unlabelled_{name}"] = cut_windows(corpus, matched_windows(corpus, bases, number, rng), length)
    measured = rows_measured_on(exclude)
    for name, sequences in unlabelled.items():
        write_sequences(without_kmers_of(sequences, measured, shared), out / f"{name}.parquet")
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
    starts = np.concatenate([matched, draw_windows(corpus, length, number - matched.size, rng)])
    return km.Sequences.concat([sites, cut_windows(corpus, starts, length)])
