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
from kmerit.errors import FormatError, RunMismatch
from kmerit.io.readers import read_sequences, write_sequences
from kmerit.models.model import load_model
from kmerit.sequences import Sequences
from kmerit.store import sums, write_proof
from kmerit.training.card import cleaned
from kmerit.training.sites import read_sites
from studies.bundled_models import __main__ as bundled

ROOT = Path(__file__).parents[2]
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
[models.toy]
teachers = [0, 1]
notes = ["A second try."]
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


def write_inputs(folder: Path) -> Path:
    """Write what the recipe names, and the recipe."""
    texts = write_sites(folder / "sites.csv")
    test = labelled(40, 3)
    dirty = Sequences.from_strings([*test.strings(), texts[0] + texts[1]], labels=[*test.labels, 1])
    write_sequences(dirty, folder / "test.csv")
    write_sequences(labelled(160, 1), folder / "train.csv")
    write_sequences(Sequences.from_strings(random_strings(3, 4000, seed=6)), folder / "genome.fa")
    (folder / "config.toml").write_text(CONFIG.format(folder=folder))
    return folder / "config.toml"


def cleaned_once(config: Path, out: Path) -> dict[str, str]:
    """Do the first step alone, and return the sums of all files."""
    recipe = bundled.BundledConfig.parse(read_toml(config))
    planned = bundled.plan(recipe, out)
    bundled.check_names(recipe)
    bundled.check_cleaned(recipe, planned, out)
    rows = {name: splits.train for name, splits in bundled.check_models(recipe, planned).items()}
    bundled.write_cleaned(recipe, rows, out)
    return sums(out, [path.name for path in out.iterdir()])


def write_sites(path, rows=40) -> list[str]:
    texts = random_strings(rows, 60, seed=5)
    lines = [f"chr{1 + i % 4},{'AB'[i % 2]},{text}" for i, text in enumerate(texts)]
    path.write_text("\n".join(["chr,cell,sequence", *lines]) + "\n")
    return texts


@pytest.mark.slow
def test_one_command_rebuilds_the_models(tmp_path, capfd) -> None:
    write_inputs(tmp_path)
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
    assert "- A second try.\n" in card
    assert "even one 12-mer" in card
    assert load_model(tmp_path / "assets" / "encoder", device="cpu").labels == ("genome", "A", "B")
    card = (tmp_path / "assets" / "encoder" / "README.md").read_text()
    assert "# The bundled encoder\n" in card
    assert card.count("Removed before training") == 1
    assert "-mer, on" not in card, "the encoder learns from labelled sites alone"
    card = (tmp_path / "assets" / "toy" / "README.md").read_text()

    toy = tmp_path / "out" / "toy"
    trained = [path for path in (tmp_path / "out").rglob("model.safetensors") if path.parent.name != "average"]
    # Two of the warm-up, the teachers' warm-up, two teachers, a network to compare with, two pupils.
    assert len(trained) == 8
    teachers = [str(toy / f"teacher{seed}") for seed in (0, 1)]
    recipe = json.loads((toy / "seed1" / "training.json").read_text())
    assert (recipe["teachers"], recipe["teaching"], recipe["seed"]) == (teachers, 0.6, 1)
    unlabelled = [read_sequences(path) for path in recipe["unlabelled"]]
    assert [len(each) > 20 for each in unlabelled] == [True, True]
    measured_on = Sequences.from_strings(read_sequences(tmp_path / "test.csv").strings())
    assert all(len(without_kmers_of(each, measured_on, 12)) == len(each) for each in unlabelled)
    beside = {"4-mers", "6-mers", "gapped k-mers (8, 5)", "its teachers", "a convolutional network, from scratch"}
    assert set(measured["baselines"]) == set(measured["above"]) == beside
    for name, entry in measured["above"].items():
        difference = measured["test"]["auroc"]["value"] - measured["baselines"][name]["auroc"]["value"]
        assert entry["auroc"]["value"] == pytest.approx(difference)
    assert "this model less its teachers" in card
    result = {path: path.stat().st_mtime_ns for path in trained}
    lost = tmp_path / "out" / "unlabelled.parquet"
    before = lost.read_bytes()
    lost.unlink()
    assert bundled.main(arguments) == 0
    assert lost.read_bytes() == before
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


