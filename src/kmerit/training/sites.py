"""Labelled sites of a genome: what an encoder learns to distinguish from windows of it, and by cell."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import Field

from kmerit.config import Table
from kmerit.datasets.similarity import Decontamination
from kmerit.datasets.windows import with_windows
from kmerit.errors import FormatError
from kmerit.sequences import Sequences
from kmerit.training.data import Splits, without_test_rows


class Sites(Table):
    """DNase sites, which the encoder learns to distinguish from the genome and by cell: the supervised warm-up."""

    file: str = Field(description="CSV with the columns chr, cell, sequence; all of one length")
    held_out: list[str] = Field(["chr1"], description="chromosomes whose sites are the validation split")
    windows: float = Field(6, gt=0, description="genome windows to draw from, per site")
    matched: float = Field(0.5, ge=0, le=1, description="share of windows with the GC content of a site")
    seed: int = 0


def read_sites(path: str) -> tuple[Sequences, NDArray[Any], list[str]]:
    r"""Read sites of several cells from a CSV file.

    Args:
        path: Of a file with the columns chr, cell and sequence.

    Returns:
        The sites, labelled from 1 in the order of the cells' names; their chromosomes; the names of the cells.

    Raises:
        FormatError: No such file, or a column is missing.

    Example:
        >>> import tempfile
        >>> with tempfile.NamedTemporaryFile("w", suffix=".csv") as file:
        ...     print("chr,cell,sequence", "chr1,K562,ACGT", "chr2,A549,CCGT", sep="\n", file=file, flush=True)
        ...     sites, chromosomes, cells = read_sites(file.name)
        >>> sites.labels.tolist(), chromosomes.tolist(), cells
        ([2, 1], ['chr1', 'chr2'], ['A549', 'K562'])
    """
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
    sequences = Sequences.from_strings(frame["sequence"].tolist(), (cells.codes.astype(int) + 1).tolist(), names)
    return sequences, frame["chr"].to_numpy(), list(cells.categories)


def site_splits(sites: Sites, corpus: Sequences, exclude: list[str]) -> tuple[Splits, Decontamination | None]:
    r"""Put windows of a genome, class 0, next to sites; sites of some chromosomes are the validation split.

    Args:
        sites: Which sites, and how many windows.
        corpus: Records that windows are cut out of.
        exclude: Tasks and files that models are measured on, see `without_test_rows`.

    Returns:
        Training and validation split, and the account of what was removed.

    Raises:
        FormatError: The sites cannot be read.
        UnknownName: Neither a task nor a file among ``exclude``.

    Example:
        >>> import tempfile
        >>> corpus = Sequences.from_strings(["ACGTACGTTTGA"])
        >>> with tempfile.NamedTemporaryFile("w", suffix=".csv") as file:
        ...     print("chr,cell,sequence", "chr1,K562,ACGT", "chr2,A549,CCGT", sep="\n", file=file, flush=True)
        ...     splits, _ = site_splits(Sites(file=file.name, windows=1, matched=0), corpus, [])
        >>> splits.classes, splits.sizes
        (('genome', 'A549', 'K562'), {'train': 2, 'validation': 2})
    """
    every, chromosomes, cells = read_sites(sites.file)
    kept, account = without_test_rows(every, exclude)
    held_out = np.isin(chromosomes[np.isin(every.names, kept.names)], sites.held_out)
    rng = np.random.default_rng(sites.seed)
    learned, chosen_by = kept.take(~held_out), kept.take(held_out)
    train = with_windows(learned, corpus, round(len(learned) * sites.windows), rng, sites.matched)
    validation = with_windows(chosen_by, corpus, len(chosen_by), rng, sites.matched)
    return Splits(train, validation, classes=("genome", *cells), name=sites.file), account
