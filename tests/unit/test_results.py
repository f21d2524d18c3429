"""Results: short to look at, frames to work with, and rows by name or number."""

from __future__ import annotations

import copy
import pickle
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import kmerit as km
from helpers.faithfulness_judged import labelled
from kmerit.errors import LabelError, SequenceError, UnknownName, UsageError
from kmerit.io.scores import read_attributions
from kmerit.results import Attributions, Predictions

STRINGS = {"a": "ACGTTGCAACGGTTAC" * 3, "b": "TTGACGATTACAGGAC" * 2, "c": "GGGCGATTACACGTTT" * 3}


@pytest.fixture(scope="module")
def model(tiny_checkpoint: Path) -> Any:
    return km.load_model(tiny_checkpoint)


@pytest.fixture(scope="module")
def scores(model: Any) -> Any:
    return km.attribute(model, STRINGS, ["ism", "lrp"])


@pytest.fixture(scope="module")
def curve(model: Any, scores: Any) -> Any:
    controls = ("random", "shifted", "clump", "other")
    return km.mutate(model, STRINGS, scores, counts=[0, 2], replicates=1, controls=controls)


def test_nothing_is_long_to_look_at(model: Any, scores: Any, curve: Any) -> None:
    verdicts = km.judge(curve)
    rows = km.Sequences.from_strings(["ACGTTGCA", "GGATCCAT"], labels=[0, 1])
    tokens = model.tokenize(*rows.padded())
    audit = km.audit({"train": rows, "test": rows}, baselines=())
    things = [
        model.encoder,
        model.tokenizer,
        scores["ism"].identity,
        model,
        scores,
        scores["ism"],
        curve,
        verdicts,
        verdicts[0],
        rows,
        tokens,
        audit,
        model.predict(STRINGS),
    ]
    for thing in things:
        assert 0 < len(repr(thing)) < 400
        assert repr(thing).count("\n") < 10
    assert repr(model).endswith("(dnabert): 2 classes: 0 background, 1 signal; float32 on cpu>")
    assert repr(scores["ism"]) == "<Attribution ism: 3 sequences x 48 nucleotides, signed>"
    for count, words in ((1, "; 1 finding: "), (2, "; 2 findings: ")):
        assert words in repr(replace(audit, findings=audit.findings[:1] * count))
    assert repr(verdicts) == f"<Verdicts: {len(verdicts)} undecided>"
    assert repr(rows) == "<Sequences: 2, 8 nt, classes as labels>"
    for thing in (scores, scores["ism"], curve, verdicts, audit, model.predict(STRINGS)):
        assert "<table>" in thing._repr_html_()


def test_some_sequences_of_all_methods(scores: Any) -> None:
    first = scores[0:2]
    assert (type(first), list(first), first["lrp"].names) == (Attributions, ["ism", "lrp"], ("a", "b"))
    np.testing.assert_array_equal(first["ism"]["b"], scores["ism"]["b"])
    for key in ([2, 0], ["c", "a"]):
        assert scores[key]["lrp"].names == ("c", "a")
    assert scores[np.array([False, True, False])]["ism"].names == ("b",)
    with pytest.raises(UnknownName, match="method of these attributions"):
        scores["lpr"]


def test_a_name_is_in_scores(scores: Any) -> None:
    assert "a" in scores["lrp"]
    assert "d" not in scores["lrp"]
    assert scores["lrp"].scores[0] not in scores["lrp"]


def test_scores_by_number_name_and_slice(scores: Any) -> None:
    ism = scores["ism"]
    assert [row.size for row in ism] == [48, 32, 48]
    assert np.array_equal(ism["b"], ism[1])
    assert np.array_equal(ism[-1], ism["c"])
    assert ism[1:].names == ("b", "c")
    assert ism[[2, 0]].names == ("c", "a")
    assert ism[["c", "a"]].names == ("c", "a")
    with pytest.raises(UnknownName, match="Unknown sequence 'x'"):
        ism[["a", "x"]]
    assert ism[np.array([True, False, True])].names == ("a", "c")
    assert ism[np.int64(1)].size == 32
    with pytest.raises(UnknownName, match="Unknown sequence 'd'"):
        ism["d"]
    with pytest.raises(IndexError, match="there are 3"):
        ism[3]


