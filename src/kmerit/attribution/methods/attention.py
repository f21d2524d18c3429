"""Attention of the last layer, from [CLS], summed over heads: DNABERT's own visualisation.

Source: ji2021 (and consens2023, section 4.2).
"""

from kmerit.attribution.method import Method, Options, TokenScores, without_cls
from kmerit.attribution.trace import Kind, Need, Trace

CLS_ATTENTION = Need(Kind.CLS_ATTENTION)


def read(trace: Trace, options: Options) -> TokenScores:
    """Sum A_last[CLS] over heads."""
    return TokenScores(without_cls(trace.one(CLS_ATTENTION).sum(1)))


METHOD = Method(
    name="attention",
    summary="last layer's attention from [CLS], summed over heads",
    cites="ji2021",
    needs=lambda options: [CLS_ATTENTION],
    read=read,
    signed=False,
    cost=1,
)
