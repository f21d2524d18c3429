"""GC content in windows around each nucleotide."""

from __future__ import annotations

from pydantic import Field

from kmerit.biology.feature import Feature
from kmerit.biology.head_tests import local_gc
from kmerit.sequences import Floats, Sequences


class Gc(Feature):
    """The share of G and C around each nucleotide, inside the window.

    Attributes:
        width: Nucleotides.
    """

    name = "gc"
    summary = "GC content of the nucleotides around"
    mask = False
    itself = frozenset({"gc"})
    width: int = Field(default=51, ge=1)

    def read(self, windows: Sequences) -> Floats:
        """Count letters."""
        return local_gc(windows.padded()[0], self.width)


FEATURE = Gc
