"""A run folder as `kmerit run` leaves it, with invented but plausible numbers."""

from __future__ import annotations

from pathlib import Path

import pytest

from helpers.report_run import write_run


@pytest.fixture
def run_folder(tmp_path: Path) -> Path:
    """A finished run of two tasks."""
    return write_run(tmp_path / "run")
