"""Measured truth as a judge: do a model and its methods agree with what an experiment found each substitution to do?

Exact in-silico mutagenesis comes first: an element judges methods only where it agrees with that. A method's result is
the difference of its correlation from that of in-silico mutagenesis, in the same rows and resamples.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import numpy as np

from kmerit.attribution.attribute import attribute, check_methods, over_strands
from kmerit.attribution.method import Method
from kmerit.errors import FormatError, TargetError, UsageError
from kmerit.io.elements import REASONS, Assay, read_elements, summary_of
from kmerit.models.inference import check_strands, of_length
from kmerit.models.model import Model, window_of
from kmerit.results import Problem, Remark
from kmerit.sequences import Floats, Int8, Int64, N, Sequences, Strands, decode, encode, generator, other_strand
from kmerit.store import Tables, all_recorded, atomic_write, begin, hold, read_proof, write_proof
from kmerit.uncertainty import resampled

if TYPE_CHECKING:
    import pandas as pd


Progress = Callable[[int, int], None]

BLOCK = 10
"""Nucleotides that are drawn together: effects of neighbours are not independent."""
GATE = 0.95
"""One-sided level of the interval of in-silico mutagenesis that must lie above 0."""
ISM = "ism"
"""In-silico mutagenesis, under which its own correlation stands in the tables."""
_FEWEST = 6
"""Blocks that an interval needs at least."""
_TRANSITION = 2
"""From A to G, C to T and back, in steps of ACGT."""
_TOGETHER = 512
SETTINGS = "measured.json"
TABLES = ("elements", "methods", "pooled", "assays")


# --- statistics -------------------------------------------------------------------------------------------------------


def partial_spearman(weights: Floats, predictions: Floats, effect: Floats, others: Floats) -> Floats:
    """Correlate ranks that are freed of what other columns explain of them, for rows drawn again and again.

    Ranks are those of each resample (ties share their mean rank); the residuals are those of least squares.

    Args:
        weights: ``[resample, row]``, how often each row was drawn.
        predictions: ``[row, column]``.
        effect: ``[row]``.
        others: ``[row, covariate]``, without a constant.

    Returns:
        ``[resample, column]``; NaN where a column has no spread left, or lacks a value.

    Example:
        >>> x = np.array([3.0, 1.0, 2.0, 5.0, 4.0])
        >>> partial_spearman(np.ones((1, 5)), np.stack([x, -x], 1), x**3, np.zeros((5, 0))).tolist()
        [[1.0, -1.0]]
    """
    spread = others.std(axis=0)
    standardised = (others - others.mean(axis=0))[:, spread > 0] / spread[spread > 0]
    design = np.column_stack([np.ones(len(effect)), standardised])
    width = design.shape[1]
    square = (weights @ (design[:, :, None] * design[:, None, :]).reshape(len(effect), -1)).reshape(-1, width, width)
    inverse = np.linalg.pinv(square, rcond=1e-9, hermitian=True)

    def freed(values: Floats) -> tuple[Floats, Floats, Floats]:
        """Ranks, their moments with the design, and the weighted sum of squares of their residuals."""
        ranks = _weighted_ranks(values, weights)
        moments = (weights * ranks) @ design
        through = np.einsum("bij,bj->bi", inverse, moments)
        rest = (weights * ranks**2).sum(axis=1) - (moments * through).sum(axis=1)
        return ranks, through, np.where(rest > 1e-9 * weights.sum(axis=1), rest, np.nan)

    ranks, through, rest = freed(effect)
    columns = []
    for column in predictions.T:
        mine, _, my_rest = freed(column)
        moments = (weights * mine) @ design
        shared = (weights * mine * ranks).sum(axis=1) - (moments * through).sum(axis=1)
        correlations = np.clip(shared / np.sqrt(rest * my_rest), -1, 1)
        columns.append(np.where(np.isfinite(column).all(), correlations, np.nan))
    return np.stack(columns, axis=1)


def _weighted_ranks(values: Floats, weights: Floats) -> Floats:
    """Rank values where each row counts as often as it was drawn, from -0.5 to 0.5: ``[resample, row]``."""
    _, place = np.unique(values, return_inverse=True)
    order = np.argsort(place, kind="stable")
    starts = np.flatnonzero(np.diff(place[order], prepend=-1))
    counts = np.add.reduceat(weights[:, order], starts, axis=1)
    upto = np.cumsum(counts, axis=1)
    total = upto[:, -1:]
    return np.asarray(((upto - counts / 2) / total - 0.5)[:, place])


class Pooled(NamedTuple):
    """Differences over elements: random effects.

    Attributes:
        elements: How many.
        value: The mean over elements.
        low: Of its interval, with the spread that the elements show (Hartung and Knapp).
        high: Of it.
        tau2: Variance between elements.
    """

    elements: int
    value: float
    low: float
    high: float
    tau2: float


def pool(values: Floats, errors: Floats, level: float = 0.95) -> Pooled:
    """Pool differences over elements by random effects (Paule and Mandel's tau^2).

    Example:
        >>> pooled = pool(np.array([-0.2, -0.1, -0.3]), np.array([0.05, 0.05, 0.05]))
        >>> pooled.elements, round(pooled.value, 3), pooled.low < -0.2 < pooled.high
        (3, -0.2, True)
    """
    from scipy.stats import norm
    from statsmodels.stats.meta_analysis import combine_effects

    usable = np.isfinite(values) & (errors > 0)
    values, errors = values[usable], errors[usable]
    if values.size < 2:
        value, error = (float(values[0]), float(errors[0])) if values.size else (np.nan, np.nan)
        reach = float(norm.ppf((1 + level) / 2)) * error
        return Pooled(values.size, value, value - reach, value + reach, float("nan"))
    result = combine_effects(values, errors**2, method_re="iterated", use_t=True, alpha=1 - level)
    low, high = result.conf_int(alpha=1 - level)[3]  # of random effects, by the spread of the elements
    return Pooled(values.size, float(result.mean_effect_re), float(low), float(high), float(result.tau2))


# --- one element ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Predictions:
    """What a model and its methods predict for an element.

    Attributes:
        ism: ``[position, step]``, the exact change by each substitution, steps 1 to 3 in the order ACGT.
        methods: By name: ``[position, step]`` where a method scores substitutions, else minus the score ``[position]``.
    """

    ism: Floats
    methods: Mapping[str, Floats]


class Level(NamedTuple):
    """What is compared at one level: substitutions, or the mean over those of a position."""

    effect: Floats
    ism: Floats
    columns: Floats  # [row, method]
    others: Floats
    block: Int64


def judge_element(
    assays: Sequence[Assay],
    predictions: Mapping[str, Predictions],
    *,
    resamples: int = 2000,
    seed: int = 0,
    null: bool = True,
) -> dict[str, Any]:
    """Judge one element by all its assays: the gate, the methods' differences, null and ceiling.

    Args:
        assays: Of the element.
        predictions: By the assay's name.
        resamples: Of the bootstrap over blocks of 10 nt; the same blocks in every assay and method.
        seed: Of all draws.
        null: Whether the null and the ceiling are computed, too.

    Returns:
        ``ism``, ``low`` (one-sided), ``ism_high``, ``judges``, ``reason``, ``ceiling``, ``null_high``, ``blocks``, and
        ``methods``: for each its ``level``, ``correlation``, ``difference``, ``low``, ``high``, ``error``,
        ``null_low`` and ``null_high`` of the correlation.
    """
    names = list(next(iter(predictions.values())).methods)
    per_position = [name for name in names if next(iter(predictions.values())).methods[name].ndim == 1]
    start = min(each.start for each in assays)
    levels = [
        (_rows(each, predictions[each.name], names, per_position), _means(each, predictions[each.name], names))
        for each in assays
    ]
    offset = [each.start - start for each in assays]
    blocks = np.concatenate([rows.block + at for (rows, _), at in zip(levels, offset, strict=True)]) // BLOCK
    present = np.unique(blocks)
    count = int(present.size)
    if count < _FEWEST or min(len(each) for each in assays) < 3 * _FEWEST:
        return {"judges": False, "reason": "few_blocks", "blocks": count, "methods": {}}
    draws: dict[str, list[Floats]] = {}
    size = int(present[-1]) + 1
    observed, without_one = np.ones((1, size)), 1 - np.eye(size)[present]
    weights = np.concatenate([observed, without_one, *resampled(size, None, resamples, seed)])
    for (rows, means), at in zip(levels, offset, strict=True):
        for part, members in ((rows, [n for n in names if n not in per_position]), (means, per_position)):
            key = ISM if part is rows else f"{ISM}, by position"
            if part is means and not members:
                continue
            block_weights = weights[:, (part.block + at) // BLOCK]
            correlations = partial_spearman(
                block_weights, np.column_stack([part.ism, part.columns]), part.effect, part.others
            )
            for name, column in zip([key, *members], correlations.T, strict=True):
                draws.setdefault(name, []).append(column)
    means_of = {name: np.mean(each, axis=0) for name, each in draws.items()}
    low, high, _ = _interval(means_of[ISM], present, 2 * GATE - 1)
    nulls = _nulls(assays, predictions, names, per_position) if null else {}
    result: dict[str, Any] = {
        "ism": float(means_of[ISM][0]),
        "low": low,
        "ism_high": high,
        "judges": low > 0,
        "reason": "" if low > 0 else "ism_disagrees",
        "ceiling": _ceiling(assays, [rows for rows, _ in levels], seed) if null else float("nan"),
        "null_high": _quantiles(nulls[ISM], 0.95)[0] if null else float("nan"),
        "blocks": count,
        "methods": {},
    }
    for name in names:
        base = means_of[f"{ISM}, by position" if name in per_position else ISM]
        gap = means_of[name] - base
        lower, upper, error = _interval(gap, present)
        null_low, null_high = _quantiles(nulls[name], 0.025, 0.975) if null else (np.nan, np.nan)
        result["methods"][name] = {
            "level": "position" if name in per_position else "substitution",
            "correlation": float(means_of[name][0]),
            "ism": float(base[0]),
            "difference": float(gap[0]),
            "low": lower,
            "high": upper,
            "error": error,
            "null_low": null_low,
            "null_high": null_high,
        }
    return result


def _quantiles(values: Floats, *shares: float) -> list[float]:
    """Give quantiles of the finite values; NaN where there is none."""
    finite = values[np.isfinite(values)]
    return np.quantile(finite, shares).tolist() if finite.size else [float("nan")] * len(shares)


def _interval(values: Floats, blocks: Int64, level: float = 0.95) -> tuple[float, float, float]:
    """Return the interval of what was observed: low, high, standard error; NaN where nothing was.

    Few blocks are drawn, so the quantiles are Student's, and the error is the larger one of bootstrap and jackknife.
    Neighbouring blocks are not independent where effects or noise reach over their border: where their influences on
    the value agree, the error grows by that.

    Args:
        values: What was observed, then without each block, then of each resample.
        blocks: Numbers of the blocks that have rows, in order.
        level: Of the interval.
    """
    from scipy.stats import t

    count, observed = blocks.size, float(values[0])
    if not np.isfinite(observed):
        return float("nan"), float("nan"), float("nan")
    influence = np.nan_to_num(observed - values[1 : count + 1])
    jackknife = ((count - 1) / count * float((influence**2).sum())) ** 0.5
    bootstrap = float(np.nanstd(values[count + 1 :], ddof=1)) * (count / (count - 1)) ** 0.5
    influence -= influence.mean()
    together = float((influence[1:] * influence[:-1])[np.diff(blocks) == 1].sum())
    alike = together / max(float((influence**2).sum()), 1e-300)
    error = max(jackknife, bootstrap) * (1 + 2 * max(alike, 0.0)) ** 0.5
    reach = float(t.ppf((1 + level) / 2, count - 1)) * error
    return observed - reach, observed + reach, error


def _rows(assay: Assay, predicted: Predictions, names: Sequence[str], per_position: Sequence[str]) -> Level:
    """Lay out substitutions, with what is partialled out of them."""
    at, step = assay.position, assay.step
    columns = [predicted.methods[name][at, step - 1] for name in names if name not in per_position]
    return Level(
        assay.effect,
        predicted.ism[at, step - 1],
        np.column_stack(columns) if columns else np.zeros((len(assay), 0)),
        np.column_stack([step == _TRANSITION, *_site(assay, at), *_cpg(assay), _log(assay.barcodes)]).astype(
            np.float64
        ),
        at,
    )


def _means(assay: Assay, predicted: Predictions, names: Sequence[str]) -> Level:
    """Lay out positions, each with the means over its measured substitutions."""
    at, place = np.unique(assay.position, return_inverse=True)

    def mean(values: Floats) -> Floats:
        return np.asarray(np.bincount(place, values) / np.bincount(place))

    per_position = [name for name in names if predicted.methods[name].ndim == 1]
    cpg = [mean(column.astype(np.float64)) for column in _cpg(assay)]
    others = [mean((assay.step == _TRANSITION).astype(np.float64)), *_site(assay, at), *cpg, mean(_log(assay.barcodes))]
    return Level(
        mean(assay.effect),
        mean(predicted.ism[assay.position, assay.step - 1]),
        np.column_stack([predicted.methods[name][at] for name in per_position])
        if per_position
        else np.zeros((at.size, 0)),
        np.column_stack(others).astype(np.float64),
        at,
    )


def _site(assay: Assay, at: Int64) -> list[Any]:
    """The reference letter, and a linear trend."""
    return [*(assay.bases[at] == base for base in range(3)), at]


def _cpg(assay: Assay) -> list[Any]:
    """Whether a substitution takes a CpG away, and whether it makes one."""
    bases = assay.bases[np.clip(np.arange(-1, assay.bases.size + 1), 0, assay.bases.size - 1)].astype(np.int64)
    bases[[0, -1]] = N
    before, ref, after = (bases[assay.position + i] for i in range(3))
    return [_is_cpg(before, ref, after), _is_cpg(before, assay.alt, after)]


def _is_cpg(before: Int64, here: Int64, after: Int64) -> Any:
    return ((here == 1) & (after == 2)) | ((before == 1) & (here == 2))


def _log(barcodes: Floats) -> Floats:
    """Log barcodes; 0 for all where they are not known."""
    positive = np.isfinite(barcodes) & (barcodes > 0)
    logs = np.log(np.where(positive, barcodes, 1.0))
    return np.where(positive, logs, logs[positive].mean() if positive.any() else 0.0)


def _nulls(
    assays: Sequence[Assay], predictions: Mapping[str, Predictions], names: Sequence[str], per_position: Sequence[str]
) -> dict[str, Floats]:
    """Correlate the effects with predictions that are turned round within the element, by 10 nt and more."""
    values: dict[str, list[Floats]] = {}
    size = min(each.bases.size for each in assays)
    shifts = np.arange(BLOCK, size - BLOCK + 1, max(1, (size - 2 * BLOCK) // 200))
    for assay in assays:
        own_predictions = predictions[assay.name]
        own_nulls = {ISM: own_predictions.ism, **own_predictions.methods}
        nulls: dict[str, list[float]] = {name: [] for name in own_nulls}
        plain, means = _rows(assay, own_predictions, names, per_position), _means(assay, own_predictions, names)
        one, one_mean = np.ones((1, plain.effect.size)), np.ones((1, means.effect.size))
        by_row = [name for name in own_nulls if own_nulls[name].ndim == 2]
        for shift in shifts.tolist():
            columns = [np.roll(own_nulls[name], shift, axis=0)[assay.position, assay.step - 1] for name in by_row]
            here = partial_spearman(one, np.column_stack(columns), plain.effect, plain.others)[0]
            for name, value in zip(by_row, here, strict=True):
                nulls[name].append(float(value))
            if per_position:
                columns = [np.roll(own_nulls[name], shift)[means.block] for name in per_position]
                here = partial_spearman(one_mean, np.column_stack(columns), means.effect, means.others)[0]
                for name, value in zip(per_position, here, strict=True):
                    nulls[name].append(float(value))
        for name, each in nulls.items():
            values.setdefault(name, []).append(np.array(each))
    return {name: np.mean(each, axis=0) for name, each in values.items()}


def _ceiling(assays: Sequence[Assay], levels: Sequence[Level], seed: int, draws: int = 200) -> float:
    """Correlate the effects with themselves under their errors: what a perfect prediction would reach, about."""
    ceilings = []
    for assay, rows in zip(assays, levels, strict=True):
        known = np.isfinite(assay.se)
        if not known.any():
            continue
        errors = np.where(known, assay.se, np.median(assay.se[known]))
        noise = generator(seed, "noise ceiling", 0, assay.name).normal(size=(draws, len(assay)))
        columns = (assay.effect + noise * errors).T
        ceilings.append(
            float(np.nanmean(partial_spearman(np.ones((1, len(assay))), columns, assay.effect, rows.others)))
        )
    return float(np.mean(ceilings)) if ceilings else float("nan")


# --- what a model predicts for an element -----------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class _Request:
    """What is asked of the model, checked."""

    model: Model
    methods: tuple[str | Method, ...]
    options: Mapping[str, Mapping[str, Any]]
    target: int
    length: int | None
    flanks: tuple[str, str]
    draws: int
    strands: Strands
    seed: int

    @property
    def names(self) -> list[str]:
        return [each.name if isinstance(each, Method) else each for each in self.methods]

    def predict(self, bases: Int8) -> Predictions:
        """Predict every substitution of an element: exactly, and by each method."""
        draws = [self._predict(bases, draw) for draw in range(1 if self._fills(bases.size) else self.draws)]
        return Predictions(
            np.mean([each.ism for each in draws], axis=0),
            {name: np.mean([each.methods[name] for each in draws], axis=0) for name in self.names},
        )

    def _fills(self, size: int) -> bool:
        """Return whether no letter around an element has to be drawn."""
        missing = 0 if self.length is None else max(0, self.length - size)
        return missing // 2 <= len(self.flanks[0]) and missing - missing // 2 <= len(self.flanks[1])

    def _predict(self, bases: Int8, draw: int) -> Predictions:
        windows, starts = self._windows(bases, draw)
        width = windows.shape[1]
        position = np.arange(bases.size)
        middle = np.asarray(starts) + (width - 1) / 2
        owner = np.abs(position[:, None] - middle).argmin(axis=1)  # the window in whose middle it is
        at = position - np.asarray(starts)[owner]
        mutants = np.repeat(windows[owner], 3, axis=0)
        row = np.arange(len(mutants))
        steps = np.tile([1, 2, 3], bases.size)
        mutants[row, np.repeat(at, 3)] = (np.repeat(bases, 3) + steps) % 4
        before, after = self._answers(windows), self._answers(mutants)
        ism = (after - before[np.repeat(owner, 3)]).reshape(-1, 3)
        refs = _as_sequences(windows)
        methods: dict[str, Floats] = {}
        if self.methods:
            forward = attribute(self.model, refs, self.methods, self.target, options=self.options)
            if self.strands == "both":
                back = attribute(self.model, other_strand(refs), self.methods, self.target, options=self.options)
                forward = type(forward)({k: over_strands(v, back[k], refs.lengths) for k, v in forward.items()})
            for name in self.names:
                each = forward[name]
                if each.substitutions is None:
                    methods[name] = -each.scores[owner, at].astype(np.float64)
                else:
                    bases_after = (bases[:, None] + np.arange(1, 4)) % 4
                    methods[name] = each.substitutions[owner[:, None], at[:, None], bases_after].astype(np.float64)
        return Predictions(ism, methods)

    def _windows(self, bases: Int8, draw: int) -> tuple[Int8, list[int]]:
        """Cut windows of an element, or put letters around it: ``[window, position]``, and where each begins."""
        width = self.length or bases.size
        if width <= bases.size:
            last = bases.size - width
            starts = [*range(0, last, max(1, width // 4)), last]
            return np.stack([bases[start : start + width] for start in starts]), starts
        left = (width - bases.size) // 2
        right = width - bases.size - left
        letters = generator(self.seed, "flanks", draw, "flanks").integers(0, 4, (2, width)).astype(np.int8)
        before = np.concatenate([letters[0], encode(self.flanks[0])])[-left or width + len(self.flanks[0]) :]
        after = np.concatenate([encode(self.flanks[1]), letters[1]])[:right]
        return np.concatenate([before, bases, after])[None], [-left]

    def _answers(self, windows: Int8) -> Floats:
        """Answer to windows, averaged over the strands asked for: ``[window]``."""
        parts = []
        for start in range(0, len(windows), _TOGETHER):
            sequences = _as_sequences(windows[start : start + _TOGETHER])
            logits = self.model.logits(sequences)[:, self.target].astype(np.float64)
            if self.strands == "both":
                logits = (logits + self.model.logits(other_strand(sequences))[:, self.target]) / 2
            parts.append(logits)
        return np.concatenate(parts)


def _as_sequences(windows: Int8) -> Sequences:
    offsets = np.arange(len(windows) + 1, dtype=np.int64) * windows.shape[1]
    return Sequences(tuple(f"window {i}" for i in range(len(windows))), windows.reshape(-1), offsets)


# --- all elements -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Measured(Tables):
    """What measured effects say of a model and its methods.

    Attributes:
        elements: A row per element: ``ism``, the partial Spearman correlation of in-silico mutagenesis, ``low``
            (one-sided 95 %) and ``ism_high``; ``judges``, whether ``low`` is above 0; ``reason`` where it does not;
            ``ceiling``, what a perfect prediction would reach under the errors of the effects; ``null_high``, the 95 %
            quantile with predictions turned round within the element.
        methods: A row per element and method: its ``correlation``, that of ``ism`` in the same rows, the ``difference``
            with its interval, and the 95 % range of the correlation under the null. ``level`` says whether
            substitutions are compared, or means over those of a position. Rows of elements that do not judge are there,
            too. NaN where scores of measured positions are withheld or missing, or all are equal.
        pooled: A row per method: the difference over the elements that judge, by random effects, and ``tau2``.
        assays: A row per assay: its substitutions, and the rows of the table that take no part, by reason.
        settings: What determined all of it.
    """

    elements: pd.DataFrame
    methods: pd.DataFrame
    pooled: pd.DataFrame
    assays: pd.DataFrame
    settings: Mapping[str, Any]

    TABLES = TABLES
    RECORD, WHAT, COMMAND = SETTINGS, "measured effects", "kmerit measured"

    def to_frame(self) -> pd.DataFrame:
        """Return a row per element and method."""
        return self.methods

    def _shown_frame(self) -> pd.DataFrame:
        return self.pooled

    def __repr__(self) -> str:
        count = int(self.elements["judges"].sum())
        return f"<Measured: {count} of {len(self.elements)} elements judge {len(self.pooled)} methods>"


ELEMENT = ("element", "assays", "ism", "low", "ism_high", "judges", "reason", "ceiling", "null_high", "blocks")
METHOD = ("element", "method", "level", "correlation", "ism", "difference", "low", "high", "error")
METHOD_NULL = ("null_low", "null_high", "judges")


def measured(
    model: Model,
    elements: str | Path | Sequence[Assay],
    *,
    methods: Sequence[str | Method] = (),
    target: int | str | Mapping[str, Any] | None = None,
    length: int | None = None,
    flanks: tuple[str, str] = ("", ""),
    flank_draws: int = 4,
    strands: Strands = "both",
    options: Mapping[str, Mapping[str, Any]] | None = None,
    release: str | None = None,
    min_barcodes: int = 10,
    resamples: int = 2000,
    seed: int = 0,
    out: str | Path | None = None,
    progress: Progress | None = None,
) -> Measured:
    """Judge a model and its methods by effects that were measured in elements of DNA.

    In-silico mutagenesis is exact about the model, so an element can judge only where the model itself agrees with the
    experiment: where the interval of its partial Spearman correlation lies above 0. There a method's result is the
    difference of its correlation from that of in-silico mutagenesis. Substitution type (transition, CpG lost or made),
    reference letter, a linear trend and log barcodes are partialled out. Intervals are by a bootstrap over blocks of 10
    nt, paired over methods and assays, and no narrower than the jackknife's; several assays of one element are one
    element.

    Args:
        model: From ``load_model`` or ``wrap``; left as it was found.
        elements: A table, see ``kmerit.io.elements.read_elements``, or what that gave.
        methods: To be judged. ``ism`` is what they are compared with, and always there.
        target: Output whose change is compared with the effects: a class, label or value by its number or name. A model
            with one value needs none.
        length: Nucleotides of a window; by default what the model takes, where that is one number, else the element. A
            longer element is cut into windows, each position scored in the one in whose middle it is.
        flanks: Letters before and after an element that is shorter than the window, as in the plasmid.
        flank_draws: Where those are too few, the rest is drawn at random, so often, and predictions are averaged.
        strands: ``both`` averages over a window and its reverse complement.
        options: Of the methods.
        release: Assembly whose rows are taken, where the table has several.
        min_barcodes: Rows with fewer take no part.
        resamples: Of the bootstrap.
        seed: Of all draws.
        out: Folder for the tables (CSV) and predictions (Parquet); stopped work resumes.
        progress: Called with (elements done, elements in all).

    Raises:
        UsageError: ``ism`` among the methods, flanks that are no letters, no elements.
        TargetError: No output is named, or there is no such.
        FormatError: A table that cannot be read.
        RunMismatch: The folder holds other results.

    Example:
        >>> import kmerit as km
        >>> rng = np.random.default_rng(0)
        >>> bases = rng.integers(0, 4, 90).astype(np.int8)
        >>> position, step = np.repeat(np.arange(90), 3), np.tile([1, 2, 3], 90)
        >>> effect, unknown = rng.normal(size=270), np.full(270, np.nan)
        >>> assay = Assay("one", "one", "", 0, bases, position, step, effect, unknown, unknown, {})
        >>> measured(km.load_model("bundled:promoter"), [assay], target="promoter", flank_draws=1, resamples=100)
        <Measured: 0 of 1 elements judge 0 methods>
    """
    import pandas as pd

    check_strands(strands)
    if length is not None and length < 1:
        raise UsageError(f"length: expected windows of at least 1 nt, got {length}.")
    if resamples < 2:
        raise UsageError(f"resamples: expected at least 2, got {resamples}.")
    if isinstance(elements, str | Path):
        elements = read_elements(elements, release=release, min_barcodes=min_barcodes)
    if not elements:
        raise UsageError("elements: expected at least one assay, got none.")
    if isinstance(target, Mapping):
        model, target = model.task(target), None
    if out is not None:
        model = model.begun_with(all_recorded(Path(out) / SETTINGS), Path(out), "measured effects of another config")
    model = model.fitted(of_length(length or window_of(model) or max(map(len, elements))))
    request = _Request(
        model, tuple(methods), options or {}, _output(model, target), length or window_of(model), flanks, flank_draws,
        strands, seed,
    )  # fmt: skip
    _check_request(request)
    settings = {
        "assays": [[each.element, each.name, each.digest] for each in elements],
        "model": model.digest,
        "dtype": str(model.dtype).removeprefix("torch."),
        "micro_batch": model.micro_batch,
        "products": model.products,
        "methods": request.names,
        "options": {name: dict(each) for name, each in request.options.items()},
        "target": model.labels[request.target],
        "length": request.length,
        "flanks": list(flanks),
        "flank_draws": flank_draws,
        "strands": strands,
        "resamples": resamples,
        "seed": seed,
    }
    folder = None if out is None else Path(out)
    with nullcontext() if folder is None else hold(folder):
        if folder is not None:
            begin(folder / SETTINGS, "measured effects", settings, own=lambda path: False)
        groups: dict[str, list[Assay]] = {}
        for assay in elements:
            groups.setdefault(assay.element, []).append(assay)
        rows = []
        for number, (name, assays) in enumerate(groups.items(), 1):
            whole = [each for each in assays if not (each.bases == N).any() and len(each)]
            reason = "letter_missing" if any((each.bases == N).any() for each in assays) else "no_effects"
            judgement: dict[str, Any] = {"judges": False, "reason": reason, "methods": {}}
            if whole:
                predictions = _predictions(request, whole, folder)
                judgement = judge_element(whole, predictions, resamples=resamples, seed=seed)
            rows.append({"element": name, "assays": len(whole), **judgement})
            if progress is not None:
                progress(number, len(groups))
        result = Measured(*_tables(rows, request.names), pd.DataFrame(summary_of(elements)), settings)
        if folder is not None:
            result.write_tables(folder)
    return result


def _tables(rows: Sequence[Mapping[str, Any]], names: Sequence[str]) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    import pandas as pd

    of_methods = [
        {"element": row["element"], "method": name, **about, "judges": row["judges"]}
        for row in rows
        for name, about in row["methods"].items()
    ]
    by_method = pd.DataFrame(of_methods, columns=[*METHOD, *METHOD_NULL])
    pooled = []
    for name in names:
        of_method = by_method[(by_method["method"] == name) & by_method["judges"].astype(bool)]
        mean = pool(of_method["difference"].to_numpy(np.float64), of_method["error"].to_numpy(np.float64))
        pooled.append({"method": name, **mean._asdict()})
    elements = pd.DataFrame([{key: row.get(key) for key in ELEMENT} for row in rows], columns=list(ELEMENT))
    return elements, by_method, pd.DataFrame(pooled, columns=["method", *Pooled._fields])


class Judgement(Remark):
    """What is to be said of measured effects; values ready for JSON."""

    CODES: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "judges": ("names", "of"),
        "none_judges": ("of",),
        "ism_disagrees": ("names",),
        "few_blocks": ("names", "needed"),
        "letter_missing": ("names",),
        "no_effects": ("names",),
        "no_result": ("method", "names"),
        "below": ("method", "value", "low", "high", "elements", "tau2"),
        "above": ("method", "value", "low", "high", "elements", "tau2"),
        "undecided": ("method", "value", "low", "high", "elements", "tau2"),
        "rows_left_out": ("rows", "of"),
    }


def judgements(result: Measured) -> list[Judgement]:
    """List what is to be said: which elements judge, which do not and why, and each method's pooled difference.

    Example:
        >>> import pandas as pd
        >>> row = {"element": "TERT", "judges": False, "reason": "ism_disagrees"}
        >>> empty = pd.DataFrame(columns=["substitutions"])
        >>> [each.code for each in judgements(Measured(pd.DataFrame([row]), empty, empty, empty, {}))]
        ['none_judges', 'ism_disagrees']
    """
    elements = result.elements
    judging = elements.loc[elements["judges"].astype(bool), "element"].tolist()
    of = len(elements)
    remarks = [Judgement("judges", {"names": judging, "of": of}) if judging else Judgement("none_judges", {"of": of})]
    for reason in ("ism_disagrees", "few_blocks", "letter_missing", "no_effects"):
        if names := elements.loc[elements["reason"] == reason, "element"].tolist():
            more = {"needed": _FEWEST} if reason == "few_blocks" else {}
            remarks.append(Judgement(reason, {"names": names, **more}))
    for row in result.pooled.to_dict("records"):
        own = result.methods[(result.methods["method"] == row["method"]) & result.methods["judges"].astype(bool)]
        if names := own.loc[own["difference"].isna(), "element"].tolist():
            remarks.append(Judgement("no_result", {"method": row["method"], "names": names}))
        if row["elements"]:
            value, low, high, tau2 = (float(row[name]) for name in ("value", "low", "high", "tau2"))
            remarks.append(
                Judgement(
                    "below" if high < 0 else "above" if low > 0 else "undecided",
                    {
                        "method": row["method"],
                        "value": value,
                        "low": low,
                        "high": high,
                        "elements": int(row["elements"]),
                        "tau2": None if np.isnan(tau2) else tau2,
                    },
                )
            )
    left_out = int(sum(result.assays[reason].sum() for reason in REASONS if reason in result.assays))
    if left_out:
        all_rows = left_out + int(result.assays["substitutions"].sum())
        remarks.append(Judgement("rows_left_out", {"rows": left_out, "of": all_rows}))
    return remarks


def read_measured(folder: str | Path) -> Measured:
    """Read what `measured` wrote into a folder.

    Raises:
        FormatError: It holds no such results.

    Example:
        >>> read_measured("nowhere")
        Traceback (most recent call last):
        kmerit.errors.FormatError: nowhere: expected results of kmerit measured; measured.json is missing.
    """
    import pandas as pd

    place = Path(folder)
    if missing := [name for name in (SETTINGS, *(f"{each}.csv" for each in TABLES)) if not (place / name).is_file()]:
        raise FormatError(f"{folder}: expected results of kmerit measured; {missing[0]} is missing.")
    elements, methods, pooled, assays = (
        pd.read_csv(place / f"{name}.csv", keep_default_na=False, na_values=[""]) for name in TABLES
    )
    elements["reason"] = elements["reason"].fillna("")
    return Measured(elements, methods, pooled, assays, json.loads((place / SETTINGS).read_text(encoding="utf-8")))


def _output(model: Model, target: int | str | None) -> int:
    if target is None:
        if model.problem is not Problem.VALUE:
            raise TargetError(
                f"target: {model.name} has {model.n_classes} outputs: {model.listed}. Name the one whose change is "
                f"compared with the effects (--target)."
            )
        return 0
    return model.output(target)


def _check_request(request: _Request) -> None:
    if ISM in request.names:
        raise UsageError("methods: ism is what the others are compared with, and always there; leave it out.")
    if request.draws < 1:
        raise UsageError(f"flank_draws: expected at least 1, got {request.draws}.")
    for text in request.flanks:
        if (encode(text, "flanks") == N).any():
            raise UsageError("flanks: expected letters A, C, G, T; zeros or N would drive a model off.")
    if request.length is not None:
        probe = _as_sequences(np.random.default_rng(0).integers(0, 4, (1, request.length)).astype(np.int8))
        request.model.check(probe)
        check_methods(request.model, probe, request.methods, request.target)


def _predictions(request: _Request, assays: Sequence[Assay], folder: Path | None) -> dict[str, Predictions]:
    """Predict the letters of each assay once; from the folder, if they were predicted before."""
    by_letters: dict[bytes, Predictions] = {}
    for assay in assays:
        letters = assay.bases.tobytes()
        if letters not in by_letters:
            known = None if folder is None else read_predictions(folder, assay.bases)
            by_letters[letters] = known or request.predict(assay.bases)
            if folder is not None and known is None:
                _write_predictions(folder, assay, by_letters[letters])
    return {assay.name: by_letters[assay.bases.tobytes()] for assay in assays}


def _record(folder: Path, bases: Int8) -> Path:
    return folder / "predictions" / f"{sha256(decode(bases).encode()).hexdigest()[:16]}.json"


def read_predictions(folder: Path, bases: Int8) -> Predictions | None:
    """Read what was predicted for an element's letters into a folder; None if nothing was, or it was changed since."""
    import pyarrow.parquet

    record = _record(folder, bases)
    about = read_proof(record)
    if about is None:
        return None
    table = pyarrow.parquet.read_table(record.with_suffix(".parquet"))
    columns = {name: table[name].to_numpy().reshape(-1, 3) for name in table.column_names[4:]}
    ism = columns.pop(f"{ISM} (exact)")
    return Predictions(ism, {k: v[:, 0] if k in about["per_position"] else v for k, v in columns.items()})


def _write_predictions(folder: Path, assay: Assay, predictions: Predictions) -> None:
    import pyarrow as pa
    import pyarrow.parquet

    size, record = assay.bases.size, _record(folder, assay.bases)
    steps = np.tile([1, 2, 3], size)
    ref = np.repeat(assay.bases, 3)
    spread = {k: np.repeat(v, 3) if v.ndim == 1 else v.reshape(-1) for k, v in predictions.methods.items()}
    columns = {
        "position": np.repeat(np.arange(size), 3),
        "ref": list(decode(ref)),
        "alt": list(decode(((ref + steps) % 4).astype(np.int8))),
        "step": steps,
        f"{ISM} (exact)": predictions.ism.reshape(-1),
        **spread,
    }
    path = record.with_suffix(".parquet")
    with atomic_write(path) as part:
        pyarrow.parquet.write_table(pa.table(columns), part, compression="zstd")
    per_position = [name for name, values in predictions.methods.items() if values.ndim == 1]
    write_proof(record, [path.name], {"element": assay.element, "per_position": per_position})
