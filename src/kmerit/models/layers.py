"""What networks are made of: products with constant matrices, norms, positions, ESM's scaling of embeddings."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

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
    of rows, whether gradients are wanted, and `making`.
    """

    values: Tensor

    def __call__(self, x: Tensor, bias: Tensor | None = None) -> Tensor:
        """``x @ values.T + bias``."""
        if self._fits(x):
            return _product(x, self._packed, bias, "none")
        return F.linear(x, self.values, bias)

    def gelu(self, x: Tensor, bias: Tensor) -> Tensor:
        """GELU of the product."""
        if _GELU_WITHIN and self._fits(x):
            return _product(x, self._packed, bias, "gelu")
        y = self(x, bias)
        return torch.ops.aten.gelu_(y) if torch.is_inference_mode_enabled() else F.gelu(y)

    def plus(self, x: Tensor, bias: Tensor, other: Tensor) -> Tensor:
        """The product plus ``other``."""
        return self(x, bias).add_(other)  # a pass of its own: a packed product takes longer over a sum

    def _fits(self, x: Tensor) -> bool:
        return (
            can_pack(x.device, x.dtype)
            and _making.get() != "plain"
            and torch.is_inference_mode_enabled()  # a packed product has no gradient
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

    def by_head(self, heads: int) -> Tensor:
        """W with the outputs of each head apart: [head, out / heads, in]."""
        return self.weight.view(heads, -1, self.weight.shape[1])


_CAN_PACK: bool = torch.backends.mkldnn.is_available() and hasattr(torch.ops.mkldnn, "_linear_pointwise")  # type: ignore[no-untyped-call]
"""Whether this build of torch has the products that torch.compile makes of linear layers on a processor."""
_GELU_WITHIN: bool = torch.backends.cpu.get_cpu_capability() == "AVX512"
"""Whether a packed product takes GELU along: without AVX-512 a pass of its own is faster."""
Products = Literal["packed", "plain"]
_making: ContextVar[Products | None] = ContextVar("making", default=None)


def can_pack(device: torch.device, dtype: torch.dtype) -> bool:
    """Return whether products can be packed: on a processor, in float32.

    Example:
        >>> can_pack(torch.device("cuda"), torch.float32), can_pack(torch.device("cpu"), torch.float64)
        (False, False)
    """
    return _CAN_PACK and device.type == "cpu" and dtype == torch.float32


@contextmanager
def making(kind: Products, *, unless_chosen: bool = False) -> Iterator[None]:
    """Make these products in the block, where both can be made.

    Args:
        kind: The products.
        unless_chosen: Leave what a block around this one has chosen.
    """
    before = _making.set((_making.get() or kind) if unless_chosen else kind)
    try:
        yield
    finally:
        _making.reset(before)


def _product(x: Tensor, packed: Tensor, bias: Tensor | None, then: str) -> Tensor:
    y: Tensor = torch.ops.mkldnn._linear_pointwise(x, packed, bias, then, [], "none")
    return y


ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {"gelu": F.gelu, "silu": F.silu}
"""The feed-forward's nonlinearity by name."""


@dataclass(frozen=True, eq=False)
class Norm:
    """LayerNorm over the hidden units."""

    weight: Tensor
    bias: Tensor
    eps: float

    def __call__(self, x: Tensor) -> Tensor:
        return F.layer_norm(x, self.weight.shape, self.weight, self.bias, self.eps)


@dataclass(frozen=True, eq=False)
class Layer:
    """One transformer layer; query, key and value are one product of 3H outputs.

    BERT normalises after each residual sum, ESM before attention and before the feed-forward. A gated feed-forward is
    ``down(activation(a) * b)`` with a and b the halves of ``up``.
    """

    qkv: Linear
    output: Linear
    up: Linear
    down: Linear
    before_attention: Norm | None = None
    after_attention: Norm | None = None
    before_feed: Norm | None = None
    after_feed: Norm | None = None
    activation: str = "gelu"
    gated: bool = False

    @cached_property
    def query(self) -> Linear:
        """The first third of ``qkv``."""
        return self.qkv.rows(0, self.qkv.weight.shape[1])

    @cached_property
    def key_value(self) -> Linear:
        """The other two thirds."""
        return self.qkv.rows(self.qkv.weight.shape[1], self.qkv.weight.shape[0])

    @cached_property
    def key_and_value(self) -> tuple[Linear, Linear]:
        """Each of those two alone."""
        size = self.qkv.weight.shape[1]
        return self.qkv.rows(size, 2 * size), self.qkv.rows(2 * size, 3 * size)

    def feed(self, x: Tensor) -> Tensor:
        """The feed-forward up to ``down``: the nonlinearity and, if there is one, the gate."""
        if self.activation == "gelu" and not self.gated:
            return self.up.gelu(x)
        raised = self.up(x)
        return self.gate(self.activate(raised), raised)

    def activate(self, raised: Tensor) -> Tensor:
        """Apply the nonlinearity to ``up``'s output, or to its first half, the gate."""
        return ACTIVATIONS[self.activation](raised.chunk(2, -1)[0] if self.gated else raised)

    def gate(self, active: Tensor, raised: Tensor) -> Tensor:
        """Multiply the gate with ``up``'s second half, if there is a gate."""
        return active * raised.chunk(2, -1)[1] if self.gated else active


def normed(norm: Norm | None, x: Tensor) -> Tensor:
    """Normalise where there is a norm."""
    return x if norm is None else norm(x)


@dataclass(frozen=True, eq=False)
class Rotation:
    """Rotary positions: unit i of a head's first half and of its second turn together, by position x frequency i.

    An orthogonal map, one for each position. Source: su2024, section 3.2; the halves as in ESM.
    """

    cos: Tensor  # [P, d]
    sin: Tensor  # [P, d]

    @classmethod
    def of(cls, positions: int, size: int, base: float = 10000.0) -> Rotation:
        """Make the tables for heads of this size.

        Example:
            >>> Rotation.of(3, 4).cos.shape
            torch.Size([3, 4])
        """
        frequency = base ** (-torch.arange(0, size, 2, dtype=torch.float64) / size)
        angle = (torch.arange(positions, dtype=torch.float64)[:, None] * frequency).repeat(1, 2)
        return cls(angle.cos(), angle.sin())

    def __call__(self, x: Tensor) -> Tensor:
        """Turn ``x`` [B, h, T, d]."""
        tokens = x.shape[2]
        return x * self.cos[:tokens] + _quarter(x) * self.sin[:tokens]

    def back(self, y: Tensor) -> Tensor:
        """Turn ``y`` [B, h, T, d] the other way: the transpose, and the inverse."""
        tokens = y.shape[2]
        return y * self.cos[:tokens] - _quarter(y) * self.sin[:tokens]


def _quarter(x: Tensor) -> Tensor:
    """Turn each pair of units by 90 degrees."""
    first, second = x.chunk(2, -1)
    return torch.cat((-second, first), -1)


def alibi_slopes(heads: int) -> Tensor:
    """Return the slope of each head [h]: powers of 2 ** (-8 / h), interleaved where h is no power of two.

    They are rounded to float32, as in the published models.

    Example:
        >>> alibi_slopes(4).tolist()
        [0.25, 0.0625, 0.015625, 0.00390625]

    Source: press2022, section 3.
    """
    whole = 2 ** (heads.bit_length() - 1)  # the largest power of two that is no more
    slopes = [2 ** (-8 * (i + 1) / whole) for i in range(whole)]
    slopes += [2 ** (-4 * (i + 1) / whole) for i in range(0, 2 * (heads - whole), 2)]
    return torch.tensor(slopes, dtype=torch.float32)


def alibi(slopes: Tensor, tokens: int) -> Tensor:
    """Return what is added to the scores, minus slope times distance: [1, h, T, T]."""
    place = torch.arange(tokens, device=slopes.device)
    distance = (place[:, None] - place).abs().to(slopes.dtype)
    return -(slopes[:, None, None] * distance)[None]


TRAINED = 0.15 * 0.8
"""The share of tokens that are masked in the training of every ESM."""


@dataclass(frozen=True, eq=False)
class TokenDropout:
    """Masked tokens become zeros, the others are scaled up as dropout does: by (1 - trained) / (1 - observed)."""

    mask_id: int

    def __call__(self, words: Tensor, ids: Tensor, mask: Tensor) -> Tensor:
        """Scale word embeddings [B, T, H] of ids [B, T]; padding, where ``mask`` is False, does not count."""
        masked = ids == self.mask_id
        mask_share = masked.sum(1).to(words.dtype) / mask.sum(1)
        return words.masked_fill(masked[..., None], 0) * ((1 - TRAINED) / (1 - mask_share))[:, None, None]
