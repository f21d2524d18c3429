"""Which matrix products a machine makes faster: measured once for a width, and kept."""

from __future__ import annotations

import json
import logging
import os
import platform
import time
from functools import cache
from pathlib import Path

import torch
from filelock import FileLock, Timeout

from kmerit.errors import KmeritError
from kmerit.formats import significant
from kmerit.io.hub import cache_folder
from kmerit.models.layers import Linear, Products, can_pack, full_precision, making
from kmerit.store import write_json

FILE = "products.json"
"""In the folder of downloaded data: what was measured, by machine."""
_LOG = logging.getLogger(__name__)
_ROUNDS = 10
_OPERATIONS, _FEWEST, _MOST = 2.4e9, 64, 1600
"""Multiplications and additions of a round, and the rows that these are at the least and at the most."""
MARGIN = 1.05
"""So many times faster plain products must be: a tie is decided alike every time, for packed ones."""


def fastest(device: torch.device, dtype: torch.dtype, width: int) -> Products:
    """Say which products are made here, where nobody chooses: those that this machine makes faster.

    They are timed once for a number of threads and a width, and noted in the folder of downloaded data, so that the
    next process makes the same. Where nothing can be noted, each process measures again.

    Args:
        device: Where the model runs; elsewhere than on a processor products are plain.
        dtype: What it computes in; in another than float32 they are plain.
        width: Its hidden units.

    Example:
        >>> fastest(torch.device("cuda"), torch.float32, 768), fastest(torch.device("cpu"), torch.float64, 768)
        ('plain', 'plain')
    """
    return _noted(width, torch.get_num_threads()) if can_pack(device, dtype) else "plain"


@cache
def _noted(width: int, threads: int) -> Products:
    """Look up what was measured for a width; measure it if nothing was."""
    key, path = f"{machine()}, {threads} threads, width {width}", cache_folder() / FILE
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(path.with_name(f".{FILE}.measuring"), timeout=30):
            notes = _read(path)
            if (note := notes.get(key)) in ("packed", "plain"):
                return "packed" if note == "packed" else "plain"
            kind = measured(width)
            write_json(path, {**notes, key: kind})
    except (OSError, Timeout, KmeritError) as error:
        kind = measured(width)
        _LOG.warning(
            "%s cannot be written (%s): the next process measures again which products are faster.", path, error
        )
    return kind


def _read(path: Path) -> dict[str, str]:
    """Read the notes; none where there are none, or they are damaged."""
    try:
        notes = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return notes if isinstance(notes, dict) else {}


def measured(width: int) -> Products:
    """Time a feed-forward in both ways, in turns; the best of each counts."""
    seconds = timed(width)
    kind: Products = "plain" if seconds["packed"] > MARGIN * seconds["plain"] else "packed"
    _LOG.info(
        "width %d: %s products (%s)", width, kind, ", ".join(f"{k} {significant(s)} s" for k, s in seconds.items())
    )
    return kind


def timed(width: int) -> dict[Products, float]:
    """Time a feed-forward of ``width`` hidden units with each kind of products, in seconds."""
    rows = int(min(max(_OPERATIONS / (16 * width * width), _FEWEST), _MOST))
    draw = torch.Generator().manual_seed(0)
    up = Linear(torch.randn(4 * width, width, generator=draw), torch.zeros(4 * width))
    down = Linear(torch.randn(width, 4 * width, generator=draw), torch.zeros(width))
    x = torch.randn(rows, width, generator=draw)
    best: dict[Products, float] = {"packed": float("inf"), "plain": float("inf")}
    with torch.inference_mode(), full_precision():
        for turn in range(1 + _ROUNDS):
            for kind in best:
                with making(kind):
                    start = time.perf_counter()
                    down.plus(up.gelu(x), x)
                    seconds = time.perf_counter() - start
                if turn:  # the first one lays out the weights
                    best[kind] = min(best[kind], seconds)
    return best


def machine() -> str:
    """Name the processor, and torch's version: what decides which products are faster.

    Example:
        >>> "torch" in machine()
        True
    """
    name = platform.processor() or platform.machine()
    if Path("/proc/cpuinfo").exists():
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        name = next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), name)
    return f"{name}, {os.cpu_count()} cores, torch {torch.__version__}"
