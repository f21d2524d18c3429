"""Choosing, shrinking and describing the bundled models."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.special import softmax
from transformers import AutoModelForSequenceClassification

import kmerit as km
from kmerit.io.crops import prepare
from kmerit.metrics import classification_metrics
from kmerit.store import write_json, write_text
from kmerit.training import answers, measure
from kmerit.training.card import crop_text, interval_text, linear_baselines, metrics_table, notes, render
from kmerit.training.convolutional import ConvolutionalConfig
from kmerit.training.data import Splits, load_splits
from kmerit.training.learner import average_weights
from kmerit.training.recipe import FinetuneConfig
from kmerit.uncertainty import student_interval

MOST_BYTES = 6_000_000
GAPPED = (8, 5)
"""Window and letters read in it, of the gapped k-mers."""


def export(
    out: Path,
    assets: Path,
    encoder: Path,
    models: Mapping[str, Sequence[Path]],
    seeds: Sequence[int],
    compared: Mapping[str, Mapping[str, Sequence[Path]]],
) -> None:
    """Put the encoder and the best model of each task into ``assets``, as float16.

    The best, by validation, of the seeds' models and the model with the average of their weights is shipped (they start
    from one encoder, so the average is a model too). It is measured as it is shipped; the card shows the mean over the
    seeds too. Source: wortsman2022, section 2, for the average.

    Args:
        out: Of the rebuilding: it has the account of the cleaning, and takes the averages.
        assets: Where the models go.
        encoder: Folder of the encoder that all started from.
        models: By name, the folders of the seeds' models.
        seeds: In the order of those folders.
        compared: By name of a model, then of what it is compared with, folders whose mean probability counts.
    """
    cleaned = cleaning(read(out / "cleaning.json"))
    shrink(encoder, assets / "encoder", "encoder")
    write_text(assets / "encoder" / "README.md", (encoder / "README.md").read_text(encoding="utf-8") + cleaned)
    for name, folders in models.items():
        config = FinetuneConfig.parse({**read(folders[0] / "training.json"), "baselines": True})
        splits = load_splits(config)
        assert splits.test is not None
        candidates = dict(zip(map(str, seeds), folders, strict=True))
        if len(seeds) > 1:
            candidates["average"] = average_weights(folders, out / name / "average")
        auroc = {label: on_validation(folder, splits) for label, folder in candidates.items()}
        best = max(auroc, key=lambda label: auroc[label])
        shrink(candidates[best], assets / name, name)
        rows, _ = prepare(splits.train, crop=splits.crop, min_length=int(splits.test.lengths.min()))
        others = linear_baselines(rows, splits.test, ks=(), gapped=GAPPED)
        others |= {label: together(parts, splits.test) for label, parts in compared[name].items()}
        measured = measure(config, splits, assets / name, others=others) | {
            "seeds": over_seeds([read(folder / "metrics.json")["test"] for folder in folders], seeds),
            "chosen": best,
            "validation": auroc,
        }
        write_json(assets / name / "metrics.json", measured)
        log = read(folders[0 if best == "average" else seeds.index(int(best))] / "training_log.json")["log"]
        write_text(assets / name / "README.md", card(name, config, splits, measured, log) + cleaned)


def read(path: Path) -> Any:
    """Read a JSON file."""
    return json.loads(path.read_text(encoding="utf-8"))


def shrink(folder: Path, out: Path, name: str) -> None:
    """Write a model with float16 weights."""
    model = AutoModelForSequenceClassification.from_pretrained(folder)
    model.config.kmerit = {**model.config.kmerit, "name": name}
    model.half().save_pretrained(out)
    for each in ("vocab.txt", "tokenizer_config.json"):
        shutil.copyfile(folder / each, out / each)
    size = (out / "model.safetensors").stat().st_size
    if size > MOST_BYTES:
        raise ValueError(f"{out}: {size:,} bytes; at most {MOST_BYTES:,} may be bundled. Make the model smaller.")


def together(folders: Sequence[Path], test: km.Sequences) -> np.ndarray[Any, Any]:
    """Answer to the test rows with the mean probability of several models, as its logarithm."""
    logits = []
    for folder in folders:
        recipe = read(folder / "training.json")
        if "channels" in recipe:
            network = AutoModelForSequenceClassification.from_pretrained(folder, dtype=torch.float32)
            logits.append(answers(network, ConvolutionalConfig.parse(recipe), test))
        else:
            logits.append(km.load_model(folder, device=recipe["device"]).logits(test).astype(np.float64))
    mean: np.ndarray[Any, Any] = np.log(np.mean([softmax(each, axis=1) for each in logits], axis=0))
    return mean


def on_validation(folder: Path, splits: Splits) -> float:
    """Measure a model on the validation split: the AUROC."""
    assert splits.validation is not None
    assert splits.validation.labels is not None
    logits = km.load_model(folder, device="cpu").logits(splits.validation)
    return float(classification_metrics(splits.validation.labels, logits, resamples=0)["auroc"]["value"])


def over_seeds(tests: Sequence[Mapping[str, Any]], seeds: Sequence[int]) -> dict[str, Any]:
    """Average test metrics over seeds, with Student's 95 % interval of the mean."""
    means: dict[str, Any] = {"seeds": list(seeds)}
    for name in (name for name in tests[0] if name != "rows"):
        values = [test[name]["value"] for test in tests]
        means[name] = student_interval(values).known() | {"each": values}
    return means


