"""One pass over a model for the union of what the methods need, and the projection from tokens to nucleotides."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import Enum, auto

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from kmerit.attribution.references import book_from
from kmerit.disk import keep_memory
from kmerit.errors import ConfigError, UsageError
from kmerit.models.encoder import Rules
from kmerit.models.family import Ability
from kmerit.models.model import Model
from kmerit.models.rules import ATTNLRP, CHEFER, CHEFER_OLDER, CP_LRP, GRADIENT, AttnLRP
from kmerit.sequences import Float, Tokens

PROJECTIONS = ("mean", "share", "max")


def to_nucleotides(scores: Float, tokens: Tokens, length: int, how: str = "mean") -> Float:
    """Combine the scores of the tokens that cover each nucleotide.

    Args:
        scores: ``[sequence, token]``, special tokens included; they cover nothing.
        tokens: Their spans.
        length: Positions of the longest sequence.
        how: ``mean`` over the covering tokens (DNABERT's own rule), ``share`` (each token splits its score over its
            nucleotides, which conserves the sum), or ``max``.

    Returns:
        ``[sequence, position]`` in the dtype of the scores; NaN where no token covers a nucleotide.

    Raises:
        UsageError: No such projection.

    Source: ji2021 for the mean.
    """
    if how not in PROJECTIONS:
        raise UsageError(f"projection: expected one of {', '.join(PROJECTIONS)}, got {how!r}.")
    start, width = tokens.spans[..., 0], tokens.spans[..., 1] - tokens.spans[..., 0]
    out = np.full((len(scores), length), -np.inf if how == "max" else 0, dtype=scores.dtype)
    cover = np.zeros((len(scores), length), dtype=np.int32)
    for step in range(int(width.max(initial=0))):  # the step-th nucleotide of every token: no two tokens collide
        row, token = np.nonzero(width > step)
        at = (row, start[row, token] + step)
        value = scores[row, token]
        if how == "max":
            out[at] = np.maximum(out[at], value)
        else:
            out[at] += value / width[row, token].astype(scores.dtype) if how == "share" else value
        cover[at] += 1
    if how == "mean":
        out /= np.maximum(cover, 1).astype(scores.dtype)
    out[cover == 0] = np.nan
    return out


RULES: dict[str, Rules] = {
    "gradient": GRADIENT,
    "chefer": CHEFER,
    "chefer_older": CHEFER_OLDER,
    "attnlrp": ATTNLRP,
    "cp_lrp": CP_LRP,
}
"""The rule books by name."""
_ABILITY: dict[str, set[Ability]] = {
    "gradient": set(),
    "attnlrp": {Ability.MODIFIED_GRADIENTS},
    "cp_lrp": {Ability.MODIFIED_GRADIENTS},
}
"""What a model must be able to do for a rule book, where that is not ``RELEVANCE``."""


Book = tuple[str, float]
"""A rule book's name and its gamma."""


class Kind(Enum):
    """A quantity that a pass can leave. Q is 1, the [CLS] query, in the last layer."""

    ATTENTIONS = auto()
    """Mean over heads of the attention, for each layer: list of [sequence, Q, token]."""
    LAST_ATTENTION = auto()
    """The last layer's attention [sequence, head, token, token], every query row."""
    CLS_ATTENTION = auto()
    """The attention of [CLS], for each layer from ``layer`` to the last: list of [sequence, head, token]."""
    MEAN_ATTENTION = auto()
    """The attention of all queries but padding, averaged, likewise: list of [sequence, head, token]."""
    CLS_ROW = auto()
    """What the attention of one ``layer`` received by a rule book, row [CLS], 0 on padding: [sequence, head, token]."""
    GRADIENT_TIMES = auto()
    """Mean over heads of (gradient x what the attention received)+, for each layer from ``layer`` to the last."""
    INPUT = auto()
    """What the encoder's input received by a rule book: [sequence, token, hidden]."""
    WORDS = auto()
    """What the word embeddings received by a rule book, less what positions received: [sequence, token, hidden]."""


@dataclass(frozen=True)
class Need:
    """A quantity, by which rule book, and at which layer (-1 is the last).

    ``gamma``: of the first convolution, by AttnLRP and CP-LRP.
    """

    kind: Kind
    rules: str = "gradient"
    layer: int = 0
    gamma: float = 0.0

    @property
    def book(self) -> Book:
        """Its rule book and gamma."""
        return self.rules, self.gamma

    @property
    def requires(self) -> frozenset[Ability]:
        """What a model must be able to do for it."""
        attention = set() if self.kind in (Kind.INPUT, Kind.WORDS) else {Ability.ATTENTION}
        stem = {Ability.STEM} if self.gamma else set()
        return frozenset(attention | stem | _ABILITY.get(self.rules, {Ability.RELEVANCE}))

    @property
    def words(self) -> str:
        """Say it for people: ``attentions``, ``input by chefer``."""
        name = self.kind.name.lower().replace("_", " ")
        return f"{name} by {self.rules}" if self.kind in _SWEPT else name


@dataclass(frozen=True, eq=False)
class Trace:
    """Quantities recorded by one pass.

    Attributes:
        ids: int64 [sequence, token].
        mask: bool [sequence, token], False on padding.
        words: The word embeddings [sequence, token, hidden].
        input: The encoder's input [sequence, token, hidden].
        logits: [sequence, class].
        target: int64 [sequence], the class explained.
        tensors: A list of one tensor per layer, or one tensor, for each need.
    """

    ids: Tensor
    mask: Tensor
    words: Tensor
    input: Tensor
    logits: Tensor
    target: Tensor
    tensors: dict[Need, list[Tensor]] = field(default_factory=dict)

    def all(self, need: Need) -> list[Tensor]:
        """What was left for a need, a tensor per layer, the first layer first."""
        return self.tensors[need]

    def one(self, need: Need) -> Tensor:
        """What was left for a need that is one tensor."""
        (tensor,) = self.tensors[need]
        return tensor


