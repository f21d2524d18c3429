"""GradCAM on the last attention. Source: chefer2021, as its BERT code computes it (and consens2023, section 4.2)."""

import torch

from kmerit.attribution.method import Method, Options, TokenScores, without_cls
from kmerit.attribution.trace import Kind, Need, Trace

LAST_ATTENTION = Need(Kind.LAST_ATTENTION)
LAST_GRADIENT = Need(Kind.CLS_ROW, "gradient", layer=-1)
CLS_ATTENTION = Need(Kind.CLS_ATTENTION, layer=-1)


def needs(options: Options) -> list[Need]:
    """The whole of the last attention, or its row [CLS] where that is enough; and its gradient."""
    return [LAST_ATTENTION if options["formula"] == "weighted" else CLS_ATTENTION, LAST_GRADIENT]


def read(trace: Trace, options: Options) -> TokenScores:
    """Weight each head by its mean gradient, keep the positive part, scale to 0..1 over the matrix, take row [CLS].

    The gradient of the last attention is zero outside row [CLS], so its mean over the matrix needs that row alone.
    Where the matrix is constant the scaling is 0/0: zeros, and a flag.

    Variant: the formula of consens2023 read element by element, (sum_h G * A)+ of row [CLS], not scaled.
    """
    if options["formula"] == "elementwise":
        row = (trace.one(LAST_GRADIENT) * trace.one(CLS_ATTENTION)).sum(1).clamp(min=0)
        return TokenScores(without_cls(row))
    attention, mask = trace.one(LAST_ATTENTION), trace.mask
    count = mask.sum(1)  # tokens, padding excluded
    weight = trace.one(LAST_GRADIENT).sum(-1) / (count * count)[:, None]  # [sequence, head]
    matrix = torch.einsum("bh,bhqt->bqt", weight, attention).div_(attention.shape[1]).clamp_(min=0)
    real = mask[:, :, None] & mask[:, None, :]
    low = matrix.masked_fill(~real, torch.inf).amin((1, 2))
    height = matrix.masked_fill(~real, -torch.inf).amax((1, 2)) - low
    undefined = height == 0
    row = (matrix[:, 0] - low[:, None]) / torch.where(undefined, 1, height)[:, None]
    return TokenScores(without_cls(row), undefined)


METHOD = Method(
    name="gradcam",
    summary="last layer's attention, heads weighted by their mean gradient",
    cites="chefer2021",
    needs=needs,
    read=read,
    signed=False,
    cost=1,
    options={"formula": ("weighted", "elementwise")},
)
