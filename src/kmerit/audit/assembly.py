"""A data set's coordinates and a genome: letters are cut out of it, or compared with it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from kmerit.audit.dataset import Dataset
from kmerit.audit.result import Gap
from kmerit.data.intervals import chromosome_key, cut_sequences, open_genome
from kmerit.errors import FormatError
from kmerit.types import Locus, Sequences, decode

CHECKED = 200
"""Rows of each split and class whose letters are compared with a genome."""
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
    compared, gaps = check_assembly(dataset, genome, path)
    return replace(dataset, compared=compared, gaps=(*dataset.gaps, *gaps))


def check_assembly(dataset: Dataset, genome: Any, path: Path) -> tuple[tuple[int, int], list[Gap]]:
    """Compare letters with a genome at their coordinates, in every split and class for rows from the first to the last.

    Args:
        dataset: With letters, and coordinates of some rows.
        genome: An open one, see :func:`kmerit.data.intervals.open_genome`.
        path: Its file.

    Returns:
        How many rows were compared, and how many of them agree; and what is in doubt: rows that do not
        agree, and rows on chromosomes that the genome lacks.

    Raises:
        FormatError: In one split and class too few of them agree: another assembly. Or the genome has none of the
            chromosomes.
    """
    at = [(i, locus) for i, locus in enumerate(dataset.loci or ()) if locus is not None]
    keys = {chrom: chromosome_key(genome, chrom) for chrom in {locus.chrom for _, locus in at}}
    if not any(keys.values()):
        raise FormatError(f"{path}: none of the chromosomes of the coordinates is in this genome. Give the right one.")
    compared = agreed = 0
    gaps: list[Gap] = []
    for split, split_name in enumerate(dataset.splits):
        for label, class_name in enumerate(dataset.classes):
            what = f"{f'{split_name} ' if len(dataset.splits) > 1 else ''}rows of {class_name}"
            where = {"split": split_name if len(dataset.splits) > 1 else None, "class_name": class_name}
            mine = [each for each in at if dataset.split[each[0]] == split and dataset.labels[each[0]] == label]
            here = [each for each in mine if keys[each[1].chrom] is not None]
            if len(here) < len(mine):
                lacking = sorted({locus.chrom for _, locus in mine if keys[locus.chrom] is None})
                gaps.append(Gap("off_genome", {"rows": len(mine) - len(here), **where, "chromosomes": lacking}))
            spread = np.linspace(0, len(here) - 1, min(CHECKED, len(here))).round().astype(np.int64)
            chosen = [here[i] for i in spread.tolist()]
            agree = _agreeing(dataset.sequences, chosen, genome, keys, path)
            if agree < SAME_GENOME * len(chosen):
                raise another_assembly(path, agree, len(chosen), what)
            if agree < len(chosen):
                gaps.append(Gap("other_letters", {"rows": len(chosen) - agree, "of": len(chosen), **where}))
            compared, agreed = compared + len(chosen), agreed + agree
    return (compared, agreed), gaps


def another_assembly(path: Path, agree: int, compared: int, what: str) -> FormatError:
    """Explain that a genome is not the one that coordinates refer to.

    Args:
        path: The genome.
        agree: Rows that have its letters at their coordinates.
        compared: Rows that were compared.
        what: What these rows are, in the plural.
    """
    return FormatError(
        f"{path}: only {agree} of {compared} {what} have, at their coordinates, the letters of this genome: it is "
        f"of another assembly, or the coordinates are not 0-based and half-open. Give the genome they refer to."
    )


def _agreeing(
    sequences: Sequences | None,
    rows: Sequence[tuple[int, Locus]],
    genome: Any,
    keys: dict[str, str | None],
    path: Path,
) -> int:
    """Count the rows that have the genome's letters at their coordinates, on their strand."""
    agree = 0
    for i, locus in rows:
        if sequences is not None and locus.end <= len(genome[keys[locus.chrom]]):
            cut = cut_sequences(genome, [locus], ["x"], np.zeros(1, dtype=np.int64), path)
            agree += decode(cut.bases) == sequences.string(i)
    return agree
