"""Small files of text."""

from __future__ import annotations

from pathlib import Path


def write(folder: Path, text: str, name: str = "x.csv") -> Path:
    """Write a text to a file, line ends as they are."""
    path = folder / name
    path.write_bytes(text.encode())
    return path
