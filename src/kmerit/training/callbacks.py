"""Callbacks of a training: weight averages, keeping the best, early stopping, progress."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file, save_model
from torch import Tensor, nn
from transformers import TrainerCallback

from kmerit.processes import is_first
from kmerit.store import atomic_write, write_proof
from kmerit.training.folder import mark_whole

Progress = Callable[[int, int], None]
Log = list[dict[str, float]]

BEST = "best.safetensors"
_AVERAGE = "average.safetensors"


def save_weights(model: nn.Module, path: Path, about: Mapping[str, Any] | None = None) -> None:
    """Write weights, and a record next to them that proves them."""
    with atomic_write(path) as part:
        save_model(model, str(part))
    write_proof(path.with_suffix(".json"), [path.name], about)


class WeightAverage(TrainerCallback):  # type: ignore[misc]
    """An exponential moving average of the weights, part of every checkpoint."""

    def __init__(self, decay: float) -> None:
        self.decay = decay
        self.weights: dict[str, Tensor] = {}

    def on_train_begin(self, args: Any, state: Any, control: Any, **rest: Any) -> None:
        """Start from the weights as they are, or from the checkpoint's average."""
        self.weights = {name: value.detach().clone() for name, value in _averaged(rest["model"])}
        if state.global_step:
            average = load_file(Path(args.output_dir) / f"checkpoint-{state.global_step}" / _AVERAGE)
            for name, value in self.weights.items():
                value.copy_(average[name])

    def on_step_end(self, args: Any, state: Any, control: Any, **rest: Any) -> None:
        """Take the new weights in; the first steps weigh more, so that the start is forgotten."""
        decay = min(self.decay, (1 + state.global_step) / (10 + state.global_step))
        with torch.no_grad():
            for name, value in _averaged(rest["model"]):
                self.weights[name].lerp_(value, 1 - decay)

    def on_save(self, args: Any, state: Any, control: Any, **rest: Any) -> None:
        """Write the average next to the weights."""
        if is_first():
            save_file(self.weights, Path(args.output_dir) / f"checkpoint-{state.global_step}" / _AVERAGE)

    @contextmanager
    def shown(self, model: nn.Module) -> Iterator[None]:
        """Load the average into the model for the duration of the block."""
        own = {name: value.detach().clone() for name, value in _averaged(model)}
        _assign(model, self.weights or own)
        try:
            yield
        finally:
            _assign(model, own)


def _averaged(model: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """List what an average is made of: the parameters, and what batch norm has seen."""
    yield from model.named_parameters()
    yield from ((name, value) for name, value in model.named_buffers() if value.is_floating_point())


def _assign(model: nn.Module, weights: Mapping[str, Tensor]) -> None:
    with torch.no_grad():
        for name, value in _averaged(model):
            value.copy_(weights[name])


class Keeper(TrainerCallback):  # type: ignore[misc]
    """Keeps the best weights by validation, stops in time, marks whole checkpoints, reports progress.

    What is best follows from the log alone, which every checkpoint holds: so a resumed training chooses alike.
    """

    def __init__(
        self, choose_by: str | None, patience: int | None, average: WeightAverage | None, progress: Progress | None
    ) -> None:
        self.choose_by, self.patience, self.average, self.progress = choose_by, patience, average, progress

    def averaged(self, model: nn.Module) -> AbstractContextManager[None]:
        """Show the average, if there is one."""
        return self.average.shown(model) if self.average else nullcontext()

    def _since_best(self, log: Log) -> int:
        """Count the validations since the best one."""
        sign = -1 if self.choose_by == "loss" else 1
        scores = [sign * entry[f"eval_{self.choose_by}"] for entry in log if f"eval_{self.choose_by}" in entry]
        return len(scores) - 1 - scores.index(max(scores)) if scores else 0

    def exhausted(self, log: Log) -> bool:
        """Return whether the patience has run out."""
        return self.choose_by is not None and self.patience is not None and self._since_best(log) >= self.patience

    def on_evaluate(self, args: Any, state: Any, control: Any, **rest: Any) -> None:
        """Keep these weights if no earlier ones are as good; stop if the last ones to be so are too long ago."""
        if self.choose_by is None:
            return
        if self._since_best(state.log_history) == 0 and is_first():
            save_weights(rest["model"], Path(args.output_dir) / BEST)
        control.should_training_stop |= self.exhausted(state.log_history)

    def on_save(self, args: Any, state: Any, control: Any, **rest: Any) -> None:
        """Mark the checkpoint as whole, once every process has written its part."""
        if torch.distributed.is_initialized():
            torch.distributed.barrier()
        if is_first():
            mark_whole(Path(args.output_dir) / f"checkpoint-{state.global_step}")

    def on_step_end(self, args: Any, state: Any, control: Any, **rest: Any) -> None:
        """Report progress."""
        if self.progress is not None and is_first():
            self.progress(state.global_step, state.max_steps)
