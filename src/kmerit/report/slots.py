"""What a stage may leave for the report: motif hits. The file is optional."""

from __future__ import annotations

from typing import Literal

from kmerit.report.artefacts import Artefact


class Hit(Artefact):
    """A motif on a sequence: nucleotides ``start`` to ``end``, half-open."""

    sequence: str
    start: int
    end: int
    motif: str
    strand: Literal["+", "-", "."] = "."
    score: float | None = None


class Hits(Artefact):
    """``hits.json``: motif hits, where they were computed."""

    source: str = ""
    hits: tuple[Hit, ...] = ()
