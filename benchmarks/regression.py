"""Relevance of a value against exact changes: do activators and repressors get the sign and the rank that they have?

    python benchmarks/regression.py MODEL [--sequences 32] [--length 1024] [--methods cp_lrp,attnlrp] [--gamma 0.25]
                                    [--json]

On new sequences of ``km.plant_values``, per method and reference: the share of motifs whose summed relevance has
the sign of the model's own change when the motif's letters are replaced (the mean over draws), among the motifs whose
change is above the median; Spearman's correlation of both over all motifs; what the relevances miss of y - y_ref; and
Kendall's tau of the scores between references. Then the time of one attribution in forward passes, with a reference
that is a number (the least of four paired ratios of processor time), and the ledger, in float64. CP-LRP and AttnLRP are
measured twice, also with a gamma of the first convolution, and Kendall's tau between the two, with shuffled copies.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

import kmerit as km
from kmerit.attribution.ledger import BOOKS_OF
from kmerit.attribution.references import agreement_of
from kmerit.datasets.planted_values import PlantedValues
from kmerit.models.family import Ability
from kmerit.models.model import Model
from kmerit.sequences import Floats, Sequences, generator

METHODS = ("cp_lrp", "attnlrp", "input_x_gradient", "integrated_gradients")
OPTIONS = {"integrated_gradients": {"steps": 16}}
COPIES, DRAWS = 5, 4
PAIRS = 4
"""Of times; the first warms up."""


def exact_changes(model: Model, planted: PlantedValues, draws: int = DRAWS) -> Floats:
    """By how much the model's value falls when a motif's letters are replaced by random ones, ``[motif]``."""
    number = {name: i for i, name in enumerate(planted.sequences.names)}
    strings, rows = list(planted.sequences), []
    for i, motif in enumerate(planted.instances.itertuples()):
        letters = strings[number[motif.name]]
        for draw in range(draws):
            new = generator(0, "replaced motifs", i, str(draw)).choice(list("ACGT"), motif.end - motif.start)
            rows.append(letters[: motif.start] + "".join(new) + letters[motif.end :])
    whole = model.logits(planted.sequences)[:, 0].astype(np.float64)
    replaced = model.logits(Sequences.from_strings(rows))[:, 0].astype(np.float64).reshape(-1, draws).mean(1)
    return np.asarray(whole[[number[name] for name in planted.instances["name"]]] - replaced)


def summed(scores: Floats, planted: PlantedValues) -> Floats:
    """Sum scores ``[sequence, position]`` over each motif, ``[motif]``."""
    number = {name: i for i, name in enumerate(planted.sequences.names)}
    rows = planted.instances
    return np.array([scores[number[m.name], m.start : m.end].sum() for m in rows.itertuples()])


def agreement(relevance: Floats, change: Floats) -> tuple[float, float]:
    """Return the share of signs that agree where the change is above the median, and Spearman's correlation."""
    large = np.abs(change) > np.median(np.abs(change))
    signs = np.sign(relevance[large]) == np.sign(change[large])
    return float(signs.mean()), float(pd.Series(relevance).corr(pd.Series(change), method="spearman"))


@dataclass(frozen=True)
class Variant:
    """A method with options of its own."""

    method: str
    options: Mapping[str, Any]

    @property
    def name(self) -> str:
        gamma = f", gamma {self.options['gamma']:g}" if "gamma" in self.options else ""
        return self.method + gamma


def attributed(model: Model, rows: Sequences, variants: list[Variant], reference: Any) -> dict[str, km.Attribution]:
    """Score by each variant, by its name."""
    scores = {}
    for each in variants:
        options = {each.method: each.options}
        scores |= {
            each.name: km.attribute(model, rows, [each.method], reference=reference, options=options)[each.method]
        }
    return scores


