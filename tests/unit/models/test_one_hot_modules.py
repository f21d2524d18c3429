from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import kmerit as km
from helpers.checkpoints import REFERENCE
from kmerit.models.encoder import Encoder
from kmerit.models.one_hot import EncoderModules, Product


def test_logits_are_the_encoders_in_a_padded_batch(tiny_checkpoint: Path) -> None:
    model = km.load_model(tiny_checkpoint, dtype="float64")
    sequences = km.Sequences.from_strings(["ACGTTGCAACGGTTACA", "TTGACATTA", "GATTAC"])
    ids, mask = model.tensors(model.tokenize(*sequences.padded()))
    for inputs in (mask, mask.double()):
        logits = EncoderModules(model.encoder)(model.encoder.look_up(ids, mask), inputs)
        np.testing.assert_allclose(logits.numpy(), model.logits(sequences), atol=1e-12)


def test_every_nonlinearity_and_product_is_a_module_that_is_called(tiny_checkpoint: Path) -> None:
    model = km.load_model(tiny_checkpoint)
    network = EncoderModules(model.encoder)
    called: list[str] = []
    for module in network.modules():
        module.register_forward_hook(lambda module, given, out: called.append(type(module).__name__))
    network(model.encoder.words[torch.tensor([[2, 9, 8, 3]])], torch.ones(1, 4))
    counts = {kind: called.count(kind.__name__) for kind in (nn.Softmax, nn.GELU, nn.LayerNorm, nn.Tanh, Product)}
    assert counts == {nn.Softmax: 2, nn.GELU: 2, nn.LayerNorm: 5, nn.Tanh: 1, Product: 4}


def test_weights_are_shared_and_constant(tiny_checkpoint: Path) -> None:
    model = km.load_model(tiny_checkpoint)
    network = EncoderModules(model.encoder)
    assert network.classifier.weight.data_ptr() == model.encoder.classifier.weight.data_ptr()
    assert not any(parameter.requires_grad for parameter in network.parameters())


@pytest.mark.parametrize("folder", ["nucleotide_transformer_v1", "nucleotide_transformer_v2", "dnabert2", "gena_lm"])
def test_other_families_have_modules_too(folder: str) -> None:
    """Norms before, rotary positions and ALiBi, gates: the same logits, and DeepLIFT adds up."""
    model = km.load_model(REFERENCE / folder, dtype="float64")
    assert isinstance(model.encoder, Encoder)
    sequences = km.Sequences.from_strings(["ACGTTGCAACGGTTACATTGACA", "TTGACATTACAG"])
    ids, mask = model.tensors(model.tokenize(*sequences.padded()))
    logits = EncoderModules(model.encoder)(model.encoder.look_up(ids, mask), mask)
    np.testing.assert_allclose(logits.numpy(), model.logits(sequences), atol=1e-12)
    attribution = km.attribute(model, sequences, ["deep_lift"])["deep_lift"]
    assert attribution.diagnostics["delta"].max() < 1e-9
