"""CP-LRP: relevance as modified gradient x input. Source: ali2022, section 3."""

from kmerit.attribution.method import AT_WITH_GAMMA, Method, Options, TokenScores, input_times_received, received
from kmerit.attribution.trace import Trace


def read(trace: Trace, options: Options) -> TokenScores:
    """The input times its modified gradient, summed over the hidden units."""
    return input_times_received(trace, "cp_lrp", options)


METHOD = Method(
    name="cp_lrp",
    summary="relevance by CP-LRP: attention probabilities are constants",
    cites="ali2022",
    signed=True,
    cost=2,
    needs=lambda options: [received("cp_lrp", options)],
    read=read,
    options=AT_WITH_GAMMA,
    sums=True,
)
