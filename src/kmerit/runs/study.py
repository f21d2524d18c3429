"""Studies: experiments with several models in one folder, of which each step is done once.

`study_folder` opens the folder. What is in it is trained, scored and tried by the methods of `Study`, and a stopped
study resumes.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self

from pydantic import Field, model_validator

from kmerit.attribution.attribute import attribute
from kmerit.config import Several, Table
from kmerit.datasets.audit import audit
from kmerit.datasets.findings import Config as AuditConfig
from kmerit.errors import ModelError
from kmerit.io.crops import prepare, sample_per_class
from kmerit.io.scores import read_attributions
from kmerit.models.model import load_model
from kmerit.runs.stages import Watch, unwatched
from kmerit.sequences import Sequences
from kmerit.store import Stages, begin, hold, json_digest, write_text
from kmerit.training.recipe import FinetuneConfig
from kmerit.trials.controls import DECIDING, RANDOM
from kmerit.trials.measures import default_label, drops, summarise
from kmerit.trials.outcomes import read_outcomes
from kmerit.trials.trial import mutate
from kmerit.trials.verdicts import judge

if TYPE_CHECKING:
    import pandas as pd

    from kmerit.models.model import Model
    from kmerit.results import Attribution, Outcomes
    from kmerit.training.data import Splits

STUDY = "study.json"
"""What a study's folder is recognised by: its settings."""
VERDICT = ("method", "label", "verdict", "excess", "low", "high", "control")
"""What `Retrained` keeps of a verdict."""
PATIENCE = 30.0
"""Seconds that one of several processes waits for another to record the settings of their study."""


@contextmanager
def study_folder(
    out: str | Path,
    settings: Table | Mapping[str, Any],
    *,
    free: Collection[str] = (),
    watch: Watch = unwatched,
    shared: bool = False,
    **inputs: Model | Sequences,
) -> Iterator[Study]:
    """Open a study's folder: lock it, and record what determines its results, or check that it is the same.

    Args:
        out: The folder; it is made if it is not there.
        settings: All settings, JSON; they are recorded in ``study.json``.
        free: Keys of the settings that may differ from one time to the next, because what is computed for one of their
            values does not depend on the others: such a study may be done in parts.
        watch: Shows the progress of a step: gets its title, gives a context with a function of (done, all).
        shared: Whether other processes work in the folder at the same time. It is locked then until the settings are
            recorded; each process holds the folders of its own results.
        inputs: Models and sequences that the results depend on; they are recognised by their content.

    Yields:
        The study.

    Raises:
        RunLocked: Another process writes to it.
        RunMismatch: The folder holds results of other settings, or results and no record of their settings.

    Example:
        How a bundled model's scores fare when it is tried with two seeds:

        >>> import tempfile
        >>> import kmerit as km
        >>> model = km.load_model("bundled:promoter")
        >>> sequences = km.Sequences.from_strings(["TATAAAGGCGCGCC", "ACGTTGCAACGGTT"], labels=[1, 0])
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     with study_folder(folder, {"seeds": [0, 1]}, free=["seeds"], model=model) as study:
        ...         for seed in (0, 1):
        ...             arm = study / f"seed{seed}"
        ...             scores = arm.attribute(model, sequences, ["lrp"])
        ...             outcomes = arm.mutate(model, sequences, scores, counts=[0, 2], replicates=1, seed=seed)
        ...             print(outcomes.mutants.num_rows)
        4
        4
    """

    def notes(entry: Path) -> bool:
        return not entry.is_dir() and entry.suffix not in (".csv", ".json")

    out = Path(out)
    recorded = settings.model_dump(mode="json") if isinstance(settings, Table) else dict(settings)
    for name, source in inputs.items():
        by_content = [source.names, source.digests] if isinstance(source, Sequences) else source.digest
        recorded[name] = by_content if isinstance(by_content, str) else json_digest(by_content)
    with ExitStack() as lock:
        lock.enter_context(hold(out, wait=PATIENCE if shared else 0))
        begin(out / STUDY, "a study", recorded, free=free, own=notes)
        if shared:
            lock.close()
        yield Study(out, watch)


