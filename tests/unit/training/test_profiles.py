"""An Enformer trained from scratch is a checkpoint of the family, and computes what the family computes."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

import kmerit as km
from kmerit.errors import ConfigError, LabelError, LengthError
from kmerit.formats import baseline_text
from kmerit.training import finetune
from kmerit.training.finetuning import _loss
from kmerit.training.learner import learner
from kmerit.training.profiles import SmallEnformer
from kmerit.training.recipe import FinetuneConfig

TINY = {
    "architecture": "enformer", "regression": True, "hidden": 12, "heads": 1, "layers": 1, "downsamples": 2,
    "batch_size": 4, "max_steps": 26, "save_steps": 25, "resamples": 5, "device": "cpu", "learning_rate": 0.01,
}  # fmt: skip
LENGTH = 32


def tables(folder: Path) -> dict[str, str]:
    """Write rows with values, two values, and bins of 4 nt."""
    planted = km.plant_values(24, length=LENGTH, motifs=1, grammar=km.datasets.planted_values.Grammar(width=4), seed=3)
    planted.save(folder)
    return {"train": str(folder / "bins.csv"), "test": str(folder / "bins.csv")}


def test_what_is_published_computes_what_was_trained(tmp_path: Path) -> None:
    config = FinetuneConfig.parse(TINY)
    result = learner(config, ["value"])
    ids = torch.randint(0, 4, (6, LENGTH), generator=torch.Generator().manual_seed(0))
    result.module.train()
    for _ in range(3):  # statistics of batch norm that are not those it starts with
        result.module(ids)
    result.module.eval()
    result.publish(tmp_path / "model", {})
    model = km.load_model(tmp_path / "model")
    rows = km.Sequences.from_strings(["".join("ACGT"[i] for i in row) for row in ids.tolist()])
    with torch.no_grad():
        expected = result.module(ids)["logits"].numpy()
    assert np.ptp(expected) > 1e-4
    np.testing.assert_allclose(model.logits(rows), expected, rtol=2e-6)


def test_bins_are_learned_and_their_mean_is_what_is_explained(tmp_path: Path) -> None:
    sources = tables(tmp_path / "rows")
    folder = finetune(FinetuneConfig.parse({**TINY, "bins": 8, **sources}), tmp_path / "model")
    model = km.load_model(folder)
    assert model.labels == ("mean of tracks 0 over all bins",)
    measured = json.loads((folder / "metrics.json").read_text())
    assert {"r2", "pearson", "spearman", "rows", "rmse"} == set(measured["test"])
    assert set(measured["baselines"]) == {"ridge regression on 4-mers"}
    rows = km.read_sequences(tmp_path / "rows" / "sequences.csv")
    values = model.logits(rows)[:, 0]
    left = 1 - np.sum((values - rows.labels) ** 2) / np.sum((rows.labels - rows.labels.mean()) ** 2)
    assert measured["test"]["r2"]["value"] == pytest.approx(left, abs=1e-4)
    first = km.load_model(folder, target={"tracks": [0], "bins": [0]}).logits(rows)
    assert np.abs(first[:, 0] - values).max() > 1e-4
    scores = km.attribute(model, rows.take(np.arange(3)), ["cp_lrp"], reference="shuffled")
    assert scores["cp_lrp"].scores.shape == (3, LENGTH)


def test_two_values_are_two_tracks(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    rows = ["".join(rng.choice(list("ACGT"), LENGTH)) for _ in range(12)]
    lines = ["sequence,one,two", *(f"{row},{row.count('A') / 8},{row.count('C') / 8}" for row in rows)]
    (tmp_path / "rows.csv").write_text("\n".join(lines))
    recipe = {**TINY, "labels": ["one", "two"], "train": str(tmp_path / "rows.csv"), "test": str(tmp_path / "rows.csv")}
    folder = finetune(FinetuneConfig.parse({**recipe, "validation_share": 0.0}), tmp_path / "model")
    assert set(json.loads((folder / "metrics.json").read_text())["outputs"]) == {"one", "two"}
    assert len(km.load_model(folder).labels) == 2
    assert km.load_model(folder, target={"tracks": [1], "bins": "all"}).logits(rows).shape == (12, 1)


def test_a_training_that_was_stopped_ends_alike(tmp_path: Path) -> None:
    config = FinetuneConfig.parse({**TINY, "bins": 8, **tables(tmp_path / "rows")})

    def stop(step: int, _: int) -> None:
        if step == 26:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        finetune(config, tmp_path / "stopped", progress=stop)
    assert (tmp_path / "stopped" / "checkpoints" / "checkpoint-25").is_dir()
    one, other = (finetune(config, tmp_path / name) / "model.safetensors" for name in ("stopped", "whole"))
    assert one.read_bytes() == other.read_bytes()


def test_the_loss_is_poissons_unless_told() -> None:
    values, truth = torch.tensor([[1.0], [2.0]]), torch.tensor([2.0, 2.0])
    poisson = _loss(FinetuneConfig.parse(TINY), np.ones(2))
    expected = (1 + 2 - 2 * np.log(2)) / 2
    assert poisson(values, truth).item() == pytest.approx(expected, abs=1e-6)
    assert _loss(FinetuneConfig.parse({**TINY, "loss": "mse"}), np.ones(2))(values, truth).item() == 0.5
    with pytest.raises(LabelError, match="at least 0"):
        _loss(FinetuneConfig.parse(TINY), np.array([1.0, -0.5]))


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"base": "bundled:encoder"}, "base"),
        ({"regression": False}, "regression"),
        ({"lora": {}}, "lora"),
        ({"bins": 2, "labels": ["one"]}, "leave labels out"),
        ({"bins": 2, "reverse_complement": 0.5}, "reverse_complement"),
        ({"architecture": "bert", "bins": 2}, "bins"),
    ],
)
def test_what_does_not_go_with_it_is_refused(wrong: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        FinetuneConfig.parse({**TINY, **wrong})


def test_widths_that_tell_no_positions_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"multiple of 6.*hidden=12"):
        SmallEnformer(FinetuneConfig.parse({**TINY, "hidden": 16, "heads": 2}), 1)


@pytest.mark.parametrize(
    ("lengths", "settings", "message"),
    [
        ((15, 15), {}, "multiples of 4"),
        ((16, 20), {}, "expected sequences of 16 nt, found 20 in"),
        ((16, 16), {"bins": 5}, "expected sequences of 20 nt, found 16 in"),
    ],
)
def test_lengths_that_do_not_fit_are_refused(
    lengths: tuple[int, int], settings: dict[str, int], message: str, tmp_path: Path
) -> None:
    columns = ["value", *(f"bin_{i}" for i in range(5))]
    rows = [f"{('ACGTTGCA' * 3)[: n - 1]}{base},{','.join('111111')}" for n in lengths for base in "ACG"]
    (tmp_path / "rows.csv").write_text("\n".join([f"sequence,{','.join(columns)}", *rows]))
    recipe = {**TINY, "train": str(tmp_path / "rows.csv"), "validation_share": 0.0, "label_column": "value", **settings}
    if settings:
        recipe.pop("label_column")
    with pytest.raises(LengthError, match=message):
        finetune(FinetuneConfig.parse(recipe), tmp_path / "model")
    assert not (tmp_path / "model" / "training.json").exists()


def test_a_ridge_is_not_called_logistic() -> None:
    assert baseline_text("ridge regression on 4-mers") == "ridge regression on 4-mers"
