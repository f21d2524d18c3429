"""Sites with windows of a genome; what validation chooses of several trainings; rounds of trainings."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from helpers.training_data import labelled, random_strings
from kmerit.datasets.windows import windows_like
from kmerit.errors import CheckpointError, RunError
from kmerit.models.checkpoint import locate
from kmerit.models.model import load_model
from kmerit.sequences import Sequences, gc_count
from kmerit.training import finetuning
from kmerit.training.card import chosen
from kmerit.training.data import Splits
from kmerit.training.finetuning import choose_weights
from kmerit.training.launch import Stage, launch_round
from kmerit.training.learner import average_weights, halve_weights
from kmerit.training.recipe import FinetuneConfig
from kmerit.training.sites import Sites, site_splits


def test_sites_of_held_out_chromosomes_are_the_validation_split(tmp_path: Path) -> None:
    texts = random_strings(12, 20, seed=1)
    rows = [f"chr{1 + i % 3},{'BA'[i % 2]},{text}" for i, text in enumerate(texts)]
    (tmp_path / "sites.csv").write_text("\n".join(["chr,cell,sequence", *rows]))
    corpus = Sequences.from_strings(random_strings(1, 2000, seed=2))
    sites = Sites(file=str(tmp_path / "sites.csv"), held_out=["chr2"], windows=2, matched=0)
    splits, account = site_splits(sites, corpus, [])
    assert account is None
    assert splits.classes == ("genome", "A", "B")
    assert splits.validation is not None
    assert splits.validation.labels is not None
    assert splits.validation.strings()[:4] == texts[1::3]
    assert splits.validation.labels.tolist() == [1, 2, 1, 2, 0, 0, 0, 0]
    assert splits.train.labels is not None
    assert np.bincount(splits.train.labels).tolist() == [16, 4, 4]


def test_windows_are_like_rows_of_the_median_length() -> None:
    rows = Sequences.from_strings(["GGGGGG", "GG", "GCGCGCGC"])
    corpus = Sequences.from_strings(["AT" * 200 + "GC" * 20 + "AT" * 200])
    windows = windows_like(rows, corpus, 10, np.random.default_rng(0))
    assert windows.lengths.tolist() == [6] * 10
    assert set(gc_count(windows.padded()[0]).tolist()) == {6}


def test_the_best_by_validation_is_chosen(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    rows = labelled(8, seed=3)
    assert rows.labels is not None
    right = np.stack([1.0 - rows.labels, rows.labels], axis=1)
    logits = {"0": -right, "1": right, "average": np.zeros_like(right)}

    class Answers:
        def __init__(self, folder: Path) -> None:
            self.name = folder.name

        def logits(self, sequences: Sequences) -> object:
            return logits[self.name]

    monkeypatch.setattr(finetuning, "load_model", lambda folder, device: Answers(folder))
    monkeypatch.setattr(finetuning, "average_weights", lambda folders, out: out)
    choice = choose_weights({each: tmp_path / each for each in "01"}, rows, tmp_path / "average")
    assert (choice.name, choice.folder) == ("1", tmp_path / "1")
    assert choice.auroc == {"0": 0.0, "1": 1.0, "average": 0.5}


@pytest.mark.parametrize(
    ("best", "seeds", "weights"),
    [
        ("average", [0, 1], "the average over seeds 0, 1, which validation preferred to each seed alone"),
        ("1", [0, 1], "seed 1, which validation preferred to the other of seeds 0, 1 and to their average"),
        ("4", [4], "seed 4, the only one"),
    ],
)
def test_a_card_says_which_weights_were_chosen(best: str, seeds: list[int], weights: str) -> None:
    each = [0.5] * len(seeds)
    measured = {"chosen": best, "seeds": {"seeds": seeds, "auroc": {"each": each}}}
    recipe = FinetuneConfig.parse({"task": "ienhancer_2l"})
    card = chosen("Mine", recipe, Splits(labelled(4, seed=0)), measured, [], "new")
    assert weights in card
    assert ("| Log and settings below | of seed 0 |" in card) == (best == "average")


def test_an_average_is_published_as_any_model_is(tmp_path: Path) -> None:
    folders = [locate("bundled:promoter"), locate("bundled:enhancer")]
    average = average_weights(folders, tmp_path / "average")
    halve_weights(average, tmp_path / "mine", "mine")
    mine, *parts = (load_file(folder / "model.safetensors") for folder in (tmp_path / "mine", *folders))
    assert json.loads((tmp_path / "mine" / "config.json").read_text())["kmerit"]["name"] == "mine"
    for key, weights in mine.items():
        mean = (parts[0][key].float() + parts[1][key].float()) / 2
        assert torch.allclose(weights.float(), mean, rtol=2e-3, atol=1e-6), key
    assert np.isfinite(load_model(tmp_path / "mine", device="cpu").logits(labelled(4, seed=0))).all()


def test_weights_larger_than_allowed_are_refused(tmp_path: Path) -> None:
    with pytest.raises(
        CheckpointError, match=r"expected at most 1,000 bytes of weights, got .* Make the model smaller"
    ):
        halve_weights(locate("bundled:promoter"), tmp_path, "mine", most=1000)


def test_a_round_fails_with_one_of_its_trainings(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    recipe = FinetuneConfig.parse({"train": str(tmp_path / "nothing.csv"), "device": "cpu"})
    begun: list[Path] = []
    with pytest.raises(RunError, match="mine failed"):
        launch_round([Stage(recipe, tmp_path / "mine")], together=1, begun=begun.append)
    assert begun == [tmp_path / "mine"]
    assert "nothing.csv" in capfd.readouterr().err
