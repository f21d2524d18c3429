"""Measure the memory and the time that streaming to disk takes, for few sequences and for many.

    python benchmarks/streaming.py [--counts 10000 100000] [--times 1] [--classify 1] [--shares 1] [--json]

Random sequences of 44 nt and a random model of 1 layer x 16. Every step is a process of its own, as a command is,
and its peak is that process's: scoring; a curve (`mutate`) and its summary; and a trial with all controls, in shares:
the plan, one share, the gathering, the report cards. What grows with the number of sequences is what is held for each
of them: names, letters, labels, targets, clusters; the rest is the micro-batch's, or some sequences' at a time.

With ``--times 10`` the outcomes of the curve and of the trial are repeated ten times under other names before they are
summarised and judged, with as many sequences in memory. So these two steps can be measured for more sequences than
there is time to classify mutants of. With ``--classify 20`` one chunk of sequences in twenty has its mutants made and
classified; the others get the outcomes of such a chunk, under their own numbers. Rankings, controls, parts and joining
are made of all. With ``--shares 10`` the first of ten shares is made; then the trial cannot be gathered.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from itertools import count as counting
from pathlib import Path
from typing import Any

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TRANSFORMERS_VERBOSITY"] = "error"
os.environ["ARROW_DEFAULT_MEMORY_POOL"] = "system"  # as the command line has it

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

import kmerit as km
from kmerit.store import Share, sums, write_record
from kmerit.trials import execution
from kmerit.trials.execution import ROW_GROUP
from kmerit.trials.measures import write_cards
from kmerit.trials.outcomes import ABOUT, SEQUENCES, TABLES, read_about

LENGTH = 44
METHODS = ["attention", "lrp"]
FIRST = 10_000
"""Sequences that are made, and written to the file, at a time."""


@dataclass(frozen=True)
class Peak:
    """What one step took.

    Attributes:
        sequences: How many.
        step: Its name.
        loaded: Peak resident memory once the model is loaded, MiB.
        read: Once the sequences are read, too.
        peak: In the end.
        seconds: Of the processor, from then on.
    """

    sequences: int
    step: str
    loaded: float
    read: float
    peak: float
    seconds: float


def peak() -> float:
    """Peak resident memory so far, in MiB.

    Of this process alone where Linux says it: `getrusage` begins with the peak of the process that started this one.
    """
    if (status := Path("/proc/self/status")).exists():
        return int(next(re.finditer(r"VmHWM:\s+(\d+)", status.read_text()))[1]) / 1024
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


def write_sequences(path: Path, count: int) -> None:
    """Write random sequences with labels as a table."""
    rng = np.random.default_rng(0)
    with path.open("w") as file:
        file.write("name,sequence,label\n")
        for start in range(0, count, FIRST):
            bases = rng.integers(0, 4, (min(FIRST, count - start), LENGTH), dtype=np.uint8)
            letters = np.frombuffer(b"ACGT", dtype=np.uint8)[bases]
            file.writelines(f"s{start + i},{row.tobytes().decode()},{i % 2}\n" for i, row in enumerate(letters))


def repeat(folder: Path, times: int) -> None:
    """Put outcomes so many times one after another, under other names."""
    mutants, cells, sequences = (pq.read_table(folder / name) for name in TABLES)
    about = read_about(folder)
    assert about is not None
    moved = (
        (mutants, {"id": mutants.num_rows, "sequence": sequences.num_rows}),
        (cells, {"mutant": mutants.num_rows, "sequence": sequences.num_rows}),
        (sequences, {"original": mutants.num_rows, "cluster": sequences.num_rows}),
    )
    for name, (table, steps) in zip(TABLES, moved, strict=True):
        with pq.ParquetWriter(folder / name, table.schema, compression="zstd") as writer:
            for time_ in range(times):
                part = table
                for column, step in steps.items():
                    numbers = pc.add(table[column], pa.scalar(step * time_, table[column].type))
                    part = part.set_column(part.column_names.index(column), column, numbers)
                if name == SEQUENCES:
                    names = pa.array([f"{each} {time_}" for each in table["name"].to_pylist()])
                    part = part.set_column(0, "name", names)
                writer.write_table(part, row_group_size=ROW_GROUP)
    write_record(folder / ABOUT, {**about, "files": sums(folder, TABLES)})


@dataclass(frozen=True)
class Inputs:
    """What a step works on: model, sequences, the folder of the results, draws of each interval, number of shares."""

    model: km.Model
    sequences: km.Sequences
    folder: Path
    resamples: int
    shares: int = 1


def attribute(given: Inputs) -> None:
    """Score."""
    km.attribute(given.model, given.sequences, METHODS, out=given.folder / "scores.parquet")


def mutate(given: Inputs) -> None:
    """Mutate, as `kmerit mutate` does."""
    options = {"counts": [0, 3], "replicates": 1, "random_sets": 1}
    scores = given.folder / "scores.parquet"
    km.mutate(given.model, given.sequences, scores, **options, out=given.folder / "curve")


def summary(given: Inputs) -> None:
    """Summarise the outcomes that are there, as `kmerit mutate` does in the end."""
    km.summarise(km.read_outcomes(given.folder / "curve"), resamples=given.resamples)


def trial(given: Inputs, share: Any) -> None:
    """Put the methods on trial, or a share of it."""
    bare = {"satellite_per_class": 0, "orders": (), "operators": (), "ism_per_class": 0, "greedy_per_class": 0}
    grid = km.Grid(counts=(3,), draws=1, random_sets=1, sizes=False, **bare)
    scores = given.folder / "scores.parquet"
    km.trial(given.model, given.sequences, scores, grid, out=given.folder / "trial", share=share)


def cards(given: Inputs) -> None:
    """Write report cards of the outcomes that are there, as `kmerit trial` does in the end."""
    write_cards(km.read_outcomes(given.folder / "trial"), given.folder / "cards", resamples=given.resamples)


def first_share(given: Inputs) -> None:
    """Do the first share of the trial."""
    trial(given, Share(1, given.shares))


def classify_few(every: int) -> None:
    """Classify the mutants of every n-th chunk; those between get the outcomes of the last one of their size."""
    evaluate, last, calls = execution.evaluate, dict[int, tuple[int, pa.Table, pa.Table, int]](), counting()

    def sparing(*of: Any, chunk: km.Sequences, first: int, **options: Any) -> tuple[pa.Table, pa.Table, int]:
        if next(calls) % every == 0 or len(chunk) not in last:
            last[len(chunk)] = (first, *evaluate(*of, chunk=chunk, first=first, **options))
        before, mutants, cells, micro_batch = last[len(chunk)]
        moved = (
            table.set_column(at, "sequence", pc.add(table["sequence"], pa.scalar(first - before, pa.int32())))
            for table, at in ((each, each.column_names.index("sequence")) for each in (mutants, cells))
        )
        return (*moved, micro_batch)

    execution.evaluate = sparing  # type: ignore[assignment]


STEPS: dict[str, Callable[[Inputs], None]] = {
    "attribute": attribute,
    "mutate": mutate,
    "plan": partial(trial, share="plan"),
    "share": first_share,
    "gather": partial(trial, share="gather"),
    "summary": summary,
    "cards": cards,
}
OF_OUTCOMES = {"summary": "curve", "cards": "trial"}
"""Steps that read the outcomes in this folder."""


def measure(step: str, folder: Path, resamples: int, shares: int) -> Peak:
    """Do one step in this process."""
    model = km.load_model(folder / "model", device="cpu", micro_batch=64)
    km.attribute(model, km.Sequences.from_strings(["ACGT" * 8]), METHODS)  # what torch and Arrow take is loaded
    loaded = peak()
    sequences = km.read_sequences(folder / "sequences.csv")
    read, start = peak(), time.process_time()
    STEPS[step](Inputs(model, sequences, folder, resamples, shares))
    return Peak(len(sequences), step, loaded, read, peak(), time.process_time() - start)


def main() -> None:
    """Parse the command line, measure each count in a process of its own, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--counts", nargs="+", type=int, default=[10_000, 100_000])
    parser.add_argument("--json", action="store_true", help="print the numbers as JSON")
    parser.add_argument("--times", type=int, default=1, help="repeat outcomes before they are summarised and judged")
    parser.add_argument("--classify", type=int, default=1, help="classify the mutants of every n-th chunk")
    parser.add_argument("--shares", type=int, default=1, help="make the first of n shares")
    parser.add_argument(
        "--resamples", type=int, default=2000, help="draws of each interval; memory does not depend on them"
    )
    parser.add_argument("--steps", nargs="+", choices=STEPS, default=[*STEPS], help="these alone, in this order")
    parser.add_argument("--one", nargs=2, metavar=("STEP", "FOLDER"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        step, folder = options.one
        if options.classify > 1:
            classify_few(options.classify)
        print(json.dumps(asdict(measure(step, Path(folder), options.resamples, options.shares))))
        return
    rows = []
    for count in options.counts:
        with tempfile.TemporaryDirectory() as folder:
            write_model(Path(folder, "model"))
            write_sequences(Path(folder, "sequences.csv"), count)
            for step in options.steps:
                if step in OF_OUTCOMES and options.times > 1:
                    repeat(Path(folder, OF_OUTCOMES[step]), options.times)
                    write_sequences(Path(folder, "sequences.csv"), count * options.times)
                same = [("resamples", options.resamples), ("classify", options.classify), ("shares", options.shares)]
                passed = [word for name, number in same for word in (f"--{name}", str(number))]
                command = [sys.executable, __file__, "--one", step, folder, *passed]
                rows.append(json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout))
    if options.json:
        print(json.dumps(rows, indent=2))
        return
    from rich.console import Console
    from rich.table import Table

    table = Table(*rows[0], title="Peak memory of each step, MiB")
    for row in rows:
        table.add_row(*(value if isinstance(value, str) else f"{value:,.0f}" for value in row.values()))
    Console(width=100).print(table)


if __name__ == "__main__":
    main()
