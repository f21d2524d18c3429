"""Sequences that are longer than the model takes: tiles, their averages, and what belongs to the whole."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import kmerit as km
from kmerit.errors import ConfigError, LengthError, UsageError
from kmerit.io.crops import Tiles
from kmerit.io.scores import read_attributions
from kmerit.models.model import Model
from kmerit.sequences import Locus, Sequences

METHODS = ["lrp", "attention", "ism_first_order"]
TILES = Tiles(60, 25)


@pytest.fixture(scope="module")
def model(tiny_checkpoint: Path) -> Model:
    return km.load_model(tiny_checkpoint, micro_batch=3)


@pytest.fixture(scope="module")
def long() -> Sequences:
    letters = ["".join(row) for row in np.random.default_rng(0).choice(list("ACGT"), (2, 130))]
    loci = [Locus("chr1", 100, 230, "-"), None, Locus("chr2", 0, 50)]
    return Sequences.from_strings(
        [*letters, letters[0][:50]], labels=[1, 0, 1], names=["long", "other", "short"], loci=loci
    )


def by_hand(length: int) -> list[int]:
    """List where tiles of 60 nt, one every 25 nt, begin."""
    return sorted({*range(0, length - 59, 25), length - 60})


def test_predictions_are_means_over_tiles(model: Model, long: Sequences) -> None:
    with pytest.raises(LengthError, match="--tile"):
        model.predict(Sequences.from_strings(["ACGT" * 100]))
    result = model.predict(long, tiles=TILES)
    for i in (0, 1):
        parts = [long.string(i)[start : start + 60] for start in by_hand(130)]
        np.testing.assert_allclose(result[i], model.predict(Sequences.from_strings(parts)).mean(0), rtol=1e-5)
    np.testing.assert_allclose(result[2], model.predict(long.take([2]))[0], rtol=1e-5)


@pytest.mark.parametrize("target", ["predicted", "label", "signal"])
def test_scores_are_means_where_tiles_overlap(model: Model, long: Sequences, target: str) -> None:
    result = km.attribute(model, long, METHODS, target, tiles=TILES)
    classes = {"predicted": model.predict(long, tiles=TILES).argmax(1), "label": long.labels, "signal": np.ones(3)}
    for method in METHODS:
        sums, counts = np.zeros(130), np.zeros(130)
        for start in by_hand(130):
            part = Sequences.from_strings([long.string(0)[start : start + 60]])
            scores = km.attribute(model, part, [method], int(np.asarray(classes[target])[0]))[method].scores[0]
            sums[start : start + 60] += np.nan_to_num(scores)
            counts[start : start + 60] += np.isfinite(scores)
        attribution = result[method]
        np.testing.assert_allclose(attribution.scores[0], sums / counts, rtol=1e-4, atol=1e-7)
        assert attribution.target.tolist() == np.asarray(classes[target]).tolist()
        assert np.isnan(attribution.scores[2, 50:]).all()
        assert attribution.settings["tile"] == 60
        assert attribution.settings["stride"] == 25
    alone = km.attribute(model, long.take([2]), ["lrp"], int(np.asarray(classes[target])[2]))["lrp"].scores[0]
    np.testing.assert_allclose(result["lrp"].scores[2, :50], alone, rtol=1e-4, atol=1e-7)


def test_scores_belong_to_the_whole(
    model: Model, long: Sequences, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = km.attribute(model, long, ["lrp", "ism_first_order"], tiles=TILES, check=2, out=tmp_path / "scores.parquet")
    assert "Sequences longer than 60 nt: 2, read in 8 tiles" in caplog.text
    in_memory = km.attribute(model, long, ["lrp", "ism_first_order"], tiles=TILES)
    for name, reloaded in read_attributions(path).items():
        np.testing.assert_array_equal(reloaded.scores, in_memory[name].scores)
        assert reloaded.of(long).names == long.names
        assert reloaded.identity is not None
        assert reloaded.identity.digests == long.digests
        assert reloaded.identity.loci == long.loci
    effects = read_attributions(path)["ism_first_order"].substitutions
    assert effects is not None
    bases, _ = long.padded()
    assert (effects[0][np.arange(130), bases[0]] == 0).all()


def test_tiles_must_cover_every_nucleotide(model: Model, long: Sequences) -> None:
    for length, stride in ((60, 61), (0, None), (10, 0)):
        with pytest.raises(ConfigError, match="so that no nucleotide is left out"):
            Tiles(length, stride)
    with pytest.raises(UsageError, match="tiles share nucleotides, not tokens"):
        km.attribute(model, long, ["lrp"], level="token", tiles=TILES)
    assert Tiles(60).starts(130) == [0, 60, 70]


def test_tiles_lie_on_the_strand_of_their_sequence(long: Sequences) -> None:
    pieces = Tiles(60, 25).cut(long)
    assert pieces.sequences.names[0] == "long [0, 60)"
    assert pieces.sequences.loci is not None
    assert pieces.sequences.loci[0] == Locus("chr1", 170, 230, "-")
