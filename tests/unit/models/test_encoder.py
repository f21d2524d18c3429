"""The encoder in all its variants: one pass and one tape, the chain rule against autograd, and what is conserved."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from kmerit.models.encoder import Encoder
from kmerit.models.layers import Layer, Linear, Norm, Rotation, TokenDropout, alibi_slopes
from kmerit.models.rules import ATTNLRP, CHEFER, CP_LRP, GRADIENT

D = torch.float64
HIDDEN, HEADS, INNER, TOKENS = 24, 3, 16, 7

VARIANTS = {
    "BERT": {"norm": "after"},
    "ESM, learned": {"norm": "before"},
    "ESM, rotary, gated": {"norm": "before", "positions": "rotary", "gate": "silu"},
    "DNABERT-2": {"norm": "after", "positions": "alibi", "gate": "gelu"},
    "all at once": {"norm": "both", "positions": "both", "gate": "silu"},
}


def random_encoder(norm: str, positions: str = "learned", gate: str | None = None, bias: float = 0.3) -> Encoder:
    """Weights drawn anew: every term is large, so that a wrong one shows."""
    draw = torch.Generator().manual_seed(5)

    def normal(*shape: int, scale: float = 1.0) -> Tensor:
        return torch.randn(*shape, generator=draw, dtype=D) * scale

    def linear(n_out: int, n_in: int) -> Linear:
        return Linear(normal(n_out, n_in, scale=1.5 * n_in**-0.5), normal(n_out, scale=bias))

    def layer_norm(wanted: bool = True) -> Norm | None:
        return Norm(1 + normal(HIDDEN, scale=0.2), normal(HIDDEN, scale=bias), 1e-12) if wanted else None

    before, after = norm in ("before", "both"), norm in ("after", "both")
    layers = tuple(
        Layer(
            qkv=linear(3 * HIDDEN, HIDDEN),
            output=linear(HIDDEN, HIDDEN),
            up=linear(2 * INNER if gate else INNER, HIDDEN),
            down=linear(HIDDEN, INNER),
            before_attention=layer_norm(before),
            after_attention=layer_norm(after),
            before_feed=layer_norm(before),
            after_feed=layer_norm(after),
            activation=gate or "gelu",
            gated=gate is not None,
        )
        for _ in range(3)
    )
    return Encoder(
        words=normal(11, HIDDEN),
        added=(normal(20, HIDDEN),) if positions == "learned" else (),
        norm=layer_norm(after),
        layers=layers,
        pooler=linear(HIDDEN, HIDDEN),
        classifier=linear(2, HIDDEN),
        heads=HEADS,
        last_norm=layer_norm(before),
        rotation=Rotation.of(20, HIDDEN // HEADS) if positions in ("rotary", "both") else None,
        slopes=alibi_slopes(HEADS).to(D) if positions in ("alibi", "both") else None,
    )


@pytest.fixture(params=VARIANTS)
def encoder(request: pytest.FixtureRequest) -> Encoder:
    return random_encoder(**VARIANTS[request.param])


def batch(encoder: Encoder) -> tuple[Tensor, Tensor]:
    """Embedded tokens of three lengths, and the mask."""
    ids = torch.arange(3 * TOKENS).reshape(3, TOKENS) % len(encoder.words)
    mask = torch.arange(TOKENS) < torch.tensor([[TOKENS], [4], [2]])
    return encoder.embed(encoder.look_up(ids, mask)), mask


def test_the_tape_ends_in_the_same_logits(encoder: Encoder) -> None:
    x, mask = batch(encoder)
    expected = encoder.classify(x, mask)
    for every_row in (False, True):
        torch.testing.assert_close(encoder.record(x, mask, every_row).logits, expected, rtol=0, atol=1e-12)


def test_prediction_makes_neither_keys_nor_values_of_the_last_layer(encoder: Encoder) -> None:
    x, mask = batch(encoder)
    with FlopCounterMode(display=False) as every:
        expected = encoder.classify(x, mask)
    with torch.no_grad(), FlopCounterMode(display=False) as fewer:
        result = encoder.classify(x, mask)
    torch.testing.assert_close(result, expected, rtol=0, atol=1e-12)
    projections = 1 if encoder.rotation is not None else 2  # a rotated key is made: each turns otherwise
    saved = every.get_total_flops() - fewer.get_total_flops()
    assert saved > 0.6 * projections * 2 * x.numel() * HIDDEN


def test_short_formats_keep_keys_and_values(encoder: Encoder) -> None:
    x, mask = batch(encoder)
    short = encoder.to(torch.device("cpu"), torch.bfloat16)
    with torch.no_grad(), FlopCounterMode(display=False) as without_gradient:
        short.classify(x.bfloat16(), mask)
    with FlopCounterMode(display=False) as every:
        short.classify(x.bfloat16(), mask)
    assert without_gradient.get_total_flops() == every.get_total_flops()


def test_padding_changes_nothing(encoder: Encoder) -> None:
    x, mask = batch(encoder)
    for row, length in enumerate(mask.sum(1).tolist()):
        alone = encoder.classify(x[row : row + 1, :length], mask[row : row + 1, :length])
        torch.testing.assert_close(alone[0], encoder.classify(x, mask)[row], rtol=0, atol=1e-12)


def test_a_sweep_with_the_chain_rule_is_autograd(encoder: Encoder) -> None:
    x, mask = batch(encoder)
    x.requires_grad_()
    tape = encoder.record(x, mask)
    seed = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.5, -2.0]], dtype=D)
    *expected, of_input = torch.autograd.grad((tape.logits * seed).sum(), [*tape.attentions, x])
    received = dict(encoder.sweep(tape, GRADIENT, seed))
    for depth, gradient in enumerate(expected):
        torch.testing.assert_close(received[depth], gradient, rtol=0, atol=1e-11)
    torch.testing.assert_close(received[-1], of_input, rtol=0, atol=1e-11)


def leaks(encoder: Encoder, rules: object, of_input: bool) -> list[float]:
    """By how much the relevance of each layer's input misses what the logit handed back, as a share of that."""
    x, mask = batch(encoder)
    tape, result = encoder.record(x, mask), []
    seed = torch.tensor([[0.0, 1.0]], dtype=D).expand(3, 2)
    whole = (tape.logits * seed).sum(1) if of_input else seed.sum(1)
    for depth in range(len(encoder.layers)):
        rest = replace(encoder, layers=encoder.layers[depth:])
        start = tape.layers[depth].x
        *_, (_, received) = rest.sweep(rest.record(start, mask), rules, seed)
        relevance = (start * received if of_input else received).sum((1, 2))
        result.append(float(((relevance - whole) / whole).abs().max()))
    return result