@pytest.mark.parametrize(
    "key",
    [0, -1, "b", slice(1, None), [2, 0], ["c", "a"], np.array(["b"]), [True, False, True], np.array([-1]), []],
    ids=str,
)
def test_every_result_is_indexed_alike(key: Any, model: Any, scores: Any, curve: Any) -> None:
    ism, sequences, odds = scores["ism"], scores["ism"].sequences, model.predict(STRINGS)
    names = np.array(list(STRINGS), dtype=object)
    expected = names[[list(STRINGS).index(each) for each in np.ravel(key)] if np.array(key).dtype.kind == "U" else key]
    if isinstance(key, int | str):
        name = key if isinstance(key, str) else names[key]
        assert sequences[key] == STRINGS[name]
        assert np.array_equal(ism[key], ism[name])
        assert np.array_equal(odds[key], np.asarray(odds)[list(STRINGS).index(name)])
        assert np.array_equal(scores.take(key)["lrp"][0], scores["lrp"][name])
        return
    assert sequences[key].names == ism[key].names == scores.take(key)["lrp"].names == tuple(expected)
    if not isinstance(key, np.ndarray):
        assert np.asarray(odds[key]).shape == (len(expected), 2)
    if not isinstance(key, slice) and np.array(key).dtype.kind == "U":
        return
    chosen = km.judge(curve)[:3]
    assert len(chosen[key]) == len(expected)


@pytest.mark.parametrize("key", [1.5, None, True, [[0]], [0.5], {"a"}], ids=str)
def test_what_is_no_index_is_refused_in_words(key: Any, scores: Any) -> None:
    for thing in (scores["ism"], scores["ism"].sequences):
        with pytest.raises(TypeError, match="a number, a name, a slice"):
            thing[key]


def test_masks_of_another_length_and_numbers_beyond_the_end_are_refused(scores: Any) -> None:
    for thing in (scores["ism"], scores["ism"].sequences):
        with pytest.raises(IndexError, match="A mask of 2: expected one of 3"):
            thing[np.array([True, False])]
        with pytest.raises(IndexError, match="there are 3"):
            thing[[0, 3]]


def test_verdicts_of_a_class(curve: Any) -> None:
    verdicts = km.judge(curve)
    assert {each.class_name for each in verdicts["signal"]} == {"signal"}
    assert verdicts["signal", "lrp"] in list(verdicts["signal"])
    with pytest.raises(UnknownName, match="Unknown method or class 'promotor'"):
        verdicts["promotor"]
    with pytest.raises(UnknownName, match="Unknown method 'signal'"):
        verdicts["lrp", "signal"]


def test_methods_of_several_parts_are_put_together(model: Any, scores: Any) -> None:
    parts = [scores.take(["b"]), scores.take([0, 2])]
    whole = Attributions.concat(parts)
    assert list(whole) == ["ism", "lrp"]
    assert whole["lrp"].names == ("b", "a", "c")
    with pytest.raises(UsageError, match="the same methods in all parts, got ism, lrp and ism"):
        Attributions.concat([scores, Attributions(ism=scores["ism"])])
    with pytest.raises(UsageError, match="got none"):
        Attributions.concat([])
    with pytest.raises(UnknownName, match="Did you mean 'lrp'"):
        scores["lpr"]
    assert scores.get("lpr") is None
    assert "lpr" not in scores


def test_sequences_are_strings_with_names(scores: Any) -> None:
    sequences = scores["ism"].sequences
    assert list(sequences) == list(STRINGS.values())
    assert "a" in sequences
    assert "ACGT" not in sequences
    assert sequences.to_frame().columns.tolist() == ["name", "length", "sequence"]
    by_name = replace(km.Sequences.from_strings(["ACGT", "TT"], labels=[1, 0]), classes=("x", "y"))
    assert by_name.to_frame()["label"].tolist() == ["y", "x"]
    several = km.Sequences.from_strings(["ACGT"], labels=[[0, 1]], outputs=["open", "bound"])
    assert several.to_frame().columns.tolist() == ["name", "length", "label open", "label bound", "sequence"]
    placed = km.Sequences.from_strings(["ACGT"], loci=[km.Locus("chr1", 3, 7, "-")])
    assert placed.to_frame()["locus"].tolist() == ["chr1:3-7:-"]
    assert sequences.one_hot().shape == (3, 4, 48)
    assert sequences.one_hot()[1, :, 32:].sum() == 0


