"""What a stage is given: one task of a run, with its config, its folder, its sequences and its model."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kmerit.data import Crop, read_sequences
from kmerit.errors import RunMismatch
from kmerit.runs.config import CropTable, RunConfig, TaskTable

if TYPE_CHECKING:
    from kmerit.models import Model
    from kmerit.runs.drawing import Drawn
    from kmerit.types import Sequences

Progress = Callable[[int, int], None]
"""Told how much is done, and of how much."""

Watch = Callable[[str], AbstractContextManager[Progress]]
"""Opens a display of progress under a title."""


def unsaid(text: str) -> None:
    """Show nothing."""


@dataclass(frozen=True, eq=False)
class Job:
    """One task of a run.

    Attributes:
        name: The task's.
        config: The run's, resolved.
        folder: Where the task's artefacts go.
        watch: Displays progress.
        say: Shows a line of text.
        models: Models in memory, by the name that the config calls them.
    """

    name: str
    config: RunConfig
    folder: Path
    watch: Watch
    say: Callable[[str], None] = unsaid
    models: Mapping[str, Model] = field(default_factory=dict)

    @property
    def table(self) -> TaskTable:
        """The task's part of the config."""
        return self.config.tasks[self.name]

    @property
    def crop(self) -> Crop | None:
        """Which part of a sequence is kept."""
        crop = self.table.crop
        return Crop(crop.length, crop.anchor) if isinstance(crop, CropTable) else None

    @property
    def model_name(self) -> str:
        """What to call the model; a run's folder may be moved, so its path is no name for what lies in it."""
        return self.table.model or f"{(self.table.finetune or {}).get('base')}, fine-tuned on {self.name}"

    @cached_property
    def drawn(self) -> Drawn:
        """The rows of the task, read once."""
        from kmerit.runs.drawing import draw_rows

        return draw_rows(self)

    def load_model(self, folder: Path | None = None) -> Model:
        """Load the model as the config says: from memory, from where it lies, or where the run has put its own.

        Args:
            folder: Where another one lies that is to take its place.
        """
        from kmerit.models.loading import elsewhere, load_model

        compute = self.config.compute
        given = self.models.get(self.table.model or "")
        if given is not None:
            model = elsewhere(given, compute.device, compute.dtype, compute.micro_batch)
        else:
            checkpoint = folder or self.table.model or self.folder / "model"
            model = load_model(checkpoint, compute.device, compute.dtype, compute.micro_batch, self.table.revision)
        model = replace(model, name=self.model_name)
        return model if self.table.label is None else model.task(self.table.label)

    @cached_property
    def model(self) -> Model:
        """The model, loaded once, and the same that the run began with.

        Raises:
            RunMismatch: Its weights have changed since.
        """
        model = self.load_model()
        before = self.read_json("model.json")["digest"]
        if model.digest != before:
            raise RunMismatch(
                f"The weights of {model.name} changed since this run began (sha256 {before[:12]}, now "
                f"{model.digest[:12]}). Put them back, or choose a new folder with --out."
            )
        return model

    def sequences(self, which: str) -> Sequences:
        """Read what the data stage has kept: ``test``, ``sequences`` or ``validation``."""
        return read_sequences(self.folder / f"{which}.parquet")

    def read_json(self, name: str) -> Any:
        """Read one of the task's artefacts."""
        return json.loads((self.folder / name).read_text(encoding="utf-8"))
