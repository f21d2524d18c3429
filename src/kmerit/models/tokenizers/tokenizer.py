"""The interface of tokenisers."""

from __future__ import annotations

from typing import NamedTuple, Protocol

from kmerit.sequences import Int8, Int64, Sequences, Tokens


class Survey(NamedTuple):
    """Token counts of sequences, and letters without a token.

    Attributes:
        tokens: ``int64 [sequence]``, special tokens included.
        unknown: The first nucleotide that the vocabulary lacks, as sequence and position; None if there is none.
    """

    tokens: Int64
    unknown: tuple[int, int] | None


class Tokenizer(Protocol):
    """From numbered bases to ids and spans."""

    @property
    def shortest(self) -> int:
        """Nucleotides a sequence needs at least."""

    @property
    def special(self) -> int:
        """Special tokens that each sequence gets."""

    @property
    def mask_id(self) -> int | None:
        """Id of the mask token; None if the vocabulary has none."""

    def __call__(self, bases: Int8, lengths: Int64) -> Tokens:
        """Tokenise a micro-batch: bases ``int8 [sequence, position]``, -1 beyond each length."""

    def survey(self, sequences: Sequences) -> Survey:
        """Count the tokens of sequences, and look for letters without a token."""
