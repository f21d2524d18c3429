"""AttnLRP: relevance as modified gradient x input. Source: achtibat2024, section 3."""

from kmerit.attribution.method import AT_WITH_GAMMA, Method, Options, TokenScores, input_times_received, received
from kmerit.attribution.trace import Trace


def read(trace: Trace, options: Options) -> TokenScores:
    """The input times its modified gradient, summed over the hidden units."""
    return input_times_received(trace, "attnlrp", options)


METHOD = Method(
    name="attnlrp",
    summary="relevance by AttnLRP: the softmax keeps its Jacobian, products are halved",
    cites="achtibat2024",
    signed=True,
    cost=2,
    needs=lambda options: [received("attnlrp", options)],
    read=read,
    options=AT_WITH_GAMMA,
    sums=True,
)
