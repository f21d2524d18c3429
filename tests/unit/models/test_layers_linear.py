"""Packed products against plain ones."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from kmerit.models import layers
from kmerit.models.layers import Linear, Matrix

needs_packing = pytest.mark.skipif(not layers._CAN_PACK, reason="this build of torch has no packed products")


@pytest.fixture
def layer() -> Linear:
    torch.manual_seed(0)
    return Linear(torch.randn(48, 32), torch.randn(48))


def products(layer: Linear, x: Tensor, y: Tensor, r: Tensor) -> list[tuple[Tensor, Tensor]]:
    """Each product, and the same one written out in float64."""
    w, b, x64, y64, r64 = (t.double() for t in (layer.weight, layer.bias, x, y, r))
    return [
        (layer(x), x64 @ w.T + b),
        (layer.gelu(x), F.gelu(x64 @ w.T + b)),
        (layer.plus(x, y), x64 @ w.T + b + y64),
        (layer.backward(r), r64 @ w),
        (layer.magnitude(x), x64 @ w.abs().T),
        (layer.magnitude_backward(r), r64 @ w.abs()),
    ]


@pytest.mark.parametrize("packed", [pytest.param(True, marks=needs_packing), False])
@pytest.mark.parametrize("gelu_within", [True, False])
@pytest.mark.parametrize("shape", [(1, 1), (1,), (3, 1), (2, 7)])
def test_products_are_what_they_say(
    layer: Linear, packed: bool, gelu_within: bool, shape: tuple[int, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(layers, "_CAN_PACK", packed)
    monkeypatch.setattr(layers, "_GELU_WITHIN", gelu_within)
    x, y, r = torch.randn(*shape, 32), torch.randn(*shape, 48), torch.randn(*shape, 48)
    with torch.inference_mode():
        for result, expected in products(layer, x, y, r):
            torch.testing.assert_close(result.double(), expected, rtol=1e-5, atol=1e-5)


@needs_packing
def test_parts_of_a_tensor_will_do(layer: Linear) -> None:
    x, y = torch.randn(4, 9, 32), torch.randn(4, 9, 48)
    with torch.inference_mode():
        torch.testing.assert_close(layer.plus(x[:, :1], y[:, :1]), y[:, :1] + F.linear(x[:, :1], *_weights(layer)))


@needs_packing
def test_packing_is_for_float32_in_inference_alone(layer: Linear) -> None:
    x = torch.randn(4, 32)
    matrix = Matrix(layer.weight)
    assert not matrix._fits(x)
    with torch.inference_mode():
        assert matrix._fits(x)
        assert not matrix._fits(x.double())
        assert not matrix._fits(x.bfloat16())
        assert not matrix._fits(x[:1])
        assert not matrix._fits(x.to("meta"))


def test_gradients_still_flow(layer: Linear) -> None:
    x = torch.randn(4, 32, requires_grad=True)
    layer.plus(x, layer.gelu(x)).sum().backward()
    assert x.grad is not None
    assert x.grad.abs().min() > 0


def test_each_matrix_is_made_once(layer: Linear) -> None:
    assert layer.magnitude is layer.magnitude
    assert layer.backward.values.data_ptr() == layer.weight.data_ptr()


def _weights(layer: Linear) -> tuple[Tensor, Tensor]:
    return layer.weight, layer.bias
