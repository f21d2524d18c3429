"""Scores that another program made are tried, plotted, exported and kept like any; what cannot be meant is refused."""

from __future__ import annotations

import copy
import gzip
import pickle
import shutil
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

import kmerit as km
from helpers.command import type_command
from kmerit.attribution.method import Batch, NucleotideScores, Options, TokenScores, methods
from kmerit.attribution.own_scores import read_arrays, read_scores, scores_for_trial
from kmerit.errors import FormatError, KmeritError, SequenceError, TargetError, UnknownName, UsageError
from kmerit.results import Problem
from kmerit.trials.measures import write_cards
from kmerit.trials.trial import Grid

LENGTHS = (60, 48, 60)
NAMES = ("seq0", "seq1", "seq2")
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
    return [
        np.where(np.arange(4)[:, None] == bases, each, 99.0)
        for each, bases in zip(values, sequences.rows(), strict=True)
    ]


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
        "by name": dict(zip(reversed(NAMES), reversed(values), strict=True)),
        "series": pd.Series(values),
        "frame": pd.DataFrame(padded(values, 0)),
        "frame in another order": pd.DataFrame(padded(values, 0), NAMES).iloc[[2, 0, 1]],
        "filtered series": pd.Series(values).iloc[[1, 2, 0]],
    }
    result = km.own_scores(model, sequences, forms)
    assert list(result) == list(forms)
    for name, each in result.items():
        assert np.array_equal(each.scores, padded(values, np.nan), equal_nan=True), name
        assert each.signed
        assert (each.target == model.logits(sequences).argmax(1)).all()
        assert each.sequences is sequences


def test_a_dict_by_name_and_a_table_are_one_methods(
    model: Any, sequences: km.Sequences, values: list[Any], tmp_path: Path
) -> None:
    rows = km.own_scores(model, sequences, values)["own"]
    (by_name,) = km.own_scores(model, sequences, dict(zip(NAMES, values, strict=True))).values()
    table = rows.to_frame()
    forms = {
        "all": table,
        "shuffled": table.sample(frac=1, random_state=0),
        "bare": table[["name", "position", "score"]],
    }
    (tmp_path / "t.csv").write_text(table.to_csv(index=False), encoding="utf-8")
    (tmp_path / "t.tsv").write_text(table.to_csv(index=False, sep="\t"), encoding="utf-8")
    forms |= {name: tmp_path / name for name in ("t.csv", "t.tsv")}
    table.to_csv(tmp_path / "t.csv.gz", index=False)
    for form in (*forms.values(), tmp_path / "t.csv.gz"):
        (each,) = km.own_scores(model, sequences, form).values()
        assert np.array_equal(each.scores, rows.scores, equal_nan=True)
        assert each.target.tolist() == rows.target.tolist()
    assert by_name.method == "own"
    both = km.attribute(model, sequences, ["lrp", "random"], target="label")
    back = km.own_scores(model, sequences, both.to_frame())
    assert list(back) == ["lrp", "random"]
    for name, each in back.items():
        assert each.target.tolist() == [0, 1, 0]
        assert np.array_equal(each.scores, both[name].scores, equal_nan=True)
    with pytest.raises(TargetError, match="target names another"):
        km.own_scores(model, sequences, both.to_frame(), target=1)


SPOILT_TABLES: dict[str, tuple[Callable[[pd.DataFrame], Any], type[KmeritError], str]] = {
    "a row less": (lambda t: t.drop(5), SequenceError, "'seq0' has 60 nt.*got 59 rows"),
    "a row twice": (lambda t: pd.concat([t, t.iloc[:1]]), SequenceError, "got 61 rows"),
    "a sequence less": (lambda t: t[t["name"] != "seq1"], SequenceError, "no scores of 'seq1'"),
    "another sequence": (lambda t: t.replace("seq1", "x"), SequenceError, "no scores of 'seq1'"),
    "counted from 1": (lambda t: t.assign(position=t["position"] + 1), SequenceError, "positions 1 to 60"),
    "halves": (lambda t: t.assign(position=t["position"] / 2), SequenceError, "whole numbers from 0"),
    "other letters": (lambda t: t.assign(letter="N"), SequenceError, "'seq0' has . at position 0, the table N"),
    "two targets": (lambda t: t.assign(target=t["position"] % 2), TargetError, "one whole number as target"),
    "no such target": (lambda t: t.assign(target=9), TargetError, "class 9 does not exist"),
    "no scores": (lambda t: t.drop(columns="score"), UsageError, "without a column of scores"),
    "a column of words": (lambda t: t.assign(note="x"), UsageError, "'note'.*real numbers"),
    "a gap": (lambda t: t.assign(score=t["score"].where(t["position"] != 3)), SequenceError, "nan at position 3"),
}


