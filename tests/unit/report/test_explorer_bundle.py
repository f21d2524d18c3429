"""A packed exploration holds what was packed, within the steps it was rounded to."""

from __future__ import annotations

import base64
import gzip
import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from helpers.explored import COUNTS, exploration
from kmerit.report import explorer as bundle
from kmerit.report.explorer import PROBABILITY_STEPS, STEPS, UNKNOWN, Exploration, embed, pack_all
from kmerit.report.load import Hit, Hits


def pack(given: Exploration, most: int = bundle.MOST_BYTES) -> dict[str, Any]:
    packed = bundle.pack(given, most)
    assert packed is not None
    return packed


def arrays(packed: dict[str, Any]) -> dict[str, Any]:
    block = gzip.decompress(base64.b64decode(packed["block"]))
    return {
        name: np.frombuffer(block, np.dtype(about["type"]), about["count"], about["start"])
        for name, about in packed["index"].items()
    }


def test_round_trip() -> None:
    inputs = exploration(5, length=40)
    inputs.scores[2][1, 7] = np.nan
    inputs.scores[3][2] = 0
    packed = pack(inputs)
    in_memory = arrays(packed)
    assert json.loads(embed(packed)) == packed
    np.testing.assert_array_equal(in_memory["bases"], inputs.sequences.bases)
    steps = in_memory["scores"].reshape(3, 5, 40).astype(float)
    scales = in_memory["scales"].reshape(3, 5)
    scores = np.stack(inputs.scores, axis=1)
    known = np.isfinite(scores)
    assert steps[1, 2, 7] == UNKNOWN
    assert (steps == UNKNOWN).sum() == 1
    assert not steps[2, 3].any()
    error = np.abs(steps / STEPS * scales[..., None] - scores)
    assert (error <= np.broadcast_to(scales[..., None] / STEPS * 0.501, error.shape))[known].all()
    assert inputs.trial is not None
    shape = (4, 5, len(COUNTS))
    np.testing.assert_allclose(
        in_memory["probability"].reshape(shape) / PROBABILITY_STEPS, inputs.trial.probability, atol=1e-5
    )
    np.testing.assert_array_equal(in_memory["first"].reshape(3, 5, 20), inputs.trial.first)
    assert packed["tokens"] == {"k": 6}


def test_same_exploration_same_bytes() -> None:
    assert pack(exploration())["block"] == pack(exploration())["block"]


def test_other_tokens_keep_their_boundaries() -> None:
    inputs = exploration(2, length=10)
    spans = (np.array([[0, 4], [4, 10]]), np.array([[0, 1], [1, 3], [3, 10]]))
    packed = pack(replace(inputs, spans=spans))
    assert packed["tokens"] == {"counts": [2, 3]}
    assert arrays(packed)["ends"].tolist() == [4, 10, 1, 3, 10]


def test_values_of_a_regression_are_not_taken_for_probabilities() -> None:
    inputs = exploration(3)
    assert inputs.trial is not None
    packed = pack(replace(inputs, trial=replace(inputs.trial, of_values=True)))  # though they lie between 0 and 1
    assert packed["trial"]["bounded"] is False
    np.testing.assert_allclose(arrays(packed)["probability"], inputs.trial.probability.ravel(), rtol=1e-6)


def test_of_more_than_fit_the_first_of_each_class_are_kept_and_the_total_is_told() -> None:
    inputs = exploration(200)
    packed = pack(inputs, 20_000)
    assert len(embed(packed)) <= 20_000
    assert packed["total"] == 200
    kept = len(packed["names"])
    assert 20 < kept < 200
    assert packed["names"] == [f"seq{i}" for i in range(kept)]  # labels alternate
    assert len(arrays(packed)["scores"]) == 3 * 60 * kept
    assert len(packed["trial"]["called"]) == kept


def test_names_and_motifs_count_as_well() -> None:
    hits = [Hit(sequence=f"seq{i}", start=0, end=6, motif="motif " * 50) for i in range(200)]
    inputs = replace(exploration(200), hits=Hits(hits=tuple(hits)))
    packed = pack(inputs, 40_000)
    assert len(embed(packed)) <= 40_000
    assert packed["total"] == 200
    kept = set(packed["names"])
    assert 20 < len(kept) < 200
    assert {hit["sequence"] for hit in packed["hits"]} == kept
    assert bundle.pack(inputs, 500) is None


def test_what_a_small_task_leaves_a_large_one_may_take() -> None:
    small, large = exploration(4), exploration(400)
    packed = pack_all({"large": large, "small": small}, 50_000)
    assert list(packed) == ["large", "small"]
    assert len(packed["small"]["names"]) == 4
    assert 25_000 < len(embed(packed["large"])) < 50_000
    assert sum(len(embed(each)) for each in packed.values()) <= 50_000
    assert pack_all({"large": large}, 100) == {}


@pytest.mark.parametrize("text", ["</script>", "<!--", "a\u2028b", 'quote"', "é北"])
def test_embedded_text_cannot_leave_its_element(text: str) -> None:
    spelt = embed({"name": text})
    assert "<" not in spelt
    assert "\u2028" not in spelt
    assert json.loads(spelt) == {"name": text}
