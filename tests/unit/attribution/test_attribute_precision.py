"""Scores checked in float64, and the digits they are made with."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr

import kmerit as km
from kmerit.attribution.attribute import TOP, agreement, sample
from kmerit.errors import FormatError, NotFinite, OutOfMemory, RunLocked, UsageError
from kmerit.io.scores import read_attributions, read_check
from kmerit.models.layers import full_precision
from kmerit.models.model import Model
from kmerit.store import hold

METHODS = ["rollout", "full_lrp", "random"]


@pytest.fixture(scope="module")
def model(tiny_checkpoint: Path) -> Model:
    return km.load_model(tiny_checkpoint, micro_batch=2)


@pytest.fixture(scope="module")
def sequences() -> km.Sequences:
    generator = np.random.default_rng(0)
    return km.Sequences.from_strings(["".join(generator.choice(list("ACGT"), 24 + 3 * i)) for i in range(9)])


def scores(values: np.ndarray) -> km.Attribution:
    names = tuple(map(str, range(len(values))))
    return km.Attribution("m", values, "nucleotide", np.zeros(len(values), np.int64), names)


def test_a_check_is_what_it_says(model: Model, sequences: km.Sequences) -> None:
    result = km.attribute(model, sequences, METHODS, target=1, check=4)
    exact = km.attribute(km.load_model(model.name, dtype="float64"), sequences, METHODS, target=1)
    plain = km.attribute(model, sequences, METHODS, target=1)
    rows = sample(len(sequences), 4)
    for name in METHODS:
        assert np.array_equal(result[name].scores, plain[name].scores, equal_nan=True)
        a, b = result[name].scores[rows], exact[name].scores[rows]
        inside = np.isfinite(a)
        expected = [float(spearmanr(x[i], y[i]).statistic) for x, y, i in zip(a, b, inside, strict=True)]
        report = result[name].settings["check"]
        assert report["sequences"] == 4
        assert report["undefined"] == 0
        assert report["spearman"]["min"] == pytest.approx(min(expected), abs=1e-12)
        assert report["spearman"]["median"] == pytest.approx(np.median(expected), abs=1e-12)
        assert 0 < report["top"]["min"] <= report["top"]["median"] <= 1
    assert not np.array_equal(result["full_lrp"].scores, exact["full_lrp"].scores, equal_nan=True)


def test_the_same_check_lies_beside_a_file(model: Model, sequences: km.Sequences, tmp_path: Path) -> None:
    in_memory = km.attribute(model, sequences, METHODS, check=4)
    path = km.attribute(model, sequences, METHODS, check=4, out=tmp_path / "scores.parquet")
    assert read_check(path) == {name: in_memory[name].settings["check"] for name in METHODS}
    assert json.loads((tmp_path / "scores.check.json").read_text())["methods"] == read_check(path)
    assert read_check(path)["rollout"]["rows"] == sample(len(sequences), 4).tolist()
    some = read_attributions(path, sample(len(sequences), 4))
    assert some["rollout"].names == tuple(sequences.names[i] for i in sample(len(sequences), 4))


def test_a_check_of_other_scores_is_refused(model: Model, sequences: km.Sequences, tmp_path: Path) -> None:
    path = km.attribute(model, sequences, ["random"], check=2, out=tmp_path / "scores.parquet")
    km.attribute(model, sequences, ["attention"], out=path)
    with pytest.raises(FormatError, match=r"of other scores than .*scores\.parquet"):
        read_check(path)


def test_scores_and_check_are_written_both_or_not_at_all(
    model: Model, sequences: km.Sequences, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = km.attribute(model, sequences, ["random"], check=2, out=tmp_path / "scores.parquet")
    before = {each.name: each.read_bytes() for each in tmp_path.iterdir()}
    covered = []

    def fails(*_: object) -> None:
        with pytest.raises(RunLocked), ThreadPoolExecutor() as other:
            other.submit(lambda: hold(path, file=True).__enter__()).result()
        covered.append(True)
        raise OutOfMemory("in float64")

    monkeypatch.setattr(import_module("kmerit.attribution.attribute"), "agreement", fails)
    with pytest.raises(OutOfMemory):
        km.attribute(model, sequences, ["attention"], check=2, out=path)
    assert covered
    assert {each.name: each.read_bytes() for each in tmp_path.iterdir()} == before


def test_no_check_no_report(model: Model, sequences: km.Sequences, tmp_path: Path) -> None:
    path = km.attribute(model, sequences, ["random"], out=tmp_path / "scores.parquet")
    with pytest.raises(FormatError, match=r"scores\.check\.json: no such file\. Make one: kmerit attribute --check"):
        read_check(path)
    assert "check" not in km.attribute(model, sequences, ["random"])["random"].settings
    with pytest.raises(UsageError, match="check: expected how many sequences to score again, got -1"):
        km.attribute(model, sequences, ["random"], check=-1)


def test_disagreement_is_seen() -> None:
    order = np.arange(40.0)
    exact = {"m": scores(np.stack([order, order, order, order * 0, order]))}
    broken = np.stack([order, -order, order, order, np.where(order == 3, np.inf, order)])
    broken[2, -TOP:] = order[-TOP:] - TOP  # half of the top falls out of it, in part
    report = agreement({"m": scores(broken)}, exact)["m"]
    assert (report["sequences"], report["undefined"]) == (5, 2)
    assert report["spearman"]["min"] == pytest.approx(-1)
    assert report["each"][0] == [pytest.approx(1), 1.0]
    assert report["each"][3] is None
    assert report["top"]["min"] == 0
    assert report["top"]["median"] < 1


def test_where_no_sequence_has_an_order() -> None:
    flat = {"m": scores(np.zeros((2, 8)))}
    nothing = {"sequences": 2, "undefined": 2, "spearman": None, "top": None, "each": [None, None]}
    assert agreement(flat, flat)["m"] == nothing


def test_the_sample_is_the_same_every_time() -> None:
    assert np.array_equal(sample(1000, 20), sample(1000, 20))
    assert len(set(sample(1000, 20).tolist())) == 20
    assert not np.array_equal(sample(1000, 20), sample(1000, 20, seed=1))


@pytest.fixture
def shortened() -> Iterator[None]:
    """A process in which float32 may be multiplied in shorter formats."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("medium")
    yield
    torch.set_float32_matmul_precision(before)


