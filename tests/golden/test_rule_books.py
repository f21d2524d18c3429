"""Rule books against an independent BERT whose autograd is modified, and what they conserve."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from transformers import BertForSequenceClassification

import kmerit as km
from kmerit.models.model import Model

SEQUENCES = km.Sequences.from_strings(["ACGTTGCAACGGTCA" * 3, "TTGACATTACGGATTTCCAGA"])


@pytest.fixture(scope="module")
def unbiased(tmp_path_factory: pytest.TempPathFactory, tiny_checkpoint: Path) -> Path:
    """The tiny checkpoint with every bias at zero."""
    folder = tmp_path_factory.mktemp("unbiased")
    model = BertForSequenceClassification.from_pretrained(tiny_checkpoint)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith("bias"):
                parameter.zero_()
    model.save_pretrained(folder)
    return folder


def times(a: Tensor, b: Tensor) -> Tensor:
    """A product whose factors get half of the gradient each."""
    half = (a @ b) / 2
    return half + half.detach()


def element_wise(x: Tensor, y: Tensor) -> Tensor:
    """A nonlinearity whose gradient is y / x."""
    return x * (y / x).detach()


def norm(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    deviation = (x.var(-1, correction=0, keepdim=True) + 1e-12).sqrt().detach()
    return (x - x.mean(-1, keepdim=True)) / deviation * weight + bias


def modified(model: Any, x: Tensor, constant_attention: bool) -> Tensor:
    """BERT written anew from its Hugging Face modules, for one unpadded sequence x [token, hidden]: logits."""
    heads = model.config.num_attention_heads
    for layer in model.bert.encoder.layer:
        this = layer.attention.self
        q, k, v = (part(x).view(len(x), heads, -1).transpose(0, 1) for part in (this.query, this.key, this.value))
        product = times(q, k.transpose(1, 2))
        attention = (product / q.shape[-1] ** 0.5).softmax(-1)
        mixed = attention.detach() @ v if constant_attention else times(attention, v)
        out = layer.attention.output
        y = norm(x + out.dense(mixed.transpose(0, 1).flatten(1)), out.LayerNorm.weight, out.LayerNorm.bias)
        raised = layer.intermediate.dense(y)
        lowered = layer.output.dense(element_wise(raised, torch.nn.functional.gelu(raised)))
        x = norm(y + lowered, layer.output.LayerNorm.weight, layer.output.LayerNorm.bias)
    pooled = model.bert.pooler.dense(x[0])
    return model.classifier(element_wise(pooled, pooled.tanh()))


@pytest.mark.parametrize(("method", "constant"), [("attnlrp", False), ("cp_lrp", True)])
def test_modified_gradient_times_input(method: str, constant: bool, tiny_checkpoint: Path) -> None:
    reference = BertForSequenceClassification.from_pretrained(tiny_checkpoint, dtype=torch.float64).eval()
    model = km.load_model(tiny_checkpoint, dtype="float64")
    for target in (0, 1):
        result = km.attribute(model, SEQUENCES, [method], target=target, level="token")[method].scores
        for i in range(len(SEQUENCES)):
            tokens = model.tokenize(*SEQUENCES.take([i]).padded())
            x = reference.bert.embeddings(torch.from_numpy(tokens.ids))[0].detach().requires_grad_()
            logits = modified(reference, x, constant)
            torch.testing.assert_close(logits, reference(torch.from_numpy(tokens.ids)).logits[0])
            (gradient,) = torch.autograd.grad(logits[target], x)
            expected = (gradient * x).sum(-1).detach().numpy()
            np.testing.assert_allclose(result[i, : len(expected)], expected, rtol=1e-8, atol=1e-10)


def attribute(folder: Path, method: str, **options: Any) -> tuple[Model, km.Attribution]:
    model = km.load_model(folder, dtype="float64")
    return model, km.attribute(model, SEQUENCES, [method], target=1, level="token", **options)[method]


def test_cp_lrp_conserves_the_logit(unbiased: Path) -> None:
    model, attribution = attribute(unbiased, "cp_lrp")
    np.testing.assert_allclose(attribution.diagnostics["relevance_sum"], model.logits(SEQUENCES)[:, 1], rtol=1e-9)


def test_attnlrp_leaks_through_its_softmax(unbiased: Path) -> None:
    model, attribution = attribute(unbiased, "attnlrp")
    assert np.abs(attribution.diagnostics["relevance_sum"] - model.logits(SEQUENCES)[:, 1]).min() > 1e-3


def test_chefers_rules_conserve_one(unbiased: Path) -> None:
    _, attribution = attribute(unbiased, "full_lrp")
    np.testing.assert_allclose(attribution.diagnostics["relevance_sum"], 1, rtol=1e-5)


def test_gradients_are_autograds(tiny_checkpoint: Path) -> None:
    reference = BertForSequenceClassification.from_pretrained(tiny_checkpoint, dtype=torch.float64).eval()
    model = km.load_model(tiny_checkpoint, dtype="float64")
    result = km.attribute(model, SEQUENCES, ["saliency", "input_x_gradient"], target=1, level="token")
    for i in range(len(SEQUENCES)):
        ids = torch.from_numpy(model.tokenize(*SEQUENCES.take([i]).padded()).ids)
        words = reference.bert.embeddings.word_embeddings(ids).detach().requires_grad_()
        (gradient,) = torch.autograd.grad(reference(inputs_embeds=words).logits[0, 1], words)
        count = ids.shape[1]
        saliency, product = (result[name].scores[i, :count] for name in ("saliency", "input_x_gradient"))
        np.testing.assert_allclose(saliency, gradient[0].norm(dim=-1).numpy(), rtol=1e-9)
        np.testing.assert_allclose(product, (gradient * words)[0].sum(-1).detach().numpy(), rtol=1e-8, atol=1e-12)
