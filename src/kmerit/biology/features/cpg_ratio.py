"""CpG observed over expected, in windows around each nucleotide. Source: gardinergarden1987."""

from __future__ import annotations

import numpy as np
from pydantic import Field

from kmerit.biology.feature import Feature
from kmerit.biology.head_tests import sums_around
from kmerit.sequences import Floats, Sequences


class CpgRatio(Feature):
    """How many CpG there are around each nucleotide over what C and G make expected; missing without C or G.

    Attributes:
        width: Nucleotides.
    """

    name = "cpg_ratio"
    summary = "CpG observed over expected around"
    mask = False
    width: int = Field(default=101, ge=2)

    def read(self, windows: Sequences) -> Floats:
        """Count letters."""
        bases = windows.padded()[0]
        pairs = np.zeros(bases.shape)
        pairs[:, :-1] = (bases[:, :-1] == 1) & (bases[:, 1:] == 2)
        c, g, cpg = (sums_around(each.astype(np.float64), self.width) for each in (bases == 1, bases == 2, pairs))
        length = sums_around(np.ones(bases.shape), self.width)
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.where(c * g > 0, cpg * length / (c * g), np.nan)


FEATURE = CpgRatio