@dataclass(frozen=True)
class Study:
    """A study's folder, or one inside it, ``study / "arm"``: each result in it is made once.

    Attributes:
        folder: Where files go.
        watch: Shows the progress of a step.
        title: What stands before the titles of steps.
    """

    folder: Path
    watch: Watch = unwatched
    title: str = ""

    def __truediv__(self, name: str) -> Study:
        return replace(self, folder=self.folder / name, title=f"{self.title}{name}: ")

    def once(self, name: str, file: str, make: Callable[[Path], object]) -> Path:
        """Let a file be made, unless it was made before and is unchanged.

        Args:
            name: What the step is called.
            file: Name of the file in this folder.
            make: Writes it, given its path.

        Example:
            >>> import tempfile
            >>> one = Study(Path(tempfile.mkdtemp()))
            >>> for text in ("first", "second"):
            ...     path = one.once("note", "note.txt", lambda path: path.write_text(text))
            >>> path.read_text()
            'first'
        """
        stages, path = Stages(self.folder), self.folder / file
        if not stages.is_done(name):
            self.folder.mkdir(parents=True, exist_ok=True)
            make(path)
            stages.mark_done(name, [file])
        return path

    def watched(self, title: str, work: Callable[..., Any], *args: Any, **options: Any) -> Any:
        """Call a function of the library that takes ``progress``, and show its progress.

        Example:
            >>> Study(Path()).watched("predicting", lambda rows, progress: rows, 3)
            3
        """
        with self.watch(f"{self.title}{title}") as progress:
            return work(*args, progress=progress, **options)

    def train(
        self,
        recipe: FinetuneConfig | Mapping[str, Any],
        name: str = "model",
        data: Splits | None = None,
        **loading: Any,
    ) -> Model:
        """Fine-tune a model in the folder ``name``, or load it; a training that was stopped resumes.

        Args:
            recipe: Of the fine-tuning, or its keys.
            name: Of the model's folder.
            data: Sequences in place of those that the recipe names.
            loading: Options of `load_model`.

        Raises:
            MissingExtra: accelerate is not installed.

        Example:
            >>> import tempfile
            >>> tiny = {"task": "ienhancer_2l", "k": 3, "hidden": 8, "layers": 1, "heads": 1, "max_steps": 1}
            >>> tiny |= {"baselines": False, "device": "cpu"}
            >>> Study(Path(tempfile.mkdtemp())).train(tiny).labels
            ('background', 'enhancer')
        """
        from kmerit.training import finetune  # needs the extra `train`
        from kmerit.training.card import made_by

        config = recipe if isinstance(recipe, FinetuneConfig) else FinetuneConfig.parse(recipe)
        with made_by("A study of kmerit."):
            folder = self.watched(f"training {name}", finetune, config, self.folder / name, data=data)
        return load_model(folder, **loading)

    def attribute(
        self, model: Model, sequences: Sequences, *args: Any, name: str = "scores", **options: Any
    ) -> dict[str, Attribution]:
        """Score sequences once: scored a second time, the last bits can differ, and no trial could resume.

        Args:
            model: What is explained.
            sequences: What is scored.
            args: Of `attribute`: methods, target.
            name: Of the file, ``NAME.parquet``.
            options: Of `attribute`.

        Returns:
            By method; read from the file.

        Example:
            >>> import tempfile
            >>> import kmerit as km
            >>> rows = km.Sequences.from_strings(["TATAAAGG"])
            >>> model = km.load_model("bundled:promoter")
            >>> list(Study(Path(tempfile.mkdtemp())).attribute(model, rows, ["rollout"]))
            ['rollout']
        """

        def make(path: Path) -> None:
            self.watched(name, attribute, model, sequences, *args, out=path, **options)

        return read_attributions(self.once(f"{name}-{model.digest[:12]}", f"{name}.parquet", make))

    def mutate(
        self,
        model: Model,
        sequences: Sequences,
        scores: Mapping[str, Attribution],
        name: str = "outcomes",
        **design: Any,
    ) -> Outcomes:
        """Mutate what scores rank first, in the folder ``name``; a trial that was stopped resumes.

        Args:
            model: What classifies.
            sequences: What is mutated.
            scores: By method.
            name: Of the folder.
            design: Options of `mutate`.

        Example:
            >>> import tempfile
            >>> import kmerit as km
            >>> rows, model = km.Sequences.from_strings(["TATAAAGG"]), km.load_model("bundled:promoter")
            >>> one = Study(Path(tempfile.mkdtemp()))
            >>> one.mutate(model, rows, one.attribute(model, rows, ["rollout"]), counts=[0, 1]).names
            ('seq0',)
        """
        return read_outcomes(self.watched(name, mutate, model, sequences, scores, out=self.folder / name, **design))

    def audit(self, splits: Splits, **settings: Any) -> Path:
        """Write ``audit.json``: what an audit finds in training and test rows, as the model sees them.

        Args:
            splits: Of a training.
            settings: Of the audit, such as ``baselines``.

        Example:
            >>> import tempfile
            >>> from kmerit.training.data import Splits
            >>> rows = Sequences.from_strings(["ACGTTGCAACGT", "GGATCCATGGAT"], labels=[0, 1])
            >>> Study(Path(tempfile.mkdtemp())).audit(Splits(rows, test=rows), baselines=()).name
            'audit.json'
        """

        def make(path: Path) -> None:
            train = prepare(splits.train, crop=splits.crop, drop_n=False)[0]
            config = AuditConfig.parse({"settings": settings})
            write_text(path, audit({"train": train, "test": splits.test}, config=config).to_json())

        return self.once("audit", "audit.json", make)


