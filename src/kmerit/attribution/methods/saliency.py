"""Saliency: the magnitude of the gradient. Source: simonyan2014, section 3."""

from kmerit.attribution.method import Method, Options, TokenScores
from kmerit.attribution.trace import Kind, Need, Trace

GRADIENT = Need(Kind.WORDS, "gradient")


def read(trace: Trace, options: Options) -> TokenScores:
    """Euclidean norm of the logit's gradient with respect to each word embedding."""
    return TokenScores(trace.one(GRADIENT).norm(dim=-1))


METHOD = Method(
    name="saliency",
    summary="magnitude of the gradient at the word embeddings",
    cites="simonyan2014",
    needs=lambda options: [GRADIENT],
    read=read,
    signed=False,
    cost=2,
)
