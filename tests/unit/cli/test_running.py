"""Verbs of whole experiments."""

from __future__ import annotations

import os
import subprocess
import sys
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


@pytest.mark.parametrize(
    ("wish", "allocator"), [({}, "system"), ({"ARROW_DEFAULT_MEMORY_POOL": "mimalloc"}, "mimalloc")]
)
def test_a_command_takes_memory_that_the_system_gets_back_unless_told_otherwise(
    wish: dict[str, str], allocator: str
) -> None:
    code = """
import sys
from kmerit.cli import main
sys.argv = ["kmerit", "--version"]
try:
    main()
finally:
    import pyarrow
    print(pyarrow.default_memory_pool().backend_name)
"""
    rest = {key: value for key, value in os.environ.items() if key != "ARROW_DEFAULT_MEMORY_POOL"}
    process = subprocess.run([sys.executable, "-c", code], env=rest | wish, capture_output=True, text=True, check=False)
    assert process.stdout.splitlines()[-1] == allocator, process.stderr
