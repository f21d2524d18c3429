"""Checks of methods and trials: sanity checks, agreement with planted truth, and what is due to the data set.

Models whose weights are made random, layer after layer from the head down. Source: adebayo2018, section 3.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from kmerit.errors import ModelError, SequenceError
from kmerit.metrics import auprc, auroc
from kmerit.models.model import Model
from kmerit.sequences import Bool, Float, Floats, generator
from kmerit.trials.verdicts import FAITHFUL, UNDECIDED
from kmerit.uncertainty import Interval, clopper_pearson, rank_correlations

_EMBEDDINGS = ("words", "positions", "kinds", "added", "norm", "last_norm")
"""The parts of an encoder besides its layers and its head, by the names that it may have."""


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
            f"{model.name}: its weights cannot be made random part by part, for its forward pass is a library's. "
            f"Take a model of a family with an encoder of its own: kmerit list families"
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


def localisation(scores: Float, mask: Bool) -> dict[str, Floats]:
    """Measure, sequence by sequence, how well scores find the positions of a mask.

    A score that is not finite (no token covers the nucleotide) counts as the lowest.

    Args:
        scores: ``[sequence, position]``, signed.
        mask: ``[sequence, position]``, where the signal is.

    Returns:
        ``[sequence]`` each: ``auroc`` (0.5 by chance), ``auprc`` (the mask's share by chance), ``mass_inside``: the
        share of the positive scores' sum that lies inside (the mask's share by chance; NaN if no score is positive).
        All NaN for a sequence whose mask is empty or full.

    Raises:
        SequenceError: Scores and mask of different shapes.

    Example:
        >>> found = localisation(np.array([[0.1, 0.9, 0.0]]), np.array([[False, True, False]]))
        >>> {name: values.tolist() for name, values in found.items()}
        {'auroc': [1.0], 'auprc': [1.0], 'mass_inside': [0.9]}
    """
    _check(scores, mask)
    measures = {name: np.full(len(scores), np.nan) for name in ("auroc", "auprc", "mass_inside")}
    values = np.where(np.isfinite(scores), scores, -np.inf).astype(np.float64)
    for i in np.flatnonzero(mask.any(axis=1) & ~mask.all(axis=1)).tolist():
        ones = np.ones(mask.shape[1])
        # Ranks: infinities have no difference, and auprc negates.
        ranks = np.unique(values[i], return_inverse=True)[1].astype(np.float64)
        measures["auroc"][i] = auroc(mask[i], ranks, ones)
        measures["auprc"][i] = auprc(mask[i], ranks, ones)
        positive = np.maximum(np.where(np.isfinite(values[i]), values[i], 0.0), 0.0)
        if positive.sum() > 0:
            measures["mass_inside"][i] = positive[mask[i]].sum() / positive.sum()
    return measures


def needed(effects: Float, mask: Bool) -> Bool:
    """Find the letters that the model needs: as many as the mask has, those that in-silico mutagenesis ranks first.

    Args:
        effects: Of exact in-silico mutagenesis, ``[sequence, position]``.
        mask: ``[sequence, position]``, what was planted.

    Returns:
        ``bool [sequence, position]``.

    Example:
        >>> needed(np.array([[0.1, 0.9, 0.3]]), np.array([[True, False, True]])).tolist()
        [[False, True, True]]
    """
    _check(effects, mask)
    order = np.argsort(-np.where(np.isfinite(effects), effects, -np.inf), axis=1, kind="stable")
    ranks = np.argsort(order, axis=1)
    return np.asarray(ranks < mask.sum(axis=1, keepdims=True))


def composition_correlations(scores: Float, log_odds: Floats) -> Floats:
    """Correlate scores with what each letter adds to the true log-odds (Spearman), sequence by sequence.

    Args:
        scores: ``[sequence, position]``, signed.
        log_odds: ``[sequence, position]``, of the class that the scores explain.

    Returns:
        ``[sequence]``; NaN where either is constant.

    Raises:
        SequenceError: Scores and truth of different shapes.

    Example:
        >>> composition_correlations(np.array([[0.1, 0.9, 0.0]]), np.array([[0.0, 0.5, -0.5]])).tolist()
        [1.0]
    """
    _check(scores, log_odds)
    return rank_correlations(scores, log_odds)


def _check(scores: Float, truth: NDArray[np.generic]) -> None:
    if scores.ndim != 2 or scores.shape != truth.shape:
        raise SequenceError(
            f"Expected scores and truth of the same sequences, got {scores.shape} and {truth.shape}. "
            f"Attribute the sequences that were planted, at the level of nucleotides."
        )


FINDS, DOES_NOT, UNCLEAR = "finds", "does not", "unclear"
FOUND = {"auroc": 0.65, "correlation": 0.2}
"""From this mean on a ranking finds the truth: AUROC of the mask, or rank correlation with the letters' log-odds."""
MISSED = {"auroc": 0.55, "correlation": 0.05}
"""A ranking whose interval ends below it does not find the truth."""
ENOUGH = 200
"""Sequences from which on *undecided* disagrees with a ranking that finds the truth."""


