from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

import kmerit as km
from kmerit.attribution.attribute import tie_share
from kmerit.errors import ConfigError, FormatError, LabelError, TargetError, UnknownName, UsageError
from kmerit.io.scores import read_attributions

SIX = ["attention", "rollout", "gradcam", "lrp", "lrp_last", "full_lrp"]


@pytest.fixture(scope="module")
def sequences() -> km.Sequences:
    generator = np.random.default_rng(0)
    strings = ["".join(generator.choice(list("ACGT"), 20 + i % 7)) for i in range(70)]
    return km.Sequences.from_strings(strings, labels=[0, 1] * 35)


@pytest.fixture(scope="module")
def model(tiny_checkpoint: Path) -> Any:
    return km.load_model(tiny_checkpoint, micro_batch=2)


def test_targets(model: Any, sequences: km.Sequences) -> None:
    predicted = model.logits(sequences).argmax(1)
    by = {t: km.attribute(model, sequences, ["full_lrp"], target=t)["full_lrp"] for t in ("predicted", "label", 0, 1)}
    assert np.array_equal(by["predicted"].target, predicted)
    assert np.array_equal(by["label"].target, sequences.labels)
    chosen = np.where(predicted[:, None] == 1, by[1].scores, by[0].scores)
    np.testing.assert_allclose(by["predicted"].scores, chosen, rtol=1e-4, atol=1e-5)
    assert not np.allclose(by[0].scores, by[1].scores, equal_nan=True)


def test_streaming_to_parquet_gives_the_same(model: Any, sequences: km.Sequences, tmp_path: Path) -> None:
    for level in ("nucleotide", "token"):
        in_memory = km.attribute(model, sequences, SIX, level=level)
        path = km.attribute(model, sequences, SIX, level=level, out=tmp_path / "scores.parquet")
        assert pq.ParquetFile(path).num_row_groups == 2
        reloaded = read_attributions(path)
        assert list(reloaded) == SIX
        for name in SIX:
            for field in ("level", "names", "signed"):
                assert getattr(reloaded[name], field) == getattr(in_memory[name], field)
            assert reloaded[name].settings == in_memory[name].settings
            assert np.array_equal(reloaded[name].scores, in_memory[name].scores, equal_nan=True)
            assert np.array_equal(reloaded[name].target, in_memory[name].target)
            for key, values in in_memory[name].diagnostics.items():
                assert np.array_equal(reloaded[name].diagnostics[key], values, equal_nan=values.dtype.kind == "f")
    table = pq.read_table(tmp_path / "scores.parquet").to_pandas()
    assert table["sequence"].is_monotonic_increasing
    assert [len(scores) for scores in table["scores"][::6]] == [length - 3 for length in sequences.lengths]


def test_progress_counts_sequences(model: Any, sequences: km.Sequences) -> None:
    calls: list[tuple[int, int]] = []
    km.attribute(model, sequences, ["attention"], progress=lambda done, total: calls.append((done, total)))
    assert calls[-1] == (70, 70)
    assert [done for done, _ in calls] == sorted({done for done, _ in calls})


def test_options(model: Any, sequences: km.Sequences) -> None:
    few = sequences.take(slice(0, 4))
    whole = km.attribute(model, few, ["lrp"])["lrp"]
    last = km.attribute(model, few, ["lrp"], options={"lrp": {"start_layer": 1}})["lrp"]
    assert last.settings["options"] == {"start_layer": 1}
    assert not np.allclose(whole.scores, last.scores, equal_nan=True)
    with pytest.raises(ConfigError, match=r"lrp: no option 'layer'\. It has: start_layer"):
        km.attribute(model, few, ["lrp"], options={"lrp": {"layer": 1}})
    with pytest.raises(ConfigError, match="lrp_last: rules is one of 'chefer', 'chefer_older'; got 'newer'"):
        km.attribute(model, few, ["lrp_last"], options={"lrp_last": {"rules": "newer"}})
    with pytest.raises(ConfigError, match=r"layer: expected 0 to 1, or -1 for the last, got 2\."):
        km.attribute(model, few, ["lrp"], options={"lrp": {"start_layer": 2}})


def test_wrong_requests(model: Any, sequences: km.Sequences) -> None:
    with pytest.raises(
        UnknownName, match=r"Unknown method 'rolout'\. Did you mean 'rollout'\? See: kmerit list methods"
    ):
        km.attribute(model, sequences, ["rolout"])
    with pytest.raises(UsageError, match="expected a list of names"):
        km.attribute(model, sequences, "rollout")
    with pytest.raises(TargetError, match=r"class 2 does not exist.*0 background, 1 signal"):
        km.attribute(model, sequences, ["rollout"], target=2)
    with pytest.raises(TargetError, match="'predict'"):
        km.attribute(model, sequences, ["rollout"], target="predict")
    with pytest.raises(LabelError, match="no class labels"):
        km.attribute(model, km.Sequences.from_strings(["ACGTACGT"]), ["rollout"], target="label")
    with pytest.raises(UsageError, match="'codon'"):
        km.attribute(model, sequences, ["rollout"], level="codon")
    with pytest.raises(UsageError, match="projection"):
        km.attribute(model, sequences, ["rollout"], projection="median")


def test_a_file_of_something_else(tmp_path: Path) -> None:
    (tmp_path / "scores.parquet").write_bytes(b"PAR1")
    with pytest.raises(FormatError, match="not readable as attributions"):
        read_attributions(tmp_path / "scores.parquet")


def test_tie_share() -> None:
    assert tie_share(np.array([1.0, 1.0, 1.0, 2.0])) == 0.75
    assert tie_share(np.array([1.0, 2.0])) == 0
    assert tie_share(np.zeros(0)) == 0
