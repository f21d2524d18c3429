"""Sanity checks of attribution methods on one model, with intervals over sequences. Source: adebayo2018."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import Field

from kmerit.attribution import attribute
from kmerit.config import Table
from kmerit.errors import ModelError
from kmerit.experiments.on_trial import Watch
from kmerit.experiments.study import study
from kmerit.faithfulness.cascade import cascade, has_parts
from kmerit.faithfulness.execution import clusters_of
from kmerit.faithfulness.sanity import entropy, gini, reverse_complement_agreement, same_ranking
from kmerit.models import Model, load_model
from kmerit.sequence import reverse_complement
from kmerit.statistics.agreement import mean_interval
from kmerit.store import write_json
from kmerit.training import FinetuneConfig
from kmerit.training.splits import load_splits, shuffle_labels
from kmerit.types import Float, Floats, Int64, Problem, Sequences

Scores = dict[str, Float]
ISM = "ism"


class SanityConfig(Table):
    """What is checked."""

    methods: list[str] = Field(min_length=1)
    recipe: dict[str, Any] | None = Field(None, description="a fine-tuning, to train the model again")
    seeds: int = Field(1, ge=0, description="other seeds to train the recipe with")
    seed: int = Field(0, ge=0, description="of random weights and labels")
    resamples: int = Field(2000, ge=100)


def run_sanity(model: Model, sequences: Sequences, config: SanityConfig, out: str | Path, watch: Watch) -> Path:
    """Check methods, each against what its scores should and should not depend on.

    The class explained is the one that the model predicts, in every check and for every other model, too.

    Args:
        model: A classifier.
        sequences: What is scored.
        config: Methods, and how to train the model again, if that is wanted.
        out: Folder of ``sanity.json`` and of the models that were trained; a training that was stopped goes on.
        watch: Shows the progress of a step: gets its title, gives a context with a function of (done, all).

    Returns:
        The folder. ``sanity.json``: one entry per check, stage and method, with the mean over sequences, its interval
        and how many sequences have a value.

    Raises:
        ModelError: A model that predicts a value.
        SequenceError: No sequences.
        RunMismatch: The folder holds checks of another config, model or sequences.

    Example:
        >>> import json
        >>> import tempfile
        >>> from contextlib import nullcontext
        >>> import kmerit as km
        >>> sequences = km.Sequences.from_strings(["TATAAAGGCGCGCC"])
        >>> config = SanityConfig.parse({"methods": ["attention"]})
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     watch = lambda title: nullcontext(lambda done, total: None)
        ...     out = run_sanity(km.load_model("bundled:promoter"), sequences, config, folder, watch)
        ...     checks = json.loads((out / "sanity.json").read_text())["checks"]
        >>> {check["check"]: check["value"] for check in checks}["class swap"]
        1.0
    """
    if model.problem is not Problem.CLASSES:
        raise ModelError(
            f"{model.name} predicts a {model.problem.value}; sanity checks compare classes. Give a classifier."
            if model.problem.are_values
            else f"{model.name} predicts {model.n_classes} labels, each of which is a task of its own. Choose one with "
            f"model.task(...) or --label: {model.listed}."
        )
    out = Path(out)
    letters = hashlib.sha256("\n".join(sequences.names).encode())
    letters.update(sequences.bases.tobytes() + sequences.offsets.tobytes())
    about = {"model": model.digest, "sequences": letters.hexdigest(), **config.model_dump(mode="json")}
    with study(out, about):
        return _run(model, sequences, config, out, watch)


def _run(model: Model, sequences: Sequences, config: SanityConfig, out: Path, watch: Watch) -> Path:
    clusters = clusters_of(sequences)
    left_out: list[str] = []
    checks = list(_checks(model, sequences, config, out, watch, left_out))
    rows = [
        {"check": check, "stage": stage, "method": method, **_mean(values, clusters, config)}
        for check, stage, found in checks
        for method, values in found.items()
    ]
    about = {"model": model.name, "sequences": len(sequences), "checks": rows, "left_out": left_out}
    write_json(out / "sanity.json", about)
    return out


Check = tuple[str, str, dict[str, Floats]]


def _checks(
    model: Model, sequences: Sequences, config: SanityConfig, out: Path, watch: Watch, left_out: list[str]
) -> Iterator[Check]:
    """Do one check after the other; what cannot be done with this model is told in ``left_out``."""
    logits = model.logits(sequences)
    order = np.argsort(-logits, axis=1, kind="stable")
    predicted, second = order[:, 0].astype(np.int64), order[:, 1].astype(np.int64)
    methods = config.methods

    def compared(first: Scores, other: Scores) -> dict[str, Floats]:
        return {method: same_ranking(first[method], other[method]) for method in other}

    with watch("scores") as progress:
        own = _scores(model, sequences, predicted, list(dict.fromkeys([*methods, ISM])), progress)
    ism = own.pop(ISM) if ISM not in methods else own[ISM]
    yield "sparsity", "", {method: gini(own[method]) for method in methods}
    yield "entropy", "", {method: entropy(own[method]) for method in methods}
    yield "ism", "", {method: same_ranking(own[method], ism) for method in methods}
    with watch("the other class") as progress:
        yield "class swap", "", compared(own, _scores(model, sequences, second, methods, progress))
    with watch("the other strand") as progress:
        turned = _scores(model, _other_strand(sequences), predicted, methods, progress)
    lengths = sequences.lengths
    yield "strand", "", {m: reverse_complement_agreement(own[m], turned[m], lengths) for m in methods}
    if has_parts(model):
        for stage, spoilt in cascade(model, config.seed):
            with watch(f"random weights: {stage}") as progress:
                yield "random weights", stage, compared(own, _scores(spoilt, sequences, predicted, methods, progress))
    else:
        left_out.append(
            f"random weights, for the forward pass of {model.name} is a library's: its parts are not known."
        )
    for check, stage, other in _retrained(config, model, out, watch):
        with watch(f"{check} {stage}".strip()) as progress:
            yield check, stage, compared(own, _scores(other, sequences, predicted, methods, progress))


def _scores(
    model: Model, sequences: Sequences, target: Int64, methods: Sequence[str], progress: Callable[[int, int], None]
) -> Scores:
    """Score with a class to explain for each sequence."""
    explained = replace(sequences, labels=target.copy(), classes=None)
    found = attribute(model, explained, methods, "label", progress=progress)
    return {method: attribution.scores for method, attribution in found.items()}


def _other_strand(sequences: Sequences) -> Sequences:
    turned = [reverse_complement(bases) for bases in sequences]
    return Sequences(sequences.names, np.concatenate(turned), sequences.offsets.copy())


def _retrained(config: SanityConfig, model: Model, out: Path, watch: Watch) -> Iterator[tuple[str, str, Model]]:
    """Train the recipe again: on shuffled labels, and with other seeds."""
    if config.recipe is None:
        return
    from kmerit.training import finetune  # needs the extra 'train', which the other checks do without

    recipe = FinetuneConfig.parse({**config.recipe, "measure_test": False})
    splits = load_splits(recipe)
    shuffled = shuffle_labels(splits, config.seed)
    plan = [("shuffled labels", "", recipe, shuffled, out / "shuffled_labels")]
    for i in range(1, config.seeds + 1):
        other = recipe.model_copy(update={"seed": recipe.seed + i})
        plan.append(("another seed", f"{other.seed}", other, splits, out / f"seed{other.seed}"))
    for check, stage, one, data, folder in plan:
        with watch(f"training: {check} {stage}".strip()) as progress:
            finetune(one, folder, data=data, progress=progress)
        trained = load_model(folder, device=str(model.device), micro_batch=model.micro_batch)
        if trained.n_classes != model.n_classes:
            raise ModelError(
                f"The recipe's model has {trained.n_classes} classes, {model.name} has {model.n_classes}. "
                f"Give the recipe that the model was trained by (--recipe)."
            )
        yield check, stage, trained


def _mean(values: Floats, clusters: list[int], config: SanityConfig) -> dict[str, float | int | None]:
    found = mean_interval(values, clusters=clusters, resamples=config.resamples, seed=config.seed)
    numbers = {key: value if np.isfinite(value) else None for key, value in found._asdict().items()}
    return {**numbers, "sequences": int(np.isfinite(values).sum())}
