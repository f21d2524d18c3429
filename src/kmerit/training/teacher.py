"""Distillation: in addition to the labels, the mean output of teachers on the batch that the pupil sees."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from transformers import AutoModelForSequenceClassification

from kmerit.errors import CheckpointError
from kmerit.models.checkpoint import locate
from kmerit.training.networks import loading
from kmerit.training.rows import Batch


@dataclass(frozen=True, eq=False)
class Teacher:
    """An ensemble of fine-tuned models, whose probabilities a pupil learns.

    Source: hinton2015, section 2, at temperature 1.

    Attributes:
        models: Frozen.
        share: The teachers' share of the loss.
    """

    models: tuple[nn.Module, ...]
    share: float

    def blend(self, loss: Tensor, logits: Tensor, batch: Batch) -> Tensor:
        """Mix the loss on the labels with the cross entropy [nats] to the teachers' mean probabilities.

        Args:
            loss: On the labels.
            logits: The pupil's, [row, class].
            batch: What it was shown.
        """
        with torch.no_grad():
            answers = [model.to(logits.device)(**batch)["logits"].float().softmax(-1) for model in self.models]
        mean = torch.stack(answers).mean(0)
        return (1 - self.share) * loss + self.share * nn.functional.cross_entropy(logits, mean)


def teacher(names: Sequence[str], share: float, pupil: nn.Module) -> Teacher | None:
    """Load the teachers of a pupil; None if the recipe names none.

    Raises:
        CheckpointError: Not readable, or not of the pupil's tokens and classes.
    """
    models: list[nn.Module] = []
    for name in names:
        with loading(name):
            model = AutoModelForSequenceClassification.from_pretrained(
                locate(name), dtype=torch.float32, trust_remote_code=False
            )
        for what in ("vocab_size", "num_labels"):
            theirs, ours = getattr(model.config, what), getattr(pupil.config, what)
            if theirs != ours:
                raise CheckpointError(f"{name}: a teacher needs the pupil's {what}, {ours}; it has {theirs}.")
        models.append(model.eval().requires_grad_(False))
    return Teacher(tuple(models), share) if models else None
