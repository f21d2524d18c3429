"""Killed, damaged, out of space: a verb then ends with the same bytes, or refuses (more: `tests/disturbing.py`)."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[1] / "disturbing.py"


@pytest.mark.slow
@pytest.mark.parametrize("verbs", ["split,attribute"])
def test_a_disturbed_verb_ends_with_the_same_bytes_or_refuses(tmp_path: Path, verbs: str) -> None:
    command = [sys.executable, str(SCRIPT), "--kills", "2", "--fillings", "1", "--verbs", verbs]
    command += ["--damages", "1", "--folder", str(tmp_path)]
    process = subprocess.run(command, capture_output=True, text=True, timeout=900, check=False)
    assert process.returncode == 0, process.stderr
    result = [json.loads(line) for line in process.stdout.splitlines()]
    assert [each["verb"] for each in result] == verbs.split(",")
    assert all(each["killed"]["kills"] >= 2 and each["filled"]["said"] == 1 for each in result)
