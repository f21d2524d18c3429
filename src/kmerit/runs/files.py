"""Writing results: whole or not at all, the same bytes for the same values."""

from __future__ import annotations

import errno
import json
from pathlib import Path
from typing import Any

from kmerit.data.files import atomic_write
from kmerit.errors import DiskFull

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def write_json(path: Path, value: Any) -> None:
    """Write JSON atomically, the same bytes for the same value.

    Raises:
        ValueError: It holds NaN or infinity.
        DiskFull: There is no space left.
    """
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 text atomically.

    Raises:
        DiskFull: There is no space left.
    """
    with atomic_write(path) as part:
        part.write_text(text, encoding="utf-8", newline="\n")


def as_disk_full(error: BaseException, where: Path | str) -> DiskFull | None:
    """Recognise a full disk in an exception or in what caused it, whichever library raised it."""
    cause: BaseException | None = error
    while cause is not None:
        if getattr(cause, "errno", None) in _FULL or "No space left on device" in str(cause):
            return DiskFull(f"There is no space left to write {where}. Free some, and give the same command again.")
        cause = cause.__cause__ or cause.__context__
    return None
