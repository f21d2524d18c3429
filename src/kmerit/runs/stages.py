"""The stages of a task, in order. Each reads what earlier ones left, and leaves its own artefacts."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping, Sequence, Set
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from kmerit.config import Tree
from kmerit.datasets.task import load_task
from kmerit.disk import need_space
from kmerit.errors import ConfigError, LabelError, ModelError, RunError, RunMismatch, SequenceError
from kmerit.io.crops import Crop, prepare, sample_per_class
from kmerit.io.readers import read_sequences, write_sequences
from kmerit.report.load import DEPARTURES, LEDGER, REFERENCE, REFERENCES, Note
from kmerit.results import BOTH, Attribution, Outcomes, Problem, value_name
from kmerit.runs.model_card import recorded_baselines
from kmerit.runs.settings import CropTable, MotifTable, RunConfig, TaskTable, grid
from kmerit.sequences import Bool, Int64, Sequences
from kmerit.store import Work, all_recorded, atomic_write, check_sources, source_sums, write_csv, write_json
from kmerit.trials.operators import check_room, operator_named
from kmerit.trials.rankings import as_numbers, check_counts

if TYPE_CHECKING:
    import pandas as pd

    from kmerit.attribution.references import Reference
    from kmerit.datasets.dataset import Dataset
    from kmerit.datasets.findings import Audit
    from kmerit.models.inference import MicroBatch
    from kmerit.models.masked import MaskedModel
    from kmerit.models.model import Model
    from kmerit.sequences import Float
    from kmerit.training.recipe import FinetuneConfig

_LOG = logging.getLogger("kmerit.runs")


Progress = Callable[[int, int], None]
"""Called with how much is done, and of how much."""

Watch = Callable[[str], AbstractContextManager[Progress]]
"""Shows the progress of a step: gets its title, gives a context with a function of (done, all)."""


def unwatched(title: str) -> nullcontext[Progress]:
    """Show no progress.

    Example:
        >>> with unwatched("predicting") as progress:
        ...     progress(1, 2)
    """
    return nullcontext(lambda done, total: None)


def unsaid(text: str) -> None:
    """Show nothing."""


@dataclass(frozen=True, eq=False)
class Job:
    """One task of a run.

    Attributes:
        name: The task's.
        config: The run's, resolved.
        folder: Where the task's artefacts go.
        watch: Displays progress.
        say: Shows a line of text.
        models: Models in memory, by the name that the config calls them.
        share: What of the stage is done that can be shared; by default all.
    """

    name: str
    config: RunConfig
    folder: Path
    watch: Watch
    say: Callable[[str], None] = unsaid
    models: Mapping[str, Model] = field(default_factory=dict)
    share: Work | None = None

    @property
    def table(self) -> TaskTable:
        """The task's part of the config."""
        return self.config.tasks[self.name]

    @property
    def crop(self) -> Crop | None:
        """Which part of a sequence is kept."""
        crop = self.table.crop
        return Crop(crop.length, crop.anchor) if isinstance(crop, CropTable) else None

    @property
    def model_name(self) -> str:
        """What to call the model; a run's folder may be moved, so its path is no name for what lies in it."""
        return self.table.model or f"{(self.table.finetune or {}).get('base')}, fine-tuned on {self.name}"

    @cached_property
    def drawn(self) -> Drawn:
        """The rows of the task, read once."""
        return draw_rows(self)

    @property
    def model_folder(self) -> Path | None:
        """Where the model lies; None of one that is in memory."""
        from kmerit.models.checkpoint import locate

        if self.table.model is None:
            return self.folder / "model"
        return None if self.table.model in self.models else locate(self.table.model, self.table.revision)

    def load_model(self, folder: Path | None = None) -> Model:
        """Load the model as the config says: from memory, from where it lies, or where the run has put its own.

        Args:
            folder: Where another one lies that is to take its place.
        """
        from kmerit.models.model import elsewhere, load_model

        compute = self.config.compute
        own = self.models.get(self.table.model or "")
        if own is not None:
            model = elsewhere(own, compute.device, compute.dtype, compute.micro_batch)
        else:
            checkpoint = folder or self.table.model or self.folder / "model"
            model = load_model(checkpoint, compute.device, compute.dtype, compute.micro_batch, self.table.revision)
        model = replace(model, name=self.model_name)
        if isinstance(target := self.config.attribution.target, dict):
            model = model.task(target)
            model = replace(model, name=f"{self.model_name}, {model.labels[0]}")
        return model if self.table.label is None else model.task(self.table.label)

    @cached_property
    def model(self) -> Model:
        """The model, loaded once, and the same that the run began with.

        Raises:
            RunMismatch: Its weights have changed since.
        """
        model = self.load_model()
        self._check_weights(model)
        return model.begun_with(self.begun, self.folder, "a run")

    def check_own_model(self) -> None:
        """Refuse another model in memory than the one that the run began with, even if nothing is left to do.

        Raises:
            RunMismatch: It has other weights.
        """
        if self.table.model in self.models:
            self._check_weights(self.load_model())

    def _check_weights(self, model: Model) -> None:
        before = self.read_json("model.json")["digest"]
        if model.digest != before:
            raise RunMismatch(
                f"The weights of {model.name} changed since this run began (sha256 {before[:12]}, now "
                f"{model.digest[:12]}). Put them back, or choose a new folder with --out (Python: out=)."
            )

    @property
    def micro_batch(self) -> MicroBatch:
        """The run's micro-batch; before it has a model, that of the config."""
        recorded: MicroBatch | None = self.begun.get("micro_batch")
        return self.config.compute.micro_batch if recorded is None else recorded

    @property
    def begun(self) -> dict[str, Any]:
        """Which matrix products the run makes, and its micro-batch; empty before it has a model."""
        about = all_recorded(self.folder / "model.json")
        return {key: about[key] for key in ("products", "micro_batch") if key in about}

    def load_encoder(self) -> Model:
        """Load the encoder by which departures are measured."""
        from kmerit.models.model import load_model

        compute = self.config.compute
        model = load_model(self.config.trial.departure or "", compute.device, compute.dtype, self.micro_batch)
        return replace(model, fixed_products=self.begun.get("products"))

    def load_masker(self) -> MaskedModel | None:
        """Load the masked language model by which departures are measured, where there is one."""
        from kmerit.models.inference import MICRO_BATCH
        from kmerit.models.masked import load_masked

        name, device = self.config.trial.departure_masked, self.config.compute.device
        micro_batch = MICRO_BATCH if self.micro_batch == "auto" else self.micro_batch
        return None if name is None else load_masked(name, device, micro_batch)

    def sequences(self, which: str) -> Sequences:
        """Read what the data stage has kept: ``test``, ``sequences`` or ``validation``."""
        return read_sequences(self.folder / f"{which}.parquet")

    def read_json(self, name: str) -> Any:
        """Read one of the task's artefacts."""
        return json.loads((self.folder / name).read_text(encoding="utf-8"))


