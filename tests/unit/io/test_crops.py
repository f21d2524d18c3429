"""Crops, filters, samples, and their account."""

from __future__ import annotations

import numpy as np
import pytest

from kmerit.errors import ConfigError, LabelError, SequenceError
from kmerit.io.crops import Crop, prepare, sample_per_class
from kmerit.sequences import Locus, Sequences


@pytest.mark.parametrize(
    ("anchor", "expected"),
    [("left", ["ACGT", "AC"]), ("center", ["CGTA", "AC"]), ("right", ["GTAC", "AC"])],
)
def test_crops(anchor: str, expected: list[str]) -> None:
    sequences = Sequences.from_strings(["ACGTAC", "AC"], labels=[1, 0], names=["a", "b"])
    cropped, report = prepare(sequences, crop=Crop(4, anchor))  # type: ignore[arg-type]
    assert cropped.strings() == expected
    assert cropped.names == ("a", "b")
    assert cropped.labels is not None
    assert cropped.labels.tolist() == [1, 0]
    assert report == {"rows": 2, "with_n": 0, "too_short": 0, "kept": 2, "cropped": 1, "cropped_nt": 2}


def test_an_odd_rest_leaves_the_center_further_left() -> None:
    assert Crop(4, "center").window(7) == (1, 5)


@pytest.mark.parametrize(
    ("strand", "anchor", "expected"),
    [("+", "left", (100, 104)), ("+", "right", (102, 106)), ("-", "left", (102, 106)), ("-", "right", (100, 104))],
)
def test_crops_loci_along_the_strand(strand: str, anchor: str, expected: tuple[int, int]) -> None:
    sequences = Sequences.from_strings(["ACGTAC", "AC"], loci=[Locus("chr1", 100, 106, strand), None])
    cropped, _ = prepare(sequences, crop=Crop(4, anchor))  # type: ignore[arg-type]
    assert cropped.loci == (Locus("chr1", *expected, strand), None)


def test_without_filters_nothing_changes() -> None:
    sequences = Sequences.from_strings(["ACGN", "A"])
    kept, report = prepare(sequences, drop_n=False)
    assert kept.strings() == ["ACGN", "A"]
    assert report["kept"] == 2
    assert kept is sequences  # no copy of every letter


def test_filters_look_at_whole_sequences_and_count_each_once() -> None:
    sequences = Sequences.from_strings(
        ["ACGTN", "N", "AC", "ACGT"], names=["n_behind_crop", "n_and_short", "short", "good"]
    )
    kept, report = prepare(sequences, crop=Crop(3), min_length=4)
    assert kept.names == ("good",)
    assert report == {"rows": 4, "with_n": 2, "too_short": 1, "kept": 1, "cropped": 1, "cropped_nt": 1}


def test_refuses_to_leave_nothing() -> None:
    with pytest.raises(SequenceError, match="No sequence is left of 2: 1 have an N, 1 are shorter than 5 nt"):
        prepare(Sequences.from_strings(["ACGTNA", "AC"]), min_length=5)


@pytest.mark.parametrize(
    ("text", "crop"),
    [("200", Crop(200)), ("7:right", Crop(7, "right")), ("none", None)],
)
def test_parses_crops(text: str, crop: Crop | None) -> None:
    assert Crop.parse(text) == crop


@pytest.mark.parametrize("text", ["", "left", "200:middle", "-3", "2.5", "0", "200:left:x"])
def test_refuses_other_crops(text: str) -> None:
    with pytest.raises(ConfigError, match="crop: expected"):
        Crop.parse(text)


def test_samples_each_class_in_the_original_order() -> None:
    labels = np.array([0, 1, 1, 0, 1, 1, 0, 2])
    sequences = Sequences.from_strings(["ACGT"] * 8, labels=labels)
    sample = sample_per_class(sequences, 2, seed=3)
    assert sample.labels is not None
    assert np.bincount(sample.labels).tolist() == [2, 2, 1]
    index = [sequences.names.index(name) for name in sample.names]
    assert index == sorted(index)


def test_samples_are_those_of_the_seed() -> None:
    sequences = Sequences.from_strings(["ACGT"] * 50, labels=[0, 1] * 25)
    first = sample_per_class(sequences, 5, seed=1).names
    assert first == sample_per_class(sequences, 5, seed=1).names
    assert first != sample_per_class(sequences, 5, seed=2).names


def test_refuses_to_sample_without_classes() -> None:
    with pytest.raises(LabelError, match="needs classes"):
        sample_per_class(Sequences.from_strings(["ACGT"]), 1, seed=0)
    with pytest.raises(LabelError, match="needs classes"):
        sample_per_class(Sequences.from_strings(["ACGT"], labels=[0.5]), 1, seed=0)
    with pytest.raises(ConfigError, match="per_class: expected at least 1, got 0"):
        sample_per_class(Sequences.from_strings(["ACGT"], labels=[0]), 0, seed=0)
