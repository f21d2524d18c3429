"""Measure the memory that streaming to disk takes, for few sequences and for many.

    python benchmarks/streaming.py [--counts 10000 100000] [--json]

Random sequences of 30 nt and a random model of 1 layer x 16; each count runs in a process of its own, which scores the
sequences, writes the scores to Parquet, and puts them on trial to a folder. What grows with the number of sequences is
what is held for each of them: names, letters, labels, targets, and where its row lies; the rest is the micro-batch's.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TRANSFORMERS_VERBOSITY"] = "error"

import numpy as np

LENGTH = 30
METHODS = ["attention", "lrp"]


@dataclass(frozen=True)
class Peaks:
    """Peak resident memory of one process, in MiB, after each step; and how long the steps took, in seconds."""

    sequences: int
    loaded: float
    read: float
    attributed: float
    mutated: float
    seconds: float


def peak() -> float:
    """Peak resident memory so far, in MiB."""
    result = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return result / (1024 if sys.platform != "darwin" else 1024**2)


def write_model(folder: Path) -> None:
    """Save a random model: what it says does not matter here."""
    import torch
    from transformers import BertConfig, BertForSequenceClassification
    from transformers.utils.logging import disable_progress_bar

    disable_progress_bar()
    torch.manual_seed(0)
    shape = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    BertForSequenceClassification(BertConfig(vocab_size=4**3 + 5, **shape)).save_pretrained(folder)


def measure(model_folder: Path, count: int) -> Peaks:
    """Stream so many sequences through this process."""
    import kmerit as km

    model = km.load_model(model_folder, device="cpu", micro_batch=64)
    km.attribute(model, km.Sequences.from_strings(["ACGT" * 8]), METHODS)  # what torch and Arrow take is loaded
    loaded = peak()
    bases = np.random.default_rng(0).integers(0, 4, (count, LENGTH), dtype=np.uint8)
    letters = np.frombuffer(b"ACGT", dtype=np.uint8)[bases]
    sequences = km.Sequences.from_strings([row.tobytes().decode() for row in letters], labels=[0, 1] * (count // 2))
    del bases, letters
    read = peak()
    start = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        scores = km.attribute(model, sequences, METHODS, out=Path(folder) / "scores.parquet")
        attributed = peak()
        km.mutate(model, sequences, scores, counts=[0, 3], replicates=1, out=Path(folder) / "trial")
        mutated = peak()
    return Peaks(count, loaded, read, attributed, mutated, time.perf_counter() - start)


def main() -> None:
    """Parse the command line, measure each count in a process of its own, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--counts", nargs="+", type=int, default=[10_000, 100_000])
    parser.add_argument("--json", action="store_true", help="print the numbers as JSON")
    parser.add_argument("--one", nargs=2, metavar=("MODEL", "COUNT"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        print(json.dumps(asdict(measure(Path(options.one[0]), int(options.one[1])))))
        return
    with tempfile.TemporaryDirectory() as folder:
        write_model(Path(folder))
        rows = []
        for count in options.counts:
            command = [sys.executable, __file__, "--one", folder, str(count)]
            rows.append(json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout))
    if options.json:
        print(json.dumps(rows, indent=2))
        return
    from rich.console import Console
    from rich.table import Table

    table = Table(*rows[0], title="Peak memory, MiB, after each step")
    for row in rows:
        table.add_row(*(f"{value:,.0f}" for value in row.values()))
    Console(width=100).print(table)


if __name__ == "__main__":
    main()
