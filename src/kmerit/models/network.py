"""What attribution asks of a model's network: the seam between kmerit's own encoder and a library's forward pass."""

from __future__ import annotations

from collections.abc import Iterator
from enum import Enum
from typing import Any, Protocol, Self

import torch
from torch import Tensor

from kmerit.models.encoder import Rules


class Ability(Enum):
    """Something that a method may need and a model may lack; the value says it in words."""

    ATTENTION = "attention of a classification token that the head reads"
    RELEVANCE = "relevance rules for each operation"
    MODIFIED_GRADIENTS = "the rules of AttnLRP and CP-LRP for each operation"
    MASKING = "a mask token"
    KMERS = "overlapping k-mers, stride 1"


class Recording(Protocol):
    """What a forward pass left for the way back."""

    @property
    def logits(self) -> Tensor:
        """[sequence, class]."""

    @property
    def input(self) -> Tensor:
        """What ``record`` was given."""

    @property
    def attentions(self) -> list[Tensor]:
        """[sequence, head, Q, token] for each layer; Q may be 1, the query [CLS], in the last."""

    @property
    def last_attention(self) -> Tensor:
        """The last layer's, with every query row where that was asked for."""


class Network(Protocol):
    """A network from token ids to logits that can be entered at its word embeddings, and swept backwards."""

    @property
    def outputs(self) -> int:
        """Classes, labels or values."""

    @property
    def device(self) -> torch.device:
        """Where it runs."""

    @property
    def dtype(self) -> torch.dtype:
        """What it computes in."""

    def to(self, device: torch.device, dtype: torch.dtype) -> Self:
        """Return the same network elsewhere, or in another dtype."""

    def of_output(self, index: int, asks: bool) -> Self:
        """Return the same network with one output z alone; if it asks a question, with -z / 2 and z / 2.

        The softmax of the two is the sigmoid of z.
        """

    def logits(self, ids: Tensor, mask: Tensor) -> Tensor:
        """Predict [sequence, class] from ids [sequence, token]; the mask is False on padding."""

    def look_up(self, ids: Tensor, mask: Tensor) -> Tensor:
        """Take the word embeddings [sequence, token, hidden]."""

    def embed(self, words: Tensor) -> Tensor:
        """Make the encoder's input of word embeddings; for a library's network, themselves."""

    def classify(self, x: Tensor, mask: Tensor) -> Tensor:
        """Predict [sequence, class] from the encoder's input."""

    def record(self, x: Tensor, mask: Tensor, every_row: bool = False) -> Recording:
        """Predict from the encoder's input, leaving a recording."""

    def sweep(self, tape: Any, rules: Rules, seed: Tensor) -> Iterator[tuple[int, Tensor]]:
        """Go back over one's own recording.

        Yields:
            ``(layer, received)`` by each attention, the last layer first, and ``(-1, received)`` by the input.

        Raises:
            UnsupportedMethod: The network has no such rules.
        """

    def to_words(self, words: Tensor, rules: Rules, r: Tensor) -> Tensor:
        """Hand back from the encoder's input to the word embeddings."""
