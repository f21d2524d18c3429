"""A small trial, whole or in shares, so that a test can also make it in a process to be killed."""

from pathlib import Path
from unittest.mock import patch

import numpy as np

from kmerit.models.model import load_model
from kmerit.results import Attribution
from kmerit.sequences import Sequences
from kmerit.store import Share, Work
from kmerit.trials import execution
from kmerit.trials.trial import Grid, trial

CHUNK = 200
"""Cells that make one sequence a chunk."""


def main(model: str, out: str, share: str | None = None) -> None:
    """Try 12 random sequences, one to a chunk; of it the ``plan``, a share ``i/N``, or ``gather``."""
    rng = np.random.default_rng(4)
    sequences = Sequences.from_strings(["".join(rng.choice(list("ACGT"), 44)) for _ in range(12)], labels=[0, 1] * 6)
    target = np.zeros(12, dtype=np.int64)
    scores = Attribution("one", rng.normal(size=(12, 44)), "nucleotide", target, sequences.names)
    small = {"satellite_per_class": 2, "operator_count": 3, "ism_per_class": 2, "greedy_per_class": 1}
    grid = Grid((1, 3, "all"), 2, 2, **small)
    part: Work | None = None
    if share is not None:
        part = "plan" if share == "plan" else "gather" if share == "gather" else Share.parse(share)
    with patch.object(execution, "CELLS_PER_CHUNK", CHUNK):
        trial(load_model(model, device="cpu"), sequences, scores, grid, out=Path(out), share=part)
