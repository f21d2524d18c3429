"""Folders of text files: the folder is the class, the file a sequence."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from kmerit.datasets.reading import read_dataset
from kmerit.errors import FormatError, LabelError, SequenceError
from kmerit.io.readers import read_sequences


def fill(folder: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(gzip.compress(text.encode()) if name.endswith(".gz") else text.encode())
    return folder


@pytest.fixture
def benchmark(tmp_path: Path) -> Path:
    """A set of genomic_benchmarks: no class has a name in both splits' files only once."""
    files = {f"train/positive/{i}.txt": text for i, text in ((2, "ACGT\n"), (10, "AC\nGG\n"))}
    return fill(tmp_path, {**files, "train/negative/2.txt.gz": "TTTT", "test/positive/7.txt": "CCCC\r\n"})


def test_classes_names_and_splits(benchmark: Path, caplog: pytest.LogCaptureFixture) -> None:
    train, test = (read_sequences(benchmark, split=split) for split in ("train", "test"))
    assert train.names == ("negative/2", "positive/2", "positive/10")
    assert train.strings() == ["TTTT", "ACGT", "ACGG"]
    assert train.labels is not None
    assert train.labels.tolist() == [0, 1, 1]
    assert train.classes == test.classes == ("negative", "positive")
    assert test.labels is not None
    assert (test.names, test.labels.tolist()) == (("7",), [1])
    assert "the classes: 0 negative, 1 positive" in caplog.text


def test_the_order_of_classes_can_be_given(benchmark: Path) -> None:
    result = read_sequences(benchmark, split="test", classes=["positive", "negative"])
    assert result.labels is not None
    assert result.labels.tolist() == [0]
    with pytest.raises(LabelError, match="the label 'positive' is not one of the classes good, bad"):
        read_sequences(benchmark, split="test", classes=["good", "bad"])


def test_an_audit_reads_them(benchmark: Path) -> None:
    dataset = read_dataset(benchmark)
    assert dataset.splits == ("train", "test")
    assert dataset.classes == ("negative", "positive")
    assert dataset.labels.tolist() == [0, 1, 1, 1]
    bare = read_dataset(benchmark / "train")
    assert (bare.splits, bare.classes) == (("all",), ("negative", "positive"))


def test_without_splits_or_classes(tmp_path: Path) -> None:
    classes = read_sequences(fill(tmp_path / "classes", {"pos/a.txt": "AC", "neg/b.txt": "GT"}))
    assert (classes.names, classes.classes) == (("b", "a"), ("neg", "pos"))
    bare = read_sequences(fill(tmp_path / "bare", {"a.txt": "AC\nGT", "b.txt": "GT", "README.md": "mine"}))
    assert (bare.names, bare.strings(), bare.labels) == (("a", "b"), ["ACGT", "GT"], None)
    split = fill(tmp_path / "split", {"train/a.txt": "AC", "test/a.txt": "GT"})
    assert read_sequences(split, split="test").strings() == ["GT"]


@pytest.mark.parametrize(
    ("files", "error", "message"),
    [
        ({"train/pos/a.txt": "AC", "pos/a.txt": "AC"}, FormatError, "expected all text files at one depth"),
        ({"train/pos/a.txt": "AC", "test/pos/a.txt": "AC"}, FormatError, "the splits are test, train; name one"),
        ({"pos/a.txt": "AC X"}, SequenceError, "a.txt: 'a', position 2"),
        ({"pos/a.txt": ""}, FormatError, "a.txt: the file is empty"),
        ({"pos/a.txt": "ACG CGT"}, SequenceError, "found ' '"),
    ],
)
def test_refuses(tmp_path: Path, files: dict[str, str], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        read_sequences(fill(tmp_path, files))