def test_a_view_shows_the_first_sequences_and_counts_the_others() -> None:
    many = km.Sequences.from_strings(["ACGT" * 40] * 25)
    shown = many._repr_html_()
    assert "and 15 more" in shown
    assert "ACGT" * 40 not in shown


def test_many_predictions_are_not_long_to_look_at() -> None:
    for shape in ((400, 2), (3, 919), (400, 919)):
        result = Predictions.of(
            np.zeros(shape), [f"s{i}" for i in range(shape[0])], list(map(str, range(shape[1]))), {}
        )
        assert repr(result).count("\n") < 10


def test_predictions_by_name(model: Any) -> None:
    result = model.predict(STRINGS)
    assert np.array_equal(result["b"], np.asarray(result)[1])
    assert result["b", "signal"] == np.asarray(result)[1, 1]
    assert np.array_equal(result[["c", "a"], "signal"], np.asarray(result)[[2, 0], 1])
    assert np.array_equal(result[..., 1], np.asarray(result)[:, 1])
    assert result[()].shape == (3, 2)
    with pytest.raises(UnknownName, match="Unknown output 'signl'"):
        result["b", "signl"]


@pytest.mark.parametrize("name", ["scores.csv", "scores.npz", "scores.tsv", "scores.pkl", "scores.gz"])
def test_scores_are_not_written_as_what_their_file_is_not(name: str, scores: Any, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="scores are written as Parquet"):
        scores.save(tmp_path / name)
    assert not list(tmp_path.iterdir())


def test_frames_of_scores(scores: Any) -> None:
    table = scores.to_frame()
    assert table.columns.tolist() == ["name", "target", "position", "letter", "ism", "lrp"]
    assert len(table) == 48 + 32 + 48
    for name, text in STRINGS.items():
        part = table[table["name"] == name]
        assert "".join(part["letter"]) == text
        assert part["position"].tolist() == list(range(len(text)))
        assert np.array_equal(part["ism"], scores["ism"][name])
        assert np.array_equal(part["lrp"], scores["lrp"][name])
    one = scores["lrp"].to_frame()
    assert one.columns.tolist() == ["name", "target", "position", "letter", "score"]
    mixed = Attributions(scores) | {"other": scores["ism"][:2]}
    with pytest.raises(UsageError, match="'other' is of other sequences"):
        Attributions(mixed).to_frame()


def test_a_frame_of_tokens_has_no_letters(model: Any) -> None:
    table = km.attribute(model, STRINGS, ["lrp"], level="token")["lrp"].to_frame()
    assert table.columns.tolist() == ["name", "target", "token", "score"]
    assert table.groupby("name").size().to_dict() == {"a": 45, "b": 29, "c": 45}


def test_what_was_saved_is_read_back(scores: Any, model: Any, tmp_path: Path) -> None:
    written = km.attribute(model, STRINGS, ["ism", "lrp"], out=tmp_path / "written.parquet")
    saved = scores.save(tmp_path / "saved.parquet")
    pd.testing.assert_frame_equal(pd.read_parquet(saved), pd.read_parquet(written))
    back = read_attributions(saved)
    assert isinstance(back, Attributions)
    assert np.array_equal(back["ism"].scores, scores["ism"].scores, equal_nan=True)
    assert back["ism"].to_frame().columns.tolist() == ["name", "target", "position", "score"]
    one = scores["lrp"][1:].save(tmp_path / "one.parquet")
    assert list(read_attributions(one)) == ["lrp"]
    bare = replace(scores["lrp"], sequences=None, identity=None)
    with pytest.raises(UsageError, match="letters that the lrp scores belong to are not known"):
        bare.save(tmp_path / "bare.parquet")
    with pytest.raises(UsageError, match="'ism' is of other sequences"):
        Attributions(lrp=scores["lrp"], ism=scores["ism"][:2]).save(tmp_path / "mixed.parquet")
    with pytest.raises(UsageError, match="no attributions"):
        Attributions().save(tmp_path / "none.parquet")


