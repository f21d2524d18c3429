"""A run that takes seconds: 24 random sequences of 40 nt, a tiny random model, few draws."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from kmerit.store import sha256

CONFIG = """\
[tasks.mine]
model = '{model}'
sequences = "mine.csv"

[data]
per_class = 4

[trial]
preset = "paper"
counts = [0, 3, "all"]
draws = 2
random_sets = 2
choice_count = 3

[statistics]
resamples = 100

[compute]
device = "cpu"
threads = 1
"""


def write_sequences(path: Path, count: int = 24, length: int = 40, labels: Sequence[int] = (0, 1)) -> Path:
    """Write random labelled sequences as CSV."""
    rng = np.random.default_rng(0)
    rows = [f"s{i},{''.join(rng.choice(list('ACGT'), length))},{labels[i % len(labels)]}" for i in range(count)]
    path.write_text("\n".join(["name,sequence,label", *rows, ""]), encoding="utf-8")
    return path


def write_experiment(folder: Path, model: Path | str) -> Path:
    """Write a config and its sequences."""
    write_sequences(folder / "mine.csv")
    config = folder / "small.toml"
    config.write_text(CONFIG.format(model=model), encoding="utf-8")
    return config


def results(folder: Path) -> dict[str, str]:
    """Hash every file of a run but its log, which alone tells of time."""
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {str(path.relative_to(folder)): sha256(path) for path in files if path.name != "run.log"}