@pytest.mark.parametrize("variant", VARIANTS)
def test_without_biases_chefer_and_cp_lrp_conserve(variant: str) -> None:
    encoder = random_encoder(**VARIANTS[variant], bias=0.0)
    assert max(leaks(encoder, CP_LRP, of_input=True)) < 1e-9
    assert max(leaks(encoder, CHEFER, of_input=False)) < 1e-6


@pytest.mark.parametrize("variant", VARIANTS)
def test_attnlrp_leaks_more_the_deeper_it_goes(variant: str) -> None:
    """Its softmax keeps the Jacobian, which conserves nothing; the last layer alone leaks least."""
    first, _, last = leaks(random_encoder(**VARIANTS[variant], bias=0.0), ATTNLRP, of_input=True)
    assert last > 1e-6
    assert first > 1e-3


def test_slopes_of_a_number_of_heads_that_is_no_power_of_two() -> None:
    assert alibi_slopes(8).tolist() == [2.0**-i for i in range(1, 9)]
    twelve = alibi_slopes(12).tolist()
    assert twelve[:8] == alibi_slopes(8).tolist()
    assert twelve[8:] == alibi_slopes(16)[[0, 2, 4, 6]].tolist()


def test_masked_tokens_are_dropped_and_the_others_scaled() -> None:
    words = torch.ones(2, 4, 3, dtype=D)
    ids = torch.tensor([[5, 2, 6, 7], [5, 2, 1, 1]])
    mask = torch.tensor([[True, True, True, True], [True, True, False, False]])
    result = TokenDropout(mask_id=2)(words, ids, mask)
    torch.testing.assert_close(result[0, :, 0], torch.tensor([1, 0, 1, 1], dtype=D) * 0.88 / (1 - 1 / 4))
    torch.testing.assert_close(result[1, :2, 0], torch.tensor([1, 0], dtype=D) * 0.88 / (1 - 1 / 2))
