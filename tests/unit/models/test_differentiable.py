"""Networks that autograd differentiates: relevance that adds up, padding that changes nothing, and what is refused."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

import kmerit as km
from helpers.checkpoints import REFERENCE, change_config, random_strings, write_library
from kmerit.errors import CheckpointError, UnsupportedMethod
from kmerit.models.differentiable import BOOKS, Affine, Convolution, LayerNorm, RMSNorm, by_gamma, operations
from kmerit.models.rules import ATTNLRP, CHEFER, CP_LRP, GRADIENT

FIXTURES = ("hyenadna", "caduceus_ph", "caduceus_ps", "caduceus_ps_unfused", "caduceus_product")
LIBRARY = {
    "modernbert": {"local_attention": 8, "cls_token_id": 1, "sep_token_id": 2, "bos_token_id": 1, "eos_token_id": 2},
    "llama": {"num_key_value_heads": 2},
    "mistral": {"sliding_window": 6, "num_key_value_heads": 2},
}
SEQUENCES = km.Sequences.from_strings(random_strings([39, 1, 17, 30]))


@pytest.fixture(params=[*FIXTURES, *LIBRARY])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A copy of a tiny checkpoint of each kind."""
    if request.param in LIBRARY:
        return write_library(tmp_path / request.param, request.param, **LIBRARY[request.param])
    return Path(shutil.copytree(REFERENCE / request.param, tmp_path / request.param))


def without_biases(folder: Path) -> Path:
    """Set every bias to zero that is added to what depends on the input; filters' own networks keep theirs."""
    weights = load_file(folder / "model.safetensors")
    for key in weights:
        if key.endswith("bias") and "filter_fn" not in key and "dt_proj" not in key:
            weights[key] = torch.zeros_like(weights[key])
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    return folder


def test_relevance_sums_to_the_logit(folder: Path) -> None:
    """CP-LRP always conserves; AttnLRP where there is no softmax, through which it leaks."""
    model = km.load_model(without_biases(folder), dtype="float64")
    logits = model.logits(SEQUENCES)[:, 1]
    scores = km.attribute(model, SEQUENCES, methods=["cp_lrp", "attnlrp"], target=1, level="token")
    for name, each in scores.items():
        missed = np.abs(np.nansum(each.scores, axis=1) / logits - 1)
        np.testing.assert_allclose(np.nansum(each.scores, axis=1), each.diagnostics["relevance_sum"], rtol=1e-9)
        assert (missed.max() > 1e-3) if name == "attnlrp" and folder.name in LIBRARY else (missed.max() < 1e-9)


def test_every_book_computes_the_same_numbers(folder: Path) -> None:
    model: Any = km.load_model(folder, dtype="float64")
    ids, mask = model.tensors(model.tokenize(*SEQUENCES.padded()))
    words = model.encoder.look_up(ids, mask)
    expected = model.encoder.classify(words, mask)
    for book in BOOKS.values():
        torch.testing.assert_close(model.encoder.run(words, mask, book, []), expected, rtol=0, atol=1e-13)


def test_gradients_are_those_of_differences(folder: Path) -> None:
    model: Any = km.load_model(folder, dtype="float64")
    ids, mask = model.tensors(model.tokenize(*SEQUENCES.take([0]).padded()))
    words = model.encoder.look_up(ids, mask)
    tape = model.encoder.record(words, mask)
    seed = torch.zeros_like(tape.logits)
    seed[:, 1] = 1
    *_, (_, gradient) = model.encoder.sweep(tape, GRADIENT, seed)
    step = torch.randn(words.shape, generator=torch.Generator().manual_seed(0), dtype=words.dtype) * 1e-5
    change = model.encoder.classify(words + step, mask) - model.encoder.classify(words - step, mask)
    torch.testing.assert_close((gradient * step).sum(), change[0, 1] / 2, rtol=1e-5, atol=1e-12)


def test_padding_changes_nothing(folder: Path) -> None:
    model = km.load_model(folder, dtype="float64", micro_batch=8)
    alone = km.load_model(folder, dtype="float64", micro_batch=1)
    np.testing.assert_allclose(model.logits(SEQUENCES), alone.logits(SEQUENCES), rtol=0, atol=1e-12)
    names = ["saliency", "cp_lrp", "attnlrp", "input_x_gradient"]
    ours, theirs = (km.attribute(each, SEQUENCES, methods=names) for each in (model, alone))
    for name in names:
        np.testing.assert_allclose(ours[name].scores, theirs[name].scores, rtol=0, atol=1e-12)


