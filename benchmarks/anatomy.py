"""Take a piece of work apart: what its time goes into, and how much arithmetic there is in it."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch.profiler import ProfilerActivity, profile
from torch.utils.flop_counter import FlopCounterMode

PRODUCTS = ("mkldnn::_linear_pointwise", "aten::addmm", "aten::mm", "aten::addmv", "aten::mv")
PLAIN = (torch.ops.aten.addmm, torch.ops.aten.mm)
ATTENTION = ("aten::bmm", "aten::_softmax", "aten::_softmax_backward_data", "aten::_scaled_dot_product")
"""The operations that they are made of, by how their names begin; all others pass over memory."""


WITH_WEIGHTS = "products with weights"


@dataclass(frozen=True)
class Anatomy:
    """Where the time of one piece of work goes, in units of the peer's time.

    Attributes:
        parts: Products with weights (what is fused with them included), attention, element-wise passes, the rest
            (Python, the profiler, waiting); all under the profiler, the peer too.
        peer_products: The peer's products with weights.
        arithmetic: Operations in products with weights, in units of the peer's.
    """

    parts: dict[str, float]
    peer_products: float
    arithmetic: float


def dissect(run: Callable[[], object], peer: Callable[[], object]) -> Anatomy:
    """Profile a piece of work, and the peer that it is measured by."""
    theirs = _milliseconds(peer)
    unit = sum(theirs.values())
    parts = {part: taken / unit for part, taken in _milliseconds(run).items()}
    return Anatomy(parts, theirs[WITH_WEIGHTS] / unit, _operations(run) / _operations(peer))


def _milliseconds(run: Callable[[], object]) -> dict[str, float]:
    start = time.perf_counter()
    with profile(activities=[ProfilerActivity.CPU]) as taken:
        run()
        whole = (time.perf_counter() - start) * 1e3
    names = (WITH_WEIGHTS, "attention", "element-wise passes")
    parts = dict.fromkeys(names, 0.0)
    for event in taken.key_averages():
        kind = 0 if event.key.startswith(PRODUCTS) else 1 if event.key.startswith(ATTENTION) else 2
        parts[names[kind]] += event.self_cpu_time_total / 1e3
    return {**parts, "rest": whole - sum(parts.values())}


def _operations(run: Callable[[], object]) -> float:
    packed = torch.ops.mkldnn._linear_pointwise
    with FlopCounterMode(display=False, custom_mapping={packed: _packed_operations}) as counter:
        run()
    counts = counter.get_flop_counts()["Global"]
    return float(sum(count for product, count in counts.items() if product in (packed, *PLAIN)))


def _packed_operations(x: torch.Size, *shapes: Any, out_shape: torch.Size, **options: Any) -> int:
    """Count the arithmetic of a packed product, which the counter does not know."""
    return 2 * math.prod(x) * out_shape[-1]