@dataclass(frozen=True, eq=False)
class Drawn:
    """What the data stage keeps.

    Attributes:
        test: The whole test split.
        sample: The sequences on trial.
        validation: Those to choose LRP* on; None if there are none.
        dropped: Rows of the test split that were left out, by the reason.
    """

    test: Sequences
    sample: Sequences
    validation: Sequences | None
    dropped: dict[str, int]


def draw_rows(job: Job) -> Drawn:
    """Read, filter and crop the test split; draw the sequences of the trial, and those to choose LRP* on.

    Raises:
        FormatError: A file cannot be read.
        LabelError: No classes, or only one.
        CountError: A sequence is shorter than a count that the config asks for.
    """
    data, seed = job.config.data, job.config.seed
    test, dropped = _read(job, "test")
    sample = _sample(test, data.per_class, seed)
    if not have_values(sample) and len(np.unique(class_labels(sample, job.name))) < 2:
        raise LabelError(
            f"{job.name}: all {len(test)} test sequences have the label {class_labels(sample, job.name)[0]}. A run "
            f"compares classes, so give sequences of at least two."
        )
    shortest = int(np.argmin(sample.lengths))
    check_room(map(operator_named, job.config.trial.operators or ()), sample)
    for key, counts in _counts(job).items():
        as_numbers(counts, sample, key=key)
        check_counts(counts, int(sample.lengths[shortest]), sample.names[shortest], key=key)
    validation = _validation(job, test, sample)
    choice_rows = _sample(validation, data.validation_per_class or data.per_class, seed) if len(validation) else None
    return Drawn(test, sample, choice_rows, dropped)


def have_values(sequences: Sequences) -> bool:
    """Return whether sequences are labelled with one value each, so that the run is of a value."""
    labels = sequences.labels
    return labels is not None and labels.dtype != np.int64 and sequences.outputs is None


def _sample(sequences: Sequences, per_class: int, seed: int) -> Sequences:
    """Draw sequences of every class; with values, of all of them."""
    if not have_values(sequences):
        return sample_per_class(sequences, per_class, seed)
    together = replace(sequences, labels=np.zeros(len(sequences), dtype=np.int64))
    return replace(drawn := sample_per_class(together, per_class, seed), labels=_values_at(sequences, drawn))


def _values_at(sequences: Sequences, drawn: Sequences) -> NDArray[Any]:
    at = {name: row for row, name in enumerate(sequences.names)}
    return np.asarray(sequences.labels)[[at[name] for name in drawn.names]]


def class_labels(sequences: Sequences, task: str) -> Int64:
    """Check that the labels are classes, and return them.

    Raises:
        LabelError: There are none, or they are values.
    """
    if sequences.labels is None or sequences.labels.dtype != np.int64 or sequences.outputs is not None:
        raise LabelError(
            f"{task}: a run needs the class of every sequence, as names or whole numbers from 0. Add a column 'label', "
            f"or name it with label_column; BED has none, a table of chrom, start, end and label may."
        )
    return sequences.labels


def read_own(job: Job, path: str) -> Sequences:
    """Read a file of the user's; labels that are names are numbered as the model's classes.

    That order is the config's, else the names that the model gives its classes, else that of the training file.

    Raises:
        LabelError: A label that is not one of the classes.
    """
    table = job.table
    sequences = read_sequences(
        path,
        case=table.case,
        sequence_column=table.sequence_column,
        label_column=table.label_column,
        name_column=table.name_column,
        rename=table.rename,
        classes=table.classes,
        genome=table.genome,
        width=table.width,
        coordinates=table.coordinates is not False,
    )
    if sequences.classes is None or table.classes is not None:
        return replace(sequences, classes=None)
    if table.model is not None:
        return job.load_model().numbered(sequences)
    if table.train is None or path == table.train:
        return sequences
    return sequences.numbered(read_own(job, table.train).classes or ())


def _counts(job: Job) -> dict[str, Sequence[int | str]]:
    """List what the config asks to be substituted, by its key."""
    trial = job.config.trial
    satellites = [trial.operator_count] if trial.operators and trial.operator_count else []
    chosen = [trial.choice_count] if {"lrp", "lrp_last"} <= set(job.config.attribution.methods) else []
    return {"trial.counts": trial.counts or [], "trial.operator_count": satellites, "trial.choice_count": chosen}


def _read(job: Job, split: str) -> tuple[Sequences, dict[str, int]]:
    """Read a split (of a task that kmerit knows) or a file (of the user), and keep what the config keeps."""
    table = job.table
    path = {"test": table.sequences, "validation": table.validation}[split]
    sequences = load_task(job.name, split, source=table.source) if path is None else read_own(job, path)
    if not have_values(sequences):
        class_labels(sequences, job.name)
    return prepare(sequences, crop=job.crop, min_length=table.min_length, drop_n=bool(table.drop_n))


