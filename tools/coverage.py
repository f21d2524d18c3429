"""Simulate how often bootstrap intervals of a mean miss the truth: a table of the page on doubting a verdict."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm

from kmerit.uncertainty import bootstrap_means, percentiles, studentised

Floats = NDArray[np.float64]
SAMPLES, BATCHES, RESAMPLES = 2000, 8, 1000
SIZES = (10, 15, 25, 50, 100, 200)


def thirds(rng: np.random.Generator, shape: tuple[int, int]) -> Floats:
    """Draw differences of accuracy over three draws."""
    return (rng.binomial(3, 0.35, shape) - rng.binomial(3, 0.35, shape)) / 3


DIFFERENCES: dict[str, Callable[[np.random.Generator, tuple[int, int]], Floats]] = {
    "normal": lambda rng, shape: rng.normal(size=shape),
    "lognormal (sd 1)": lambda rng, shape: rng.lognormal(size=shape) - np.exp(0.5),
    "gamma (shape 0.8)": lambda rng, shape: rng.gamma(0.8, size=shape) - 0.8,
    "thirds (three draws of right or wrong)": thirds,
}
"""Differences whose true mean is 0."""


def bca(values: Floats, means: Floats) -> tuple[Floats, Floats]:
    """Compute the bias-corrected and accelerated interval of every column. Source: davison1997, section 5.3."""
    mean, ordered = values.mean(axis=0), np.sort(means, axis=0)
    share = (means < mean).mean(axis=0) + (means == mean).mean(axis=0) / 2
    bias = norm.ppf(share.clip(1 / len(means), 1 - 1 / len(means)))
    away = mean - values
    acceleration = (away**3).sum(axis=0) / (6 * (away**2).sum(axis=0) ** 1.5)
    ends = []
    for z in norm.ppf([0.025, 0.975]):
        level = norm.cdf(bias + (bias + z) / (1 - acceleration * (bias + z)))
        at = (level * (len(means) - 1)).round().astype(int)
        ends.append(np.take_along_axis(ordered, at[None], axis=0)[0])
    return ends[0], ends[1]


def misses(name: str, rows: int) -> dict[str, tuple[float, float]]:
    """Say in which share of samples each interval lies above the truth, and below it, in percent."""
    rng = np.random.default_rng(rows)
    counts: dict[str, list[tuple[float, float]]] = {}
    for batch in range(BATCHES):
        values = DIFFERENCES[name](rng, (rows, SAMPLES // BATCHES))
        means = bootstrap_means(values, resamples=RESAMPLES, seed=batch)
        result = {
            "studentised": studentised(values, resamples=RESAMPLES, seed=batch).interval(),
            "percentile": percentiles(means),
            "BCa": bca(values, means),
        }
        for kind, (low, high) in result.items():
            counts.setdefault(kind, []).append((100 * float((low > 0).mean()), 100 * float((high < 0).mean())))
    return {kind: tuple(np.mean(each, axis=0)) for kind, each in counts.items()}


def main() -> None:
    """Print the table."""
    print("| differences | sequences | studentised: truth below, above | percentile | BCa |")
    print("|---|---|---|---|---|")
    for name in DIFFERENCES:
        for rows in SIZES:
            cells = [f"{below:.1f}, {above:.1f}" for below, above in misses(name, rows).values()]
            print(f"| {name} | {rows} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
