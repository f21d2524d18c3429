"""The rule books: what each operation hands back to its inputs.

``GRADIENT`` is the chain rule. ``CHEFER`` and ``CHEFER_OLDER`` are the relevance rules that chefer2021 computes for
BERT; ``ATTNLRP`` and ``CP_LRP`` are modified gradients. None of these papers has rotary positions: a rotation is a
linear map, and treated as each book treats those, without the split by sign. A gate times its other branch is a
product of two factors, as attention times values is.

These books are the encoder's (``encoder.py``). Networks that autograd differentiates have AttnLRP and CP-LRP of their
own, ``HalfRule`` and ``ValueRule`` in ``differentiable.py``; ``BOOKS`` there finds them by the class of the book here.
A change of a rule belongs in both files.
"""

from __future__ import annotations

from copy import copy
from typing import Self

import torch
import torch.nn.functional as F
from torch import Tensor

from kmerit.models.layers import Linear, Norm, Rotation

EPSILON = 1e-9
_DERIVATIVES = {"gelu": torch.ops.aten.gelu_backward, "silu": torch.ops.aten.silu_backward}


def safe(a: Tensor, b: Tensor, share: float = 1.0) -> Tensor:
    """Divide, ``share * a / (b + 1e-9)``, and 0 where b is 0. Source: chefer2021."""
    quotient = torch.rsub(b, EPSILON / share, alpha=-1 / share)
    torch.div(a, quotient, out=quotient)  # each pass over memory counts
    torch.ops.aten.hardshrink_backward.grad_input(quotient, b, 0, grad_input=quotient)  # 0 where |b| is
    return quotient


def _to_second(a: Tensor, b: Tensor, r: Tensor) -> Tensor:
    """a^T r, laid out in memory as b is: what follows runs along both."""
    return a.mT @ r if b.is_contiguous() else (r.mT @ a).mT


class Gradient:
    """The chain rule: what is handed back is a gradient."""

    def linear(self, layer: Linear, x: Tensor, y: Tensor, r: Tensor) -> Tensor:
        """r W."""
        return layer.backward(r)

    def matmul(self, a: Tensor, b: Tensor, y: Tensor, r: Tensor) -> tuple[Tensor, Tensor]:
        """r b^T and a^T r."""
        return r @ b.mT, _to_second(a, b, r)

    def add(self, a: Tensor, b: Tensor, y: Tensor, r: Tensor) -> tuple[Tensor, Tensor]:
        """The same to both."""
        return r, r

    def softmax(self, y: Tensor, r: Tensor, scale: float) -> Tensor:
        """scale y (r - sum(r y))."""
        received: Tensor = torch.ops.aten._softmax_backward_data(r, y, -1, y.dtype)
        return received.mul_(scale)

    def rotate(self, rotation: Rotation, x: Tensor, y: Tensor, r: Tensor) -> Tensor:
        """Turned the other way."""
        return rotation.back(r)

    def multiply(self, a: Tensor, b: Tensor, y: Tensor, r: Tensor) -> tuple[Tensor, Tensor]:
        """r b and r a."""
        return r * b, r * a

    def activate(self, name: str, x: Tensor, y: Tensor, r: Tensor) -> Tensor:
        """r f'(x)."""
        received: Tensor = _DERIVATIVES[name](r, x)
        return received

    def tanh(self, x: Tensor, y: Tensor, r: Tensor) -> Tensor:
        """r (1 - y^2)."""
        return r * (1 - y * y)

    def norm(self, layer: Norm, x: Tensor, r: Tensor) -> Tensor:
        """Through mean and standard deviation too."""
        shape = layer.weight.shape
        _, mean, inverse = torch.native_layer_norm(x, shape, None, None, layer.eps)  # faster than mean and variance
        received: Tensor = torch.ops.aten.native_layer_norm_backward(
            r, x, shape, mean, inverse, layer.weight, layer.bias, [True, False, False]
        )[0]
        return received


class CheferShared:
    """The rules that both sets of chefer2021 share; what changes here changes both.

    Softmax, GELU, SiLU, tanh, LayerNorm, the mask and ALiBi pass relevance on unchanged.
    """

    def matmul(self, a: Tensor, b: Tensor, y: Tensor, r: Tensor) -> tuple[Tensor, Tensor]:
        """Half to each factor, in proportion to the products."""
        s = safe(r, y, 0.5)
        return (s @ b.mT).mul_(a), _to_second(a, b, s).mul_(b)

    def softmax(self, y: Tensor, r: Tensor, scale: float) -> Tensor:
        """Unchanged."""
        return r

    def rotate(self, rotation: Rotation, x: Tensor, y: Tensor, r: Tensor) -> Tensor:
        """In proportion to the contributions."""
        return x * rotation.back(safe(r, y))

    def multiply(self, a: Tensor, b: Tensor, y: Tensor, r: Tensor) -> tuple[Tensor, Tensor]:
        """Half to each factor; nothing where the product is 0."""
        half = safe(r, y, 0.5).mul_(y)
        return half, half

    def activate(self, name: str, x: Tensor, y: Tensor, r: Tensor) -> Tensor:
        """Unchanged."""
        return r

    def tanh(self, x: Tensor, y: Tensor, r: Tensor) -> Tensor:
        """Unchanged."""
        return r

    def norm(self, layer: Norm, x: Tensor, r: Tensor) -> Tensor:
        """Unchanged."""
        return r


