"""Products with constant matrices: the weights, prepacked for the processor where it can be done.

Nine tenths of a pass are such products. On a processor in float32, oneDNN multiplies faster by a matrix whose layout it
has chosen once, and adds, multiplies by, or takes the GELU of the result while it is still in the cache.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property

import torch
import torch.nn.functional as F
from torch import Tensor


@contextmanager
def full_precision() -> Iterator[None]:
    """Multiply float32 in float32, even if the process allows a shorter format (TF32, bfloat16)."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)


@dataclass(frozen=True, eq=False)
class Matrix:
    """A constant [out, in], from the right: ``x @ values.T + bias``, and what follows it.

    Plain and packed products differ in their last bits; which one is made depends on nothing but device, dtype, number
    of rows and whether gradients are wanted.
    """

    values: Tensor

    def __call__(self, x: Tensor, bias: Tensor | None = None) -> Tensor:
        """``x @ values.T + bias``."""
        if self._fits(x):
            return _product(x, self._packed, bias, "none")
        return F.linear(x, self.values, bias)

    def gelu(self, x: Tensor, bias: Tensor) -> Tensor:
        """GELU of the product."""
        if self._fits(x):
            return _product(x, self._packed, bias, "gelu")
        return F.gelu(F.linear(x, self.values, bias))

    def plus(self, x: Tensor, bias: Tensor, other: Tensor) -> Tensor:
        """The product plus ``other``."""
        if self._fits(x):
            return _product_with(x, other, self._packed, bias, "add")
        return other + F.linear(x, self.values, bias)

    def times(self, x: Tensor, other: Tensor) -> Tensor:
        """The product, without a bias, times ``other``."""
        if self._fits(x):
            return _product_with(x, other, self._packed, None, "mul")
        return other * F.linear(x, self.values)

    def _fits(self, x: Tensor) -> bool:
        return (
            _CAN_PACK
            and torch.is_inference_mode_enabled()  # a packed product has no gradient
            and x.device.type == "cpu"
            and x.dtype == torch.float32
            and x.numel() > x.shape[-1]  # for a single row the layout would be another
        )

    @cached_property
    def _packed(self) -> Tensor:
        packed: Tensor = torch.ops.mkldnn._reorder_linear_weight(self.values)
        return packed


@dataclass(frozen=True, eq=False)
class Linear:
    """``y = x W^T + b``; weight [out, in]. Every matrix that is made of the weight is made once."""

    weight: Tensor
    bias: Tensor

    def __call__(self, x: Tensor) -> Tensor:
        return self.forward(x, self.bias)

    def gelu(self, x: Tensor) -> Tensor:
        """GELU of y, without y."""
        return self.forward.gelu(x, self.bias)

    def plus(self, x: Tensor, other: Tensor) -> Tensor:
        """Y plus another summand."""
        return self.forward.plus(x, self.bias, other)

    @cached_property
    def forward(self) -> Matrix:
        """W."""
        return Matrix(self.weight)

    @cached_property
    def backward(self) -> Matrix:
        """W^T: ``backward(r)`` is r W."""
        return Matrix(self.weight.T)

    @cached_property
    def magnitude(self) -> Matrix:
        """|W|."""
        return Matrix(self.weight.abs())

    @cached_property
    def magnitude_backward(self) -> Matrix:
        """|W|^T."""
        return Matrix(self.magnitude.values.T)

    def rows(self, start: int, stop: int) -> Linear:
        """Keep some of the outputs."""
        return Linear(self.weight[start:stop], self.bias[start:stop])


_CAN_PACK: bool = torch.backends.mkldnn.is_available() and hasattr(torch.ops.mkldnn, "_linear_pointwise")  # type: ignore[no-untyped-call]
"""Whether this build of torch has the products that torch.compile makes of linear layers on a processor."""


def _product(x: Tensor, packed: Tensor, bias: Tensor | None, then: str) -> Tensor:
    y: Tensor = torch.ops.mkldnn._linear_pointwise(x, packed, bias, then, [], "none")
    return y


def _product_with(x: Tensor, other: Tensor, packed: Tensor, bias: Tensor | None, how: str) -> Tensor:
    y: Tensor = torch.ops.mkldnn._linear_pointwise.binary(x, other, packed, bias, how)
    return y