def _validation(job: Job, test: Sequences, sample: Sequences) -> Sequences:
    """Give the sequences to choose LRP* on; of the user's one file those that the trial does not use."""
    if job.table.sequences is not None and job.table.validation is None:
        trial_names = set(sample.names)
        return test.take([i for i, name in enumerate(test.names) if name not in trial_names])
    return _read(job, "validation")[0]


_PACKED = 8
"""By how much scores are packed at the most."""


def plan(job: Job, undone: Set[str]) -> None:
    """Read and check all that the stages to be done need, before the first of them; nothing is written.

    Args:
        job: The task.
        undone: Names of the stages that are not done.

    Raises:
        KmeritError: Data, a model, a recipe or a setting that a stage would refuse; or too little space.
    """
    if not undone:
        return
    from kmerit.attribution.attribute import check_methods
    from kmerit.models.model import find_device
    from kmerit.trials.departures import check_departures
    from kmerit.trials.execution import check_sequences, maskers_of

    find_device(job.config.compute.device)
    inputs = job.drawn if "data" in undone else None
    sample = inputs.sample if inputs else job.sequences("sequences")
    test = inputs.test if inputs else job.sequences("test")
    methods, target = job.config.attribution.methods, job.config.attribution.task_target
    size = 4 * int(sample.lengths.sum()) * len(methods) // _PACKED

    def use(model: Model) -> None:
        _check_model(job, model, test)
        if job.config.attribution.reference == "training" and model.other_unit is not None:
            raise ConfigError(
                f"attribution.reference: it is 'training', and {model.other_unit}. Give 'shuffled' or a number in the "
                f"unit of attribution.target, or explain what the model was trained on."
            )
        check_methods(model, sample, methods, target)
        check_sequences(model, sample)
        maskers_of(model, sample, map(operator_named, job.config.trial.operators or ()))
        if job.config.trial.departure is not None:
            check_departures(job.load_encoder(), sample, job.load_masker())
        if job.table.own is not None and undone & {"data", "attribute"}:
            own_attributions(job, model, sample, test)

    _check_reference(job, inputs.test if inputs else test)
    if job.table.finetune is not None and job.table.own is not None:
        raise ConfigError(
            f"tasks.{job.name}.own: own scores need an existing model; this task trains its model. "
            f"Set 'model' instead of 'finetune'."
        )
    if job.table.finetune is None:
        for path in (job.table.train, job.table.validation):
            if path is not None and undone & {"data", "audit"}:
                rows = read_own(job, path)
                named = path == job.table.train and job.config.attribution.reference == "training"
                if named and have_values(test) and rows.labels is not None and rows.labels.dtype == np.int64:
                    raise LabelError(
                        f"attribution.reference: it is 'training', and {path} has classes. Give values in a column "
                        f"'value', or another reference."
                    )
        use(job.load_model() if "model" in undone else job.model)
    elif "model" in undone:
        from kmerit.training import check_recipe

        recipe = finetune_config(job)
        if recipe.regression:
            raise ConfigError(
                f"tasks.{job.name}.finetune.regression: a run trains classifiers. Train a model that predicts a value "
                f"with kmerit finetune, and give it as 'model' in place of 'finetune'."
            )
        size += check_recipe(recipe, lambda folder: use(job.load_model(folder)))
    need_space(job.folder, size)


def _check_reference(job: Job, test: Sequences) -> None:
    """Refuse a reference that this run cannot form."""
    settings, table = job.config.attribution, job.table
    if settings.reference is None:
        return
    if not _summing(job):
        raise ConfigError(
            f"attribution.reference: the scores of {', '.join(settings.methods)} do not add up to the output, so "
            f"they have no reference. Add cp_lrp or integrated_gradients, for example."
        )
    if settings.strands == "both":
        raise ConfigError("attribution.reference: it is of one strand. Leave attribution.strands at 'forward'.")
    if settings.reference == "negatives" and (have_values(test) or not (class_labels(test, job.name) == 0).any()):
        raise ConfigError("attribution.reference: 'negatives' are the sequences of class 0; there are none here.")
    if settings.reference == "training" and table.sequences is not None and table.train is None:
        raise ConfigError(
            f"attribution.reference: 'training' needs the training rows. Add train to [tasks.{job.name}]."
        )


def _summing(job: Job) -> list[str]:
    """Name the run's methods whose relevances may be of the difference from a reference."""
    from kmerit.attribution.method import methods

    return [name for name in job.config.attribution.methods if name in methods() and methods()[name].sums]


def _rows_of(job: Job, kind: str) -> Sequences | None:
    """Give the sequences of a reference of the run, prepared as the test split; None where it has none."""
    test, table = job.sequences("test"), job.table
    if kind == "negatives":
        none = have_values(test) or not (class_labels(test, job.name) == 0).any()
        return None if none else test.take(np.flatnonzero(class_labels(test, job.name) == 0))
    if table.sequences is not None and table.train is None:
        return None
    rows = load_task(job.name, "train", source=table.source) if table.train is None else read_own(job, table.train)
    return prepare(rows, crop=job.crop, min_length=table.min_length, drop_n=bool(table.drop_n))[0]


def _reference(job: Job, sequences: Sequences, kind: str | float, copies: int) -> Reference | None:
    """Form a reference of some sequences; None where the run has no rows for it."""
    from kmerit.attribution.references import reference

    of = _rows_of(job, kind) if kind in ("negatives", "training") and isinstance(kind, str) else None
    if of is None and kind in ("negatives", "training"):
        return None
    return reference(job.model, sequences, kind, of=of, target=job.config.attribution.task_target, copies=copies)


