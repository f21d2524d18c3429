"""The bundled models are rebuilt by one command: from corpus and sites to folders that load."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from helpers.training_data import labelled, random_strings
from kmerit.config import read_toml
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
def test_one_command_rebuilds_the_models(tmp_path, capfd) -> None:
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
    trained = [path for path in (tmp_path / "out").rglob("model.safetensors") if path.parent.name != "average"]
    # Two of the warm-up, the teachers' warm-up, two teachers, a network to compare with, two pupils.
    assert len(trained) == 8
    teachers = [str(toy / f"teacher{seed}") for seed in (0, 1)]
    recipe = json.loads((toy / "seed1" / "training.json").read_text())
    assert (recipe["teachers"], recipe["teaching"], recipe["seed"]) == (teachers, 0.6, 1)
    unlabelled = [read_sequences(path) for path in recipe["unlabelled"]]
    assert [len(each) > 20 for each in unlabelled] == [True, True]
    measured_on = Sequences.from_strings(dirty.strings())
    assert all(len(without_kmers_of(each, measured_on, 12)) == len(each) for each in unlabelled)
    beside = {"4-mers", "6-mers", "gapped k-mers (8, 5)", "its teachers", "a convolutional network, from scratch"}
    assert set(measured["baselines"]) == set(measured["above"]) == beside
    for name, entry in measured["above"].items():
        difference = measured["test"]["auroc"]["value"] - measured["baselines"][name]["auroc"]["value"]
        assert entry["auroc"]["value"] == pytest.approx(difference)
    assert "this model less its teachers" in card
    result = {path: path.stat().st_mtime_ns for path in trained}
    assert bundled.main(arguments) == 0
    assert {path: path.stat().st_mtime_ns for path in trained} == result

    whole = (tmp_path / "config.toml").read_text()
    for before, after, said in (
        ("windows = 3", "windows = 2", "windows"),
        ("learning_rate = 3e-3", "learning_rate = 4e-3", "learning_rate was 0.003, now it is 0.004"),
        (f'exclude = ["{tmp_path}/test.csv"]', f'exclude = ["{tmp_path}/test.csv", "{tmp_path}/train.csv"]', "exclude"),
    ):
        assert before in whole
        (tmp_path / "config.toml").write_text(whole.replace(before, after))
        capfd.readouterr()
        assert bundled.main(arguments) == 1, "what was made otherwise is not taken for this"
        assert said in capfd.readouterr().err
    (tmp_path / "config.toml").write_text(whole)
    write_sequences(labelled(8, 9), tmp_path / "test.csv")
    assert bundled.main(arguments) == 1
    assert "sums" in capfd.readouterr().err
    assert {path: path.stat().st_mtime_ns for path in trained} == result


@pytest.mark.slow
def test_a_stop_says_how_to_go_on_and_begins_nothing_more(tmp_path) -> None:
    write_sites(tmp_path / "sites.csv")
    write_sequences(labelled(40, 3), tmp_path / "test.csv")
    write_sequences(labelled(160, 1), tmp_path / "train.csv")
    write_sequences(Sequences.from_strings(random_strings(3, 4000, seed=6)), tmp_path / "genome.fa")
    config = CONFIG.format(folder=tmp_path)
    assert config.endswith("max_steps = 3\n"), "of the teachers' warm-up"
    (tmp_path / "config.toml").write_text(config.replace("max_steps = 3\n", "max_steps = 100000\n"))
    command = [sys.executable, "-m", "studies.bundled_models", str(tmp_path / "config.toml"), "--out", "out"]
    path = os.pathsep.join([str(Path(__file__).parents[2]), *sys.path])
    lines = []
    with subprocess.Popen(
        command, cwd=tmp_path, stderr=subprocess.PIPE, text=True, start_new_session=True,
        env={**os.environ, "PYTHONPATH": path},
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a background job ignores it
    ) as process:  # fmt: skip
        assert process.stderr is not None
        for line in process.stderr:
            lines.append(line)
            if line.startswith("teachers: step"):
                os.killpg(process.pid, signal.SIGINT)
    assert process.returncode == 130, lines
    said = "".join(lines)
    assert said.endswith("bundled models: stopped; the same command goes on from here\n")
    assert "out/toy" not in said, "nothing after the teachers' warm-up is begun"
    assert "Traceback" not in said


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


def test_teachers_may_have_seeds_of_their_own_and_start_from_scratch(tmp_path) -> None:
    write_sites(tmp_path / "sites.csv", rows=4)
    config = CONFIG.format(folder=tmp_path)
    (tmp_path / "warm.toml").write_text(config)
    (tmp_path / "cold.toml").write_text(config + "[models.toy]\nwarm = false\nteachers = [5, 7, 8]\n")
    warm, cold = (
        bundled.plan(bundled.BundledConfig.parse(read_toml(tmp_path / name)), tmp_path / "out")
        for name in ("warm.toml", "cold.toml")
    )
    assert {(each.out.name, each.recipe.seed, each.recipe.base) for each in warm.rounds[1]} == {
        (f"teacher{seed}", seed, str(tmp_path / "out" / "teachers")) for seed in (0, 1)
    }
    assert {(each.out.name, each.recipe.seed, each.recipe.base) for each in cold.rounds[1]} == {
        (f"teacher{seed}", seed, None) for seed in (5, 7, 8)
    }
    assert [Path(name).name for name in cold.rounds[2][0].recipe.teachers] == ["teacher5", "teacher7", "teacher8"]
