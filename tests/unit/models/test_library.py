"""The family huggingface: any classifier of transformers, by its own forward pass and autograd."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoModelForSequenceClassification

import kmerit as km
from helpers.checkpoints import change_config, random_strings, write_library
from kmerit.attribution.method import methods
from kmerit.errors import CheckpointError, LengthError, ModelError, UnsupportedMethod
from kmerit.models.family import Ability

SEQUENCES = km.Sequences.from_strings(random_strings([40, 17, 3, 60]))
KINDS: dict[str, dict[str, Any]] = {
    "distilbert": {"dim": 16, "n_layers": 2, "n_heads": 4, "hidden_dim": 24},
    "roberta": {},
    "electra": {"embedding_size": 12},
    "gpt2": {"n_embd": 16, "n_layer": 2, "n_head": 4, "bos_token_id": 1, "eos_token_id": 2},
}
READS_CLS = {"distilbert", "roberta", "electra"}


@pytest.fixture(scope="module", params=KINDS)
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_library(tmp_path_factory.mktemp(request.param), request.param, **KINDS[request.param])


@pytest.fixture(scope="module")
def model(folder: Path) -> Any:
    return km.load_model(folder, dtype="float64")


@pytest.fixture(scope="module")
def reference(folder: Path) -> Any:
    return AutoModelForSequenceClassification.from_pretrained(
        folder, dtype=torch.float64, attn_implementation="eager"
    ).eval()


@pytest.fixture(scope="module")
def distilbert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_library(tmp_path_factory.mktemp("one"), "distilbert", **KINDS["distilbert"])


def inputs(model: Any, i: int) -> torch.Tensor:
    return torch.from_numpy(model.tokenize(*SEQUENCES.take([i]).padded()).ids)


def test_logits_are_the_librarys(model: Any, reference: Any) -> None:
    assert model.family == "huggingface"
    with torch.no_grad():
        expected = torch.cat([reference(input_ids=inputs(model, i)).logits for i in range(len(SEQUENCES))])
    np.testing.assert_allclose(model.logits(SEQUENCES), expected, rtol=0, atol=1e-10)
    tokens = model.tokenize(*SEQUENCES.padded())
    ids, mask = model.tensors(tokens)
    entered = model.encoder.classify(model.encoder.look_up(ids, mask), mask)
    np.testing.assert_allclose(entered, expected, rtol=0, atol=1e-10)


def test_gradients_are_autograds(model: Any, reference: Any) -> None:
    result = km.attribute(model, SEQUENCES, ["saliency", "input_x_gradient"], target=1, level="token")
    close = {"rtol": 1e-8, "atol": 1e-12}
    for i in range(len(SEQUENCES)):
        ids, words = inputs(model, i), []
        handle = reference.get_input_embeddings().register_forward_hook(
            lambda _, __, out, words=words: words.append(out.requires_grad_()) or words[0]
        )
        logits = reference(input_ids=ids).logits
        handle.remove()
        (gradient,) = torch.autograd.grad(logits[0, 1], words[0])
        saliency, product = (result[name].scores[i, : ids.shape[1]] for name in ("saliency", "input_x_gradient"))
        np.testing.assert_allclose(saliency, gradient[0].norm(dim=-1), **close)
        np.testing.assert_allclose(product, (gradient * words[0])[0].sum(-1).detach(), **close)


def test_attention_only_where_the_head_reads_the_first_token(folder: Path, model: Any, reference: Any) -> None:
    reads = reference.config.model_type in READS_CLS
    assert (Ability.ATTENTION in model.abilities) == reads
    if not reads:
        with pytest.raises(UnsupportedMethod, match=r"attention needs attention of a classification token"):
            km.attribute(model, SEQUENCES, ["attention"])
        return
    result = km.attribute(model, SEQUENCES, ["attention", "gradcam"], target=0, level="token")
    for i in range(len(SEQUENCES)):
        out = reference(input_ids=inputs(model, i), output_attentions=True)
        last = out.attentions[-1]
        expected = last[0, :, 0].sum(0).detach().numpy()
        np.testing.assert_allclose(result["attention"].scores[i, 1 : expected.size], expected[1:], rtol=1e-8)
        (gradient,) = torch.autograd.grad(out.logits[0, 0], last)
        weighted = (gradient[0].mean((1, 2))[:, None, None] * last[0]).mean(0).clamp(min=0).detach()
        row = ((weighted - weighted.min()) / (weighted.max() - weighted.min()))[0]
        if torch.isfinite(row).all():
            np.testing.assert_allclose(result["gradcam"].scores[i, 1 : expected.size], row[1:], rtol=1e-7, atol=1e-9)


@pytest.mark.usefixtures("nothing_withheld")
@pytest.mark.parametrize("name", [name for name, method in methods().items() if method.asks_for(method.complete({}))])
def test_a_method_that_it_cannot_serve_is_refused_by_name(name: str, distilbert: Path) -> None:
    model = km.load_model(distilbert)
    if methods()[name].asks_for(methods()[name].complete({})) <= model.abilities:
        assert km.attribute(model, SEQUENCES, [name])[name].scores.shape == (4, 60)
        return
    with pytest.raises(UnsupportedMethod, match=rf"^{name} needs .*family huggingface.*saliency") as caught:
        km.attribute(model, SEQUENCES, ["attention", name])
    assert str(caught.value).count("\n") <= 1


def test_the_librarys_sweep_has_no_relevance(distilbert: Path) -> None:
    from kmerit.models.rules import CHEFER

    model: Any = km.load_model(distilbert)
    ids, mask = model.tensors(model.tokenize(*SEQUENCES.padded()))
    tape = model.encoder.record(model.encoder.look_up(ids, mask), mask)
    with pytest.raises(UnsupportedMethod, match="no relevance rules"):
        next(model.encoder.sweep(tape, CHEFER, torch.ones_like(tape.logits)))


def test_the_one_hot_bridge_is_for_dnabert(distilbert: Path) -> None:
    with pytest.raises(UnsupportedMethod, match=r"huggingface has none\. Use ism"):
        km.one_hot_model(km.load_model(distilbert))


def test_positions_are_counted_as_the_library_counts(tmp_path: Path) -> None:
    folder = write_library(tmp_path, "roberta")
    model = km.load_model(folder)
    assert model.max_tokens == 96 - 4  # position ids start behind the padding token's
    with pytest.raises(LengthError, match="huggingface allows 90 plus 2 special"):
        model.predict(km.Sequences.from_strings(random_strings([400])))


def test_refused(distilbert: Path, tmp_path: Path) -> None:
    def spoilt(name: str, **changes: object) -> Path:
        folder = Path(shutil.copytree(distilbert, tmp_path / name))
        change_config(folder, **changes)
        return folder

    for name, changes, message in (
        ("headless", {"architectures": ["DistilBertForMaskedLM"]}, "there is no classification head"),
        ("another", {"model_type": "roberta"}, "expected a tensor .*RobertaForSequenceClassification"),
        ("wider", {"dim": 32}, r"makes 'classifier.weight' \[2, 32\], the weights make it \[2, 16\]"),
        ("broken", {"n_heads": 3}, "transformers cannot load it"),
        ("two parts", {"model_type": "bart", "is_encoder_decoder": True}, "bart is an encoder with a decoder"),
    ):
        with pytest.raises(CheckpointError, match=message):
            km.load_model(spoilt(name, **changes))


def test_dropout_of_a_tokeniser_is_left_out(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder = write_library(tmp_path, "distilbert", **KINDS["distilbert"])
    expected = km.load_model(folder).logits(SEQUENCES)
    tree = json.loads((folder / "tokenizer.json").read_text())
    tree["model"]["dropout"] = 0.5
    (folder / "tokenizer.json").write_text(json.dumps(tree))
    np.testing.assert_array_equal(km.load_model(folder).logits(SEQUENCES), expected)
    assert "has a dropout of 0.5" in caplog.text


def test_a_dtype_that_the_library_cannot_compute_in_is_said(tmp_path: Path) -> None:
    sizes = {"num_local_experts": 4, "num_experts_per_tok": 2, "num_key_value_heads": 2, "head_dim": 4}
    folder = write_library(tmp_path, "mixtral", **sizes)
    assert km.load_model(folder).logits(SEQUENCES).shape == (4, 2)
    with pytest.raises(ModelError, match=r"MixtralForSequenceClassification .* cannot be run in float64 on cpu \("):
        km.load_model(folder, dtype="float64").logits(SEQUENCES)


def test_weights_are_not_rounded_to_what_the_config_says(tmp_path: Path) -> None:
    folder = write_library(tmp_path, "distilbert", **KINDS["distilbert"])
    expected = km.load_model(folder, dtype="float64").logits(SEQUENCES)
    change_config(folder, dtype="float16", torch_dtype="float16")
    np.testing.assert_array_equal(km.load_model(folder, dtype="float64").logits(SEQUENCES), expected)


def test_another_shape_is_named(distilbert: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(distilbert, tmp_path / "copy"))
    change_config(folder, hidden_dim=32)
    with pytest.raises(CheckpointError, match=r"makes '.*lin1.bias' \[32\], the weights make it \[24\]"):
        km.load_model(folder)