def _write_references(job: Job, sample: Sequences, explained_reference: Reference | None) -> None:
    """State the reference, and how far the ranks of some sequences depend on which one it is."""
    from kmerit.attribution.attribute import attribute
    from kmerit.attribution.attribute import sample as drawn
    from kmerit.attribution.references import agreement_of
    from kmerit.errors import ReferenceUnreachable

    for name in (REFERENCE, REFERENCES):
        (job.folder / name).unlink(missing_ok=True)
    if explained_reference is None:
        return
    checked_sample, own_reference = (
        sample.take(drawn(len(sample), CHECKED, job.config.seed)),
        job.config.attribution.reference,
    )
    by_reference, missing = {}, {}
    with job.watch(f"{job.name}: references (steps)") as progress:
        kinds: list[str | float] = list(dict.fromkeys(["shuffled", "negatives", "training", 0.0, own_reference or 0.0]))
        for number, kind in enumerate(kinds):
            name, other = kind if isinstance(kind, str) else f"{kind:g}", None
            try:
                if kind == "training" and job.model.other_unit is not None:
                    missing[name] = "other_unit"
                else:
                    other = _reference(job, checked_sample, kind, FEW_COPIES)
            except ReferenceUnreachable:
                missing[name] = "unreachable"
            except LabelError:
                missing[name] = "no_values"
            except SequenceError:
                missing[name] = "no_other_order"
            if other is not None:
                target = job.config.attribution.task_target
                by_reference[name] = attribute(job.model, checked_sample, _summing(job), target, reference=other)
            elif name not in missing:
                missing[name] = "no_rows"
            progress(number + 1, len(kinds))
    if len(by_reference) > 1:
        write_csv(job.folder / REFERENCES, agreement_of(by_reference))
    about = {**explained_reference.about, "formed": [*by_reference], "missing": missing}
    write_json(job.folder / REFERENCE, about)


def named_sources(job: Job) -> dict[str, str]:
    """Name the user's own files and folders that determine the results of a task, by their keys."""
    table = job.table
    names = {key: getattr(table, key) for key in ("sequences", "validation", "train", "genome", "model")}
    own = {"own": table.own} if isinstance(table.own, str) else {f"own.{k}": v for k, v in (table.own or {}).items()}
    names |= own
    names["finetune.base"] = (table.finetune or {}).get("base")
    return {f"tasks.{job.name}.{key}": name for key, name in names.items() if isinstance(name, str)}


def own_attributions(
    job: Job, model: Model, sample: Sequences, test: Sequences, target: Int64 | None = None
) -> dict[str, Attribution]:
    """Read the scores of the config's key ``own``, of the sequences on trial.

    Args:
        job: The task.
        model: What was explained.
        sample: The sequences on trial.
        test: The whole test split, which arrays have a row of each of.
        target: ``int64 [sequence]``, what arrays explain: what the other methods do.

    Raises:
        KmeritError: Scores that do not belong to these sequences, or of a name that is taken.
    """
    from kmerit.attribution.own_scores import own_scores, read_scores, says_target
    from kmerit.trials.rankings import is_bound
    from kmerit.trials.trial import check_methods

    own = job.table.own
    files = own if isinstance(own, dict) else [own] if own else []
    by_name, rows = read_scores(files), {name: row for row, name in enumerate(test.names)}
    check_methods(tuple(by_name))
    attributions = {}
    for name, each in by_name.items():
        if name in job.config.attribution.methods or is_bound(name):
            raise ConfigError(
                f"tasks.{job.name}.own: {name!r} is the name of a method. Rename the scores: NAME = FILE."
            )
        complete, explained = isinstance(each, Attribution), says_target(each)
        scores = each if complete else own_scores(model, test, {name: each}, "predicted" if explained else 0)[name]
        at = {sequence: row for row, sequence in enumerate(scores.names)} if complete else rows
        if missing := [sequence for sequence in sample.names if sequence not in at]:
            raise SequenceError(
                f"tasks.{job.name}.own: {name!r} has no scores of {missing[0]!r} ({len(missing)} of the "
                f"{len(sample)} sequences on trial lack them). Score the whole test file."
            )
        scores = scores.take([at[sequence] for sequence in sample.names]).of(sample)
        width, effects = int(sample.lengths.max()), scores.substitutions
        attributions[name] = replace(
            scores,
            scores=scores.scores[:, :width],
            substitutions=None if effects is None else effects[:, :width],
            target=scores.target if complete or explained or target is None else target,
        )
    return attributions


def check_own_sources(job: Job) -> None:
    """Refuse to go on where one of them was changed since; where one is gone, that is said.

    Raises:
        RunMismatch: One was.
    """
    check_sources(job.read_json("data.json").get("sources", {}), named_sources(job))


def draw(job: Job) -> None:
    """Keep the test split, the sequences of the trial, and those to choose LRP* on."""
    data = job.drawn
    write_sequences(data.test, job.folder / "test.parquet")
    write_sequences(data.sample, job.folder / "sequences.parquet")
    if data.validation is not None:
        write_sequences(data.validation, job.folder / "validation.parquet")
    write_json(job.folder / "data.json", {"dropped": data.dropped, "sources": source_sums(named_sources(job))})


def provide_model(job: Job) -> None:
    """Fine-tune the model if the config says so; check that it fits the data, and settle what it computes with."""
    from kmerit.attribution.attribute import fitted

    if job.table.finetune is not None:
        from kmerit.training import finetune
        from kmerit.training.card import made_by
        from kmerit.training.recipe import begin, is_done

        if is_done(job.folder / "model"):
            begin(job.folder / "model", finetune_config(job))  # a recipe that was damaged since: this run knows it
        with job.watch(f"{job.name}: fine-tuning") as progress, made_by("A run of kmerit."):
            finetune(finetune_config(job), job.folder / "model", progress=progress)
    model = job.load_model()
    _check_model(job, model, job.sequences("test"))
    about = {"name": model.name, "family": model.family, "labels": list(model.labels), "digest": model.digest}
    about |= {"value": value_name(model.labels[0])} if model.regression else {}
    model = fitted(model, job.sequences("sequences"), job.config.attribution.methods)
    write_json(job.folder / "model.json", {**about, "products": model.products, "micro_batch": model.micro_batch})


