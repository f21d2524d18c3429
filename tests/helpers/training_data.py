"""Small sequences with something to learn, and the smallest networks that can learn it."""

from __future__ import annotations

from typing import Any

import numpy as np

from kmerit.io.crops import Crop, prepare
from kmerit.sequences import Sequences
from kmerit.training.data import Splits

TINY: dict[str, Any] = {
    "k": 3, "hidden": 32, "layers": 1, "heads": 2, "intermediate": 64, "max_tokens": 64,
    "device": "cpu", "threads": 1, "hidden_dropout": 0.0,
}  # fmt: skip
LEARN: dict[str, Any] = {**TINY, "learning_rate": 3e-3, "batch_size": 16, "crop": {"length": 40}, "resamples": 20}
CROP = Crop(40)


def random_strings(rows: int, length: int, seed: int) -> list[str]:
    rng = np.random.default_rng(seed)
    return ["".join(rng.choice(list("ACGT"), length)) for _ in range(rows)]


def labelled(rows: int, seed: int, classes: int = 2, length: int = 48) -> Sequences:
    """Sequences whose class is told by what they are rich in."""
    rng = np.random.default_rng((seed, 1))
    labels = rng.integers(0, classes, rows)
    strings = [
        "".join(rng.choice(list("ACGT"), length, p=np.where(np.arange(4) == label, 0.55, 0.15))) for label in labels
    ]
    return Sequences.from_strings(strings, labels=labels)


def splits(classes: int = 2) -> Splits:
    """Train whole, the rest cropped, as they are loaded."""
    names = tuple(f"class{i}" for i in range(classes))
    validation, test = (prepare(labelled(40, seed, classes), crop=CROP)[0] for seed in (2, 3))
    return Splits(labelled(160, 1, classes), validation, test, names, CROP)


def corpus(records: int = 4, length: int = 600) -> Sequences:
    """Records of a short repeat, so that a masked k-mer follows from its neighbours."""
    return Sequences.from_strings(["ACGGTCATTG" * (length // 10)] * records)
