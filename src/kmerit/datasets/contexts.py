"""Contexts: wider windows around the loci of rows, cut out of a genome; no two splits share a nucleotide."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from kmerit.errors import ConfigError, FormatError
from kmerit.io.crops import Crop, crop_locus
from kmerit.sequences import Bool, Locus, Sequences, reverse_complement, spell_locus

if TYPE_CHECKING:
    from kmerit.io.genome import Genome

ORDER = ("test", "validation", "train")
"""A row that shares nucleotides with a row of an earlier split is left out."""


def context_of(locus: Locus, width: int) -> Locus:
    """Widen a locus to a window around its centre: ``Crop(n, "center")`` of either is the same, for even ``n``.

    Example:
        >>> context_of(Locus("chr20", 100, 105, "+"), 10)
        Locus(chrom='chr20', start=97, end=107, strand='+')
    """
    start = (locus.end - locus.start) // 2 - width // 2
    return crop_locus(locus, start, start + width)


def contexts(sequences: Sequences, genome: Genome, width: int) -> tuple[Sequences, Bool]:
    """Cut windows around the centres of rows out of a genome.

    Args:
        sequences: With loci and letters.
        genome: Of the assembly that the loci refer to, or pieces of it.
        width: Of a window, nt; even, so that it has a row's centre in its own.

    Returns:
        The windows, with the names and labels of their rows, and ``[row]``, which rows have one: those with a locus
        whose window lies whole in one record of the genome.

    Raises:
        ConfigError: Rows without loci, or an odd width.
        FormatError: A genome that has other letters where a row lies.
    """
    if sequences.loci is None:
        raise ConfigError("width: expected rows with coordinates to cut windows around, got rows without any.")
    if width % 2:
        raise ConfigError(f"width: expected an even number of nt around the centres of rows, got {width}.")
    wide = [locus and context_of(locus, width) for locus in sequences.loci]
    piece = np.full(len(wide), -1, dtype=np.int64)
    placed = np.array([locus is not None and locus.start >= 0 for locus in wide], dtype=np.bool_)
    piece[placed] = genome.find(locus for locus in wide if locus is not None and locus.start >= 0)
    inside = piece >= 0
    rows = np.flatnonzero(inside)
    kept = sequences.take(rows)
    loci = [locus for locus, there in zip(wide, inside.tolist(), strict=True) if locus is not None and there]
    letters = genome.cut(loci, list(kept.names), np.zeros(len(rows), dtype=np.int64))
    windows = replace(kept, bases=letters.bases, offsets=letters.offsets, loci=letters.loci, windows=None)
    for i, (row, window) in enumerate(zip(kept.rows(), windows.rows(), strict=True)):
        shorter = min(row.size, width) // 2 * 2
        a, b = (slice(*Crop(shorter, "center").window(whole.size)) for whole in (row, window))
        if not np.array_equal(row[a], window[b]):
            other = np.array_equal(reverse_complement(row[a]), window[b])
            raise FormatError(
                f"{genome.path}: at {spell_locus(loci[i])} expected the letters of {kept.names[i]} in the middle, got "
                f"{'their reverse complement: another strand' if other else 'others: another assembly'}? Give the "
                f"genome that the coordinates refer to."
            )
    return windows, inside


def shared(loci: Iterable[Locus], others: Iterable[Locus]) -> Bool:
    """Find loci that share a nucleotide with one of others, on either strand.

    Example:
        >>> one, two = Locus("1", 0, 10, "+"), Locus("1", 9, 20, "-")
        >>> shared([one, two], [two._replace(start=10)]).tolist()
        [False, True]
    """
    by_chrom: dict[str, list[tuple[int, int]]] = {}
    for other in others:
        by_chrom.setdefault(other.chrom, []).append((other.start, other.end))
    edges = {chrom: tuple(np.sort(np.array(places).T)) for chrom, places in by_chrom.items()}
    answer = []
    for locus in loci:
        starts, ends = edges.get(locus.chrom, (np.zeros(0), np.zeros(0)))
        begun, over = np.searchsorted(starts, locus.end, "left"), np.searchsorted(ends, locus.start, "right")
        answer.append(bool(begun > over))
    return np.array(answer, dtype=np.bool_)


def contexts_of_splits(
    splits: Mapping[str, Sequences], genome: Genome, width: int
) -> tuple[dict[str, Sequences], dict[str, dict[str, int]]]:
    """Cut windows around the rows of all splits; a window that shares nucleotides with an earlier split is left out.

    Args:
        splits: By ``train``, ``validation`` and ``test``, rows with loci.
        genome: As `contexts` takes it.
        width: Of a window, nt.

    Returns:
        The windows of every split, and by split the rows that are left out: ``outside`` (no locus, or a window that is
        not whole in one record of the genome) and ``overlapping`` (validation rows with test rows, training rows with
        either).

    Raises:
        ConfigError, FormatError: As `contexts`.
    """
    windows: dict[str, Sequences] = {}
    outside: dict[str, int] = {}
    for split, rows in splits.items():
        windows[split], inside = contexts(rows, genome, width)
        outside[split] = int((~inside).sum())
    kept, overlapping = without_shared(windows)
    return kept, {split: {"outside": outside[split], "overlapping": overlapping[split]} for split in splits}


def without_shared(splits: Mapping[str, Sequences]) -> tuple[dict[str, Sequences], dict[str, int]]:
    """Leave out rows that share a nucleotide of the genome with one of an earlier split, in `ORDER`.

    Args:
        splits: By ``train``, ``validation`` and ``test``, rows of which each has a locus.

    Returns:
        The other rows of every split, and by split how many were left out.

    Example:
        >>> loci = [Locus("1", 0, 4, "+"), Locus("1", 9, 13, "+")]
        >>> train = Sequences.from_strings(["ACGT", "GGTT"], loci=loci)
        >>> test = Sequences.from_strings(["TTGG"], loci=[Locus("1", 11, 15, "-")])
        >>> kept, left_out = without_shared({"train": train, "test": test})
        >>> kept["train"].strings(), left_out
        (['ACGT'], {'train': 1, 'test': 0})
    """
    kept: dict[str, Sequences] = {}
    before: list[Locus] = []
    for split in sorted(splits, key=ORDER.index):
        loci = [locus for locus in splits[split].loci or () if locus is not None]
        overlapping = shared(loci, before)
        kept[split] = splits[split].take(~overlapping)
        before += [locus for locus, out in zip(loci, overlapping.tolist(), strict=True) if not out]
    return (
        {split: kept[split] for split in splits},
        {split: len(splits[split]) - len(kept[split]) for split in splits},
    )
