"""Motifs read, composition tilted, planted sets written and read back; what is refused."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

import kmerit as km
from kmerit.datasets.planting import Background, Composition, Planting, plant, read_backgrounds, read_planted
from kmerit.errors import ConfigError, FormatError, RunMismatch, SequenceError, UnknownName, UsageError
from kmerit.io.motifs import Motif, bundled_motifs, find_motif, read_motifs
from kmerit.metrics import auroc
from kmerit.sequences import Sequences, encode, kmers

SMALL = {"train": 6, "validation": 2, "test": 4}


def test_the_bundled_motifs() -> None:
    motifs = read_motifs()
    assert len(motifs) == 12
    assert all(np.allclose(m.probabilities.sum(axis=1), 1) and m.probabilities.shape[1] == 4 for m in motifs.values())
    assert find_motif(motifs, "MA0139.2") is find_motif(motifs, "CTCF")
    with pytest.raises(UnknownName, match=r"Unknown motif 'CTCV'. Did you mean 'CTCF'"):
        find_motif(motifs, "CTCV")


def test_a_motif_is_found_on_both_strands() -> None:
    motif = find_motif(read_motifs(), "CTCF")
    best = np.asarray(motif.log_odds.argmax(axis=1), dtype=np.int8)
    assert motif.scores(best)[0, 0] == pytest.approx(motif.highest)
    turned = np.concatenate([encode("AC"), np.asarray(3 - best[::-1], dtype=np.int8), encode("T")])
    assert np.flatnonzero(motif.hits(turned, 0.99)).tolist() == [2]
    assert motif.scores(encode("ACG")).shape == (2, 0)


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"regime": "near"}, "regime: expected .localised., .and."),
        ({"regime": "and", "motifs": ("CTCF",)}, "and takes 2 different motifs, got 1"),
        ({"regime": "and", "motifs": ("CTCF", "CTCF")}, "2 different motifs"),
        (
            {"regime": "localised", "motifs": ("CTCF",), "train": 3},
            "train: expected a multiple of 2, got 3",
        ),
        ({"regime": "localised", "motifs": ("CTCF",), "test": 5}, "test: expected a multiple of 2, got 5"),
        ({"regime": "localised", "motifs": ("CTCF",), "match": 0.0}, "match: expected more than 0, got 0.0"),
        ({"regime": "localised", "motifs": ("CTCF",), "negatives": "none"}, "negatives: expected .random."),
        ({"regime": "composition", "negatives": "shuffled"}, "composition that class 1 differs by"),
    ],
)
def test_what_cannot_be_planted(settings: dict[str, object], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        Planting(**settings)  # type: ignore[arg-type]


def test_motifs_that_do_not_fit(tmp_path: Path) -> None:
    with pytest.raises(SequenceError, match="do not fit in 12 nt"):
        plant(Planting(regime="localised", motifs=("CTCF",), length=12, **SMALL))  # type: ignore[arg-type]
    meme = tmp_path / "a.meme"
    meme.write_text("MOTIF M1 A\nletter-probability matrix: alength= 4 w= 1\n0.97 0.01 0.01 0.01\n")
    with pytest.raises(SequenceError, match="A: in 500 windows of 100 nt a motif always matched by chance"):
        plant(Planting(regime="localised", motifs=("A",), meme=str(meme), **SMALL))  # type: ignore[arg-type]


def test_a_motif_whose_own_letters_never_match() -> None:
    motif = Motif("weak", "M1", np.tile([0.26, 0.25, 0.25, 0.24], (20, 1)))
    with pytest.raises(SequenceError, match="Lower match"):
        motif.draw(np.random.default_rng(0), 1.0)


def test_sources_of_each_split_are_apart(tmp_path: Path) -> None:
    lines = [f">s{i}\n{'ACGTTGCA' * 5}{'ACGT'[i % 4] * 4}\n" for i in range(60)]
    (tmp_path / "mine.fa").write_text("".join(lines))
    parts = read_backgrounds(str(tmp_path / "mine.fa"), 40, shuffled=False)
    names = [set(part.sources.names) for part in parts.values()]
    assert sorted(parts) == ["test", "train", "validation"]
    assert sum(map(len, names)) == len(set.union(*names)) == 60
    with pytest.raises(SequenceError, match=r"none of .* sequences has 50 nt"):
        read_backgrounds(str(tmp_path / "mine.fa"), 50, shuffled=False)


@pytest.mark.parametrize("unit", ["base", "dinucleotide"])
def test_composition_has_the_log_odds_that_it_says(unit: str) -> None:
    rng = np.random.default_rng(1)
    strings = ["".join(rng.choice(list("ACGT"), 200, p=[0.3, 0.2, 0.2, 0.3])) for _ in range(30)]
    composition = Composition.tilted(Background(Sequences.from_strings(strings), 100, True), unit, 0.4, seed=0)
    drawn = [np.stack([composition.draw(label, 100, rng) for _ in range(300)]) for label in (0, 1)]
    totals = [composition.log_odds(bases).sum(axis=1) for bases in drawn]
    # The likelihood ratio, written out letter by letter.
    row = drawn[1][0]
    chain = composition.following
    ratio = np.log(composition.first[1, row[0]] / composition.first[0, row[0]])
    ratio += sum(np.log(chain[1, a, b] / chain[0, a, b]) for a, b in pairwise(row))
    assert totals[1][0] == pytest.approx(ratio)
    labels = np.repeat([False, True], 300)
    assert auroc(labels, np.concatenate(totals), np.ones(600)) > 0.97
    words = [np.bincount(kmers(bases, 2).ravel(), minlength=16).reshape(4, 4) for bases in drawn]
    for label in (0, 1):
        observation = words[label] / words[label].sum(axis=1, keepdims=True)
        assert np.abs(observation - composition.following[label]).max() < 0.03
    alike = np.abs(composition.following[1] - composition.following[1][0]).max() < 1e-12
    assert alike == (unit == "base")


@pytest.mark.parametrize("settings", [{"regime": "and", "motifs": ("CTCF", "USF1")}, {"regime": "composition"}])
def test_what_is_written_is_read_back(tmp_path: Path, settings: dict[str, object]) -> None:
    planting = Planting(**settings, **SMALL)  # type: ignore[arg-type]
    dataset = km.plant(planting)
    folder = km.plant(planting, out=tmp_path / "set")
    for split, part in dataset.items():
        reloaded = read_planted(folder, split)
        assert reloaded.sequences.strings() == part.sequences.strings()
        assert reloaded.placements == part.placements
        for name in ("mask", "background", "scrubbed"):
            assert (getattr(reloaded, name) == getattr(part, name)).all()
        assert (reloaded.log_odds is None) == (part.log_odds is None)
        if reloaded.log_odds is not None and part.log_odds is not None:
            assert (reloaded.log_odds == part.log_odds).all()
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest["planting"]["seed"] == 0
    assert sorted(manifest["files"]) == sorted(path.name for path in folder.glob("*.parquet"))


def test_a_folder_is_kept_if_it_is_the_same_and_refused_if_not(tmp_path: Path) -> None:
    planting = Planting(regime="localised", motifs=("CTCF",), **SMALL)  # type: ignore[arg-type]
    folder = plant(planting, out=tmp_path)
    before = (folder / "train.parquet").stat().st_mtime_ns
    assert plant(planting, out=tmp_path) == folder
    assert (folder / "train.parquet").stat().st_mtime_ns == before
    with pytest.raises(RunMismatch, match=r"another planted set: planting\.seed was 0, now it is 1"):
        plant(Planting(regime="localised", motifs=("CTCF",), seed=1, **SMALL), out=tmp_path)  # type: ignore[arg-type]
    (folder / "test.parquet").write_bytes(b"other")
    with pytest.raises(UsageError, match=r"test\.parquet was changed since the planted set"):
        plant(planting, out=tmp_path)
    with pytest.raises(FormatError, match=r"test\.parquet: changed since it was planted"):
        read_planted(folder, "test")
    (folder / "test.parquet").unlink()
    plant(planting, out=tmp_path)
    assert len(read_planted(folder, "test").sequences) == SMALL["test"]


def test_files_of_the_user_are_not_overwritten(tmp_path: Path) -> None:
    planting = Planting(regime="localised", motifs=("CTCF",), **SMALL)  # type: ignore[arg-type]
    (tmp_path / "train.parquet").write_text("mine")
    with pytest.raises(UsageError, match="not of an earlier planted set"):
        plant(planting, out=tmp_path)
    assert (tmp_path / "train.parquet").read_text() == "mine"
    (tmp_path / "train.parquet").unlink()
    (tmp_path / "manifest.json").write_text('{"mine": "precious"}')
    with pytest.raises(RunMismatch, match="not of a planted set"):
        plant(planting, out=tmp_path)
    assert (tmp_path / "manifest.json").read_text() == '{"mine": "precious"}'


def test_truth_that_is_none(tmp_path: Path) -> None:
    folder = plant(Planting(regime="localised", motifs=("CTCF",), **SMALL), out=tmp_path)  # type: ignore[arg-type]
    (folder / "manifest.json").unlink()
    (folder / "test.truth.parquet").write_bytes((folder / "train.truth.parquet").read_bytes())
    with pytest.raises(FormatError, match="its names are not those"):
        read_planted(folder, "test")
    (folder / "test.truth.parquet").write_bytes((folder / "test.parquet").read_bytes())
    with pytest.raises(FormatError, match="no column 'mask'"):
        read_planted(folder, "test")


def test_the_licence_of_the_motifs_is_told() -> None:
    notice = (Path(__file__).parents[3] / "NOTICE").read_text(encoding="utf-8")
    assert bundled_motifs().name in notice
    assert "CC BY 4.0" in notice
