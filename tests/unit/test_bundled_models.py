"""The bundled models are rebuilt by one command: from corpus and sites to folders that load."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from tests.unit.training.conftest import LEARN, TINY, labelled, random_strings, splits

from kmerit.errors import FormatError, RunMismatch
from kmerit.io.readers import read_sequences, write_sequences
from kmerit.models.model import load_model
from kmerit.models.tokenizers import MASK, token_ids
from kmerit.sequences import Sequences, decode, encode, gc_count, reverse_complement
from kmerit.training import finetune
from kmerit.training.data import LabelledRows
from kmerit.training.learner import classifier
from kmerit.training.loop import teacher
from kmerit.training.recipe import FinetuneConfig
from studies.bundled_models import __main__ as bundled
from studies.bundled_models.convolutional import NetworkConfig, letters, network
from studies.bundled_models.publication import over_seeds
from studies.bundled_models.sites import cut, matched_windows, read_sites, windows, without_words

CONFIG = """
processes = 1
seeds = [0, 1]
corpus = ["{folder}/genome.fa"]
exclude = ["{folder}/test.csv"]
[sites]
file = "{folder}/sites.csv"
windows = 3
[common]
device = "cpu"
threads = 1
[[warmup]]
k = 3
hidden = 32
layers = 1
heads = 2
intermediate = 64
max_steps = 4
background_share = 0.5
crop = {{ length = 40, anchor = "center" }}
[[warmup]]
max_steps = 2
[models.toy.pupil]
train = "{folder}/train.csv"
test = "{folder}/test.csv"
classes = ["poor", "rich"]
learning_rate = 3e-3
epochs = 3
batch_size = 16
crop = {{ length = 40, anchor = "left" }}
targets = {{ auroc = 0.8 }}
teaching = 0.6
unlabelled_share = 0.2
mixed_share = 0.1
[models.toy.teacher]
max_steps = 20
[models.toy.network]
k = 3
channels = 8
max_steps = 5
[models.toy.elder]
max_steps = 5
[models.toy.second]
max_steps = 10
[teachers]
seeds = [0, 1]
windows = 50
shared = 12
[teachers.common]
k = 3
channels = 16
blocks = 2
learning_rate = 3e-3
[teachers.warmup]
max_steps = 3
"""


def write_sites(path, rows=40) -> list[str]:
    texts = random_strings(rows, 60, seed=5)
    lines = [f"chr{1 + i % 4},{'AB'[i % 2]},{text}" for i, text in enumerate(texts)]
    path.write_text("\n".join(["chr,cell,sequence", *lines]) + "\n")
    return texts


@pytest.mark.slow
def test_one_command_rebuilds_the_models(tmp_path) -> None:
    texts = write_sites(tmp_path / "sites.csv")
    test = labelled(40, 3)
    dirty = Sequences.from_strings([*test.strings(), texts[0] + texts[1]], labels=[*test.labels, 1])
    write_sequences(dirty, tmp_path / "test.csv")
    write_sequences(labelled(160, 1), tmp_path / "train.csv")
    write_sequences(Sequences.from_strings(random_strings(3, 4000, seed=6)), tmp_path / "genome.fa")
    (tmp_path / "config.toml").write_text(CONFIG.format(folder=tmp_path))
    arguments = [str(tmp_path / "config.toml"), "--out", str(tmp_path / "out"), "--assets", str(tmp_path / "assets")]
    assert bundled.main(arguments) == 0

    sites = read_sequences(tmp_path / "out" / "sites_train.parquet")
    assert np.bincount(sites.labels)[1:].sum() == 30  # a quarter lies on chr1
    assert np.bincount(sites.labels)[0] == 90
    model = load_model(tmp_path / "assets" / "toy", device="cpu")
    assert model.labels == ("poor", "rich")
    measured = json.loads((tmp_path / "assets" / "toy" / "metrics.json").read_text())
    assert measured["test"]["auroc"]["value"] > 0.8
    assert set(measured["validation"]) == {"0", "1", "average"}
    assert measured["chosen"] == max(measured["validation"], key=measured["validation"].get)
    assert measured["seeds"]["auroc"]["value"] == pytest.approx(np.mean(measured["seeds"]["auroc"]["each"]))
    card = (tmp_path / "assets" / "toy" / "README.md").read_text()
    for words in ("mean of 2 seeds", "logistic regression on 4-mers", "was reached", "cleaned away"):
        assert words in card
    assert load_model(tmp_path / "assets" / "encoder", device="cpu").labels == ("genome", "A", "B")

    toy = tmp_path / "out" / "toy"
    means = ("average", "start0", "start1")
    trained = [path for path in (tmp_path / "out").rglob("model.safetensors") if path.parent.name not in means]
    # Two of the warm-up, the teachers' warm-up, two teachers, a network to compare with, an elder, two pupils twice.
    assert len(trained) == 11
    teachers = [str(toy / f"teacher{seed}") for seed in (0, 1)]
    recipe = json.loads((toy / "seed1" / "training.json").read_text())
    assert (recipe["teachers"], recipe["teaching"], recipe["seed"]) == (teachers, 0.6, 1)
    elder = json.loads((toy / "elder" / "training.json").read_text())
    assert (elder["base"], elder["teachers"]) == (recipe["base"], [])
    second = json.loads((toy / "second1" / "training.json").read_text())
    assert second == recipe | {
        "base": str(toy / "start1"), "teachers": [*teachers, str(toy / "elder")], "max_steps": 10
    }  # fmt: skip
    start, *parts = (load_file(toy / name / "model.safetensors") for name in ("start1", "seed1", "elder"))
    assert all(torch.allclose(start[key], (parts[0][key] + parts[1][key]) / 2) for key in start)
    unlabelled = [read_sequences(path) for path in recipe["unlabelled"]]
    assert [len(each) > 20 for each in unlabelled] == [True, True]
    measured_on = Sequences.from_strings(dirty.strings())
    assert all(len(without_words(each, measured_on, 12)) == len(each) for each in unlabelled)
    beside = {
        "4-mers", "6-mers", "gapped k-mers (8, 5)", "its teachers", "a convolutional network, from scratch",
        "the same shape, taught by labels alone",
    }  # fmt: skip
    assert set(measured["baselines"]) == set(measured["above"]) == beside
    for name, entry in measured["above"].items():
        difference = measured["test"]["auroc"]["value"] - measured["baselines"][name]["auroc"]["value"]
        assert entry["auroc"]["value"] == pytest.approx(difference)
    assert "this model less its teachers" in card
    result = {path: path.stat().st_mtime_ns for path in trained}
    assert bundled.main(arguments) == 0
    assert {path: path.stat().st_mtime_ns for path in trained} == result


def test_sites_need_their_columns(tmp_path) -> None:
    (tmp_path / "sites.csv").write_text("chrom,sequence\nchr1,ACGT\n")
    with pytest.raises(FormatError, match="cell, chr"):
        read_sites(str(tmp_path / "sites.csv"))


def test_an_unknown_key_is_told_before_anything_is_done(tmp_path, capsys) -> None:
    write_sites(tmp_path / "sites.csv", rows=4)
    (tmp_path / "config.toml").write_text(CONFIG.format(folder=tmp_path) + "typo = 1\n")
    assert bundled.main([str(tmp_path / "config.toml"), "--out", str(tmp_path / "out")]) == 2
    assert "typo" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_an_elder_is_for_a_second_training(tmp_path, capsys) -> None:
    write_sites(tmp_path / "sites.csv", rows=4)
    config = CONFIG.format(folder=tmp_path).replace("[models.toy.second]\nmax_steps = 10\n", "")
    (tmp_path / "config.toml").write_text(config)
    assert bundled.main([str(tmp_path / "config.toml"), "--out", str(tmp_path / "out")]) == 2
    assert "models.toy: the tables elder and second go together" in capsys.readouterr().err


def test_seeds_are_averaged_with_students_interval() -> None:
    tests = [{"rows": 9, "auroc": {"value": value}} for value in (0.7, 0.8, 0.9)]
    result = over_seeds(tests, [0, 1, 2])["auroc"]
    assert (result["value"], result["low"], result["high"]) == pytest.approx((0.8, 0.5516, 1.0484), abs=1e-4)
    assert over_seeds(tests[:1], [0])["auroc"]["low"] is None


def test_a_convolutional_network_teaches_by_the_pupils_own_tokens(tmp_path) -> None:
    data = splits()
    keys = {**LEARN, "channels": 16, "average_decay": 0.9, "max_steps": 40, "baselines": False}
    folder = finetune(NetworkConfig(**keys), tmp_path / "teacher", data=data, network=network)
    measured = json.loads((folder / "metrics.json").read_text())["test"]
    assert measured["auroc"]["value"] > 0.9
    pupil, _ = classifier(FinetuneConfig(**TINY), ("a", "b"))
    loaded = teacher([str(folder)], 1.0, pupil)
    rows = LabelledRows(data.test, FinetuneConfig(**LEARN), 3, data.crop, 0)
    logits = loaded.models[0](**{**rows.__getitems__(list(range(40))), "labels": None}).logits
    assert (logits.argmax(1).numpy() == data.test.labels).mean() == pytest.approx(measured["accuracy"]["value"])
    with pytest.raises(RunMismatch, match="channels was 16, now it is 8"):
        finetune(NetworkConfig(**keys | {"channels": 8}), tmp_path / "teacher", data=data, network=network)
    keys |= {"base": str(folder), "max_steps": 1, "seed": 1}
    third = network(NetworkConfig(**keys), ("a", "b", "c"))
    assert torch.equal(third.network.first.weight, loaded.models[0].network.first.weight)


def test_letters_are_read_off_kmers_where_any_of_them_is_shown() -> None:
    text = random_strings(1, 30, seed=3)[0]
    ids = token_ids(next(Sequences.from_strings([text]).rows())[None], np.array([30]), 4).ids
    expected = ["ATCG".index(base) for base in text]
    assert letters(torch.from_numpy(ids), 4)[0, :30].tolist() == expected
    ids[0, 5:8] = MASK  # of the k-mers over letter 7, number 4 to 7, the last is still shown
    assert letters(torch.from_numpy(ids), 4)[0, :30].tolist() == expected
    ids[0, 8] = MASK
    result = letters(torch.from_numpy(ids), 4)[0].tolist()
    assert result[:7] == expected[:7]
    assert result[7] == 4
    assert result[8:30] == expected[8:]
    assert set(result[30:]) == {4}


CORPUS = Sequences.from_strings([*random_strings(3, 2000, seed=0), "ACGTN" * 40])


def test_what_shares_one_word_is_left_out_on_either_strand() -> None:
    word, other, apart = random_strings(3, 24, seed=11)
    turned = decode(reverse_complement(encode(word)))
    inputs = [f"TT{word}A", f"{turned}CC", other, word[:12], word[12:], "ACGNA"]
    kept = without_words(Sequences.from_strings(inputs), Sequences.from_strings([f"G{word}", apart]), 24)
    assert kept.strings() == inputs[2:]  # halves that lie end to end are no word


def test_windows_stay_inside_records_and_off_n() -> None:
    starts = windows(CORPUS, 50, 3000, np.random.default_rng(0))
    texts = CORPUS.strings()
    result = cut(CORPUS, starts, 50)
    assert len(result) > 2000
    assert all(any(window in text for text in texts) for window in result.strings()[:300])
    assert not (result.bases == 4).any()


def test_matched_windows_have_the_gc_of_the_rows() -> None:
    rich = Sequences.from_strings(["GC" * 20 + "AT" * 10] * 3)
    bases, _ = rich.padded()
    starts = matched_windows(CORPUS, bases, 50, np.random.default_rng(0), pool=20_000)
    gc = gc_count(CORPUS.bases[starts[:, None] + np.arange(60)])
    assert starts.size > 20
    assert (gc // 3 == 40 // 3).all()
