"""The page on data as people have them: its commands, typed with the files that it speaks of."""

from __future__ import annotations

import gzip
import json
import re
import shlex
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import kmerit as km
from helpers.command import KMERIT, Done

PAGE = Path(__file__).resolve().parents[2] / "docs" / "how-to" / "data-as-you-have-it.md"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The files that the page speaks of."""
    monkeypatch.chdir(tmp_path)
    letters = "".join(np.random.default_rng(0).choice(list("ACGTacgt"), 3000))
    Path("genome.fa.gz").write_bytes(gzip.compress(f">chr20\n{letters}\n".encode()))
    peaks = [f"20\t{start}\t{start + 50}\tp{start}\t0\t.\t5.2\t9.1\t3\t20" for start in (10, 500, 1500)]
    Path("peaks.narrowPeak").write_text("\n".join(peaks) + "\n")
    Path("long.fa").write_text(f">long\n{letters[:450]}\n>short\n{letters[:150]}\n")
    Path("my.fa.gz").write_bytes(gzip.compress(f">a\n{letters[:300]}\n".encode()))
    return tmp_path


def commands() -> list[str]:
    blocks = re.findall(r"^```\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.M | re.S)
    return [line for block in blocks for line in re.sub(r"\\\n\s*", " ", block).splitlines()]


def test_every_command_of_the_page(folder: Path, kmerit: Callable[..., Done]) -> None:
    sentence = ""
    for line in commands():
        if line.startswith("gzip"):
            typed = line.replace("kmerit", shlex.quote(str(KMERIT)))
            process = subprocess.run(["bash", "-c", typed], capture_output=True, text=True, check=True)
            assert process.stdout.startswith("name,predicted,")
            assert "lower-case" in process.stderr
            continue
        message = kmerit(*shlex.split(line)[1:])
        assert message.code == 0, message.err
        sentence += message.err
    assert "251 nt around summits" in sentence
    assert "chromosomes: 1 of 3" in sentence
    assert "chr20:1-251: 1-based, both ends included" in sentence
    assert "Sequences longer than 251 nt: 1, read in 3 tiles" in sentence
    both = km.read_sequences("train.csv")
    assert both.labels is not None
    assert both.labels.tolist() == [1, 1, 0, 0]
    assert set(both.lengths.tolist()) == {200}


def test_the_ending_decides_the_format(folder: Path, kmerit: Callable[..., Done], tiny_checkpoint: Path) -> None:
    arguments = ("predict", "--model", tiny_checkpoint, "--sequences", "long.fa", "--crop", 100, "--out")
    for name in ("p.csv", "p.tsv", "p.json", "p.jsonl", "p.parquet"):
        assert kmerit(*arguments, name).code == 0
    rows = json.loads(Path("p.json").read_text())
    assert [json.loads(line) for line in Path("p.jsonl").read_text().splitlines()] == rows
    for table in (pd.read_csv("p.csv"), pd.read_csv("p.tsv", sep="\t"), pd.read_parquet("p.parquet")):
        assert table.to_dict("records") == rows
    refused = kmerit(*arguments, "p.xlsx")
    assert (refused.code, refused.out) == (2, "")
    assert "the suffix sets the format" in refused.err


def test_labels_that_are_the_models_classes(folder: Path, kmerit: Callable[..., Done], tiny_checkpoint: Path) -> None:
    """``signal`` is class 1 of the model, and the second of these names in no alphabet."""
    letters = np.random.default_rng(1).choice(list("ACGT"), (2, 60))
    rows = [f"{''.join(row)},{label}" for row, label in zip(letters, ("signal", "signal"), strict=True)]
    Path("x.csv").write_text("\n".join(["sequence,label", *rows, ""]))
    model = km.load_model(tiny_checkpoint)
    scores = km.attribute(model, km.read_sequences("x.csv"), ["lrp"], "label")["lrp"]
    assert scores.target.tolist() == [1, 1]
    Path("y.csv").write_text("\n".join(["sequence,label", rows[0].replace("signal", "other"), ""]))
    with pytest.raises(km.KmeritError, match="'other' is not one of the classes 'background', 'signal'"):
        km.attribute(model, km.read_sequences("y.csv"), ["lrp"], "label")
    by_name = kmerit(
        "attribute",
        "--model",
        tiny_checkpoint,
        "--sequences",
        "x.csv",
        "--methods",
        "lrp",
        "--target",
        "signal",
        "--out",
        "s.parquet",
    )
    assert by_name.code == 0, by_name.err


def test_a_training_takes_folders_and_named_labels(tmp_path: Path) -> None:
    from kmerit.errors import LabelError
    from kmerit.training.data import load_splits
    from kmerit.training.recipe import FinetuneConfig

    letters = np.random.default_rng(2).choice(list("ACGT"), (12, 40))
    for i, row in enumerate(letters):
        path = tmp_path / "set" / ("train" if i < 8 else "test") / ("positive" if i % 2 else "negative") / f"{i}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(row))
    splits = load_splits(FinetuneConfig(train=str(tmp_path / "set"), validation_share=0.4))
    assert splits.classes == ("negative", "positive")
    assert splits.test is not None
    assert len(splits.test) == 4
    table = "sequence,label\n" + "".join(f"{''.join(row)},{'abc'[i % 3]}\n" for i, row in enumerate(letters))
    (tmp_path / "train.csv").write_text(table)
    (tmp_path / "test.csv").write_text("\n".join(["sequence,label", f"{''.join(letters[0])},c", ""]))
    inputs = {"train": str(tmp_path / "train.csv"), "test": str(tmp_path / "test.csv"), "validation_share": 0}
    splits = load_splits(FinetuneConfig(**inputs))
    assert splits.test is not None
    assert splits.test.labels is not None
    assert (splits.classes, splits.test.labels.tolist()) == (("a", "b", "c"), [2])
    splits = load_splits(FinetuneConfig(**inputs, classes=["c", "b", "a"]))
    assert splits.test is not None
    assert splits.test.labels is not None
    assert splits.test.labels.tolist() == [0]
    (tmp_path / "test.csv").write_text("\n".join(["sequence,label", f"{''.join(letters[0])},d", ""]))
    with pytest.raises(LabelError, match="'d' is not one of the classes"):
        load_splits(FinetuneConfig(**inputs))
