"""Measure scoring a VCF against predicting the same windows: throughput, and memory for few rows and for many.

    python benchmarks/vcf.py [--counts 10000 100000] [--model bundled|small] [--json]

A random genome of 2 Mb, and a gzipped VCF of substitutions in random order, of which one in a hundred has another
reference; windows of 251 nt, one strand; the bundled promoter model, or, where only the memory is asked for, a small
module. Each count runs in a process of its own. The plain prediction reads windows that are cut already; it is timed in
pieces between the pieces of the VCF, so that other work of the machine slows both. Times are of this process (one
thread), not of the clock on the wall.
"""

from __future__ import annotations

import argparse
import gzip
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

import numpy as np

LENGTH = 251
SIZE = 2_000_000


@dataclass(frozen=True)
class Run:
    """One VCF: seconds per window, their ratio, and peak resident memory in MiB.

    Attributes:
        rows: Of the VCF.
        windows: Scored.
        plain: Seconds per window of ``model.logits``, on a sample.
        variants: Seconds per window of ``km.variants``, everything included.
        throughput: The share of the plain throughput.
        start: Peak memory before the VCF is read.
        end: Peak memory after.
        left_out: Alleles left out.
    """

    rows: int
    windows: int
    plain: float
    variants: float
    throughput: float
    start: float
    end: float
    left_out: int


def peak() -> float:
    """Peak resident memory so far, in MiB."""
    result = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return result / (1024 if sys.platform != "darwin" else 1024**2)


def write_files(folder: Path, rows: int) -> str:
    """Write the genome and the VCF; return the letters."""
    rng = np.random.default_rng(0)
    letters = rng.choice(np.frombuffer(b"ACGT", dtype=np.uint8), SIZE).tobytes().decode()
    (folder / "g.fa").write_text(">chr1\n" + "\n".join(letters[i : i + 80] for i in range(0, SIZE, 80)) + "\n")
    wrong = rng.random(rows) < 0.01
    with gzip.open(folder / "v.vcf.gz", "wt") as file:
        file.write("##fileformat=VCFv4.2\n#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\n")
        for at, other in zip(rng.integers(LENGTH, SIZE - LENGTH, rows).tolist(), wrong.tolist(), strict=True):
            ref, alt = letters[at], "ACGT"["CGTA".index(letters[at])]
            file.write(f"1\t{at + 1}\t.\t{alt if other else ref}\t{ref if other else alt}\t.\t.\t.\n")
    return letters


def measure(rows: int, small: bool) -> Run:
    """Score a VCF of so many rows in this process, and predict a sample of windows in between."""
    import torch

    import kmerit as km

    torch.set_num_threads(1)
    if small:
        layers = torch.nn.Conv1d(4, 8, 9), torch.nn.ReLU(), torch.nn.Flatten(), torch.nn.Linear(8 * (LENGTH - 8), 2)
        model = km.wrap(torch.nn.Sequential(*layers), LENGTH, ["other", "promoter"], device="cpu", micro_batch=64)
    else:
        model = km.load_model("bundled:promoter", device="cpu", micro_batch=64)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        letters = write_files(folder, rows)
        starts = np.random.default_rng(1).integers(0, SIZE - LENGTH, 4096).tolist()
        sample = km.Sequences.from_strings([letters[i : i + LENGTH] for i in starts])
        model.logits(sample.take(range(512)))
        spent = [0.0, 0]  # seconds, windows
        last = 0
        start = peak()

        def plain(done: int, total: int) -> None:
            nonlocal last
            if done - last >= rows // 10 or done == total:
                last, begun = done, time.process_time()
                model.logits(sample)
                spent[0] += time.process_time() - begun
                spent[1] += len(sample)

        begun = time.process_time()
        km.variants(
            model,
            folder / "v.vcf.gz",
            folder / "g.fa",
            target="promoter",
            strands="forward",
            skip_mismatches=True,
            out=folder / "out",
            progress=plain,
        )
        total = time.process_time() - begun - spent[0]
        summary = json.loads((folder / "out" / "summary.json").read_text())
    windows = 2 * summary["scored"]
    each = total / windows, spent[0] / spent[1]
    return Run(rows, windows, each[1], each[0], each[1] / each[0], start, peak(), sum(summary["left_out"].values()))


def main() -> None:
    """Print a row per count."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--counts", type=int, nargs="+", default=[10_000, 100_000])
    parser.add_argument("--model", choices=["bundled", "small"], default="bundled")
    parser.add_argument("--one", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    if options.one is not None:
        print(json.dumps(asdict(measure(options.one, options.model == "small"))))
        return
    results = []
    for count in options.counts:
        command = [sys.executable, __file__, "--model", options.model, "--one", str(count)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        results.append(json.loads(done.stdout.splitlines()[-1]))
    if options.json:
        print(json.dumps(results))
        return
    for row in results:
        print(
            f"{row['rows']:>7,} rows: {row['throughput']:.3f} of the plain throughput "
            f"({1 / row['variants']:.0f} windows/s); peak {row['start']:.0f} MiB before, {row['end']:.0f} MiB after; "
            f"{row['left_out']:,} left out"
        )


if __name__ == "__main__":
    main()
