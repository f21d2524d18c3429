"""Choosing, shrinking and describing the bundled models."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy import stats
from scipy.special import softmax
from transformers import AutoModelForSequenceClassification

from kmerit.errors import ConfigError
from kmerit.models import load_model
from kmerit.models.quiet import quiet
from kmerit.statistics import classification_metrics
from kmerit.store import write_json, write_text
from kmerit.training import card
from kmerit.training.baselines import GAPPED
from kmerit.training.config import FinetuneConfig
from kmerit.training.finetuning import answers, measure
from kmerit.training.networks import publish
from kmerit.training.splits import Splits, labels_of, load_splits
from kmerit.types import Floats

MOST_BYTES = 6_000_000


def export(
    out: Path,
    assets: Path,
    encoder: Path,
    models: Mapping[str, Sequence[Path]],
    seeds: Sequence[int],
    beside: Mapping[str, Mapping[str, Sequence[Path]]],
) -> None:
    """Put the encoder and the best model of each task into ``assets``, as float16.

    What is shipped is the best by validation of the seeds' models and the model with the average of their weights
    (they start from one encoder, so the average is a model too). It is measured as it is shipped; the card shows the
    mean over the seeds beside it. Source: wortsman2022, section 2, for the average.

    Args:
        out: Of the rebuilding: it has the account of the cleaning, and takes the averages.
        assets: Where the models go.
        encoder: Folder of the encoder that all started from.
        models: By name, the folders of the seeds' models.
        seeds: In the order of those folders.
        beside: By name of a model, then of what it is compared with, folders that answer together: their mean
            probability counts.
    """
    _shrink(encoder, assets / "encoder", "encoder")
    shutil.copy(encoder / "README.md", assets / "encoder" / "README.md")
    _note_cleaning(out, assets / "encoder")
    for name, folders in models.items():
        config = FinetuneConfig.parse({**_json(folders[0] / "training.json"), "baselines": True})
        splits = load_splits(config)
        candidates = {str(seed): folder for seed, folder in zip(seeds, folders, strict=True)}
        if len(seeds) > 1:
            candidates["average"] = average(folders, out / name / "average")
        scores = {label: _validation(folder, splits) for label, folder in candidates.items()}
        best = max(scores, key=lambda label: scores[label])
        _shrink(candidates[best], assets / name, name)
        others = {label: _together(parts, splits) for label, parts in beside[name].items()}
        measured = measure(config, splits, assets / name, gapped=GAPPED, beside=others) | {
            "seeds": _over_seeds([_json(folder / "metrics.json")["test"] for folder in folders], seeds),
            "chosen": best,
            "validation": scores,
        }
        write_json(assets / name / "metrics.json", measured)
        log = _json(folders[0 if best == "average" else seeds.index(int(best))] / "training_log.json")["log"]
        write_text(assets / name / "README.md", card.bundled(name, config, splits, measured, log))
        _note_cleaning(out, assets / name)


def _shrink(folder: Path, out: Path, name: str) -> None:
    """Write the weights as float16."""
    with quiet():
        model = AutoModelForSequenceClassification.from_pretrained(folder, trust_remote_code=False)
    about = dict(model.config.kmerit)
    publish(model, out, about.pop("k"), {**about, "name": name}, torch.float16)
    size = (out / "model.safetensors").stat().st_size
    if size > MOST_BYTES:
        raise ValueError(f"{out}: {size:,} bytes; at most {MOST_BYTES:,} may be bundled. Make the model smaller.")


def average(folders: Sequence[Path], out: Path) -> Path:
    """Save the model whose weights are the mean of these models' weights."""
    with quiet():
        models = [
            AutoModelForSequenceClassification.from_pretrained(folder, trust_remote_code=False) for folder in folders
        ]
    weights = [model.state_dict() for model in models]
    models[0].load_state_dict({key: torch.stack([each[key] for each in weights]).mean(0) for key in weights[0]})
    models[0].save_pretrained(out)
    return out


def _together(folders: Sequence[Path], splits: Splits) -> Floats:
    """Answer to the test rows with the mean probability of several models, as its logarithm."""
    if splits.test is None:
        raise ConfigError(f"{splits.name}: a bundled model needs test rows to be measured on.")
    each = [answers(folder, FinetuneConfig.parse(_json(folder / "training.json")), splits.test) for folder in folders]
    mean: Floats = np.log(np.mean([softmax(logits, axis=1) for logits in each], axis=0))
    return mean


def _validation(folder: Path, splits: Splits) -> float:
    """Measure a model on the validation split: the AUROC."""
    if splits.validation is None:
        raise ConfigError(f"{splits.name}: choosing a model to bundle needs validation rows. Give validation_share.")
    logits = load_model(folder, device="cpu").logits(splits.validation)
    return float(
        classification_metrics(labels_of(splits.validation, splits.name), logits, resamples=0)["auroc"]["value"]
    )


def _over_seeds(tests: Sequence[Mapping[str, Any]], seeds: Sequence[int]) -> dict[str, Any]:
    """Average test metrics over seeds, with Student's 95 % interval of the mean."""
    found: dict[str, Any] = {"seeds": list(seeds)}
    for name in tests[0]:
        if name == "rows":
            continue
        values = np.array([test[name]["value"] for test in tests], dtype=np.float64)
        mean = float(values.mean())
        half = float(stats.t.ppf(0.975, values.size - 1) * stats.sem(values)) if values.size > 1 else float("nan")
        interval = {"low": mean - half, "high": mean + half} if values.size > 1 else {"low": None, "high": None}
        found[name] = {"value": mean, **interval, "each": values.tolist()}
    return found


def _note_cleaning(out: Path, folder: Path) -> None:
    account = _json(out / "cleaning.json")
    corpus, sites = account["corpus"], account["sites"]
    text = (
        "\n## What was cleaned away first\n\n"
        f"Whatever shares 40 32-mers, on either strand, with a row to be measured on: {corpus.get('removed_nt', 0):,} "
        f"of {corpus.get('nt', 0):,} nt of the corpus, {sites.get('dropped', 0):,} of {sites.get('rows', 0):,} DNase "
        "sites.\n"
    )
    readme = folder / "README.md"
    write_text(readme, readme.read_text(encoding="utf-8") + text)


def _json(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))