def card(name: str, config: FinetuneConfig, splits: Splits, measured: Mapping[str, Any], log: Any) -> str:
    """Write the card of a bundled model: what is shipped, the mean over seeds, what it is compared with."""
    seeds, chosen = measured["seeds"]["seeds"], measured["chosen"]
    listed = ", ".join(map(str, seeds))
    if chosen == "average":
        weights = f"the average over seeds {listed}, which validation preferred to each seed alone"
    elif len(seeds) == 1:
        weights = f"seed {chosen}, the only one"
    else:
        weights = f"seed {chosen}, which validation preferred to the other of seeds {listed} and to their average"
    facts = {
        "Data": f"{splits.name}: {', '.join(f'{split} {size:,}' for split, size in splits.sizes.items())} rows",
        "Classes": ", ".join(splits.classes),
        "Crop": crop_text(splits.crop),
        "Encoder": "bundled:encoder, a DNABERT-6 of 3 layers, 192 wide",
        "Weights of": weights,
        "Weights": "float16 on disk, computed with in float32",
    }
    table, said = metrics_table(measured), notes(measured)
    if table is not None and len(seeds) > 1:
        means = [interval_text(measured["seeds"][column]) for column in table["columns"][1:]]
        table["rows"].insert(1, [f"mean of {len(seeds)} seeds", *means])
        each = ", ".join(f"{value:.3f}" for value in measured["seeds"]["auroc"]["each"])
        said.append(f"The seeds' intervals are Student's, of their mean. AUROC of each seed: {each}.")
    said.append(
        "`this model less ...`: the metrics' differences on the same test rows, both drawn together. "
        "Gapped k-mers (8, 5): any 5 of 8 neighbouring letters."
    )
    summary = f"Tells {' and '.join(splits.classes)} apart ({splits.name})."
    return render(f"The bundled {name} model", summary, config, facts, log, table, said, clustered=True)


def cleaning(account: Mapping[str, Mapping[str, int]]) -> str:
    """Say what was cleaned away first."""
    corpus, sites = account["corpus"], account["sites"]
    return (
        "\n## What was cleaned away first\n\n"
        f"Whatever shares 40 32-mers, on either strand, with a row to be measured on: {corpus.get('removed_nt', 0):,} "
        f"of {corpus.get('nt', 0):,} nt of the corpus, {sites.get('dropped', 0):,} of {sites.get('rows', 0):,} DNase "
        "sites.\n"
    )
