"""Time the attribution engine against the plain Hugging Face forward pass, on random sequences and weights.

    python benchmarks/engine.py [--size mini base] [--device auto] [--repeats 5] [--busy] [--json]

The peer is transformers' BertForSequenceClassification (scaled-dot-product attention, inference mode) at its best batch
size, on the same sequences, in the same process, rounds interleaved. Each figure is the best of the repeats, in
milliseconds per sequence. Which matrix products kmerit makes, packed or plain, it measures itself; the table says it.
On a machine that has other work, too, --busy counts the processor time of one thread instead of the time that passes.
The second table says where the time of the six scores goes, in forward passes of the peer; it is made on a processor
only. On a graphics card both sides compute in float32 without TF32, and each figure waits until the card has finished.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TRANSFORMERS_VERBOSITY"] = "error"
os.environ["KINETO_LOG_LEVEL"] = "99"

import numpy as np
import torch
from anatomy import Anatomy, dissect
from rich.console import Console
from rich.table import Table
from transformers import BertConfig, BertForSequenceClassification
from transformers.utils.logging import disable_progress_bar

import kmerit as km
from kmerit.models.model import Model
from kmerit.models.products import machine as processor

SIX = ["attention", "rollout", "gradcam", "lrp", "lrp_last", "full_lrp"]
BATCHES = (1, 2, 4, 8, 16, 32)
BATCHES_ON_A_CARD = (8, 32, 128, 512)
LENGTH = 200  # nucleotides: 195 6-mers and two special tokens
PEER, PREDICTION, SCORES = "Hugging Face forward", "kmerit prediction", "kmerit six scores"

Work = tuple[str, int]
"""What is done, at which batch size."""


@dataclass(frozen=True)
class Size:
    """A size of the model, and what is asked of it: at most so many forward passes, at least such a throughput."""

    layers: int
    hidden: int
    sequences: int
    scores: float | None = None
    prediction: float | None = None

    @property
    def config(self) -> BertConfig:
        """DNABERT's shape: heads of 64."""
        return BertConfig(
            vocab_size=4101,
            hidden_size=self.hidden,
            num_hidden_layers=self.layers,
            num_attention_heads=max(self.hidden // 64, 1),
            intermediate_size=4 * self.hidden,
        )


SIZES = {
    "tiny": Size(2, 64, sequences=4),
    "mini": Size(3, 192, sequences=64, scores=3.9, prediction=1.4),
    "base": Size(12, 768, sequences=8, scores=4.6, prediction=1.15),
}


@dataclass(frozen=True)
class Result:
    """What was measured for one size, times in milliseconds per sequence."""

    size: str
    shape: str
    batch: dict[str, int]
    milliseconds: dict[str, float]
    throughput: float
    forward_passes: float
    largest_difference: float
    products: str
    anatomy: Anatomy | None


Clock = Callable[[], float]


def seconds(run: Callable[[], object], clock: Clock) -> float:
    """Time one piece of work, until the device has finished it."""
    start = clock()
    run()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return clock() - start


def best(work: dict[Work, Callable[[], object]], repeats: int, clock: Clock) -> dict[Work, float]:
    """Find the two best batch sizes of each kind of work, then time those round after round: the best of each."""
    for run in work.values():
        run()  # warm
    once = {key: seconds(run, clock) for key, run in work.items()}
    kept = [key for kind in (PEER, PREDICTION, SCORES) for key in sorted(k for k in once if k[0] == kind)]
    kept = [key for key in kept if sum(once[other] < once[key] for other in once if other[0] == key[0]) < 2]
    taken = {key: [once[key]] for key in kept}
    for _ in range(repeats):
        for key in kept:
            taken[key].append(seconds(work[key], clock))
    return {key: min(times) for key, times in taken.items()}


def peer(reference: BertForSequenceClassification, ids: torch.Tensor, batch: int) -> Callable[[], object]:
    """The plain forward pass in batches."""

    def run() -> None:
        with torch.inference_mode():
            for start in range(0, len(ids), batch):
                reference(ids[start : start + batch])

    return run


def measure(name: str, repeats: int, batches: Sequence[int], clock: Clock, device: str) -> Result:
    """Time one size."""
    size = SIZES[name]
    if device != "cpu":  # a card is not full with what fills a processor
        size = replace(size, sequences=max(batches))
    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    strings = ["".join(rng.choice(list("ACGT"), LENGTH)) for _ in range(size.sequences)]
    sequences = km.Sequences.from_strings(strings)
    with tempfile.TemporaryDirectory() as folder:
        BertForSequenceClassification(size.config).save_pretrained(folder)
        reference = BertForSequenceClassification.from_pretrained(folder, attn_implementation="sdpa").eval().to(device)
        model = km.load_model(Path(folder), device=device)
    ids = torch.from_numpy(model.tokenize(*sequences.padded()).ids).to(device)

    def of(batch: int) -> Model:
        return replace(model, micro_batch=batch)

    work: dict[Work, Callable[[], object]] = {}
    for batch in (batch for batch in batches if batch <= size.sequences):
        work[PEER, batch] = peer(reference, ids, batch)
        work[PREDICTION, batch] = lambda batch=batch: of(batch).logits(sequences)
        work[SCORES, batch] = lambda batch=batch: km.attribute(of(batch), sequences, SIX)
    taken = best(work, repeats, clock)
    fastest = {
        kind: min((s, key[1]) for key, s in taken.items() if key[0] == kind) for kind in (PEER, PREDICTION, SCORES)
    }
    times = {kind: s / size.sequences * 1e3 for kind, (s, _) in fastest.items()}
    chosen = {kind: batch for kind, (_, batch) in fastest.items()}
    with torch.inference_mode():
        difference = np.abs(reference(ids).logits.cpu().numpy() - model.logits(sequences)).max()
    return Result(
        size=name,
        shape=f"{size.layers} x {size.hidden}",
        batch=chosen,
        milliseconds=times,
        throughput=times[PEER] / times[PREDICTION],
        forward_passes=times[SCORES] / times[PEER],
        largest_difference=float(difference),
        products=model.products,
        anatomy=dissect(work[SCORES, chosen[SCORES]], work[PEER, chosen[PEER]]) if device == "cpu" else None,
    )


def timetable(result: Result) -> Table:
    """The peer, the ratio and what is asked."""
    size = SIZES[result.size]
    asked = {
        PEER: ("", ""),
        PREDICTION: (f"{result.throughput:.2f} x the throughput", size.prediction and f"at least {size.prediction}"),
        SCORES: (f"{result.forward_passes:.2f} forward passes", size.scores and f"at most {size.scores}"),
    }
    table = Table(
        "what", "best batch", "ms a sequence", "against the peer", "target", title=f"{result.size}: {result.shape}"
    )
    for kind, (ratio, target) in asked.items():
        table.add_row(kind, str(result.batch[kind]), f"{result.milliseconds[kind]:.2f}", ratio, str(target or ""))
    table.caption = f"{result.products} products; largest difference of the logits: {result.largest_difference:.1e}"
    return table


def profile(result: Result, anatomy: Anatomy) -> Table:
    """Where the time of the six scores goes, in forward passes of the peer."""
    table = Table("part", "forward passes", title=f"{result.size}: the six scores, taken apart")
    for part, passes in anatomy.parts.items():
        table.add_row(part, f"{passes:.2f}")
    table.add_row("together (under the profiler)", f"{sum(anatomy.parts.values()):.2f}", end_section=True)
    table.add_row("the peer's own products", f"{anatomy.peer_products:.2f}")
    table.add_row("arithmetic of products with weights, counted", f"{anatomy.arithmetic:.2f}")
    table.add_row("arithmetic, were no layer cut short", "5.00")
    return table


def machine(threads: int, device: str) -> str:
    """What it runs on."""
    if device != "cpu":
        card = torch.cuda.get_device_name(device) if device.startswith("cuda") else device
        return f"{card}, torch {torch.__version__}, float32 without TF32, {LENGTH - 3} tokens"
    return f"{processor()}, {threads} threads, float32, {LENGTH - 3} tokens"


def main() -> None:
    """Parse the command line, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--size", nargs="+", choices=sorted(SIZES), default=["mini", "base"])
    parser.add_argument(
        "--device", default="auto", help="auto (a graphics card where there is one), cpu, cuda, cuda:1, mps"
    )
    parser.add_argument("--batches", nargs="+", type=int, help="batch sizes that are tried")
    parser.add_argument("--busy", action="store_true", help="one thread, processor time")
    parser.add_argument("--json", action="store_true", help="print the numbers as JSON")
    options = parser.parse_args()
    threads, clock = (1, time.process_time) if options.busy else (options.threads, time.perf_counter)
    torch.set_num_threads(threads)
    torch.set_float32_matmul_precision("highest")
    disable_progress_bar()
    device = ("cuda" if torch.cuda.is_available() else "cpu") if options.device == "auto" else options.device
    batches = options.batches or (BATCHES if device == "cpu" else BATCHES_ON_A_CARD)
    results = [measure(size, options.repeats, batches, clock, device) for size in options.size]
    if options.json:
        print(
            json.dumps({"machine": machine(threads, device), "results": [asdict(each) for each in results]}, indent=2)
        )
        return
    console = Console(width=100)
    console.print(machine(threads, device))
    for result in results:
        console.print(timetable(result))
        if result.anatomy is not None:
            console.print(profile(result, result.anatomy))


if __name__ == "__main__":
    main()