def test_parts_are_put_together(model: Any, scores: Any) -> None:
    ism = scores["ism"]
    whole = km.Attribution.concat([ism[1:2], ism[[0, 2]]])
    assert whole.names == ("b", "a", "c")
    assert np.array_equal(whole.of(ism.sequences).scores, ism.scores, equal_nan=True)
    assert whole.sequences.strings() == [STRINGS[name] for name in "bac"]
    assert np.array_equal(whole.substitutions[0], ism.substitutions[1])
    assert whole.diagnostics["tie_share"].shape == (3,)
    with pytest.raises(SequenceError, match="occurs twice"):
        km.Attribution.concat([ism, ism])
    with pytest.raises(UsageError, match="the same method in all parts, got ism and lrp"):
        km.Attribution.concat([ism, scores["lrp"]])
    first, second = ({name: STRINGS[name]} for name in "ab")
    other = km.attribute(model, second, ["lrp"], options={"lrp": {"start_layer": 1}})["lrp"]
    with pytest.raises(UsageError, match=r"the same settings\['options'\] in all parts, got \{'start_layer': 0"):
        km.Attribution.concat([km.attribute(model, first, ["lrp"])["lrp"], other])
    with pytest.raises(UsageError, match="at least one"):
        km.Attribution.concat([])


def test_sequences_are_put_together() -> None:
    one = km.Sequences.from_strings(["ACGT"], labels=[1], names=["a"], loci=[km.Locus("chr1", 0, 4)])
    two = km.Sequences.from_strings(["TT", "GA"], labels=[0, 1], names=["b", "c"])
    both = km.Sequences.concat([one, two])
    assert (both.strings(), both.names) == (["ACGT", "TT", "GA"], ("a", "b", "c"))
    assert both.labels is not None
    assert both.labels.tolist() == [1, 0, 1]
    assert both.loci == (km.Locus("chr1", 0, 4), None, None)
    assert km.Sequences.concat([both.take([2]), both.take([0])]).strings() == ["GA", "ACGT"]
    with pytest.raises(SequenceError, match="'a' occurs twice"):
        km.Sequences.concat([one, one])
    with pytest.raises(LabelError, match="other kinds of labels"):
        km.Sequences.concat([one, km.Sequences.from_strings(["A"], names=["d"])])
    with pytest.raises(LabelError, match="other classes"):
        km.Sequences.concat([replace(one, classes=("x", "y")), two])


def test_predictions_are_an_array_with_names(model: Any) -> None:
    result = model.predict(STRINGS)
    assert isinstance(result, Predictions)
    assert result.shape == (3, 2)
    table = result.to_frame()
    assert table["name"].tolist() == list(STRINGS)
    assert table["predicted"].tolist() == [model.labels[i] for i in result.argmax(1)]
    assert np.array_equal(table[["p(background)", "p(signal)"]], result)
    for computed in (result + 1, np.log(result), result[0, 0]):
        assert not isinstance(computed, Predictions)
    with pytest.raises(UsageError, match="computed of predictions"):
        result.T.to_frame()
    values = Predictions.of(np.ones((1, 2)), ["s"], ["x", "y"], {"problem": "values"})
    assert values.to_frame().to_dict("list") == {"name": ["s"], "x": [1.0], "y": [1.0]}
    labels = Predictions.of(np.ones((1, 1)), ["s"], ["x"], {"problem": "labels"})
    assert labels.to_frame().columns.tolist() == ["name", "p(x)"]
    shared = Predictions.of(np.ones((1, 2)), ["s"], ["name", "y"], {"problem": "values"})
    assert shared.to_frame().columns.tolist() == ["name", "name, output 0", "y, output 1"]


@pytest.mark.parametrize(
    ("key", "names"),
    [
        (slice(2), "ab"),
        (slice(None, None, -1), "cba"),
        ([0, 2], "ac"),
        (["c", "a"], "ca"),
        (np.array([True, False, True]), "ac"),
        ([False, True, False], "b"),
        (np.array([-1]), "c"),
        (range(2), "ab"),
        ([], ""),
    ],
)
def test_some_predictions_keep_their_names(key: Any, names: str, model: Any) -> None:
    whole = model.predict(STRINGS)
    part = whole[key]
    rows = ["abc".index(name) for name in names]
    assert isinstance(part, Predictions)
    assert np.array_equal(part, np.asarray(whole)[np.array(rows, dtype=int)])
    assert (part.names, part.labels, part.settings) == (tuple(names), whole.labels, whole.settings)
    table = part.to_frame()
    assert table["name"].tolist() == list(names)
    assert table["p(signal)"].tolist() == np.asarray(whole)[np.array(rows, dtype=int), 1].tolist()


