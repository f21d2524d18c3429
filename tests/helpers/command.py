"""``kmerit`` as a user types it: in a process of its own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

KMERIT = Path(sys.executable).with_name("kmerit")


class Done(NamedTuple):
    """What a command left: exit code, stdout, stderr."""

    code: int
    out: str
    err: str


def type_command(*arguments: object, **options: Any) -> Done:
    """Run ``kmerit`` with arguments, and wait for its end."""
    command = [str(KMERIT), *map(str, arguments)]
    process = subprocess.run(command, capture_output=True, text=True, timeout=900, **options)
    return Done(process.returncode, process.stdout, process.stderr)
