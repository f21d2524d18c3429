"""Published layouts, rebuilt: config keys and vocabularies as published, random weights, transformers' own answers."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from tokenizers import Regex, Tokenizer, normalizers, pre_tokenizers
from torch import Tensor, nn
from transformers import (
    BertConfig,
    BertForSequenceClassification,
    BigBirdConfig,
    BigBirdForSequenceClassification,
    EsmConfig,
    EsmForSequenceClassification,
)

import kmerit as km
from helpers.checkpoints import REFERENCE, change_config, random_strings, write_bpe
from kmerit.errors import CheckpointError
from kmerit.models.tokenizers import layout, vocabulary
from kmerit.results import Problem

SMALL = {"hidden_size": 24, "num_hidden_layers": 2, "num_attention_heads": 3, "intermediate_size": 32}
STRINGS = random_strings([40, 61, 24, 6])
# What DNABERT's config.json of 2021 holds besides, and GROVER's too.
OF_2021 = {
    "bos_token_id": 0,
    "do_sample": False,
    "eos_token_ids": 0,
    "finetuning_task": "dnaprom",
    "length_penalty": 1.0,
    "max_length": 20,
    "num_beams": 1,
    "num_labels": 2,
    "num_rnn_layer": 1,
    "output_past": True,
    "pruned_heads": {},
    "rnn": "lstm",
    "rnn_dropout": 0.0,
    "rnn_hidden": 768,
    "split": 10,
    "top_p": 1.0,
    "torchscript": False,
    "use_bfloat16": False,
}


def saved(model: nn.Module, folder: Path, **keys: Any) -> Path:
    """Save random weights as the libraries of the time did, pickled, with more keys in config.json."""
    torch.manual_seed(0)
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=0.3)
    config: Any = model.config
    config.architectures = [type(model).__name__]
    config.save_pretrained(folder)
    torch.save(model.state_dict(), folder / "pytorch_model.bin")
    change_config(folder, **keys)
    return folder


def change_weights(folder: Path, change: Callable[[dict[str, Tensor]], Any]) -> Path:
    """Change the pickled weights in place, or save what ``change`` returns."""
    tensors = torch.load(folder / "pytorch_model.bin", weights_only=True)
    changed = change(tensors)
    torch.save(tensors if changed is None else changed, folder / "pytorch_model.bin")
    return folder


def dnabert(folder: Path, **keys: Any) -> Path:
    """DNABERT-3 as its training script of 2021 saves it."""
    config = BertConfig(**SMALL, vocab_size=69, max_position_embeddings=80)
    saved(BertForSequenceClassification(config), folder, **{**OF_2021, **keys})
    (folder / "vocab.txt").write_text("\n".join(vocabulary(3)))
    return folder


def transformer(folder: Path, **keys: Any) -> Path:
    """Nucleotide Transformer v1, whose vocab.txt names two words more than there are embeddings."""
    words = layout(3, ends=False)
    config = EsmConfig(
        **SMALL, vocab_size=len(words), max_position_embeddings=80, pad_token_id=1, mask_token_id=2, token_dropout=True
    )
    more = {"emb_layer_norm_before": False, "esmfold_config": None, "is_folding_model": False, "vocab_list": None}
    saved(EsmForSequenceClassification(config), folder, **{**more, **keys})
    (folder / "vocab.txt").write_text("\n".join([*words, "<eos>", "<bos>"]))
    return folder


def grover(folder: Path, **keys: Any) -> Path:
    """GROVER, whose tokeniser numbers an empty word that has no embedding."""
    size = write_bpe(folder)
    message = json.loads((folder / "tokenizer.json").read_text())
    message["model"]["vocab"][""] = size
    (folder / "tokenizer.json").write_text(json.dumps(message))
    config = BertConfig(**SMALL, vocab_size=size, max_position_embeddings=80, pad_token_id=3)
    saved(BertForSequenceClassification(config), folder, **{**OF_2021, **keys})
    return folder


def alone(model: Any, strings: list[str]) -> np.ndarray:
    return np.concatenate([model.logits(km.Sequences.from_strings([each])) for each in strings])


def theirs(kind: Any, folder: Path, model: Any, strings: list[str]) -> np.ndarray:
    """Answer with transformers' own implementation, each sequence alone."""
    state = torch.load(folder / "pytorch_model.bin", weights_only=True)
    reference = kind(kind.config_class.from_pretrained(folder, attn_implementation="eager"))
    reference.load_state_dict(state.get("state_dict", state))
    reference = reference.double().eval()
    answers = []
    for text in strings:
        ids = torch.from_numpy(model.tokenize(*km.Sequences.from_strings([text]).padded()).ids)
        with torch.no_grad():
            answers.append(reference(input_ids=ids).logits.numpy())
    return np.concatenate(answers)


