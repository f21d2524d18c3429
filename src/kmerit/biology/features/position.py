"""The position in the window."""

from __future__ import annotations

import numpy as np

from kmerit.biology.feature import Feature
from kmerit.sequences import Floats, Sequences


class Position(Feature):
    """Nucleotides from the 5' end. It is the same in every window, so rotation tests nothing: it is only measured."""

    name = "position"
    summary = "distance from the 5' end of the window; measured, not tested"
    mask = False
    itself = frozenset({"position"})

    def read(self, windows: Sequences) -> Floats:
        """Count."""
        length = int(windows.lengths.max())
        return np.broadcast_to(np.arange(length, dtype=np.float64), (len(windows), length))


FEATURE = Position