def _check_model(job: Job, model: Model, test: Sequences) -> None:
    model.check_target()
    if model.problem in (Problem.LABELS, Problem.VALUES):
        raise ModelError(
            f"{model.name} predicts {model.n_classes} {model.problem.value}, each a task of its own. Choose one with "
            f"the key 'label' of [tasks.{job.name}]: {model.listed}."
        )
    if model.regression != have_values(test):
        theirs = "values" if have_values(test) else "classes"
        raise LabelError(
            f"{job.name}: {model.name} predicts {'a value' if model.regression else 'classes'}, and the sequences are "
            f"labelled with {theirs}. Give a model or labels of the same kind; values stand in a column 'value'."
        )
    if model.regression:
        if job.table.classes is not None:
            raise LabelError(
                f"{job.name} has the classes {', '.join(job.table.classes)}; {model.name} predicts a value."
            )
        model.check(test)
        return
    names, labels = job.table.classes, class_labels(test, job.name)
    if names is not None and len(names) != model.n_classes:
        raise LabelError(f"{job.name} has the classes {', '.join(names)}; {model.name} has {model.n_classes} classes.")
    if names is not None and tuple(names) != model.labels and set(names) == set(model.labels):
        raise LabelError(
            f"{job.name} has the classes {', '.join(names)}, in this order; {model.name} has "
            f"{', '.join(model.labels)}. Name them in the model's order, and number labels so."
        )
    if labels.max() >= model.n_classes:
        raise LabelError(f"{job.name} has the label {labels.max()}; {model.name} has only {model.n_classes} classes.")
    if (target := job.config.attribution.task_target) not in ("predicted", "label"):
        model.output(target)
    model.check(test)


def finetune_config(job: Job) -> FinetuneConfig:
    """Pass to the training what the config says of the task, so that model and trial see the same crops.

    Raises:
        ConfigError: Unknown keys or wrong values in ``[training]`` or the task's ``finetune``.
    """
    from kmerit.training.recipe import FinetuneConfig

    table, compute = job.table, job.config.compute
    own = {"train": table.train, "validation": table.validation, "test": table.sequences}
    columns = {
        "sequence_column": table.sequence_column,
        "label_column": table.label_column,
        "name_column": table.name_column,
        "case": table.case,
        "rename": table.rename,
        "genome": table.genome,
        "width": table.width,
        "coordinates": table.coordinates,
    }
    values = {
        "seed": job.config.seed,
        "threads": compute.threads,
        "device": "cpu" if compute.device == "cpu" else "auto",
        "crop": table.crop if isinstance(table.crop, str) or table.crop is None else table.crop.model_dump(),
        "min_length": table.min_length,
        "drop_n": table.drop_n,
        **({"task": job.name, "source": table.source} if table.sequences is None else {**own, **columns}),
        "classes": table.classes if table.sequences is not None else None,
    }
    settings = {key: value for key, value in values.items() if value is not None}
    return FinetuneConfig.parse({**settings, **job.config.training, **(table.finetune or {})})


def audited_splits(job: Job) -> Dataset:
    """Gather what the model learned from and what it is tested on, cropped alike, for an audit.

    Without training sequences (your own file, and a model that was made elsewhere) there is one split.
    """
    from kmerit.datasets.dataset import Rows, assemble

    table = job.table
    parts = {"test": [Rows.of(job.sequences("test"))]}
    if table.sequences is None:
        learnt = [load_task(job.name, split, source=table.source) for split in ("train", "validation")]
    else:
        own = [path for path in (table.train, table.validation) if path is not None]
        learnt = [read_own(job, path) for path in own]
    if learnt:
        parts["train"] = [
            Rows.of(prepare(rows, crop=job.crop, min_length=table.min_length, drop_n=bool(table.drop_n))[0])
            for rows in learnt
        ]
    names = table.classes or job.sequences("test").classes or job.read_json("model.json")["labels"]
    return assemble(job.name, parts, names)


_FLAGS = ("zero", "undefined", "nonfinite")


def notes(job: Job, outcomes: Outcomes, summary: pd.DataFrame) -> Tree:
    """Gather classes, model, default label, flags of the scores, what was dropped, and notes."""
    from kmerit.trials.measures import default_label

    sample = job.sequences("sequences")
    about, classes = job.read_json("model.json"), job.table.classes
    value = about.get("value")
    labels = np.zeros(len(sample), dtype=np.int64) if value else class_labels(sample, job.name)
    names = [value] if value else classes or about["labels"]
    flags = _flags(job, labels)
    return {
        "task": job.name,
        "title": job.table.title or job.name,
        "classes": names,
        "model": about["name"],
        "model_digest": about["digest"],
        **({"value": value} if value else {}),
        "default_label": default_label(outcomes),
        "default_label_rate": None if value else _default_label_rate(summary),
        "flags": flags,
        "dropped": job.read_json("data.json")["dropped"],
        "notes": [
            asdict(note) for note in (*_few(job, labels, names), *_unchosen(job), *_foreign(job), *_unaccounted(job))
        ],
    }


def audited(job: Job) -> Audit:
    """Read what the audit of the task's splits found."""
    from kmerit.datasets.findings import Audit

    return Audit.from_json((job.folder / "audit.json").read_text(encoding="utf-8"))


