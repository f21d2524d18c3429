"""``kmerit`` as a user types it: in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

import pytest

KMERIT = Path(sys.executable).with_name("kmerit")
needs_snakemake = pytest.mark.skipif(
    not KMERIT.with_name("snakemake").exists(), reason="needs snakemake, of the extra workflow"
)


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


def run_snakemake(*words: object, cwd: Path) -> str:
    """Run the environment's ``snakemake``, whose jobs find its ``kmerit``, active or not, and return what it says."""
    path = os.pathsep.join([str(KMERIT.parent), os.environ["PATH"]])
    command = [str(KMERIT.with_name("snakemake")), *map(str, words)]
    options: dict[str, Any] = {"cwd": cwd, "env": {**os.environ, "PATH": path}, "timeout": 900, "check": False}
    done = subprocess.run(command, capture_output=True, text=True, **options)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout + done.stderr
