"""Invented sequences, scores and outcomes, as a run would leave them for the sequence explorer."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import starmap

import numpy as np

from kmerit.report.explorer import Exploration, Trial
from kmerit.report.load import Hits
from kmerit.sequences import Sequences
from kmerit.trials.rankings import mutation_order

COUNTS = (0, 1, 5, 10, 15, 20, "all")


def exploration(
    count: int = 8,
    methods: Sequence[str] = ("attention", "lrp", "gradcam"),
    length: int = 60,
    names: Sequence[str] | None = None,
    k: int = 6,
    seed: int = 0,
) -> Exploration:
    """Make an exploration of random sequences with random scores; 'attention' has no negative ones."""
    rng = np.random.default_rng(seed)
    strings = ["".join(rng.choice(list("ACGT"), length)) for _ in range(count)]
    sequences = Sequences.from_strings(strings, [i % 2 for i in range(count)], names)
    signed = tuple(method != "attention" for method in methods)
    scores = tuple(
        np.stack([row if sign else np.abs(row) for row, sign in zip(rows, signed, strict=True)])
        for rows in rng.normal(size=(count, len(methods), length)).astype(np.float32)
    )
    called = rng.integers(0, 2, count)
    first = np.stack(list(starmap(_first, zip(sequences.names, scores, strict=True))), axis=1)
    probability = np.sort(rng.random((len(methods) + 1, count, len(COUNTS))), axis=2)[:, :, ::-1]
    probability[:, :, 0] = probability[0, :, 0]
    trial = Trial(
        "random_other",
        "morf",
        False,
        COUNTS,
        (*methods, "random"),
        probability,
        first,
        3,
        called,
        called == np.asarray(sequences.labels),
    )
    words = length - k + 1
    spans = np.stack([np.arange(words), np.arange(words) + k], axis=1)
    ties = np.zeros((len(methods), count), dtype=bool)
    return Exploration(sequences, tuple(methods), signed, scores, called, ties, trial, (spans,) * count, Hits(), count)


def _first(name: str, scores: np.ndarray) -> np.ndarray:
    return mutation_order(scores, name, seed=0)[:, :20]