@pytest.mark.parametrize("what", SPOILT_TABLES)
def test_a_table_that_does_not_fit_is_refused(
    what: str, model: Any, sequences: km.Sequences, values: list[Any]
) -> None:
    spoil, error, message = SPOILT_TABLES[what]
    table = km.own_scores(model, sequences, values).to_frame().rename(columns={"own": "score"})
    with pytest.raises(error, match=message):
        km.own_scores(model, sequences, spoil(table))


def test_a_target_for_each_sequence(model: Any, sequences: km.Sequences, values: list[Any]) -> None:
    for target in ([0, 1, 1], np.array([0, 1, 1]), torch.tensor([0, 1, 1])):
        assert km.own_scores(model, sequences, values, target)["own"].target.tolist() == [0, 1, 1]  # type: ignore[arg-type]
    for wrong, message in (([0, 1], "for each of 3"), ([0, 1, 2], "class 2 does not"), ([0.0, 1, 1], "float64")):
        with pytest.raises(TargetError, match=message):
            km.own_scores(model, sequences, values, np.array(wrong))


def test_what_mutate_takes_in_a_list(model: Any, sequences: km.Sequences) -> None:
    scores = km.attribute(model, sequences, ["lrp", "random"])
    tried = km.mutate(model, sequences, list(scores.values()), counts=[2], replicates=1)
    assert tried.settings["methods"] == ["lrp", "random"]
    with pytest.raises(UsageError, match="two are of lrp"):
        km.mutate(model, sequences, [scores["lrp"]] * 2, counts=[2])
    for names in (["lrp"], [methods()["lrp"]]):
        with pytest.raises(UsageError, match=r"got names of methods; km.attribute\(..., \['lrp'\]\) scores"):
            km.mutate(model, sequences, names, counts=[2])


def test_files_of_several_kinds_by_name(model: Any, sequences: km.Sequences, values: list[Any], tmp_path: Path) -> None:
    both = km.attribute(model, sequences, ["lrp", "random"])
    both.save(tmp_path / "two.parquet")
    both.to_frame().to_csv(tmp_path / "two.csv", index=False)
    assert list(read_scores([tmp_path / "two.parquet"])) == ["lrp", "random"]
    for name in ("two.parquet", "two.csv"):
        assert list(read_scores([f"lrp={tmp_path / name}"])) == ["lrp"]
        with pytest.raises(FormatError, match="no scores called 'mine', but lrp, random"):
            read_scores({"mine": tmp_path / name})
    with pytest.raises(FormatError, match="no such file"):
        read_scores(["lrp"])
    (tmp_path / "x.pt").write_bytes(b"PK")
    with pytest.raises(FormatError, match=r"Own scores: \.npy, \.npz, \.csv, \.tsv"):
        read_scores([tmp_path / "x.pt"])
    pd.DataFrame(padded(values, 0), NAMES).to_csv(tmp_path / "wide.csv")
    with pytest.raises(FormatError, match=r"a row for each nucleotide.*as \.npy"):
        read_scores([tmp_path / "wide.csv"])
    (tmp_path / "word.csv").write_text("name,position,score\nseq0,0,1.5\nseq0,1,high\n", encoding="utf-8")
    with pytest.raises(FormatError, match=r"word.csv, line 3: expected a number in the column 'score', got 'high'"):
        read_scores([tmp_path / "word.csv"])


def test_one_file_of_attributions_is_not_read_before_a_trial_reads_it(
    model: Any, sequences: km.Sequences, tmp_path: Path
) -> None:
    path = km.attribute(model, sequences, ["lrp", "random"]).save(tmp_path / "two.parquet")
    assert scores_for_trial([str(path)]) == path
    one = km.attribute(model, sequences, ["rollout"]).save(tmp_path / "one.parquet")
    assert list(scores_for_trial([f"lrp={path}"])) == ["lrp"]
    assert list(scores_for_trial([path, f"mine={one}"])) == ["lrp", "random", "mine"]
    shutil.copy(path, tmp_path / "scores")  # whatever it is called
    assert scores_for_trial([tmp_path / "scores"]) == tmp_path / "scores"
    (tmp_path / "x.pt").write_bytes(b"PK")
    for name, message in (("x.pt", r"Own scores: \.npy"), ("none.parquet", "no such file")):
        with pytest.raises(FormatError, match=message):
            scores_for_trial([tmp_path / name])


