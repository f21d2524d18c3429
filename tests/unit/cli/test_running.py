"""Verbs of whole experiments."""

from __future__ import annotations

from pathlib import Path

import pytest

from helpers.report_run import write_run
from kmerit.cli.running import report


def test_the_report_of_an_incomplete_run_names_what_is_missing_on_stderr(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = write_run(tmp_path / "run")
    absent = folder / "tasks" / "epdnew_nontata" / "summary.csv"
    absent.unlink()
    report(folder)
    sentence = capsys.readouterr()
    assert sentence.out == f"Report: {folder / 'report.html'}\n"
    assert f"Missing from {str(folder)!r}, and so from the page" in sentence.err
    assert "\n  tasks/epdnew_nontata/summary.csv\n" in sentence.err
    assert f"kmerit run CONFIG --out {folder}" in sentence.err
    page = (folder / "report.html").read_text(encoding="utf-8")
    assert page.index("Missing from the run folder") < page.index(">Warnings<")