class Chefer(CheferShared):
    """Layer-wise relevance propagation as chefer2021 computes it for BERT."""

    def linear(self, layer: Linear, x: Tensor, y: Tensor, r: Tensor) -> Tensor:
        """Alpha = 1, without the bias: in proportion to the positive contributions.

        With z = x+ W+ + x- W- and s = r / z, the result is x+ (s W+) + x- (s W-). Neither W+ nor W- is needed: with
        xW = y - b known from the forward pass, 2z = xW + |x||W|, and the result is (x (sW) + |x| (s|W|)) / 2. Both
        halves cancel.
        """
        size = x.abs()
        if x.ndim == 2:  # the head, a row a sequence: exact zeros matter there, and cost nothing
            w = layer.weight
            half = safe(r, x.clamp(min=0) @ w.clamp(min=0).T + x.clamp(max=0) @ w.clamp(max=0).T, 0.5)
        else:
            double = layer.magnitude.plus(size, 2 * EPSILON - layer.bias, y)
            half = torch.div(r, F.threshold(double, 2 * EPSILON, torch.inf, inplace=True), out=double)  # 0 where z is 0
        return layer.backward(half).mul_(x).addcmul_(layer.magnitude_backward(half), size)

    def add(self, a: Tensor, b: Tensor, y: Tensor, r: Tensor) -> tuple[Tensor, Tensor]:
        """In proportion to the summands, then rescaled so that each sequence's shares are of one sign and sum to r."""
        s = safe(r, y)
        r_a, r_b = a * s, s.mul_(b)
        total, sum_a, sum_b = (t.sum((1, 2), keepdim=True) for t in (r, r_a, r_b))
        both = sum_a.abs() + sum_b.abs()
        return (
            r_a.mul_(safe(safe(sum_a.abs(), both) * total, sum_a)),
            r_b.mul_(safe(safe(sum_b.abs(), both) * total, sum_b)),
        )


class CheferOlder(CheferShared):
    """The older rule set: separate denominators in Linear, no rescaling in the residual sum."""

    def linear(self, layer: Linear, x: Tensor, y: Tensor, r: Tensor) -> Tensor:
        """Positive inputs and negative inputs each share the whole of r."""
        above, below = x.clamp(min=0), x.clamp(max=0)
        w_above, w_below = layer.weight.clamp(min=0), layer.weight.clamp(max=0)
        return above * (safe(r, above @ w_above.T) @ w_above) + below * (safe(r, below @ w_below.T) @ w_below)

    def add(self, a: Tensor, b: Tensor, y: Tensor, r: Tensor) -> tuple[Tensor, Tensor]:
        """In proportion to the summands."""
        s = safe(r, y)
        return a * s, b * s


class AttnLRP(Gradient):
    """AttnLRP as modified gradient x input: what is handed back, times the input, is its relevance.

    Element-wise nonlinearities hand back f(x) / x, LayerNorm holds its standard deviation constant, the softmax keeps
    its Jacobian, and each factor of a product gets half. Source: achtibat2024, section 3.

    The same rule for networks that autograd differentiates: ``HalfRule`` in ``differentiable.py``.
    """

    gamma: float = 0.0
    """Of the first convolution of networks that autograd differentiates; the encoder has none."""

    def with_gamma(self, gamma: float) -> Self:
        """Return the same book with a gamma."""
        book = copy(self)
        book.gamma = gamma
        return book

    def matmul(self, a: Tensor, b: Tensor, y: Tensor, r: Tensor) -> tuple[Tensor, Tensor]:
        """Half of the gradient to each factor."""
        return super().matmul(a, b, y, r * 0.5)

    def multiply(self, a: Tensor, b: Tensor, y: Tensor, r: Tensor) -> tuple[Tensor, Tensor]:
        """Half of the gradient to each factor."""
        return super().multiply(a, b, y, r * 0.5)

    def activate(self, name: str, x: Tensor, y: Tensor, r: Tensor) -> Tensor:
        """r f(x) / x."""
        return _slope(x, y, r)

    def tanh(self, x: Tensor, y: Tensor, r: Tensor) -> Tensor:
        """r f(x) / x."""
        return _slope(x, y, r)

    def norm(self, layer: Norm, x: Tensor, r: Tensor) -> Tensor:
        """The standard deviation is a constant; the mean is not."""
        inverse = torch.native_layer_norm(x, layer.weight.shape, None, None, layer.eps)[2]
        scaled = r * layer.weight * inverse
        return scaled - scaled.mean(-1, keepdim=True)


class CPLRP(AttnLRP):
    """CP-LRP: as AttnLRP, with attention probabilities and gates constant: values get all, queries and keys nothing.

    The same rule for networks that autograd differentiates: ``ValueRule`` in ``differentiable.py``.

    Source: ali2022, section 3.
    """

    def multiply(self, a: Tensor, b: Tensor, y: Tensor, r: Tensor) -> tuple[Tensor, Tensor]:
        """All to the other branch; the gate is a constant, as attention is."""
        return torch.zeros_like(a), r * a

    def matmul(self, a: Tensor, b: Tensor, y: Tensor, r: Tensor) -> tuple[Tensor, Tensor]:
        """All to the second factor: a is the attention, or what its softmax came from, which receives nothing."""
        return torch.zeros_like(a), _to_second(a, b, r)


def _slope(x: Tensor, y: Tensor, r: Tensor) -> Tensor:
    """r y / x, and 0 where x is 0: both nonlinearities are 0 there."""
    return torch.where(x == 0, 0, r * y / x)


GRADIENT = Gradient()
CHEFER = Chefer()
CHEFER_OLDER = CheferOlder()
ATTNLRP = AttnLRP()
CP_LRP = CPLRP()
