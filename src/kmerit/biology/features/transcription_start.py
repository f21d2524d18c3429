"""Starts of transcription, with 10 nt on either side."""

from __future__ import annotations

from collections.abc import Iterable

from pydantic import Field

from kmerit.biology.feature import Annotated, around
from kmerit.io.annotation import Transcript


class TranscriptionStart(Annotated):
    """Starts of transcription, with 10 nt on either side.

    Attributes:
        reach: Nucleotides on either side.
    """

    name = "transcription_start"
    summary = "starts of transcription, with 10 nt on either side"
    reach: int = Field(default=10, ge=0)

    def of_transcript(self, transcript: Transcript) -> Iterable[tuple[int, int]]:
        """The 5' end of the transcript."""
        locus = transcript.locus
        yield around(locus.start if locus.strand == "+" else locus.end, self.reach, self.reach, locus.strand)


FEATURE = TranscriptionStart
