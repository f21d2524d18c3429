"""Windows for the study of heads: drawn from a genome at random, and around the intervals of features."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from kmerit.biology.feature import Feature
from kmerit.errors import ConfigError, UsageError
from kmerit.io.genome import Genome, bare_name
from kmerit.sequences import Int8, Locus, N, Sequences, decode, generator

_LOG = logging.getLogger(__name__)
_TRIES = 200


def draw_windows(
    genome: str | Path,
    length: int,
    count: int,
    around: Mapping[str, int] | None = None,
    features: Mapping[str, Feature] | None = None,
    chromosomes: tuple[str, ...] = (),
    seed: int = 0,
) -> Sequences:
    """Draw windows that do not overlap and have no N: some anywhere, some over intervals of features.

    A window of a feature lies so that a nucleotide drawn from the interval is at a place drawn from the window; so
    features have no preferred place in it.

    Args:
        genome: FASTA; whole chromosomes, or pieces named ``chr20:60000-119959``.
        length: Nucleotides.
        count: Windows anywhere.
        around: By feature, how many windows over its intervals.
        features: By name, those that ``around`` names.
        chromosomes: Only these; all by default.
        seed: Of the draws.

    Raises:
        UsageError: Too few such windows exist, none is asked for, or a chromosome that the genome lacks.
        ConfigError: A feature that is not there, or has no intervals.
    """
    reader = Genome.open(genome)
    if absent := [each for each in chromosomes if not reader.has(each)]:
        raise UsageError(f"windows.chromosomes: {absent[0]!r} is not in {genome}, which has {reader.listed}.")
    if count + sum((around or {}).values()) == 0:
        raise UsageError("windows: none are asked for; give count, or around.")
    names = set(map(bare_name, chromosomes))
    pieces = [
        i for i, chrom in enumerate(reader.chrom)
        if (not names or bare_name(chrom) in names) and reader.length[i] >= length
    ]  # fmt: skip
    if not pieces:
        raise UsageError(f"{genome}: no piece of {length} nt on {', '.join(chromosomes) or 'any chromosome'}.")
    occupied: dict[str, set[int]] = {}
    windows: list[tuple[Locus, Int8]] = []

    def take(piece: int, start: int) -> bool:
        """Take a window, if it is free and whole."""
        begin, chrom = int(reader.start[piece]), reader.chrom[piece]
        if not begin <= start <= begin + int(reader.length[piece]) - length:
            return False
        cells = {start // length, (start + length - 1) // length}
        if cells & occupied.setdefault(chrom, set()):
            return False
        bases = reader.letters(piece, start - begin, length)
        if (bases == N).any():
            return False
        occupied[chrom] |= cells
        windows.append((Locus(chrom, start, start + length), bases))
        return True

    for name, size in (around or {}).items():
        if name not in (features or {}):
            raise ConfigError(f"windows.around: {name!r} is not one of the features: {', '.join(features or {})}.")
        intervals = [each for each in (features or {})[name].intervals() if reader.has(each.chrom)]
        rng = generator(seed, "windows", 0, name)
        successes = 0
        for i in rng.permutation(len(intervals)).tolist():
            if successes == size:
                break
            place = int(rng.integers(intervals[i].start, intervals[i].end))
            piece = int(reader.find([intervals[i]._replace(start=place, end=place + 1)])[0])
            successes += piece in pieces and take(piece, place - int(rng.integers(length)))
        if successes < size:
            _LOG.warning("%s: %d windows instead of %d lie free and whole over its intervals.", name, successes, size)
    rng = generator(seed, "windows", 0, "")
    share = np.array([reader.length[i] - length + 1 for i in pieces], dtype=np.float64)
    share /= share.sum()
    before, tries = len(windows), 0
    while len(windows) - before < count:
        tries += 1
        if tries > _TRIES * count:
            raise UsageError(
                f"{genome}: only {len(windows) - before} windows of {length} nt without N; asked for {count}."
            )
        piece = pieces[int(rng.choice(len(pieces), p=share))]
        take(piece, int(reader.start[piece]) + int(rng.integers(reader.length[piece] - length + 1)))
    windows.sort(key=lambda each: each[0])
    loci = [locus for locus, _ in windows]
    return Sequences.from_strings(
        [decode(bases) for _, bases in windows], names=[f"{x.chrom}:{x.start}-{x.end}" for x in loci], loci=loci
    )
