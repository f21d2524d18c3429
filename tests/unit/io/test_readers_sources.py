"""Sequences from whatever a user has: each form is taken, and what is wrong in it is named with its place."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import kmerit as km
from kmerit.errors import FormatError, SequenceError, UsageError
from kmerit.io.readers import as_sequences

STRINGS = ["ACGTTGCAAC", "TTGACN"]


@pytest.fixture
def table() -> pd.DataFrame:
    return pd.DataFrame({"name": ["a", "b"], "sequence": STRINGS, "label": ["peak", "background"]})


def test_every_form_gives_the_same_letters(tmp_path: Path, table: pd.DataFrame) -> None:
    path = tmp_path / "two.csv"
    table.to_csv(path, index=False)
    inputs = km.Sequences.from_strings(STRINGS)
    assert as_sequences(inputs) is inputs
    forms: list[tuple[Any, tuple[str, str]]] = [
        (STRINGS, ("seq0", "seq1")),
        (tuple(STRINGS), ("seq0", "seq1")),
        (np.array(STRINGS), ("seq0", "seq1")),
        (pd.Series(STRINGS), ("seq0", "seq1")),
        (pd.Series(STRINGS, index=["x", "y"]), ("x", "y")),
        (pd.Series(["N", *STRINGS])[1:], ("seq1", "seq2")),
        (table["sequence"], ("seq0", "seq1")),
        (dict(zip("pq", STRINGS, strict=True)), ("p", "q")),
        (table, ("a", "b")),
        (table.drop(columns="name").set_index(pd.Index(["i", "j"])), ("i", "j")),
        (path, ("a", "b")),
        (str(path), ("a", "b")),
    ]
    for form, names in forms:
        result = as_sequences(form)
        assert result.strings() == STRINGS
        assert result.names == names


def test_a_frame_has_labels_and_places(table: pd.DataFrame) -> None:
    frame = table.assign(chrom="chr1", start=[0, 10], end=[10, 16])
    result = as_sequences(frame)
    assert result.labels is not None
    assert (result.labels.tolist(), result.classes) == ([1, 0], ("background", "peak"))
    assert result.loci == (km.Locus("chr1", 0, 10), km.Locus("chr1", 10, 16))
    assert as_sequences(frame.drop(columns="label").assign(value=[0.5, 2])).labels.tolist() == [0.5, 2]  # type: ignore[union-attr]


WRONG: dict[str, tuple[Any, type[Exception], str]] = {
    "a letter": (["ACGT", "AXT"], SequenceError, r"sequences\[1\]: 'seq1', position 1: .*found 'X'"),
    "a letter in a dict": ({"a": "ACGT", "b": "AC-"}, SequenceError, r"sequences\['b'\]: 'b', position 2: .*'-'"),
    "lower case": (["acgt"], SequenceError, r"sequences\[0\].*lower-case"),
    "an empty string": (["ACGT", ""], SequenceError, r"sequences\[1\]: 'seq1' is empty"),
    "no string": (["ACGT", None], SequenceError, r"sequences\[1\]: expected a string of letters, got None"),
    "a pair": ([("a", "ACGT")], SequenceError, r"sequences\[0\]: expected a string of letters, got \('a', 'ACGT'\)"),
    "nothing": ([], SequenceError, "at least one, got none"),
    "an empty dict": ({}, SequenceError, "at least one, got none"),
    "one string": ("ACGTTGCA", SequenceError, r"one string is taken for a path. Write a list: \['ACGTTGCA'\]"),
    "a file that is not there": ("nowhere.fa", FormatError, "nowhere.fa"),
    "a number": (3, UsageError, "got int"),
    "bytes": (b"ACGT", UsageError, "got bytes"),
    "a set": ({"ACGT"}, UsageError, "got set"),
    "numbers": (np.zeros((2, 4)), UsageError, "an array of float64, 2-dimensional"),
    "a name twice": (pd.Series(STRINGS, index=["a", "a"]), SequenceError, "'a' occurs twice, at index 0 and 1"),
    "an empty name": ({"": "ACGT"}, SequenceError, "name at index 0 is empty"),
    "a name that is none": ({1: "ACGT"}, SequenceError, "expected strings as names, got 1 at index 0"),
    "a missing value": (pd.Series(["ACGT", np.nan]), SequenceError, r"sequences\[1\]: expected a string"),
    "a frame without letters": (pd.DataFrame({"x": [1]}), FormatError, "DataFrame: no sequence column among 'x'"),
    "a frame without rows": (pd.DataFrame({"sequence": []}), FormatError, "no rows"),
    "an empty cell": (pd.DataFrame({"sequence": ["ACGT", None]}), SequenceError, "DataFrame, row 1: .* is empty"),
    "a letter in a frame": (pd.DataFrame({"sequence": ["A!"]}), SequenceError, r"DataFrame, row 0: .*found '!'"),
    "mixed cells": (pd.DataFrame({"sequence": ["ACGT", 3]}), FormatError, "values of several types"),
    "numbers as letters": (pd.DataFrame({"sequence": [1, 2]}), FormatError, "row 0: column 'sequence' holds int"),
    "columns twice": (pd.DataFrame([["A", "C"]], columns=["seq", "seq"]), FormatError, "several columns are named"),
    "columns without names": (pd.DataFrame([["ACGT"]]), FormatError, "expected strings as names of columns, got 0"),
}


@pytest.mark.parametrize("what", WRONG)
def test_what_is_wrong_is_named_with_its_place(what: str) -> None:
    source, error, message = WRONG[what]
    with pytest.raises(error, match=message):
        as_sequences(source)


def test_the_verbs_take_what_a_user_has(tmp_path: Path, tiny_checkpoint: Path, table: pd.DataFrame) -> None:
    model = km.load_model(tiny_checkpoint)
    strings = ["ACGTTGCAACGGTTAC" * 3, "TTGACGATTACAGGAC" * 3]
    sequences = km.Sequences.from_strings(strings)
    assert np.array_equal(model.predict(strings), model.predict(sequences))
    assert np.array_equal(model.logits(pd.Series(strings)), model.logits(sequences))
    scores = km.attribute(model, strings, ["lrp"])
    assert np.array_equal(scores["lrp"].scores, km.attribute(model, sequences, ["lrp"])["lrp"].scores)
    by_name = dict(zip(sequences.names, strings, strict=True))
    curve = km.mutate(model, by_name, scores, counts=[2], replicates=1)
    assert curve.cells.equals(km.mutate(model, sequences, scores, counts=[2], replicates=1).cells)
    small = km.Grid(counts=(2,), draws=1, satellite_per_class=0, ism_per_class=0, greedy_per_class=0)
    frame = pd.DataFrame({"sequence": strings, "label": [0, 1]})
    assert km.trial(model, frame, scores, small).labels.tolist() == [0, 1]  # type: ignore[union-attr]
    assert km.hypothetical(model, strings, 1).shape == (2, 4, 48)
    signed = km.attribute(model, strings, ["input_x_gradient"])["input_x_gradient"]
    assert km.export(signed, strings, tmp_path / "npz", "npz").is_dir()


def test_an_audit_takes_frames(table: pd.DataFrame) -> None:
    rows = pd.DataFrame(
        {"sequence": ["ACGTTGCA", "GGATCCAT"] * 2, "label": [0, 1] * 2, "split": ["train"] * 2 + ["test"] * 2}
    )
    whole = km.audit(rows, baselines=())
    parts = {name: part.drop(columns="split") for name, part in rows.groupby("split", sort=False)}
    by_split = km.audit(parts, baselines=())  # type: ignore[arg-type]
    assert whole.splits == by_split.splits == {"train": 2, "test": 2}
    assert whole.classes["1"]["test_rows_copied_from_train"] == 1
    with pytest.raises(FormatError, match="row 3: the split is missing"):
        km.audit(rows.assign(split=["train", "train", "test", None]), baselines=())
