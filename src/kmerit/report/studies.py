"""What the reports of studies share: reading what a study left, and spelling numbers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from kmerit.errors import FormatError


def read_study(folder: str | Path, name: str, what: str) -> dict[str, Any]:
    """Read a study's JSON.

    Args:
        folder: Of the study.
        name: Of the file.
        what: The verb that makes it.

    Raises:
        FormatError: There is none, or it is damaged.
    """
    try:
        told: dict[str, Any] = json.loads((Path(folder) / name).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise FormatError(f"{folder}: no finished study ({error}). Run it: kmerit {what}") from None
    return told


def number(value: float | None) -> str:
    """Spell a number with three decimals, an unknown one as a dash."""
    return "–" if value is None else f"{value:.3f}"


def interval(value: float | None, low: float | None, high: float | None) -> str:
    """Spell a number with its interval, where that is known."""
    return number(value) if low is None or high is None else f"{number(value)} ({low:.3f} to {high:.3f})"


def class_or_neither(label: int | None) -> str:
    """Spell the number of a class that need not be there."""
    return "neither" if label is None else str(label)
