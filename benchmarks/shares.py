"""How much of two processors two processes use, against one process, at prediction and at scoring.

    python benchmarks/shares.py [--model bundled:promoter] [--rows 400] [--repeats 3]

Random sequences of 200 nt, one thread a process. One process does all of them; then two processes do half each, at the
same time. Efficiency is the time of the one process over twice the time until both have finished: 1 where two are twice
as fast. On a machine that has other work, too, the second figure says more: processor time of the one process over that
of both. It leaves out what waiting costs, and holds what sharing caches and memory costs. The median of the repeats.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["OMP_NUM_THREADS"] = "1"

import numpy as np

LENGTH = 200
WORK = ("prediction", "scoring")
METHODS = ["attention", "lrp"]


def serve(model_name: str, rows: int) -> None:
    """Do what stdin names, line by line, and print the time that passed and the processor time, in seconds."""
    import torch

    import kmerit as km

    torch.set_num_threads(1)
    model = km.load_model(model_name, device="cpu")
    rng = np.random.default_rng(0)
    sequences = km.Sequences.from_strings(["".join(rng.choice(list("ACGT"), LENGTH)) for _ in range(rows)])
    work = {
        "prediction": lambda part: model.logits(part),
        "scoring": lambda part: km.attribute(model, part, METHODS),
    }
    for run in work.values():
        run(sequences.take(slice(0, model.micro_batch)))  # warm
    print("ready", flush=True)
    for line in sys.stdin:
        kind, first, last = line.split()
        part = sequences.take(slice(int(first), int(last)))
        wall, processor = time.perf_counter(), time.process_time()
        work[kind](part)
        print(json.dumps([time.perf_counter() - wall, time.process_time() - processor]), flush=True)


def ask(workers: list[subprocess.Popen[str]], kind: str, bounds: list[tuple[int, int]]) -> list[tuple[float, float]]:
    """Have each worker do its part, all at the same time."""
    for worker, (first, last) in zip(workers, bounds, strict=True):
        print(kind, first, last, file=worker.stdin, flush=True)
    return [tuple(json.loads(worker.stdout.readline())) for worker in workers]  # type: ignore[union-attr]


def main() -> None:
    """Parse the command line, measure in turns, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="bundled:promoter")
    parser.add_argument("--rows", type=int, default=400)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        serve(options.model, options.rows)
        return
    command = [sys.executable, __file__, "--serve", "--model", options.model, "--rows", str(options.rows)]
    workers = [subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    for worker in workers:
        if worker.stdout is None or worker.stdout.readline() != "ready\n":
            raise SystemExit("A process ended before it was ready.")
    half = options.rows // 2
    for kind in WORK:
        by_wall, by_processor = [], []
        for _ in range(options.repeats):
            ((wall, processor),) = ask(workers[:1], kind, [(0, options.rows)])
            both = ask(workers, kind, [(0, half), (half, options.rows)])
            by_wall.append(wall / (2 * max(each for each, _ in both)))
            by_processor.append(processor / sum(each for _, each in both))
        print(f"{kind}: efficiency {np.median(by_wall):.2f}, by processor time {np.median(by_processor):.2f}")
    for worker in workers:
        if worker.stdin is not None:
            worker.stdin.close()
        worker.wait()


if __name__ == "__main__":
    main()
