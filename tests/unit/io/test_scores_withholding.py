"""Scores that do not add up never come out as a ranking."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import kmerit as km
from kmerit.attribution.method import methods
from kmerit.errors import ConfigError, FormatError, MissingExtra, Withheld, WithheldWarning
from kmerit.io.scores import read_attributions, reason_to_withhold, too_far

SEQUENCES = km.Sequences.from_strings([("ACGTTGCAACGG", "TTGACATTACAGC", "GATTACA")[i % 3] for i in range(70)])
ROUGH = {"gradient_shap": {"n_samples": 1}}
ALL_FAR = [0, 1, 2]
"""Of those sequences, some that one sample does not explain."""
GENERATOR = np.random.default_rng(4)
OTHERS = km.Sequences.from_strings(["".join(GENERATOR.choice(list("ACGT"), 48)) for _ in range(12)])


@pytest.fixture(scope="module")
def model(tiny_checkpoint: Path) -> Any:
    return km.load_model(tiny_checkpoint, micro_batch=2)


COMPLETE = {
    "integrated_gradients": {"steps": 4},
    "gradient_shap": {"n_samples": 25},
    "deep_lift": {},
}
"""Methods whose scores should add up, with options under which some sequences' do not."""


def withheld(found: km.Attribution) -> list[bool]:
    """Which sequences have no score at all."""
    return [not np.isfinite(row).any() for row in found.scores]


def test_every_sequence_is_decided_by_itself() -> None:
    assert too_far(np.array([0.5, 0.01, 0.0, np.nan, np.inf]), 0.01).tolist() == [True, False, False, True, True]
    assert (
        reason_to_withhold(np.array([0.5, 0.009, 0.0]), 0.01) == "1 of 3 sequences have a delta above 1 %, up to 50 %"
    )
    assert reason_to_withhold(np.array([0.5, 0.5]), None) is None
    assert reason_to_withhold(np.array([0.5, 0.011]), 0.01) == "median delta 25.6 % over 2 sequences, all above 1 %"
    assert reason_to_withhold(np.array([0.01, 0.0]), 0.01) is None


@pytest.mark.parametrize("name", methods())
def test_what_claims_to_add_up_is_held_to_it(name: str, model: Any) -> None:
    """A method says how far it misses if and only if it stands above; then it is withheld where that is too far."""
    result = km.attribute(model, SEQUENCES.take([0]), [name], options={name: {}})[name]
    assert (
        ("tolerance" in result.settings) == bool(np.isfinite(result.diagnostics["delta"]).all()) == (name in COMPLETE)
    )
    assert methods()[name].tolerance == 0.01


@pytest.mark.filterwarnings("ignore::kmerit.errors.WithheldWarning")
@pytest.mark.parametrize("name", COMPLETE)
def test_neither_other_sequences_nor_other_methods_decide(name: str, model: Any, tmp_path: Path) -> None:
    result = km.attribute(model, OTHERS, [name], options={name: COMPLETE[name]}, target=1)[name]
    far = result.diagnostics["delta"] > 0.01
    assert withheld(result) == far.tolist() == result.withheld_rows.tolist()
    if name != "deep_lift":
        assert 0 < far.sum() < len(OTHERS)
        assert result.withheld == reason_to_withhold(result.diagnostics["delta"], 0.01)
    for i in range(len(OTHERS)):
        alone = km.attribute(model, OTHERS.take([i]), [name], options={name: COMPLETE[name]}, target=1)[name]
        assert withheld(alone) == [far[i]]
    every = km.attribute(model, OTHERS, list(COMPLETE), options=COMPLETE, target=1)
    assert withheld(every[name]) == far.tolist()
    out = km.attribute(model, OTHERS, list(COMPLETE), options=COMPLETE, target=1, out=tmp_path / "scores.parquet")
    reloaded = read_attributions(out)[name]
    assert withheld(reloaded) == far.tolist() == reloaded.withheld_rows.tolist()
    assert reloaded.withheld == result.withheld
    assert np.array_equal(reloaded.scores, result.scores, equal_nan=True) or name != "integrated_gradients"


