"""The tables of a small run, as they were before the house was laid out in rooms: moves change no number."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest
from pandas.testing import assert_frame_equal

from kmerit.runs.pipeline import run

KEPT = Path(__file__).parent / "run"
TASK = "tasks/epdnew_nontata"


@pytest.mark.slow
def test_a_small_run_gives_the_tables_it_gave(tmp_path: Path) -> None:
    run(KEPT / "run.toml", tmp_path)
    for kept, file in (("cards.csv", TASK), ("summary.csv", TASK), ("table1.csv", ".")):
        expected, table = (pd.read_csv(folder / kept) for folder in (KEPT, tmp_path / file))
        assert_frame_equal(table, expected, rtol=1e-4, atol=1e-5)
    metrics, expected_metrics = (
        json.loads((folder / "metrics.json").read_text()) for folder in (tmp_path / TASK, KEPT)
    )
    assert metrics["test"]["auroc"]["value"] == pytest.approx(expected_metrics["test"]["auroc"]["value"], abs=1e-5)
