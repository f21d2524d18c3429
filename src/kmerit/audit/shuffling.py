"""Shuffled sequences that keep every dinucleotide."""

from __future__ import annotations

import numpy as np

from kmerit.types import Int8


def shuffle_dinucleotides(bases: Int8, rng: np.random.Generator) -> Int8:
    """Shuffle a sequence so that each dinucleotide occurs as often as before; every such sequence is equally likely.

    The sequence is a walk over its letters; another walk over the same steps is drawn: for each letter the last way out
    of it is drawn until these lead to the end, and the other ways are put in random order.

    Args:
        bases: ``int8 [position]``; N is a letter like the others.
        rng: What draws.

    Returns:
        ``int8 [position]``, with the same first and last letter.

    Source: altschul1985, algorithm of section "Dinucleotide shuffling".

    Example:
        >>> from kmerit.types import decode, encode
        >>> decode(shuffle_dinucleotides(encode("AACAT"), np.random.default_rng(0)))
        'ACAAT'
    """
    if bases.size < 3:
        return bases.copy()
    ways = [bases[1:][bases[:-1] == letter] for letter in range(5)]
    last = int(bases[-1])
    used = [letter for letter in range(5) if ways[letter].size and letter != last]
    exits = {letter: int(rng.integers(ways[letter].size)) for letter in used}
    while not all(_leads_to(letter, last, exits, ways) for letter in used):
        exits = {letter: int(rng.integers(ways[letter].size)) for letter in used}
    for letter in range(5):
        rest = np.delete(ways[letter], exits[letter]) if letter in exits else ways[letter]
        end = ways[letter][exits[letter] : exits[letter] + 1] if letter in exits else rest[:0]
        ways[letter] = np.concatenate([rng.permutation(rest), end])
    out = np.empty_like(bases)
    out[0] = bases[0]
    taken = [0] * 5
    for i in range(1, bases.size):
        here = int(out[i - 1])
        out[i] = ways[here][taken[here]]
        taken[here] += 1
    return out


def _leads_to(letter: int, last: int, exits: dict[int, int], ways: list[Int8]) -> bool:
    """Follow the last ways out; whoever has not arrived after as many steps as there are letters goes in circles."""
    for _ in range(5):
        if letter == last:
            return True
        letter = int(ways[letter][exits[letter]])
    return letter == last
