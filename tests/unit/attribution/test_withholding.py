"""Scores that do not add up never come out as a ranking."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

import kmerit as km
from kmerit.attribution import read_attributions
from kmerit.attribution.withholding import reason_to_withhold
from kmerit.errors import ConfigError, MissingExtra, Withheld, WithheldWarning

SEQUENCES = km.Sequences.from_strings([("ACGTTGCAACGG", "TTGACATTACAGC", "GATTACA")[i % 3] for i in range(70)])
ROUGH = {"gradient_shap": {"n_samples": 1}}


@pytest.fixture(scope="module")
def model(tiny_checkpoint: Path) -> Any:
    return km.load_model(tiny_checkpoint, micro_batch=2)


def test_the_median_decides() -> None:
    assert reason_to_withhold(np.array([0.5, 0.009, 0.0]), 0.01) is None
    assert reason_to_withhold(np.array([0.5, 0.5]), None) is None
    assert reason_to_withhold(np.array([0.5, 0.011, 0.0]), 0.01) == "median delta 1.1 % over 3 sequences, above 1 %"
    assert reason_to_withhold(np.array([np.nan, np.nan]), 0.01) is not None


def test_one_sample_is_withheld_and_says_so(model: Any) -> None:
    with pytest.warns(WithheldWarning, match=r"gradient_shap is withheld: median delta [\d.]+ % over 70 sequences"):
        found = km.attribute(model, SEQUENCES, ["gradient_shap", "lrp"], options=ROUGH)
    rough = found["gradient_shap"]
    assert rough.withheld is not None
    assert np.isnan(rough.scores).all()
    assert np.median(rough.diagnostics["delta"]) > 0.01
    assert found["lrp"].withheld is None
    assert np.isfinite(found["lrp"].scores[0, :12]).all()
    with pytest.raises(Withheld, match=r"gradient_shap was withheld: median delta"):
        km.mutate(model, SEQUENCES, rough, counts=[0, 1])
    with pytest.raises(Withheld, match="gradient_shap"):
        rough.plot(0, SEQUENCES)


def test_in_a_file_too(model: Any, tmp_path: Path) -> None:
    out = tmp_path / "scores.parquet"
    with pytest.warns(WithheldWarning, match="gradient_shap is withheld"):
        km.attribute(model, SEQUENCES, ["gradient_shap", "lrp"], options=ROUGH, out=out)
    read = read_attributions(out)
    assert (read["gradient_shap"].withheld or "").startswith("median delta")
    assert np.isnan(read["gradient_shap"].scores).all()
    assert np.median(read["gradient_shap"].diagnostics["delta"]) > 0.01
    held = km.attribute(model, SEQUENCES, ["lrp"])["lrp"]
    np.testing.assert_allclose(read["lrp"].scores, held.scores, rtol=1e-4, atol=1e-6)
    assert pq.ParquetFile(out).num_row_groups == 2
    assert list(tmp_path.iterdir()) == [out]
    with pytest.raises(Withheld, match="gradient_shap was withheld"):
        km.mutate(model, SEQUENCES, out, counts=[0, 1])


def test_enough_samples_are_not(model: Any) -> None:
    found = km.attribute(model, SEQUENCES, ["gradient_shap"], options={"gradient_shap": {"n_samples": 60}})
    assert found["gradient_shap"].withheld is None
    assert np.median(found["gradient_shap"].diagnostics["delta"]) < 0.01


@pytest.mark.parametrize("options", [{"n_samples": 0}, {"n_baselines": 1.5}, {"baselines": "zero"}])
def test_options_that_cannot_be(model: Any, options: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="gradient_shap"):
        km.attribute(model, SEQUENCES.take([0]), ["gradient_shap"], options={"gradient_shap": options})


def test_deep_lift_without_tangermeme(model: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tangermeme.deep_lift_shap", None)
    with pytest.raises(MissingExtra, match=r"kmerit\[tangermeme\]"):
        km.attribute(model, SEQUENCES.take([0]), ["deep_lift"])
