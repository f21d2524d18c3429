"""What every registered attribution method owes: shape, batch and padding invariance, determinism.

A method that may be withheld is held to the same: its tolerance is lifted here, and tested where it is defined.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import kmerit as km
from helpers.checkpoints import REFERENCE, write_library
from kmerit.attribution.method import methods
from kmerit.errors import TargetError, UnsupportedMethod

pytestmark = pytest.mark.usefixtures("nothing_withheld")

LENGTHS = [40, 12, 77, 6, 40, 55, 23, 9, 31, 64]


@pytest.fixture(scope="module")
def sequences() -> km.Sequences:
    generator = np.random.default_rng(3)
    strings = ["".join(generator.choice(list("ACGT"), n)) for n in LENGTHS]
    return km.Sequences.from_strings(strings, labels=[0, 1] * 5)


@pytest.fixture(scope="module")
def model(tiny_checkpoint: Path) -> object:
    return km.load_model(tiny_checkpoint, dtype="float64")


@pytest.mark.parametrize("name", methods())
def test_shape_and_padding(name: str, model: Any, sequences: km.Sequences) -> None:
    (attribution,) = km.attribute(model, sequences, [name]).values()
    assert attribution.scores.shape == (10, 77)
    assert attribution.scores.dtype == np.float64
    assert attribution.names == sequences.names
    for row, length in zip(attribution.scores, LENGTHS, strict=True):
        assert np.isfinite(row[:length]).all()
        assert np.isnan(row[length:]).all()
    assert set(attribution.diagnostics) == {
        "relevance_sum",
        "zero",
        "undefined",
        "nonfinite",
        "tie_share",
        "delta",
        "micro_batch",
    }


@pytest.mark.parametrize(
    ("name", "level"),
    [
        (name, level)
        for name in methods()
        for level in ("nucleotide", "token")
        if level in (methods()[name].level, "nucleotide")
    ],
)
def test_alone_or_together_the_same(name: str, level: str, model: Any, sequences: km.Sequences) -> None:
    together = km.attribute(model, sequences, [name], level=level)[name]
    for i in range(len(sequences)):
        alone = km.attribute(model, sequences.take([i]), [name], level=level)[name]
        row = together.scores[i, : alone.scores.shape[1]]
        scale = max(np.nanmax(np.abs(row)), 1e-300)
        np.testing.assert_allclose(row / scale, alone.scores[0] / scale, atol=1e-7, equal_nan=True)


@pytest.mark.parametrize("name", methods())
def test_with_others_or_without_the_same_bits(name: str, model: Any, sequences: km.Sequences) -> None:
    alone = km.attribute(model, sequences, [name])[name]
    with_all = km.attribute(model, sequences, list(methods()))[name]
    again = km.attribute(model, sequences, [name])[name]
    assert np.array_equal(alone.scores, again.scores, equal_nan=True)
    scale = np.nanmax(np.abs(alone.scores))
    np.testing.assert_allclose(alone.scores / scale, with_all.scores / scale, atol=1e-9, equal_nan=True)


@pytest.mark.parametrize("name", methods())
def test_the_model_is_left_as_found(name: str, tiny_checkpoint: Path, sequences: km.Sequences) -> None:
    model = km.load_model(tiny_checkpoint)
    before = model.logits(sequences)
    weights = model.encoder.words.clone()
    km.attribute(model, sequences, [name])
    assert np.array_equal(model.logits(sequences), before)
    assert bool((model.encoder.words == weights).all())


@pytest.mark.parametrize("name", methods())
def test_a_regression_model_is_explained_through_its_output(
    name: str, make_checkpoint: Callable[..., Path], sequences: km.Sequences
) -> None:
    model = km.load_model(make_checkpoint(labels=("activity",)))
    attribution = km.attribute(model, sequences, [name], target="label")[name]
    assert (attribution.target == 0).all()


OTHERS = (
    "nucleotide_transformer_v1",
    "nucleotide_transformer_v2",
    "dnabert2",
    "gena_lm",
    "hyenadna",
    "caduceus_ps",
    "distilbert",
)


@pytest.fixture(scope="module", params=OTHERS)
def other(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """One tiny checkpoint of each further family, in both versions."""
    folder = REFERENCE / request.param
    if not folder.is_dir():
        sizes = {"dim": 16, "n_layers": 2, "n_heads": 4, "hidden_dim": 24}
        folder = write_library(tmp_path_factory.mktemp(request.param), request.param, **sizes)
    return km.load_model(folder, dtype="float64")


@pytest.mark.parametrize("name", methods())
def test_other_families_alone_or_together_the_same(name: str, other: Any, sequences: km.Sequences) -> None:
    """Four lengths in one batch; what the family cannot serve is refused."""
    method, few = methods()[name], sequences.take([1, 4, 7, 3])
    if not method.asks_for(method.complete({})) <= other.abilities:
        with pytest.raises(UnsupportedMethod, match=rf"{name} needs .*family {other.family}"):
            km.attribute(other, few, [name])
        return
    cheap = {name: {key: 2 for key in ("steps", "samples") if key in method.options}}
    for level in {"nucleotide", method.level}:
        together = km.attribute(other, few, [name], level=level, options=cheap)[name]
        again = km.attribute(other, few, [name], level=level, options=cheap)[name]
        assert np.array_equal(together.scores, again.scores, equal_nan=True)
        for i in range(len(few)):
            alone = km.attribute(other, few.take([i]), [name], level=level, options=cheap)[name].scores[0]
            row = together.scores[i, : alone.size]
            assert np.isfinite(alone).all()
            assert np.isnan(together.scores[i, alone.size :]).all()
            scale = max(np.abs(row).max(), 1e-300)
            np.testing.assert_allclose(row / scale, alone / scale, atol=1e-6)


def test_a_class_that_other_families_lack_is_refused(other: Any, sequences: km.Sequences) -> None:
    by_name = ", ".join(f"{i} {label}" for i, label in enumerate(other.labels))
    with pytest.raises(TargetError, match=rf"class {other.n_classes} does not exist; .*: {re.escape(by_name)}"):
        km.attribute(other, sequences, ["saliency"], target=other.n_classes)
