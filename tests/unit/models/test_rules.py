"""Each relevance rule against an independent replica of its definition."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from kmerit.models.encoder import Rules
from kmerit.models.layers import ACTIVATIONS, Linear, Norm, Rotation
from kmerit.models.rules import ATTNLRP, CHEFER, CHEFER_OLDER, CP_LRP, GRADIENT, safe

D = torch.float64


@pytest.fixture(autouse=True)
def _the_same_numbers_in_any_order() -> None:
    torch.manual_seed(0)


def close(got: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(got, expected, rtol=1e-7, atol=1e-12)


def ratio(a: Tensor, b: Tensor) -> Tensor:
    return torch.where(b == 0, torch.zeros_like(a), a / (b + 1e-9))


def test_safe_is_zero_where_the_denominator_is() -> None:
    assert safe(torch.tensor([1.0, 2.0]), torch.tensor([0.0, 4.0])).tolist() == [0.0, 0.5]
    assert safe(torch.tensor([1.0, 2.0]), torch.tensor([-0.0, 4.0]), 0.5).tolist() == [0.0, 0.25]
    too_large = torch.tensor([3e38, torch.inf, torch.nan])  # what 1e-9 makes infinite, and what is no number
    assert safe(too_large, torch.zeros(3)).tolist() == [0.0, 0.0, 0.0]


def linear_case(*shape: int) -> tuple[Linear, Tensor, Tensor, Tensor]:
    layer = Linear(torch.randn(5, 7, dtype=D), torch.randn(5, dtype=D))
    x = torch.randn(*shape, 7, dtype=D)
    y = layer(x)
    return layer, x, y, torch.randn_like(y)


def replica_linear(layer: Linear, x: Tensor, r: Tensor) -> Tensor:
    above, below = layer.weight.clamp(min=0), layer.weight.clamp(max=0)
    s = ratio(r, x.clamp(min=0) @ above.T + x.clamp(max=0) @ below.T)
    return x.clamp(min=0) * (s @ above) + x.clamp(max=0) * (s @ below)


def test_chefer_linear() -> None:
    for shape in ((4,), (2, 3)):
        layer, x, y, r = linear_case(*shape)
        close(CHEFER.linear(layer, x, y, r), replica_linear(layer, x, r))


def test_chefer_linear_conserves_where_something_is_positive() -> None:
    layer, x, y, r = linear_case(2, 3)
    w = layer.weight
    positive = (x.clamp(min=0) @ w.clamp(min=0).T + x.clamp(max=0) @ w.clamp(max=0).T) > 0
    assert positive.any()
    torch.testing.assert_close(CHEFER.linear(layer, x, y, r).sum(), r[positive].sum(), rtol=1e-6, atol=1e-6)


def test_chefer_linear_hands_back_nothing_where_nothing_is_positive() -> None:
    layer = Linear(-torch.ones(1, 3, dtype=D), torch.zeros(1, dtype=D))
    x = torch.tensor([[0.1, 0.2, 0.3]], dtype=D)
    assert (CHEFER.linear(layer, x, layer(x), torch.ones(1, 1, dtype=D)) == 0).all()


def test_older_linear() -> None:
    layer, x, y, r = linear_case(2, 3)
    above, below = layer.weight.clamp(min=0), layer.weight.clamp(max=0)
    p, n = x.clamp(min=0), x.clamp(max=0)
    expected = p * (ratio(r, p @ above.T) @ above) + n * (ratio(r, n @ below.T) @ below)
    close(CHEFER_OLDER.linear(layer, x, y, r), expected)


def test_chefer_matmul() -> None:
    a, b = torch.randn(2, 3, 4, 5, dtype=D), torch.randn(2, 3, 5, 6, dtype=D)
    r = torch.randn(2, 3, 4, 6, dtype=D)
    s = ratio(r, a @ b)
    got_a, got_b = CHEFER.matmul(a, b, a @ b, r)
    close(got_a, a * torch.einsum("nhij,nhkj->nhik", s, b) / 2)
    close(got_b, b * torch.einsum("nhik,nhij->nhkj", a, s) / 2)


@pytest.mark.parametrize("rules", [GRADIENT, CHEFER, CHEFER_OLDER, ATTNLRP, CP_LRP])
def test_a_product_hands_back_the_same_however_its_second_factor_lies_in_memory(rules: Rules) -> None:
    a, b = torch.randn(2, 3, 4, 5, dtype=D), torch.randn(2, 3, 5, 6, dtype=D)
    r = torch.randn(2, 3, 4, 6, dtype=D)
    turned = b.mT.contiguous().mT
    to_turned = rules.matmul(a, turned, a @ b, r)
    assert to_turned[1].stride() == turned.stride()
    for got, expected in zip(to_turned, rules.matmul(a, b, a @ b, r), strict=True):
        close(got, expected)


def test_chefer_add_shares_per_sequence() -> None:
    a, b, r = (torch.randn(3, 4, 5, dtype=D) for _ in range(3))
    got_a, got_b = CHEFER.add(a, b, a + b, r)
    for i in range(3):
        s = ratio(r[i], a[i] + b[i])
        share_a, share_b = a[i] * s, b[i] * s
        whole = share_a.sum().abs() + share_b.sum().abs()
        close(got_a[i], share_a * (share_a.sum().abs() / whole * r[i].sum() / share_a.sum()))
        close(got_b[i], share_b * (share_b.sum().abs() / whole * r[i].sum() / share_b.sum()))


def test_older_add() -> None:
    a, b, r = (torch.randn(3, 4, 5, dtype=D) for _ in range(3))
    got_a, got_b = CHEFER_OLDER.add(a, b, a + b, r)
    close(got_a, a * ratio(r, a + b))
    close(got_b, b * ratio(r, a + b))


def test_gradient_of_norm_is_autograd() -> None:
    layer = Norm(torch.randn(8, dtype=D), torch.randn(8, dtype=D), 1e-12)
    x = torch.randn(2, 3, 8, dtype=D, requires_grad=True)
    r = torch.randn(2, 3, 8, dtype=D)
    (expected,) = torch.autograd.grad((layer(x) * r).sum(), x)
    close(GRADIENT.norm(layer, x.detach(), r), expected)


def rotation_matrices(positions: int, size: int) -> Tensor:
    """One block matrix per position, written out: unit i and unit i + size / 2 turn together."""
    matrices = torch.zeros(positions, size, size, dtype=D)
    for t in range(positions):
        for i in range(size // 2):
            angle = torch.tensor(t * 10000 ** (-2 * i / size), dtype=D)
            j = i + size // 2
            matrices[t, i, i], matrices[t, i, j] = angle.cos(), -angle.sin()
            matrices[t, j, i], matrices[t, j, j] = angle.sin(), angle.cos()
    return matrices


def rotary_case() -> tuple[Rotation, Tensor, Tensor, Tensor, Tensor]:
    rotation, x = Rotation.of(9, 6), torch.randn(2, 3, 5, 6, dtype=D)
    return rotation, rotation_matrices(5, 6), x, rotation(x), torch.randn_like(x)


def test_rotation_is_an_orthogonal_matrix_for_each_position() -> None:
    rotation, matrices, x, y, r = rotary_case()
    close(y, torch.einsum("tij,bhtj->bhti", matrices, x))
    close(rotation.back(y), x)
    close(rotation.back(r), torch.einsum("tji,bhtj->bhti", matrices, r))


@pytest.mark.parametrize("rules", [GRADIENT, ATTNLRP, CP_LRP])
def test_a_gradient_is_turned_back(rules: Rules) -> None:
    rotation, matrices, x, y, r = rotary_case()
    close(rules.rotate(rotation, x, y, r), torch.einsum("tji,bhtj->bhti", matrices, r))


@pytest.mark.parametrize("rules", [CHEFER, CHEFER_OLDER])
def test_relevance_is_shared_by_what_each_unit_contributes(rules: Rules) -> None:
    rotation, matrices, x, y, r = rotary_case()
    contributions = matrices * x[..., None, :]  # [..., unit of y, unit of x]
    close(rules.rotate(rotation, x, y, r), (contributions * ratio(r, y)[..., None]).sum(-2))
    torch.testing.assert_close(rules.rotate(rotation, x, y, r).sum(-1), r.sum(-1), rtol=1e-6, atol=1e-6)


SHARES = {"gradient": (GRADIENT, 1, 1), "attnlrp": (ATTNLRP, 0.5, 0.5), "cp_lrp": (CP_LRP, 0, 1)}


@pytest.mark.parametrize("name", SHARES)
def test_a_gate_and_what_it_lets_through_by_gradient(name: str) -> None:
    rules, of_gate, of_other = SHARES[name]
    a, b, r = (torch.randn(2, 3, 4, dtype=D) for _ in range(3))
    got_a, got_b = rules.multiply(a, b, a * b, r)
    close(got_a, of_gate * r * b)
    close(got_b, of_other * r * a)


@pytest.mark.parametrize("rules", [CHEFER, CHEFER_OLDER])
def test_a_gate_and_what_it_lets_through_by_relevance(rules: Rules) -> None:
    a, b, r = (torch.randn(2, 3, 4, dtype=D) for _ in range(3))
    a[0, 0, 0] = 0
    got_a, got_b = rules.multiply(a, b, a * b, r)
    expected = torch.where(a * b == 0, 0, r / 2)
    torch.testing.assert_close(got_a, expected, rtol=1e-5, atol=1e-7)
    torch.testing.assert_close(got_b, expected, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_nonlinearities(name: str) -> None:
    x, r = torch.randn(2, 3, 4, dtype=D, requires_grad=True), torch.randn(2, 3, 4, dtype=D)
    y = ACTIVATIONS[name](x)
    (expected,) = torch.autograd.grad((y * r).sum(), x)
    x, y = x.detach(), y.detach()
    close(GRADIENT.activate(name, x, y, r), expected)
    close(ATTNLRP.activate(name, x, y, r), r * y / x)
    assert CHEFER.activate(name, x, y, r) is r
