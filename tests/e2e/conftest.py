"""Runs on tiny checkpoints; and the command line inside this process, where many errors are tried."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from command import Done, type_command
from small_run import results, write_experiment


@pytest.fixture
def kmerit(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Done]:
    """Run ``kmerit`` with arguments in this process."""
    from kmerit.cli import main

    def call(*arguments: object) -> Done:
        monkeypatch.setattr(sys, "argv", ["kmerit", *map(str, arguments)])
        code = 0
        try:
            main()
        except SystemExit as left:
            code = int(left.code or 0)
        captured = capsys.readouterr()
        return Done(code, captured.out, captured.err)

    return call


@pytest.fixture(scope="session")
def experiment(tmp_path_factory: pytest.TempPathFactory, tiny_checkpoint: Path) -> Path:
    """A small config on a tiny checkpoint."""
    return write_experiment(tmp_path_factory.mktemp("experiment"), tiny_checkpoint)


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory, experiment: Path) -> Path:
    """The folder of a run that nothing disturbed."""
    out = tmp_path_factory.mktemp("finished") / "run"
    assert type_command("run", experiment, "--out", out) == Done(0, f"Report: {out}/report.html\n", "")
    return out


@pytest.fixture(scope="session")
def undisturbed(finished: Path) -> dict[str, str]:
    """Hashes of the results of that run."""
    return results(finished)
