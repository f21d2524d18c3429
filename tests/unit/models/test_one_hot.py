from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

import kmerit as km

STRINGS = ["ACGTTGCAACGG", "TTGACATTACAG"]


def one_hot(sequences: km.Sequences) -> torch.Tensor:
    bases = torch.from_numpy(sequences.padded()[0].astype(np.int64))
    return torch.nn.functional.one_hot(bases, 4).transpose(1, 2).double()


@pytest.mark.parametrize("k", [3, 4, 5, 6])
def test_logits_are_the_models(k: int, make_checkpoint: Callable[..., Path]) -> None:
    model = km.load_model(make_checkpoint(k=k), dtype="float64")
    sequences = km.Sequences.from_strings(STRINGS)
    logits = km.one_hot_model(model)(one_hot(sequences))
    np.testing.assert_allclose(logits.numpy(), model.logits(sequences), atol=1e-12)


def test_gradients_of_single_nucleotides_are_first_order_ism(tiny_checkpoint: Path) -> None:
    model = km.load_model(tiny_checkpoint, dtype="float64")
    sequences = km.Sequences.from_strings(STRINGS)
    effects = km.attribute(model, sequences, ["ism_first_order"], target=1)["ism_first_order"].substitutions
    assert effects is not None
    x = one_hot(sequences).requires_grad_()
    (gradient,) = torch.autograd.grad(km.one_hot_model(model)(x)[:, 1].sum(), x)
    own = (gradient * x.detach()).sum(1, keepdim=True)
    np.testing.assert_allclose(effects, (gradient - own).transpose(1, 2).numpy(), atol=1e-12)


def test_it_is_multilinear_under_a_token(tiny_checkpoint: Path) -> None:
    """One k-mer alone: the embedding of a half-half nucleotide is half of each."""
    bridge = km.one_hot_model(km.load_model(tiny_checkpoint, dtype="float64"))
    calls: list[torch.Tensor] = []
    for text in ("ACGTAC", "ACTTAC"):
        calls.append(one_hot(km.Sequences.from_strings([text])))
    table, words = bridge.table, []
    for x in (*calls, (calls[0] + calls[1]) / 2):
        product = x[:, :, 0]
        for position in range(1, 6):
            product = (product[:, :, None] * x[:, None, :, position]).flatten(1)
        words.append(product @ table)
    torch.testing.assert_close(words[2], (words[0] + words[1]) / 2)
