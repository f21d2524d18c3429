"""Letters and their numbers: ACGT = 0..3, N = 4."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from kmerit.errors import SequenceError, short

ALPHABET = "ACGTN"
N = 4
"""The number of the unknown base."""

_CODES = np.full(256, -1, dtype=np.int8)
for _code, _letter in enumerate(ALPHABET):
    _CODES[ord(_letter)] = _code
_LETTERS = np.frombuffer(ALPHABET.encode(), dtype=np.uint8)


def _letter_problem(letter: str) -> str:
    if letter.upper() in ALPHABET:
        return "a lower-case (soft-masked) letter; write it in upper case, or read it with case='upper' (--case upper)"
    if letter in "Uu":
        return "RNA; write T for U"
    if letter.upper() in "RYSWKMBDHV":
        return "an IUPAC ambiguity code; write N, or drop the sequence"
    return "not a nucleotide"


def encode(text: str, name: str = "sequence") -> NDArray[np.int8]:
    """Number the bases of a string.

    Args:
        text: Upper-case letters of ``ACGTN``.
        name: What to call the sequence in an error.

    Returns:
        The bases, ``int8 [position]``.

    Raises:
        SequenceError: At the first letter outside the alphabet.

    Example:
        >>> encode("ACGTN").tolist()
        [0, 1, 2, 3, 4]
    """
    raw = np.frombuffer(text.encode("utf-8", "replace"), dtype=np.uint8)
    bases: NDArray[np.int8] = _CODES[raw]
    if bases.size and bases.min() < 0:
        at = int(np.argmin(bases >= 0))
        letter = text[at] if text.isascii() else next(c for c in text if c not in ALPHABET)
        raise SequenceError(
            f"{short(name)}, position {at}: expected one of A, C, G, T, N, found {letter!r}: {_letter_problem(letter)}."
        )
    return bases


def decode(bases: NDArray[np.int8]) -> str:
    """Return the string of numbered bases.

    Example:
        >>> decode(np.array([0, 1, 2, 3, 4], dtype=np.int8))
        'ACGTN'
    """
    return _LETTERS[bases].tobytes().decode()
