"""Relevance at the encoder's input, all the way down. Source: chefer2021 (full LRP), consens2023, section 4.2."""

from kmerit.attribution.method import AT, Method, Options, TokenScores, without_cls
from kmerit.attribution.trace import Kind, Need, Trace


def need(options: Options) -> Need:
    """Relevance of the encoder's input, or of the word embeddings, by one of the rule books."""
    return Need(Kind.INPUT if options["at"] == "input" else Kind.WORDS, options["rules"])


def read(trace: Trace, options: Options) -> TokenScores:
    """Sum the relevance of each token's embedding, after the embedding's LayerNorm, over the hidden units.

    Variant: carried on through LayerNorm and the sum of the embeddings to those of the words; positions keep theirs.
    """
    relevance = trace.one(need(options)).sum(-1)
    return TokenScores(without_cls(relevance), relevance_sum=relevance.sum(1))


METHOD = Method(
    name="full_lrp",
    summary="relevance propagated to the encoder's input, summed over hidden units",
    cites="chefer2021",
    needs=lambda options: [need(options)],
    read=read,
    signed=True,
    cost=4,
    options={"rules": ("chefer", "chefer_older"), **AT},
)
