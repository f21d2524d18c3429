"""Common random numbers: every draw has its own generator, named by what it is for.

A generator depends on the seed, the purpose, the number of the draw and the sequence's name, and on nothing else: not
on the chunk, on the methods compared or on which other sequences take part.
"""

from __future__ import annotations

import hashlib

import numpy as np


def generator(seed: int, purpose: str, draw: int, name: str) -> np.random.Generator:
    """Make the generator of one draw for one sequence.

    Args:
        seed: Of the whole trial.
        purpose: What is drawn: ``"ties"``, ``"random"``, or an operator's name.
        draw: Its number, from 0.
        name: The sequence's name.

    Example:
        >>> a, b = (generator(0, "ties", 1, "chr1:5-9").random() for _ in range(2))
        >>> a == b
        True
    """
    key = hashlib.blake2b(f"{seed}|{purpose}|{draw}|{name}".encode(), digest_size=16).digest()
    return np.random.Generator(np.random.Philox(key=int.from_bytes(key, "little")))
