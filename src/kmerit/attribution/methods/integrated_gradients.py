"""Integrated gradients from [MASK] embeddings, special tokens kept. Source: sundararajan2017, equation 1."""

import numpy as np
import torch

from kmerit.attribution.method import Batch, Method, Options, TokenScores, missed_share, starts, word_gradient
from kmerit.models.family import Ability


def ask(batch: Batch, options: Options) -> TokenScores:
    """(words - baseline) x the mean gradient on the straight line between them, by Gauss-Legendre quadrature.

    ``delta`` says how far the scores' sum is from the difference of the logits at the two ends (completeness).
    """
    trace, baselines = batch.trace, starts(batch)
    scores = torch.zeros_like(trace.words[..., 0])
    points, weights = np.polynomial.legendre.leggauss(options["steps"])
    for baseline in baselines:
        way = trace.words - baseline
        total = torch.zeros_like(way)
        for point, weight in zip((points + 1) / 2, weights / 2, strict=True):
            _, gradient = word_gradient(batch, baseline + way * float(point))
            total += gradient * float(weight)
        scores += (way * total).sum(-1)
    scores /= len(baselines)
    return TokenScores(scores, delta=missed_share(batch, scores, *baselines))


METHOD = Method(
    name="integrated_gradients",
    summary="gradients of the word embeddings, integrated from [MASK]",
    cites="sundararajan2017",
    signed=True,
    cost="2 per step, 64 steps",
    ask=ask,
    requires=frozenset({Ability.MASKING}),
    options={"steps": 64},
    sums=True,
)
