"""The ledger: its entries add up to the output on every family, and each is what it says."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import BertForSequenceClassification

import kmerit as km
from helpers.checkpoints import REFERENCE, random_strings, write_library
from kmerit.attribution.ledger import ENTRIES, _Recorded
from kmerit.errors import ModelError, UnknownName, UnsupportedMethod, UsageError
from kmerit.models.layers import alibi
from kmerit.models.rules import ATTNLRP

FIXTURES = sorted(path.name for path in REFERENCE.iterdir() if (path / "model.safetensors").is_file())
LIBRARY = {
    "modernbert": {"local_attention": 8, "cls_token_id": 1, "sep_token_id": 2, "bos_token_id": 1, "eos_token_id": 2},
    "llama": {"num_key_value_heads": 2},
}
SEQUENCES = km.Sequences.from_strings(random_strings([39, 12, 17, 30]), labels=[0, 1, 1, 1])
METHODS = ("cp_lrp", "attnlrp")


def shifted(folder: Path) -> Path:
    """Give every offset a size that cannot be overlooked."""
    weights, draw = load_file(folder / "model.safetensors"), torch.Generator().manual_seed(3)
    for key, value in weights.items():
        if key.endswith("bias") and "filter_fn" not in key:
            weights[key] = value + 0.3 * torch.randn(value.shape, generator=draw).to(value.dtype)
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    return folder


@pytest.fixture(params=["dnabert", *FIXTURES, *LIBRARY])
def model(request: pytest.FixtureRequest, tmp_path: Path, tiny_checkpoint: Path) -> Any:
    """A tiny model of each family, with large offsets."""
    name = request.param
    if name in LIBRARY:
        folder = write_library(tmp_path / name, name, **LIBRARY[name])
    else:
        folder = Path(shutil.copytree(tiny_checkpoint if name == "dnabert" else REFERENCE / name, tmp_path / name))
    return km.load_model(shifted(folder), dtype="float64")


@pytest.mark.parametrize("target", [0, "predicted"])
def test_entries_add_up_to_the_output(model: Any, target: Any) -> None:
    table = km.ledger(model, SEQUENCES, target=target)
    assert len(table) == 2 * len(SEQUENCES)
    np.testing.assert_allclose(table[list(ENTRIES)].sum(axis=1), table["output"], rtol=0, atol=1e-9)
    chosen = model.logits(SEQUENCES)[np.tile(np.arange(4), 2), table["target"]]
    np.testing.assert_allclose(table["output"], chosen, rtol=0, atol=1e-12)
    assert (table.query("method == 'cp_lrp'")["softmax"] == 0).all()
    offsets = table[["bias", "norm_offset"]].abs().sum(axis=1)
    assert (offsets > 1e-3).all() or not _offsets(model)


def test_a_gamma_needs_a_first_convolution(model: Any) -> None:
    for ask in (km.attribute, km.ledger):
        with pytest.raises(UnsupportedMethod, match=rf"family {model.family}\). Leave gamma out of its options"):
            ask(model, SEQUENCES, ["attnlrp"], options={"attnlrp": {"gamma": 0.25}})


def _offsets(model: Any) -> bool:
    return model.family not in ("caduceus", "llama")  # without one, or with few that count


def test_what_embeddings_received_is_the_methods_relevance(model: Any) -> None:
    table = km.ledger(model, SEQUENCES, target=1)
    scores = km.attribute(
        model, SEQUENCES, ["cp_lrp", "attnlrp"], target=1, level="token", options={m: {"at": "words"} for m in METHODS}
    )
    for name, rows in table.groupby("method"):
        expected = scores[str(name)].diagnostics["relevance_sum"]
        np.testing.assert_allclose(rows["input"] + rows["special"], expected, rtol=1e-9, atol=1e-12)


def test_each_entry_is_autograds(tiny_checkpoint: Path, tmp_path: Path) -> None:
    """A BERT written anew from transformers, differentiated with respect to every parameter."""
    folder = shifted(Path(shutil.copytree(tiny_checkpoint, tmp_path / "copy")))
    reference: Any = BertForSequenceClassification.from_pretrained(folder, dtype=torch.float64).eval()
    model = km.load_model(folder)
    for method in METHODS:
        table = km.ledger(model, SEQUENCES, [method], target=1)
        for i in range(len(SEQUENCES)):
            tokens = model.tokenize(*SEQUENCES.take([i]).padded())
            logit, shares = _by_autograd(reference, torch.from_numpy(tokens.ids)[0], method == "cp_lrp")
            np.testing.assert_allclose(table.loc[i, list(shares)].astype(float), list(shares.values()), atol=1e-9)
            np.testing.assert_allclose(table.loc[i, "softmax"], logit - sum(shares.values()), atol=1e-9)


def _by_autograd(model: Any, ids: torch.Tensor, constant: bool) -> tuple[float, dict[str, float]]:
    def norm(x: torch.Tensor, layer: Any) -> torch.Tensor:
        deviation = (x.var(-1, correction=0, keepdim=True) + layer.eps).sqrt().detach()
        return (x - x.mean(-1, keepdim=True)) / deviation * layer.weight + layer.bias

    def times(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        return (a @ b) / 2 + ((a @ b) / 2).detach()

    def curve(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return x * (y / x).detach()

    table, heads = model.bert.embeddings, model.config.num_attention_heads
    words = table.word_embeddings(ids).detach().requires_grad_()
    places = table.position_embeddings.weight[: len(ids)].detach().requires_grad_()
    kind = table.token_type_embeddings.weight[0].detach().requires_grad_()
    x = norm(words + places + kind, table.LayerNorm)
    for layer in model.bert.encoder.layer:
        this, out = layer.attention.self, layer.attention.output
        q, k, v = (part(x).view(len(x), heads, -1).transpose(0, 1) for part in (this.query, this.key, this.value))
        attention = (times(q, k.transpose(1, 2)) / q.shape[-1] ** 0.5).softmax(-1)
        mixed = attention.detach() @ v if constant else times(attention, v)
        y = norm(x + out.dense(mixed.transpose(0, 1).flatten(1)), out.LayerNorm)
        raised = layer.intermediate.dense(y)
        lowered = layer.output.dense(curve(raised, torch.nn.functional.gelu(raised)))
        x = norm(y + lowered, layer.output.LayerNorm)
    pooled = model.bert.pooler.dense(x[0])
    logit = model.classifier(curve(pooled, pooled.tanh()))[1]
    biases = {name: p for name, p in model.named_parameters() if name.endswith("bias")}
    leaves = [words, places, kind, *biases.values()]
    received = torch.autograd.grad(logit, leaves, allow_unused=True, materialize_grads=True)
    of_words = (words * received[0]).sum(-1).detach()
    shares = [float((leaf * r).sum().detach()) for leaf, r in zip(leaves, received, strict=True)]
    of_norms = sum(s for name, s in zip(biases, shares[3:], strict=True) if "LayerNorm" in name)
    return float(logit.detach()), {
        "input": float(of_words[1:-1].sum()),
        "special": float(of_words[0] + of_words[-1]),
        "bias": shares[2] + sum(shares[3:]) - of_norms,
        "norm_offset": of_norms,
        "position": shares[1],
    }


def test_alibi_is_a_position() -> None:
    """One layer by hand: what is added to the scores, times what the scores received."""
    draw = torch.Generator().manual_seed(0)
    slopes = torch.tensor([0.5, 0.25], dtype=torch.float64)
    product, r = (torch.randn(1, 2, 4, 4, generator=draw, dtype=torch.float64) for _ in range(2))
    scores = (product * 0.3 + alibi(slopes, 4)).requires_grad_()
    attention = scores.softmax(-1)
    (received,) = torch.autograd.grad((attention * r).sum(), scores)
    rules = _Recorded(ATTNLRP, slopes)
    back = rules.softmax(attention.detach(), r.clone(), 0.3)
    torch.testing.assert_close(rules.entries["position"], (alibi(slopes, 4) * received).sum()[None])
    rules.matmul(
        torch.zeros(1, 2, 4, 3, dtype=torch.float64), torch.zeros(1, 2, 3, 4, dtype=torch.float64), product, back
    )
    expected = (attention * r).sum() - (scores * received).sum()
    torch.testing.assert_close(rules.entries["softmax"], expected.detach()[None])


def test_sequences_alone_and_together(model: Any) -> None:
    together = km.ledger(model, SEQUENCES, ["attnlrp"], target=1)
    alone = pd.concat([km.ledger(model, SEQUENCES.take([i]), ["attnlrp"], target=1) for i in range(4)])
    np.testing.assert_allclose(together[list(ENTRIES)], alone[list(ENTRIES)], rtol=0, atol=1e-9)


def test_means_of_each_class(tiny_checkpoint: Path) -> None:
    table = km.ledger(km.load_model(tiny_checkpoint), SEQUENCES, ["cp_lrp"])
    means = km.ledger_by_class(table)
    assert means["sequences"].tolist() == [1, 3]
    np.testing.assert_allclose(means.loc[1, list(ENTRIES)].sum(), table["output"][1:].mean(), atol=1e-9)
    sizes = table[list(ENTRIES)].abs()
    np.testing.assert_allclose(means["input_share"][0], sizes.loc[0, "input"] / sizes.loc[0].sum())
    np.testing.assert_allclose(means["position_share"][0], sizes.loc[0, "position"] / sizes.loc[0].sum())
    no_input = sizes.loc[0, ["bias", "norm_offset", "softmax"]].sum()
    np.testing.assert_allclose(means["no_input_share"][0], no_input / sizes.loc[0].sum())


def test_what_has_no_ledger_is_refused(tiny_checkpoint: Path) -> None:
    model = km.load_model(tiny_checkpoint)
    for name in ("full_lrp", "attention", "integrated_gradients"):
        with pytest.raises(UnsupportedMethod, match=f"{name} has no ledger"):
            km.ledger(model, SEQUENCES, [name])
    with pytest.raises(UnknownName, match="method with a ledger"):
        km.ledger(model, SEQUENCES, ["cp_lpr"])
    with pytest.raises(UsageError, match=r"Write \['cp_lrp'\]"):
        km.ledger(model, SEQUENCES, "cp_lrp")
    network = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(4 * 12, 1))
    with pytest.raises(UnsupportedMethod, match="no ledger"):
        km.ledger(km.wrap(network, length=12, outputs=1, problem="value"), ["ACGTACGTACGT"])


def test_an_offset_that_is_not_known_is_found_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = km.load_model(shifted(Path(shutil.copytree(REFERENCE / "hyenadna", tmp_path / "copy"))))
    plain = type(model.encoder).run
    monkeypatch.setattr(type(model.encoder), "run", lambda *args: plain(*args) + 1)
    with pytest.raises(ModelError, match="miss the output by 1"):
        km.ledger(model, SEQUENCES)