def _default_label_rate(summary: pd.DataFrame) -> float | None:
    """Average over the classes how often a fully mutated sequence is given the default label."""
    rows = summary[summary["full"] & (summary["method"] == summary["method"].iloc[0])]
    return float(np.average(rows["default_label_rate"], weights=rows["sequences"])) if len(rows) else None


def _flags(job: Job, labels: Int64) -> Tree:
    """Measure per method and class how far scores can be trusted.

    Sequences whose scores are flagged are counted; the share of tied positions and the sum of relevance are averaged;
    the ranks of a sample are compared with those in float64.
    """
    import pyarrow.parquet as pq

    from kmerit.io.scores import check_file, read_check

    scores = job.folder / "attributions.parquet"
    check = read_check(scores) if check_file(scores).exists() else {}
    columns = ["sequence", "method", *_FLAGS, "tie_share", "relevance_sum"]
    table = pq.read_table(scores, columns=columns).to_pandas()
    table["label"] = labels[table["sequence"].to_numpy()]
    flags: dict[str, dict[str, Any]] = {str(method): {} for method in table["method"].unique()}
    for (method, label), rows in table.groupby(["method", "label"], observed=True):
        counts = {flag: int(rows[flag].sum()) for flag in _FLAGS}
        total = rows["relevance_sum"].mean()
        flags[str(method)][str(label)] = counts | {
            "tie_share": float(rows["tie_share"].mean()),
            "sequences": len(rows),
            "relevance_sum": float(total) if np.isfinite(total) else None,
            "float64": _in_float64(check.get(str(method)), labels == label),
        }
    return flags


def _in_float64(check: Mapping[str, Any] | None, of_class: Bool) -> Tree | None:
    """Summarise how a class's checked sequences agree in ranks with float64; None where none could be compared."""
    from kmerit.attribution.attribute import summary

    each = zip(check["rows"], check["each"], strict=True) if check else ()
    errors = [pair[0] for row, pair in each if pair is not None and of_class[row]]
    return {"sequences": len(errors), **(summary(np.array(errors)) or {})} if errors else None


def _few(job: Job, labels: Int64, names: list[str]) -> list[Note]:
    per_class = job.config.data.per_class
    counts = np.bincount(labels, minlength=len(names)).tolist()
    if "value" in job.read_json("model.json"):
        names = [""]  # no class
    short = {name: count for name, count in zip(names, counts, strict=True) if count < per_class}
    return [Note("few_sequences", {"wanted": per_class, "by_class": short})] if short else []


def _unchosen(job: Job) -> list[Note]:
    chosen = job.read_json("choice.json")["lrp_star"] or "value" in job.read_json("model.json")  # which has none
    return [] if chosen else [Note("no_lrp_star")]


def _unaccounted(job: Job) -> list[Note]:
    methods = _accountable(job)
    return [Note("no_ledger", {"methods": methods})] if methods and not (job.folder / LEDGER).is_file() else []


def _foreign(job: Job) -> list[Note]:
    """Warn where the training data of the model are unknown."""
    table = job.table
    if table.finetune is not None or (table.model or "").startswith("bundled:"):
        return []
    leaks = "train_key" if table.train is not None else "task" if table.sequences is None else "unknown"
    return [Note("foreign_model", {"leaks": leaks})]


QUICK = ("length", "GC", "memory", "ends", "4-mer regression")
"""Baselines of the audit that take seconds; kmerit audit tries them all."""
COPIES, FEW_COPIES = 20, 5
"""Shuffled copies of each sequence: for the reference, and to see how far ranks depend on it."""
CHECKED = 20
"""Sequences that are scored again in float64, to know what float32 costs in ranks."""
LRP = ("lrp", "lrp_last")
"""The scores of which LRP* is the better one."""


@dataclass(frozen=True)
class Stage:
    """A step that is done or not done.

    Attributes:
        name: What its record is called.
        title: What it does, for people.
        work: Does it.
        artefacts: What it leaves in the task's folder.
        shared: Whether its work can be made in shares.
        table: The config's table that it reads, and no other stage, if that may be added to a finished run.
    """

    name: str
    title: str
    work: Callable[[Job], None]
    artefacts: tuple[str, ...]
    shared: bool = False
    table: str = ""


def inspect(job: Job) -> None:
    """Audit the splits that the model learned from and is tested on."""
    from kmerit.datasets.audit import audit
    from kmerit.datasets.findings import Config

    if have_values(job.sequences("test")):  # an audit compares classes; the cards say that there was none
        return
    resamples = min(job.config.statistics.resamples, 200)
    settings = {"baselines": QUICK, "resamples": resamples, "seed": job.config.seed}
    with job.watch(f"{job.name}: auditing (steps)") as progress:
        result = audit(audited_splits(job), config=Config.parse({"settings": settings}), progress=progress)
    write_json(job.folder / "audit.json", result.as_dict())


def evaluate(job: Job) -> None:
    """Predict the test split, or those of its sequences that the config asks for, and measure: the paper's 5.1.

    Beside the metrics stand the baselines of the model's own card.
    """
    from kmerit.metrics import classification_metrics, regression_metrics
    from kmerit.uncertainty import locus_clusters

    test, limit = job.sequences("test"), job.config.data.test_per_class
    rows = len(test)
    if isinstance(limit, int):
        test = _sample(test, limit, job.config.seed)
    measure: Callable[..., dict[str, Any]] = regression_metrics if have_values(test) else classification_metrics
    with job.watch(f"{job.name}: predicting the test split") as progress:
        logits = job.model.logits(test, progress)
    _write_predictions(job, test, logits)
    clusters = None if test.loci is None else locus_clusters(test.loci)
    draws = {"clusters": clusters, "resamples": job.config.statistics.resamples, "seed": job.config.seed}
    untrained = job.model.untrained_value
    metrics = {} if untrained else measure(test.labels, logits, **draws)
    crop = "none" if job.crop is None else {"length": job.crop.length, "anchor": job.crop.anchor}
    about: Tree = {"test": metrics, "model": job.model.name, "crop": crop, "split": "test"}
    about |= {"rows_of_split": rows} if len(test) < rows else {}
    withheld = {}
    if untrained is not None:
        withheld = {"withheld": asdict(Note("other_unit", {"model": untrained[0], "label": untrained[1]}))}
    else:
        folder = job.model_folder
        about |= {"baselines": {} if folder is None else recorded_baselines(folder, metrics)}
    write_json(job.folder / "metrics.json", about | withheld)


