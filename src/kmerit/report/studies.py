"""What the reports of studies share: reading what a study left."""

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


def class_or_neither(label: int | None) -> str:
    """Spell the number of a class that need not be there."""
    return "neither" if label is None else str(label)
