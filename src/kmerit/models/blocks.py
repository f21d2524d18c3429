"""Words of k nucleotides side by side, single nucleotides where no word fits: Nucleotide Transformer's tokeniser.

Source: dallatorre2025, and the tokeniser that its authors publish.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from typing import NamedTuple

import numpy as np

from kmerit.models.tokenizer import Survey
from kmerit.sequence import kmers
from kmerit.types import ALPHABET, Bool, Int8, Int64, N, Sequences, Tokens


def layout(k: int, ends: bool) -> list[str]:
    """List the tokens in the order of their ids.

    Args:
        k: Word length.
        ends: Whether <eos> and <bos> are among them, as from version 2 on.

    Example:
        >>> layout(6, ends=False)[3:6], len(layout(6, ends=False)), len(layout(6, ends=True))
        (['<cls>', 'AAAAAA', 'AAAAAT'], 4105, 4107)
    """
    special = ["<unk>", "<pad>", "<mask>", "<cls>", *(["<eos>", "<bos>"] if ends else [])]
    return [*special, *map("".join, product("ATCG", repeat=k)), *"ATCGN"]


class _Pieces(NamedTuple):
    """Where tokens start in a micro-batch, ``[sequence, position]``, and which nucleotides they hold."""

    starts: Bool
    width: Int64
    ids: Int64


@dataclass(frozen=True, eq=False)
class Blocks:
    """Cut each run of A, C, G and T from its left into words of k; what is left over, and N, are single tokens.

    Attributes:
        vocabulary: The tokens in the order of their ids.
        k: Word length.
        end: The token that closes a sequence; None for none.
    """

    vocabulary: Sequence[str]
    k: int
    end: str | None = None

    @property
    def shortest(self) -> int:
        """One nucleotide will do."""
        return 1

    @property
    def special(self) -> int:
        """<cls>, and perhaps one at the end."""
        return 1 + (self.end is not None)

    @property
    def mask_id(self) -> int:
        """Id of <mask>."""
        return self._number["<mask>"]

    @cached_property
    def _number(self) -> dict[str, int]:
        return {word: number for number, word in enumerate(self.vocabulary)}

    @cached_property
    def _words(self) -> Int64:
        """Ids of all words of k, counted in the order ACGT."""
        return np.array([self._number["".join(word)] for word in product("ACGT", repeat=self.k)], dtype=np.int64)

    @cached_property
    def _letters(self) -> Int64:
        """Ids of A, C, G, T and N."""
        return np.array([self._number[letter] for letter in ALPHABET], dtype=np.int64)

    def __call__(self, bases: Int8, lengths: Int64) -> Tokens:
        """Tokenise a micro-batch: <cls>, the pieces, the token at the end if there is one, padding."""
        pieces = self._pieces(bases, lengths)
        count = pieces.starts.sum(1)
        total = count + self.special
        shape = (len(bases), int(total.max(initial=self.special)))
        ids = np.full(shape, self._number["<pad>"], dtype=np.int64)
        spans = np.zeros((*shape, 2), dtype=np.int32)
        row, position = np.nonzero(pieces.starts)
        token = pieces.starts.cumsum(1)[row, position]  # from 1: <cls> is 0
        ids[:, 0] = self._number["<cls>"]
        ids[row, token] = pieces.ids[row, position]
        spans[row, token, 0] = position
        spans[row, token, 1] = position + pieces.width[row, position]
        if self.end is not None:
            ids[np.arange(len(ids)), count + 1] = self._number[self.end]
        return Tokens(ids, np.arange(shape[1]) < total[:, None], spans)

    def survey(self, sequences: Sequences) -> Survey:
        """Count tokens; no letter lacks one."""
        counts = [self._pieces(bases[None], np.array([bases.size])).starts.sum() for bases in sequences]
        return Survey(np.array(counts, dtype=np.int64) + self.special, None)

    def _pieces(self, bases: Int8, lengths: Int64) -> _Pieces:
        place = np.arange(bases.shape[1])
        inside = place < lengths[:, None]
        stop = ~inside | (bases == N)
        start = np.maximum.accumulate(np.where(stop, place, -1), axis=1) + 1  # of the run a position lies in
        end = np.minimum.accumulate(np.where(stop, place, bases.shape[1])[:, ::-1], axis=1)[:, ::-1]
        in_word = ~stop & (place - start < (end - start) // self.k * self.k)
        first = in_word & ((place - start) % self.k == 0)
        ids = self._letters[np.where(inside, bases, N)]
        words = kmers(bases, self.k)
        ids[first] = self._words[np.pad(words, ((0, 0), (0, bases.shape[1] - words.shape[1])))[first]]
        return _Pieces(first | (inside & ~in_word), np.where(first, self.k, 1), ids)
