"""The strand of genes: 1 where they lie on that of the window, -1 on the other; missing where there is none or both."""

from __future__ import annotations

import numpy as np

from kmerit.biology.feature import Feature, loci_of_windows
from kmerit.io.annotation import read_annotation
from kmerit.io.tracks import mask_of
from kmerit.sequences import Floats, Sequences


class Strand(Feature):
    """The strand of genes, as the window sees it; between genes, and where genes of both strands lie, it is missing.

    Attributes:
        path: GTF, GFF3 or BED12.
    """

    name = "strand"
    summary = "strand of the gene: 1 that of the window, -1 the other; missing between genes"
    mask = False
    path: str

    def read(self, windows: Sequences) -> Floats:
        """Look up windows."""
        loci = loci_of_windows(windows, self.title)
        genes = [each.locus for each in read_annotation(self.path)]
        chromosomes = {each.chrom for each in genes}
        forward, reverse = (mask_of((g for g in genes if g.strand == s), chromosomes).over(loci) for s in "+-")
        way = np.array([1.0 if locus.strand == "+" else -1.0 for locus in loci])[:, None]
        return np.where(forward + reverse == 1, (forward - reverse) * way, np.nan)


FEATURE = Strand
