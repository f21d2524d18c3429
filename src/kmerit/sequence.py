"""Arithmetic on numbered bases: reverse complement, k-mers, substitution, composition."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from kmerit.types import Bool, Int8, Int64, N, Sequences

Strands = Literal["forward", "both"]
"""A sequence as it is read, or that and its reverse complement."""
Words = NDArray[np.uint64]

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


def other_strand(sequences: Sequences) -> Sequences:
    """Return the reverse complement of each sequence, under its name and with its label; without loci.

    Example:
        >>> other_strand(Sequences.from_strings(["AACG", "TTN"])).strings()
        ['CGTT', 'NAA']
    """
    bases = np.concatenate([reverse_complement(each) for each in sequences]) if len(sequences) else sequences.bases
    return Sequences(
        sequences.names,
        bases,
        sequences.offsets,
        sequences.labels,
        classes=sequences.classes,
        outputs=sequences.outputs,
    )


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
    invalid: Bool = np.zeros(number.shape, dtype=np.bool_)
    for j in range(k):
        digit = bases[..., j : j + count]
        number = number * 4 + digit
        invalid |= (digit < 0) | (digit >= N)
    number[invalid] = -1
    return number


def canonical_kmers(bases: Int8, k: int = 32) -> tuple[Words, Bool]:
    """Pack every k-mer, stride 1, to a number that is equal on both strands.

    Two bits per base; of a k-mer and its reverse complement the smaller number counts.

    Args:
        bases: ``[position]``; anything outside 0..3 spoils the k-mers over it.
        k: Word length, 1 to 32.

    Returns:
        ``uint64 [position - k + 1]``, and ``bool`` of the same shape: False where a base is not A, C, G or T.

    Example:
        >>> from kmerit.types import encode
        >>> canonical_kmers(encode("AACGTTN"), 3)[0][:4].tolist()
        [1, 6, 6, 1]
    """
    count = bases.size - k + 1
    if count < 1:
        return np.zeros(0, dtype=np.uint64), np.zeros(0, dtype=np.bool_)
    valid = (bases >= 0) & (bases < N)
    run = np.concatenate([np.zeros(1, dtype=np.int32), np.cumsum(~valid, dtype=np.int32)])
    forward = np.where(valid, bases, 0).astype(np.uint64)
    words, other_strand = _pack(forward, np.uint64(3) - forward, k)
    return np.minimum(words, other_strand), run[k:] == run[:-k]


def _pack(forward: Words, complement: Words, k: int) -> tuple[Words, Words]:
    """Pack k-mers from their halves: the first half is the high part, on the other strand the low part."""
    if k == 1:
        return forward, complement
    half = k // 2
    right = k - half
    count = forward.size - k + 1
    words, others = _pack(forward, complement, half)
    right_words, right_others = (words, others) if right == half else _pack(forward, complement, right)
    return (
        words[:count] << np.uint64(2 * right) | right_words[half : half + count],
        right_others[half : half + count] << np.uint64(2 * half) | others[:count],
    )


def gc_count(bases: Int8) -> Int64:
    """Count the bases that are G or C along the last axis."""
    return np.asarray(((bases == 1) | (bases == 2)).sum(axis=-1), dtype=np.int64)


def one_hot(bases: Int8) -> NDArray[np.float32]:
    """Encode each base one-hot, in the order ACGT; N and padding are all 0.

    Args:
        bases: ``[sequence, position]``.

    Returns:
        ``float32 [sequence, 4, position]``.

    Example:
        >>> from kmerit.types import encode
        >>> one_hot(encode("GAN")[None])[0].tolist()
        [[0.0, 1.0, 0.0], [0.0, 0.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 0.0]]
    """
    return np.asarray(bases[:, None] == np.arange(4)[:, None], dtype=np.float32)


def dinucleotide_shuffle(bases: Int8, generator: np.random.Generator) -> Int8:
    """Shuffle a sequence so that every dinucleotide occurs as often as before, every such order equally likely.

    Source: altschul1985, algorithm of the doublet-preserving permutation (a random Eulerian path).

    Args:
        bases: ``int8 [position]``.
        generator: What draws.

    Returns:
        ``int8 [position]``; the first and the last letter stay.

    Example:
        >>> from kmerit.types import decode, encode
        >>> decode(dinucleotide_shuffle(encode("AGACAT"), np.random.default_rng(2)))
        'ACAGAT'
    """
    followers = [bases[1:][bases[:-1] == letter] for letter in range(N + 1)]
    last, present = int(bases[-1]), [letter for letter in range(N + 1) if followers[letter].size]
    while True:  # a letter's last exit must lead on to the last letter, else the path would end too early
        exits = {a: int(generator.integers(followers[a].size)) for a in present if a != last}
        if all(_leads(a, last, {b: int(followers[b][i]) for b, i in exits.items()}) for a in exits):
            break
    queues = []
    for letter, follower in enumerate(followers):
        final = exits.get(letter)
        rest = follower if final is None else np.delete(follower, final)
        end = follower[:0] if final is None else follower[final : final + 1]
        queues.append(iter(np.concatenate([generator.permutation(rest), end]).tolist()))
    path = [int(bases[0])]
    for _ in range(bases.size - 1):
        path.append(next(queues[path[-1]]))
    return np.array(path, dtype=np.int8)


def _leads(start: int, end: int, exits: dict[int, int]) -> bool:
    for _ in range(N + 1):
        if start == end:
            return True
        start = exits[start]
    return False
