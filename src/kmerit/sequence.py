"""Arithmetic on numbered bases: reverse complement, k-mers, substitution, composition."""

from __future__ import annotations

import numpy as np

from kmerit.types import Bool, Int8, Int64, N

COMPLEMENT: Int8 = np.array([3, 2, 1, 0, N], dtype=np.int8)
"""``COMPLEMENT[b]`` pairs with ``b``; N stays N."""


def reverse_complement(bases: Int8) -> Int8:
    """Read the other strand, 5' to 3'.

    Example:
        >>> from kmerit.types import decode, encode
        >>> decode(reverse_complement(encode("AACGN")))
        'NCGTT'
    """
    return COMPLEMENT[bases[..., ::-1]]


def kmers(bases: Int8, k: int) -> Int64:
    """Number every k-mer, stride 1, in the order of ACGT.

    Args:
        bases: ``[..., position]``; anything outside 0..3 spoils the k-mers over it.
        k: Word length, 1 to 31.

    Returns:
        ``int64 [..., position - k + 1]`` in ``0 .. 4**k - 1``, or -1 where a base is not A, C, G or T.

    Example:
        >>> from kmerit.types import encode
        >>> kmers(encode("ACGTN"), 2).tolist()
        [1, 6, 11, -1]
    """
    count = bases.shape[-1] - k + 1
    if count < 1:
        return np.zeros((*bases.shape[:-1], 0), dtype=np.int64)
    number = np.zeros((*bases.shape[:-1], count), dtype=np.int64)
    spoilt: Bool = np.zeros(number.shape, dtype=np.bool_)
    for j in range(k):
        digit = bases[..., j : j + count]
        number = number * 4 + digit
        spoilt |= (digit < 0) | (digit >= N)
    number[spoilt] = -1
    return number


def gc_count(bases: Int8) -> Int64:
    """Count the bases that are G or C along the last axis."""
    return np.asarray(((bases == 1) | (bases == 2)).sum(axis=-1), dtype=np.int64)
