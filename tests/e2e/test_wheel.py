"""What is published works where nothing of this repository is: a wheel in an environment of its own."""

from __future__ import annotations

import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from helpers.small_run import CONFIG, write_sequences

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.slow


def test_archives_hold_what_they_must_and_nothing_else(published: Path) -> None:
    (wheel,) = published.glob("*.whl")
    names = set(zipfile.ZipFile(wheel).namelist())
    assert {
        "kmerit/py.typed",
        "kmerit/assets/SHA256SUMS",
        "kmerit/assets/configs/demo.toml",
        "kmerit/report/assets/d3.LICENSE",
    } <= names
    assert {Path(name).name for name in names} >= {"LICENSE", "NOTICE"}
    assert {name.split("/")[0].partition("-")[0] for name in names} == {"kmerit"}
    assert wheel.stat().st_size < 30_000_000
    (source,) = published.glob("*.tar.gz")
    with tarfile.open(source) as archive:
        contents = {name.partition("/")[2] for name in archive.getnames()}
    assert {"NOTICE", "CITATION.cff", "Makefile", "Dockerfile", "configs/demo.toml", "tests/conftest.py"} <= contents


def test_installation_is_sound(clean: Callable[..., str]) -> None:
    assert clean("kmerit", "--version").startswith("kmerit ")
    assert "FAILED" not in clean("kmerit", "doctor")


def test_predicts_with_a_bundled_model(clean: Callable[..., str], tmp_path: Path) -> None:
    fasta = tmp_path / "my.fa"
    fasta.write_text(">one\n" + "TATAAAGGCGCGCC" * 4 + "\n>two\n" + "ACGTTGCA" * 7 + "\n", encoding="utf-8")
    table = clean("kmerit", "predict", "--model", "bundled:promoter", "--sequences", fasta).splitlines()
    assert table[0] == "name,predicted,p(background),p(promoter)"
    assert [line.split(",")[0] for line in table[1:]] == ["one", "two"]


def test_runs_the_demo_that_is_inside(clean: Callable[..., str], tmp_path: Path) -> None:
    smaller = (
        *("data.per_class=4", 'data.crop={length=40, anchor="left"}', "statistics.resamples=100"),
        *(
            "trial.draws=1",
            "trial.ism_per_class=0",
            "trial.random_sets=2",
            "compute.threads=1",
            "compute.micro_batch=64",
        ),
    )
    options = [word for each in smaller for word in ("--set", each)]
    sentence = clean("kmerit", "run", "bundled:demo", "--out", tmp_path / "demo", *options)
    assert sentence == f"Report: {tmp_path}/demo/report.html\n"
    page = (tmp_path / "demo" / "report.html").read_text(encoding="utf-8")
    assert all(task in page for task in ("epdnew_nontata", "human_enhancers_dedup"))


def test_runs_an_experiment_to_its_report(clean: Callable[..., str], tmp_path: Path) -> None:
    write_sequences(tmp_path / "mine.csv")
    (tmp_path / "small.toml").write_text(CONFIG.format(model="bundled:promoter"), encoding="utf-8")
    sentence = clean(
        "kmerit", "run", tmp_path / "small.toml", "--out", tmp_path / "out", "--set", 'attribution.methods=["lrp"]'
    )
    assert sentence == f"Report: {tmp_path}/out/report.html\n"
    page = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert "bundled:promoter" in page
    assert "Observable, Inc." in page