class Trial(Table):
    """The trial that every model of a study is put on."""

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


@dataclass(frozen=True)
class Retrained:
    """What came out of a model that was trained and put on trial, see `retrain`.

    Attributes:
        outcomes: Of the trial.
        summary: Of the outcomes, as `summarise` gives it.
        row: ``accuracy`` and ``auroc`` on the whole test split with their intervals, the ``default_label``, the
            ``verdicts``, and the `drops` at the n compared.
    """

    outcomes: Outcomes
    summary: pd.DataFrame
    row: dict[str, Any]


def retrain(study: Study, recipe: Mapping[str, Any], splits: Splits, trial: Trial) -> Retrained:
    """Train a model and put it on trial, or resume either.

    Args:
        study: Where the model and its trial go.
        recipe: Keys of a fine-tuning, from the bundled encoder unless it says otherwise.
        splits: What the model is trained, chosen and tried on.
        trial: Which mutants of which sequences.

    Example:
        >>> import tempfile
        >>> from kmerit.training.data import Splits
        >>> rows = Sequences.from_strings(["ACGTTGCAACGT", "GGATCCATGGAT"] * 2, labels=[0, 1] * 2)
        >>> trial = Trial(methods=["attention"], counts=(0, 5), compared=5, per_class=2, resamples=100)
        >>> recipe = {"max_steps": 1, "device": "cpu"}
        >>> retrain(Study(Path(tempfile.mkdtemp())), recipe, Splits(rows, rows, rows), trial).row["default_label"]
    """
    model = study.train({"base": "bundled:encoder", "baselines": False, **recipe}, data=splits)
    sample = sample_per_class(splits.test or splits.train, trial.per_class, trial.seed)
    scores = study.attribute(model, sample, trial.methods)
    design = trial.model_dump(include={"counts", "replicates", "random_sets", "seed"})
    outcomes = study.mutate(model, sample, scores, controls=(RANDOM, *DECIDING), **design)
    summary = summarise(outcomes, resamples=trial.resamples, seed=trial.seed)
    verdicts = judge(outcomes, resamples=trial.resamples, seed=trial.seed)
    metrics = json.loads((study.folder / "model" / "metrics.json").read_text(encoding="utf-8"))["test"]
    row = {
        "accuracy": metrics["accuracy"],
        "auroc": metrics["auroc"],
        "default_label": default_label(outcomes),
        "verdicts": [{key: getattr(each, key) for key in VERDICT} for each in verdicts],
        "drops": drops(summary, trial.compared),
    }
    return Retrained(outcomes, summary, row)


def retrain_like(
    study: Study, model: Model, recipe: Mapping[str, Any], *, seeds: int = 1, seed: int = 0
) -> Iterator[tuple[str, str, Model]]:
    """Train the recipe of a classifier again, or load what was trained: on shuffled labels, and with other seeds.

    Args:
        study: Where the models go.
        model: Made by the recipe.
        recipe: Keys of a fine-tuning.
        seeds: How many other seeds, those after the recipe's.
        seed: Of the shuffled labels.

    Yields:
        ``shuffled labels`` or ``another seed``, which seed that is, and the model.

    Raises:
        ModelError: A recipe for another number of classes.

    Example:
        >>> import tempfile
        >>> tiny = {"task": "ienhancer_2l", "k": 3, "hidden": 8, "layers": 1, "heads": 1, "max_steps": 1}
        >>> tiny |= {"baselines": False, "device": "cpu"}
        >>> study = Study(Path(tempfile.mkdtemp()))
        >>> [check for check, _, _ in retrain_like(study, study.train(tiny), tiny)]
        ['shuffled labels', 'another seed']
    """
    from kmerit.training.data import load_splits, shuffle_labels  # loads torch

    again = FinetuneConfig.parse({**recipe, "measure_test": False})
    splits = load_splits(again)
    plan = [("shuffled labels", "", "shuffled_labels", again, shuffle_labels(splits, seed))]
    for other_seed in range(again.seed + 1, again.seed + seeds + 1):
        keys = {"seed": other_seed}
        plan.append(("another seed", str(other_seed), f"seed{other_seed}", again.model_copy(update=keys), splits))
    for check, stage, name, config, data in plan:
        other = study.train(config, name, data=data, device=str(model.device), micro_batch=model.micro_batch)
        if other.n_classes != model.n_classes:
            raise ModelError(
                f"The recipe's model has {other.n_classes} classes, {model.name} has {model.n_classes}. "
                f"Give the recipe that the model was trained by (--recipe)."
            )
        yield check, stage, other