@dataclass(frozen=True)
class Case:
    """One ranking of one planted set.

    Attributes:
        set: Name of the set.
        ranking: The method; with what was done to its scores, of a hard negative.
        hard: What makes it a hard negative: ``turned``, ``another sequence``, ``wrong class``, ``early layer`` or
            ``shuffled labels``; nothing for the method's own scores.
        truth: ``finds``, ``does not`` or ``unclear``.
        verdict: The trial's.
        sequences: How many the verdict rests on.
    """

    set: str
    ranking: str
    hard: str
    truth: str
    verdict: str
    sequences: int


@dataclass(frozen=True)
class Agreement:
    """How often the trial agrees with the truth.

    Attributes:
        cases: With a truth.
        agree: Of those: faithful where the truth is found, and not faithful where it is not; *undecided* of what finds
            the truth counts as disagreement from 200 sequences on, and is left out below.
        lower: Of the share that agrees, the one-sided 95 % bound of Clopper and Pearson; 0 without cases.
        unclear: Cases between, without a truth.
        hard: Hard negatives that do not find the truth.
        acquitted: Of those, how many are called faithful.
    """

    cases: int
    agree: int
    lower: float
    unclear: int
    hard: int
    acquitted: int


def truth_of(measure: str, *intervals: Interval) -> str:
    """Say whether a ranking finds what is planted.

    Args:
        measure: ``auroc`` or ``correlation``.
        intervals: Of the mask, and of a second truth where there is one: the letters that the model needs. A mask
            counts every letter of a motif, and a model need not; so it is enough to find either, and what finds neither
            must miss both.

    Example:
        >>> truth_of("auroc", Interval(0.7, 0.6, 0.8)), truth_of("auroc", Interval(0.5, 0.4, 0.54))
        ('finds', 'does not')
        >>> truth_of("auroc", Interval(0.5, 0.4, 0.54), Interval(0.6, 0.5, 0.7))
        'unclear'
    """
    if any(each.value >= FOUND[measure] for each in intervals):
        return FINDS
    return DOES_NOT if all(each.high < MISSED[measure] for each in intervals) else UNCLEAR


def agreement(cases: Iterable[Case]) -> Agreement:
    """Count agreement over cases.

    Example:
        >>> one = Case("a", "lrp", "", FINDS, FAITHFUL, 200)
        >>> agreement([one, Case("a", "lrp, turned", "turned", DOES_NOT, UNDECIDED, 200)]).agree
        2
    """
    every = list(cases)
    decided = [
        case
        for case in every
        if case.truth != UNCLEAR and not (case.truth == FINDS and case.verdict == UNDECIDED and case.sequences < ENOUGH)
    ]
    agree = sum((case.verdict == FAITHFUL) == (case.truth == FINDS) for case in decided)
    hard = [case for case in decided if case.hard and case.truth == DOES_NOT]
    return Agreement(
        len(decided),
        agree,
        clopper_pearson(agree, len(decided), 0.9)[0] if decided else 0.0,
        sum(case.truth == UNCLEAR for case in every),
        len(hard),
        sum(case.verdict == FAITHFUL for case in hard),
    )
