"""Occlusion by [MASK]: how much the logit drops without a nucleotide. Source: zeiler2014, section 3."""

import numpy as np
import torch

from kmerit.attribution.method import (
    Batch,
    Method,
    NucleotideScores,
    Options,
    TokenScores,
    explained_logit,
    masked_words,
)
from kmerit.models.family import Ability


def ask(batch: Batch, options: Options) -> TokenScores | NucleotideScores:
    """Drop of the explained logit with every token over a nucleotide masked, or with one token masked."""
    start, end = batch.tokens.spans[..., 0], batch.tokens.spans[..., 1]
    units = batch.bases.shape[1] if options["unit"] == "nucleotide" else batch.tokens.ids.shape[1]
    trace = batch.trace
    before = trace.logits.gather(1, trace.target[:, None])[:, 0]
    drops = torch.zeros((len(batch.bases), units), dtype=trace.logits.dtype, device=trace.logits.device)
    for unit in range(units):
        covered = (start <= unit) & (unit < end) if options["unit"] == "nucleotide" else end > start
        if options["unit"] == "token":
            covered = covered & (np.arange(units) == unit)
        drops[:, unit] = before - explained_logit(batch, masked_words(batch, covered))
    return TokenScores(drops) if options["unit"] == "token" else NucleotideScores(drops.cpu().numpy())


METHOD = Method(
    name="occlusion",
    summary="drop of the logit with every token over a nucleotide masked",
    cites="zeiler2014",
    signed=True,
    cost="1 per nucleotide",
    ask=ask,
    level="nucleotide",
    requires=frozenset({Ability.MASKING}),
    options={"unit": ("nucleotide", "token")},
)