def test_each_book_takes_one_forward_pass(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = km.load_model(folder, dtype="float64")
    kind, passes = type(model.encoder), []
    run = kind.run  # type: ignore[attr-defined]
    monkeypatch.setattr(kind, "run", lambda *arguments: passes.append(1) or run(*arguments))
    for methods in (["cp_lrp"], ["attnlrp"], ["input_x_gradient", "saliency"], ["cp_lrp", "attnlrp"]):
        passes.clear()
        km.attribute(model, SEQUENCES.take([0]), methods, target=1)
        assert len(passes) == (2 if "cp_lrp" in methods and "attnlrp" in methods else 1)


def test_a_recording_can_be_swept_again_and_by_other_books(folder: Path) -> None:
    model: Any = km.load_model(folder, dtype="float64")
    ids, mask = model.tensors(model.tokenize(*SEQUENCES.padded()))
    words = model.encoder.look_up(ids, mask)
    seed = torch.nn.functional.one_hot(torch.ones(len(ids), dtype=torch.long), model.n_classes).double()
    plain, of_book = (model.encoder.record(words, mask, rules=rules) for rules in (None, CP_LRP))
    torch.testing.assert_close(of_book.logits, plain.logits, rtol=0, atol=1e-13)
    assert not of_book.logits.requires_grad
    for rules in (CP_LRP, CP_LRP, GRADIENT):
        received = [list(model.encoder.sweep(tape, rules, seed))[-1][1] for tape in (plain, of_book)]
        torch.testing.assert_close(*received, rtol=0, atol=1e-13)


def test_chefers_rules_are_refused(folder: Path) -> None:
    model: Any = km.load_model(folder)
    with pytest.raises(UnsupportedMethod, match="full_lrp needs relevance rules"):
        km.attribute(model, SEQUENCES, methods=["full_lrp"])
    ids, mask = model.tensors(model.tokenize(*SEQUENCES.padded()))
    tape = model.encoder.record(model.encoder.look_up(ids, mask), mask)
    with pytest.raises(UnsupportedMethod, match="no rules by Chefer"):
        next(model.encoder.sweep(tape, CHEFER, torch.zeros_like(tape.logits)))


def test_norms_are_torchs() -> None:
    x = torch.randn(2, 5, 8, dtype=torch.float64)
    weight, bias = torch.randn(8, dtype=torch.float64), torch.randn(8, dtype=torch.float64)
    plain = BOOKS[type(GRADIENT)]
    layer, rms = torch.nn.functional.layer_norm, torch.nn.functional.rms_norm
    torch.testing.assert_close(LayerNorm(weight, bias, 1e-5)(x, plain), layer(x, (8,), weight, bias, 1e-5))
    torch.testing.assert_close(RMSNorm(weight, 1e-6)(x, plain), rms(x, (8,), weight, 1e-6))
    assert Affine(weight[None])(x).shape == (2, 5, 1)


@pytest.mark.parametrize("rules", [ATTNLRP, CP_LRP])
def test_half_and_value_rule_by_hand(rules: Any) -> None:
    """y = a * b with a = 2, b = 3: half of the gradient to each, or all of it to b."""
    a, b = (torch.tensor([value], requires_grad=True) for value in (2.0, 3.0))
    y = BOOKS[type(rules)].gate(a, b)
    assert y.item() == 6
    to_a, to_b = torch.autograd.grad(y, [a, b], allow_unused=True, materialize_grads=True)
    assert (to_a.item(), to_b.item()) == ((1.5, 1.0) if rules is ATTNLRP else (0.0, 2.0))


@pytest.mark.parametrize("gamma", [0.25, 2.0])
def test_the_gamma_rule_by_hand(gamma: float) -> None:
    """A tiny stem in plain numpy, output by output: each input's share of an output's relevance, and the bias's."""
    rng = np.random.default_rng(0)
    weight, bias, letters = rng.normal(size=(3, 4, 3)), rng.normal(size=3), [0, 3, 3, 1, None, 2]
    x = np.array([[float(letter == base) for letter in letters] for base in range(4)])
    relevance, r_input, r_bias, z = rng.normal(size=(3, 6)), np.zeros((4, 6)), np.zeros(3), np.zeros((3, 6))
    for k in range(3):
        for place in range(6):
            parts = {(i, place + d - 1): weight[k, i, d] for i in range(4) for d in range(3) if 0 <= place + d - 1 < 6}
            parts = {at: x[at] * w for at, w in parts.items()}
            z[k, place] = sum(parts.values()) + bias[k]

            def raised(part: float, output: float = float(z[k, place])) -> float:
                return part * (1 + gamma) if np.sign(part) == np.sign(output) else part

            total = sum(raised(part) for part in parts.values()) + raised(bias[k])
            assert abs(total) >= abs(z[k, place])
            for at, part in parts.items():
                r_input[at] += relevance[k, place] * raised(part) / total
            r_bias[k] += relevance[k, place] * raised(bias[k]) / total
    assert z.min() < 0 < z.max()
    assert r_input.sum() + r_bias.sum() == pytest.approx(relevance.sum(), abs=1e-12)
    one_hot, offset = torch.from_numpy(x)[None].requires_grad_(), torch.from_numpy(bias).requires_grad_()
    convolution = Convolution(torch.from_numpy(weight), offset)
    output = by_gamma(convolution, one_hot, gamma)
    torch.testing.assert_close(output, convolution(one_hot), rtol=0, atol=0)
    np.testing.assert_allclose(output[0].detach(), z, atol=1e-12)
    explained = (output * torch.from_numpy(relevance / z)).sum()
    to_input, to_bias = torch.autograd.grad(explained, [one_hot, offset])
    np.testing.assert_allclose((one_hot * to_input)[0].detach(), r_input, atol=1e-12)
    np.testing.assert_allclose((offset * to_bias).detach(), r_bias, atol=1e-12)


def test_an_output_that_nothing_enters_hands_nothing_back() -> None:
    x = torch.zeros(1, 4, 5, requires_grad=True)
    output = by_gamma(Convolution(torch.ones(1, 4, 3), None), x, 0.25)
    assert (output == 0).all()
    assert (torch.autograd.grad(output.sum(), x)[0] == 0).all()


@pytest.mark.parametrize("rules", [ATTNLRP, CP_LRP])
def test_a_book_keeps_its_gamma(rules: Any) -> None:
    assert operations(rules) == BOOKS[type(rules)]
    raised: Any = operations(rules.with_gamma(0.25))
    assert (type(raised), raised.gamma, rules.gamma) == (type(BOOKS[type(rules)]), 0.25, 0)
    assert operations(CHEFER) is None


def rename(old: str, new: str | None) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        weights = load_file(folder / "model.safetensors")
        for key in [key for key in weights if old in key]:
            tensor = weights.pop(key)
            if new is not None:
                weights[key.replace(old, new)] = tensor
        save_file(weights, folder / "model.safetensors")

    return change


REFUSED: dict[str, tuple[str, Callable[[Path], None], str]] = {
    "another order": ("hyenadna", lambda f: change_config(f, hyena_order=3), "hyena_order is 3"),
    "a wider filter": ("hyenadna", lambda f: change_config(f, short_filter_order=5), "short_filter_order is 5"),
    "a backbone": ("hyenadna", rename("score.weight", None), "found none: it is a pre-trained model"),
    "fewer positions": ("hyenadna", lambda f: change_config(f, max_seq_len=99), r"pos_emb.z.*\[1, 99, 5\]"),
    "a tokenizer file": ("hyenadna", lambda f: (f / "tokenizer.json").write_text("{}"), "found a tokenizer.json"),
    "other characters": (
        "hyenadna",
        lambda f: (f / "tokenizer_config.json").write_text(json.dumps({"added_tokens_decoder": {"4": "[UNK]"}})),
        r"numbers '\[UNK\]' 4",
    ),
    "another tokeniser": (
        "caduceus_ph",
        lambda f: (f / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "BertTokenizer"})),
        "tokenizer_class is 'BertTokenizer'",
    ),
    "another strategy": ("caduceus_ph", lambda f: change_config(f, bidirectional_strategy="max"), "is 'max'"),
    "no complements": (
        "caduceus_ps",
        rename("complement_map", None),
        "complement_map",
    ),
    "no Mamba": ("caduceus_ph", rename("mamba_fwd.A_log", "mamba_fwd.A"), "A_log"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused_by_name(case: str, tmp_path: Path) -> None:
    name, change, message = REFUSED[case]
    folder = Path(shutil.copytree(REFERENCE / name, tmp_path / name))
    change(folder)
    with pytest.raises(CheckpointError, match=message):
        km.load_model(folder)


SETTINGS: dict[str, tuple[str, dict[str, Any], str]] = {
    "rope": (
        "llama",
        {"rope_parameters": {"rope_type": "linear", "factor": 2.0}},
        "rope_type of rope_parameters is 'linear'",
    ),
    "rope beside": (
        "llama",
        {"rope_parameters": {"rope_theta": 1e4}, "rope_scaling": {"type": "linear", "factor": 2.0}},
        "type of rope_scaling is 'linear'",
    ),
    "two bases": (
        "llama",
        {"rope_parameters": {"rope_theta": 1e4}, "rope_scaling": {"rope_theta": 2e4}},
        "name two bases",
    ),
    "half a head": ("llama", {"rope_parameters": {"partial_rotary_factor": 0.5}}, "a part of each head"),
    "both ways": ("llama", {"is_causal": False}, "is_causal is False; only True"),
    "padding with a word": ("llama", {"pad_token_id": 7}, "pad_token_id is 7 .*which is '[ACGT]+' in the vocabulary"),
    "no reach": ("mistral", {"sliding_window": 0}, "positive whole number as 'sliding_window'"),
    "no window": ("modernbert", {"local_attention": -1}, "positive whole number as 'local_attention'"),
    "local rope": (
        "modernbert",
        {"rope_parameters": {"sliding_attention": {"rope_type": "yarn"}}},
        "rope_type of rope_parameters is 'yarn'",
    ),
    "activation": ("llama", {"hidden_act": "gelu"}, "hidden_act is 'gelu'"),
    "heads": ("llama", {"num_key_value_heads": 3}, "3 heads of keys and values do not divide 4"),
    "pooling": ("modernbert", {"classifier_pooling": "max"}, "classifier_pooling is 'max'"),
    "kinds": ("modernbert", {"layer_types": ["full_attention"]}, "layer_types"),
    "silu": ("modernbert", {"hidden_activation": "silu"}, "hidden_activation is 'silu'"),
}


@pytest.mark.parametrize("case", SETTINGS)
def test_settings_that_are_not_computed(case: str, tmp_path: Path) -> None:
    kind, changes, message = SETTINGS[case]
    folder = write_library(tmp_path, kind, **LIBRARY[kind])
    change_config(folder, **changes)
    with pytest.raises(CheckpointError, match=message):
        km.load_model(folder)


def test_an_absent_local_base_is_the_global_one(tmp_path: Path) -> None:
    """As transformers 4 wrote and read it: only there may it be null."""
    folder = write_library(tmp_path, "modernbert", **LIBRARY["modernbert"])
    result = []
    for local in (300.0, None, 10_000.0):
        change_config(folder, rope_parameters=None, global_rope_theta=300.0, local_rope_theta=local)
        result.append(km.load_model(folder, dtype="float64").logits(SEQUENCES))
    np.testing.assert_array_equal(result[0], result[1])
    assert np.abs(result[0] - result[2]).max() > 1e-3


def test_layers_that_are_all_global_need_no_window(tmp_path: Path) -> None:
    folder = write_library(tmp_path, "modernbert", **LIBRARY["modernbert"] | {"global_attn_every_n_layers": 1})
    assert json.loads((folder / "config.json").read_text())["local_attention"]
    km.load_model(folder)


def test_a_decoder_that_pads_with_its_last_token_is_refused(tmp_path: Path) -> None:
    folder = write_library(tmp_path, "llama")
    change_config(folder, pad_token_id=2)
    with pytest.raises(CheckpointError, match="ends a sequence with id 2, which is pad_token_id"):
        km.load_model(folder)