def choose(job: Job) -> None:
    """Choose LRP*, the better of two scores, for every class: on validation sequences, never on those of the trial."""
    from kmerit.attribution.attribute import attribute
    from kmerit.trials.measures import choose_lrp
    from kmerit.trials.trial import mutate
    from kmerit.trials.verdicts import OPERATOR

    needs_choice = set(LRP) <= set(job.config.attribution.methods) and not have_values(job.sequences("sequences"))
    if not (job.folder / "validation.parquet").exists() or not needs_choice:
        write_json(job.folder / "choice.json", {"lrp_star": {}, "validation_drop": {}, "sequences": 0})
        return
    validation, trial, settings = job.sequences("validation"), job.config.trial, job.config.attribution
    with job.watch(f"{job.name}: scoring validation sequences") as progress:
        scores = attribute(
            job.model, validation, LRP, settings.task_target, strands=settings.strands, progress=progress
        )
    with job.watch(f"{job.name}: choosing LRP*") as progress:
        outcomes = mutate(
            job.model,
            validation,
            scores,
            counts=(0, trial.choice_count),
            replicates=grid(trial).draws,
            operator=OPERATOR,
            seed=job.config.seed,
            progress=progress,
        )
    write_json(job.folder / "choice.json", choose_lrp(outcomes, trial.choice_count))


def explain(job: Job) -> None:
    """Score every nucleotide of every sequence with every method; own scores join them."""
    from kmerit.attribution.attribute import attribute
    from kmerit.io.scores import save

    settings, sample, path = job.config.attribution, job.sequences("sequences"), job.folder / "attributions.parquet"
    why = None if settings.reference is None else _reference(job, sample, settings.reference, COPIES)
    if settings.strands == BOTH:
        _LOG.info("%s: scores are means over both strands; mutants are classified on the forward strand only", job.name)
    with job.watch(f"{job.name}: scoring nucleotides") as progress:
        score = partial(
            attribute,
            job.model,
            sample,
            settings.methods,
            settings.task_target,
            strands=settings.strands,
            reference=why,
            check=CHECKED,
            progress=progress,
        )
        if job.table.own is None:
            score(out=path)
        else:
            scores = score()
            checks = {name: each.settings["check"] for name, each in scores.items() if "check" in each.settings}
            target = next(iter(scores.values())).target
            save({**scores, **own_attributions(job, job.model, sample, job.sequences("test"), target)}, path, checks)
    _write_tokens(job, sample)
    _write_ledger(job, sample, why)
    _write_references(job, sample, why)


def _accountable(job: Job) -> list[str]:
    """Name the run's methods that have a ledger."""
    from kmerit.attribution.ledger import BOOKS_OF

    return [name for name in job.config.attribution.methods if name in BOOKS_OF]


def _write_ledger(job: Job, sample: Sequences, why: Reference | None) -> None:
    """Account for the explained outputs, where a method with a ledger is among the run's; means of each class.

    A model whose entries do not add up has no ledger, and the report says so; the scores are not lost for that.
    """
    from kmerit.attribution.ledger import has_ledger, ledger_by_class, of_targets
    from kmerit.io.scores import read_attributions

    path = job.folder / LEDGER
    methods = _accountable(job)
    path.unlink(missing_ok=True)
    if not methods or not has_ledger(job.model):
        return
    target = read_attributions(job.folder / "attributions.parquet")[methods[0]].target
    with job.watch(f"{job.name}: accounting (steps)") as progress:
        try:
            table = of_targets(job.model, sample, methods, target, why)
        except ModelError as error:
            _LOG.warning("%s: there is no ledger in the report. %s", job.name, error)
            return
        progress(1, 1)
    write_csv(path, ledger_by_class(table))


def mark_motifs(job: Job) -> None:
    """Look for the config's motifs on the sequences on trial, for the report to mark."""
    from kmerit.io.motifs import bundled_motifs, occurrences, read_motifs

    record: Tree = {"source": "", "hits": []}
    settings, tested = job.config.motifs, job.folder / "motifs"
    if tested.exists() and not (settings and settings.test):
        raise RunError(
            f"{tested} holds a test of motifs that was begun, and the config asks for none now. Remove that folder, "
            f"or put the table [motifs] back."
        )
    if settings is not None and settings.test:
        record = _test_motifs(job, settings)
    elif settings is not None:
        motifs = read_motifs(settings.file).values()
        # The name is part of hits.json, whose bytes stay: its per cent are not those of `kmerit.formats`.
        source = f"{Path(settings.file or bundled_motifs()).name}, at least {settings.match:.0%} of the highest score"
        hits = occurrences(job.sequences("sequences"), motifs, settings.match)
        record = {"source": source, "hits": [asdict(hit) for hit in hits]}
    write_json(job.folder / "hits.json", record)


def _test_motifs(job: Job, settings: MotifTable) -> Tree:
    """Ask the three questions of every family; the sites of those of which anything is claimed are marked."""
    from kmerit.biology.motif_tests import motifs, sites

    with job.watch(f"{job.name}: motifs (parts)") as progress:
        result = motifs(
            job.folder / "attributions.parquet",
            job.sequences("sequences"),
            job.model,
            meme=settings.file,
            label=settings.label,
            families=settings.families,
            de_novo=settings.de_novo,
            seed=job.config.seed,
            out=job.folder / "motifs",
            progress=progress,
        )
    rows = sites(result)[["name", "start", "end", "motif", "strand", "score"]].rename(columns={"name": "sequence"})
    return {"source": f"{result.settings['source']}, p < {result.settings['hit']:g}", "hits": rows.to_dict("records")}


