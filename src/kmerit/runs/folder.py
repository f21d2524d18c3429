"""The folder of a run: held by one process, written atomically, and told what is done.

A stage leaves its artefacts first and its record last; the record holds the sha256 of every artefact. So whatever
moment a run is stopped at, a stage is either done and proven, or done again.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import socket
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tomli_w

from kmerit.data.files import sha256
from kmerit.errors import RunError, RunLocked, RunMismatch
from kmerit.runs.files import as_disk_full, write_json, write_text
from kmerit.runs.toml import Tree, flatten, read_toml

LOCK, LOG = "run.lock", "run.log"


@contextmanager
def hold(path: Path) -> Iterator[None]:
    """Keep a folder for this process; the kernel lets go of it however the process ends, so no lock is ever stale.

    Raises:
        RunLocked: Another process holds it.
        RunError: It is not a folder, or may not be written to.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
        lock = (path / LOCK).open("a+")
    except OSError as error:
        raise as_disk_full(error, path) or RunError(f"{path} cannot be written to: {error.strerror}.") from error
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            lock.seek(0)
            holder = lock.read().strip() or "another process"
            raise RunLocked(
                f"{path} is in use by {holder}. Let it end, or choose another folder with --out."
            ) from error
        lock.truncate(0)
        lock.write(f"process {os.getpid()} on {socket.gethostname()}")
        lock.flush()
        try:
            yield
        finally:
            lock.truncate(0)


@dataclass(frozen=True)
class RunFolder:
    """A run's folder. Whoever writes to it must ``hold`` it."""

    path: Path

    def begin(self, config: Tree, manifest: Tree, optional: Mapping[str, Sequence[str]] | None = None) -> None:
        """Start a run here, or go on with the one that is here.

        Args:
            config: All that determines the results.
            manifest: What else is known of the run.
            optional: Tables of the config that a run may be given later; by name, the stages that read it and are done
                again. Nothing but the report follows from them.

        Raises:
            RunMismatch: The folder holds a run of another config, or of other versions.
            RunError: The folder holds something else.
        """
        if not (self.path / "config.toml").exists():
            strangers = sorted({entry.name for entry in self.path.iterdir()} - {LOCK, LOG, "manifest.json"})
            strangers = [name for name in strangers if not name.startswith(".partial-")]
            if strangers:
                raise RunError(
                    f"{self.path} is not empty and holds no run (there is {strangers[0]!r}). "
                    f"Choose a new folder with --out."
                )
            write_json(self.path / "manifest.json", manifest)
            write_text(self.path / "config.toml", tomli_w.dumps(config))
        here = read_toml(self.path / "config.toml")
        added = {table: config[table] for table in optional or {} if table in config and table not in here}
        self._refuse_other("config", {**here, **added}, config)
        self._refuse_other("environment", self._json("manifest.json")["versions"], manifest["versions"])
        for table in added:
            for stage in (optional or {})[table]:
                self.undo(stage, ())
        if added:
            write_text(self.path / "config.toml", tomli_w.dumps(config))

    def _refuse_other(self, what: str, here: Tree, asked: Tree) -> None:
        old, new = flatten(here), flatten(asked)
        for key in sorted(old.keys() | new.keys()):
            if old.get(key) != new.get(key):
                raise RunMismatch(
                    f"{self.path} holds a run of another {what}: {key} was {old.get(key, 'absent')!r}, "
                    f"now it is {new.get(key, 'absent')!r}. Choose a new folder with --out."
                )

    def is_done(self, name: str) -> bool:
        """Whether a stage is done, and its artefacts are still what it left."""
        try:
            artefacts: Mapping[str, str] = self._json(f"stages/{name}.json")["artefacts"]
            return all(sha256(self.path / path) == digest for path, digest in artefacts.items())
        except (OSError, ValueError, KeyError):
            return False

    def mark_done(self, name: str, artefacts: Sequence[str]) -> None:
        """Record that a stage is done.

        Args:
            name: ``TASK.STAGE``.
            artefacts: Files or folders, relative to the run's.
        """
        found = [self.path / artefact for artefact in artefacts]
        files = sorted(file for path in found for file in ([path] if path.is_file() else path.rglob("*")))
        digests = {file.relative_to(self.path).as_posix(): sha256(file) for file in files if file.is_file()}
        write_json(self.path / "stages" / f"{name}.json", {"stage": name, "artefacts": digests})

    def undo(self, name: str, artefacts: Sequence[str]) -> None:
        """Forget that a stage was done, and remove its artefacts."""
        (self.path / "stages" / f"{name}.json").unlink(missing_ok=True)
        for artefact in artefacts:
            path = self.path / artefact
            shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)

    def recorded(self, name: str) -> bool:
        """Whether a stage was ever marked done."""
        return (self.path / "stages" / f"{name}.json").exists()

    def holds_work(self) -> bool:
        """Whether anything here took long to compute: a stage beyond reading the data, or part of a training."""
        stages = (record.stem for record in self.path.glob("stages/*.json"))
        return any(not name.endswith(".data") for name in stages) or any(self.path.glob("tasks/*/model/checkpoints/*"))

    def discard(self) -> None:
        """Remove everything, and the folder itself."""
        shutil.rmtree(self.path)

    def _json(self, name: str) -> Any:
        return json.loads((self.path / name).read_text(encoding="utf-8"))
