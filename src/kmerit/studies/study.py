"""What the studies share: their folder, the trial that they put models on, and their reports."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np
from pydantic import Field, model_validator

import kmerit as km
from kmerit import formats
from kmerit.config import Several, Table
from kmerit.datasets.findings import Config as AuditConfig
from kmerit.store import Stages, begin, hold, write_text
from kmerit.training.data import Splits, labels_of
from kmerit.training.recipe import FinetuneConfig
from kmerit.trials.controls import DECIDING

if TYPE_CHECKING:
    import pandas as pd

Progress = Callable[[int, int], None]
Watch = Callable[[str], AbstractContextManager[Progress]]
"""Shows the progress of a step: gets its title, gives a context with a function of (done, all)."""
Drops = Mapping[str, Mapping[str, float]]
"""By method, then by the number of a class, the accuracy lost."""
RANDOM = "random"
"""The paper's control."""
VERDICT = ["method", "label", "verdict", "excess", "low", "high", "control"]
"""What is kept of a verdict."""


def unwatched(title: str) -> AbstractContextManager[Progress]:
    """Show no progress."""
    return nullcontext(lambda done, total: None)


@contextmanager
def study(out: Path, config: Table, free: Collection[str] = (), **inputs: str) -> Iterator[None]:
    """Hold the folder of a study, and record what determines it, or check that it is the same.

    Args:
        out: The folder; it is made if it is not there.
        config: All settings.
        free: Keys that may differ from one time to the next, as what is computed for one of their values does not
            depend on the others: the folder may be filled in parts.
        inputs: What else determines the results.

    Raises:
        RunLocked: Another process writes to it.
        RunMismatch: The folder holds results of another config, or results and no record of their config.

    Example:
        >>> import tempfile
        >>> class One(Table):
        ...     seed: int
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     for seed in (1, 2):
        ...         with study(Path(folder), One(seed=seed)):
        ...             pass
        Traceback (most recent call last):
        ...
        kmerit.errors.RunMismatch: ... seed was 1, now it is 2. ...
    """

    def notes(entry: Path) -> bool:
        return not entry.is_dir() and entry.suffix not in (".csv", ".json")

    with hold(out):
        begin(out / "study.json", "a study", {**inputs, **config.model_dump(mode="json")}, free=free, own=notes)
        yield


def once(folder: Path, stage: str, file: str, make: Callable[[Path], object]) -> Path:
    """Let a file be made, unless an earlier run made it and it is unchanged."""
    stages, path = Stages(folder), folder / file
    if not stages.is_done(stage):
        folder.mkdir(parents=True, exist_ok=True)
        make(path)
        stages.mark_done(stage, [file])
    return path


def watched(watch: Watch, title: str, work: Callable[..., Any], *args: Any, **options: Any) -> Any:
    """Do something, and show its progress."""
    with watch(title) as progress:
        return work(*args, progress=progress, **options)


def scored(watch: Watch, title: str, folder: Path, stage: str, *args: Any, file: str = "", **options: Any) -> Path:
    """Score sequences once: made a second time, the last bits can differ, and no trial could resume.

    Args:
        watch: Shows the progress.
        title: Of the step.
        folder: Of the file.
        stage: What it is called; its file, too, unless that is given.
        args: Of `kmerit.attribute`: model, sequences, methods, target.
        file: Its name.
        options: Likewise.
    """

    def make(path: Path) -> None:
        watched(watch, title, km.attribute, *args, out=path, **options)

    return once(folder, stage, file or f"{stage.replace(' ', '_')}.parquet", make)


def digest(sequences: km.Sequences) -> str:
    """Identify sequences by their names and letters."""
    letters = hashlib.sha256("\n".join(sequences.names).encode())
    letters.update(sequences.bases.tobytes() + sequences.offsets.tobytes())
    return letters.hexdigest()


def shuffle_labels(splits: Splits, seed: int) -> Splits:
    """Permute the labels of training and validation rows, each split by itself; the test split stays.

    Raises:
        LabelError: A split has no labels.

    Example:
        >>> rows = km.Sequences.from_strings(["ACGT", "CCGT", "AAGT"], labels=[0, 1, 1])
        >>> sorted(shuffle_labels(Splits(rows), seed=0).train.labels.tolist())
        [0, 1, 1]
    """
    rng = np.random.default_rng(seed)

    def permuted(part: km.Sequences) -> km.Sequences:
        return replace(part, labels=rng.permutation(labels_of(part, splits.name)))

    train = permuted(splits.train)
    return replace(splits, train=train, validation=splits.validation and permuted(splits.validation))


class Trial(Table):
    """The trial that every model is put on."""

    per_class: int = Field(200, ge=1)
    methods: list[str] = Field(min_length=1)
    counts: Several[int | Literal["all"]] = (0, 1, 5, 10, 15, 20, "all")
    compared: int = Field(20, ge=1, description="the n at which drops are compared")
    replicates: int = Field(3, ge=1)
    random_sets: int = Field(10, ge=0)
    resamples: int = Field(1000, ge=100)
    seed: int = Field(0, ge=0, description="of the sequences on trial and of their mutants")

    @model_validator(mode="after")
    def _has_a_drop(self) -> Self:
        if not {0, self.compared} <= set(self.counts):
            raise ValueError(f"counts: expected 0 and the n compared, {self.compared}, among them")
        return self


