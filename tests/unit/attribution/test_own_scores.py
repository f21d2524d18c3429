"""Scores that another program made are tried, plotted, exported and kept like any; what cannot be meant is refused."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import kmerit as km
from helpers.command import type_command
from kmerit.attribution.method import Batch, NucleotideScores, Options, methods
from kmerit.attribution.own_scores import read_arrays
from kmerit.errors import FormatError, KmeritError, SequenceError, TargetError, UnknownName, UsageError
from kmerit.results import Problem
from kmerit.trials.measures import write_cards
from kmerit.trials.trial import Grid

LENGTHS = (60, 48, 60)
SMALL = Grid(counts=(2,), draws=1, satellite_per_class=0, ism_per_class=0, greedy_per_class=0)


@pytest.fixture(scope="module")
def model(tiny_checkpoint: Path) -> Any:
    return km.load_model(tiny_checkpoint)


@pytest.fixture(scope="module")
def sequences() -> km.Sequences:
    rng = np.random.default_rng(5)
    strings = ["".join(rng.choice(list("ACGT"), length)) for length in LENGTHS]
    return km.Sequences.from_strings(strings, labels=[0, 1, 0])


@pytest.fixture(scope="module")
def values() -> list[Any]:
    """A signed score for every nucleotide."""
    rng = np.random.default_rng(6)
    return [rng.normal(size=length) for length in LENGTHS]


def padded(values: list[Any], fill: float) -> Any:
    return np.stack([np.pad(each, (0, 60 - each.size), constant_values=fill) for each in values])


def hypothetical(values: list[Any], sequences: km.Sequences) -> list[Any]:
    """Arrays [4, position] whose value at the letter that is there is the score, and another one elsewhere."""
    return [np.where(np.arange(4)[:, None] == bases, each, 99.0) for each, bases in zip(values, sequences, strict=True)]


def test_every_form_gives_the_same_scores(model: Any, sequences: km.Sequences, values: list[Any]) -> None:
    by_base = hypothetical(values, sequences)
    block = np.zeros((3, 4, 60))
    for i, each in enumerate(by_base):
        block[i, :, : each.shape[1]] = each
    forms = {
        "rows": values,
        "tuple": tuple(values),
        "lists": [each.tolist() for each in values],
        "zeros beyond": padded(values, 0),
        "nan beyond": padded(values, np.nan),
        "by base": by_base,
        "block": block,
        "tensor": torch.from_numpy(padded(values, 0)).requires_grad_(),
        "tensors": [torch.from_numpy(each) for each in values],
        "objects": np.array([*values, None], dtype=object)[:3],
    }
    found = km.own_scores(model, sequences, forms)
    assert list(found) == list(forms)
    for name, each in found.items():
        assert np.array_equal(each.scores, padded(values, np.nan), equal_nan=True), name
        assert each.signed
        assert (each.target == model.logits(sequences).argmax(1)).all()
        assert each.sequences is sequences


def test_numbers_of_other_kinds(model: Any, sequences: km.Sequences) -> None:
    whole = padded([np.arange(length) for length in LENGTHS], 0)
    for form, dtype in ((whole, "float64"), (whole.astype("float16"), "float32"), (whole.astype("uint8"), "float64")):
        (found,) = km.own_scores(model, sequences, form).values()
        assert found.scores.dtype == dtype
        assert not found.signed
        assert found[1].tolist() == list(range(48))
    (half,) = km.own_scores(model, sequences, torch.from_numpy(whole).bfloat16()).values()
    assert half.scores.dtype == np.float32


def spoilt(values: list[Any], row: int, position: int, value: float) -> list[Any]:
    found = [each.copy() for each in values]
    found[row][position] = value
    return found


WRONG: dict[str, tuple[Callable[[list[Any]], Any], type[KmeritError], str]] = {
    "too few rows": (lambda v: v[:2], SequenceError, "an array for each of 3 sequences, got 2"),
    "too few in an array": (lambda v: padded(v, 0)[:2], SequenceError, "scores of 3 sequences, got those of 2"),
    "a short row": (
        lambda v: [v[0], v[1][:-1], v[2]],
        SequenceError,
        r"index 1 \('seq1'\): expected 48 scores.*\(47,\)",
    ),
    "a narrow array": (lambda v: padded(v, 0)[:, :59], SequenceError, "expected 3 x 60, for the longest.*got 3 x 59"),
    "a wide array": (lambda v: np.pad(padded(v, 0), ((0, 0), (0, 1))), SequenceError, "got 3 x 61"),
    "turned": (
        lambda v: np.zeros((3, 60, 4)),
        SequenceError,
        r"Exchange the last two axes: scores.transpose\(0, 2, 1\)",
    ),
    "a turned row": (lambda v: [np.zeros((60, 4)), *v[1:]], SequenceError, "index 0 .* Transpose it"),
    "one sequence's": (lambda v: v[0], SequenceError, r"an array of the shape \(60,\)"),
    "four axes": (lambda v: np.zeros((3, 4, 60, 1)), SequenceError, "shape"),
    "NaN": (lambda v: spoilt(v, 1, 7, np.nan), SequenceError, "scores of 'own': nan at position 7 of 'seq1'"),
    "infinity": (
        lambda v: {"x": padded(spoilt(v, 2, 0, np.inf), 0)},
        SequenceError,
        "'x': inf at position 0 of 'seq2'",
    ),
    "beyond the end": (lambda v: padded(v, 1), SequenceError, "'seq1' has 48 nt, and a score at position 48"),
    "booleans": (lambda v: padded(v, 0) > 0, UsageError, "of real numbers; got ndarray of bool"),
    "complex": (lambda v: padded(v, 0) * 1j, UsageError, "complex128"),
    "text": (lambda v: np.full((3, 60), "1"), UsageError, "of real numbers"),
    "a word": (lambda v: 3, UsageError, "got int"),
    "nothing": (lambda v: None, UsageError, "got NoneType"),
    "masked": (lambda v: np.ma.masked_array(padded(v, 0), mask=False), UsageError, "a masked array"),
    "no methods": (lambda v: {}, UsageError, "an empty dict"),
    "a number as name": (lambda v: {3: v}, UsageError, "expected names of methods as keys, got 3"),
    "an attribution": (lambda v: {"x": {}}, UsageError, "got dict"),
}


@pytest.mark.parametrize("what", WRONG)
def test_what_cannot_be_meant_is_refused_with_its_place(
    what: str, model: Any, sequences: km.Sequences, values: list[Any]
) -> None:
    make, error, message = WRONG[what]
    with pytest.raises(error, match=message):
        km.own_scores(model, sequences, make(values))


def test_targets(make_checkpoint: Callable[..., Path], model: Any, sequences: km.Sequences, values: list[Any]) -> None:
    assert km.own_scores(model, sequences, values, "label")["own"].target.tolist() == [0, 1, 0]
    assert km.own_scores(model, sequences, values, "signal")["own"].target.tolist() == [1, 1, 1]
    with pytest.raises(TargetError, match="class 7 does not exist"):
        km.own_scores(model, sequences, values, 7)
    several = replace(model, problem=Problem("labels"))
    with pytest.raises(TargetError, match=r"predicts 2 labels; say which one.*target=.*0 background, 1 signal"):
        km.mutate(several, sequences, values, counts=[2])
    assert km.own_scores(several, sequences, values, "signal")["own"].target.tolist() == [1, 1, 1]


def test_own_scores_are_tried_as_a_method_is(
    model: Any, sequences: km.Sequences, values: list[Any], tmp_path: Path
) -> None:
    made = km.attribute(model, sequences, ["lrp"])
    arrays = km.mutate(model, sequences, {"mine": values}, counts=[2, "all"], replicates=1, random_sets=1)
    taken = km.mutate(
        model,
        sequences,
        km.own_scores(model, sequences, {"mine": values}),
        counts=[2, "all"],
        replicates=1,
        random_sets=1,
    )
    assert arrays.cells.equals(taken.cells)
    assert arrays.mutants.equals(taken.mutants)
    first = arrays.to_frame().query("method == 'mine' and n == 2 and name == 'seq0'")
    assert first["tokens_changed"].item() > 0
    curve = km.trial(model, sequences, {**made, "mine": values}, SMALL)
    assert {"lrp", "mine", "size(mine)"} <= set(curve.to_frame()["method"])
    cards = write_cards(curve, tmp_path, resamples=100)
    assert {each.method for each in cards} >= {"mine", "lrp"}
    assert "mine" in (tmp_path / "cards.csv").read_text()


def test_arrays_next_to_attributions_explain_what_those_do(
    model: Any, sequences: km.Sequences, values: list[Any]
) -> None:
    label = km.attribute(model, sequences, ["lrp"], target="label")
    curve = km.mutate(model, sequences, {"mine": values, **label}, counts=[2], replicates=1)
    assert curve.targets.tolist() == [0, 1, 0]
    assert curve.settings["methods"] == ["mine", "lrp"]


def test_files_of_arrays(model: Any, sequences: km.Sequences, values: list[Any], tmp_path: Path) -> None:
    block = padded(values, 0)
    np.save(tmp_path / "one.npy", block)
    np.savez(tmp_path / "unnamed.npz", block)
    np.savez(tmp_path / "two.npz", a=block, b=-block)
    for name, expected in (("one.npy", ["own"]), ("unnamed.npz", ["own"]), ("two.npz", ["a", "b"])):
        assert list(km.own_scores(model, sequences, tmp_path / name)) == expected
    (tmp_path / "broken.npz").write_bytes(b"PK")
    np.save(tmp_path / "objects.npy", np.array([{}], dtype=object), allow_pickle=True)
    for name in ("broken.npz", "objects.npy", "nowhere.npy"):
        with pytest.raises(FormatError, match=name):
            read_arrays(tmp_path / name)


def test_they_are_kept_exported_and_drawn(
    model: Any, sequences: km.Sequences, values: list[Any], tmp_path: Path
) -> None:
    mine = km.own_scores(model, sequences, {"mine": values, "other": padded(values, 0).astype("float32")})
    back = km.read_attributions(mine.save(tmp_path / "scores.parquet"))
    for name, each in back.items():
        assert np.array_equal(each.scores, mine[name].scores, equal_nan=True)
        assert each.settings["source"] == "own scores"
    alike = sequences.take([0, 2])
    folder = km.export(mine["mine"].take([0, 2]), alike, tmp_path / "npz", "npz")
    assert np.allclose(np.load(folder / "shap.npz")["arr_0"].sum(1)[0], values[0], atol=1e-6)
    assert mine["mine"].plot(0, end=8).get_title() == "seq0: mine"


def test_the_command_line_takes_a_file_of_them(
    tiny_checkpoint: Path, model: Any, sequences: km.Sequences, values: list[Any], tmp_path: Path
) -> None:
    from kmerit.io.readers import write_sequences

    write_sequences(sequences, tmp_path / "my.csv")
    np.savez(tmp_path / "own.npz", mine=padded(values, 0))
    km.own_scores(model, sequences, {"mine": values}).save(tmp_path / "own.parquet")
    tables = []
    for name in ("own.npz", "own.parquet"):
        out = ["--counts", "2", "--replicates", "1", "--out", f"{name}.trial"]
        asked = ("mutate", "--model", tiny_checkpoint, "--sequences", "my.csv", "--attributions", name)
        done = type_command(*asked, *out, cwd=tmp_path)
        assert done.code == 0, done.err
        tables.append(done.out)
    assert "mine" in tables[0]
    assert tables[0] == tables[1]


def test_a_method_of_ones_own_can_be_passed(model: Any, sequences: km.Sequences) -> None:
    def ask(batch: Batch, options: Options) -> NucleotideScores:
        return NucleotideScores((batch.bases == options["base"]).astype(np.float32))

    mine = km.Method(
        "cytosines", "1 at each C", "none", signed=False, cost=0, ask=ask, level="nucleotide", options={"base": 1}
    )
    found = km.attribute(model, sequences, ["lrp", mine], options={"cytosines": {"base": 2}})
    assert list(found) == ["lrp", "cytosines"]
    assert found["cytosines"][0].tolist() == (next(sequences.rows()) == 2).tolist()
    assert "cytosines" not in methods()
    clash = replace(mine, name="lrp")
    for asked in ([clash], ["lrp", clash], [mine, replace(mine)]):
        with pytest.raises(UsageError, match="is the name of another method"):
            km.attribute(model, sequences, asked)
    with pytest.raises(UsageError, match="expected names or Method objects, got 3"):
        km.attribute(model, sequences, [3])  # type: ignore[list-item]
    with pytest.raises(UsageError, match="expected a list"):
        km.attribute(model, sequences, mine)  # type: ignore[call-overload]
    with pytest.raises(UnknownName, match="'cytosine'"):
        km.attribute(model, sequences, [mine], options={"cytosine": {}})


def test_random_scores_can_be_tried(model: Any, sequences: km.Sequences) -> None:
    scores = km.attribute(model, sequences, ["random", "lrp"])
    curve = km.mutate(model, sequences, scores, counts=[2], replicates=1, random_sets=2)
    assert curve.settings["methods"] == ["random_scores", "lrp"]
    assert curve.settings["renamed"] == {"random": "random_scores"}
    frame = curve.to_frame()
    assert frame.query("method == 'random'").groupby("name").size().eq(2).all()
    assert frame.query("method == 'random_scores'").groupby("name").size().eq(1).all()
    plain = km.mutate(model, sequences, scores, counts=[2], replicates=1)
    assert plain.settings["methods"] == ["random", "lrp"]
    assert "random_scores" in {each.method for each in km.judge(km.trial(model, sequences, scores, SMALL))}
    both = {**scores, "random_scores": scores["random"]}
    with pytest.raises(UsageError, match="'random_scores' in a trial, and there is one of that name"):
        km.trial(model, sequences, both, SMALL)


def test_torch_is_not_needed_to_tell_a_tensor() -> None:
    assert "torch" not in vars(sys.modules["kmerit.attribution.own_scores"])