@pytest.mark.usefixtures("shortened")
def test_scores_are_made_in_full_float32(model: Model, sequences: km.Sequences) -> None:
    short = km.attribute(model, sequences, ["full_lrp"])["full_lrp"].scores
    assert torch.get_float32_matmul_precision() == "medium"
    with full_precision():
        assert torch.get_float32_matmul_precision() == "highest"
        full = km.attribute(model, sequences, ["full_lrp"])["full_lrp"].scores
    assert np.array_equal(short, full, equal_nan=True)


def test_bfloat16_is_for_prediction(model: Model, sequences: km.Sequences) -> None:
    short = km.load_model(model.name, dtype="bfloat16")
    logits = short.logits(sequences)
    assert logits.dtype == np.float32
    np.testing.assert_allclose(logits, model.logits(sequences), atol=0.15)
    assert not np.array_equal(logits, model.logits(sequences))
    with pytest.raises(UsageError, match=r"computes in bfloat16, which is for prediction.*--dtype float32"):
        km.attribute(short, sequences, ["rollout"])


def test_diagnostics_tell_what_is_wrong_with_scores(model: Model, sequences: km.Sequences, tmp_path: Path) -> None:
    encoder = model.encoder
    silent = replace(encoder.classifier, weight=torch.zeros_like(encoder.classifier.weight))
    dead = replace(model, encoder=replace(encoder, classifier=silent))  # every logit a constant: nothing to hand back
    path = km.attribute(dead, sequences, ["attention", "gradcam", "full_lrp"], out=tmp_path / "scores.parquet")
    result = read_attributions(path)
    flags = {name: result[name].diagnostics for name in result}
    assert not flags["attention"]["zero"].any()
    assert flags["gradcam"]["undefined"].all()
    assert flags["full_lrp"]["zero"].all()
    assert (flags["full_lrp"]["relevance_sum"] == 0).all()
    assert (flags["full_lrp"]["tie_share"] == 1).all()
    broken = replace(encoder.classifier, weight=torch.full_like(encoder.classifier.weight, torch.nan))
    wrong = replace(model, encoder=replace(encoder, classifier=broken))
    with pytest.raises(NotFinite, match="no finite number; it began in classifier"):
        km.attribute(wrong, sequences, ["full_lrp"], target=0)
