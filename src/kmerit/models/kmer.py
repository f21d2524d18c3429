"""Overlapping k-mers, stride 1: DNABERT's vocabulary and tokeniser.

Source: ji2021, and the vocabulary files that DNABERT publishes.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import numpy as np

from kmerit.errors import CheckpointError, SequenceError
from kmerit.models.checkpoint import Checkpoint, check_rows, first_difference
from kmerit.models.tokenizer import Survey
from kmerit.sequence import kmers
from kmerit.types import Int8, Int64, N, Sequences, Tokens

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
