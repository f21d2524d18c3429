"""AttnLRP: relevance as modified gradient x input. Source: achtibat2024, section 3."""

from kmerit.attribution.method import Method, Options, TokenScores
from kmerit.attribution.trace import Kind, Need, Trace

AT = {"input": Kind.INPUT, "words": Kind.WORDS}


def need(options: Options) -> Need:
    """The modified gradient at the encoder's input, or carried through to the word embeddings."""
    return Need(AT[options["at"]], "attnlrp")


def read(trace: Trace, options: Options) -> TokenScores:
    """The input times its modified gradient, summed over the hidden units."""
    at = trace.input if options["at"] == "input" else trace.words
    relevance = (at * trace.one(need(options))).sum(-1)
    return TokenScores(relevance, relevance_sum=relevance.sum(1))


METHOD = Method(
    name="attnlrp",
    summary="relevance by AttnLRP: the softmax keeps its Jacobian, products are halved",
    cites="achtibat2024",
    needs=lambda options: [need(options)],
    read=read,
    signed=True,
    cost=2,
    options={"at": ("input", "words")},
)
