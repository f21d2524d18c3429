"""Introns: between the exons of a transcript."""

from __future__ import annotations

from collections.abc import Iterable

from kmerit.biology.feature import Annotated
from kmerit.io.annotation import Transcript


class Introns(Annotated):
    """Introns: between the exons of a transcript."""

    name = "introns"
    summary = "introns of any transcript"

    def of_transcript(self, transcript: Transcript) -> Iterable[tuple[int, int]]:
        """All of them."""
        return map(tuple, transcript.introns.tolist())


FEATURE = Introns