@pytest.mark.parametrize("key", [0, "a", (slice(None), 1), (slice(2), slice(1)), ..., None, (..., None)])
def test_a_row_or_a_column_of_predictions_has_no_frame(key: Any, model: Any) -> None:
    whole = model.predict(STRINGS)
    assert np.array_equal(whole[key], np.asarray(whole)[0 if key == "a" else key])
    with pytest.raises(UsageError, match=r"has no names. Take the frame of predict\(\), or of some sequences"):
        whole[key].to_frame()


@pytest.mark.parametrize(
    "copied", [copy.copy, copy.deepcopy, lambda p: p.copy(), lambda p: pickle.loads(pickle.dumps(p))]
)
def test_copied_predictions_keep_their_names(copied: Any, model: Any) -> None:
    result = model.predict(STRINGS)
    again = copied(result)
    assert again.to_frame().equals(result.to_frame())
    assert not np.shares_memory(again, result)


def test_attributions_hold_attributions_only(scores: Any) -> None:
    array = np.zeros((3, 4))
    own = Attributions(scores)
    for add in (
        lambda: own.__setitem__("mine", array),
        lambda: own.update({"mine": array}),
        lambda: own.update(mine=array),
        lambda: own.setdefault("mine", array),
        lambda: own.__ior__({"mine": array}),
        lambda: Attributions({**scores, "mine": array}),
    ):
        with pytest.raises(UsageError, match=r"\['mine'\]: expected an Attribution.*km\.own_scores"):
            add()
    with pytest.raises(UsageError, match="expected the name of a method as key, got 3"):
        own[3] = scores["lrp"]
    assert set(own) == set(scores)
    own["again"] = scores["lrp"]
    assert own.to_frame()["again"].equals(own.to_frame()["lrp"].rename("again"))
    assert type({**scores, "mine": array}) is dict
    for again in (pickle.loads(pickle.dumps(own)), copy.copy(own), copy.deepcopy(own)):
        assert isinstance(again, Attributions)
        assert list(again) == list(own)


def test_a_number_is_no_method(scores: Any) -> None:
    with pytest.raises(
        UsageError,
        match=r"\[0\]: expected the name of a method \(ism, lrp\); sequences are numbered within one: \['ism'\]\[0\]",
    ):
        scores[0]
    with pytest.raises(UsageError, match=r"Expected the name of a method .*got None"):
        scores[None]


def test_parts_of_another_kind_are_not_concatenated(scores: Any) -> None:
    one = scores["lrp"]
    for parts in ([one, one], one, scores, 3, "lrp"):
        with pytest.raises(UsageError, match=r"concat: expected .*Attributions.* got .*Attribution.concat joins"):
            Attributions.concat(parts)
    for parts in ([scores, scores], one, scores, 3, [one, 3]):
        with pytest.raises(UsageError, match=r"concat: expected .*Attribution.* got .*Attributions.concat joins"):
            km.Attribution.concat(parts)
    assert len(Attributions.concat(scores.take([i]) for i in range(2))["lrp"]) == 2


def test_a_frame_of_a_curve_has_the_answer_of_every_cell(model: Any, curve: Any) -> None:
    table = curve.to_frame()
    assert len(table) == curve.cells.num_rows
    intact = table[(table["n"] == 0) & (table["method"] == "lrp")]
    assert intact["name"].tolist() == list(STRINGS)
    assert np.allclose(intact[["logit_0", "logit_1"]], model.logits(STRINGS), atol=1e-6)
    assert (table["predicted"] == table[["logit_0", "logit_1"]].to_numpy().argmax(1)).all()
    assert "label" not in table
    assert set(labelled(curve, np.array([0, 1, 0])).to_frame().query("name == 'b'")["label"]) == {1}


def test_frames_of_verdicts_and_audits(curve: Any) -> None:
    verdicts = km.judge(curve)
    table = verdicts.to_frame()
    assert len(table) == len(verdicts)
    assert table["method"].tolist() == [each.method for each in verdicts]
    assert "comparisons" not in table
    assert all(isinstance(codes, str) for codes in table["caveats"])
    rows = km.Sequences.from_strings(["ACGTTGCA", "GGATCCAT"], labels=[0, 1])
    audit = km.audit({"train": rows, "test": rows}, baselines=())
    findings = audit.to_frame()
    assert findings["code"].tolist() == [each.code for each in audit.findings]
    assert (findings["value"] > findings["threshold"]).all()
