"""Motifs from the command line: on saved scores, of a run, from a config."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import kmerit as km
from helpers.command import Done
from helpers.small_run import write_experiment
from kmerit.io.motifs import bundled_motifs, find_motif, read_motifs


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sequences of two classes, half of them with AP-1, and scores of a bundled model."""
    folder = tmp_path_factory.mktemp("saved")
    rng = np.random.default_rng(0)
    word = find_motif(read_motifs(), "FOS::JUN")
    rows = rng.integers(0, 4, (80, 60)).astype(np.int8)
    for i in range(1, 80, 2):
        letters = word.draw(rng, 0.8)
        at = rng.integers(0, 60 - len(letters))
        rows[i, at : at + len(letters)] = letters
    strings = ["".join("ACGT"[base] for base in row) for row in rows]
    lines = [f"s{i},{string},{i % 2}" for i, string in enumerate(strings)]
    (folder / "my.csv").write_text("\n".join(["name,sequence,label", *lines, ""]))
    sequences = km.read_sequences(folder / "my.csv")
    model = km.load_model("bundled:promoter")
    km.attribute(model, sequences, ["input_x_gradient", "rollout"], target=1, out=folder / "scores.parquet")
    return folder


@pytest.mark.slow
def test_saved_scores(kmerit: Callable[..., Done], saved: Path, tmp_path: Path) -> None:
    inputs = ("--sequences", saved / "my.csv", "--attributions", saved / "scores.parquet", "--meme", bundled_motifs())
    process = kmerit("motifs", *inputs, "--out", tmp_path / "motifs")
    assert process.code == 0, process.err
    assert "Of 12 families of motifs (jaspar2024_vertebrates.meme)" in process.out
    assert "In the data: 1 is enriched in the class at equal GC: FOS::JUN." in process.out
    assert "Used: not asked, for no model was given." in process.out
    assert "Motifs: looking for hits of 12 families." in process.err
    assert "asking the model" not in process.err
    assert process.out.splitlines()[-1] == f"Motifs: {tmp_path / 'motifs' / 'motifs.csv'}"
    names = {path.name for path in (tmp_path / "motifs").iterdir()}
    assert {"motifs.csv", "families.csv", "families.meme", "hits.bed", "found.parquet", "motifs.json"} <= names
    before = {path.name: path.read_bytes() for path in (tmp_path / "motifs").iterdir() if path.is_file()}
    again = kmerit("motifs", *inputs, "--out", tmp_path / "motifs")
    assert again.out == process.out
    assert {path.name: path.read_bytes() for path in (tmp_path / "motifs").iterdir() if path.is_file()} == before
    other = kmerit("motifs", *inputs, "--seed", "1", "--out", tmp_path / "motifs")
    assert other.code == 1
    assert "seed was 0, now it is 1" in other.err
    (tmp_path / "mine.meme").write_bytes(bundled_motifs().read_bytes())
    mine = kmerit("motifs", *inputs[:-1], tmp_path / "mine.meme", "--out", tmp_path / "motifs")
    assert mine.code == 1
    assert "database.file was 'jaspar2024_vertebrates.meme', now it is 'mine.meme'" in mine.err
    named = kmerit("motifs", *inputs, "--families", "CTCF", "--out", tmp_path / "named")
    assert (named.code, "families: these are what the model is asked about" in named.err) == (2, True)
    quiet = ("--model", "bundled:promoter", "--families", "ctcf,FOS::JUN", "--quiet", "--out", tmp_path / "named")
    named = kmerit("motifs", *inputs, *quiet)
    assert (named.code, named.err) == (0, "")
    assert "of 2 families asked about (those named) raises" in named.out
    assert "The other 10 were not asked about." in named.out


@pytest.mark.slow
def test_own_scores(kmerit: Callable[..., Done], saved: Path, tmp_path: Path) -> None:
    np.save(tmp_path / "mine.npy", np.random.default_rng(0).normal(size=(80, 60)))
    inputs = ("--sequences", saved / "my.csv", "--meme", bundled_motifs(), "--out", tmp_path / "motifs")
    process = kmerit("motifs", *inputs, "--attributions", tmp_path / "mine.npy")
    assert process.code == 0, process.err
    assert set(km.Motifs.load(tmp_path / "motifs").found["method"]) == {"own"}


