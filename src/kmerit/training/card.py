"""Model cards: data, recipe and metrics of a model, as Markdown next to the weights."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path
from typing import Any

from jinja2 import Environment, StrictUndefined

from kmerit.formats import interval
from kmerit.io.crops import Crop
from kmerit.training.recipe import FinetuneConfig, PretrainConfig, TrainingConfig
from kmerit.training.splits import Splits

Log = Sequence[Mapping[str, float]]


def crop_text(crop: Crop | None) -> str:
    """Describe a crop.

    Example:
        >>> crop_text(Crop(200, "left"))
        '200 nt, left'
    """
    return "none" if crop is None else f"{crop.length} nt, {crop.anchor}"


def pretrained(config: PretrainConfig, facts: Mapping[str, Any], log: Log) -> str:
    """Write the card of a pre-trained encoder."""
    low, high = config.spans
    settings = {
        "Corpus": f"{facts['origin']}: {facts['nucleotides']:,} nt",
        "Cut out first": _cut_out(facts["cleaning"]),
        "Model": f"BERT over {config.k}-mers, {facts['parameters']:,} parameters",
        "Objective": f"masked k-mers, {config.mask_share:.0%} of tokens in spans of {low} to {high}",
        "Crops": ", ".join(f"{length} nt" for length in config.crop_lengths),
        "Seed": config.seed,
    }
    return render(f"A pre-trained DNABERT-{config.k} encoder", "Restores masked k-mers of DNA.", config, settings, log)


def _cut_out(cleaning: Mapping[str, int]) -> str:
    if not cleaning:
        return "nothing"
    return f"{cleaning['removed_nt']:,} of {cleaning['nt']:,} nt, shared with test or validation rows"


_KINDS = {
    "single_label_classification": "Classes",
    "multi_label_classification": "Labels, 0 or 1 each",
    "regression": "Values",
}


def finetuned(config: FinetuneConfig, splits: Splits, measured: Mapping[str, Any], log: Log) -> str:
    """Write the card of a fine-tuned model."""
    rows = ", ".join(f"{name} {size:,}" for name, size in splits.sizes.items())
    settings = {
        "Data": f"{splits.name}: {rows} rows",
        _KINDS[config.problem_type]: ", ".join(splits.classes),
        "Crop": crop_text(splits.crop),
        "Encoder": config.base or "new",
        "Seed": config.seed,
    }
    summary = "Predicts a value of a DNA sequence." if config.regression else "Tells classes of DNA sequences apart."
    if config.labels is not None:
        summary = f"Predicts {len(config.labels)} {'values' if config.regression else 'labels'} of a DNA sequence."
    clustered = splits.test is not None and splits.test.loci is not None
    return render(
        f"A model of {splits.name}", summary, config, settings, log, metrics_table(measured), notes(measured), clustered
    )


def metrics_table(measured: Mapping[str, Any]) -> dict[str, Any] | None:
    """Lay test metrics out as a table: the model first, baselines below."""
    if "test" not in measured:
        return None
    names = [name for name in measured["test"] if name != "rows"]
    outputs = measured.get("outputs", {})
    rows = {f"this model, mean of {len(outputs)}" if outputs else "this model": measured["test"]} | outputs
    for name, entry in measured.get("baselines", {}).items():
        rows[baseline_text(name)] = entry
    for name, entry in measured.get("above", {}).items():
        rows[f"this model less {baseline_text(name)}"] = entry
    return {
        "columns": [f"test, {measured['test']['rows']:,} rows", *names],
        "rows": [[label, *(interval_text(entry[name]) for name in names)] for label, entry in rows.items()],
    }


def baseline_text(name: str) -> str:
    """Describe a baseline.

    Example:
        >>> baseline_text("4-mers"), baseline_text("its teachers")
        ('logistic regression on 4-mers', 'its teachers')
    """
    return f"logistic regression on {name}" if "-mers" in name else name


def interval_text(entry: Mapping[str, float | None]) -> str:
    """Format a value with its interval.

    Example:
        >>> interval_text({"value": 0.9, "low": 0.88, "high": 0.92})
        '0.900 (0.880 to 0.920)'
    """
    return interval(entry["value"], entry["low"], entry["high"], none="undefined")


def notes(measured: Mapping[str, Any]) -> list[str]:
    """List whether targets were reached, and which rows were left out.

    Example:
        >>> notes({"targets": {"auroc": {"target": 0.9, "reached": True}}})
        ['auroc: the target 0.9 was reached.']
    """
    lines = [
        f"{name}: the target {goal['target']} was {'reached' if goal['reached'] else 'MISSED'}."
        for name, goal in measured.get("targets", {}).items()
    ]
    for split, counts in measured.get("dropped", {}).items():
        if counts.get("with_n") or counts.get("too_short"):
            lines.append(
                f"{split}: {counts['with_n']} rows with an N and {counts['too_short']} too short were left out."
            )
    return lines


def render(
    title: str,
    summary: str,
    config: TrainingConfig,
    facts: Mapping[str, Any],
    log: Log,
    metrics: Mapping[str, Any] | None = None,
    notes: Sequence[str] = (),
    clustered: bool = False,
) -> str:
    """Fill the template of a card."""
    environment = Environment(undefined=StrictUndefined, keep_trailing_newline=True, autoescape=False)
    template = environment.from_string((files("kmerit.training") / "card.md.jinja").read_text(encoding="utf-8"))
    packages = ("kmerit", "torch", "transformers", "accelerate", "numpy")
    return template.render(
        title=title,
        summary=summary,
        facts=facts,
        metrics=metrics,
        notes=notes,
        clustered=clustered,
        log=_log_table(log),
        command=shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]]),
        versions=", ".join(f"{name} {version(name)}" for name in packages),
        config=config.model_dump_json(indent=2, exclude_defaults=True),
    )


def _log_table(log: Log, most: int = 40) -> dict[str, Any]:
    """Lay out the validations, or the training loss where there are none; thinned to ``most`` rows."""
    measured = [entry for entry in log if any(key.startswith("eval_") for key in entry)]
    entries = measured or [entry for entry in log if "loss" in entry]
    entries = entries[:: max(1, -(-len(entries) // most))]
    names = [key for key in (entries[0] if entries else {}) if key not in ("step", "grad_norm")]
    rows = [
        [str(int(entry["step"])), *(f"{entry[name]:.4g}" if name in entry else "" for name in names)]
        for entry in entries
    ]
    return {"columns": [name.removeprefix("eval_") for name in names], "rows": rows}
