"""Pairs of positions where the answer is known, and on the bundled tasks.

    python benchmarks/pairs.py results/pairs [planted] [promoter] [enhancer] [--per-class 50]

``planted``: two motifs, both of which class 1 needs (class 0 has one of them), and a small model trained on them by the
recipe of ``configs/planted.toml``. Its far pairs, and its pairs of letters in different motifs, must be conjunctions.
``promoter`` and ``enhancer``: the bundled models on test rows of their tasks. A table for each, as Markdown.
"""

from __future__ import annotations

import argparse
from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

import kmerit as km
from kmerit.config import read_toml
from kmerit.datasets.planting import Planting, plant, read_planted
from kmerit.datasets.task import SPLITS, find_task
from kmerit.io.crops import Crop, prepare, sample_per_class
from kmerit.training import finetune
from kmerit.training.recipe import FinetuneConfig
from kmerit.uncertainty import mean_interval

PLANTED = Planting(regime="and", motifs=("USF1", "NFYA"))
METHODS = {"planted": ["ism", "attnlrp", "lrp"], "promoter": ["attnlrp", "lrp"], "enhancer": ["attnlrp", "lrp"]}
TASKS = {"promoter": "epdnew_nontata", "enhancer": "human_enhancers_dedup"}
CROPS = {"promoter": Crop(251, "left"), "enhancer": Crop(200, "center")}
TOP = {"planted": 6, "promoter": 4, "enhancer": 4}


def planted_model(out: Path) -> km.Model:
    """Plant, and train the model."""
    plant(PLANTED, out=out / "planted")
    recipe = read_toml("bundled:planted", [])["training"] | {"baselines": False, "resamples": 200}
    recipe |= {split: str(out / "planted" / f"{split}.parquet") for split in SPLITS}
    return km.load_model(finetune(FinetuneConfig.parse(recipe), out / "model"))


def row_of(row: Mapping[Hashable, Any]) -> dict[str, object]:
    """Format a row of the summary."""
    low, high = row["band_low"], row["band_high"]
    return {
        "class": row["class_name"],
        "method": row["method"],
        "pairs": row["distance"],
        "sequences": row["sequences"],
        "joint to sum": f"{row['ratio']:.2f}",
        "interaction, band": f"{row['interaction']:.3f} ({low:.3f} to {high:.3f})",
        "kind": row["kind"],
    }


def across_motifs(result: km.Pairs, out: Path, seed: int = 0) -> pd.DataFrame:
    """Average over the pairs of class 1 whose letters lie in different motifs, with 95 % intervals over sequences."""
    truth = read_planted(out / "planted", "test")
    number = {name: i for i, name in enumerate(truth.sequences.names)}
    pairs = result.pairs.query("label == 1").copy()
    motif = np.zeros((len(number), int(truth.sequences.lengths.max())), dtype=np.int64)
    for i in number.values():
        inside = np.flatnonzero(truth.mask[i])
        breaks = np.flatnonzero(np.diff(inside) > 1)
        for each, run in enumerate(np.split(inside, breaks + 1)):
            motif[i, run] = each + 1
    rows = pairs["sequence"].map(number).to_numpy()
    first, second = motif[rows, pairs["first"]], motif[rows, pairs["second"]]
    pairs["place"] = np.where((first == 0) | (second == 0), "outside", np.where(first == second, "one", "two"))
    table = []
    for (method, place), of in pairs[pairs["ranking"].isin(METHODS["planted"])].groupby(["ranking", "place"]):
        means = of.assign(sum=of["single_first"] + of["single_second"]).groupby("sequence")
        each = means[["sum", "joint", "interaction"]].mean()
        band = mean_interval(each["interaction"].to_numpy(), resamples=2000, seed=seed)
        table.append(
            {
                "method": method,
                "motifs": place,
                "sequences": len(each),
                "pairs": len(of),
                "joint to sum": f"{each['joint'].mean() / each['sum'].mean():.2f}",
                "interaction": f"{band.value:.2f} ({band.low:.2f} to {band.high:.2f})",
            }
        )
    return pd.DataFrame(table)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("parts", nargs="*", choices=list(METHODS), default=list(METHODS))
    parser.add_argument("--per-class", type=int, default=50)
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    for part in options.parts:
        if part == "planted":
            model = planted_model(options.out)
            rows = read_planted(options.out / "planted", "test").sequences
        else:
            model = km.load_model(f"bundled:{part}")
            task = find_task(TASKS[part])
            rows, _ = prepare(km.load_task(task), crop=CROPS[part], min_length=task.min_length, drop_n=True)
        rows = sample_per_class(rows, options.per_class, 0)
        scores = km.attribute(model, rows, METHODS[part])
        result = km.pairs(model, rows, scores, top=TOP[part], per_class=options.per_class)
        result.summary.to_csv(options.out / f"{part}.csv", index=False)
        table = pd.DataFrame([row_of(row) for row in result.summary.to_dict("records")])
        print(f"## {part}: {result.settings['classifications']} classifications\n")
        print(table.to_markdown(index=False), "\n", flush=True)
        if part == "planted":
            print(across_motifs(result, options.out).to_markdown(index=False), "\n", flush=True)


if __name__ == "__main__":
    main()
