"""Regulatory elements, or any other intervals of a BED file."""

from __future__ import annotations

from pathlib import Path

from kmerit.biology.feature import Feature, loci_of_windows
from kmerit.config import Several
from kmerit.io.bed import are_intervals, read_bed
from kmerit.io.tracks import read_mask
from kmerit.sequences import Floats, Locus, Sequences


class Regulatory(Feature):
    """Regulatory elements, or any other intervals of a BED file.

    Attributes:
        path: BED; chromosomes that the file does not have are missing.
        named: Only intervals with one of these names (column 4); all by default.
    """

    name = "regulatory"
    summary = "intervals of a BED file, as of a regulatory build"
    path: str
    named: Several[str] = ()

    def read(self, windows: Sequences) -> Floats:
        """Look up windows."""
        return read_mask(self.path, self.named).over(loci_of_windows(windows, self.title))

    def intervals(self) -> list[Locus]:
        """List those of a BED file."""
        if not are_intervals(self.path):
            return super().intervals()
        read = read_bed(Path(self.path), summits=False)
        return [each for each, name in zip(read.loci, read.names, strict=True) if not self.named or name in self.named]


FEATURE = Regulatory