def run(
    model: Model, tokens: Tokens, needs: Iterable[Need], target: Tensor | None, reference: Tensor | None = None
) -> Trace:
    """Make one pass over a micro-batch.

    Nothing of size [layer, head, token, token] outlives it; each sweep goes no deeper than someone needs.

    Args:
        model: Left as it was found.
        tokens: The micro-batch.
        needs: Their union is served by one forward pass and one sweep per rule book.
        target: Class to explain, int64 [sequence]; None for the predicted one.
        reference: What AttnLRP and CP-LRP explain the last tanh from, [sequence, hidden]; None for 0.

    Returns:
        The trace.

    Raises:
        ConfigError: A need for a layer or a rule book that does not exist.
    """
    keep_memory()
    encoder, all_needs = model.encoder, list(needs)
    with torch.inference_mode():
        ids, mask = model.tensors(tokens)
        words = encoder.look_up(ids, mask)
        every_row = any(need.kind in (Kind.LAST_ATTENTION, Kind.MEAN_ATTENTION) for need in all_needs)
        leading = next((need.book for need in all_needs if need.kind in _SWEPT and need.rules in RULES), None)
        first_book = None if leading is None else _rules(leading, reference)
        tape = encoder.record(encoder.embed(words), mask, every_row, first_book)
        layers = len(tape.attentions)
        resolved = {need: _resolved(need, layers) for need in all_needs}
        target = tape.logits.argmax(-1) if target is None else target.to(model.device)
        trace = Trace(ids, mask, words, tape.input, tape.logits, target, {need: [] for need in resolved})
        for need, (_, _, first) in resolved.items():
            if need.kind is Kind.ATTENTIONS:
                trace.tensors[need] = [attention.mean(1) for attention in tape.attentions]
            elif need.kind is Kind.CLS_ATTENTION:
                trace.tensors[need] = [attention[:, :, 0] for attention in tape.attentions[first:]]
            elif need.kind is Kind.MEAN_ATTENTION:
                whole = [*tape.attentions[first:-1], tape.last_attention]
                share = mask / mask.sum(1, keepdim=True).to(words.dtype)  # of each query
                trace.tensors[need] = [torch.einsum("bhqt,bq->bht", attention, share) for attention in whole]
            elif need.kind is Kind.LAST_ATTENTION:
                trace.tensors[need] = [tape.last_attention]
        seed = F.one_hot(target, tape.logits.shape[1]).to(tape.logits.dtype)
        floors = _floors(resolved.values(), layers)
        books = {book: _rules(book, reference) for book in floors}
        sweeps = {book: encoder.sweep(tape, each, seed) for book, each in books.items()}
        for depth in range(layers - 1, min(floors.values(), default=layers) - 1, -1):
            received = {book: next(sweeps[book])[1] for book, floor in floors.items() if depth >= floor}
            for need, (kind, book, layer) in resolved.items():
                if kind is Kind.CLS_ROW and depth == layer:
                    trace.tensors[need] = [received[book][:, :, 0] * mask[:, None]]
                elif kind is Kind.GRADIENT_TIMES and depth >= layer:
                    trace.tensors[need].insert(0, (received[_GRADIENT] * received[book]).clamp_(min=0).mean(1))
                elif kind is Kind.INPUT and depth == -1:
                    trace.tensors[need] = [received[book]]
                elif kind is Kind.WORDS and depth == -1:
                    trace.tensors[need] = [encoder.to_words(words, books[book], received[book])]
    return trace


def _rules(book: Book, reference: Tensor | None) -> Rules:
    """Make a rule book: with its gamma, and its reference."""
    rules = RULES[book[0]]
    return book_from(rules.with_gamma(book[1]) if isinstance(rules, AttnLRP) else rules, reference)


def _resolved(need: Need, layers: int) -> tuple[Kind, Book, int]:
    """Count the layer from the first; the input is layer -1."""
    if need.rules not in RULES:
        raise ConfigError(f"rules: expected one of {', '.join(RULES)}, got {need.rules!r}.")
    if need.kind in (Kind.INPUT, Kind.WORDS):
        return need.kind, need.book, -1
    if not isinstance(need.layer, int) or not -layers <= need.layer < layers:
        raise ConfigError(f"layer: expected 0 to {layers - 1}, or -1 for the last, got {need.layer!r}.")
    return need.kind, need.book, need.layer % layers


_SWEPT = {Kind.CLS_ROW, Kind.GRADIENT_TIMES, Kind.INPUT, Kind.WORDS}
_GRADIENT: Book = ("gradient", 0.0)


def _floors(keys: Iterable[tuple[Kind, Book, int]], layers: int) -> dict[Book, int]:
    """How deep each rule book's sweep must go: to a layer, or to the input (-1)."""
    floors: dict[Book, int] = {}
    for kind, rules, layer in keys:
        if kind in _SWEPT:
            for book in {rules, _GRADIENT} if kind is Kind.GRADIENT_TIMES else {rules}:
                floors[book] = min(floors.get(book, layers), layer)
    return floors
