"""What a run was computed with."""

from __future__ import annotations

import platform
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version

from kmerit.config import Tree
from kmerit.runs.config import RunConfig

SCHEMA = 2
"""The layout of a run folder; raised when a reader of the old layout would misread the new one."""

_PACKAGES = ("kmerit", "numpy", "pandas", "pyarrow", "scikit-learn", "scipy", "torch", "transformers")


def describe(config: RunConfig) -> Tree:
    """Say with which versions and on which machine a run is computed."""
    compute = config.compute.model_dump(mode="json")
    return {
        "schema": SCHEMA,
        "versions": {"python": platform.python_version(), **{name: version(name) for name in _PACKAGES}},
        "seed": config.seed,
        "compute": {**compute, "machine": platform.machine(), "system": platform.system()},
    }


@contextmanager
def threads(count: int) -> Iterator[None]:
    """Let torch compute with so many threads, and put back what was set."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
