"""A run of a model that is in memory: any torch module, wrapped."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import kmerit as km
from kmerit.errors import RunMismatch, UnsupportedMethod, UsageError
from kmerit.runs.pipeline import run

SMALL = ("trial.preset=paper", "trial.counts=[5]", "trial.draws=1", "trial.random_sets=2", "statistics.resamples=100")


def wrapped(seed: int) -> km.Model:
    torch.manual_seed(seed)
    module = nn.Sequential(nn.Conv1d(4, 8, 5), nn.ReLU(), nn.AdaptiveMaxPool1d(1), nn.Flatten(), nn.Linear(8, 2))
    return km.wrap(module, 50, ["background", "peak"])


@pytest.fixture
def config(tmp_path: Path) -> Path:
    letters = np.random.default_rng(0).choice(list("ACGT"), (12, 50))
    rows = [f"s{i},{''.join(row)},{i % 2}" for i, row in enumerate(letters)]
    (tmp_path / "my.csv").write_text("\n".join(["name,sequence,label", *rows, ""]))
    path = tmp_path / "my.toml"
    path.write_text("[attribution]\nmethods = ['ism', 'saliency']\n[tasks.mine]\nmodel = 'net'\nsequences = 'my.csv'\n")
    return path


@pytest.mark.slow
def test_a_run_and_its_report(config: Path, tmp_path: Path) -> None:
    models = {"net": wrapped(0)}
    report = run(config, tmp_path / "out", SMALL, models=models).report
    assert "saliency" in report.read_text(encoding="utf-8")
    assert "| ism |" in (report.parent / "tasks" / "mine" / "cards.md").read_text(encoding="utf-8")
    before = report.read_bytes()
    assert run(config, tmp_path / "out", SMALL, models=models).report.read_bytes() == before
    with pytest.raises(RunMismatch, match="weights of net changed"):  # though nothing is left to do
        run(config, tmp_path / "out", SMALL, models={"net": wrapped(1)})
    assert report.read_bytes() == before
    (tmp_path / "out" / "tasks" / "mine" / "attributions.parquet").unlink()
    with pytest.raises(RunMismatch, match="weights of net changed"):
        run(config, tmp_path / "out", SMALL, models={"net": wrapped(1)})


def test_what_cannot_be_is_refused_before_anything_is_written(config: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no task of the config has model = 'other'"):
        run(config, tmp_path / "out", SMALL, models={"net": wrapped(0), "other": wrapped(1)})
    with pytest.raises(UnsupportedMethod, match="lrp needs"):
        run(config, tmp_path / "out", [*SMALL, "attribution.methods=['lrp']"], models={"net": wrapped(0)})
    assert not (tmp_path / "out").exists()
