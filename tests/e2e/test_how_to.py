"""The pages of the manual whose code is to run as it stands."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

HOW_TO = Path(__file__).resolve().parents[2] / "docs" / "how-to"


def test_tangermeme(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    page = (HOW_TO / "tangermeme.md").read_text(encoding="utf-8")
    blocks = re.findall(r"^```python\n(.*?)^```$", page, re.M | re.S)
    assert len(blocks) == 7
    names: dict[str, Any] = {"__name__": "page"}
    for block in blocks:
        exec(compile(block, "tangermeme.md", "exec"), names)
    said = re.search(r"median delta: (\d+)% without", page)
    assert said
    assert abs(100 * names["without_rules"] - int(said[1])) < 1
    assert names["own"].shape == (2, 40)
    assert np.load("modisco/shap.npz")["arr_0"].shape == (2, 4, 40)
