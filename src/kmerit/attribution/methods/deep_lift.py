"""DeepLIFT from [MASK] embeddings, special tokens kept. Source: shrikumar2017, section 3; schreiber2025 for its rules.

The computation is tangermeme's, which has rules that add up for softmax, LayerNorm and the products of attention.
Differs from captum's, which knows no rule for GELU, LayerNorm and products and takes their plain gradients.
"""

from __future__ import annotations

import warnings
from typing import Any

import torch
from torch import Tensor, nn

from kmerit.attribution.method import Batch, Method, Options, TokenScores, missed_share, starts
from kmerit.errors import MissingExtra, UnsupportedMethod
from kmerit.models.encoder import Encoder
from kmerit.models.family import Ability
from kmerit.models.one_hot import EncoderModules, Products


class _Explained(nn.Module):
    """The explained logit of each sequence, as a module's one output."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, words: Tensor, mask: Tensor, target: Tensor) -> Tensor:
        logits: Tensor = self.network(words, mask)
        return logits.gather(1, target.long()[:, None])


def ask(batch: Batch, options: Options) -> TokenScores:
    """(words - baseline) x the multipliers that carry their difference through to the explained logit.

    ``delta`` says how far the scores' sum is from the difference of the logits at the two ends.
    """
    deep_lift_shap, product = _tangermeme()
    baselines, encoder = starts(batch), batch.model.encoder
    if not isinstance(encoder, Encoder):
        raise UnsupportedMethod(f"deep_lift needs kmerit's own encoder; {batch.model.family} has a library's. Use ism.")
    scores = torch.stack([_from(batch, encoder, each, deep_lift_shap, product) for each in baselines]).mean(0)
    return TokenScores(scores, delta=missed_share(batch, scores, *baselines))


def _from(batch: Batch, encoder: Encoder, baseline: Tensor, deep_lift_shap: Any, product: Products) -> Tensor:
    """Score from one baseline."""
    trace = batch.trace
    with torch.inference_mode(False):
        words, start, mask, target = (tensor.clone() for tensor in (trace.words, baseline, trace.mask, trace.target))
        network = _Explained(EncoderModules(encoder, product))
        with warnings.catch_warnings():  # the input is no one-hot sequence, and delta shows the convergence
            warnings.simplefilter("ignore")
            multipliers = deep_lift_shap(
                network,
                words,
                args=(mask, target),
                batch_size=len(words),
                references=lambda x, n: start[:, None],
                n_shuffles=1,
                raw_outputs=True,
                only_warn=True,
                dtype=words.dtype,
                device=words.device,
            )[:, 0]
    scores: Tensor = ((trace.words - baseline) * multipliers.to(trace.words)).sum(-1)
    return scores


def _tangermeme() -> tuple[Any, Products]:
    try:
        from tangermeme.deep_lift_shap import BilinearOp, deep_lift_shap
    except ImportError:
        raise MissingExtra("tangermeme", "tangermeme", "deep_lift") from None
    return deep_lift_shap, BilinearOp


METHOD = Method(
    name="deep_lift",
    summary="word embeddings times DeepLIFT's multipliers, from [MASK]",
    cites="shrikumar2017",
    signed=True,
    cost=6,
    ask=ask,
    requires=frozenset({Ability.MASKING, Ability.RELEVANCE}),
    extra=("tangermeme", "tangermeme"),
    sums=True,
)
