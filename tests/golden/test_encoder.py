"""The encoder against transformers on tiny checkpoints of each k."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import BertForSequenceClassification

import kmerit as km
from kmerit.models.tokenizers import vocabulary


def random_sequences(lengths: list[int], seed: int = 0) -> km.Sequences:
    generator = np.random.default_rng(seed)
    return km.Sequences.from_strings(["".join(generator.choice(list("ACGT"), n)) for n in lengths])


def string_tokens(text: str, k: int) -> list[int]:
    """DNABERT's tokeniser, the slow and obvious way."""
    index = {word: i for i, word in enumerate(vocabulary(k))}
    words = ["[CLS]", *(text[i : i + k] for i in range(len(text) - k + 1)), "[SEP]"]
    return [index[word] for word in words]


@pytest.mark.parametrize("k", [3, 4, 5, 6])
def test_logits_equal_hugging_face(k: int, make_checkpoint: Callable[..., Path]) -> None:
    folder = make_checkpoint(k=k, labels=("a", "b", "c"), seed=k)
    reference = BertForSequenceClassification.from_pretrained(folder, dtype=torch.float64).eval()
    model = km.load_model(folder, dtype="float64")
    sequences = random_sequences([k, 50, 7 + k, 120, 33], seed=k)
    ids = [string_tokens(text, k) for text in sequences.strings()]
    width = max(map(len, ids))
    padded = torch.tensor([row + [0] * (width - len(row)) for row in ids])
    mask = torch.tensor([[1] * len(row) + [0] * (width - len(row)) for row in ids])
    with torch.no_grad():
        expected = reference(input_ids=padded, attention_mask=mask).logits.numpy()
    np.testing.assert_allclose(model.logits(sequences), expected, rtol=0, atol=1e-10)
    tape = model.encoder.record(model.encoder.embed(model.encoder.words[padded]), mask.bool())
    np.testing.assert_allclose(tape.logits.numpy(), expected, rtol=0, atol=1e-10)


def test_sweep_with_the_chain_rule_is_autograd(tiny_checkpoint: Path) -> None:
    model = km.load_model(tiny_checkpoint, dtype="float64")
    encoder = model.encoder
    ids, mask = model.tensors(model.tokenize(*random_sequences([40, 25, 60]).padded()))
    x = encoder.embed(encoder.words[ids]).requires_grad_()
    tape = encoder.record(x, mask)
    seed = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.5, -2.0]], dtype=torch.float64)
    target_values = [layer.attention for layer in tape.layers]
    *expected, input_gradient = torch.autograd.grad((tape.logits * seed).sum(), [*target_values, x])
    from kmerit.models.rules import GRADIENT

    received = dict(encoder.sweep(tape, GRADIENT, seed))
    assert list(received) == [1, 0, -1]
    for depth, gradient in enumerate(expected):
        torch.testing.assert_close(received[depth], gradient, rtol=0, atol=1e-12)
    torch.testing.assert_close(received[-1], input_gradient, rtol=0, atol=1e-12)
