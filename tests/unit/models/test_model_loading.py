from __future__ import annotations

import json
import pickle
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

import kmerit as km
from kmerit.errors import (
    CheckpointError,
    KmeritError,
    LabelError,
    LengthError,
    OfflineError,
    SequenceError,
    UnknownName,
    UsageError,
)


@pytest.fixture
def folder(tiny_checkpoint: Path, tmp_path: Path) -> Path:
    """A copy to spoil."""
    return Path(shutil.copytree(tiny_checkpoint, tmp_path / "model"))


def change_config(folder: Path, **changes: object) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | changes))


def drop(folder: Path, *beginnings: str) -> None:
    tensors = {
        key: value for key, value in load_file(folder / "model.safetensors").items() if not key.startswith(beginnings)
    }
    save_file(tensors, folder / "model.safetensors")


def spoil_truncate(folder: Path) -> None:
    whole = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(whole[: len(whole) // 2])


def spoil_nan(folder: Path) -> None:
    tensors = load_file(folder / "model.safetensors")
    tensors["classifier.weight"][0, 0] = torch.nan
    save_file(tensors, folder / "model.safetensors")


SPOILT: dict[str, tuple[Callable[[Path], object], str]] = {
    "truncated": (spoil_truncate, "truncated"),
    "headless": (lambda f: drop(f, "classifier"), "no classification head.*kmerit finetune"),
    "a layer missing": (lambda f: drop(f, "bert.encoder.layer.1.output"), "layer.1.output.dense.weight.*found none"),
    "another architecture": (lambda f: change_config(f, model_type="hyena"), "'hyena'.*belongs to no known family"),
    "another vocabulary size": (
        lambda f: change_config(f, vocab_size=70),
        "has 70 embeddings for a vocabulary of 4101 words",
    ),
    "another width": (lambda f: change_config(f, hidden_size=64), "config.json makes"),
    "relu": (lambda f: change_config(f, hidden_act="relu"), "'relu'; only 'gelu'"),
    "NaN": (spoil_nan, "classifier.weight.*NaN"),
    "no config": (lambda f: (f / "config.json").unlink(), "no config.json"),
    "broken config": (lambda f: (f / "config.json").write_text("{"), "not valid JSON"),
    "no weights": (lambda f: (f / "model.safetensors").unlink(), "found neither"),
    "weights that a link names": (
        lambda f: ((f / "model.safetensors").unlink(), (f / "model.safetensors").symlink_to("../blobs/3f")),
        r"model.safetensors is a link to \.\./blobs/3f, which is not there",
    ),
    "parts without an index": (
        lambda f: (f / "model.safetensors").rename(f / "model-00001-of-00002.safetensors"),
        "is a part: copy model.safetensors.index.json",
    ),
    "a training's folder": (
        lambda f: (
            (f / "checkpoint-7").mkdir(),
            (f / "model.safetensors").rename(f / "checkpoint-7/model.safetensors"),
        ),
        "choose one, as .*checkpoint-7",
    ),
    "safetensors by another name": (
        lambda f: (f / "model.safetensors").rename(f / "pytorch_model.bin"),
        "a safetensors file under the name",
    ),
    "torch by another name": (lambda f: torch.save({}, f / "model.safetensors"), "a file of torch under the name"),
    "a plain pickle": (
        lambda f: (
            (f / "pytorch_model.bin").write_bytes(pickle.dumps(load_file(f / "model.safetensors"))),
            (f / "model.safetensors").unlink(),
        ),
        "a pickle that torch.save did not write",
    ),
    "a pointer": (
        lambda f: (f / "config.json").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\n"),
        "config.json: a pointer of Git LFS",
    ),
    "a head in an adapter": (
        lambda f: save_file(
            {
                key.replace("classifier", "classifier.modules_to_save.default"): value
                for key, value in load_file(f / "model.safetensors").items()
            },
            f / "model.safetensors",
        ),
        "classifier.modules_to_save.default.*is part of an adapter",
    ),
    "another vocabulary order": (
        lambda f: (f / "vocab.txt").write_text("\n".join(reversed((f / "vocab.txt").read_text().split()))),
        "in their order",
    ),
}


@pytest.mark.parametrize("fault", SPOILT)
def test_a_spoilt_checkpoint_is_refused(folder: Path, fault: str) -> None:
    spoil, message = SPOILT[fault]
    spoil(folder)
    with pytest.raises(CheckpointError, match=message) as caught:
        km.load_model(folder)
    assert str(caught.value).count("\n") <= 1


def test_a_name_that_is_no_folder_offline() -> None:
    with pytest.raises(OfflineError, match=r"zhihan1996/DNA_bert_6.*give its path"):
        km.load_model("zhihan1996/DNA_bert_6")


@pytest.mark.parametrize(
    ("name", "error", "message"),
    [
        ("bundled:promotor", UnknownName, "bundled model 'promotor'"),
        ("./nowhere", CheckpointError, "expected a folder"),
    ],
)
def test_a_wrong_name(name: str, error: type[KmeritError], message: str) -> None:
    with pytest.raises(error, match=message):
        km.load_model(name)


def test_unknown_device_and_dtype(tiny_checkpoint: Path) -> None:
    with pytest.raises(UsageError, match="device: 'tpu9'"):
        km.load_model(tiny_checkpoint, device="tpu9")
    with pytest.raises(UsageError, match="float32"):
        km.load_model(tiny_checkpoint, dtype="float8")


def test_older_checkpoints_say_gamma_and_pickle(folder: Path, tiny_checkpoint: Path) -> None:
    tensors = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    renamed = {
        key.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta"): value
        for key, value in tensors.items()
    }
    torch.save(renamed, folder / "pytorch_model.bin")
    sequences = km.Sequences.from_strings(["ACGTACGTACGT"])
    assert np.array_equal(km.load_model(folder).logits(sequences), km.load_model(tiny_checkpoint).logits(sequences))


def test_a_pickle_that_runs_code_is_refused(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    torch.save({"classifier.weight": Path("not a tensor")}, folder / "pytorch_model.bin")
    with pytest.raises(CheckpointError, match="not readable as weights"):
        km.load_model(folder)


def test_without_a_vocabulary_file_the_size_decides(folder: Path) -> None:
    (folder / "vocab.txt").unlink()
    model = km.load_model(folder)
    assert (model.family, model.shortest, model.labels) == ("dnabert", 6, ("background", "signal"))


def test_sequences_that_do_not_fit(tiny_checkpoint: Path) -> None:
    model = km.load_model(tiny_checkpoint)
    with pytest.raises(SequenceError, match="'seq1' has 4 nt; dnabert needs at least 6"):
        model.predict(km.Sequences.from_strings(["ACGTACGT", "ACGT"]))
    with pytest.raises(SequenceError, match=r"'seq0' has an N at position 3.*--drop-n"):
        model.predict(km.Sequences.from_strings(["ACGNACGT"]))
    with pytest.raises(LengthError, match=r"'seq0' gives 295 tokens; dnabert allows 254 plus 2 special\. Crop"):
        model.predict(km.Sequences.from_strings(["ACGTA" * 60]))
    with pytest.raises(SequenceError, match="at least one sequence"):
        model.predict(km.Sequences.from_strings([]))


def test_probabilities_and_micro_batches(tiny_checkpoint: Path) -> None:
    sequences = km.Sequences.from_strings(["ACGTACGT" * n for n in range(1, 12)])
    model = km.load_model(tiny_checkpoint, dtype="float64")
    probabilities = model.predict(sequences)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1)
    np.testing.assert_allclose(
        km.load_model(tiny_checkpoint, dtype="float64", micro_batch=3).predict(sequences), probabilities, atol=1e-12
    )
    calls: list[tuple[int, int]] = []
    model.logits(sequences, progress=lambda done, total: calls.append((done, total)))
    assert calls == [(8, 11), (11, 11)]


def test_regression_predicts_the_value(make_checkpoint: Callable[..., Path]) -> None:
    folder = make_checkpoint(labels=("activity",))
    model = km.load_model(folder)
    sequences = km.Sequences.from_strings(["ACGTACGT"])
    assert model.regression
    assert np.array_equal(model.predict(sequences), model.logits(sequences))


def test_words_that_no_sequence_yields_may_follow_the_kmers(folder: Path) -> None:
    expected = km.load_model(folder).logits(km.Sequences.from_strings(["ACGTACGTACGT"]))
    vocabulary = (folder / "vocab.txt").read_text()
    (folder / "vocab.txt").write_text(vocabulary.rstrip() + "\n[FOO]\n")  # without an embedding
    assert np.array_equal(km.load_model(folder).logits(km.Sequences.from_strings(["ACGTACGTACGT"])), expected)
    tensors = load_file(folder / "model.safetensors")
    name = "bert.embeddings.word_embeddings.weight"
    tensors[name] = torch.cat((tensors[name], torch.ones(3, tensors[name].shape[1])))
    save_file(tensors, folder / "model.safetensors")
    change_config(folder, vocab_size=len(tensors[name]))  # and a table filled up to a round number
    model = km.load_model(folder)
    assert model.family == "dnabert"
    assert np.array_equal(model.logits(km.Sequences.from_strings(["ACGTACGTACGT"])), expected)
    for rows, kept in ((4000, tensors[name][:4000]), (5000, torch.cat((tensors[name], tensors[name][:896])))):
        save_file({**tensors, name: kept.clone()}, folder / "model.safetensors")
        change_config(folder, vocab_size=rows)
        with pytest.raises(CheckpointError, match=f"has {rows} embeddings for a vocabulary of 410[12] words"):
            km.load_model(folder)
    save_file({**tensors, name: tensors[name][:69].clone()}, folder / "model.safetensors")
    change_config(folder, vocab_size=69)  # the table of 3-mers
    with pytest.raises(CheckpointError, match=r"expected DNABERT's 3-mers .* AAA as number 5; got AAAAAA"):
        km.load_model(folder)
    save_file(tensors, folder / "model.safetensors")
    change_config(folder, vocab_size=len(tensors[name]))
    (folder / "vocab.txt").write_text(vocabulary.rstrip() + "\nAAAA\n")
    with pytest.raises(CheckpointError, match="no further one as number 4101; got AAAA"):
        km.load_model(folder)


@pytest.mark.parametrize("names", [("0", "1"), ("LABEL_0", "LABEL_1")])
def test_classes_that_are_called_as_the_models_are_these(folder: Path, names: tuple[str, str]) -> None:
    change_config(folder, id2label=dict(enumerate(names)))
    two = replace(km.Sequences.from_strings(["ACGTACGT", "ACGTACGA"], labels=[0, 1]), classes=names[::-1])
    sequences = km.load_model(folder).numbered(two)
    assert (np.asarray(sequences.labels).tolist(), sequences.classes) == ([1, 0], names)


@pytest.mark.parametrize("names", [("1", "0"), ("1", "2")])
def test_numbers_that_may_be_names_or_places_are_refused(folder: Path, names: tuple[str, str]) -> None:
    change_config(folder, id2label=dict(enumerate(names)))
    with pytest.raises(LabelError, match=f"calls its classes '{names[0]}', '{names[1]}': is . a name, or a place"):
        km.load_model(folder).numbered(km.Sequences.from_strings(["ACGTACGT", "ACGTACGA"], labels=[0, 1]))


def test_names_that_two_classes_have_are_refused(folder: Path) -> None:
    change_config(folder, id2label={0: "peak", 1: "peak"})
    two = replace(km.Sequences.from_strings(["ACGTACGT"], labels=[0]), classes=("peak", "background"))
    with pytest.raises(LabelError, match=r"more than one is called 'peak'\. Number the labels in their"):
        km.load_model(folder).numbered(two)
