"""Hits of families of motifs, on either strand; a track for each family."""

from __future__ import annotations

import numpy as np

from kmerit.biology.feature import Feature
from kmerit.biology.motif_hits import families_named, find_hits, read_families
from kmerit.config import Several
from kmerit.sequences import Floats, Sequences


class MotifHits(Feature):
    """Nucleotides inside a hit of a family, at p < 1e-4; a track for each family.

    Attributes:
        families: Their names, a member's or a usual one, as CTCF, NFYA or AP-1; all of the MEME file by default.
        meme: Your motifs; those of JASPAR that come with kmerit by default.
    """

    name = "motif"
    summary = "hits of families of motifs, a track each"
    families: Several[str] = ()
    meme: str | None = None

    def read(self, windows: Sequences) -> dict[str, Floats]:
        """Find hits."""
        known = read_families(self.meme)
        chosen: dict[int, str] = {} if self.families else dict(enumerate(each.name for each in known))
        for name in self.families:
            chosen |= families_named([name], known)
        hits = find_hits([known[i].matrices() for i in chosen], windows)
        tracks = np.zeros((len(chosen), len(windows), int(windows.lengths.max())))
        for family, row, start, end in zip(hits.group, hits.sequence, hits.start, hits.end, strict=True):
            tracks[family, row, start:end] = 1
        prefix = f"{self.label} " if self.label else "motif "
        return {f"{prefix}{name}": track for name, track in zip(chosen.values(), tracks, strict=True)}


FEATURE = MotifHits