@pytest.mark.parametrize(
    ("before", "after", "said", "status"),
    [
        ('corpus = ["{folder}/genome.fa"]', 'corpus = ["{folder}/gone.fa"]', "corpus: there is no file", 2),
        ('corpus = ["{folder}/genome.fa"]', "corpus = []", "corpus: expected at least 1 file", 2),
        ('exclude = ["{folder}/test.csv"]', 'exclude = ["epdnew_nontat"]', "Did you mean 'epdnew_nontata'", 2),
        ('exclude = ["{folder}/test.csv"]', 'exclude = ["{folder}/gone.csv"]', "exclude: there is no file", 2),
        ('file = "{folder}/sites.csv"', 'file = "{folder}/gone.csv"', "gone.csv", 1),
        ("windows = 3\n", 'windows = 3\nheld_out = ["1"]\n', "sites.held_out: no site is on '1'", 2),
        ("windows = 3\n", "windows = 3\nheld_out = []\n", "not none and not all", 2),
        ('train = "{folder}/train.csv"', 'train = "{folder}/gone.csv"', "gone.csv", 1),
        ('train = "{folder}/train.csv"\n', "", "Fine-tuning needs labelled sequences", 2),
        ('test = "{folder}/test.csv"\n', "", "validation and test rows", 2),
        ("targets = {{ auroc", "targets = {{ aurok", "metric in targets 'aurok'", 2),
        ("mixed_share = 0.1\n", "mixed_share = 0.1\nmeasure_test = false\n", "measure_test", 2),
        ("teachers = [0, 1]", "", "teachers' is missing", 2),
        ("windows = 50", "windows = 50\nseeds = [0]", "Unknown key 'teachers.seeds'", 2),
        ("channels = 8\n", "chanels = 8\n", "Unknown key 'chanels'", 2),
    ],
)
def test_a_mistake_is_told_before_anything_is_written(tmp_path, capsys, before, after, said, status) -> None:
    config, out = write_inputs(tmp_path), tmp_path / "out"
    before, after = before.format(folder=tmp_path), after.format(folder=tmp_path)
    text = config.read_text()
    assert before in text
    config.write_text(text.replace(before, after, 1))
    assert bundled.main([str(config), "--out", str(out)]) == status
    message = capsys.readouterr().err
    assert said in message
    assert message.count("\n") == 1, "one line, no traceback"
    assert not out.exists()


@pytest.mark.parametrize("option", ["--out", "--assets"])
@pytest.mark.parametrize("below", ["", "folder"])
def test_a_file_is_no_folder_for_results(tmp_path, capsys, option, below) -> None:
    config = write_inputs(tmp_path)
    (tmp_path / "file").write_text("mine")
    other = "--assets" if option == "--out" else "--out"
    arguments = [option, str(tmp_path / "file" / below), other, str(tmp_path / "other")]
    assert bundled.main([str(config), *arguments]) == 2
    message = capsys.readouterr().err
    assert message.startswith(f"UsageError: {option} ")
    assert message.endswith(f"Choose another with {option}.\n")
    assert message.count("\n") == 1
    assert (tmp_path / "file").read_text() == "mine"
    assert not (tmp_path / "other").exists()


def test_a_cleaning_that_never_finished_may_be_corrected(tmp_path) -> None:
    config, out = write_inputs(tmp_path), tmp_path / "out"
    files = cleaned_once(config, tmp_path / "whole")
    out.mkdir()
    (out / "cleaned_of.json").write_text('{"exclude": ["a mistake"]}')
    (out / "sites_train.parquet").write_bytes(b"half")
    assert cleaned_once(config, out) == files
    config.write_text(config.read_text().replace("shared = 12", "shared = 13"))
    with pytest.raises(RunMismatch, match="shared was 12, now it is 13"):
        cleaned_once(config, out)


