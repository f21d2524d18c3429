"""The documented variants of the paper's scores, from the attentions that transformers gives out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from transformers import BertForSequenceClassification

import kmerit as km
from kmerit.attribution.trace import RULES
from kmerit.errors import ConfigError

REFERENCE = Path(__file__).parent / "reference"
SEQUENCES = km.Sequences.from_strings(["ACGTTGCAACGGTCAGGATT", "TTGACATTACGG", "GATTACAGATTACAGATTACAGG"])
TARGET = 1


@pytest.fixture(scope="module", params=[REFERENCE / "random_3x96", REFERENCE / "trained_2x64"], ids=lambda p: p.name)
def folder(request: pytest.FixtureRequest) -> Path:
    return Path(request.param)


def references(folder: Path, model: Any) -> list[tuple[list[Tensor], list[Tensor]]]:
    """Of each sequence alone: attentions [head, query, token] of every layer, and their gradients."""
    bert = BertForSequenceClassification.from_pretrained(
        folder, dtype=torch.float64, attn_implementation="eager"
    ).eval()
    result = []
    for i in range(len(SEQUENCES)):
        ids = torch.from_numpy(model.tokenize(*SEQUENCES.take([i]).padded()).ids)
        out = bert(input_ids=ids, output_attentions=True)
        gradients = torch.autograd.grad(out.logits[0, TARGET], out.attentions)
        result.append(([a[0].detach() for a in out.attentions], [g[0] for g in gradients]))
    return result


def check(folder: Path, method: str, expected: Any, **options: Any) -> None:
    """Compare scores of a padded micro-batch with what ``expected(attentions, gradients)`` makes of each sequence."""
    model = km.load_model(folder, dtype="float64")
    result = km.attribute(model, SEQUENCES, [method], target=TARGET, level="token", options={method: options})[
        method
    ].scores
    for row, (attentions, gradients) in zip(result, references(folder, model), strict=True):
        want = expected(attentions, gradients).clone()
        want[0] = 0
        np.testing.assert_allclose(row[: len(want)], want.numpy(), rtol=0, atol=1e-10 * float(want.abs().max()))
        assert np.isnan(row[len(want) :]).all()


def test_attention_summed_over_heads(folder: Path) -> None:
    check(folder, "attention", lambda a, g: a[-1].sum(0)[0])


def test_attention_averaged_over_heads(folder: Path) -> None:
    check(folder, "attention", lambda a, g: a[-1].mean(0)[0], heads="mean")


@pytest.mark.parametrize("first", [0, -2])
def test_attention_of_a_range_of_layers(folder: Path, first: int) -> None:
    check(folder, "attention", lambda a, g: sum(a[first:]).sum(0)[0] / len(a[first:]), first_layer=first)
    check(folder, "attention", lambda a, g: a[0].sum(0)[0], first_layer=0, last_layer=0)
    check(folder, "attention", lambda a, g: a[-2].sum(0)[0], first_layer=-2, last_layer=-2)


def test_attention_of_all_queries(folder: Path) -> None:
    check(folder, "attention", lambda a, g: a[-1].sum(0).mean(0), queries="mean")
    check(
        folder,
        "attention",
        lambda a, g: torch.stack(a).mean((0, 1, 2)),
        queries="mean",
        heads="mean",
        first_layer=0,
    )


def test_layers_that_cannot_be(folder: Path) -> None:
    model = km.load_model(folder)
    for wrong in ({"first_layer": 1, "last_layer": 0}, {"first_layer": 7}, {"first_layer": 0, "last_layer": 9},
                  {"first_layer": -1, "last_layer": 0}):  # fmt: skip
        with pytest.raises(ConfigError, match="layer"):
            km.attribute(model, SEQUENCES, ["attention"], options={"attention": wrong})


def test_plain_mean_of_the_layers(folder: Path) -> None:
    check(folder, "rollout", lambda a, g: torch.stack(a).mean((0, 1))[0], layers="mean")


def test_gradcam_element_by_element(folder: Path) -> None:
    check(folder, "gradcam", lambda a, g: (g[-1] * a[-1]).sum(0).clamp(min=0)[0], formula="elementwise")


@pytest.mark.parametrize("rules", ["chefer", "chefer_older"])
def test_full_lrp_at_the_words(folder: Path, rules: str) -> None:
    """The word's part of the sum word + (position + type), by the rule of a residual sum."""
    model = km.load_model(folder, dtype="float64")
    encoder = model.encoder
    options = {"full_lrp": {"rules": rules, "at": "words"}}
    result = km.attribute(model, SEQUENCES, ["full_lrp"], target=TARGET, level="token", options=options)["full_lrp"]
    for i in range(len(SEQUENCES)):
        ids, mask = model.tensors(model.tokenize(*SEQUENCES.take([i]).padded()))
        words = encoder.words[ids]
        tape = encoder.record(encoder.embed(words), mask)
        seed = torch.nn.functional.one_hot(torch.tensor([TARGET]), tape.logits.shape[1]).double()
        *_, (_, r) = encoder.sweep(tape, RULES[rules], seed)
        places = sum(added[: ids.shape[1]] for added in encoder.added)
        share = r * words / (words + places + 1e-9)
        if rules == "chefer" and r.any():
            rest = r - share
            whole = share.sum().abs() + rest.sum().abs()
            share = share * (share.sum().abs() / whole * r.sum() / share.sum())
        want = share.sum(-1)[0]
        want[0] = 0
        scale = float(want.abs().max()) or 1.0
        np.testing.assert_allclose(result.scores[i, : want.numel()] / scale, want.numpy() / scale, atol=1e-5)


def test_relevance_of_every_layers_attention(folder: Path) -> None:
    """Partial relevance reads what the reference implementation sums up, layer by layer and head by head."""
    model = km.load_model(folder, dtype="float64")
    expected = np.load(folder / "expected.npz")
    strings = json.loads((folder / "sequences.json").read_text())
    for i, text in enumerate(strings):
        sequence = km.Sequences.from_strings([text])
        ids, mask = model.tensors(model.tokenize(*sequence.padded()))
        tape = model.encoder.record(model.encoder.embed(model.encoder.words[ids]), mask)
        received = dict(model.encoder.sweep(tape, RULES["chefer"], torch.tensor([[0.0, 1.0]]).double()))
        sums = expected[f"s{i}.t1.attention_relevance_sums"]
        for layer, want in enumerate(sums):
            np.testing.assert_allclose(received[layer].sum((0, 2, 3)), want, atol=1e-4 * np.abs(sums).max())
            options = {"partial_lrp": {"layer": layer}}
            result = km.attribute(model, sequence, ["partial_lrp"], target=1, level="token", options=options)
            row = received[layer][0, :, 0].clamp(min=0).mean(0)
            row[0] = 0
            np.testing.assert_allclose(result["partial_lrp"].scores[0], row, rtol=1e-9, atol=1e-15)
