"""What a family of models is, and the registry of those there are."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

from kmerit.discovery import discover
from kmerit.models import families as package
from kmerit.models.checkpoint import Checkpoint
from kmerit.models.encoder import Encoder
from kmerit.types import Int8, Int64, Tokens


@dataclass(frozen=True, eq=False)
class Parts:
    """What a family makes of a checkpoint; see ``Model`` for the meaning of the fields."""

    encoder: Encoder
    tokenizer: Callable[[Int8, Int64], Tokens]
    shortest: int
    token_count: Callable[[Int64], Int64]
    max_tokens: int
    mask_id: int


@dataclass(frozen=True, eq=False)
class Family:
    """An architecture with its tokeniser.

    Attributes:
        name: Its registered name, which is the name of its file.
        summary: One line for people.
        cites: Key in the bibliography.
        fits: Whether a checkpoint belongs to it.
        build: Makes the parts of a model.
    """

    name: str
    summary: str
    cites: str
    fits: Callable[[Checkpoint], bool]
    build: Callable[[Checkpoint], Parts]


@cache
def families() -> dict[str, Family]:
    """List the families: one file each in ``models/families``, and those that other packages register.

    Other packages name a ``Family`` in the entry-point group ``kmerit.families``.

    Example:
        >>> families()["dnabert"].cites
        'ji2021'
    """
    return discover(package, "FAMILY", "kmerit.families")
