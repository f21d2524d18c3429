"""GradientSHAP: expected gradients over baselines and points between. Source: erion2021, equation 2; lundberg2017."""

import numpy as np
import torch
from torch import Tensor

from kmerit.attribution.method import (
    Batch,
    Method,
    Options,
    TokenScores,
    masked_words,
    missed_share,
    starts,
    word_gradient,
)
from kmerit.errors import ConfigError
from kmerit.models.family import Ability
from kmerit.sequences import generator

# Differs from lundberg2017: the points between are stratified, one drawn uniformly from each of n_samples equal parts
# of the way. The expectation is the same; plain draws (captum's) need a hundred times as many for an error of 1 %.


def ask(batch: Batch, options: Options) -> TokenScores:
    """Mean of (words - baseline) x gradient at points drawn between the two; special tokens are the same in both.

    A sequence's name and the seed determine its draws, in any batch. ``delta`` says how far the scores' sum is
    from the mean difference of the logits at the two ends.
    """
    samples, count = (_positive(options, key) for key in ("n_samples", "n_baselines"))
    trace = batch.trace
    draws = [generator(options["seed"], "gradient_shap", 0, name) for name in batch.names]
    total = torch.zeros_like(trace.words[..., 0])
    reference_starts = iter(starts(batch)) if batch.baselines else None
    if batch.baselines:  # as many samples in all
        count = len(batch.baselines)
        samples = max(1, samples // count)
    baselines = []
    for _ in range(count):
        if reference_starts is not None:
            baseline = next(reference_starts)
        else:
            baseline = masked_words(batch) if options["baselines"] == "mask" else _shuffled(batch, draws)
        way = trace.words - baseline
        for part in range(samples):
            points = torch.tensor(
                [(part + rng.random()) / samples for rng in draws], dtype=way.dtype, device=way.device
            )
            _, gradient = word_gradient(batch, baseline + way * points[:, None, None])
            total += (way * gradient).sum(-1)
        baselines.append(baseline)
    scores = total / (samples * count)
    return TokenScores(scores, delta=missed_share(batch, scores, *baselines))


def _shuffled(batch: Batch, draws: list[np.random.Generator]) -> Tensor:
    """Word embeddings of the sequences with their nucleotides shuffled: as many tokens, for a k-mer model."""
    bases = batch.bases.copy()
    for row, (length, rng) in enumerate(zip(batch.lengths, draws, strict=True)):
        bases[row, :length] = rng.permutation(bases[row, :length])
    tokens = batch.model.tokenize(bases, batch.lengths)
    if not np.array_equal(tokens.mask, batch.tokens.mask):
        raise ConfigError(
            f"gradient_shap: a shuffled sequence has another number of tokens with {batch.model.family}. "
            f"Leave baselines at 'mask'."
        )
    return batch.model.encoder.look_up(*batch.model.tensors(tokens))


def _positive(options: Options, key: str) -> int:
    value = options[key]
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise ConfigError(f"gradient_shap: {key}: expected a whole number from 1, got {value!r}.")
    return value


METHOD = Method(
    name="gradient_shap",
    summary="gradients of the word embeddings, averaged over random points on the way from baselines",
    cites="lundberg2017",
    signed=True,
    cost="2 per sample, 100 samples",
    ask=ask,
    options={"n_samples": 100, "baselines": ("mask", "shuffled"), "n_baselines": 1, "seed": 0},
    requires=frozenset({Ability.MASKING}),
    sums=True,
)
