"""Tokenizers over k-mers: overlapping with stride 1 (DNABERT), or adjacent (Nucleotide Transformer).

Overlapping k-mers, stride 1: DNABERT's vocabulary and tokeniser. Source: ji2021, and the vocabulary files that
DNABERT publishes.

Words of k nucleotides side by side, single nucleotides where no word fits: Nucleotide Transformer's tokeniser.
Source: dallatorre2025, and the tokeniser that its authors publish.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from typing import NamedTuple

import numpy as np

from kmerit.errors import CheckpointError, SequenceError
from kmerit.models.checkpoint import Checkpoint, check_rows, first_difference
from kmerit.models.tokenizers.tokenizer import Survey
from kmerit.sequences import ALPHABET, Bool, Int8, Int64, N, Sequences, Tokens, kmers

SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
PAD, UNK, CLS, SEP, MASK = range(len(SPECIAL))
LETTERS = "ATCG"
"""The order in which DNABERT's vocabulary counts; bases here are numbered in the order ACGT."""

_DIGIT: Int8 = np.array([LETTERS.index(base) for base in "ACGT"] + [4], dtype=np.int8)


def vocabulary(k: int) -> list[str]:
    """List DNABERT's tokens in the order of their ids.

    Example:
        >>> vocabulary(3)[5:9], len(vocabulary(3))
        (['AAA', 'AAT', 'AAC', 'AAG'], 69)
    """
    return [*SPECIAL, *map("".join, product(LETTERS, repeat=k))]


def check_vocabulary(checkpoint: Checkpoint, k: int) -> None:
    """Check that a checkpoint's files number the k-mers as here; words that no sequence yields may follow them.

    Raises:
        CheckpointError: vocab.txt or tokenizer.json has them in another order, or lacks some.
    """
    words, lines = vocabulary(k), checkpoint.lines("vocab.txt")
    if lines is not None and (at := first_difference(lines, words)) is not None:
        raise CheckpointError(
            f"{checkpoint.folder / 'vocab.txt'}: expected DNABERT's {k}-mers in their order (AAA, AAT, AAC ...), "
            f"{words[at] if at < len(words) else 'no further one'} as number {at}; got "
            f"{lines[at] if at < len(lines) else 'nothing'}. Take the vocab.txt that belongs to the model."
        )
    checkpoint.check_token_ids(words)
    check_rows(checkpoint, words, lines)


def token_ids(bases: Int8, lengths: Int64, k: int) -> Tokens:
    """Tokenise a micro-batch: [CLS], every k-mer, [SEP], padding.

    Args:
        bases: ``int8 [sequence, position]``, -1 (or anything) beyond a sequence's length.
        lengths: ``int64 [sequence]``.
        k: Word length.

    Returns:
        Tokens; a k-mer with an N in it is [UNK]. Token ``1 + i`` spans nucleotides ``i .. i + k``.

    Raises:
        SequenceError: A sequence shorter than k.
    """
    if lengths.size and lengths.min() < k:
        at = int(np.argmin(lengths))
        raise SequenceError(
            f"Sequence {at} of this batch has {lengths[at]} nt; a {k}-mer model needs at least {k}. "
            f"Drop it with --min-length {k}."
        )
    words = kmers(_DIGIT[np.where(bases < 0, 4, bases)], k)
    count = (lengths - k + 1)[:, None]
    ids = np.full((bases.shape[0], int(count.max(initial=0)) + 2), PAD, dtype=np.int64)
    token = np.arange(ids.shape[1])
    word = (token >= 1) & (token <= count)
    ids[:, 0] = CLS
    inner = np.where(words < 0, UNK, words + len(SPECIAL))[:, : ids.shape[1] - 2]
    ids[:, 1 : 1 + inner.shape[1]] = inner
    ids[~word & (token > 0)] = PAD
    ids[np.arange(len(ids)), count[:, 0] + 1] = SEP
    spans = np.zeros((*ids.shape, 2), dtype=np.int32)
    start = np.where(word, token - 1, 0)
    spans[..., 0] = start
    spans[..., 1] = np.where(word, start + k, 0)
    return Tokens(ids, token <= count + 1, spans)


def substitute(ids: Int64, offset: int, base: int, k: int) -> Int64:
    """Return the k-mers that differ from these in one nucleotide.

    Args:
        ids: Of k-mers, no special tokens.
        offset: Which of the k nucleotides, from the left.
        base: What it becomes, ACGT = 0..3.
        k: Word length.

    Example:
        >>> words = vocabulary(3)
        >>> words[substitute(np.array([words.index("AAC")]), 2, 3, 3)[0]]
        'AAT'
    """
    place = 4 ** (k - 1 - offset)
    old = (ids - len(SPECIAL)) // place % 4
    return np.asarray(ids + (int(_DIGIT[base]) - old) * place)


@dataclass(frozen=True)
class Overlapping:
    """The tokeniser of one word length.

    Attributes:
        k: Word length.
    """

    k: int
    special: int = 2
    mask_id: int = MASK

    @property
    def shortest(self) -> int:
        """One word."""
        return self.k

    def __call__(self, bases: Int8, lengths: Int64) -> Tokens:
        """Tokenise a micro-batch; see ``token_ids``."""
        return token_ids(bases, lengths, self.k)

    def survey(self, sequences: Sequences) -> Survey:
        """Count tokens, and look for an N, under which every k-mer is unknown.

        Example:
            >>> Overlapping(3).survey(Sequences.from_strings(["ACGT", "ACGNT"]))
            Survey(tokens=array([4, 5]), unknown=(1, 3))
        """
        unknown, first = np.flatnonzero(sequences.bases == N), None
        if unknown.size:
            i = int(np.searchsorted(sequences.offsets, unknown[0], side="right")) - 1
            first = (i, int(unknown[0] - sequences.offsets[i]))
        return Survey(sequences.lengths - self.k + 3, first)


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
