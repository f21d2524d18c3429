"""Random scores: what any method must beat."""

import numpy as np

from kmerit.attribution.method import Batch, Method, NucleotideScores, Options
from kmerit.sequences import generator


def ask(batch: Batch, options: Options) -> NucleotideScores:
    """Draw each nucleotide's score uniformly from 0..1; a sequence's name and the seed determine its draws."""
    scores = np.zeros(batch.bases.shape, dtype=str(batch.model.dtype).removeprefix("torch."))
    for row, (name, length) in enumerate(zip(batch.names, batch.lengths, strict=True)):
        scores[row, :length] = generator(options["seed"], "random scores", 0, name).random(length)
    return NucleotideScores(scores)


METHOD = Method(
    name="random",
    summary="uniform random scores",
    cites="consens2023",
    signed=False,
    cost=0,
    ask=ask,
    level="nucleotide",
    options={"seed": 0},
)