@pytest.mark.parametrize(
    ("write", "kind", "family"),
    [
        (dnabert, BertForSequenceClassification, "dnabert"),
        (transformer, EsmForSequenceClassification, "nucleotide_transformer"),
        (grover, BertForSequenceClassification, "bert"),
    ],
)
def test_layouts_give_the_public_logits(write: Any, kind: Any, family: str, tmp_path: Path) -> None:
    folder = write(tmp_path / "model")
    model = km.load_model(folder, dtype="float64")
    assert model.family == family
    expected = theirs(kind, folder, model, STRINGS)
    np.testing.assert_allclose(alone(model, STRINGS), expected, rtol=0, atol=1e-10)
    np.testing.assert_allclose(model.logits(km.Sequences.from_strings(STRINGS)), expected, rtol=0, atol=1e-10)


def test_dnabert2_is_recognised_by_its_tensors(tmp_path: Path) -> None:
    folder = Path(shutil.copytree(REFERENCE / "dnabert2", tmp_path / "published"))
    config = json.loads((folder / "config.json").read_text())
    config.pop("model_type")
    config.pop("architectures", None)
    own = {"AutoModelForSequenceClassification": "bert_layers.BertForSequenceClassification"}
    (folder / "config.json").write_text(json.dumps({**config, "auto_map": own, "alibi_starting_size": 512}))
    sequences = km.Sequences.from_strings(STRINGS)
    result = km.load_model(folder, dtype="float64")
    assert result.family == "dnabert2"
    expected = km.load_model(REFERENCE / "dnabert2", dtype="float64").logits(sequences)
    np.testing.assert_array_equal(result.logits(sequences), expected)


def test_bigbird_keeps_its_blocks(tmp_path: Path) -> None:
    """A short sequence, of a probe or the user's, changes neither the model nor what a long one is answered."""
    size = write_bpe(tmp_path, 20)
    config = BigBirdConfig(
        **SMALL,
        vocab_size=size,
        max_position_embeddings=400,
        block_size=4,
        pad_token_id=3,
        attention_type="block_sparse",
    )
    folder = saved(BigBirdForSequenceClassification(config), tmp_path)
    strings = random_strings([300, 9, 260])
    model = km.load_model(folder, dtype="float64")
    longest = [theirs(BigBirdForSequenceClassification, folder, model, [text]) for text in strings]
    assert abs(longest[0] - longest[2]).max() > 1e-3
    for result in (alone(model, strings), model.logits(km.Sequences.from_strings(strings)), alone(model, strings)):
        np.testing.assert_allclose(result, np.concatenate(longest), rtol=0, atol=1e-6)


def test_a_run_of_n_is_one_token(tmp_path: Path) -> None:
    """As in GENA-LM: ten and more in a row; scores of all of them are those of the token."""
    folder = Path(shutil.copytree(REFERENCE / "gena_lm", tmp_path / "model"))
    backend = Tokenizer.from_file(str(folder / "tokenizer.json"))
    words = backend.get_vocab()
    mask = max(words, key=words.__getitem__)
    backend.normalizer = normalizers.Replace(Regex("N{10,}"), "-")
    message = json.loads(backend.to_str())
    message["model"]["vocab"] = {("-" if word == mask else word): number for word, number in words.items()}
    message["model"]["merges"] = [m for m in message["model"]["merges"] if "".join(m) != mask]
    message["pre_tokenizer"] = json.loads(pre_tokenizers.Split("-", "isolated").__getstate__())
    (folder / "tokenizer.json").write_text(json.dumps(message))
    model = km.load_model(folder)
    tokens = model.tokenize(*km.Sequences.from_strings(["ACGT" + "N" * 13 + "ACG"]).padded())
    at = tokens.ids[0].tolist().index(words[mask])
    assert tokens.spans[0, at].tolist() == [4, 17]


def no_state(tensors: dict[str, Tensor]) -> dict[str, Any]:
    return {"state_dict": tensors, "epoch": 3}


def with_optimizer(tensors: dict[str, Tensor]) -> dict[str, Any]:
    return {"model": {f"module.{key}": t for key, t in tensors.items()}, "optimizer": {"state": [torch.zeros(2)]}}


