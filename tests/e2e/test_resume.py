"""A run stopped at any moment goes on, and ends with the bytes of a run that nothing disturbed."""

from __future__ import annotations

import re
import resource
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from helpers.command import KMERIT, Done, type_command
from helpers.dying import KILLED_AT_A_RENAMING
from helpers.small_run import results

KILLED = f"""{KILLED_AT_A_RENAMING}
from kmerit.runs.pipeline import run
run(*arguments)
"""


@pytest.mark.slow
def test_kill_minus_9_again_and_again(tmp_path: Path, experiment: Path, undisturbed: dict[str, str]) -> None:
    # Every result gets its name by a renaming; a process is killed right before its 3rd, 6th, 9th ... one.
    out, killed = tmp_path / "run", 0
    for moment in range(3, 60, 3):
        command = [sys.executable, "-c", KILLED, str(moment), str(experiment), str(out)]
        process = subprocess.run(command, capture_output=True, text=True, check=False)
        if process.returncode == 0:
            break
        assert process.returncode == -signal.SIGKILL, process.stderr
        killed += 1
    assert killed >= 4
    assert results(out) == undisturbed


def _started(experiment: Path, out: Path, *more: str, until: str) -> subprocess.Popen[str]:
    """Start a run, and come back once it has left a file."""
    command = [KMERIT, "run", str(experiment), "--out", str(out), *more]
    process = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # A shell in the background hands down that Ctrl-C is ignored; a person at a terminal does not.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    for _ in range(6000):  # five minutes, for a machine that has other work
        if (out / until).exists():
            return process
        assert process.poll() is None, process.communicate()
        time.sleep(0.05)
    process.kill()
    raise TimeoutError(f"{until} did not appear")


@pytest.mark.slow
def test_ctrl_c_says_how_to_go_on_and_a_run_in_progress_keeps_others_out(tmp_path: Path, experiment: Path) -> None:
    out = tmp_path / "run"
    process = _started(experiment, out, "--set", "trial.draws=5000", until="stages/mine.attribute.json")
    other = type_command("run", experiment, "--out", out)
    assert (other.code, other.out) == (1, "")
    assert other.err.startswith(f"RunLocked: {out} is in use by process {process.pid} on ")
    assert other.err.count("\n") == 1
    process.send_signal(signal.SIGINT)
    printed, message = process.communicate(timeout=60)
    assert (process.returncode, printed) == (130, "")
    again = f"kmerit run {experiment} --out {out} --set trial.draws=5000"
    # Where other work slows it down, it has told of its progress before.
    assert message.splitlines()[-1] == f"Stopped; no file is incomplete. To resume: {again}"
    assert all(re.match(r"mine: ", line) for line in message.splitlines()[:-1]), message
    changed = type_command("run", experiment, "--out", out)
    assert (changed.code, changed.out) == (1, "")
    assert "trial.draws was 5000, now it is 2" in changed.err


@pytest.mark.slow
@pytest.mark.parametrize("limit", [300, 3000, 50_000])
def test_a_full_disk_is_told_and_the_run_goes_on_once_there_is_space(
    tmp_path: Path, experiment: Path, undisturbed: dict[str, str], limit: int
) -> None:
    # The kernel refuses to let any file grow past the limit: at the config, at the scores, at the report.
    out = tmp_path / "run"

    def small_disk() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

    full = type_command("run", experiment, "--out", out, preexec_fn=small_disk)
    assert (full.code, full.out) == (1, ""), full.err
    assert full.err.splitlines()[-1].startswith("DiskFull: ")
    assert full.err.count("DiskFull") == 1
    assert not list(out.rglob(".partial-*"))
    assert type_command("run", experiment, "--out", out).code == 0
    assert results(out) == undisturbed


def test_a_finished_run_is_not_computed_again(finished: Path, experiment: Path, undisturbed: dict[str, str]) -> None:
    before = {path: path.stat().st_mtime_ns for path in finished.rglob("*.parquet")}
    assert type_command("run", experiment, "--out", finished) == Done(0, f"Report: {finished}/report.html\n", "")
    assert {path: path.stat().st_mtime_ns for path in finished.rglob("*.parquet")} == before
    assert results(finished) == undisturbed


def test_a_changed_artefact_is_made_anew_with_what_follows(
    tmp_path: Path, finished: Path, experiment: Path, undisturbed: dict[str, str]
) -> None:
    out = tmp_path / "run"
    shutil.copytree(finished, out)
    (out / "tasks" / "mine" / "attributions.parquet").write_bytes(b"edited by hand")
    (out / "report.html").unlink()
    result = type_command("run", experiment, "--out", out, "--verbose")
    assert result.code == 0
    assert "artefacts were changed; it is done again" in result.err
    assert results(out) == undisturbed


def test_the_resolved_config_repeats_the_run(tmp_path: Path, finished: Path, undisturbed: dict[str, str]) -> None:
    assert type_command("run", finished / "config.toml", "--out", tmp_path / "again").code == 0
    assert results(tmp_path / "again") == undisturbed
