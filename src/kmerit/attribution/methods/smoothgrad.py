"""SmoothGrad: saliency, averaged over noisy embeddings. Source: smilkov2017, section 2."""

import torch

from kmerit.attribution.method import Batch, Method, Options, TokenScores, word_gradient
from kmerit.sequences import generator


def ask(batch: Batch, options: Options) -> TokenScores:
    """Mean magnitude of the gradient at word embeddings with normal noise added.

    The noise's standard deviation is ``noise`` times the range of the sequence's embeddings; a sequence's name and
    the seed determine it, in any batch.
    """
    words, mask = batch.trace.words, batch.trace.mask
    count = mask.sum(1).tolist()
    real = mask[:, :, None]
    spread = words.masked_fill(~real, -torch.inf).amax((1, 2)) - words.masked_fill(~real, torch.inf).amin((1, 2))
    generators = [generator(options["seed"], "smoothgrad", 0, name) for name in batch.names]
    total = torch.zeros_like(words[..., 0])
    for _ in range(options["samples"]):
        noise = torch.zeros_like(words)
        for row, (tokens, rng) in enumerate(zip(count, generators, strict=True)):
            noise[row, :tokens] = torch.from_numpy(rng.standard_normal((tokens, words.shape[2]))).to(words)
        noisy = words + noise * (options["noise"] * spread)[:, None, None]
        _, gradient = word_gradient(batch, noisy)
        total += gradient.norm(dim=-1)
    return TokenScores(total / options["samples"])


METHOD = Method(
    name="smoothgrad",
    summary="saliency averaged over noisy embeddings",
    cites="smilkov2017",
    signed=False,
    cost="2 per sample, 20 samples",
    ask=ask,
    options={"samples": 20, "noise": 0.1, "seed": 0},
)
