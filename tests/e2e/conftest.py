"""Runs on tiny checkpoints; the command line inside this process; and the package as it is published, installed."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
from collections.abc import Callable
from pathlib import Path

import pytest

from helpers.command import Done, type_command
from helpers.small_run import results, write_experiment

ROOT = Path(__file__).parents[2]
UV = Path(sys.executable).with_name("uv")


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
    result = type_command("run", experiment, "--out", out)
    assert (result.code, result.out) == (0, f"Report: {out}/report.html\n")
    assert all(line.startswith("mine: ") for line in result.err.splitlines())  # what so many sequences can show
    return out


@pytest.fixture(scope="session")
def undisturbed(finished: Path) -> dict[str, str]:
    """Hashes of the results of that run."""
    return results(finished)


@pytest.fixture(scope="session")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build both archives, the wheel from the source archive, as `make dist` does."""
    out = tmp_path_factory.mktemp("dist")
    build = [
        "build",
        "--quiet",
        "--offline",
        "--no-build-isolation",
        "--python",
        sys.executable,
        "--out-dir",
        out,
        ROOT,
    ]
    subprocess.run([UV, *build], check=True, capture_output=True)
    return out


@pytest.fixture(scope="session")
def clean(published: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., str]:
    """Install the wheel into a new environment, which sees this one's packages but not this one's kmerit."""
    place = tmp_path_factory.mktemp("clean")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", place / "venv"], check=True)
    python = place / "venv" / "bin" / "python"
    (wheel,) = published.glob("*.whl")
    install = ["pip", "install", "--quiet", "--offline", "--no-deps", "--python", python, wheel]
    subprocess.run([UV, *install], check=True, capture_output=True)
    (packages,) = (place / "venv").glob("lib/python*/site-packages")
    # A path in a .pth file is searched last, and the .pth files in it, an editable kmerit's too, are not followed.
    (packages / "borrowed.pth").write_text(sysconfig.get_path("purelib") + "\n", encoding="utf-8")
    bare = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}

    def call(*arguments: object, timeout: float = 600) -> str:
        command = [str(place / "venv" / "bin" / str(arguments[0])), *map(str, arguments[1:])]
        process = subprocess.run(command, cwd=place, env=bare, capture_output=True, text=True, timeout=timeout)
        assert process.returncode == 0, process.stderr
        return process.stdout

    where = call("python", "-c", "import kmerit; print(kmerit.__file__)")
    assert Path(where.strip()).is_relative_to(place)
    return call
