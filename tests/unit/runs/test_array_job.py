"""The array job of the how-to under a cluster that kills every fifth task: resubmitted, it ends with the same bytes."""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

from helpers.slurm import HAS_SLURM, one_node
from helpers.small_run import results, write_experiment
from kmerit.errors import RunError
from kmerit.runs.pipeline import run, work

ROOT = Path(__file__).parents[3]
SBATCH = ROOT / "tests" / "helpers" / "sbatch.py"
KEYS = ["attribution.methods=['rollout']", "trial.counts=[0, 3]"]
TASKS = 6


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="the stand-in for sbatch forks")
def test_an_array_job_whose_tasks_are_killed_ends_with_the_same_bytes(tiny_checkpoint: Path, tmp_path: Path) -> None:
    config, out = write_experiment(tmp_path, tiny_checkpoint), tmp_path / "shared"
    job = _write_job(tmp_path, config, out)
    work(config, out, "plan", KEYS)
    killed = 0
    for round_ in range(1, 6):  # a killed task is submitted again, with all the others
        log = tmp_path / f"round-{round_}" / "codes"
        log.parent.mkdir()
        command = [sys.executable, str(SBATCH), str(job), str(log), str(round_)]
        answer = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True, timeout=60)
        assert answer.stdout.startswith("Submitted batch job")
        codes = _codes(log)
        killed += sum(code == -9 for code in codes)
        assert set(codes) <= {0, -9}, "\n".join(path.read_text() for path in log.parent.glob("*.out"))
        if set(codes) == {0}:
            break
        with contextlib.suppress(RunError):  # a task may have been killed when its work was done
            work(config, out, "gather", KEYS)
            break
    work(config, out, "gather", KEYS)
    run(config, tmp_path / "whole", KEYS)
    assert results(out) == results(tmp_path / "whole")
    assert killed


@pytest.mark.slow
@pytest.mark.skipif(not HAS_SLURM, reason="needs SLURM of its own: root, slurm-wlm and munge")
def test_the_array_job_under_a_real_slurm_whose_tasks_are_killed(tiny_checkpoint: Path, tmp_path: Path) -> None:
    config, out = write_experiment(tmp_path, tiny_checkpoint), tmp_path / "shared"
    job = _write_job(tmp_path, config, out)
    work(config, out, "plan", KEYS)
    with one_node(tmp_path / "slurm") as environment:

        def typed(*command: str) -> str:
            pipe = subprocess.PIPE
            done = subprocess.run(
                command, cwd=tmp_path, env=environment, stdout=pipe, text=True, check=True, timeout=300
            )
            return done.stdout

        number = typed("sbatch", "--parsable", str(job)).strip()
        killed = f"{number}_1"  # which makes the first part
        while "RUNNING" not in typed("squeue", "--noheader", "--format=%T", f"--jobs={killed}"):
            time.sleep(0.2)
        typed("scancel", "--signal=KILL", "--full", killed)
        typed("sbatch", "--wait", f"--dependency=afterany:{number}", "--wrap", "true")
        with pytest.raises(RunError, match="Give the shares again"):
            work(config, out, "gather", KEYS)
        typed("sbatch", "--wait", "--array=1", str(job))
    work(config, out, "gather", KEYS)
    run(config, tmp_path / "whole", KEYS)
    assert results(out) == results(tmp_path / "whole")


def _write_job(folder: Path, config: Path, out: Path) -> Path:
    """Write the array job of the how-to, for this experiment."""
    text = (ROOT / "docs" / "how-to" / "cluster.md").read_text(encoding="utf-8")
    (script,) = re.findall(r"```\n(#!/bin/bash\n#SBATCH.*?)```", text, re.DOTALL)
    options = " ".join(f'--set "{key}"' for key in KEYS)
    script = script.replace("=1-8", f"=1-{TASKS}").replace("/8", f"/{TASKS}")
    script = script.replace("kmerit", f"'{sys.executable}' -m kmerit.cli")
    script = script.replace("my.toml", str(config)).replace("results/my", f"{out} {options}")
    (folder / "job.sh").write_text(script)
    return folder / "job.sh"


def _codes(log: Path) -> list[int]:
    """Wait for every task's return code."""
    end = time.monotonic() + 300
    while time.monotonic() < end:
        lines = log.read_text().splitlines() if log.exists() else []
        if len(lines) == TASKS:
            return [int(line.split()[1]) for line in lines]
        time.sleep(0.2)
    raise TimeoutError(log)
