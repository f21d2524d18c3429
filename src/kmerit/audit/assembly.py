"""A data set's coordinates and a genome: letters are cut out of it, or compared with it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from kmerit.audit.dataset import Dataset, Loci
from kmerit.data.intervals import chromosome_key, cut_sequences, open_genome
from kmerit.errors import FormatError
from kmerit.types import Sequences, decode

CHECKED = 200
"""Rows whose letters are compared with a genome."""
SAME_GENOME = 0.9
"""A genome of which fewer of these rows are letter for letter is another assembly: two assemblies share most of the
letters and few of the places."""


def on_genome(dataset: Dataset, path: Path) -> Dataset:
    """Cut the letters out of a genome where only coordinates are known; where both are, compare them."""
    genome = open_genome(path, None)
    if dataset.loci is None:
        raise FormatError(f"{dataset.name}: a genome was given, but no row has coordinates to find it at.")
    if dataset.sequences is None:
        names = [f"row{i}" for i in range(len(dataset))]
        loci = [locus for locus in dataset.loci if locus is not None]
        cut = cut_sequences(genome, loci, names, dataset.labels, path)
        return replace(dataset, sequences=cut)
    return replace(dataset, compared=check_assembly(dataset.sequences, dataset.loci, genome, path))


def check_assembly(sequences: Sequences, loci: Loci, genome: Any, path: Path) -> tuple[int, int]:
    """Compare letters with a genome at their coordinates, for rows from the first to the last.

    Returns:
        How many rows were compared, and how many of them agree.

    Raises:
        FormatError: Too few of them agree: another assembly.
    """
    placed = [i for i, locus in enumerate(loci) if locus is not None and chromosome_key(genome, locus.chrom)]
    if not placed:
        raise FormatError(f"{path}: none of the chromosomes of the coordinates is in this genome. Give the right one.")
    spread = np.linspace(0, len(placed) - 1, min(CHECKED, len(placed))).round().astype(np.int64)
    chosen = [placed[i] for i in spread.tolist()]
    at = [locus for i in chosen if (locus := loci[i]) is not None]
    keys = [str(chromosome_key(genome, locus.chrom)) for locus in at]
    inside = [locus.end <= len(genome[key]) for locus, key in zip(at, keys, strict=True)]
    agree = 0
    for i, locus, fits in zip(chosen, at, inside, strict=True):
        if fits:
            cut = cut_sequences(genome, [locus], ["x"], np.zeros(1, dtype=np.int64), path)
            agree += decode(cut.bases) == sequences.string(i)
    if agree < SAME_GENOME * len(chosen):
        raise FormatError(
            f"{path}: only {agree} of {len(chosen)} rows have, at their coordinates, the letters of this genome: it is "
            f"of another assembly, or the coordinates are not 0-based and half-open. Give the genome they refer to."
        )
    return len(chosen), agree
