"""Exons of any transcript."""

from __future__ import annotations

from collections.abc import Iterable

from kmerit.biology.feature import Annotated
from kmerit.io.annotation import Transcript


class Exons(Annotated):
    """Exons of any transcript."""

    name = "exons"
    summary = "exons of any transcript"

    def of_transcript(self, transcript: Transcript) -> Iterable[tuple[int, int]]:
        """All of them."""
        return map(tuple, transcript.exons.tolist())


FEATURE = Exons
