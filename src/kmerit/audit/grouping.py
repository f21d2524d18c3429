"""Groups of rows that belong together: copies, near copies, neighbours on the genome."""

from __future__ import annotations

import numpy as np

from kmerit.audit.dataset import Dataset
from kmerit.types import Int64


def copy_links(key: Int64) -> Int64:
    """Link every row to the first one with its key: ``int64 [link, 2]``."""
    _, first, group = np.unique(key, return_index=True, return_inverse=True)
    links = np.stack([first[group], np.arange(key.size)], axis=1)
    return np.asarray(links[links[:, 0] != links[:, 1]], dtype=np.int64)


def place_links(dataset: Dataset, near: int = 0) -> Int64:
    """Link rows whose loci overlap or lie at most ``near`` nt apart; enough links for every cluster, not all."""
    known, start, end = dataset.places()
    order = np.argsort(start, kind="stable")
    reach = np.maximum.accumulate(end[order]) if order.size else end
    linked = start[order][1:] - reach[:-1] <= near
    return np.stack([known[order][:-1][linked], known[order][1:][linked]], axis=1).astype(np.int64)


def groups(rows: int, *links: Int64) -> Int64:
    """Number the groups of rows that are linked, directly or not.

    Example:
        >>> groups(4, np.array([[0, 2]]), np.array([[2, 3]])).tolist()
        [0, 1, 0, 0]
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    joined = np.concatenate([np.zeros((0, 2), dtype=np.int64), *links])
    graph = coo_array((np.ones(len(joined), dtype=np.int8), (joined[:, 0], joined[:, 1])), shape=(rows, rows))
    return np.asarray(connected_components(graph, directed=False)[1], dtype=np.int64)
