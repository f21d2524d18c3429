"""Killed and started again, a training ends with the same bits; launched many times over, it is one training."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from safetensors.torch import load_file

ROOT = Path(__file__).parents[3]
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
LEARNER = "tests.helpers.training_program"


def learn(*arguments: str, launcher: tuple[str, ...] = ()) -> int:
    command = [sys.executable, "-m", *launcher, LEARNER, *arguments]
    return subprocess.run(command, env=ENVIRONMENT, cwd=ROOT, timeout=600, check=False, capture_output=True).returncode


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["pretrain", "finetune"])
def test_killed_and_started_again_it_ends_with_the_same_bytes(kind, tmp_path) -> None:
    assert learn(kind, str(tmp_path / "undisturbed")) == 0
    # In the middle, and once more with the last checkpoint torn.
    assert learn(kind, str(tmp_path / "killed"), "40") == -signal.SIGKILL
    torn = tmp_path / "killed" / "checkpoints" / "checkpoint-50"
    torn.mkdir()
    (torn / "model.safetensors").write_bytes(b"half a file")
    assert learn(kind, str(tmp_path / "killed"), "60") == -signal.SIGKILL
    assert learn(kind, str(tmp_path / "killed")) == 0
    logs = [json.loads((tmp_path / out / "training_log.json").read_text())["log"] for out in ("killed", "undisturbed")]
    assert logs[0] == logs[1]
    for name in ("model.safetensors", "config.json"):
        assert (tmp_path / "killed" / name).read_bytes() == (tmp_path / "undisturbed" / name).read_bytes(), name
    if kind == "finetune":
        results = [
            json.loads((tmp_path / out / "metrics.json").read_text())["test"] for out in ("killed", "undisturbed")
        ]
        assert results[0] == results[1]


@pytest.mark.slow
@pytest.mark.parametrize(
    "launcher",
    [
        ("torch.distributed.run", "--standalone", "--nproc_per_node", "2", "-m"),
        # accelerate's own launcher of CPU processes needs MPI; the one for GPUs starts them on a CPU as well.
        ("accelerate.commands.launch", "--multi_gpu", "--num_processes", "2", "--num_machines", "1",
         "--mixed_precision", "no", "--dynamo_backend", "no", "--main_process_port", "0", "-m"),
    ],
    ids=["torchrun", "accelerate"],
)  # fmt: skip
def test_two_processes_train_one_model(launcher, tmp_path) -> None:
    assert learn("finetune", str(tmp_path), launcher=launcher) == 0
    log = json.loads((tmp_path / "training_log.json").read_text())["log"]
    assert log[-1]["step"] == 40  # 4 epochs of 160 rows, 2 processes x 8 a step
    assert load_file(tmp_path / "model.safetensors")["classifier.weight"].shape == (2, 32)
    assert json.loads((tmp_path / "metrics.json").read_text())["test"]["auroc"]["value"] > 0.7
