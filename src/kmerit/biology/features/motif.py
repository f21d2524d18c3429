"""Hits of families of motifs, on either strand; a track for each family."""

from __future__ import annotations

import numpy as np

from kmerit.biology.feature import Feature
from kmerit.biology.motif_hits import find_hits, read_families
from kmerit.config import Several
from kmerit.errors import UnknownName
from kmerit.sequences import Floats, Sequences


class MotifHits(Feature):
    """Nucleotides inside a hit of a family, at p < 1e-4; a track for each family.

    Attributes:
        families: Their names, as CTCF; all of the MEME file by default.
        meme: Your motifs; those of JASPAR that come with kmerit by default.
    """

    name = "motif"
    summary = "hits of families of motifs, a track each"
    families: Several[str] = ()
    meme: str | None = None

    def read(self, windows: Sequences) -> dict[str, Floats]:
        """Find hits."""
        groups = {each.name: each for each in read_families(self.meme)}
        for name in self.families:
            if name not in groups:
                raise UnknownName("family of motifs", name, groups)
        names = self.families or tuple(groups)
        hits = find_hits([groups[name].matrices() for name in names], windows)
        tracks = np.zeros((len(names), len(windows), int(windows.lengths.max())))
        for family, row, start, end in zip(hits.group, hits.sequence, hits.start, hits.end, strict=True):
            tracks[family, row, start:end] = 1
        prefix = f"{self.label} " if self.label else "motif "
        return {f"{prefix}{name}": track for name, track in zip(names, tracks, strict=True)}


FEATURE = MotifHits
