"""Relevance of the last attention. Source: chefer2021 (its partial LRP; voita2019), consens2023, section 4.2."""

from kmerit.attribution.method import Method, Options, TokenScores, cls_relevance
from kmerit.attribution.trace import Kind, Need, Trace


def need(options: Options) -> Need:
    """Relevance of the last attention by one of the rule books."""
    return Need(Kind.CLS_ROW, options["rules"], layer=-1)


def read(trace: Trace, options: Options) -> TokenScores:
    """Row [CLS] of mean_h R(A_last)+."""
    return cls_relevance(trace.one(need(options)))


METHOD = Method(
    name="lrp_last",
    summary="relevance of the last layer's attention from [CLS]",
    cites="chefer2021",
    needs=lambda options: [need(options)],
    read=read,
    signed=False,
    cost=1,
    options={"rules": ("chefer", "chefer_older")},
)
