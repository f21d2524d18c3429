"""Splice acceptors: where introns end."""

from __future__ import annotations

from collections.abc import Iterable

from pydantic import Field

from kmerit.biology.feature import Annotated, around
from kmerit.io.annotation import Transcript


class Acceptors(Annotated):
    """Splice acceptors: where introns end.

    Attributes:
        before: Nucleotides of the intron.
        after: Nucleotides of the exon.
    """

    name = "acceptors"
    summary = "splice acceptors: 20 nt of the intron and 3 of the exon"
    before: int = Field(default=20, ge=0)
    after: int = Field(default=3, ge=0)

    def of_transcript(self, transcript: Transcript) -> Iterable[tuple[int, int]]:
        """The border of each intron on its 3' side."""
        strand = transcript.locus.strand
        for start, end in transcript.introns.tolist():
            yield around(end if strand == "+" else start, self.before, self.after, strand)


FEATURE = Acceptors
