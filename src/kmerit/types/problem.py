"""What a model's outputs mean: one value, carried by the model."""

from __future__ import annotations

from enum import StrEnum
from hashlib import sha256

import numpy as np

from kmerit.types.arrays import Float


class Problem(StrEnum):
    """What a model predicts.

    Example:
        >>> logits = np.array([[2.0, 2.0]])
        >>> Problem.CLASSES.answer(logits).tolist(), Problem.LABELS.answer(logits).round(2).tolist()
        ([[0.5, 0.5]], [[0.88, 0.88]])
        >>> Problem("values").are_values
        True
    """

    CLASSES = "classes"
    """One class of several: a softmax over the logits."""
    LABELS = "labels"
    """Several labels, each yes or no: a sigmoid of each logit."""
    VALUE = "value"
    """One value."""
    VALUES = "values"
    """Several values."""

    @property
    def are_values(self) -> bool:
        """Return whether the outputs are values, not logits."""
        return self in (Problem.VALUE, Problem.VALUES)

    def answer(self, logits: Float) -> Float:
        """Convert outputs ``[..., output]`` to predictions: probabilities, or the values themselves."""
        if self.are_values:
            return logits
        if self is Problem.LABELS:
            small = np.exp(-np.abs(logits))  # cannot overflow
            return np.asarray(np.where(logits < 0, small, 1) / (1 + small))
        odds = np.exp(logits - logits.max(axis=-1, keepdims=True))
        return np.asarray(odds / odds.sum(axis=-1, keepdims=True))


def task_digest(model: str, problem: str, output: int) -> str:
    """Compute the digest of one output of a model as a task of its own, from the model's own."""
    return sha256(f"{model} {problem} {output}".encode()).hexdigest()
