"""CpG islands, of a BED file or computed from the genome. Source: gardinergarden1987."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from kmerit.biology.feature import Feature, loci_of_windows
from kmerit.errors import ConfigError
from kmerit.io.bed import read_bed
from kmerit.io.genome import Genome
from kmerit.io.tracks import read_mask
from kmerit.sequences import Floats, Int8, Locus, Sequences

_LENGTH, _GC, _RATIO = 200, 0.5, 0.6


class CpgIslands(Feature):
    """CpG islands: every nucleotide of a stretch of 200 nt with GC above 0.5 and CpG observed over expected above 0.6.

    Attributes:
        path: BED file of islands; or
        genome: FASTA in which windows and 200 nt on either side are looked through. Beyond the ends of a piece of a
            chromosome nothing is known, so that nucleotides less than 200 nt from them are missing unless inside.
    """

    name = "cpg_islands"
    summary = "CpG islands (200 nt with GC above 0.5 and CpG o/e above 0.6), or those of a BED file"
    path: str | None = None
    genome: str | None = None

    def read(self, windows: Sequences) -> Floats:
        """Look up windows, or look for islands."""
        if (self.path is None) == (self.genome is None):
            raise ConfigError(f"{self.title}: give path (BED) or genome (FASTA), one of them.")
        loci = loci_of_windows(windows, self.title)
        if self.path is not None:
            return read_mask(self.path).over(loci)
        genome, rows = Genome.open(str(self.genome)), []
        for locus, piece in zip(loci, genome.find(loci).tolist(), strict=True):
            size = locus.end - locus.start
            row = np.full(size, np.nan)
            if piece >= 0:
                begin, whole = int(genome.start[piece]), int(genome.length[piece])
                low = max(locus.start - _LENGTH + 1, begin)
                high = min(locus.end + _LENGTH - 1, begin + whole)
                inside = in_islands(genome.letters(piece, low - begin, high - low))
                row[:] = inside[locus.start - low : locus.end - low]
                place = np.arange(locus.start, locus.end)
                row[(row == 0) & ((place - _LENGTH + 1 < begin) | (place + _LENGTH > begin + whole))] = np.nan
            rows.append(row[::-1] if locus.strand == "-" else row)
        return np.stack(rows)

    def intervals(self) -> list[Locus]:
        """List those of the BED file."""
        return super().intervals() if self.path is None else read_bed(Path(self.path), summits=False).loci


def in_islands(bases: Int8) -> Floats:
    """Say of each nucleotide whether some stretch of 200 nt around it is an island, ``[position]``."""
    inside = np.zeros(bases.size)
    if bases.size < _LENGTH:
        return inside
    pairs = np.append((bases[:-1] == 1) & (bases[1:] == 2), False)
    c, g, cpg = (np.concatenate([[0], np.cumsum(each)]) for each in (bases == 1, bases == 2, pairs))
    c, g = c[_LENGTH:] - c[:-_LENGTH], g[_LENGTH:] - g[:-_LENGTH]
    cpg = cpg[_LENGTH - 1 : -1] - cpg[:-_LENGTH]  # the last pair would reach over the end
    starts = np.flatnonzero((c + g > _GC * _LENGTH) & (cpg * _LENGTH > _RATIO * c * g))
    change = np.zeros(bases.size + 1)
    np.add.at(change, starts, 1)
    np.add.at(change, starts + _LENGTH, -1)
    return np.asarray((np.cumsum(change)[:-1] > 0).astype(np.float64))


FEATURE = CpgIslands