def test_a_folder_of_something_else_is_refused(tmp_path) -> None:
    config, out = write_inputs(tmp_path), tmp_path / "out"
    out.mkdir()
    (out / "sites_train.parquet").write_bytes(b"mine")
    with pytest.raises(RunMismatch, match=r"is not empty and holds no cleaning \(there is 'sites_train"):
        cleaned_once(config, out)
    assert sums(out, ["."]).keys() == {"sites_train.parquet"}


def test_cleaned_files_that_were_lost_or_altered_are_made_anew(tmp_path, capsys) -> None:
    config, out = write_inputs(tmp_path), tmp_path / "out"
    files = cleaned_once(config, out)
    assert set(files) == {
        "cleaned_of.json", "cleaning.json", "sites_train.parquet", "sites_validation.parquet", "unlabelled.parquet",
        "unlabelled_toy.parquet",
    }  # fmt: skip
    capsys.readouterr()
    assert cleaned_once(config, out) == files
    assert capsys.readouterr().err == "", "nothing is done again"
    (out / "unlabelled.parquet").unlink()
    (out / "sites_validation.parquet").write_bytes(b"altered")
    whole = out / "sites_train.parquet"
    time = whole.stat().st_mtime_ns
    assert cleaned_once(config, out) == files
    assert "made anew: sites_validation.parquet, unlabelled.parquet" in capsys.readouterr().err
    assert whole.stat().st_mtime_ns == time

    (out / "cleaning.json").write_text("damaged")
    (out / "warmup1").mkdir()
    assert cleaned_once(config, out) == files, "what the models were trained on is the same"
    (out / "cleaning.json").unlink()
    config.write_text(config.read_text().replace("shared = 12", "shared = 13"))
    with pytest.raises(RunMismatch, match="shared was 12, now it is 13"):
        cleaned_once(config, out)


def test_what_is_not_the_same_when_made_anew_is_refused_by_name(tmp_path) -> None:
    config, out = write_inputs(tmp_path), tmp_path / "out"
    cleaned_once(config, out)
    lost = out / "unlabelled_toy.parquet"
    whole = lost.read_bytes()
    lost.write_bytes(b"of another version")
    write_proof(out / "cleaning.json", [path.name for path in out.glob("*.parquet")], {"corpus": {}, "sites": {}})
    lost.unlink()
    with pytest.raises(RunMismatch, match=r"unlabelled_toy\.parquet was lost or altered, and made anew .* new folder"):
        cleaned_once(config, out)
    assert lost.read_bytes() == whole


def test_nothing_need_be_excluded(tmp_path) -> None:
    config, out = write_inputs(tmp_path), tmp_path / "out"
    config.write_text(config.read_text().replace(f'exclude = ["{tmp_path}/test.csv"]', "exclude = []"))
    cleaned_once(config, out)
    assert len(read_sequences(out / "unlabelled.parquet")) == 120


@pytest.mark.parametrize("name", ["encoder", "enhancer", "promoter"])
def test_shipped_cards_say_what_a_rebuilt_one_would(name) -> None:
    recipes = bundled.BundledConfig.parse(read_toml(ROOT / "studies" / "bundled_models" / "recipes.toml"))
    card = (ROOT / "src" / "kmerit" / "assets" / "models" / name / "README.md").read_text(encoding="utf-8")
    unlabelled = None if name == "encoder" else recipes.teachers.shared
    account = {"corpus": {"removed_nt": 2_644_281, "nt": 80_242_897}, "sites": {"dropped": 231, "rows": 47_483}}
    assert card.endswith(cleaned(**account, unlabelled=unlabelled))
    assert card.count("Removed before training") == 1
    assert f"# The bundled {name}" in card
    for note in recipes.models[name].notes if name in recipes.models else []:
        assert f"\n- {note}\n" in card


def test_teachers_may_have_seeds_of_their_own_and_start_from_scratch(tmp_path) -> None:
    write_sites(tmp_path / "sites.csv", rows=4)
    config = CONFIG.format(folder=tmp_path)
    (tmp_path / "warm.toml").write_text(config)
    (tmp_path / "cold.toml").write_text(config.replace("teachers = [0, 1]", "warm = false\nteachers = [5, 7, 8]"))
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
