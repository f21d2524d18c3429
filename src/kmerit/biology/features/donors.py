"""Splice donors: where introns begin."""

from __future__ import annotations

from collections.abc import Iterable

from pydantic import Field

from kmerit.biology.feature import Annotated, around
from kmerit.io.annotation import Transcript


class Donors(Annotated):
    """Splice donors: where introns begin.

    Attributes:
        before: Nucleotides of the exon.
        after: Nucleotides of the intron.
    """

    name = "donors"
    summary = "splice donors: 3 nt of the exon and 6 of the intron"
    before: int = Field(default=3, ge=0)
    after: int = Field(default=6, ge=0)

    def of_transcript(self, transcript: Transcript) -> Iterable[tuple[int, int]]:
        """The border of each intron on its 5' side."""
        strand = transcript.locus.strand
        for start, end in transcript.introns.tolist():
            yield around(start if strand == "+" else end, self.before, self.after, strand)


FEATURE = Donors
