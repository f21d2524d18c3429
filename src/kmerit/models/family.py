"""What a family of models is, the registry of those there are, and what attribution asks of a family's network."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from enum import Enum
from functools import cache
from typing import Any, Protocol, Self

import torch
from torch import Tensor

from kmerit.config import discover
from kmerit.errors import CheckpointError
from kmerit.models import families as package
from kmerit.models.checkpoint import Checkpoint
from kmerit.models.encoder import Rules
from kmerit.models.tokenizers import Tokenizer


class Ability(Enum):
    """Something that a method may need and a model may lack; the value says it in words."""

    ATTENTION = "attention of a classification token that the head reads"
    RELEVANCE = "relevance rules for each operation"
    MODIFIED_GRADIENTS = "the rules of AttnLRP and CP-LRP for each operation"
    STEM = "a convolution over nucleotides as the first layer"
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

    def record(self, x: Tensor, mask: Tensor, every_row: bool = False, rules: Rules | None = None) -> Recording:
        """Predict from the encoder's input, leaving a recording.

        Args:
            x: The encoder's input.
            mask: False on padding.
            every_row: Keep the last layer's attention for every query row.
            rules: A book that will sweep it: who makes a pass for each book makes the first one by this.
        """

    def sweep(self, tape: Any, rules: Rules, seed: Tensor) -> Iterator[tuple[int, Tensor]]:
        """Go back over one's own recording.

        Yields:
            ``(layer, received)`` by each attention, the last layer first, and ``(-1, received)`` by the input.

        Raises:
            UnsupportedMethod: The network has no such rules.
        """

    def to_words(self, words: Tensor, rules: Rules, r: Tensor) -> Tensor:
        """Hand back from the encoder's input to the word embeddings."""


OWN = frozenset({Ability.ATTENTION, Ability.RELEVANCE, Ability.MODIFIED_GRADIENTS})
"""What every model that runs on kmerit's own encoder can do."""


@dataclass(frozen=True, eq=False)
class Parts:
    """What a family makes of a checkpoint; see ``Model`` for the meaning of the first fields.

    Attributes:
        encoder: Weights and forward pass.
        tokenizer: From bases to ids.
        max_tokens: How many it takes.
        abilities: What methods may ask of it.
        unused: A pattern of tensors that such checkpoints have and the model does not read; any other that was not
            taken is refused.
        ignored: Keys of config.json that mean nothing to such models; any other that was not taken is refused.
        tracks: Names of its outputs, where these are values of tracks; else they are in config.json.
    """

    encoder: Network
    tokenizer: Tokenizer
    max_tokens: int
    abilities: frozenset[Ability] = OWN
    unused: str = ""
    ignored: frozenset[str] = frozenset()
    tracks: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class Head:
    """What turns a pre-trained model of a family into a classifier that can be trained.

    Attributes:
        architecture: What config.json then calls it.
        stem: What comes before the names of a bare encoder's tensors once it stands under a head.
        shapes: Given a checkpoint, the tensors of the head and their shapes, -1 for the outputs. A tensor that depends
            on the outputs is always new, another only where the checkpoint lacks it.
        network: Builds the network alone, without a tokeniser, from a checkpoint's tensors; gradients reach
            them.
        constants: A pattern of floating-point tensors that are not trained.
        leftovers: A pattern of tensors of the pre-training's own head, which are left behind.
        doubles: Given the names of all tensors, those that are second copies of others.
    """

    architecture: str
    stem: str
    shapes: Callable[[Checkpoint], dict[str, tuple[int, ...]]]
    network: Callable[[Checkpoint], Network]
    constants: str = ""
    leftovers: str = ""
    doubles: Callable[[Iterable[str]], list[str]] = lambda names: []


@dataclass(frozen=True, eq=False)
class Family:
    """An architecture with its tokeniser.

    Attributes:
        name: Its registered name, which is the name of its file.
        summary: One line for people.
        cites: Key in the bibliography.
        fits: Whether a checkpoint belongs to it.
        build: Makes the parts of a model.
        head: How its pre-trained models are fine-tuned; None where kmerit's own forward pass cannot be trained.
        architectures: What config.json may call its models, where they are no sequence classifiers.
        breadth: 0 for a line of models, 1 for an architecture with any vocabulary, 2 for all that a library loads. Of
            the families that fit, the narrowest is taken.
    """

    name: str
    summary: str
    cites: str
    fits: Callable[[Checkpoint], bool]
    build: Callable[[Checkpoint], Parts]
    head: Head | None = None
    architectures: frozenset[str] = frozenset()
    breadth: int = 0


@cache
def families() -> dict[str, Family]:
    """List the families: one file each in ``models/families``, and those that other packages register.

    Other packages name a ``Family`` in the entry-point group ``kmerit.families``.

    Example:
        >>> families()["dnabert"].cites
        'ji2021'
    """
    return discover(package, "FAMILY", "kmerit.families")


def family_of(checkpoint: Checkpoint) -> Family:
    """Find the narrowest family that a checkpoint belongs to.

    Raises:
        CheckpointError: There is none.
    """
    for family in sorted(families().values(), key=lambda family: family.breadth):  # the broad ones load a library
        if family.fits(checkpoint):
            return family
    config, summaries = checkpoint.config, "; ".join(f"{f.name} ({f.summary})" for f in families().values())
    first = next((key for key in checkpoint.tensors if ".layer" in key), next(iter(checkpoint.tensors), None))
    raise CheckpointError(
        f"{checkpoint.name}: model_type {config.get('model_type')!r} with vocab_size {config.get('vocab_size')!r} and "
        f"tensors such as {first!r} belongs to no known family. Known: {summaries}."
    )