@pytest.mark.slow
def test_of_a_run(kmerit: Callable[..., Done], tmp_path: Path, tiny_checkpoint: Path) -> None:
    """A run with the table [motifs] has a section, and so have its files; the same by the verb, of run and config."""
    config = write_experiment(tmp_path, tiny_checkpoint)
    of_class_1 = ("--set", "attribution.target=1")
    asked = ("--set", "motifs.test=true", "--set", f"motifs.file={bundled_motifs()}")
    run = kmerit("run", config, *of_class_1, *asked, "--out", tmp_path / "run")
    assert run.code == 0, run.err
    page = (tmp_path / "run" / "report.html").read_text(encoding="utf-8")
    assert "Motifs: in the data, found, used" in page
    assert "Of 12 families of motifs (jaspar2024_vertebrates.meme), none have enough hits to be tested." in page
    assert "Used: no family was asked about, for none has enough hits to be tested and none is enriched." in page
    assert "Found: not tested, for no family has enough hits." in page
    task = tmp_path / "run" / "tasks" / "mine"
    assert '"source": "jaspar2024_vertebrates.meme, p < 0.0001"' in (task / "hits.json").read_text(encoding="utf-8")
    own = kmerit("motifs", "--run", tmp_path / "run", "--meme", bundled_motifs(), "--out", tmp_path / "motifs")
    assert own.code == 0, own.err
    assert (tmp_path / "motifs" / "motifs.csv").read_bytes() == (task / "motifs" / "motifs.csv").read_bytes()
    new = kmerit("motifs", config, *of_class_1, "--meme", bundled_motifs(), "--out", tmp_path / "new")
    assert new.code == 0, new.err
    assert (tmp_path / "new" / "motifs.csv").read_bytes() == (task / "motifs" / "motifs.csv").read_bytes()
    assert (tmp_path / "new" / "run" / "tasks" / "mine" / "attributions.parquet").exists()
    assert not (tmp_path / "new" / "run" / "report.html").exists()


@pytest.mark.slow
def test_a_run_asks_about_named_families(kmerit: Callable[..., Done], tmp_path: Path, tiny_checkpoint: Path) -> None:
    config = write_experiment(tmp_path, tiny_checkpoint)
    table = f"[motifs]\ntest = true\nfile = '{bundled_motifs()}'\nfamilies = ['FOS::JUN', 'ETS1']\n"
    config.write_text(config.read_text(encoding="utf-8") + table, encoding="utf-8")
    of_class_1 = ("--set", "attribution.target=1")
    unknown = kmerit("run", config, *of_class_1, "--set", 'motifs.families=["FOX::JUN"]', "--out", tmp_path / "x")
    assert (unknown.code, "Did you mean 'FOS::JUN'" in unknown.err) == (2, True), unknown.err
    run = kmerit("run", config, *of_class_1, "--out", tmp_path / "run")
    assert run.code == 0, run.err
    assert "of 2 families asked about (those named)" in (tmp_path / "run" / "report.html").read_text(encoding="utf-8")
    used = km.Motifs.load(tmp_path / "run" / "tasks" / "mine" / "motifs").families.set_index("name")["used"]
    assert set(used.index[used.notna()]) == {"FOS::JUN", "ETS1"}


def test_what_is_wrongly_asked(kmerit: Callable[..., Done], tmp_path: Path) -> None:
    nothing = kmerit("motifs", "--out", tmp_path / "x")
    assert (nothing.code, "Give one: a config, --run, or --sequences" in nothing.err) == (2, True)
    both = kmerit("motifs", "bundled:demo", "--run", tmp_path, "--out", tmp_path / "x")
    assert both.code == 2
    floor = kmerit("motifs", "--run", tmp_path, "--floor", "x", "--out", tmp_path / "x")
    assert (floor.code, "go with --de-novo" in floor.err) == (2, True)
    floor = kmerit("motifs", "--run", tmp_path, "--de-novo", "--floor", "x", "--out", tmp_path / "x")
    assert floor.code in (1, 2)
    no_run = kmerit("motifs", "--run", tmp_path, "--out", tmp_path / "x")
    assert (no_run.code, "holds no run" in no_run.err) == (1, True)
    assert not (tmp_path / "x").exists()
