"""The same positives against four sets of negatives: does what the trial says depend on the background?"""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
from pydantic import Field

from kmerit.audit import Config, Settings, audit, make_negatives
from kmerit.audit.negatives import Kind
from kmerit.config import Several, Table
from kmerit.data import find_task, load_task, prepare, sample_per_class
from kmerit.experiments.on_trial import Trial, Watch, on_trial, unwatched
from kmerit.experiments.study import of_config, study
from kmerit.faithfulness.asymmetry import changes, drops, falls_further, ranking
from kmerit.faithfulness.controls import RANDOM, is_control
from kmerit.store import Stages, atomic_write, write_text
from kmerit.training.splits import Splits
from kmerit.types import Sequences

Split = Literal["train", "validation", "test"]


class NegativesConfig(Table):
    """Positives of a task, and the backgrounds they are told from."""

    task: str = "epdnew_nontata"
    kinds: Several[Kind] = ("random", "gc", "shuffled", "gene_body")
    genome: str | None = Field(None, description="FASTA, plain or gzipped; for random and gc")
    gtf: str | None = Field(None, description="genes of that genome; gene bodies are resampled by default")
    train_rows: int = Field(3000, ge=2, description="of both classes together")
    validation_rows: int = Field(600, ge=2)
    test_rows: int = Field(2000, ge=2)
    training: dict[str, Any] = Field({}, description="keys of a fine-tuning")
    trial: Trial
    seed: int = Field(0, ge=0, description="of the rows, the backgrounds and the training")


def make_sets(config: NegativesConfig) -> dict[str, Splits]:
    """Draw the positives once, and give them each kind of background.

    Windows of a genome are drawn for all splits together, so that none overlaps one of another split.

    Raises:
        ConfigError: A kind that needs a genome, and none is given.
    """
    task = find_task(config.task)
    wanted: dict[Split, int] = {
        "train": config.train_rows // 2,
        "validation": config.validation_rows // 2,
        "test": config.test_rows // 2,
    }
    positives: dict[Split, Sequences] = {}
    for split, rows in wanted.items():
        whole = load_task(task, split)
        own = whole.take(np.flatnonzero(whole.labels == 1))
        kept, _ = prepare(own, crop=task.crop, min_length=task.min_length, drop_n=task.drop_n)
        positives[split] = sample_per_class(kept, rows, config.seed)
    sets: dict[str, Splits] = {}
    for kind in config.kinds:
        background = _backgrounds(config, kind, positives)
        parts = {split: _joined(background[split], positives[split]) for split in positives}
        names = (kind, task.classes[1])
        sets[kind] = Splits(parts["train"], parts["validation"], parts["test"], names, task.crop, kind)
    return sets


def _backgrounds(config: NegativesConfig, kind: Kind, positives: dict[Split, Sequences]) -> dict[Split, Sequences]:
    if kind == "gene_body" and config.gtf is None:
        return {split: make_negatives(rows, kind, split=split, seed=config.seed) for split, rows in positives.items()}
    every = _all(list(positives.values()))
    made = make_negatives(every, kind, genome=config.genome, gtf=config.gtf, seed=config.seed)
    found, first = {}, 0
    for split, rows in positives.items():
        found[split] = made.take(slice(first, first + len(rows)))
        first += len(rows)
    return found


def _all(parts: list[Sequences]) -> Sequences:
    loci = [locus for part in parts for locus in part.loci or (None,) * len(part)]
    strings = [text for part in parts for text in part.strings()]
    return Sequences.from_strings(strings, names=[f"p{i}" for i in range(len(strings))], loci=loci)


def _joined(background: Sequences, positives: Sequences) -> Sequences:
    """Put background and positives into one split; coordinates are left behind, as no model may use them."""
    labels = [0] * len(background) + [1] * len(positives)
    return Sequences.from_strings(
        [*background.strings(), *positives.strings()], labels, [*background.names, *positives.names]
    )


def run_negatives(config: NegativesConfig, out: str | Path, watch: Watch = unwatched) -> Path:
    """Train a model against each background, put it on trial, and say what changes; go on where a stopped run was.

    Args:
        config: What determines it.
        out: Folder of the results.
        watch: Shows the progress of a step.

    Returns:
        ``negatives.csv`` in it: a row per background, class, method and count. Beside it ``negatives.json``: accuracy,
        default label, drops, and a warning wherever the ranking of methods or the class that falls further changes;
        ``study.json`` is the config.

    Raises:
        RunMismatch: The folder holds results of another config; ``kinds`` may differ.
        KmeritError: Data or settings that do not fit.

    Example:
        >>> import tempfile
        >>> config = NegativesConfig.parse(
        ...     {
        ...         "kinds": ["shuffled"],
        ...         "train_rows": 8,
        ...         "validation_rows": 4,
        ...         "test_rows": 8,
        ...         "training": {"max_steps": 1, "device": "cpu"},
        ...         "trial": {"methods": ["attention"], "counts": [0, 5], "compared": 5, "per_class": 2},
        ...     }
        ... )
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     run_negatives(config, folder).name
        'negatives.csv'
    """
    out = Path(out)
    settings, earlier = of_config(config)
    with study(out, settings, free=("kinds",), earlier=earlier):  # each kind is drawn by itself, with the same seed
        return _run(config, out, watch)


def _run(config: NegativesConfig, out: Path, watch: Watch) -> Path:
    rows: list[dict[str, Any]] = []
    told: dict[str, dict[str, Any]] = {}
    lost = {}
    for kind, splits in make_sets(config).items():
        _audit(splits, out / kind)
        recipe = {**config.training, "seed": config.seed}
        _, table, told[kind] = on_trial(recipe, config.trial, splits, out / kind, watch)
        lost[kind] = drops(table, config.trial.compared)
        told[kind] |= {"ranking": ranking(lost[kind]), "falls_further": falls_further(lost[kind])}
        told[kind]["drops"] = {
            method: {str(label): drop for label, drop in by.items()}
            for method, by in lost[kind].items()
            if not is_control(method) or method == RANDOM
        }
        rows += [{"negatives": kind, **{str(k): v for k, v in row.items()}} for row in table.to_dict("records")]
    warnings = [text for a, b in pairwise(lost) for text in changes((a, b), lost[a], lost[b])]
    with atomic_write(out / "negatives.json") as part:
        part.write_text(json.dumps({"sets": told, "warnings": warnings}, indent=2) + "\n", encoding="utf-8")
    with atomic_write(out / "negatives.csv") as part:
        pd.DataFrame(rows).to_csv(part, index=False, lineterminator="\n")
    return out / "negatives.csv"


def _audit(splits: Splits, folder: Path) -> None:
    """Write how easily each background is told from the positives without a model."""
    stages = Stages(folder)
    if splits.test is None or stages.is_done("audit"):
        return
    settings = Settings(baselines=("GC", "memory", "4-mer regression"))
    found = audit({"train": splits.train, "test": splits.test}, config=Config(settings=settings))
    write_text(folder / "audit.json", found.to_json())
    stages.mark_done("audit", ["audit.json"])
