"""How long an audit of a set of the official enhancer set's size takes, and how much memory.

Makes the set out of the repository's corpus: 150,000 rows of 270 nt, half of them positives of which almost half are
second copies, negatives anywhere, coordinates known, a fifth of the rows in the test split. Then::

    python benchmarks/audit.py

runs ``kmerit audit`` on it in a process of its own, and prints wall time, processor time and peak memory.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from kmerit.io.readers import read_sequences
from kmerit.sequences import decode

CORPUS = Path(__file__).resolve().parents[1] / "data" / "corpus"
LENGTH = 270


def make(path: Path, rows: int, seed: int = 0) -> None:
    """Write the set as Parquet, with a column of splits."""
    rng = np.random.default_rng(seed)
    parts = [read_sequences(CORPUS / name) for name in ("grch37_chr20.fa.gz", "grch37_chr22_subset.fa.gz")]
    pieces = [(part, i) for part in parts for i in range(len(part)) if part.lengths[i] > 2 * LENGTH]
    weights = np.array([part.lengths[i] for part, i in pieces], dtype=float)
    half = rows // 2
    distinct = half - int(half * 0.47)
    chosen = rng.choice(len(pieces), distinct + half, p=weights / weights.sum())
    drawn = []
    for piece in chosen:
        part, i = pieces[piece]
        at = int(rng.integers(part.lengths[i] - LENGTH))
        chrom, place = part.names[i].split(":")
        start = int(place.split("-")[0]) + at
        bases = part.bases[part.offsets[i] + at : part.offsets[i] + at + LENGTH]
        drawn.append((decode(bases), chrom, start, start + LENGTH))
    positives = drawn[:distinct] + [drawn[j] for j in rng.permutation(distinct)[: half - distinct]]
    table = positives + drawn[distinct:]
    labels = [1] * len(positives) + [0] * half
    split = np.where(rng.random(len(table)) < 0.2, "test", "train")
    order = rng.permutation(len(table))
    columns = {
        "name": [f"row{j}" for j in range(len(table))],
        "sequence": [table[j][0] for j in order],
        "label": [labels[j] for j in order],
        "split": [str(split[j]) for j in order],
        "chrom": [table[j][1] for j in order],
        "start": [table[j][2] for j in order],
        "end": [table[j][3] for j in order],
    }
    pq.write_table(pa.table(columns), path, compression="zstd")


def main() -> None:
    """Make the set, audit it, and print what that took."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--rows", type=int, default=150_000)
    arguments.add_argument("--keep", type=Path, help="write set and results there")
    asked = arguments.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = asked.keep or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        make(folder / "set.parquet", asked.rows)
        command = [sys.executable, "-m", "kmerit.cli", "audit", str(folder / "set.parquet")]
        before = time.monotonic()
        subprocess.run([*command, "--out", str(folder / "audit")], check=True)
        wall = time.monotonic() - before
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        print(
            f"{asked.rows:,} rows of {LENGTH} nt: {wall:.0f} s, of the processor {used.ru_utime + used.ru_stime:.0f} s"
        )
        print(f"peak memory {used.ru_maxrss / 2**20:.2f} GiB")


if __name__ == "__main__":
    main()
