"""What a family of models is, and the registry of those there are."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache

from kmerit.discovery import discover
from kmerit.errors import CheckpointError
from kmerit.models import families as package
from kmerit.models.checkpoint import Checkpoint
from kmerit.models.network import Ability, Network
from kmerit.models.tokenizers.tokenizer import Tokenizer

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
    """

    encoder: Network
    tokenizer: Tokenizer
    max_tokens: int
    abilities: frozenset[Ability] = OWN
    unused: str = ""
    ignored: frozenset[str] = frozenset()


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
        breadth: 0 for a line of models, 1 for an architecture with any vocabulary, 2 for all that a library loads. Of
            the families that fit, the narrowest is taken.
    """

    name: str
    summary: str
    cites: str
    fits: Callable[[Checkpoint], bool]
    build: Callable[[Checkpoint], Parts]
    head: Head | None = None
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