def gamma_and_beta(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    old = {".weight": ".gamma", ".bias": ".beta"}
    return {
        key if "LayerNorm" not in key else next(key.replace(new, o) for new, o in old.items() if key.endswith(new)): t
        for key, t in tensors.items()
    }


def half(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {key: t.half() for key, t in tensors.items()}


@pytest.mark.parametrize("contained", [no_state, with_optimizer, gamma_and_beta, half])
def test_containers(contained: Any, tmp_path: Path) -> None:
    folder = dnabert(tmp_path / "model")
    sequences = km.Sequences.from_strings(STRINGS)
    expected = km.load_model(folder, dtype="float64").logits(sequences)
    change_weights(folder, contained)
    close = 1e-2 if contained is half else 0
    np.testing.assert_allclose(km.load_model(folder, dtype="float64").logits(sequences), expected, rtol=0, atol=close)


@pytest.mark.parametrize("ending", ["safetensors", "bin"])
def test_shards(ending: str, tmp_path: Path) -> None:
    folder = dnabert(tmp_path / "model")
    expected = km.load_model(folder).logits(km.Sequences.from_strings(STRINGS))
    tensors = torch.load(folder / "pytorch_model.bin", weights_only=True)
    (folder / "pytorch_model.bin").unlink()
    stem = "model" if ending == "safetensors" else "pytorch_model"
    where = {}
    for part in (1, 2):
        file = f"{stem}-0000{part}-of-00002.{ending}"
        some = {key: tensors[key].clone() for key in list(tensors)[part - 1 :: 2]}
        where |= dict.fromkeys(some, file)
        (save_file if ending == "safetensors" else torch.save)(some, folder / file)
    index = folder / f"{stem}.{ending}.index.json"
    index.write_text(json.dumps({"metadata": {}, "weight_map": where}))
    assert np.array_equal(km.load_model(folder).logits(km.Sequences.from_strings(STRINGS)), expected)
    index.write_text(json.dumps({"weight_map": {**where, "classifier.more": file}}))
    with pytest.raises(CheckpointError, match=r"index.json: says that 'classifier.more' is in .*; it is in none"):
        km.load_model(folder)


NAMES = {"eos_token": "<pad>", "pad_token": "<pad>", "cls_token": "<cls>"}


@pytest.mark.parametrize(
    ("files", "last"),
    [
        ({}, None),
        ({"tokenizer_config.json": {"eos_token": None}}, None),
        ({"tokenizer_config.json": NAMES | {"added_tokens_decoder": {}}, "special_tokens_map.json": NAMES}, None),
        ({"tokenizer_config.json": {"eos_token": {"content": "<eos>"}, "added_tokens_decoder": {}}}, "<eos>"),
        ({"tokenizer_config.json": {}, "special_tokens_map.json": {"eos_token": "<eos>"}}, "<eos>"),
    ],
)
def test_the_end_is_the_token_that_is_named(files: dict[str, Any], last: str | None, tmp_path: Path) -> None:
    """GUE's script names the padding as the end, and masks it; elsewhere <eos> is appended where it is named."""
    folder = Path(shutil.copytree(REFERENCE / "nucleotide_transformer_v2", tmp_path / "model"))
    for name in ("tokenizer_config.json", "special_tokens_map.json"):
        (folder / name).unlink(missing_ok=True)
    for name, message in files.items():
        (folder / name).write_text(json.dumps(message))
    model: Any = km.load_model(folder)
    words = model.tokenizer.vocabulary
    ids = model.tokenize(*km.Sequences.from_strings(["ACGTTG"]).padded()).ids[0]
    assert [words[i] for i in ids] == ["<cls>", "ACG", "TTG", *([last] if last else [])]


PREFIX = "bert.encoder.layer"
REFUSED: dict[str, tuple[Callable[[dict[str, Tensor]], Any] | dict[str, Any], str]] = {
    "dnalong": (
        {"architectures": ["BertForLongSequenceClassification"]},
        r"dnalong.*recurrent.*--model_type dna",
    ),
    "an LSTM": (
        lambda t: t.update({"rnn.weight_ih_l0": torch.zeros(4, 4)}),
        "'rnn.weight_ih_l0' belongs to a rec",
    ),
    "left-over LoRA": (
        lambda t: t.update({f"{PREFIX}.0.attention.self.query.lora_A.default.weight": torch.zeros(2, 24)}),
        r"lora_A.default.weight' is part of an adapter.*merge_and_unload",
    ),
    "another tensor": (lambda t: t.update({"bert.scale": torch.ones(1)}), "does not use: 'bert.scale'"),
    "a token classifier": ({"architectures": ["BertForTokenClassification"]}, "BertForTokenClassification; expected"),
    "multiple choice": ({"architectures": ["BertForMultipleChoice"]}, "BertForMultipleChoice; expected"),
    "fewer layers": ({"num_hidden_layers": 1}, rf"num_hidden_layers 1; the weights hold more: '{PREFIX}\.1\."),
    "heads": ({"num_attention_heads": 5}, r"num_attention_heads is 5 .* does not divide hidden_size \(24\)"),
    "other positions": ({"position_embedding_type": "relative_key"}, "'relative_key'; only 'absolute'"),
    "another GELU": ({"hidden_act": "gelu_new"}, "'gelu_new'; only 'gelu'"),
    "pruned": ({"pruned_heads": {"0": [1]}}, "pruned_heads is .*not supported"),
    "a setting that nobody knows": ({"embedding_scale": 2.0}, r"config.json sets embedding_scale to '2.0'"),
    "quantised": ({"quantization_config": {"load_in_8bit": True}}, "sets quantization_config"),
    "int8": (
        lambda t: t.update({"classifier.weight": t["classifier.weight"].to(torch.int8)}),
        "is int8; expected float",
    ),
    "names for three": ({"id2label": {"0": "a", "1": "b", "2": "c"}}, r"id2label names 3 outputs .*the head has 2"),
    "three labels": ({"num_labels": 3}, "num_labels is 3 .* the head has 2 outputs"),
    "another problem": ({"problem_type": "ranking"}, "problem_type is 'ranking'"),
    "contradicting": ({"architectures": ["BertForMaskedLM"]}, "says BertForMaskedLM.*the weights have one"),
    "two models": (lambda t: {"model": t, "ema": t}, "under 'model' and under 'ema'"),
    "a kind that is a list": ({"model_type": ["bert"]}, "expected a name as 'model_type'"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_is_not_computed_is_refused_by_name(what: str, tmp_path: Path) -> None:
    change, message = REFUSED[what]
    folder = dnabert(tmp_path / "model")
    if isinstance(change, dict):
        change_config(folder, **change)
    else:
        change_weights(folder, change)
    with pytest.raises(CheckpointError, match=message) as caught:
        km.load_model(folder)
    assert str(caught.value).count("\n") <= 1


ESM: dict[str, tuple[dict[str, Any], str]] = {
    "folding": ({"is_folding_model": True}, "is_folding_model is True"),
    "norm before": ({"emb_layer_norm_before": True}, "expected a tensor 'esm.embeddings.layer_norm.weight'"),
    "scaled": ({"rope_scaling": {"type": "linear"}}, "rope_scaling is"),
    "words in another order": ({}, "AAA as number 4; got AAT"),
}


@pytest.mark.parametrize("what", ESM)
def test_what_an_esm_may_not_be(what: str, tmp_path: Path) -> None:
    changes, message = ESM[what]
    folder = transformer(tmp_path / "model", **changes)
    if not changes:
        words = (folder / "vocab.txt").read_text().replace("AAA\nAAT", "AAT\nAAA")
        (folder / "vocab.txt").write_text(words)
    with pytest.raises(CheckpointError, match=message):
        km.load_model(folder)


def test_a_trainings_folder_names_its_checkpoints(tmp_path: Path) -> None:
    for step in (500, 1000):
        dnabert(tmp_path / "out" / f"checkpoint-{step}")
    with pytest.raises(CheckpointError, match=r"no model of its own: checkpoint-500, checkpoint-1000\. Choose one"):
        km.load_model(tmp_path / "out")


@pytest.mark.parametrize(
    ("told", "outputs", "problem"),
    [
        ({}, 2, Problem.CLASSES),
        ({"problem_type": "single_label_classification"}, 3, Problem.CLASSES),
        ({}, 1, Problem.VALUE),
        ({"problem_type": "regression"}, 3, Problem.VALUES),
        ({"problem_type": "multi_label_classification"}, 3, Problem.LABELS),
        ({"problem_type": "multi_label_classification"}, 1, Problem.LABELS),
    ],
)
def test_problem_types(told: dict[str, Any], outputs: int, problem: Problem, tmp_path: Path) -> None:
    folder = dnabert(tmp_path / "model")
    head = torch.randn(outputs, 24, generator=torch.Generator().manual_seed(1))
    change_weights(folder, lambda t: t.update({"classifier.weight": head, "classifier.bias": head[:, 0].clone()}))
    change_config(folder, **told, num_labels=outputs, id2label={str(i): f"L{i}" for i in range(outputs)})
    model = km.load_model(folder, dtype="float64")
    assert (model.problem, model.labels) == (problem, tuple(f"L{i}" for i in range(outputs)))
    sequences = km.Sequences.from_strings(STRINGS)
    logits = torch.from_numpy(model.logits(sequences))
    expected = {Problem.CLASSES: logits.softmax(-1), Problem.LABELS: logits.sigmoid()}.get(problem, logits)
    np.testing.assert_allclose(model.predict(sequences), expected, rtol=1e-12)
