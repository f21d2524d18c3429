"""Encoders of other families against public implementations: as fixtures, and transformers where it has them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from transformers import (
    AutoModelForSequenceClassification,
    BertForSequenceClassification,
    EsmConfig,
    EsmForSequenceClassification,
)
from transformers.models.esm import modeling_esm

import kmerit as km
from helpers.checkpoints import REFERENCE, random_strings, write_library
from kmerit.models.tokenizers import layout

FAMILY = {
    "nucleotide_transformer_v1": "nucleotide_transformer",
    "nucleotide_transformer_v2": "nucleotide_transformer",
    "dnabert2": "dnabert2",
    "gena_lm": "bert",
    "hyenadna": "hyenadna",
    "caduceus_ph": "caduceus",
    "caduceus_ps": "caduceus",
    "caduceus_ps_unfused": "caduceus",
    "caduceus_product": "caduceus",
}


@pytest.mark.parametrize("folder", FAMILY)
def test_public_implementations(folder: str) -> None:
    expected = json.loads((REFERENCE / folder / "expected.json").read_text())
    model: Any = km.load_model(REFERENCE / folder, dtype="float64")
    assert model.family == FAMILY[folder]
    sequences = km.Sequences.from_strings(expected["sequences"])
    tokens = model.tokenize(*sequences.padded())
    for row, mask, ids in zip(tokens.ids, tokens.mask, expected["ids"], strict=True):
        assert row[mask].tolist() == ids
    np.testing.assert_allclose(model.logits(sequences), expected["logits"], rtol=0, atol=1e-10)  # padded together
    if "masked" in expected:
        ids = torch.tensor(expected["masked"])
        mask = ids != model.tokenizer.vocabulary.index("<pad>")
        np.testing.assert_allclose(model.encoder.logits(ids, mask), expected["masked_logits"], rtol=0, atol=1e-10)


def write_esm(folder: Path, **changes: Any) -> Path:
    torch.manual_seed(1)
    vocabulary = layout(3, ends=False)
    config = EsmConfig(
        vocab_size=len(vocabulary),
        hidden_size=24,
        num_hidden_layers=2,
        num_attention_heads=3,
        intermediate_size=40,
        max_position_embeddings=50,
        pad_token_id=1,
        mask_token_id=2,
        initializer_range=0.3,
        num_labels=3,
        **changes,
    )
    EsmForSequenceClassification(config).save_pretrained(folder)
    (folder / "vocab.txt").write_text("\n".join(vocabulary))
    return folder


def double_rotation(q: Tensor, k: Tensor, cos: Tensor, sin: Tensor, **options: Any) -> tuple[Tensor, Tensor]:
    """What transformers does in float32 whatever the model's dtype."""
    half = q.shape[-1] // 2
    q_turned, k_turned = (torch.cat((-x[..., half:], x[..., :half]), -1) for x in (q, k))
    return q * cos[:, None] + q_turned * sin[:, None], k * cos[:, None] + k_turned * sin[:, None]


