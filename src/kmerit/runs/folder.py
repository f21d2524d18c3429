"""The folder of a run: ``config.toml``, ``manifest.json``, and the stages that are done."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tomli_w

from kmerit.config import Tree, read_toml
from kmerit.errors import ConfigError, RunError, RunMismatch
from kmerit.store import Stages, refuse_other, refuse_strangers, settle_text, write_json

CONFIG, MANIFEST, LOG = "config.toml", "manifest.json", "run.log"


@dataclass(frozen=True)
class RunFolder(Stages):
    """A run's folder. Whoever writes to it must hold it."""

    def check(self, config: Tree, manifest: Tree, optional: Mapping[str, Sequence[str]] | None = None) -> None:
        """Refuse a folder that is none of this run; nothing is written.

        Args:
            config: All that determines the results.
            manifest: What else is known of the run.
            optional: Tables of the config that a run may be given later; by name, the stages that read it and are done
                again. Nothing but the report follows from them.

        Raises:
            RunMismatch: The folder holds a run of another config, or of other versions, or something else.
            RunError: What says of which config the run is, is damaged.
        """
        here, about = self._config(), self._manifest()
        if here is None or (about is None and not self.names()):
            left = {LOG} if about is None else {LOG, MANIFEST}  # by a start that was cut off
            refuse_strangers(self.path, "a run", lambda entry: entry.name in left)
        if not self._holds_work():  # a config that led nowhere may be corrected
            return
        if about is not None and about["schema"] != manifest["schema"]:
            raise RunMismatch(
                f"{self.path} holds a run of another version of kmerit (layout {about['schema']}; this one writes "
                f"{manifest['schema']}). Choose a new folder with --out."
            )
        if here is not None:
            added = {table: config[table] for table in optional or {} if table in config and table not in here}
            refuse_other(self.path, "a run of another config", {**here, **added}, config)
        if about is not None:
            refuse_other(self.path, "a run of another environment", about["versions"], manifest["versions"])

    def gone_models(self, models: Mapping[str, str | None]) -> dict[str, str]:
        """Find models whose folders are gone: a path that is not there is taken for a hub's name.

        Args:
            models: By task, what the config calls it now.

        Returns:
            By task, the path that it was.
        """
        tasks = (self._config() or {}).get("tasks", {})
        before = {name: tasks.get(name, {}).get("model") for name in models}
        return {
            name: was
            for name, was in before.items()
            if was and Path(was).is_absolute() and not os.path.exists(was) and Path(was).match(models[name] or "/")
        }

    def begin(self, config: Tree, manifest: Tree, optional: Mapping[str, Sequence[str]] | None = None) -> None:
        """Start a run here, or go on with the one that is here; see `check`."""
        self.check(config, manifest, optional)
        here = self._config()
        for table in optional or {}:
            if here is not None and table in config and table not in here:
                for stage in (optional or {})[table]:
                    self.forget(stage)
        if self._manifest() is None or not self._holds_work():
            write_json(self.path / MANIFEST, manifest)
        settle_text(self.path / CONFIG, tomli_w.dumps(config))

    def _holds_work(self) -> bool:
        return bool(self.names()) or (self.path / "tasks").exists()

    def _config(self) -> Tree | None:
        path = self.path / CONFIG
        if not path.exists():
            return None
        try:
            return read_toml(path)
        except (ConfigError, ValueError) as error:
            raise RunError(f"{path} is damaged: {error}. Choose a new folder with --out.") from None

    def _manifest(self) -> Any:
        """Read the manifest; None if there is none. One of another program's is no run's."""
        path = self.path / MANIFEST
        if not path.exists():
            return None
        try:
            found = json.loads(path.read_text(encoding="utf-8"))
            if isinstance(found, dict) and isinstance(found.get("versions"), dict) and "schema" in found:
                return found
        except ValueError:
            pass
        raise RunError(f"{path} is not of a run, or damaged. Choose a new folder with --out.")
