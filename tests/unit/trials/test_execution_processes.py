"""One trial on two processes: the same bytes."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from helpers.small_run import results, write_experiment

ROOT = Path(__file__).parents[3]
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
LAUNCHERS = {
    "torchrun": ("torch.distributed.run", "--standalone", "--nproc_per_node", "2"),
    "accelerate": (
        *("accelerate.commands.launch", "--multi_gpu", "--num_processes", "2", "--num_machines", "1"),
        *("--mixed_precision", "no", "--dynamo_backend", "no", "--main_process_port", "0"),
    ),
}


def launch(launcher: tuple[str, ...], *arguments: str) -> None:
    command = [sys.executable, "-m", *launcher, *arguments]
    process = subprocess.run(
        command, env=ENVIRONMENT, cwd=ROOT, timeout=600, check=False, capture_output=True, text=True
    )
    assert process.returncode == 0, process.stderr[-2000:]


@pytest.mark.slow
def test_two_processes_make_one_curve(tiny_checkpoint: Path, tmp_path: Path) -> None:
    program = "tests/helpers/trial_program.py"
    launch((), "tests.helpers.trial_program", str(tiny_checkpoint), str(tmp_path / "one"))
    launch(LAUNCHERS["torchrun"], program, str(tiny_checkpoint), str(tmp_path / "two"))
    for name in ("mutants.parquet", "cells.parquet", "sequences.parquet", "outcomes.json"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


@pytest.mark.slow
def test_the_verb_on_two_processes_leaves_the_same_folder(tiny_checkpoint: Path, tmp_path: Path) -> None:
    config = str(write_experiment(tmp_path, tiny_checkpoint))
    grid = [
        "counts=[1, 3, 'all']",
        "satellite_per_class=2",
        "operator_count=3",
        "ism_per_class=1",
        "greedy_per_class=1",
    ]
    arguments = [part for key in grid for part in ("--set", f"trial.{key}")] + ["--preset", "fair"]
    launch((), "kmerit.cli", "run", config, *arguments, "--out", str(tmp_path / "one"))
    launch(LAUNCHERS["accelerate"], "-m", "kmerit.cli", "run", config, *arguments, "--out", str(tmp_path / "two"))
    assert results(tmp_path / "one") == results(tmp_path / "two")
