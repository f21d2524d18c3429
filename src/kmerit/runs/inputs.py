"""The first two stages of a task: its sequences, and the model that is put on trial."""

from __future__ import annotations

from collections.abc import Set
from dataclasses import replace
from typing import TYPE_CHECKING

from kmerit.data import load_task, prepare, write_sequences
from kmerit.errors import ConfigError, LabelError, ModelError, SequenceError
from kmerit.runs.drawing import class_labels, read_own
from kmerit.runs.job import Job
from kmerit.store import check_sources, need_space, source_sums, write_json
from kmerit.types import Attribution, Int64, Problem, Sequences

if TYPE_CHECKING:
    from kmerit.audit import Dataset
    from kmerit.models import Model
    from kmerit.training import FinetuneConfig

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
    from kmerit.faithfulness.execution import check_sequences
    from kmerit.models.loading import find_device

    find_device(job.config.compute.device)
    drawn = job.drawn if "data" in undone else None
    sample = drawn.sample if drawn else job.sequences("sequences")
    test = drawn.test if drawn else job.sequences("test")
    methods, target = job.config.attribution.methods, job.config.attribution.target
    size = 4 * int(sample.lengths.sum()) * len(methods) // _PACKED

    def use(model: Model) -> None:
        _check_model(job, model, test)
        check_methods(model, sample, methods, target)
        check_sequences(model, sample)
        if job.table.own is not None and undone & {"data", "attribute"}:
            own_attributions(job, model, sample, test)

    if job.table.finetune is not None and job.table.own is not None:
        raise ConfigError(
            f"tasks.{job.name}.own: scores explain a model that there is; this one is yet to be made. "
            f"Give it as 'model' in place of 'finetune'."
        )
    if job.table.finetune is None:
        for path in (job.table.train, job.table.validation):
            if path is not None and undone & {"data", "audit"}:
                read_own(job, path)
        use(job.load_model() if "model" in undone else job.model)
    elif "model" in undone:
        from kmerit.training import check_recipe

        recipe = finetune_config(job)
        if recipe.regression:
            raise ConfigError(
                f"tasks.{job.name}.finetune.regression: a run compares classes, and this model would predict a value. "
                f"Leave it out; train such a model with: kmerit finetune"
            )
        size += check_recipe(recipe, lambda folder: use(job.load_model(folder)))
    need_space(job.folder, size)


def named_sources(job: Job) -> dict[str, str]:
    """Name the user's own files and folders that determine the results of a task, by their keys."""
    table = job.table
    found = {key: getattr(table, key) for key in ("sequences", "validation", "train", "genome", "model")}
    own = {"own": table.own} if isinstance(table.own, str) else {f"own.{k}": v for k, v in (table.own or {}).items()}
    found |= own
    found["finetune.base"] = (table.finetune or {}).get("base")
    return {f"tasks.{job.name}.{key}": name for key, name in found.items() if isinstance(name, str)}


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
    from kmerit.attribution.own_scores import own_scores, read_scores
    from kmerit.faithfulness.bounds import is_bound
    from kmerit.faithfulness.mutagenesis import check_methods

    given = job.table.own
    files = given if isinstance(given, dict) else [given] if given else []
    found, rows = read_scores(files), {name: row for row, name in enumerate(test.names)}
    check_methods(tuple(found))
    mine = {}
    for name, each in found.items():
        if name in job.config.attribution.methods or is_bound(name):
            raise ConfigError(f"tasks.{job.name}.own: {name!r} is a method of its own. Rename it: NAME = FILE.")
        made = isinstance(each, Attribution)
        scores = each if made else own_scores(model, test, {name: each}, 0)[name]
        at = {known: row for row, known in enumerate(scores.names)} if made else rows
        if missing := [known for known in sample.names if known not in at]:
            raise SequenceError(
                f"tasks.{job.name}.own: {name!r} has no scores of {missing[0]!r} ({len(missing)} of the "
                f"{len(sample)} sequences on trial lack them). Score the whole test file."
            )
        scores = scores.take([at[known] for known in sample.names]).of(sample)
        width, effects = int(sample.lengths.max()), scores.substitutions
        mine[name] = replace(
            scores,
            scores=scores.scores[:, :width],
            substitutions=None if effects is None else effects[:, :width],
            target=scores.target if made or target is None else target,
        )
    return mine


def check_own_sources(job: Job) -> None:
    """Refuse to go on where one of them was changed since; where one is gone, that is said.

    Raises:
        RunMismatch: One was.
    """
    check_sources(job.read_json("data.json").get("sources", {}), named_sources(job))


def draw(job: Job) -> None:
    """Keep the test split, the sequences of the trial, and those to choose LRP* on."""
    drawn = job.drawn
    write_sequences(drawn.test, job.folder / "test.parquet")
    write_sequences(drawn.sample, job.folder / "sequences.parquet")
    if drawn.validation is not None:
        write_sequences(drawn.validation, job.folder / "validation.parquet")
    write_json(job.folder / "data.json", {"dropped": drawn.dropped, "sources": source_sums(named_sources(job))})


def provide_model(job: Job) -> None:
    """Fine-tune the model if the config says so; check that it fits the data."""
    if job.table.finetune is not None:
        from kmerit.training import finetune
        from kmerit.training.folder import begin, is_done

        if is_done(job.folder / "model"):
            begin(job.folder / "model", finetune_config(job))  # a recipe that was damaged since: this run knows it
        with job.watch(f"{job.name}: fine-tuning") as progress:
            finetune(finetune_config(job), job.folder / "model", progress=progress)
    model = job.load_model()
    _check_model(job, model, job.sequences("test"))
    about = {"name": model.name, "family": model.family, "labels": list(model.labels), "digest": model.digest}
    write_json(job.folder / "model.json", about)


def _check_model(job: Job, model: Model, test: Sequences) -> None:
    if model.problem.are_values:
        raise ModelError(
            f"{model.name} predicts values; a run compares classes, and its trial is not yet made for values. "
            f"Explain it with: kmerit attribute"
        )
    if model.problem is Problem.LABELS:
        raise ModelError(
            f"{model.name} predicts {model.n_classes} labels, each a task of its own. Choose one with the key "
            f"'label' of [tasks.{job.name}]: {model.listed}."
        )
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
    if (target := job.config.attribution.target) not in ("predicted", "label"):
        model.output(target)
    model.check(test)


def finetune_config(job: Job) -> FinetuneConfig:
    """Tell the training what the config tells of the task, so that model and trial see the same crops.

    Raises:
        ConfigError: Unknown keys or wrong values in ``[training]`` or the task's ``finetune``.
    """
    from kmerit.training import FinetuneConfig

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
    given = {
        "seed": job.config.seed,
        "threads": compute.threads,
        "device": "cpu" if compute.device == "cpu" else "auto",
        "crop": table.crop if isinstance(table.crop, str) or table.crop is None else table.crop.model_dump(),
        "min_length": table.min_length,
        "drop_n": table.drop_n,
        **({"task": job.name, "source": table.source} if table.sequences is None else {**own, **columns}),
        "classes": table.classes if table.sequences is not None else None,
    }
    known = {key: value for key, value in given.items() if value is not None}
    return FinetuneConfig.parse({**known, **job.config.training, **(table.finetune or {})})


def audited_splits(job: Job) -> Dataset:
    """Gather what the model learned from and what it is tested on, cropped alike, for an audit.

    Without training sequences (your own file, and a model that was made elsewhere) there is one split.
    """
    from kmerit.audit.dataset import Rows, assemble

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
