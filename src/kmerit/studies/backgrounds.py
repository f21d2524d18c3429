"""The same positives against several sets of negatives: does what the trial says depend on the background?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from itertools import pairwise
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from pydantic import Field

import kmerit as km
from kmerit.config import Several, Table
from kmerit.datasets.negatives import Kind, make_backgrounds
from kmerit.datasets.task import Split, find_task
from kmerit.report import studies as reports
from kmerit.results import Remark
from kmerit.runs.stages import Watch, unwatched
from kmerit.runs.study import Trial, retrain, study_folder
from kmerit.store import write_csv, write_json
from kmerit.training.data import Splits
from kmerit.trials.controls import RANDOM
from kmerit.trials.measures import falls_further, rank_by_drop
from kmerit.uncertainty import kendall_tau


class Change(Remark):
    """What one background changes in what a trial says.

    Attributes:
        CODES: ``ranking``: of the methods, by their mean drop, with Kendall's ``tau``. ``falls_further``: the class
            that does; None for neither.
    """

    CODES: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "ranking": ("tau", "first", "second", "first_set", "second_set"),
        "falls_further": ("before", "after", "first_set", "second_set"),
    }


class BackgroundsConfig(Table):
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


def make_sets(config: BackgroundsConfig) -> dict[str, Splits]:
    """Draw the positives once, and give them each kind of background.

    Raises:
        ConfigError: A kind that needs a genome, and none is given.
    """
    task = find_task(config.task)
    sizes: dict[Split, int] = {
        "train": config.train_rows,
        "validation": config.validation_rows,
        "test": config.test_rows,
    }
    positives: dict[Split, km.Sequences] = {}
    for split, rows in sizes.items():
        every = km.load_task(task, split)
        own = every.take(np.flatnonzero(every.labels == 1))
        kept, _ = km.prepare(own, crop=task.crop, min_length=task.min_length, drop_n=task.drop_n)
        positives[split] = km.sample_per_class(kept, rows // 2, config.seed)
    sets: dict[str, Splits] = {}
    for kind in config.kinds:
        backgrounds = make_backgrounds(positives, kind, genome=config.genome, gtf=config.gtf, seed=config.seed)
        # Without coordinates, as no model may use them.
        train, validation, test = (
            km.Sequences.from_strings(
                [*background.strings(), *own.strings()],
                [0] * len(background) + [1] * len(own),
                [*background.names, *own.names],
            )
            for background, own in zip(backgrounds, positives.values(), strict=True)
        )
        sets[kind] = Splits(train, validation, test, (kind, task.classes[1]), task.crop, kind)
    return sets


def run_backgrounds(config: BackgroundsConfig, out: str | Path, watch: Watch = unwatched) -> Path:
    """Train a model against each background, put it on trial, and say what changes; resume a stopped run.

    Args:
        config: What determines it.
        out: Folder of the results.
        watch: Shows the progress of a step.

    Returns:
        ``negatives.md`` in it. ``negatives.csv`` has a row per background, class, method and count; ``negatives.json``
        has accuracy, default label, drops, and a `Change` wherever the ranking of methods or the class that falls
        further changes; ``study.json`` is the config.

    Raises:
        RunMismatch: The folder holds results of another config; ``kinds`` may differ.
        KmeritError: Data or settings that do not fit.

    Example:
        >>> import tempfile
        >>> few = {"kinds": ["shuffled"], "train_rows": 8, "validation_rows": 4, "test_rows": 8}
        >>> trial = {"methods": ["attention"], "counts": [0, 5], "compared": 5, "per_class": 2}
        >>> config = BackgroundsConfig.parse({**few, "trial": trial, "training": {"max_steps": 1, "device": "cpu"}})
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     run_backgrounds(config, folder).name
        'negatives.md'
    """
    import pandas as pd

    out, methods = Path(out), config.trial.methods
    tables, sets = [], {}
    with study_folder(
        out, config, free=("kinds",), watch=watch
    ) as study:  # each kind is drawn by itself, with one seed
        for kind, splits in make_sets(config).items():
            (study / kind).audit(splits, baselines=("GC", "memory", "4-mer regression"))
            model = retrain(study / kind, {**config.training, "seed": config.seed}, splits, config.trial)
            drops = {name: by for name, by in model.row.pop("drops").items() if name in (*methods, RANDOM)}
            order = {"ranking": rank_by_drop(drops, methods), "falls_further": falls_further(drops, methods)}
            sets[kind] = {**model.row, **order, "drops": drops}
            tables.append(model.summary.assign(negatives=kind)[["negatives", *model.summary.columns]])
        every = [change for a, b in pairwise(sets) for change in changes((a, b), sets[a], sets[b])]
        write_json(out / "negatives.json", {"sets": sets, "changes": [asdict(change) for change in every]})
        write_csv(out / "negatives.csv", pd.concat(tables))
        return reports.backgrounds(out / "negatives.md", sets, every)


def changes(names: tuple[str, str], first: dict[str, Any], second: dict[str, Any]) -> list[Change]:
    """Find what differs in a second data set: the ranking of methods, the class that falls further.

    Example:
        >>> changes(("a", "b"), {"ranking": ["lrp"], "falls_further": 0}, {"ranking": ["lrp"], "falls_further": 1})
        [Change(code='falls_further', values={'before': 0, 'after': 1, 'first_set': 'a', 'second_set': 'b'})]
    """
    sets = dict(zip(("first_set", "second_set"), names, strict=True))
    one, two = first["ranking"], second["ranking"]
    differences = []
    if one != two:
        tau = float(kendall_tau([two.index(method) for method in one], range(len(one))))
        differences.append(Change("ranking", {"tau": tau, "first": one, "second": two, **sets}))
    if first["falls_further"] != second["falls_further"]:
        differences.append(
            Change("falls_further", {"before": first["falls_further"], "after": second["falls_further"], **sets})
        )
    return differences
