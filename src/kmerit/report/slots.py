"""What later stages may leave for the report: findings and motif hits. Each file is optional."""

from __future__ import annotations

from typing import Literal

from kmerit.report.artefacts import Artefact


class Finding(Artefact):
    """One thing in the data that could fool a trial.

    Attributes:
        title: What was found, in a few words.
        severity: ``ok`` is a check that passed.
        text: The finding in a sentence or two, with its numbers.
        remedy: What to do about it.
    """

    title: str
    severity: Literal["ok", "note", "warning", "failure"] = "note"
    text: str = ""
    remedy: str = ""


class Findings(Artefact):
    """``findings.json``: what an audit found in the task's data."""

    findings: tuple[Finding, ...] = ()


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
