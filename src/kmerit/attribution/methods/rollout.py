"""Attention rollout: the product over layers of attention with a residual. Source: abnar2020, section 3."""

import torch

from kmerit.attribution.method import Method, Options, TokenScores, cls_rollout, without_cls
from kmerit.attribution.trace import Kind, Need, Trace

ATTENTIONS = Need(Kind.ATTENTIONS)


def read(trace: Trace, options: Options) -> TokenScores:
    """Row [CLS] of the product of the row-normalised mean_h A_l + I.

    Variant: the plain mean of mean_h A_l over layers, which consens2023 calls an average of attention.
    """
    layers = trace.all(ATTENTIONS)
    if options["layers"] == "mean":
        return TokenScores(without_cls(torch.stack([layer[:, 0] for layer in layers]).mean(0)))
    return TokenScores(without_cls(cls_rollout(layers)))


METHOD = Method(
    name="rollout",
    summary="attention of all layers multiplied, with the residual connections as identity",
    cites="abnar2020",
    needs=lambda options: [ATTENTIONS],
    read=read,
    signed=False,
    cost=1,
    options={"layers": ("product", "mean")},
)