def test_numbers_of_other_kinds(model: Any, sequences: km.Sequences) -> None:
    whole = padded([np.arange(length) for length in LENGTHS], 0)
    for form, dtype in ((whole, "float64"), (whole.astype("float16"), "float32"), (whole.astype("uint8"), "float64")):
        (result,) = km.own_scores(model, sequences, form).values()
        assert result.scores.dtype == dtype
        assert not result.signed
        assert result[1].tolist() == list(range(48))
    (half,) = km.own_scores(model, sequences, torch.from_numpy(whole).bfloat16()).values()
    assert half.scores.dtype == np.float32


def spoilt(values: list[Any], row: int, position: int, value: float) -> list[Any]:
    result = [each.copy() for each in values]
    result[row][position] = value
    return result


WRONG: dict[str, tuple[Callable[[list[Any]], Any], type[KmeritError], str]] = {
    "too few rows": (lambda v: v[:2], SequenceError, "an array for each of 3 sequences, got 2"),
    "too few in an array": (lambda v: padded(v, 0)[:2], SequenceError, "scores of 3 sequences, got those of 2"),
    "a short row": (
        lambda v: [v[0], v[1][:-1], v[2]],
        SequenceError,
        r"index 1 \('seq1'\): expected 48 scores.*\(47,\)",
    ),
    "a narrow array": (
        lambda v: padded(v, 0)[:, :59],
        SequenceError,
        "expected 3 x 60 .the longest sequence has 60 nt.; got 3 x 59",
    ),
    "a wide array": (lambda v: np.pad(padded(v, 0), ((0, 0), (0, 1))), SequenceError, "got 3 x 61"),
    "turned": (
        lambda v: np.zeros((3, 60, 4)),
        SequenceError,
        r"Exchange the last two axes: scores.transpose\(0, 2, 1\)",
    ),
    "a turned row": (lambda v: [np.zeros((60, 4)), *v[1:]], SequenceError, "index 0 .* Transpose it"),
    "one sequence's": (lambda v: v[0], SequenceError, r"the shape \(60,\)"),
    "four axes": (lambda v: np.zeros((3, 4, 60, 1)), SequenceError, "shape"),
    "NaN": (lambda v: spoilt(v, 1, 7, np.nan), SequenceError, "scores of 'own': nan at position 7 of 'seq1'"),
    "infinity": (
        lambda v: {"x": padded(spoilt(v, 2, 0, np.inf), 0)},
        SequenceError,
        "'x': inf at position 0 of 'seq2'",
    ),
    "beyond the end": (lambda v: padded(v, 1), SequenceError, "'seq1' has 48 nt, and a score at position 48"),
    "booleans": (lambda v: padded(v, 0) > 0, UsageError, "real numbers.*got ndarray of bool"),
    "complex": (lambda v: padded(v, 0) * 1j, UsageError, "complex128"),
    "text": (lambda v: np.full((3, 60), "1"), UsageError, "real numbers.*<U1"),
    "a word": (lambda v: 3, UsageError, "got int"),
    "nothing": (lambda v: None, UsageError, "got NoneType"),
    "masked": (lambda v: np.ma.masked_array(padded(v, 0), mask=False), UsageError, "a masked array"),
    "no methods": (lambda v: {}, UsageError, "an empty dict"),
    "a number as name": (lambda v: {3: v}, UsageError, "expected names of methods as keys, got 3"),
    "no sequences": (lambda v: {"x": {}}, SequenceError, r"'x': no scores of 'seq0' \(3 of 3 sequences lack them\)"),
    "one sequence less": (lambda v: {"seq0": v[0], "seq2": v[2]}, SequenceError, r"no scores of 'seq1' \(1 of 3"),
    "one sequence more": (
        lambda v: {"x": {**dict(zip(NAMES, v, strict=True)), "d": v[0]}},
        SequenceError,
        "'x': 'd' is not one of the 3 sequences",
    ),
    "of each output": (lambda v: (np.zeros((3, 4, 60)),) * 2, SequenceError, "the one of the output explained"),
    "outputs last": (lambda v: np.zeros((3, 4, 60, 2)), SequenceError, r"scores\[\.\.\., i\]"),
    "an index of others": (lambda v: pd.DataFrame(padded(v, 0), list("abc")), SequenceError, "no scores of 'seq0'"),
    "an index with twins": (
        lambda v: pd.DataFrame(padded(v, 0), ["seq0", "seq1", "seq1"]),
        SequenceError,
        "a name twice",
    ),
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
    attributions = km.attribute(model, sequences, ["lrp"])
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
    curve = km.trial(model, sequences, {**attributions, "mine": values}, SMALL)
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
    (tmp_path / "packed.npy.gz").write_bytes(gzip.compress((tmp_path / "one.npy").read_bytes()))
    pd.DataFrame({"name": ["seq0"], "position": [0], "score": [1.0]}).to_parquet(tmp_path / "table.parquet")
    for name, message in (("packed.npy.gz", "unpack it if it is compressed"), ("table.parquet", "Own scores: .npy, ")):
        with pytest.raises(FormatError, match=rf"{name}: .*{message}"):
            km.own_scores(model, sequences, tmp_path / name)


def test_the_index_of_a_table_is_no_method(
    model: Any, sequences: km.Sequences, values: list[Any], tmp_path: Path
) -> None:
    km.own_scores(model, sequences, {"mine": values}).to_frame().to_csv(tmp_path / "mine.csv")
    assert list(read_scores([tmp_path / "mine.csv"])) == ["mine"]
    assert list(km.own_scores(model, sequences, tmp_path / "mine.csv")) == ["mine"]


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
    own = km.own_scores(model, sequences, {"mine": values})
    own.save(tmp_path / "own.parquet")
    own.to_frame().to_csv(tmp_path / "own.csv", index=False)
    tables = []
    for name in ("own.npz", "own.parquet", "own.csv"):
        out = ["--counts", "2", "--replicates", "1", "--out", f"{name}.trial"]
        arguments = ("mutate", "--model", tiny_checkpoint, "--sequences", "my.csv", "--attributions", name)
        result = type_command(*arguments, *out, cwd=tmp_path)
        assert result.code == 0, result.err
        tables.append(result.out)
    assert "mine" in tables[0]
    assert tables[0] == tables[1] == tables[2]


def test_a_method_of_ones_own_can_be_passed(model: Any, sequences: km.Sequences) -> None:
    def ask(batch: Batch, options: Options) -> NucleotideScores:
        return NucleotideScores((batch.bases == options["base"]).astype(np.float32))

    mine = km.Method(
        "cytosines", "1 at each C", "none", signed=False, cost=0, ask=ask, level="nucleotide", options={"base": 1}
    )
    result = km.attribute(model, sequences, ["lrp", mine], options={"cytosines": {"base": 2}})
    assert list(result) == ["lrp", "cytosines"]
    assert result["cytosines"][0].tolist() == (next(sequences.rows()) == 2).tolist()
    assert "cytosines" not in methods()
    clash = replace(mine, name="lrp")
    for arguments in ([clash], ["lrp", clash], [mine, replace(mine)]):
        with pytest.raises(UsageError, match="is the name of another method"):
            km.attribute(model, sequences, arguments)
    with pytest.raises(UsageError, match="expected names or Method objects, got 3"):
        km.attribute(model, sequences, [3])  # type: ignore[list-item]
    with pytest.raises(UsageError, match="expected a list"):
        km.attribute(model, sequences, mine)  # type: ignore[call-overload]
    with pytest.raises(UnknownName, match="'cytosine'"):
        km.attribute(model, sequences, [mine], options={"cytosine": {}})
    with pytest.raises(UsageError, match="options: they are of 'ism', which is not among the methods asked for"):
        km.attribute(model, sequences, [mine], options={"ism": {}})
    with pytest.raises(UsageError, match="methods: expected one at least"):
        km.attribute(model, sequences, [])
    with pytest.raises(UsageError, match="cytosines: level: expected one of token, nucleotide, got 'bases'"):
        replace(mine, level="bases")


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (lambda batch: None, r"mine: its read or ask must return TokenScores.* it returned None"),
        (lambda batch: np.zeros(batch.bases.shape), r"it returned ndarray \(\d+, \d+\) of float64"),
        (lambda batch: NucleotideScores(np.zeros((1, 2))), r"in NucleotideScores it returned ndarray \(1, 2\)"),
        (
            lambda batch: NucleotideScores(np.ones(batch.bases.shape, np.int64)),
            "of floating-point numbers; .* of int64",
        ),
        (lambda batch: NucleotideScores(torch.zeros(batch.bases.shape)), r"it returned Tensor \(\d+, \d+\) of float32"),
        (lambda batch: TokenScores(torch.zeros(1)), r"in TokenScores it returned Tensor \(1,\) of float32"),
        (lambda batch: TokenScores(np.zeros(batch.tokens.mask.shape)), "in TokenScores it returned ndarray"),
        (
            lambda batch: NucleotideScores(np.zeros(batch.bases.shape), np.zeros(batch.bases.shape)),
            r"substitutions must be \[sequence, position, base\]",
        ),
    ],
)
def test_an_answer_that_is_no_scores_is_refused(
    model: Any, sequences: km.Sequences, answer: Callable[[Batch], Any], message: str
) -> None:
    mine = km.Method("mine", "wrong", "none", signed=False, cost=0, ask=lambda batch, options: answer(batch))
    with pytest.raises(UsageError, match=message):
        km.attribute(model, sequences, [mine])