def passes(model: Model, rows: Sequences, variant: Variant) -> float:
    """Time one attribution in forward passes: the least of a few pairs, in processor time."""
    ratios = []
    for _ in range(PAIRS):
        times = []
        for run in (lambda: model.logits(rows), lambda: attributed(model, rows, [variant], 1.0)):
            start = time.process_time()
            run()
            times.append(time.process_time() - start)
        ratios.append(times[1] / times[0])
    return min(ratios)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("--sequences", type=int, default=32)
    parser.add_argument("--length", type=int, default=1024)
    parser.add_argument("--methods", default=",".join(METHODS))
    parser.add_argument("--gamma", type=float, default=0.25)
    parser.add_argument("--json", action="store_true")
    chosen = parser.parse_args()
    model, methods = km.load_model(chosen.model), chosen.methods.split(",")
    variants = [Variant(method, OPTIONS.get(method, {})) for method in methods]
    if Ability.STEM in model.abilities:
        variants += [Variant(method, {"gamma": chosen.gamma}) for method in methods if method in BOOKS_OF]
    planted = km.plant_values(chosen.sequences, length=chosen.length, seed=9)
    rows, change = planted.sequences, exact_changes(model, planted)
    value = model.logits(rows)[:, 0].astype(np.float64)
    left = np.sum((value - rows.labels) ** 2) / np.sum((rows.labels - rows.labels.mean()) ** 2)
    low = rows.labels <= np.quantile(rows.labels, 0.25)  # the negatives: a quarter with the lowest values
    kinds = {
        "shuffled": km.reference(model, rows, "shuffled", copies=COPIES),
        "negatives": km.reference(model, rows, "negatives", of=rows.take(low)),
        "training": km.reference(
            model, rows, "training", of=km.plant_values(200, length=chosen.length, seed=8).sequences
        ),
        f"{np.log(2):.2f}": km.reference(model, rows, float(np.log(2))),  # no motif; an output of softplus is never 0
    }
    by_reference, lines = {}, []
    for name, why in kinds.items():
        scores = attributed(model, rows, variants, why)
        by_reference[name] = scores
        missed = km.completeness(scores, why).groupby("method")["missed"].apply(lambda each: each.abs().mean())
        for each in variants:
            signs, rank = agreement(summed(scores[each.name].scores, planted), change)
            lines.append((each.name, name, signs, rank, missed[each.name]))
    found = pd.DataFrame(lines, columns=["method", "reference", "signs", "spearman", "missed"])
    result = {"motifs": len(change), "r2": 1 - left, "methods": found.to_dict("records"), "ledgers": {}, "passes": {}}
    pairs = agreement_of(by_reference)
    result["tau"] = pairs.groupby("method")["tau"].min().to_dict()
    own = by_reference["shuffled"]
    result["tau_gamma"] = {}
    for each in variants:
        if each.method in BOOKS_OF:
            table = km.ledger(
                model, rows, [each.method], reference=kinds["shuffled"], options={each.method: each.options}
            )
            entries = table.drop(columns=["missed", "target"]).mean(numeric_only=True).dropna().to_dict()
            result["ledgers"][each.name] = entries | {"missed_at_most": float(table["missed"].abs().max())}
        if "gamma" in each.options:
            pair = agreement_of({"epsilon": {each.name: own[each.method]}, "gamma": {each.name: own[each.name]}})
            result["tau_gamma"][each.name] = float(pair["tau"][0])
        result["passes"][each.name] = passes(model, rows, each)
    if chosen.json:
        print(json.dumps(result))
        return
    print(f"{len(rows)} sequences, {len(change)} motifs; R2 {result['r2']:.3f}")
    print(found.round(3).to_string(index=False))
    for each in variants:
        print(f"{each.name}: {result['passes'][each.name]:.1f} forward passes; tau among references at least", end=" ")
        print(f"{result['tau'][each.name]:.3f}")
    for name, tau in result["tau_gamma"].items():
        print(f"{name}: tau with the scores without gamma {tau:.3f}")
    for method, entries in result["ledgers"].items():
        print(f"ledger of {method}, in float64:", ", ".join(f"{name} {value:.3e}" for name, value in entries.items()))


if __name__ == "__main__":
    main()
