"""Hypothetical contributions: one gradient at the one-hot input, and what follows from it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

import kmerit as km
from kmerit.errors import LengthError, SequenceError
from kmerit.sequences import one_hot

SEQUENCES = km.Sequences.from_strings(["ACGTTGCAACGG", "TTGACATTA", "GATTACATTGCA"], labels=[1, 0, 1])


@pytest.mark.parametrize("target", ["predicted", "label", 0])
def test_it_is_autograds_gradient(target: str, make_checkpoint: Callable[..., Path]) -> None:
    model = km.load_model(make_checkpoint(k=4), dtype="float64", micro_batch=1)
    result = km.hypothetical(model, SEQUENCES, target)
    assert result.shape == (3, 4, 12)
    bridge = km.one_hot_model(model)
    for i in range(3):
        x = torch.from_numpy(one_hot(SEQUENCES.take([i]).padded()[0])).double().requires_grad_()
        logits = bridge(x)[0]
        labels = SEQUENCES.labels
        assert labels is not None
        chosen = {"predicted": int(logits.argmax()), "label": int(labels[i]), 0: 0}[target]
        (gradient,) = torch.autograd.grad(logits[chosen], x)
        length = x.shape[2]
        np.testing.assert_allclose(result[i, :, :length], gradient[0].numpy(), atol=1e-12)
        assert np.isnan(result[i, :, length:]).all()


def test_all_first_order_effects_follow_from_it(tiny_checkpoint: Path) -> None:
    model = km.load_model(tiny_checkpoint, dtype="float64")
    result = km.hypothetical(model, SEQUENCES, target=1)
    own = (np.nan_to_num(result) * one_hot(SEQUENCES.padded()[0])).sum(1)  # gradient x input
    effects = km.attribute(model, SEQUENCES, ["ism_first_order"], target=1)["ism_first_order"].substitutions
    assert effects is not None
    for i, length in enumerate(SEQUENCES.lengths):
        np.testing.assert_allclose((result - own[:, None])[i, :, :length].T, effects[i, :length], atol=1e-12)


def test_what_the_bridge_cannot_take(tiny_checkpoint: Path) -> None:
    model = km.load_model(tiny_checkpoint)
    with pytest.raises(LengthError):
        km.hypothetical(model, km.Sequences.from_strings(["ACGT" * 100]))
    bridge = km.one_hot_model(model)
    for shape in ((1, 3, 10), (1, 4, 5), (4, 10)):
        with pytest.raises(SequenceError, match="at least 6 nucleotides"):
            bridge(torch.zeros(shape))
    with pytest.raises(LengthError, match="at most 259"):
        bridge(torch.zeros(1, 4, 260))
    assert bridge(torch.zeros(1, 4, 259)).shape == (1, 2)


def test_the_bridge_moves_as_modules_do(tiny_checkpoint: Path) -> None:
    model = km.load_model(tiny_checkpoint)
    bridge = km.one_hot_model(model).to(torch.float64)
    x = torch.from_numpy(one_hot(SEQUENCES.take([0]).padded()[0]))
    assert bridge(x).dtype == torch.float64
    assert not any(parameter.requires_grad for parameter in bridge.parameters())
    assert model.encoder.words.dtype == torch.float32
    np.testing.assert_allclose(bridge(x).numpy(), model.logits(SEQUENCES.take([0])), atol=1e-5)
