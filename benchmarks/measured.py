"""Measure how often the judge by measured effects errs: its gate, and the interval of a method's difference.

    python benchmarks/measured.py [--tables 400] [--json]

Each table is an element of 300 nt, all substitutions, with effects that are alike for neighbours (as binding sites
make them) and noise. For the gate the effects are turned round within the element, so that in-silico mutagenesis knows
nothing of them: the gate should open in 5 % of the tables. For the interval a method is a copy of in-silico mutagenesis
with noise of its own: the true difference is 0, and 95 % of the intervals should hold it.
"""

from __future__ import annotations

import argparse
import json
import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np

from kmerit.biology.measured import Predictions, judge_element
from kmerit.io.elements import Assay
from kmerit.sequences import Floats
from kmerit.uncertainty import clopper_pearson

LENGTH = 300
WIDTH = 5
"""Nucleotides over which effects are smoothed: about those of half a binding site."""


def smooth(rng: np.random.Generator) -> Floats:
    """Draw values that are alike for neighbours: ``[position]``, with a variance of 1."""
    draws = rng.normal(size=LENGTH + WIDTH - 1)
    return np.convolve(draws, np.full(WIDTH, WIDTH**-0.5), "valid")


def table(seed: int, turned: bool) -> tuple[Assay, Predictions]:
    """Draw an element's effects, and what in-silico mutagenesis and its copy predict."""
    rng = np.random.default_rng(seed)
    signal = 0.5 * smooth(rng)[:, None] + 0.2 * rng.normal(size=(LENGTH, 3))
    effect = signal + 0.5 * rng.normal(size=(LENGTH, 3))
    ism, copy = (signal + 0.3 * smooth(rng)[:, None] + 0.4 * rng.normal(size=(LENGTH, 3)) for _ in range(2))
    if turned:
        effect = np.roll(effect, int(rng.integers(20, LENGTH - 20)), axis=0)
    position, step = np.repeat(np.arange(LENGTH), 3), np.tile([1, 2, 3], LENGTH)
    bases = rng.integers(0, 4, LENGTH).astype(np.int8)
    barcodes = np.exp(rng.normal(5, 1, 3 * LENGTH))
    errors = np.full(3 * LENGTH, 0.5)
    assay = Assay("element", "element", "", 0, bases, position, step, effect.ravel(), errors, barcodes, {})
    return assay, Predictions(ism, {"copy": copy, "copy, by position": copy.mean(axis=1)})


def main() -> None:
    """Print both rates with their exact intervals."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tables", type=int, default=400)
    parser.add_argument("--resamples", type=int, default=1000)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    opened, holds = 0, {"copy": 0, "copy, by position": 0}
    for seed in range(options.tables):
        assay, predictions = table(seed, turned=True)
        judged = judge_element([assay], {"element": predictions}, resamples=options.resamples, seed=seed, null=False)
        opened += judged["judges"]
        assay, predictions = table(seed, turned=False)
        judged = judge_element([assay], {"element": predictions}, resamples=options.resamples, seed=seed, null=False)
        for name in holds:
            holds[name] += judged["methods"][name]["low"] <= 0 <= judged["methods"][name]["high"]
    result = {
        "tables": options.tables,
        "opened": opened,
        "upper": clopper_pearson(opened, options.tables, 0.9)[1],
        "holds": holds,
    }
    if options.json:
        print(json.dumps(result))
        return
    print(f"gate opens on turned effects: {opened} of {options.tables}, at most {result['upper']:.1%} (one-sided 95 %)")
    for name, count in holds.items():
        low, high = clopper_pearson(count, options.tables)
        print(f"interval holds 0, {name}: {count} of {options.tables} ({low:.1%} to {high:.1%})")


if __name__ == "__main__":
    main()
