"""Attention of the last layer, from [CLS], summed over heads: DNABERT's own visualisation.

Source: ji2021 (and consens2023, section 4.2).
"""

import torch

from kmerit.attribution.method import Method, Options, TokenScores, without_cls
from kmerit.attribution.trace import Kind, Need, Trace
from kmerit.errors import ConfigError


def need(options: Options) -> Need:
    """Attention from ``first_layer`` up, of [CLS] or of all queries."""
    kind = Kind.CLS_ATTENTION if options["queries"] == "cls" else Kind.MEAN_ATTENTION
    return Need(kind, layer=options["first_layer"])


def read(trace: Trace, options: Options) -> TokenScores:
    """Sum A_last[CLS] over heads.

    Variants: the mean over the layers from ``first_layer`` to ``last_layer`` (-1 is the last), the mean over all
    queries (a column's mean) in place of [CLS], the mean over heads.
    """
    layers = _up_to(trace.all(need(options)), options)
    by_head = layers[0] if len(layers) == 1 else torch.stack(layers).mean(0)  # [sequence, head, token]
    return TokenScores(without_cls(by_head.sum(1) if options["heads"] == "sum" else by_head.mean(1)))


def _up_to(layers: list[torch.Tensor], options: Options) -> list[torch.Tensor]:
    """Leave out those above ``last_layer``."""
    first, last = options["first_layer"], options["last_layer"]
    if first < 0 and last == -1:
        return layers
    if not isinstance(last, int) or (last != -1 and (first < 0) != (last < 0)):
        raise ConfigError(f"attention: count first_layer and last_layer from the same end; got {first!r} and {last!r}.")
    count = len(layers) + last + 1 if last < 0 else last - first + 1
    if not 0 < count <= len(layers):
        raise ConfigError(f"attention: expected first_layer <= last_layer, both of the model; got {first} and {last}.")
    return layers[:count]


METHOD = Method(
    name="attention",
    summary="last layer's attention from [CLS], summed over heads",
    cites="ji2021",
    needs=lambda options: [need(options)],
    read=read,
    signed=False,
    cost=1,
    options={"first_layer": -1, "last_layer": -1, "queries": ("cls", "mean"), "heads": ("sum", "mean")},
)
