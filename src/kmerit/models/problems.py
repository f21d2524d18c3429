"""What a checkpoint's outputs mean, and what they are called."""

from __future__ import annotations

import re
from typing import Any

from kmerit.errors import CheckpointError
from kmerit.models.checkpoint import Checkpoint
from kmerit.types import Problem

_KINDS = ("single_label_classification", "multi_label_classification", "regression")


def problem_of(checkpoint: Checkpoint, outputs: int) -> Problem:
    """Read what a checkpoint predicts: what config.json says, else one value for one output and classes for more.

    Args:
        checkpoint: Its ``problem_type`` is what transformers means by it.
        outputs: Of its head.

    Raises:
        CheckpointError: Another problem type, or one that contradicts the outputs.
    """
    problem_type = checkpoint.config.get("problem_type")
    if problem_type is not None and problem_type not in _KINDS:
        raise CheckpointError(
            f"{checkpoint.name}: problem_type is {problem_type!r} in config.json; expected one of {', '.join(_KINDS)}."
        )
    if problem_type == "multi_label_classification":
        return Problem.LABELS
    if problem_type == "single_label_classification" and outputs == 1:
        raise CheckpointError(
            f"{checkpoint.name}: problem_type is {problem_type!r} in config.json, but the head has one output, which "
            f"cannot choose among classes. Correct it to regression or multi_label_classification."
        )
    if outputs == 1:
        return Problem.VALUE
    return Problem.VALUES if problem_type == "regression" else Problem.CLASSES


def labels_of(checkpoint: Checkpoint, outputs: int) -> tuple[str, ...]:
    """Read the names of the outputs, in their order; ``LABEL_0`` ... where there are none.

    Raises:
        CheckpointError: Names for another number of outputs than the head has.
    """
    config, name = checkpoint.config, checkpoint.name
    plain = tuple(f"LABEL_{i}" for i in range(outputs))
    number = config.get("num_labels")
    if number is not None and number != outputs:
        raise CheckpointError(f"{name}: num_labels is {number!r} in config.json; the head has {outputs} outputs.")
    names: Any = config.get("id2label")
    if not names:
        return plain
    if not isinstance(names, dict):
        raise CheckpointError(f"{name}: expected a name for each output as 'id2label' in config.json, got {names!r}.")
    if set(names) == {str(i) for i in range(outputs)}:
        return tuple(str(names[str(i)]) for i in range(outputs))
    if number == outputs and all(re.fullmatch(r"LABEL_\d+", str(label)) for label in names.values()):
        return plain  # early versions of transformers left two of these for any num_labels
    raise CheckpointError(
        f"{name}: id2label names {len(names)} outputs in config.json ({', '.join(map(str, list(names.values())[:3]))}"
        f" ...); the head has {outputs}, numbered from 0."
    )