def test_a_sequence_without_scores_takes_no_part_in_a_trial(model: Any, tmp_path: Path) -> None:
    with pytest.warns(WithheldWarning, match=r"is withheld: \d+ of 12 sequences have a delta above 1 %, up to"):
        out = km.attribute(
            model,
            OTHERS,
            ["lrp", "integrated_gradients"],
            options={"integrated_gradients": COMPLETE["integrated_gradients"]},
            target=1,
            out=tmp_path / "scores.parquet",
        )
    result = read_attributions(out)
    far = np.flatnonzero(result["integrated_gradients"].withheld_rows).tolist()
    for source in (out, result):
        curve = km.mutate(
            model, OTHERS, source, counts=[0, 3], replicates=2, controls=["random", "shifted", "other"], seed=1
        )
        cells = curve.cells.to_pandas()
        took = {method: set(rows["sequence"]) for method, rows in cells.groupby("method", observed=True)}
        everyone = set(range(len(OTHERS)))
        assert took["lrp"] == took["random"] == took["shifted(lrp)"] == everyone
        assert took["integrated_gradients"] == took["shifted(integrated_gradients)"] == everyone - set(far)
        assert took["other(integrated_gradients)"] < everyone - set(far)  # a partner's may be withheld, too
        withheld = {m: curve.of_method("withheld", m) for m in ("lrp", "integrated_gradients")}
        assert not withheld["lrp"].any()
        assert np.flatnonzero(withheld["integrated_gradients"]).tolist() == far
        assert not curve.of_method("nonfinite", "integrated_gradients")[~withheld["integrated_gradients"]].any()
        verdicts = {verdict.method: verdict for verdict in km.judge(curve, resamples=100)}
        codes = {method: {each.code for each in verdict.caveats} for method, verdict in verdicts.items()}
        assert "withheld" in codes["integrated_gradients"]
        assert "withheld" not in codes["lrp"]


def test_one_sample_is_withheld_and_says_so(model: Any) -> None:
    with pytest.warns(WithheldWarning, match=r"gradient_shap is withheld: median delta [\d.]+ % over 3 sequences, all"):
        result = km.attribute(model, SEQUENCES.take(ALL_FAR), ["gradient_shap", "lrp"], options=ROUGH)
    rough = result["gradient_shap"]
    assert rough.withheld is not None
    assert np.isnan(rough.scores).all()
    assert result["lrp"].withheld is None
    assert np.isfinite(result["lrp"].scores[0, :7]).all()
    with pytest.raises(Withheld, match=r"gradient_shap was withheld: median delta"):
        km.mutate(model, SEQUENCES.take(ALL_FAR), rough, counts=[0, 1])
    with pytest.raises(Withheld, match="gradient_shap"):
        rough.plot(0, SEQUENCES.take(ALL_FAR))


def test_in_a_file_too(model: Any, tmp_path: Path) -> None:
    out, some = tmp_path / "scores.parquet", SEQUENCES.take(ALL_FAR)
    with pytest.warns(WithheldWarning, match="gradient_shap is withheld"):
        km.attribute(model, some, ["gradient_shap", "lrp"], options=ROUGH, out=out)
    reloaded = read_attributions(out)
    assert (reloaded["gradient_shap"].withheld or "").startswith("median delta")
    assert np.isnan(reloaded["gradient_shap"].scores).all()
    in_memory = km.attribute(model, some, ["lrp"])["lrp"]
    np.testing.assert_allclose(reloaded["lrp"].scores, in_memory.scores, rtol=1e-4, atol=1e-6)
    assert list(tmp_path.iterdir()) == [out]
    with pytest.raises(Withheld, match="gradient_shap was withheld"):
        km.mutate(model, some, out, counts=[0, 1])


def test_enough_samples_are_not(model: Any) -> None:
    result = km.attribute(model, SEQUENCES, ["gradient_shap"])
    assert result["gradient_shap"].withheld is None
    assert result["gradient_shap"].diagnostics["delta"].max() < 0.01


@pytest.mark.parametrize("options", [{"n_samples": 0}, {"n_baselines": 1.5}, {"baselines": "zero"}])
def test_options_that_cannot_be(model: Any, options: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="gradient_shap"):
        km.attribute(model, SEQUENCES.take([0]), ["gradient_shap"], options={"gradient_shap": options})


def test_deep_lift_without_tangermeme(model: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tangermeme.deep_lift_shap", None)
    with pytest.raises(MissingExtra, match=r"kmerit\[tangermeme\]"):
        km.attribute(model, SEQUENCES.take([0]), ["deep_lift"])


def test_no_such_file_is_said(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match=r"none.parquet: no such file. Write attributions with: kmerit attribute"):
        read_attributions(tmp_path / "none.parquet")
