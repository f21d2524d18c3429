"""The bundled models are rebuilt by one command: from corpus and sites to folders that load."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from helpers.training_data import labelled, random_strings
from kmerit.datasets.similarity import without_kmers_of
from kmerit.errors import FormatError
from kmerit.io.readers import read_sequences, write_sequences
from kmerit.models.model import load_model
from kmerit.sequences import Sequences
from kmerit.training.sites import read_sites
from studies.bundled_models import __main__ as bundled

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
    for words in ("mean of 2 seeds", "logistic regression on 4-mers", "was reached", "Removed before training"):
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
    assert all(len(without_kmers_of(each, measured_on, 12)) == len(each) for each in unlabelled)
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
