"""Sanity checks of methods: what scores should and should not depend on, and how even they are. Source: adebayo2018."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import fields, is_dataclass, replace
from itertools import chain
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from kmerit.attribution.attribute import attribute, turned_back
from kmerit.errors import ModelError
from kmerit.models.model import Model
from kmerit.results import Remark
from kmerit.sequences import Float, Floats, Sequences, generator, other_strand
from kmerit.uncertainty import mean_interval, rank_correlations

_EMBEDDINGS = ("words", "positions", "kinds", "added", "norm", "last_norm")
"""The parts of an encoder besides its layers and its head, by the names that it may have."""


class Omission(Remark):
    """A check that could not be done.

    Attributes:
        CODES: ``parts_unknown``: random weights, for a model whose forward pass is a library's.
    """

    CODES: ClassVar[Mapping[str, tuple[str, ...]]] = {"parts_unknown": ("model",)}


def _unwatched(title: str, work: Callable[..., Any], *args: Any) -> Any:
    return work(*args)


def check_classifier(model: Model) -> None:
    """Refuse a model without classes: sanity checks compare them.

    Raises:
        ModelError: A model of values or of several labels.

    Example:
        >>> import kmerit as km
        >>> check_classifier(km.load_model("bundled:promoter"))
    """
    if model.problem.value != "classes":
        raise ModelError(
            f"{model.name} predicts {model.n_classes} {model.problem.value}; sanity checks compare classes. Give a "
            f"classifier, or one label with model.task(...) or --label: {model.listed}."
        )


def sanity_checks(
    model: Model,
    sequences: Sequences,
    methods: Sequence[str],
    *,
    seed: int = 0,
    others: Iterable[tuple[str, str, Model]] = (),
    watched: Callable[..., Any] = _unwatched,
) -> Iterator[tuple[str, str, dict[str, Floats]]]:
    """Check methods on one model, one check after the other.

    The class explained is the one that the model predicts, in every check and for every other model, too.

    Args:
        model: A classifier.
        sequences: What is scored.
        methods: Those that are checked.
        seed: Of the random weights.
        others: Further models to score by, such as one trained on shuffled labels: check, stage, model.
        watched: Gets a title, a function of the library, and what to call it with; `Study.watched` shows its progress.

    Yields:
        The check, its stage, and by method a value for each sequence: `gini` (``sparsity``), `entropy`, or the rank
        correlation with scores of something else: of exact in-silico mutagenesis (``ism``), of the second class
        (``class swap``), of the reverse complement (``strand``), by random weights, and by ``others``.

    Raises:
        ModelError: A model of values or of several labels.

    Example:
        >>> import kmerit as km
        >>> model, rows = km.load_model("bundled:promoter"), km.Sequences.from_strings(["TATAAAGGCGCGCC"])
        >>> checks = list(sanity_checks(model, rows, ["attention"]))
        >>> [check for check, stage, _ in checks if not stage], checks[3][2]["attention"].tolist()
        (['sparsity', 'entropy', 'ism', 'class swap', 'strand'], [1.0])
    """
    check_classifier(model)
    order = np.argsort(-model.logits(sequences), axis=1, kind="stable").astype(np.int64)

    def scored(title: str, of: Model, rows: Sequences = sequences, rank: int = 0, *more: str) -> dict[str, Float]:
        explained = replace(rows, labels=order[:, rank].copy(), classes=None)
        every = list(dict.fromkeys([*methods, *more]))
        attributions = watched(title, attribute, of, explained, every, "label")
        return {method: attribution.scores for method, attribution in attributions.items()}

    def compared(other: Mapping[str, Float]) -> dict[str, Floats]:
        return {method: rank_correlations(own[method], other[method]) for method in methods}

    own = scored("scores", model, sequences, 0, "ism")
    yield "sparsity", "", {method: gini(own[method]) for method in methods}
    yield "entropy", "", {method: entropy(own[method]) for method in methods}
    yield "ism", "", compared(dict.fromkeys(methods, own["ism"]))
    yield "class swap", "", compared(scored("the other class", model, sequences, 1))
    turned = scored("the other strand", model, other_strand(sequences))
    yield "strand", "", compared({method: turned_back(each, sequences.lengths) for method, each in turned.items()})
    random = [("random weights", *each) for each in cascade(model, seed)] if has_parts(model) else []
    for check, stage, other in chain(random, others):
        yield check, stage, compared(scored(f"{check} {stage}".strip(), other))


def summarise_checks(
    checks: Iterable[tuple[str, str, Mapping[str, Floats]]],
    *,
    clusters: ArrayLike | None = None,
    resamples: int = 2000,
    seed: int = 0,
) -> list[dict[str, Any]]:
    """Average checks over sequences.

    Args:
        checks: Check, stage, and by method a value for each sequence, as `sanity_checks` yields them.
        clusters: ``[sequence]``, those of one cluster are drawn together; each by itself by default.
        resamples: Bootstrap draws of the intervals.
        seed: Of those draws.

    Returns:
        Per check, stage and method the ``value``, its interval ``low`` to ``high``, and how many ``sequences`` have
        one.

    Example:
        >>> checks = [("sparsity", "", {"lrp": np.array([0.25, 0.75, np.nan])})]
        >>> row, = summarise_checks(checks, resamples=100)
        >>> row["method"], row["value"], row["sequences"]
        ('lrp', 0.5, 2)
    """
    draws: dict[str, Any] = {"clusters": clusters, "resamples": resamples, "seed": seed}
    return [
        {"check": check, "stage": stage, "method": method}
        | mean_interval(values, **draws).known()
        | {"sequences": int(np.isfinite(values).sum())}
        for check, stage, by_method in checks
        for method, values in by_method.items()
    ]


def has_parts(model: Model) -> bool:
    """Say whether the parts of a model are known, so that `cascade` can make them random one by one.

    Example:
        >>> import kmerit as km
        >>> has_parts(km.load_model("bundled:promoter"))
        True
    """
    return {"classifier", "pooler", "layers", "words"} <= set(_parts(model.encoder))


def _parts(encoder: Any) -> list[str]:
    return [field.name for field in fields(encoder)] if is_dataclass(encoder) else []


def cascade(model: Model, seed: int) -> Iterator[tuple[str, Model]]:
    """Yield the model with more and more weights permuted: the head, then every layer, the embeddings last.

    # Differs from adebayo2018: the entries of each tensor are permuted, not drawn again, so that every tensor keeps its
    distribution however it was initialised.

    Args:
        model: Left as it is.
        seed: Of the permutations; the same tensor is permuted alike in every stage.

    Yields:
        The stage's name (``classifier``, ``pooler``, ``layer 2``, ..., ``embeddings``: what became random last) and
        the model.

    Raises:
        ModelError: The model's forward pass is a library's, so that its parts are not known.

    Example:
        >>> import kmerit as km
        >>> [stage for stage, _ in cascade(km.load_model("bundled:promoter"), seed=0)]
        ['classifier', 'pooler', 'layer 3', 'layer 2', 'layer 1', 'embeddings']
    """
    encoder: Any = model.encoder
    parts = _parts(encoder)
    if not has_parts(model):
        raise ModelError(
            f"{model.name}: its weights cannot be randomised part by part, because a library runs its forward pass. "
            f"Use a model whose family has its own encoder: kmerit list families"
        )

    def randomised(stage: str, **changed: Any) -> tuple[str, Model]:
        nonlocal encoder
        encoder = replace(encoder, **changed)
        return stage, replace(model, encoder=encoder, digest=f"{model.digest}|{stage}|{seed}")

    for name in ("classifier", "pooler"):
        yield randomised(name, **{name: _permuted(getattr(encoder, name), seed, name)})
    for i in reversed(range(len(encoder.layers))):
        layer = _permuted(encoder.layers[i], seed, f"layer{i}")
        yield randomised(f"layer {i + 1}", layers=(*encoder.layers[:i], layer, *encoder.layers[i + 1 :]))
    embeddings = [name for name in parts if name in _EMBEDDINGS]
    yield randomised("embeddings", **{name: _permuted(getattr(encoder, name), seed, name) for name in embeddings})


def _permuted(part: Any, seed: int, name: str) -> Any:
    """Copy a part of an encoder with the entries of every tensor permuted."""
    if isinstance(part, Tensor):
        order = generator(seed, "cascade", 0, name).permutation(part.numel())
        return part.flatten()[torch.from_numpy(np.asarray(order)).to(part.device)].reshape(part.shape).contiguous()
    if isinstance(part, tuple):
        return tuple(_permuted(each, seed, f"{name}.{i}") for i, each in enumerate(part))
    if is_dataclass(part) and not isinstance(part, type):
        tensors = {f.name: _permuted(getattr(part, f.name), seed, f"{name}.{f.name}") for f in fields(part)}
        return replace(part, **tensors)
    return part


def gini(scores: Float) -> Floats:
    """Measure how sparse scores are: Gini's index of their sizes, sequence by sequence.

    Source: hurley2009, eq. 4.

    Args:
        scores: ``[sequence, position]``; what is not finite is left out.

    Returns:
        ``[sequence]``: 0 if all are of one size, towards 1 if one position has everything; NaN if all are 0.

    Example:
        >>> gini(np.array([[1.0, 1.0, 1.0, 1.0], [0.0, 0.0, 0.0, 1.0]])).tolist()
        [0.0, 0.75]
    """
    values = np.full(len(scores), np.nan)
    for i, row in enumerate(scores):
        sizes = np.sort(np.abs(row[np.isfinite(row)].astype(np.float64)))
        if sizes.sum() > 0:
            rank = np.arange(1, sizes.size + 1)
            values[i] = 1 - 2 * (sizes / sizes.sum() * (sizes.size - rank + 0.5) / sizes.size).sum()
    return values


def entropy(scores: Float) -> Floats:
    """Measure how spread scores are: the entropy of their sizes as shares, over that of equal shares.

    Args:
        scores: ``[sequence, position]``; what is not finite is left out.

    Returns:
        ``[sequence]``: 1 if all are of one size, 0 if one position has everything; NaN if all are 0, or with fewer
        than two positions.

    Example:
        >>> entropy(np.array([[1.0, 1.0, 1.0, 1.0], [0.0, 0.0, 0.0, 1.0]])).tolist()
        [1.0, 0.0]
    """
    values = np.full(len(scores), np.nan)
    for i, row in enumerate(scores):
        sizes = np.abs(row[np.isfinite(row)].astype(np.float64))
        if sizes.sum() > 0 and sizes.size > 1:
            shares = sizes[sizes > 0] / sizes.sum()
            values[i] = abs((shares * np.log(shares)).sum()) / np.log(sizes.size)
    return values
