"""Time the attribution engine against the plain Hugging Face forward pass, on random sequences and weights.

    python benchmarks/engine.py [--repeats 5] [--size base mini]

The peer is transformers' BertForSequenceClassification (scaled-dot-product attention, inference mode) at its best batch
size, on the same sequences, in the same process, rounds interleaved. Each figure is the best of the repeats, in
milliseconds per sequence; a ratio is to the peer's.
"""

from __future__ import annotations

import argparse
import os
import platform
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from transformers import BertConfig, BertForSequenceClassification

import kmerit as km
from kmerit.models import Model

SIX = ["attention", "rollout", "gradcam", "lrp", "lrp_last", "full_lrp"]
SIZES = {
    "base": {"num_hidden_layers": 12, "hidden_size": 768, "num_attention_heads": 12, "intermediate_size": 3072},
    "mini": {"num_hidden_layers": 3, "hidden_size": 192, "num_attention_heads": 3, "intermediate_size": 768},
}
SEQUENCES = {"base": 16, "mini": 128}
BATCHES = (1, 2, 4, 8, 16, 32)
LENGTH = 200  # nucleotides: 195 6-mers and two special tokens


def best(work: dict[str, Callable[[], object]], repeats: int) -> dict[str, float]:
    """Time each piece of work, round after round, and keep the best: seconds."""
    times: dict[str, list[float]] = {name: [] for name in work}
    for _ in range(repeats + 1):  # the first round warms up
        for name, run in work.items():
            start = time.perf_counter()
            run()
            times[name].append(time.perf_counter() - start)
    return {name: min(taken[1:]) for name, taken in times.items()}


def peer(reference: BertForSequenceClassification, ids: torch.Tensor, batch: int) -> Callable[[], object]:
    """The plain forward pass in batches."""

    def run() -> None:
        with torch.inference_mode():
            for start in range(0, len(ids), batch):
                reference(ids[start : start + batch])

    return run


def measure(size: str, repeats: int) -> Table:
    """Time one size."""
    torch.manual_seed(0)
    config = BertConfig(vocab_size=4101, max_position_embeddings=512, **SIZES[size])
    rng = np.random.default_rng(0)
    strings = ["".join(rng.choice(list("ACGT"), LENGTH)) for _ in range(SEQUENCES[size])]
    sequences = km.Sequences.from_strings(strings)
    with tempfile.TemporaryDirectory() as folder:
        BertForSequenceClassification(config).save_pretrained(folder)
        reference = BertForSequenceClassification.from_pretrained(folder, attn_implementation="sdpa").eval()
        model = km.load_model(Path(folder), device="cpu")
    ids = torch.from_numpy(model.tokenize(*sequences.padded()).ids)
    batches = [batch for batch in BATCHES if batch <= len(sequences)]

    def of(batch: int) -> Model:
        return replace(model, micro_batch=batch)

    work: dict[str, Callable[[], object]] = {}
    for batch in batches:
        work[f"Hugging Face forward|{batch}"] = peer(reference, ids, batch)
        work[f"kmerit prediction|{batch}"] = lambda batch=batch: of(batch).logits(sequences)
        work[f"kmerit six scores|{batch}"] = lambda batch=batch: km.attribute(of(batch), sequences, SIX)
    taken = best(work, repeats)
    table = Table("what", "best batch", "ms a sequence", "ratio to the peer", title=f"{size}: {SIZES[size]}")
    fastest: dict[str, tuple[float, int]] = {}
    for name, seconds in taken.items():
        what, batch = name.split("|")
        fastest[what] = min(fastest.get(what, (np.inf, 0)), (seconds, int(batch)))
    base = fastest["Hugging Face forward"][0]
    for what, (seconds, batch) in fastest.items():
        table.add_row(what, str(batch), f"{seconds / len(sequences) * 1e3:.2f}", f"{seconds / base:.2f}")
    with torch.inference_mode():
        difference = np.abs(reference(ids).logits.numpy() - model.logits(sequences)).max()
    table.caption = f"largest difference of the logits: {difference:.1e}"
    return table


def main() -> None:
    """Parse the command line, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--size", nargs="+", choices=sorted(SIZES), default=["mini", "base"])
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    console = Console(width=100)
    console.print(
        f"{platform.machine()} {platform.processor() or ''}, {os.cpu_count()} cores, {options.threads} threads, "
        f"torch {torch.__version__}, float32, {LENGTH} nt = {LENGTH - 3} tokens"
    )
    for size in options.size:
        console.print(measure(size, options.repeats))


if __name__ == "__main__":
    main()
