"""The attention that heads pay, against transformers' own matrices read by plain loops."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import kmerit as km
from helpers.checkpoints import REFERENCE, random_strings, write_library
from kmerit.biology.heads import paid_attention
from kmerit.errors import UnsupportedMethod, UsageError
from kmerit.models.inference import Company

Make = Callable[..., Path]
STRINGS = random_strings([60, 41, 60])


def matrices(folder: Path, strings: list[str]) -> list[np.ndarray]:
    """[layer, head, token, token] of each sequence, by transformers from 6-mers."""
    from transformers import BertForSequenceClassification

    module = BertForSequenceClassification.from_pretrained(folder, attn_implementation="eager").eval()
    words = (folder / "vocab.txt").read_text().split()
    result = []
    for text in strings:
        ids = [words.index(w) for w in ["[CLS]", *(text[i : i + 6] for i in range(len(text) - 5)), "[SEP]"]]
        with torch.no_grad():
            out = module(torch.tensor([ids]), output_attentions=True)
        result.append(torch.stack(out.attentions)[:, 0].numpy())
    return result


def read(matrix: np.ndarray, variant: str) -> tuple[np.ndarray, float]:
    """Read one head's matrix [token, token], the first and last token special."""
    inner = range(1, len(matrix) - 1)
    rows = {q: np.array([matrix[q, k] for k in inner]) for q in ([0] if variant == "cls" else inner)}
    sink = float(np.mean([1 - row.sum() for row in rows.values()]))
    rows = {q: row / row.sum() for q, row in rows.items()}
    if variant == "focus":
        return np.array([1 + (row * np.log(row)).sum() / np.log(len(row)) for row in rows.values()]), sink
    return np.mean(list(rows.values()), axis=0), sink


@pytest.mark.parametrize("variant", ["paid", "focus", "cls"])
def test_attention_is_that_of_transformers(tiny_checkpoint: Path, variant: str) -> None:
    model = km.load_model(tiny_checkpoint, micro_batch=2)
    result = paid_attention(model, km.Sequences.from_strings(STRINGS), variant)
    assert result.values.shape == (3, 2, 4, 60)
    for row, (text, each) in enumerate(zip(STRINGS, matrices(tiny_checkpoint, STRINGS), strict=True)):
        for layer, head in np.ndindex(2, 4):
            by_token, sink = read(each[layer, head], variant)
            by_letter = [by_token[max(0, i - 5) : i + 1].mean() for i in range(len(text))]
            np.testing.assert_allclose(result.values[row, layer, head, : len(text)], by_letter, rtol=2e-4, atol=1e-6)
            assert result.sink[row, layer, head] == pytest.approx(sink, rel=1e-4)
        assert np.isnan(result.values[row, :, :, len(text) :]).all()


def test_company_and_batches_change_nothing(tiny_checkpoint: Path) -> None:
    model, rows = km.load_model(tiny_checkpoint), km.Sequences.from_strings(STRINGS)
    seen: list[tuple[int, int]] = []
    whole = paid_attention(model, rows)
    alone = paid_attention(
        replace(model, micro_batch=1, company=Company.NONE), rows, progress=lambda *a: seen.append(a)
    )
    np.testing.assert_allclose(alone.values, whole.values, rtol=1e-4, atol=1e-7)
    assert seen[-1] == (3, 3)


KINDS: dict[str, dict[str, object]] = {
    "distilbert": {},
    "roberta": {},
    "modernbert": {"local_attention": 8, "cls_token_id": 1, "sep_token_id": 2, "bos_token_id": 1, "eos_token_id": 2},
    "llama": {"num_key_value_heads": 2},
    "gpt_neox": {},  # a library's decoder, whose head reads the last token
}
PUBLISHED = ("dnabert2", "gena_lm", "nucleotide_transformer_v1", "nucleotide_transformer_v2")


@pytest.mark.parametrize("kind", [*KINDS, *PUBLISHED])
def test_every_family_with_attentions(tmp_path: Path, kind: str) -> None:
    folder = write_library(tmp_path / kind, kind, **KINDS[kind]) if kind in KINDS else REFERENCE / kind
    model = km.load_model(folder)
    result = paid_attention(model, km.Sequences.from_strings(STRINGS))
    inside = ~np.isnan(result.values)
    assert inside[0].all()
    assert inside.any(axis=3).all()
    assert (result.values[inside] >= 0).all()
    assert ((result.sink >= 0) & (result.sink < 1)).all()
    assert result.values[0].std(axis=2).min() > 0


def test_what_has_no_attention_is_refused(tiny_checkpoint: Path) -> None:
    rows = km.Sequences.from_strings(STRINGS[:1])
    model = km.load_model(tiny_checkpoint)
    with pytest.raises(UsageError, match="attention: expected one of paid, focus, cls, got 'sent'"):
        paid_attention(model, rows, "sent")
    with pytest.raises(UnsupportedMethod, match="no classification token"):
        paid_attention(replace(model, abilities=frozenset()), rows, "cls")
    module = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(240, 2))
    with pytest.raises(UnsupportedMethod, match="no attention to show"):
        paid_attention(km.wrap(module, 60, ["a", "b"]), rows)
