"""Another order of the same dinucleotides: a random Eulerian path. Source: altschul1985."""

from __future__ import annotations

import numpy as np

from kmerit.types import Bool, Int8


def windows(chosen: Bool, reach: int) -> list[tuple[int, int]]:
    """Find the stretches within ``reach`` nucleotides of a chosen one; those that touch are one.

    Example:
        >>> windows(np.arange(20) % 19 == 0, 2)
        [(0, 3), (17, 20)]
    """
    near = np.convolve(chosen, np.ones(2 * reach + 1), mode="full")[reach : reach + chosen.size] > 0
    edges = np.flatnonzero(np.diff(np.concatenate([[False], near, [False]]).astype(np.int8)))
    return [(int(start), int(end)) for start, end in edges.reshape(-1, 2)]


def shuffled(bases: Int8, generator: np.random.Generator) -> Int8:
    """Draw uniformly one of the orders that keep every dinucleotide's count, the first base and the last.

    The bases are the nodes of a graph and the dinucleotides its edges; an order is a path over every edge once. What
    each node leaves by last must form a tree towards the last base: such a set is drawn until it does, and all other
    edges may come in any order.

    Args:
        bases: ``int8 [position]``, 0..3.
        generator: Of the draw.

    Example:
        >>> text = np.array([0, 1, 0, 2, 0, 3, 0], dtype=np.int8)
        >>> sorted(shuffled(text, np.random.default_rng(0)).tolist())
        [0, 0, 0, 0, 1, 2, 3]
    """
    if bases.size < 4:
        return bases.copy()
    root = int(bases[-1])
    leave = {node: bases[1:][bases[:-1] == node] for node in range(4)}
    others = [node for node in range(4) if leave[node].size and node != root]
    while True:
        last = {node: int(generator.integers(leave[node].size)) for node in others}
        if all(_reaches(root, node, {node: int(leave[node][at]) for node, at in last.items()}) for node in others):
            break
    exits = {}
    for node, to in leave.items():
        if node in last:
            exits[node] = [*generator.permutation(np.delete(to, last[node])).tolist(), int(to[last[node]])]
        else:
            exits[node] = generator.permutation(to).tolist()
    path = [int(bases[0])]
    taken = [0, 0, 0, 0]
    for _ in range(bases.size - 1):
        node = path[-1]
        path.append(exits[node][taken[node]])
        taken[node] += 1
    return np.array(path, dtype=np.int8)


def _reaches(root: int, node: int, last: dict[int, int]) -> bool:
    """Follow the last edges: at most three steps lead from any base to the last one, or none does."""
    for _ in range(4):
        if node == root:
            return True
        node = last[node]
    return node == root
