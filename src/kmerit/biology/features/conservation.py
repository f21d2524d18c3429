"""Conservation, or any other values along the genome, of bigWig or bedGraph."""

from __future__ import annotations

from kmerit.biology.feature import Feature, loci_of_windows
from kmerit.io.tracks import read_values
from kmerit.sequences import Floats, Sequences


class Conservation(Feature):
    """Values of a bigWig or bedGraph file, as phyloP's; where the file has none they are missing.

    Attributes:
        path: bigWig (extra ``genome``) or bedGraph.
    """

    name = "conservation"
    summary = "values of a bigWig or bedGraph file, as of conservation"
    mask = False
    path: str

    def read(self, windows: Sequences) -> Floats:
        """Look up windows."""
        return read_values(self.path).over(loci_of_windows(windows, self.title))


FEATURE = Conservation
