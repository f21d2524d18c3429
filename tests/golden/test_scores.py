"""The six scores against a reference implementation's float64 numbers (tests/golden/reference/README.md)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import kmerit as km

REFERENCE = Path(__file__).parent / "reference"
TOLERANCE = {"trained_2x64": 1e-6, "random_3x96": 1e-4}
SIX = ["attention", "rollout", "gradcam", "lrp", "lrp_last", "full_lrp"]
OLDER = {"lrp_last": {"rules": "chefer_older"}, "full_lrp": {"rules": "chefer_older"}}


@pytest.fixture(scope="module", params=sorted(TOLERANCE))
def case(request: pytest.FixtureRequest) -> tuple[str, Any, km.Sequences, Any]:
    folder = REFERENCE / request.param
    sequences = km.Sequences.from_strings(json.loads((folder / "sequences.json").read_text()))
    return (
        request.param,
        km.load_model(folder, dtype="float64"),
        sequences,
        dict(np.load(folder / "expected.npz")),
    )


def scores(
    model: Any, sequences: km.Sequences, together: bool, **options: Any
) -> Iterator[tuple[int, dict[str, km.Attribution], int]]:
    """Attribute all at once in one padded micro-batch, or one by one: (sequence, attributions, row)."""
    if together:
        result = km.attribute(model, sequences, level="token", **options)
        yield from ((i, result, i) for i in range(len(sequences)))
    else:
        for i in range(len(sequences)):
            yield i, km.attribute(model, sequences.take([i]), level="token", **options), 0


def agree(got: Any, expected: Any, tolerance: float, what: str) -> None:
    scale = np.abs(expected).max()
    if scale == 0:
        assert (got == 0).all(), f"{what}: expected exact zeros"
    else:
        assert np.abs(got - expected).max() / scale <= tolerance, what


@pytest.mark.parametrize("together", [True, False], ids=["padded batch", "alone"])
@pytest.mark.parametrize("target", [0, 1])
def test_the_six_scores(case: Any, target: int, together: bool) -> None:
    name, model, sequences, expected = case
    for i, result, row in scores(model, sequences, together, methods=SIX, target=target):
        length = int(sequences.lengths[i]) - 6 + 1 + 2
        for method in SIX:
            actual = result[method].scores[row, :length]
            key = {"attention": f"s{i}.attention_last", "rollout": f"s{i}.rollout"}.get(
                method, f"s{i}.t{target}.{method}"
            )
            want = expected[key]
            if method == "attention":
                want = want * model.encoder.heads
            if np.isnan(want).any():
                assert method == "gradcam"
                assert result[method].diagnostics["undefined"][row]
                want = np.zeros_like(want)
            agree(actual, want, TOLERANCE[name], key)
            assert np.isnan(result[method].scores[row, length:]).all()


@pytest.mark.parametrize("target", [0, 1])
def test_variants(case: Any, target: int) -> None:
    name, model, sequences, expected = case
    last = {"lrp": {"start_layer": len(model.encoder.layers) - 1}}
    names = {"lrp": "lrp_start_last", "lrp_last": "lrp_last_originalrules", "full_lrp": "full_lrp_originalrules"}
    for i, result, row in scores(model, sequences, True, methods=list(names), target=target, options=OLDER | last):
        for method, key in names.items():
            want = expected[f"s{i}.t{target}.{key}"]
            # The older rules divide by smaller sums: what 1e-9 does there is up to 1.6e-4 of the largest value.
            tolerance = 1e-3 if (name, method) == ("random_3x96", "full_lrp") else TOLERANCE[name]
            agree(result[method].scores[row, : want.size], want, tolerance, f"{i} {key}")


def test_logits(case: Any) -> None:
    _, model, sequences, expected = case
    want = np.stack([expected[f"s{i}.logits"] for i in range(len(sequences))])
    np.testing.assert_allclose(model.logits(sequences), want, rtol=0, atol=1e-12)


def test_zero_and_undefined_are_flagged() -> None:
    folder = REFERENCE / "trained_2x64"
    expected = np.load(folder / "expected.npz")
    sequences = km.Sequences.from_strings(json.loads((folder / "sequences.json").read_text()))
    model = km.load_model(folder, dtype="float64")
    flags = 0
    for target in (0, 1):
        result = km.attribute(model, sequences, SIX, target=target)
        for i in range(len(sequences)):
            undefined = bool(np.isnan(expected[f"s{i}.t{target}.gradcam"]).any())
            vanished = not expected[f"s{i}.t{target}.full_lrp"].any()
            assert result["gradcam"].diagnostics["undefined"][i] == undefined
            assert result["full_lrp"].diagnostics["zero"][i] == vanished
            assert np.isfinite(result["gradcam"].scores[i, : sequences.lengths[i]]).all()
            flags += undefined + vanished
    assert flags > 0, "the reference has such cases"
