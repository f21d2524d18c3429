"""Relevance rollout: gradient x relevance of every attention. Source: chefer2021, equations 13 and 14."""

import torch

from kmerit.attribution.method import Method, Options, TokenScores, cls_rollout
from kmerit.attribution.trace import Kind, Need, Trace


def need(options: Options) -> Need:
    """Gradient times relevance from ``start_layer`` up."""
    return Need(Kind.GRADIENT_TIMES, "chefer", layer=options["start_layer"])


def read(trace: Trace, options: Options) -> TokenScores:
    """Row [CLS] of the product of the row-normalised mean_h (G_l * R(A_l))+ + I; its own entry is the row's minimum."""
    matrices = trace.all(need(options))
    row = cls_rollout(matrices)
    row[:, 0] = row.masked_fill(~trace.mask, row.max()).amin(1)
    return TokenScores(row, relevance_sum=torch.stack([matrix.sum((1, 2)) for matrix in matrices]).sum(0))


METHOD = Method(
    name="lrp",
    summary="gradient x relevance of the attention of all layers, multiplied as in rollout",
    cites="chefer2021",
    needs=lambda options: [need(options)],
    read=read,
    signed=False,
    cost=5,
    options={"start_layer": 0},
)
