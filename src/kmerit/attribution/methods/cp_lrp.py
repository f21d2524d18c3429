"""CP-LRP: relevance as modified gradient x input. Source: ali2022, section 3."""

from kmerit.attribution.method import Method, Options, TokenScores
from kmerit.attribution.trace import Kind, Need, Trace

AT = {"input": Kind.INPUT, "words": Kind.WORDS}


def need(options: Options) -> Need:
    """The modified gradient at the encoder's input, or carried through to the word embeddings."""
    return Need(AT[options["at"]], "cp_lrp")


def read(trace: Trace, options: Options) -> TokenScores:
    """The input times its modified gradient, summed over the hidden units."""
    at = trace.input if options["at"] == "input" else trace.words
    relevance = (at * trace.one(need(options))).sum(-1)
    return TokenScores(relevance, relevance_sum=relevance.sum(1))


METHOD = Method(
    name="cp_lrp",
    summary="relevance by CP-LRP: attention probabilities are constants",
    cites="ali2022",
    needs=lambda options: [need(options)],
    read=read,
    signed=True,
    cost=2,
    options={"at": ("input", "words")},
)
