"""What all tests share: one thread a process, no network, a cache folder of their own, and tiny checkpoints on disk."""

from __future__ import annotations

import getpass
import os
import tempfile
from collections.abc import Callable
from dataclasses import replace
from importlib import import_module
from pathlib import Path

import pytest
from hypothesis import settings

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TRANSFORMERS_VERBOSITY"] = "error"
os.environ["HF_HUB_DISABLE_PROGRESS_BARS"] = "1"
os.environ.setdefault("KMERIT_CACHE", str(Path(tempfile.gettempdir()) / f"kmerit-tests-{getpass.getuser()}"))

# The same examples every time, and no verdict on the speed of a busy machine.
settings.register_profile("kmerit", deadline=None, derandomize=True)
settings.load_profile("kmerit")


@pytest.fixture(scope="session")
def tiny_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A 6-mer checkpoint with two classes, random weights."""
    from helpers.checkpoints import write_tiny  # numpy must not be loaded before the number of threads is set

    return write_tiny(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="session")
def make_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Make tiny checkpoints: ``make_checkpoint(k=3, labels=("a", "b", "c"), seed=1)``."""
    from helpers.checkpoints import write_tiny

    def make(**options: object) -> Path:
        return write_tiny(tmp_path_factory.mktemp("checkpoint"), **options)

    return make


@pytest.fixture
def nothing_withheld(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lift the tolerance of every method, to see what scores a rough one gives."""
    from kmerit.attribution.method import methods

    lenient = {name: replace(method, tolerance=None) for name, method in methods().items()}
    monkeypatch.setattr(import_module("kmerit.attribution.attribute"), "registered", lambda: lenient)
