"""Input x gradient at the word embeddings. Source: shrikumar2016, section 2."""

from kmerit.attribution.method import Method, Options, TokenScores
from kmerit.attribution.trace import Kind, Need, Trace

GRADIENT = Need(Kind.WORDS, "gradient")


def read(trace: Trace, options: Options) -> TokenScores:
    """Each word embedding times the logit's gradient there, summed over the hidden units."""
    return TokenScores((trace.words * trace.one(GRADIENT)).sum(-1))


METHOD = Method(
    name="input_x_gradient",
    summary="word embeddings times their gradient",
    cites="shrikumar2016",
    needs=lambda options: [GRADIENT],
    read=read,
    signed=True,
    cost=2,
    sums=True,
)