def put_on_trial(job: Job) -> None:
    """Mutate what each method and its controls rank first, and classify the mutants."""
    from kmerit.report import text
    from kmerit.trials.design import Prospect
    from kmerit.trials.trial import trial

    def announce(prospects: list[Prospect]) -> None:
        job.say("\n".join(f"{job.name}: {text.prospect(each)}" for each in prospects))

    with job.watch(f"{job.name}: trial") as progress:
        trial(
            job.model,
            job.sequences("sequences"),
            job.folder / "attributions.parquet",
            grid(job.config.trial),
            seed=job.config.seed,
            out=job.folder / "outcomes",
            progress=progress,
            announce=announce,
            share=job.share,
        )


def decide(job: Job) -> None:
    """Give every method its verdict, and summarise what stands behind it."""
    from kmerit.report.table1 import write_cards_md
    from kmerit.trials.controls import RANDOM
    from kmerit.trials.measures import summarise, write_cards
    from kmerit.trials.outcomes import read_outcomes
    from kmerit.trials.verdicts import OPERATOR, ORDER

    outcomes = read_outcomes(job.folder / "outcomes")
    model = job.read_json("model.json")
    names = [] if "value" in model else job.table.classes or model["labels"]
    outcomes = replace(outcomes, settings={**outcomes.settings, "classes": names})
    resamples, seed = job.config.statistics.resamples, job.config.seed
    concerns = audited(job).concerns if (job.folder / "audit.json").exists() else None
    write_cards(outcomes, job.folder, data_set=concerns, resamples=resamples, seed=seed)
    if job.config.trial.departure is not None:
        _write_departures(job)
    write_cards_md(job.folder, job.table.title or job.name, model["digest"])
    every = summarise(outcomes, resamples=resamples, seed=seed)
    # Table 1 and Figure 1 show methods and the random control; the other controls are in curves.csv, excesses.csv.
    own = every[every["method"].isin([*outcomes.settings["methods"], RANDOM])]
    for name, table in (("curves.csv", every), ("summary.csv", own)):
        with atomic_write(job.folder / name) as part:
            table.to_csv(part, index=False, lineterminator="\n")
    core = own[(own["operator"] == OPERATOR) & (own["order"] == ORDER)]
    write_json(job.folder / "info.json", notes(job, outcomes, core))


def _write_departures(job: Job) -> None:
    """Measure how far the mutants of the trial's operators leave the data."""
    from kmerit.trials.departures import departures
    from kmerit.trials.verdicts import OPERATOR

    trial = job.config.trial
    counts: list[int | str] = [*([trial.operator_count] if trial.operator_count else []), "all"]
    table = departures(
        job.model,
        job.sequences("sequences"),
        [OPERATOR, *(trial.operators or ())],
        counts,
        encoder=job.load_encoder(),
        masker=job.load_masker(),
        resamples=job.config.statistics.resamples,
        seed=job.config.seed,
    )
    write_csv(job.folder / DEPARTURES, table)


def _write_predictions(job: Job, test: Sequences, logits: Float) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    predicted = {} if have_values(test) else {"predicted": pa.array(logits.argmax(axis=1))}
    columns = {
        "name": pa.array(test.names),
        "label": pa.array(test.labels),
        **predicted,
        "logits": pa.FixedSizeListArray.from_arrays(pa.array(logits.ravel()), logits.shape[1]),
    }
    with atomic_write(job.folder / "predictions.parquet") as part:
        pq.write_table(pa.table(columns), part, compression="zstd")


def _write_tokens(job: Job, sequences: Sequences) -> None:
    """Write which nucleotides each token covers, for those who look at single sequences."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.parquet as pq

    spans = []
    for start in range(0, len(sequences), job.model.micro_batch):
        batch = sequences.take(slice(start, start + job.model.micro_batch))
        tokens = job.model.tokenize(*batch.padded())
        covering = tokens.mask & (tokens.spans[..., 1] > tokens.spans[..., 0])
        spans += [row[covered] for row, covered in zip(tokens.spans, covering, strict=True)]
    columns = {
        "name": pa.array(sequences.names),
        "starts": pa.array([np.asarray(row[:, 0]) for row in spans], pa.list_(pa.int32())),
        "ends": pa.array([np.asarray(row[:, 1]) for row in spans], pa.list_(pa.int32())),
    }
    with atomic_write(job.folder / "tokens.parquet") as part:
        pq.write_table(pa.table(columns), part, compression="zstd")


_CARDS = ("cards.json", "cards.csv", "cards.md", "excesses.csv", "measures.csv", "differences.csv", "curves.csv")

STAGES = (
    Stage("data", "sequences", draw, ("test.parquet", "sequences.parquet", "validation.parquet", "data.json")),
    Stage("model", "model", provide_model, ("model.json", "model")),
    Stage("audit", "audit of the splits", inspect, ("audit.json",)),
    Stage("evaluate", "full test split", evaluate, ("predictions.parquet", "metrics.json")),
    Stage("choose", "choice of LRP*", choose, ("choice.json",)),
    Stage(
        "attribute",
        "scores",
        explain,
        ("attributions.parquet", "attributions.check.json", "tokens.parquet", LEDGER, REFERENCE, REFERENCES),
    ),
    Stage("motifs", "motifs", mark_motifs, ("hits.json", "motifs"), table="motifs"),
    Stage("trial", "trial", put_on_trial, ("outcomes",), shared=True),
    Stage("decide", "verdicts", decide, (*_CARDS, DEPARTURES, "summary.csv", "info.json")),
)