def double_tables(self: Any, x: Tensor, position_ids: Tensor, **options: Any) -> tuple[Tensor, Tensor]:
    """The same for the angles."""
    size = self.config.hidden_size // self.config.num_attention_heads
    frequencies = torch.tensor([10000.0 ** (-2 * i / size) for i in range(size // 2)], dtype=torch.float64)
    angles = (position_ids[..., None].double() * frequencies).repeat(1, 1, 2)
    return angles.cos(), angles.sin()


ESM = {
    "learned positions": {"position_embedding_type": "absolute"},
    "token dropout": {"position_embedding_type": "absolute", "token_dropout": True},
    "norm before": {"position_embedding_type": "absolute", "emb_layer_norm_before": True},
    "rotary positions": {"position_embedding_type": "rotary"},
}


@pytest.mark.parametrize("variant", ESM)
def test_esm_equals_transformers(variant: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(modeling_esm, "apply_rotary_pos_emb", double_rotation)
    monkeypatch.setattr(modeling_esm.EsmRotaryEmbedding, "forward", double_tables)
    folder = write_esm(tmp_path, **ESM[variant])
    reference = EsmForSequenceClassification.from_pretrained(folder, dtype=torch.float64).eval()
    model: Any = km.load_model(folder, dtype="float64")
    sequences = km.Sequences.from_strings([*random_strings([45, 1, 44, 13]), "ACGNNTTTACG"])
    ids, mask = model.tensors(model.tokenize(*sequences.padded()))
    ids[0, 2:6] = 2  # 4 of 16 masked: transformers makes that share in float32
    with torch.no_grad():
        expected = reference(input_ids=ids, attention_mask=mask.long()).logits
    torch.testing.assert_close(model.encoder.logits(ids, mask), expected, rtol=0, atol=1e-10)
    tape = model.encoder.record(model.encoder.embed(model.encoder.look_up(ids, mask)), mask)
    torch.testing.assert_close(tape.logits, expected, rtol=0, atol=1e-10)


def test_bert_over_bpe_equals_transformers(tmp_path: Path) -> None:
    folder = write_library(tmp_path, "bert")
    reference = BertForSequenceClassification.from_pretrained(folder, dtype=torch.float64).eval()
    model: Any = km.load_model(folder, dtype="float64")
    assert model.family == "bert"
    sequences = km.Sequences.from_strings(random_strings([60, 1, 44, 13]))
    tokens = model.tokenize(*sequences.padded())
    with torch.no_grad():
        ids, mask = torch.from_numpy(tokens.ids), torch.from_numpy(tokens.mask).long()
        expected = reference(input_ids=ids, attention_mask=mask).logits
    np.testing.assert_allclose(model.logits(sequences), expected, rtol=0, atol=1e-10)


ENDS = {"cls_token_id": 1, "sep_token_id": 2, "bos_token_id": 1, "eos_token_id": 2}
BIASED = {"norm_bias": True, "mlp_bias": True, "attention_bias": True, "classifier_bias": True}
LATER: dict[str, tuple[str, str, dict[str, Any]]] = {
    "modernbert": ("modernbert", "modernbert", {"local_attention": 8, "num_hidden_layers": 4, **ENDS}),
    "modernbert, mean": (
        "modernbert",
        "modernbert",
        {"local_attention": 8, "classifier_pooling": "mean", **BIASED, **ENDS},
    ),
    "llama": ("llama", "llama", {"attention_bias": True, "mlp_bias": True}),
    "llama, grouped": ("llama", "llama", {"num_key_value_heads": 2, "head_dim": 6}),
    "mistral": ("mistral", "llama", {"num_key_value_heads": 2, "sliding_window": 6}),
}


@pytest.mark.parametrize("variant", LATER)
def test_later_families_equal_transformers(variant: str, tmp_path: Path) -> None:
    """Each sequence alone in transformers, all of them in one padded batch here.

    Transformers computes rotations in float32 whatever the model's dtype.
    """
    kind, family, changes = LATER[variant]
    folder = write_library(tmp_path, kind, **changes)
    reference = AutoModelForSequenceClassification.from_pretrained(
        folder, dtype=torch.float64, attn_implementation="eager"
    ).eval()
    model: Any = km.load_model(folder, dtype="float64")
    assert model.family == family
    sequences = km.Sequences.from_strings(random_strings([60, 1, 44, 13]))
    tokens = model.tokenize(*sequences.padded())
    alone = [torch.from_numpy(row[mask][None]) for row, mask in zip(tokens.ids, tokens.mask, strict=True)]
    with torch.no_grad():
        expected = torch.cat([reference(input_ids=ids, attention_mask=torch.ones_like(ids)).logits for ids in alone])
    np.testing.assert_allclose(model.logits(sequences), expected, rtol=0, atol=2e-6)
    assert expected.abs().max() > 0.1
