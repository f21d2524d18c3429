"""The verbs of studies, as a user types them: plant, planted, leakage, backgrounds, sanity."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path

import pytest

import kmerit as km
from helpers.command import Done
from helpers.small_run import write_sequences

STUDY = """\
resamples = 100

[sets.letters]
regime = "composition"
length = 41
strength = 2.0
source = "human_enhancers_dedup"
train = 400
validation = 20
test = 40

[training]
k = 3
hidden = 8
layers = 1
heads = 1
intermediate = 8
learning_rate = 0.02
epochs = 3
batch_size = 20
device = "cpu"
hidden_dropout = 0.0
embedding_start = "composed"

[trial]
sequences = 10
methods = ["lrp", "ism"]
counts = [0, 3]
replicates = 1
"""
SMALL = ("--train", 4, "--validation", 2, "--test", 4)


def test_plant_leaves_three_splits_with_their_truth(kmerit: Callable[..., Done], tmp_path: Path) -> None:
    out = tmp_path / "set"
    process = kmerit("plant", "--regime", "and", "--motifs", "USF1, NFYA", *SMALL, "--seed", 3, "--out", out)
    assert process == Done(0, f"{out}\n", "")
    assert sorted(path.name for path in out.iterdir()) == [
        "manifest.json",
        *(f"{split}{kind}.parquet" for split in ("test", "train", "validation") for kind in ("", ".truth")),
    ]
    assert km.read_sequences(out / "test.parquet").labels.tolist() == [0, 1, 0, 1]
    assert json.loads((out / "manifest.json").read_text())["planting"]["seed"] == 3


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--regime", "and", "--motifs", "USF1"), "ConfigError: motifs: and takes 2 different motifs, got 1: USF1."),
        (("--regime", "localised", "--motifs", "USF"), "UnknownName: Unknown motif 'USF'. Did you mean 'USF1'?"),
        (("--regime", "localised", "--motifs", "USF1", "--meme", "no.meme"), "FormatError: no.meme: no such file."),
        (("--regime", "localised", "--motifs", "USF1", "--length", "5"), "SequenceError: USF1 and 0 nt between them"),
    ],
)
def test_what_cannot_be_planted_is_told(
    kmerit: Callable[..., Done], tmp_path: Path, arguments: tuple[str, ...], says: str
) -> None:
    process = kmerit("plant", *arguments, *SMALL, "--out", tmp_path / "set")
    assert process.code in (1, 2)
    assert process.err.startswith(says)
    assert "Traceback" not in process.err


def test_a_planted_study(kmerit: Callable[..., Done], tmp_path: Path) -> None:
    (tmp_path / "study.toml").write_text(STUDY)
    out = tmp_path / "out"
    command = ("planted", tmp_path / "study.toml", "--out", out, "--quiet")
    process = kmerit(*command)
    assert process == Done(0, f"Report: {out / 'planted.md'}\n", "")
    text = (out / "planted.md").read_text(encoding="utf-8")
    assert "- **letters**: Kendall's tau between truth and trial is " in text
    rows = list(csv.DictReader(io.StringIO((out / "planted.csv").read_text())))
    assert [row["set"] for row in rows] == ["letters"] * 2
    assert {row["method"] for row in rows} == {"lrp", "ism"}
    refused = kmerit(*command, "--set", "trial.replicates=2")
    assert refused.code == 1
    assert refused.err.startswith(f"RunMismatch: {out} holds a study of another config: trial.replicates was 1")
    assert kmerit(*command, "--set", "trial.metods=2").err.startswith("ConfigError: Unknown key 'trial.metods'")


def test_sanity_checks(kmerit: Callable[..., Done], tmp_path: Path, tiny_checkpoint: Path) -> None:
    mine = write_sequences(tmp_path / "mine.csv", count=3)
    out = tmp_path / "out"
    options = ("--methods", "attention,lrp", "--resamples", 100, "--out", out)
    process = kmerit("sanity", "--model", tiny_checkpoint, "--sequences", mine, *options)
    assert process == Done(0, f"Report: {out / 'sanity.md'}\n", "")
    text = (out / "sanity.md").read_text(encoding="utf-8")
    assert "| check | attention | lrp |" in text
    assert "| class swap | 1.00 (1.00 to 1.00) |" in text, "attention does not know the class"
    assert "| random weights, layer 2 |" in text


DESIGN = """\
{head}

[training]
max_steps = 1
device = "cpu"

[trial]
per_class = 3
methods = ["attention", "saliency"]
counts = [0, 5, "all"]
compared = 5
replicates = 1
random_sets = 1
resamples = 100
"""
LEAKS = """\
arms = ["none", "positives"]
seeds = [0]

[sets.mine]
task = "ienhancer_2l"
leaks = "copies"
train_rows = 40
test_per_class = 8
"""
KINDS = """\
kinds = ["shuffled", "gene_body"]
train_rows = 20
validation_rows = 4
test_rows = 8
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("verb", "head", "report", "says"),
    [("leakage", LEAKS, "leakage.md", "| positives | 0 |"), ("backgrounds", KINDS, "negatives.md", "| shuffled | ")],
)
def test_studies_of_data_sets(
    kmerit: Callable[..., Done], tmp_path: Path, verb: str, head: str, report: str, says: str
) -> None:
    (tmp_path / "study.toml").write_text(DESIGN.format(head=head))
    out = tmp_path / "out"
    process = kmerit(verb, tmp_path / "study.toml", "--out", out, "--quiet")
    assert (process.code, process.out) == (0, f"Report: {out / report}\n")
    assert says in (out / report).read_text(encoding="utf-8")
    again = kmerit(verb, tmp_path / "study.toml", "--out", out, "--quiet")
    assert again == process
    refused = kmerit(verb, tmp_path / "study.toml", "--out", out, "--set", "trial.metods=2")
    assert refused.code == 2
    assert "metods" in refused.err
