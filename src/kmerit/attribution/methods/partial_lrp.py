"""Partial relevance: what the attention of one layer received. Source: voita2019, section 3; rules of chefer2021."""

from kmerit.attribution.method import Method, Options, TokenScores, cls_relevance
from kmerit.attribution.trace import Kind, Need, Trace


def need(options: Options) -> Need:
    """Relevance of one layer's attention by one of the rule books."""
    return Need(Kind.CLS_ROW, options["rules"], options["layer"])


def read(trace: Trace, options: Options) -> TokenScores:
    """Row [CLS] of mean_h R(A_layer)+."""
    return cls_relevance(trace.one(need(options)))


METHOD = Method(
    name="partial_lrp",
    summary="relevance of any one layer's attention from [CLS]",
    cites="voita2019",
    signed=False,
    cost=4,
    needs=lambda options: [need(options)],
    read=read,
    options={"layer": 0, "rules": ("chefer", "chefer_older")},
)
