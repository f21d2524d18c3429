"""The folder of a training: one owner at a time, whole checkpoints only, results that appear when they are whole."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pydantic import BaseModel
from safetensors import SafetensorError

from kmerit.errors import DiskFull, RunLocked, RunMismatch

CHECKPOINTS = "checkpoints"
CONFIG = "training.json"
DONE = "training_log.json"
_WHOLE = "whole"
_SPARE_BYTES = 2**20


def is_main() -> bool:
    """Tell whether this is the process that writes: the only one, or rank 0 of many."""
    return int(os.environ.get("RANK", "0")) == 0


def processes() -> int:
    """Count the processes that train together."""
    return int(os.environ.get("WORLD_SIZE", "1"))


@contextmanager
def claimed(out: Path) -> Iterator[None]:
    """Own a folder for as long as the block lasts; the system lets go of it when the process dies.

    Raises:
        RunLocked: Another process owns it.
        DiskFull: No space is left for what the block writes.
    """
    if not is_main():
        yield
        return
    out.mkdir(parents=True, exist_ok=True)
    with (out / "training.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise RunLocked(f"{out} is in use by another training. Wait for it, or choose another folder.") from error
        try:
            yield
        except (OSError, RuntimeError, SafetensorError) as error:
            # torch and safetensors do not pass the system's error number on, so the disk itself is asked.
            full = getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT)
            if not full and shutil.disk_usage(out).free >= _SPARE_BYTES:
                raise
            raise DiskFull(f"No space is left in {out}. Free some and start again; it goes on where it was.") from error
        (out / "training.lock").unlink(missing_ok=True)


def begin(out: Path, config: BaseModel) -> bool:
    """Record the config of a folder, or check that it is the same.

    Returns:
        Whether the training is done already.

    Raises:
        RunMismatch: The folder holds another training.
    """
    now = config.model_dump(mode="json")
    path = out / CONFIG
    if path.is_file():
        # A setting that did not exist yet had the value that is now its default.
        before = {name: field.get_default() for name, field in type(config).model_fields.items()}
        before |= json.loads(path.read_text(encoding="utf-8"))
        other = sorted(key for key in {*before, *now} if before.get(key) != now.get(key))
        if other:
            raise RunMismatch(
                f"{out} holds a training with another {', '.join(other)}. Choose another folder, or delete this one."
            )
    elif is_main():
        write_json(path, now)
    return (out / DONE).is_file()


def finish(out: Path, log: Any) -> None:
    """Write the log, which says that everything else is there, and remove the checkpoints."""
    write_json(out / DONE, log)
    shutil.rmtree(out / CHECKPOINTS, ignore_errors=True)


def write_text(path: Path, text: str) -> None:
    """Write a file that is there whole or not at all."""
    part = path.with_name(f".{path.name}.part")
    part.write_text(text, encoding="utf-8")
    part.replace(path)


def write_json(path: Path, value: Any) -> None:
    """Write JSON that is there whole or not at all."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False, default=str) + "\n")


def mark_whole(checkpoint: Path) -> None:
    """Note that everything of a checkpoint has been written."""
    (checkpoint / _WHOLE).touch()


def last_whole(out: Path) -> Path | None:
    """Find the last checkpoint that was written to its end."""
    steps = (out / CHECKPOINTS).glob(f"checkpoint-*/{_WHOLE}")
    return max((path.parent for path in steps), key=lambda path: int(path.name.split("-")[1]), default=None)


def drop_torn(out: Path) -> None:
    """Remove checkpoints that were not written to their end, lest they count as the latest."""
    for path in (out / CHECKPOINTS).glob("checkpoint-*"):
        if not (path / _WHOLE).is_file():
            shutil.rmtree(path)