def test_a_renamed_method_is_logged(model: Any, sequences: km.Sequences, caplog: pytest.LogCaptureFixture) -> None:
    array = np.arange(sequences.lengths.max() * len(sequences), dtype=float).reshape(len(sequences), -1)
    own = {"random": [row[:length] for row, length in zip(array, sequences.lengths, strict=True)]}
    km.mutate(model, sequences, own, counts=[2], replicates=1, random_sets=1)
    assert "The scores random are called random_scores in this trial" in caplog.text
    caplog.clear()
    km.mutate(model, sequences, own, counts=[2], replicates=1)
    assert "random_scores" not in caplog.text


def test_what_is_no_list_is_refused(model: Any, sequences: km.Sequences) -> None:
    for given_methods in (None, 3, km.Method):
        with pytest.raises(UsageError, match="methods: expected a list of names or Method objects"):
            km.attribute(model, sequences, given_methods)  # type: ignore[call-overload]
    scores = km.attribute(model, sequences, ["random"])
    refusals: list[tuple[dict[str, Any], str]] = [
        ({"counts": 5}, "counts: expected a list, such as .*, got 5"),
        ({"counts": "all"}, "counts: expected a list"),
        ({"counts": None}, "counts: expected a list"),
        ({"replicates": "2"}, "replicates: expected a whole number, got '2'"),
        ({"random_sets": None}, "random_sets: expected a whole number"),
        ({"seed": 0.5}, "seed: expected a whole number"),
        ({"controls": 3}, "Expected a name or a list of names, got 3"),
        ({"order": None}, "Expected a name or a list of names, got None"),
    ]
    for given, message in refusals:
        with pytest.raises(UsageError, match=message):
            km.mutate(model, sequences, scores, **({"counts": [1]} | given))
    settings: list[tuple[dict[str, Any], str]] = [
        ({"foo": 1}, "Unknown setting of a Grid 'foo'. Known: .*draws"),
        ({"draw": 1}, r"Unknown setting of a Grid 'draw'. Did you mean 'draws'\?"),
        ({"counts": 5}, "Grid: counts: expected a list"),
        ({"draws": "2"}, "Grid: draws: expected a whole number, got '2'"),
        ({"orders": "lerf"}, "Grid: expected a list of orders, got 'lerf'"),
    ]
    for given, message in settings:
        with pytest.raises(UsageError, match=message):
            km.Grid(**given)
    assert (
        copy.copy(km.Grid.quick()) == replace(km.Grid.quick(), draws=1) == pickle.loads(pickle.dumps(km.Grid.quick()))
    )


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({}, "g: expected either read, .* or ask, .*; got neither"),
        ({"ask": len, "read": len}, "got both"),
        ({"ask": 3}, "g: ask: expected a function, got 3"),
        ({"ask": len, "cites": "nope"}, "g: cites: expected a key of a bibliography, .* got 'nope'"),
        ({"ask": len, "summary": " "}, "Method: summary: expected text"),
        ({"ask": len, "name": None}, "Method: name: expected text, got None"),
    ],
)
def test_a_method_that_cannot_score_is_refused_when_made(given: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        km.Method(**({"name": "g", "summary": "d", "cites": "none", "signed": False, "cost": 0} | given))


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
