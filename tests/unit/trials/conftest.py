"""A tiny model, sequences of mixed lengths, and scores for them."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from kmerit.models.model import Model, load_model
from kmerit.results import Attribution
from kmerit.sequences import Sequences


@pytest.fixture(scope="session")
def model(make_checkpoint: Callable[..., Path]) -> Model:
    return load_model(make_checkpoint(k=3), device="cpu")


@pytest.fixture
def make_sequences() -> Callable[..., Sequences]:
    def make(lengths: list[int], labels: bool = True) -> Sequences:
        rng = np.random.default_rng(1)
        strings = ["".join(rng.choice(list("ACGT"), length)) for length in lengths]
        return Sequences.from_strings(strings, labels=[i % 2 for i in range(len(lengths))] if labels else None)

    return make


@pytest.fixture
def sequences(make_sequences: Callable[..., Sequences]) -> Sequences:
    return make_sequences([30, 24, 30, 27, 22, 30, 30, 25, 30, 21, 30])


@pytest.fixture
def make_scores() -> Callable[..., Attribution]:
    def make(sequences: Sequences, method: str = "one", seed: int = 0, level: str = "nucleotide") -> Attribution:
        rng = np.random.default_rng(seed)
        scores = rng.normal(size=(len(sequences), int(sequences.lengths.max()))).astype(np.float32)
        scores[np.arange(scores.shape[1]) >= sequences.lengths[:, None]] = np.nan
        return Attribution(method, scores, level, np.zeros(len(sequences), dtype=np.int64), sequences.names)

    return make
