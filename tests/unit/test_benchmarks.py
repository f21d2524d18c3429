"""The benchmarks run, on a tiny size; how fast is nobody's business here."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


def run(script: str, *arguments: str) -> Any:
    command = [sys.executable, str(BENCHMARKS / script), "--json", *arguments]
    process = subprocess.run(command, capture_output=True, text=True, timeout=600, check=True)
    assert process.stderr == "", "nothing but the numbers is printed"
    return json.loads(process.stdout)


def test_engine() -> None:
    result = run("engine.py", "--size", "tiny", "--repeats", "1", "--threads", "1", "--device", "cpu")
    assert "torch" in result["machine"]
    (tiny,) = result["results"]
    assert set(tiny["milliseconds"]) == {"Hugging Face forward", "kmerit prediction", "kmerit six scores"}
    assert min(tiny["milliseconds"].values()) > 0
    assert tiny["largest_difference"] < 1e-5
    # Two layers, the last one cut short. Forward: 12/12 and 3/12 of a layer. The gradient comes down to the first
    # attention, the relevance (three products for one) to the input: 9/12 + 2/12, and 3 x (12/12 + 2/12).
    expected = (15 + 11 + 42) / 24
    assert tiny["anatomy"]["arithmetic"] == pytest.approx(expected, rel=0.03)


@pytest.mark.slow
def test_streaming() -> None:
    few, more = run("streaming.py", "--counts", "64", "640")
    assert (few["sequences"], more["sequences"]) == (64, 640)
    assert few["loaded"] <= few["read"] <= few["attributed"] <= few["mutated"]


@pytest.mark.slow
def test_vcf() -> None:
    (small,) = run("vcf.py", "--counts", "300")
    assert small["rows"] == 300
    assert small["windows"] == 2 * (300 - small["left_out"])
    assert 0 < small["throughput"] < 2


@pytest.mark.slow
def test_measured() -> None:
    found = run("measured.py", "--tables", "3", "--resamples", "100")
    assert found["tables"] == 3
    assert 0 <= found["opened"] <= 3
    assert set(found["holds"]) == {"copy", "copy, by position"}


@pytest.mark.slow
def test_motifs(tmp_path: Path) -> None:
    """Few runs show that it runs and resumes; the rate takes 400."""
    from kmerit.io.motifs import bundled_motifs

    small = ("--pool", "160", "--rows", "80", "--copies", "20", "--meme", str(bundled_motifs()), "--out", str(tmp_path))
    first = run("motifs.py", "error", *small, "--runs", "2")
    assert (first["runs"], first["errors"]) == (2, 0)
    assert first["upper"] == pytest.approx(0.7764, abs=1e-3)
    before = (tmp_path / "results.jsonl").read_text()
    more = run("motifs.py", "error", *small, "--runs", "3")
    assert more["runs"] == 3
    assert (tmp_path / "results.jsonl").read_text().startswith(before)
