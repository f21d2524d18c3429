"""A small trial as a program of its own, so that a test can launch it on several processes."""

import sys
from pathlib import Path

import numpy as np

from kmerit.models.model import load_model
from kmerit.results import Attribution
from kmerit.sequences import Sequences
from kmerit.trials import execution
from kmerit.trials.trial import Grid, trial


def main(model: str, out: str) -> None:
    """Try 12 random sequences, two to a chunk."""
    execution.CELLS_PER_CHUNK = 200
    rng = np.random.default_rng(4)
    sequences = Sequences.from_strings(["".join(rng.choice(list("ACGT"), 44)) for _ in range(12)], labels=[0, 1] * 6)
    target = np.zeros(12, dtype=np.int64)
    scores = Attribution("one", rng.normal(size=(12, 44)), "nucleotide", target, sequences.names)
    small = {"satellite_per_class": 2, "operator_count": 3, "ism_per_class": 2, "greedy_per_class": 1}
    trial(load_model(model, device="cpu"), sequences, scores, Grid((1, 3, "all"), 2, 2, **small), out=Path(out))


if __name__ == "__main__":
    main(*sys.argv[1:])