def on_trial(
    recipe: dict[str, Any], trial: Trial, splits: Splits, folder: Path, watch: Watch
) -> tuple[km.Outcomes, pd.DataFrame, dict[str, Any]]:
    """Train a model and put it on trial, or resume either.

    Args:
        recipe: Keys of a fine-tuning, from the bundled encoder unless it says otherwise.
        trial: Which mutants of which sequences.
        splits: What the model is trained, chosen and tried on.
        folder: Of the model and its trial.
        watch: Shows the progress.

    Returns:
        The outcomes; their summary; and ``accuracy`` and ``auroc`` on the whole test split with their intervals, the
        ``default_label``, the ``verdicts``, and the `drops` at the n compared.
    """
    from kmerit.training import finetune  # needs the extra `train`

    title, seed = f"{folder.parent.name}/{folder.name}", trial.seed
    config = FinetuneConfig.parse({"base": "bundled:encoder", "baselines": False, **recipe})
    model = km.load_model(watched(watch, f"{title}: training", finetune, config, folder / "model", data=splits))
    sample = km.sample_per_class(splits.test or splits.train, trial.per_class, seed)
    stage = f"scores-{model.digest[:12]}"
    scores = scored(watch, f"{title}: attribution", folder, stage, model, sample, trial.methods, file="scores.parquet")
    design: dict[str, Any] = {key: getattr(trial, key) for key in ("counts", "replicates", "random_sets", "seed")}
    design |= {"controls": (RANDOM, *DECIDING), "out": folder / "outcomes"}
    outcomes = km.read_outcomes(watched(watch, f"{title}: trial", km.mutate, model, sample, scores, **design))
    summary = km.summarise(outcomes, resamples=trial.resamples, seed=seed)
    verdicts = km.judge(outcomes, resamples=trial.resamples, seed=seed)
    measured = json.loads((folder / "model" / "metrics.json").read_text(encoding="utf-8"))["test"]
    about = {key: measured[key] for key in ("accuracy", "auroc")} | {
        "default_label": km.default_label(outcomes),
        "verdicts": [{key: getattr(each, key) for key in VERDICT} for each in verdicts],
        "drops": drops(summary, trial.compared),
    }
    return outcomes, summary, about


def drops(summary: pd.DataFrame, n: int) -> dict[str, dict[str, float]]:
    """Take from a summary how much accuracy each method's first ``n`` nucleotides cost each class.

    Example:
        >>> import pandas as pd
        >>> rows = [(0, "lrp", 0, 0.9), (0, "lrp", 20, 0.6), (1, "lrp", 0, 0.8), (1, "lrp", 20, 0.75)]
        >>> summary = pd.DataFrame(rows, columns=["label", "method", "n", "accuracy"]).assign(full=False, order="morf")
        >>> {label: round(drop, 2) for label, drop in drops(summary, 20)["lrp"].items()}
        {'0': 0.3, '1': 0.05}
    """
    rows = summary[~summary["full"] & (summary["order"] == "morf")].astype({"label": str})
    accuracy = rows.set_index(["n", "method", "label"])["accuracy"]
    lost = (accuracy[0] - accuracy[n]).unstack()
    return {str(method): by_label.dropna().to_dict() for method, by_label in lost.iterrows()}


def mean_drops(models: Sequence[Drops], methods: Sequence[str]) -> dict[str, float]:
    """Average drops over models and methods, by class."""
    each = [drops[method] for drops in models for method in methods]
    return {label: float(np.mean([by[label] for by in each])) for label in sorted({k for by in each for k in by})}


def falls_further(drops: Drops, methods: Sequence[str]) -> int | None:
    """Name the class that loses most accuracy, averaged over methods; None if the first two lose within 0.02 of it."""
    means = mean_drops([drops], methods)
    first, *rest = sorted(means, key=lambda label: -means[label])
    return None if rest and means[first] - means[rest[0]] <= 0.02 else int(first)


def audited(splits: Splits, folder: Path, **settings: Any) -> None:
    """Write what the audit sees of training and test rows, as the model sees them."""

    def make(path: Path) -> None:
        train = km.prepare(splits.train, crop=splits.crop, drop_n=False)[0]
        config = AuditConfig.parse({"settings": settings})
        write_text(path, km.audit({"train": train, "test": splits.test}, config=config).to_json())

    once(folder, "audit", "audit.json", make)


def report(path: Path, *sections: str) -> Path:
    """Write a report in Markdown."""
    write_text(path, "\n\n".join(sections) + "\n")
    return path


def table(rows: Iterable[Mapping[str, object]], index: Sequence[str] = ()) -> str:
    """Write rows as a Markdown table.

    Args:
        rows: By column; a dash stands where a row has no cell.
        index: Columns that name a row: rows that agree in them become one.

    Example:
        >>> print(table([{"method": "lrp", "a": 1}, {"method": "lrp", "b": 2}, {"method": "ism", "b": 3}], ["method"]))
        | method | a | b |
        |----------|-----|-----|
        | lrp | 1 | 2 |
        | ism | – | 3 |
    """
    lines: dict[object, dict[str, object]] = {}
    for i, row in enumerate(rows):
        lines.setdefault(tuple(row[key] for key in index) or i, {}).update(row)
    head = list(dict.fromkeys(key for line in lines.values() for key in line))
    return formats.markdown_table(head, [[line.get(key, formats.DASH) for key in head] for line in lines.values()])


def interval(value: float | None, low: float | None, high: float | None, digits: int = 3, **rest: object) -> str:
    """Format a number with its interval, where that is known; other fields of a result are ignored."""
    return formats.interval(value, low, high, digits)
