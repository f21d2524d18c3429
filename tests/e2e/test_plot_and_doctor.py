"""The verbs that draw, and the one that looks at the installation, as a user types them."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import kmerit as km
from helpers.command import Done

Kmerit = Callable[..., Done]


def numbers(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as lines:
        return list(csv.DictReader(lines))


def test_curve_of_a_run_and_of_a_trial(kmerit: Kmerit, finished: Path, tmp_path: Path) -> None:
    process = kmerit("plot", "curve", "--run", finished, "--methods", "lrp", "--out", tmp_path / "curve")
    assert process == Done(0, "".join(f"{tmp_path}/curve.{ending}\n" for ending in ("png", "svg", "pdf", "csv")), "")
    drawn = numbers(tmp_path / "curve.csv")
    with (finished / "tasks" / "mine" / "summary.csv").open(newline="", encoding="utf-8") as lines:
        summary = [row for row in csv.DictReader(lines) if row["method"] in ("lrp", "random")]
    assert sorted(float(row["accuracy"]) for row in drawn) == pytest.approx(
        sorted(float(row["accuracy"]) for row in summary), abs=1e-5
    )
    trial = ["--trial", finished / "tasks" / "mine" / "outcomes", "--measure", "probability"]
    assert kmerit("plot", "curve", *trial, "--out", tmp_path / "p.svg").code == 0
    assert "probability of the explained class" in (tmp_path / "p.svg").read_text(encoding="utf-8")
    assert kmerit("plot", "curve", *trial, "--control", "random", "--out", tmp_path / "x.svg").code == 0
    assert "probability lost beyond random" in (tmp_path / "x.svg").read_text(encoding="utf-8")
    assert kmerit("plot", "curve", "--run", finished, "--control", "random", "--out", tmp_path / "x.svg").code == 0
    by_default = [
        "--trial",
        finished / "tasks" / "mine" / "outcomes",
        "--control",
        "random",
        "--out",
        tmp_path / "y.svg",
    ]
    assert kmerit("plot", "curve", *by_default).code == 0
    assert "logit lost beyond random" in (tmp_path / "y.svg").read_text(encoding="utf-8")


def test_logo_heatmap_and_heads(kmerit: Kmerit, finished: Path, tmp_path: Path, tiny_checkpoint: Path) -> None:
    place = finished / "tasks" / "mine"
    scores = ["--attributions", place / "attributions.parquet"]
    sequences = [
        "--sequences",
        place / "sequences.parquet",
        "--name",
        km.read_sequences(place / "sequences.parquet").names[0],
    ]
    logo = [
        *sequences,
        *scores,
        "--methods",
        "lrp,attention",
        "--start",
        5,
        "--end",
        25,
        "--out",
        tmp_path / "logo.pdf",
    ]
    assert kmerit("plot", "logo", *logo) == Done(0, f"{tmp_path}/logo.pdf\n{tmp_path}/logo.csv\n", "")
    assert list(numbers(tmp_path / "logo.csv")[0]) == ["position", "letter", "lrp", "attention"]
    assert kmerit("plot", "heatmap", *scores, "--method", "lrp", "--out", tmp_path / "heatmap.png").code == 0
    heads = [*sequences, "--model", tiny_checkpoint, "--device", "cpu", "--out", tmp_path / "heads.svg"]
    assert kmerit("plot", "heads", *heads).code == 0
    assert len(numbers(tmp_path / "heads.csv")) == 2 * 4 * 40


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("curve", "--out", "x.png"), "UsageError: Give either --run"),
        (("curve", "--run", "nowhere", "--out", "x.tiff"), "UsageError: --out: 'x.tiff'"),
        (("curve", "--run", "nowhere", "--out", "x.png"), "RunError: 'nowhere' is not a folder"),
        (("heatmap", "--attributions", "nowhere.parquet", "--method", "lrp", "--out", "x.png"), "FormatError: nowhere"),
    ],
)
def test_what_cannot_be_drawn(kmerit: Kmerit, arguments: Any, says: str) -> None:
    process = kmerit("plot", *arguments)
    assert process.code in (1, 2)
    assert process.err.startswith(says)
    assert not Path("x.png").exists()


def test_unknown_method_and_sequence(kmerit: Kmerit, finished: Path, tmp_path: Path) -> None:
    place = finished / "tasks" / "mine"
    scores = ["--attributions", place / "attributions.parquet"]
    process = kmerit("plot", "heatmap", *scores, "--method", "lpr", "--out", tmp_path / "x.png")
    assert process.code == 2
    assert "Did you mean 'lrp'" in process.err
    process = kmerit(
        "plot", "logo", *scores, "--sequences", place / "sequences.parquet", "--name", "z", "--out", tmp_path / "x.png"
    )
    assert process.code == 2
    assert list(tmp_path.iterdir()) == []


def test_doctor(kmerit: Kmerit) -> None:
    process = kmerit("doctor")
    assert process.code == 0
    assert "bundled files" in process.out
    checks = json.loads(kmerit("doctor", "--json").out)
    assert {check["state"] for check in checks} <= {"ok", "note", "warning"}
