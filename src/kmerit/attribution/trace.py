"""One pass over a model: a forward, and the fewest sweeps back, for the union of what the methods need."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import Enum, auto

import torch
import torch.nn.functional as F
from torch import Tensor

from kmerit.models import Model
from kmerit.models.encoder import Rules
from kmerit.models.rules import CHEFER, CHEFER_OLDER, GRADIENT
from kmerit.types import Tokens

RULES: dict[str, Rules] = {"gradient": GRADIENT, "chefer": CHEFER, "chefer_older": CHEFER_OLDER}
"""The rule books by name."""


class Kind(Enum):
    """A quantity that a pass can leave. Q is 1, the [CLS] query, in the last layer."""

    ATTENTIONS = auto()
    """Mean over heads of the attention, for each layer: list of [sequence, Q, token]."""
    LAST_ATTENTION = auto()
    """The last layer's attention [sequence, head, token, token], every query row."""
    CLS_ATTENTION = auto()
    """The last layer's attention of [CLS]: [sequence, head, token]."""
    LAST = auto()
    """What the last layer's attention received by a rule book, row [CLS], 0 on padding: [sequence, head, token]."""
    GRADIENT_TIMES = auto()
    """Mean over heads of (gradient x what the attention received)+, for each layer from ``down_to`` to the last."""
    INPUT = auto()
    """What the encoder's input received by a rule book: [sequence, token, hidden]."""


@dataclass(frozen=True)
class Need:
    """A quantity, by which rule book, and down to which layer."""

    kind: Kind
    rules: str = "gradient"
    down_to: int = 0


@dataclass(frozen=True, eq=False)
class Trace:
    """What one pass left.

    Attributes:
        mask: bool [sequence, token], False on padding.
        logits: [sequence, class].
        target: int64 [sequence], the class explained.
        layers: Number of layers.
        found: A list of one tensor per layer, or one tensor, for each need.
    """

    mask: Tensor
    logits: Tensor
    target: Tensor
    layers: int
    found: dict[Need, list[Tensor]] = field(default_factory=dict)

    def all(self, need: Need) -> list[Tensor]:
        """What was left for a need, a tensor per layer, the first layer first."""
        return self.found[need]

    def one(self, need: Need) -> Tensor:
        """What was left for a need that is one tensor."""
        (tensor,) = self.found[need]
        return tensor


def run(model: Model, tokens: Tokens, needs: Iterable[Need], target: Tensor | None) -> Trace:
    """Make one pass over a micro-batch.

    Nothing of size [layer, head, token, token] outlives it; each sweep goes no deeper than someone needs.

    Args:
        model: Left as it was found.
        tokens: The micro-batch.
        needs: Their union is served by one forward pass and one sweep per rule book.
        target: Class to explain, int64 [sequence]; None for the predicted one.

    Returns:
        The trace.
    """
    encoder, wanted = model.encoder, set(needs)
    with torch.inference_mode():
        ids, mask = model.tensors(tokens)
        tape = encoder.record(encoder.embed(ids), mask, any(need.kind is Kind.LAST_ATTENTION for need in wanted))
        target = tape.logits.argmax(-1) if target is None else target.to(model.device)
        layers = len(tape.layers)
        trace = Trace(mask, tape.logits, target, layers, {need: [] for need in wanted})
        for need in wanted:
            if need.kind is Kind.ATTENTIONS:
                trace.found[need] = [layer.attention.mean(1) for layer in tape.layers]
            elif need.kind is Kind.CLS_ATTENTION:
                trace.found[need] = [tape.layers[-1].attention[:, :, 0]]
            elif need.kind is Kind.LAST_ATTENTION:
                trace.found[need] = [tape.last_attention]
        seed = F.one_hot(target, tape.logits.shape[1]).to(tape.logits.dtype)
        floors = _floors(wanted, layers - 1)
        sweeps = {rules: encoder.sweep(tape, RULES[rules], seed) for rules in floors}
        for depth in range(layers - 1, min(floors.values(), default=layers) - 1, -1):
            received = {rules: next(sweeps[rules])[1] for rules, floor in floors.items() if depth >= floor}
            for need in wanted:
                if need.kind is Kind.LAST and depth == layers - 1:
                    trace.found[need] = [received[need.rules][:, :, 0] * mask[:, None]]
                elif need.kind is Kind.GRADIENT_TIMES and depth >= max(need.down_to, 0):
                    together = (received["gradient"] * received[need.rules]).clamp_(min=0).mean(1)
                    trace.found[need].insert(0, together)
                elif need.kind is Kind.INPUT and depth == -1:
                    trace.found[need] = [received[need.rules]]
    return trace


def _floors(needs: set[Need], last: int) -> dict[str, int]:
    """How deep each rule book's sweep must go: to a layer, or to the input (-1)."""
    floors: dict[str, int] = {}
    for need in needs:
        deepest = {Kind.LAST: last, Kind.GRADIENT_TIMES: need.down_to, Kind.INPUT: -1}.get(need.kind)
        if deepest is not None:
            floors[need.rules] = min(floors.get(need.rules, last), deepest)
            if need.kind is Kind.GRADIENT_TIMES:
                floors["gradient"] = min(floors.get("gradient", last), deepest)
    return floors
