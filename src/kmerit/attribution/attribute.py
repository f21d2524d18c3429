"""Attribute: one pass over a model, the scores of many methods; tiles, strands and precision."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, overload

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from kmerit.attribution.method import Batch, Method, NucleotideScores, TokenScores
from kmerit.attribution.method import methods as registered
from kmerit.attribution.parts import ScoreParts, told_by_plan, work
from kmerit.attribution.references import Reference, ReferenceLike
from kmerit.attribution.references import reference as make_reference
from kmerit.attribution.trace import PROJECTIONS, run, to_nucleotides
from kmerit.errors import LabelError, NotFinite, TargetError, UnknownName, UnsupportedMethod, UsageError, short
from kmerit.io.crops import Pieces, Tiles
from kmerit.io.readers import SequencesLike, as_sequences
from kmerit.io.scores import (
    DIAGNOSTICS,
    block_table,
    check_suffix,
    diagnostics_of,
    join,
    noted,
    read_attributions,
    too_far,
    warn,
    write,
    write_tables,
)
from kmerit.models.encoder import Encoder
from kmerit.models.inference import Company, check_strands, fitting, refuse_nonfinite, slices
from kmerit.models.model import Model, in_float64
from kmerit.models.one_hot import one_hot_model
from kmerit.models.sequence_to_function import SequenceToFunction
from kmerit.results import Attribution, Attributions, Identity, Problem
from kmerit.sequences import Float, Floats, Int64, Sequences, Strands, one_hot, other_strand
from kmerit.store import Work, refuse_launcher

if TYPE_CHECKING:
    import pyarrow as pa

TOP = 20
"""Positions at the top whose overlap is reported."""


def sample(count: int, size: int, seed: int = 0) -> Int64:
    """Draw which of ``count`` sequences are checked: ``size`` of them, or all, in their order.

    Example:
        >>> len(sample(1000, 20)), sample(3, 20).tolist()
        (20, [0, 1, 2])
    """
    rows = np.random.default_rng(seed).choice(count, min(size, count), replace=False)
    return np.asarray(np.sort(rows), dtype=np.int64)


def agreement(attributions: Mapping[str, Attribution], exact: Mapping[str, Attribution]) -> dict[str, dict[str, Any]]:
    """Compare scores with the same in float64, sequence by sequence.

    Args:
        attributions: Scores by method.
        exact: Scores of the same sequences for the same targets, in float64.

    Returns:
        For each method: ``sequences``, how many were compared; ``undefined``, for how many of them there is no rank
        correlation, since all scores are equal or one is not finite; over the others ``spearman`` and ``top`` (the
        share of the highest ``TOP`` positions that are the same), each with ``min`` and ``median``, or None without
        any; and ``each``, the two of every sequence, or None.
    """
    report: dict[str, dict[str, Any]] = {}
    for name, attribution in attributions.items():
        width = exact[name].scores.shape[1]  # the others may be padded to a longer sequence that was not drawn
        pairs = [_agreement(*each) for each in zip(attribution.scores[:, :width], exact[name].scores, strict=True)]
        defined = np.array([pair for pair in pairs if pair is not None]).reshape(-1, 2)
        report[name] = {
            "sequences": len(pairs),
            "undefined": len(pairs) - len(defined),
            **{key: summary(values) for key, values in zip(("spearman", "top"), defined.T, strict=True)},
            "each": [None if pair is None else list(pair) for pair in pairs],
        }
    return report


def _agreement(scores: Float, exact: Float) -> tuple[float, float] | None:
    """Spearman's correlation and the overlap of the top, or None where there is no order."""
    from scipy.stats import rankdata

    has_score = ~(np.isnan(scores) & np.isnan(exact))  # padding, and nucleotides under no token
    scores, exact = scores[has_score], exact[has_score]
    if (
        not has_score.any()
        or not (np.isfinite(scores).all() and np.isfinite(exact).all())
        or np.ptp(scores) == 0
        or np.ptp(exact) == 0
    ):
        return None
    count = min(TOP, scores.size)
    top, exact_top = (set(np.argsort(-values, kind="stable")[:count].tolist()) for values in (scores, exact))
    correlation = np.corrcoef(rankdata(scores), rankdata(exact))[0, 1]
    return float(correlation), len(top & exact_top) / count


def summary(values: Float) -> dict[str, float] | None:
    """Return the least and the median of some values; None of none.

    Example:
        >>> summary(np.array([0.25, 0.5, 0.75]))
        {'min': 0.25, 'median': 0.5}
    """
    return {"min": float(values.min()), "median": float(np.median(values))} if values.size else None


def averaged(tiles: Attribution, pieces: Pieces, whole: Sequences) -> Attribution:
    """Average the scores of tiles where they overlap; NaN counts only where every tile has it.

    Of the diagnostics, ``relevance_sum`` is the mean over tiles, ``delta`` the worst tile's (and a sequence with a tile
    that misses the tolerance is withheld whole), ``zero`` that all are, ``undefined`` and ``nonfinite`` that any is.
    ``tie_share`` is left out.

    Args:
        tiles: Scores of nucleotides of ``pieces.sequences``.
        pieces: How the sequences were taken apart.
        whole: The sequences.
    """
    shape = (len(whole), int(whole.lengths.max(initial=0)))
    sums, counts, covered = np.zeros(shape), np.zeros(shape), np.zeros(shape)
    effects = None if tiles.substitutions is None else np.zeros((*shape, 4))
    rows = zip(pieces.owner.tolist(), pieces.start.tolist(), pieces.sequences.lengths.tolist(), strict=True)
    for i, (owner, start, length) in enumerate(rows):
        part, scores = slice(start, start + length), tiles.scores[i, :length]
        has_score = ~np.isnan(scores)
        sums[owner, part] += np.where(has_score, scores, 0)
        counts[owner, part] += has_score
        covered[owner, part] += 1
        if effects is not None and tiles.substitutions is not None:
            effects[owner, part] += tiles.substitutions[i, :length]
    scores = np.full(shape, np.nan)
    np.divide(sums, counts, out=scores, where=counts > 0)
    first, previous = pieces.first, tiles.diagnostics
    diagnostics = {
        name: pieces.mean(previous[name])
        if each.reduction == "mean"
        else each.reduction.reduceat(previous[name], first)
        for name, each in DIAGNOSTICS.items()
        if each.reduction is not None
    }
    if (tolerance := tiles.settings.get("tolerance")) is not None:
        scores[too_far(diagnostics["delta"], tolerance)] = np.nan
    return Attribution(
        method=tiles.method,
        scores=scores.astype(tiles.scores.dtype),
        level=tiles.level,
        target=tiles.target[first],
        names=whole.names,
        signed=tiles.signed,
        settings=tiles.settings,
        diagnostics=diagnostics,
        substitutions=None if effects is None else _mean(effects, covered, tiles.scores.dtype),
    )


def _mean(effects: Float, covered: Float, dtype: np.dtype[np.floating]) -> Float:
    return np.asarray(effects / np.maximum(covered, 1)[..., None], dtype=dtype)


def over_strands(forward: Attribution, back: Attribution, lengths: Int64) -> Attribution:
    """Average the scores of sequences with those of their reverse complements, positions turned back.

    NaN counts only where both have it. Of the diagnostics, ``relevance_sum`` is the mean, ``delta`` the worse strand's
    (and a sequence that misses the tolerance on one strand is withheld), ``zero`` that both are, ``undefined`` and
    ``nonfinite`` that one is. ``tie_share`` is left out.

    Args:
        forward: Scores of nucleotides of the sequences.
        back: Of their reverse complements.
        lengths: Of the sequences, ``int64 [sequence]``.
    """
    inside, at = _places_back(forward.scores.shape[1], lengths)
    both = np.stack([forward.scores, turned_back(back.scores, lengths)])
    strand_count = np.isfinite(both).sum(axis=0)
    scores = np.full(forward.scores.shape, np.nan, dtype=forward.scores.dtype)
    np.divide(np.where(np.isfinite(both), both, 0).sum(axis=0), strand_count, out=scores, where=strand_count > 0)
    own_diagnostics, reverse_diagnostics = forward.diagnostics, back.diagnostics
    diagnostics = {
        name: (own_diagnostics[name] + reverse_diagnostics[name]) / 2
        if each.reduction == "mean"
        else each.reduction(own_diagnostics[name], reverse_diagnostics[name])
        for name, each in DIAGNOSTICS.items()
        if each.reduction is not None
    }
    if (tolerance := forward.settings.get("tolerance")) is not None:
        scores[too_far(diagnostics["delta"], tolerance)] = np.nan
    effects = None
    if forward.substitutions is not None and back.substitutions is not None:
        # In the order ACGT the complement of base b is 3 - b.
        other = np.take_along_axis(back.substitutions, at[..., None], axis=1)[..., ::-1]
        effects = np.where(inside[..., None], (forward.substitutions + other) / 2, 0).astype(scores.dtype)
    return replace(forward, scores=scores, diagnostics=diagnostics, substitutions=effects)


def turned_back(scores: Float, lengths: Int64) -> Float:
    """Give each score of a reverse complement to the nucleotide that it stands for in the sequence itself.

    Args:
        scores: ``[sequence, position]``.
        lengths: Of the sequences, ``int64 [sequence]``.

    Example:
        >>> turned_back(np.array([[1.0, 2.0, 3.0], [4.0, 5.0, np.nan]]), np.array([3, 2])).tolist()
        [[3.0, 2.0, 1.0], [5.0, 4.0, nan]]
    """
    inside, at = _places_back(scores.shape[1], lengths)
    return np.where(inside, np.take_along_axis(scores, at, axis=1), np.nan)


def _places_back(width: int, lengths: Int64) -> tuple[NDArray[np.bool_], Int64]:
    """Say which positions lie in a sequence, and where in its reverse complement each is, ``[sequence, position]``."""
    position = np.arange(width)
    inside = position < lengths[:, None]
    return inside, np.where(inside, lengths[:, None] - 1 - position, 0)


Target = Literal["predicted", "label"] | int | str | Mapping[str, Any]
"""The predicted class, the true one, an output by its number or its name; or tracks and bins, see `Model.task`."""
Progress = Callable[[int, int], None]
_BATCHES_PER_BLOCK = 32
_REPEATS = ("steps", "samples", "n_samples", "n_baselines")
"""Options that say how often a method repeats a pass."""


@overload
def attribute(
    model: Model,
    sequences: SequencesLike,
    methods: Sequence[str | Method],
    target: Target = "predicted",
    level: str = "nucleotide",
    *,
    projection: str = "mean",
    options: Mapping[str, Mapping[str, Any]] | None = None,
    tiles: Tiles | None = None,
    strands: Strands = "forward",
    reference: ReferenceLike | None = None,
    check: int = 0,
    out: None = None,
    progress: Progress | None = None,
) -> Attributions: ...


@overload
def attribute(
    model: Model,
    sequences: SequencesLike,
    methods: Sequence[str | Method],
    target: Target = "predicted",
    level: str = "nucleotide",
    *,
    projection: str = "mean",
    options: Mapping[str, Mapping[str, Any]] | None = None,
    tiles: Tiles | None = None,
    strands: Strands = "forward",
    reference: ReferenceLike | None = None,
    check: int = 0,
    out: str | os.PathLike[str],
    progress: Progress | None = None,
    share: Work | None = None,
) -> Path: ...


def attribute(
    model: Model,
    sequences: SequencesLike,
    methods: Sequence[str | Method],
    target: Target = "predicted",
    level: str = "nucleotide",
    *,
    projection: str = "mean",
    options: Mapping[str, Mapping[str, Any]] | None = None,
    tiles: Tiles | None = None,
    strands: Strands = "forward",
    reference: ReferenceLike | None = None,
    check: int = 0,
    out: str | os.PathLike[str] | None = None,
    progress: Progress | None = None,
    share: Work | None = None,
) -> Attributions | Path:
    """Score every position of every sequence with many methods, in one pass over the model.

    Sequences of like length share a micro-batch; padding never changes a result beyond the last bits.

    Args:
        model: From ``load_model``; left as it was found.
        sequences: `Sequences`, strings, a dict of names and strings, a pandas Series or DataFrame, or a path; whole,
            nothing is truncated.
        methods: Registered names, see ``kmerit list methods``; or `Method` objects of your own.
        target: Output to explain: ``predicted``, ``label`` (the true class), or a class, label or value by its number
            or its name. Of several labels or values, one must be named; of a model with one, that is explained. Of a
            model of tracks: which of them, in which bins, as for `Model.task`.
        level: ``nucleotide``, or ``token``: a score per token in the order of the ids, special tokens included.
        projection: From tokens to nucleotides: ``mean``, ``share`` or ``max``.
        options: Documented variants, ``{"lrp": {"start_layer": 2}}``.
        tiles: How sequences that are longer are taken apart; scores are averaged where tiles overlap, and so are the
            probabilities that decide which class is the predicted one.
        strands: ``both`` averages the scores of each sequence with those of its reverse complement, turned back; the
            predicted class is that of the mean prediction. By how much the answers differ stands under
            ``strand_change`` in the settings, and a warning is logged if it is much.
        reference: What the output is compared with: relevances then add up to y - y_ref as far as a method's do. A
            `Reference`, or what `reference` takes: ``shuffled``, or a number. It is stated in the settings of the
            methods that it means something to; `completeness` says what they add up to.
        check: How many sequences, drawn at random, are scored again in float64, for the same targets. How well the
            ranks agree stands under ``check`` in each method's settings, see ``attribution.precision.agreement``; with
            ``out`` in a JSON file next to the scores, named like them.
        out: Write Parquet in chunks instead of holding all in memory.
        progress: Called with (sequences done, sequences in all).
        share: What of it is done, with ``out``: ``"plan"`` records what every share is held to, a `kmerit.store.Share`
            scores its blocks of sequences, and ``"gather"`` joins them; by default all is done. The bytes are the same.

    Returns:
        One attribution per method, or with ``out`` the path of the file. Where the scores of a sequence miss what they
        should add up to by more than the method's tolerance they are withheld: NaN, the reason in ``withheld``, and a
        ``WithheldWarning``. Each sequence is judged by itself.

    Raises:
        UnknownName: A method that does not exist.
        UsageError: No method; options of one that is not asked for; or a method of your own that answers with
            something else than scores.
        TargetError: A class that the model does not have.
        LabelError: ``target="label"`` without labels.
        SequenceError: A sequence is too short or has an N.
        LengthError: A sequence is too long.
        UnsupportedMethod: A method that the model's family cannot serve.
        NotFinite: The model's answer is no number, or scores from a reference are none.
        ReferenceUnreachable: A reference that the output cannot be, or too far for the model's dtype.
        UsageError, SequenceError, TargetError: A `Reference` of another model, of other sequences, of another target.
        RunError: A share without a plan, or gathered before every share is there.
        RunMismatch: A share of another plan.

    Example:
        >>> import kmerit as km
        >>> model = km.load_model("bundled:promoter")
        >>> scores = km.attribute(model, ["TATAAAGGCGCGCC"], methods=["attention", "lrp"])
        >>> scores["lrp"].scores.shape
        (1, 14)
    """
    if check < 0:
        raise UsageError(f"check: expected how many sequences to score again, got {check}.")
    sequences = as_sequences(sequences)
    model, whole = model.of_target(target)
    if share is not None:
        if out is None:
            raise UsageError("share: expected out, the file next to which the shares are stored; got none.")
        if reference is not None:
            raise UsageError("reference: scores with one are not made in shares. Score them in one process.")
        refuse_launcher()
        model = told_by_plan(model, Path(out))
    plan = _plan(model, sequences, methods, whole, level, projection, options or {}, tiles, strands)
    if not plan.chosen:
        raise UsageError("methods: expected one at least, got none. Their names: kmerit list methods.")
    plan = replace(plan, settings={**plan.settings, "target": target})
    plan = plan if reference is None else _with_reference(plan, sequences, reference, whole)
    plan = _fitted(plan, sequences)
    if out is not None:
        return _to_file(plan, sequences, Path(out), check, progress, share)
    plan = _with_targets(plan, sequences)
    blocks = _blocks(plan, sequences, progress)
    attributions = {name: noted(each) for name, each in join(list(blocks)).items()}
    for name, each in attributions.items():
        warn(name, each.diagnostics["delta"], each.settings.get("tolerance"))
    if check:
        report = _check(plan, sequences, check, lambda rows: {n: each.take(rows) for n, each in attributions.items()})
        for name, about in report.items():
            attributions[name] = replace(attributions[name], settings={**attributions[name].settings, "check": about})
    return Attributions({name: replace(each, sequences=sequences) for name, each in attributions.items()})


def _to_file(
    plan: _Plan, sequences: Sequences, out: Path, check: int, progress: Progress | None, share: Work | None
) -> Path:
    """Score to a file, whole or in shares."""
    check_suffix(out)
    lengths = sequences.lengths if plan.level == "nucleotide" else plan.model.tokenizer.survey(sequences).tokens

    def identity(rows: Int64) -> Identity:
        return Identity.of(sequences.take(rows))

    def checked(plan: _Plan) -> Callable[[Path], Mapping[str, Any]] | None:
        def report(path: Path) -> Mapping[str, Any]:
            return _check(plan, sequences, check, lambda rows: read_attributions(path, rows))

        return report if check else None

    if share is None:
        plan = _with_targets(plan, sequences)
        return write(out, _blocks(plan, sequences, progress), lengths, identity, checked(plan))

    def table(index: int, target: Int64 | None, found: Mapping[str, Any]) -> pa.Table:
        start = index * plan.block
        block = _scored(_completed(plan, target, found), sequences, start, progress)
        return block_table(block, start, lengths, identity)

    def look() -> tuple[Int64 | None, Mapping[str, Any]]:
        whole = _with_targets(plan, sequences)
        return whole.target, {key: value for key, value in whole.settings.items() if key not in plan.settings}

    def join(tables: Iterator[pa.Table], target: Int64 | None, found: Mapping[str, Any]) -> None:
        write_tables(out, tables, checked(_completed(plan, target, found)))

    request = {
        "methods": {name: dict(options) for name, (_, options) in plan.chosen.items()},
        "order_of_methods": list(plan.chosen),
        "level": plan.level,
        "check": check,
        **{key: value for key, value in plan.settings.items() if key not in ("model", "dtype", "micro_batch")},
    }
    work(share, lambda: ScoreParts(out, plan.model, sequences, request, plan.block), look, table, join, out)
    return out


def _completed(plan: _Plan, target: Int64 | None, settings: Mapping[str, Any]) -> _Plan:
    return replace(plan, target=target, settings={**plan.settings, **settings})


def _fitted(plan: _Plan, sequences: Sequences) -> _Plan:
    """Give a plan a micro-batch that fits when its methods score the longest sequence, where a probe is to find it.

    Methods that repeat a pass make it once, and those that pass once per nucleotide take no more memory than the pass
    that all share. A user's own methods, which may ask for the names of the sequences, are not tried.
    """
    tried = {
        name: (method, {**options, **{key: 1 for key in _REPEATS if key in options}})
        for name, (method, options) in plan.chosen.items()
        if registered().get(name) is method and "per nucleotide" not in str(method.cost)
    }

    def score(model: Model, batch: Sequences) -> None:
        target = None if plan.target is None else np.resize(plan.target[:1], len(batch))
        with model.computing():
            _score(replace(plan, model=model, chosen=tried, reference=None), batch, target)

    tiled = plan.model if plan.tiles is None else replace(plan.model, tiles=plan.tiles)
    micro_batch = tiled.fitted(sequences, score).micro_batch
    model = replace(plan.model, micro_batch=micro_batch, undecided=False)
    return replace(plan, model=model, settings={**plan.settings, "micro_batch": micro_batch})


def fitted(model: Model, sequences: Sequences, methods: Sequence[str | Method]) -> Model:
    """Give a model a micro-batch that fits when methods score the longest sequence, where a probe is to find it.

    Example:
        >>> import kmerit as km
        >>> model, rows = km.load_model("bundled:promoter", micro_batch=4), km.Sequences.from_strings(["TATAAAGG"])
        >>> fitted(model, rows, ["lrp"]).micro_batch
        4
    """
    if not model.undecided:
        return model
    return _fitted(_plan(model, sequences, methods, 0, "nucleotide", "mean", {}), sequences).model


def check_methods(
    model: Model, sequences: Sequences, methods: Sequence[str | Method], target: Target = "predicted"
) -> None:
    """Check, before any pass, that methods can score sequences.

    Raises:
        KmeritError: What `attribute` would refuse.

    Example:
        >>> import kmerit as km
        >>> model, rows = km.load_model("bundled:promoter"), km.Sequences.from_strings(["TATAAAGG"])
        >>> check_methods(model, rows, ["atention"])
        Traceback (most recent call last):
        kmerit.errors.UnknownName: Unknown method 'atention'. Did you mean 'attention'? See: kmerit list methods
    """
    model, target = model.of_target(target)
    _plan(model, sequences, methods, target, "nucleotide", "mean", {})


def _check(
    plan: _Plan, sequences: Sequences, size: int, read_rows: Callable[[Int64], Mapping[str, Attribution]]
) -> dict[str, dict[str, Any]]:
    """Score a sample again in float64, and compare what was not withheld."""
    rows = sample(len(sequences), size)
    attributions = {name: each for name, each in read_rows(rows).items() if not each.withheld_rows.all()}
    if not attributions:
        return {}
    exact = replace(
        plan,
        model=in_float64(plan.model),
        target=next(iter(attributions.values())).target,
        chosen={name: plan.chosen[name] for name in attributions},
    )
    report = agreement(attributions, join(list(_blocks(exact, sequences.take(rows), None))))
    return {name: {**about, "rows": rows.tolist()} for name, about in report.items()}


@dataclass(frozen=True, eq=False)
class _Plan:
    """A request, checked and completed."""

    model: Model
    chosen: Mapping[str, tuple[Method, Mapping[str, Any]]]
    target: Int64 | None
    level: str
    projection: str
    settings: Mapping[str, Any]
    tiles: Tiles | None = None
    strands: Strands = "forward"
    reference: Reference | None = None

    @property
    def block(self) -> int:
        """Sequences that are scored together."""
        return self.model.micro_batch * _BATCHES_PER_BLOCK


def _with_reference(plan: _Plan, sequences: Sequences, reference: ReferenceLike, target: int | str) -> _Plan:
    """Add a reference to a plan, and explain the outputs that it is of."""
    if not any(method.sums for method, _ in plan.chosen.values()):
        raise UnsupportedMethod(
            f"reference: the scores of {', '.join(plan.chosen)} do not add up to the output, so they take no "
            f"reference. Methods that do: {', '.join(name for name, each in registered().items() if each.sums)}."
        )
    if plan.tiles is not None or plan.strands == "both":
        raise UsageError("reference: it is of whole sequences on one strand. Leave tiles and strands out.")
    added = (
        reference
        if isinstance(reference, Reference)
        else make_reference(plan.model, sequences, reference, target=target)
    )
    added.check(plan.model, sequences, plan.target)
    return replace(plan, target=added.targets, reference=added)


def _plan(
    model: Model,
    sequences: Sequences,
    names: Sequence[str | Method],
    target: int | str,
    level: str,
    projection: str,
    options: Mapping[str, Mapping[str, Any]],
    tiles: Tiles | None = None,
    strands: Strands = "forward",
) -> _Plan:
    check_strands(strands)
    if level not in ("nucleotide", "token"):
        raise UsageError(f"level: expected 'nucleotide' or 'token', got {level!r}.")
    if projection not in PROJECTIONS:
        raise UsageError(f"projection: expected one of {', '.join(PROJECTIONS)}, got {projection!r}.")
    by_name = _named(names)
    for each in by_name.values():
        each.check_extra()
    for name in options:
        if name not in by_name and name not in registered():
            raise UnknownName("method", name, registered(), see="kmerit list methods")
        if name not in by_name:
            raise UsageError(
                f"options: they are of {name!r}, which is not among the methods asked for ({', '.join(by_name)}). Ask "
                f"for it, too, or leave its options out."
            )
    if model.dtype == torch.bfloat16:
        raise UsageError(
            f"{model.name} computes in bfloat16, which is for prediction; scores need the digits of float32. "
            f"Load it with dtype='float32' (--dtype float32)."
        )
    chosen = {name: (method, method.complete(options.get(name, {}))) for name, method in by_name.items()}
    check_abilities(model, chosen)
    tiles = model.tiles if tiles is None else tiles
    if tiles is not None and level == "token":
        raise UsageError("level: tiles share nucleotides, not tokens. Leave level at 'nucleotide'.")
    if strands == "both" and level == "token":
        raise UsageError("level: the two strands share nucleotides, not tokens. Leave level at 'nucleotide'.")
    model.check(sequences if tiles is None else tiles.cut(sequences).sequences)
    settings = {
        "model": model.digest,
        "dtype": str(model.dtype).removeprefix("torch."),
        "micro_batch": model.micro_batch,
        "products": model.products,
        "target": target,
        "projection": projection,
        "strands": strands,
        **({} if model.problem is Problem.CLASSES else {"problem": model.problem.value}),
        **({} if tiles is None else {"tile": tiles.length, "stride": tiles.step}),
    }
    targets = fixed_target(model, sequences, target)
    if tiles is not None:
        tiles.log(sequences)
    return _Plan(model, chosen, targets, level, projection, settings, tiles, strands)


def _with_targets(plan: _Plan, sequences: Sequences) -> _Plan:
    """Find the classes that are predicted of whole sequences, where a pass sees a part of them or one strand."""
    if plan.strands == "forward" and (plan.tiles is None or plan.target is not None):
        return plan
    predicted = plan.model.predict(sequences, tiles=plan.tiles, strands=plan.strands)
    target = np.asarray(predicted.argmax(1), dtype=np.int64) if plan.target is None else plan.target
    change = predicted.settings.get("strand_change")
    settings = {} if change is None else {"strand_change": change}
    return _completed(plan, target, settings)


def _named(methods: Sequence[str | Method]) -> dict[str, Method]:
    """Look methods up by name; a `Method` object is used under its own name."""
    if isinstance(methods, str | Method):
        text = repr(methods) if isinstance(methods, str) else f"the method {methods.name}"
        raise UsageError(f"methods: expected a list of names, got {text}. Write [{text}].")
    if isinstance(methods, type) or not isinstance(methods, Iterable):
        raise UsageError(
            f"methods: expected a list of names or Method objects, such as ['lrp'], got {short(methods)}. Names: "
            f"kmerit list methods."
        )
    registry, by_name = registered(), dict[str, Method]()
    for each in methods:
        if isinstance(each, Method):
            if by_name.get(each.name, registry.get(each.name, each)) is not each:
                raise UsageError(f"methods: {each.name!r} is the name of another method. Rename yours.")
            by_name[each.name] = each
        elif not isinstance(each, str):
            raise UsageError(f"methods: expected names or Method objects, got {short(each)}.")
        elif each not in registry:
            raise UnknownName("method", each, registry, see="kmerit list methods")
        elif by_name.get(each, registry[each]) is not registry[each]:
            raise UsageError(f"methods: {each!r} is the name of another method, too. Rename yours.")
        else:
            by_name[each] = registry[each]
    return by_name


def check_abilities(model: Model, choices: Mapping[str, tuple[Method, Mapping[str, Any]]]) -> None:
    """Refuse methods that do not work on the model, before any pass."""
    for name, (method, options) in choices.items():
        if not (missing := method.asks_for(options) - model.abilities):
            continue
        usual = method.complete({})
        if method.asks_for(usual) <= model.abilities:
            own = {key: value for key, value in options.items() if value != usual[key]}
            what = f"{name} with {', '.join(f'{key}={value!r}' for key, value in own.items())}"
            remedy = f"Leave {' and '.join(own)} out of its options."
        else:
            what, missing = name, method.asks_for(usual) - model.abilities
            served = [m.name for m in registered().values() if m.asks_for(m.complete({})) <= model.abilities]
            remedy = f"It can be explained by: {', '.join(served)}."
        raise UnsupportedMethod(
            f"{what} needs {' and '.join(sorted(each.value for each in missing))}; {model.name} has none "
            f"(family {model.family}). {remedy}"
        )


def fixed_target(model: Model, sequences: Sequences, target: int | str) -> Int64 | None:
    """The class to explain for each sequence, or None for the predicted one."""
    if model.problem is Problem.VALUE and target in ("predicted", "label"):
        return np.zeros(len(sequences), dtype=np.int64)
    if model.problem is Problem.LABELS and model.n_classes == 1 and target == "predicted":
        return np.zeros(len(sequences), dtype=np.int64)
    if target in ("predicted", "label") and model.problem is not Problem.CLASSES:
        raise TargetError(
            f"target: {model.name} predicts {model.n_classes} {model.problem.value}, none of which is {target!r}. Give "
            f"one by its number or name: {model.listed}."
        )
    if target == "predicted":
        return None
    if target == "label":
        if sequences.labels is None or sequences.labels.dtype != np.int64:
            raise LabelError(
                "target='label': the sequences have no class labels. Name the label column, or explain 'predicted'."
            )
        classes = np.asarray(model.numbered(sequences).labels, dtype=np.int64)
    else:
        classes = np.full(len(sequences), model.output(target), dtype=np.int64)
    outside = (classes < 0) | (classes >= model.n_classes)
    if outside.any():
        model.output(int(classes[outside][0]))
    return classes


def _blocks(plan: _Plan, sequences: Sequences, progress: Progress | None) -> Iterator[dict[str, Attribution]]:
    """Score block after block, in the order of the sequences; within a block, like lengths share a micro-batch."""
    for start in range(0, len(sequences), plan.block):
        yield _scored(plan, sequences, start, progress)


def _scored(plan: _Plan, sequences: Sequences, start: int, progress: Progress | None) -> dict[str, Attribution]:
    """Score the block that begins with the ``start``-th sequence."""
    rows = slice(start, start + plan.block)
    block = sequences.take(rows)
    target = None if plan.target is None else plan.target[rows]

    def report_share(share: float) -> None:
        if progress is not None:
            progress(start + round(share * len(block)), len(sequences))

    if plan.strands == "forward":
        return _tiled(plan, block, target, report_share)
    attributions = _tiled(plan, block, target, partial(_half, report_share, 0))
    back = _tiled(plan, other_strand(block), target, partial(_half, report_share, 1))
    return {name: _with_ties(over_strands(each, back[name], block.lengths)) for name, each in attributions.items()}


def _half(report_share: Callable[[float], None], done: int, share: float) -> None:
    """Report the progress of one strand as half of both."""
    report_share((done + share) / 2)


def _tiled(
    plan: _Plan, block: Sequences, target: Int64 | None, report_share: Callable[[float], None]
) -> dict[str, Attribution]:
    """Score a block, in tiles if the plan has them."""
    if plan.tiles is None:
        return _block(plan, block, target, report_share)
    pieces = plan.tiles.cut(block)
    attributions = _block(plan, pieces.sequences, None if target is None else target[pieces.owner], report_share)
    return {name: _with_ties(averaged(each, pieces, block)) for name, each in attributions.items()}


def _block(
    plan: _Plan, block: Sequences, target: Int64 | None, report_share: Callable[[float], None]
) -> dict[str, Attribution]:
    """Score sequences in micro-batches of like lengths; in the end they are in their order again."""
    batches = _batches(plan.model, block)
    parts = []
    for rows in batches:
        parts.append(_fitting_score(plan, block.take(rows), None if target is None else target[rows]))
        report_share(sum(map(len, batches[: len(parts)])) / len(block))
    back = np.argsort(np.concatenate(batches), kind="stable")
    return {name: attribution.take(back) for name, attribution in join(parts).items()}


def _with_ties(attribution: Attribution) -> Attribution:
    ties = np.array([tie_share(row[np.isfinite(row)]) for row in attribution.scores])
    return replace(attribution, diagnostics={**attribution.diagnostics, "tie_share": ties})


def _batches(model: Model, block: Sequences) -> list[Int64]:
    """Part a block into micro-batches of like lengths, whose sequences may share a pass."""
    if model.company is Company.ANY:
        groups = [np.argsort(block.lengths, kind="stable")]
    else:
        counts = model.tokenizer.survey(block).tokens
        groups = [np.flatnonzero(counts == count) for count in np.unique(counts)]
    step = 1 if model.company is Company.NONE else model.micro_batch
    return [rows[i : i + step] for rows in groups for i in range(0, len(rows), step)]


def _fitting_score(plan: _Plan, part: Sequences, target: Int64 | None) -> dict[str, Attribution]:
    """Score one micro-batch, or its halves where memory runs out."""

    def scored(model: Model) -> dict[str, Attribution]:
        plan_of_model = replace(plan, model=model)
        pieces = slices(len(part), model)
        return join(
            [_score(plan_of_model, part.take(rows), None if target is None else target[rows]) for rows in pieces]
        )

    with plan.model.computing():
        return fitting(plan.model, scored)


def _score(plan: _Plan, part: Sequences, target: Int64 | None) -> dict[str, Attribution]:
    """Score one micro-batch."""
    bases, lengths = part.padded()
    tokens = plan.model.tokenize(bases, lengths)
    needs = [need for method, options in plan.chosen.values() for need in method.needs(options)]
    reference = plan.reference
    pooled = None if reference is None or not isinstance(plan.model.encoder, Encoder) else reference.pooled(part.names)
    pooled = None if pooled is None else pooled.to(plan.model.device, plan.model.dtype)
    model = plan.model if reference is None else _started(plan.model, reference.values[reference.rows(part.names)])
    trace = run(model, tokens, needs, None if target is None else torch.from_numpy(target), pooled)
    plan.model.refuse_nonfinite(trace.logits, tokens, part.names)
    baselines = () if reference is None else tuple(reference.baselines(part.names))
    batch = Batch(plan.model, part.names, bases, lengths, tokens, trace, baselines)
    raw_scores = {}
    for name, (method, options) in plan.chosen.items():
        with torch.inference_mode():
            raw = method.score(batch, options)
        _check_answer(name, raw, batch)
        settings = {**plan.settings, "options": dict(options)}
        if reference is not None and method.sums:
            settings["reference"] = reference.about
            if isinstance(raw, TokenScores) and raw.relevance_sum is None:
                raw = replace(raw, relevance_sum=(raw.values * trace.mask).sum(1))
        scores, diagnostics = _project(plan, name, batch, raw)
        if reference is not None and method.sums and isinstance(raw, TokenScores):
            _refuse_nonfinite_scores(name, part.names, reference, diagnostics)
        if isinstance(raw, TokenScores) and raw.delta is not None and method.tolerance is not None:
            settings["tolerance"] = method.tolerance
            scores[too_far(diagnostics["delta"], method.tolerance)] = np.nan
        raw_scores[name] = Attribution(
            method=name,
            scores=scores,
            level=plan.level,
            target=trace.target.cpu().numpy(),
            names=part.names,
            signed=method.signed,
            settings=settings,
            diagnostics=diagnostics,
            substitutions=raw.substitutions if isinstance(raw, NucleotideScores) else None,
        )
    return raw_scores


def _refuse_nonfinite_scores(
    name: str, names: tuple[str, ...], reference: Reference, diagnostics: Mapping[str, NDArray[Any]]
) -> None:
    """Refuse relevances from a reference that are NaN or infinite.

    Raises:
        NotFinite: With the method and the sequence.
    """
    rows = np.flatnonzero(diagnostics["nonfinite"] | ~np.isfinite(diagnostics["relevance_sum"]))
    if rows.size:
        sequence = names[int(rows[0])]
        value = float(reference.values[reference.rows([sequence])[0]])
        raise NotFinite(
            f"{name}: the scores of {sequence!r} from the reference {value:g} are not finite. Give another reference, "
            f"or load the model with dtype='float64' (--dtype float64)."
        )


def _check_answer(name: str, raw: object, batch: Batch) -> None:
    """Refuse what a method must not answer.

    Raises:
        UsageError: Neither kind of scores; or values of another type or shape than theirs.
    """
    count, positions = batch.bases.shape
    width = batch.tokens.mask.shape[1]
    kinds = (
        f"TokenScores(values=tensor [sequence, token], here {(count, width)}) or NucleotideScores(values=NumPy array "
        f"[sequence, position], here {(count, positions)})"
    )
    if isinstance(raw, TokenScores):
        right = isinstance(raw.values, Tensor) and raw.values.is_floating_point()
        shape: tuple[int, ...] = (count, width)
    elif isinstance(raw, NucleotideScores):
        right = isinstance(raw.values, np.ndarray) and raw.values.dtype.kind == "f"
        shape = (count, positions)
    else:
        raise UsageError(f"{name}: its read or ask must return {kinds}; it returned {_spelt(raw)}.")
    if not right or tuple(raw.values.shape) != shape:
        raise UsageError(
            f"{name}: its read or ask must return {kinds}, of floating-point numbers; in {type(raw).__name__} it "
            f"returned {_spelt(raw.values)}."
        )
    effects = raw.substitutions if isinstance(raw, NucleotideScores) else None
    if effects is not None and np.shape(effects) != (*shape, 4):
        raise UsageError(
            f"{name}: substitutions must be [sequence, position, base], here {(*shape, 4)}; it returned "
            f"{_spelt(effects)}."
        )


def _spelt(value: object) -> str:
    """Name a value for a message by its type, and by the shape and numbers of an array."""
    if value is None:
        return "None"
    if isinstance(value, Tensor | np.ndarray):
        return f"{type(value).__name__} {tuple(value.shape)} of {str(value.dtype).removeprefix('torch.')}"
    return f"{type(value).__name__} {short(value)}"


def _started(model: Model, values: Floats) -> Model:
    """Let rule books explain a batch of a model of tracks from the values of a reference."""
    if not isinstance(model.encoder, SequenceToFunction):
        return model
    start = torch.from_numpy(np.asarray(values)).to(model.device, model.dtype)
    return replace(model, encoder=replace(model.encoder, start=start))


def _project(
    plan: _Plan, name: str, batch: Batch, raw: TokenScores | NucleotideScores
) -> tuple[Float, dict[str, NDArray[Any]]]:
    """Project scores to the requested level, NaN on padding, with diagnostics per sequence."""
    inside = np.arange(batch.bases.shape[1]) < batch.lengths[:, None]
    if isinstance(raw, NucleotideScores):
        if plan.level == "token":
            raise UsageError(f"{name} scores nucleotides, not tokens. Leave level at 'nucleotide'.")
        values, scored_tokens = raw.values, inside
        scores = np.where(inside, values, np.nan).astype(values.dtype)
        undefined, total, delta = None, None, None
    else:
        values, scored_tokens = raw.values.cpu().numpy(), batch.tokens.spans[..., 1] > batch.tokens.spans[..., 0]
        undefined, total, delta = raw.undefined, raw.relevance_sum, raw.delta
        if plan.level == "nucleotide":
            scores = to_nucleotides(values, batch.tokens, batch.bases.shape[1], plan.projection)
        else:
            scores = np.where(batch.tokens.mask, values, np.nan).astype(values.dtype)
    diagnostics = {
        "relevance_sum": None if total is None else total.double().cpu().numpy(),
        "zero": ~((values != 0) & scored_tokens).any(1),
        "undefined": None if undefined is None else undefined.cpu().numpy(),
        "nonfinite": (~np.isfinite(values) & scored_tokens).any(1),
        "tie_share": np.array([tie_share(row[np.isfinite(row)]) for row in scores]),
        "delta": None if delta is None else delta.double().cpu().numpy(),
        "micro_batch": np.full(len(batch.names), plan.model.micro_batch),
    }
    return scores, diagnostics_of(len(batch.names), diagnostics)


def tie_share(scores: Float) -> float:
    """Share of positions whose score another position has too.

    Example:
        >>> tie_share(np.array([0.0, 0.0, 1.0, 2.0]))
        0.5
    """
    _, counts = np.unique(scores, return_counts=True)
    return float(counts[counts > 1].sum() / max(scores.size, 1))


def hypothetical(model: Model, sequences: SequencesLike, target: Target = "predicted") -> Float:
    """Differentiate the explained logit with respect to the one-hot sequence.

    At the base that is there the value is its contribution, gradient x input; at another base it is what that base
    would contribute. The difference of the two is the first-order effect of the substitution, so all 3L effects of
    a sequence follow from this one gradient. TF-MoDISco reads it as hypothetical contributions.

    Args:
        model: Of a family with overlapping k-mers, stride 1, of tracks, or from ``wrap``; left as it was found.
        sequences: As for `attribute`; whole, nothing is truncated.
        target: Output to explain, as for `attribute`.

    Returns:
        ``[sequence, 4, position]``, bases in the order ACGT, in the model's dtype; NaN beyond a sequence's end.
        ``(hypothetical * one_hot(bases)).sum(1)`` are the contributions of the sequence itself.

    Raises:
        UnsupportedMethod: A family without an exact one-hot bridge.
        SequenceError: A sequence is too short or has an N.
        LengthError: A sequence is too long.

    Example:
        >>> import kmerit as km
        >>> model = km.load_model("bundled:promoter")
        >>> km.hypothetical(model, km.Sequences.from_strings(["TATAAAGGCGCGCC"]), target=1).shape
        (1, 4, 14)
    """
    model, target = model.of_target(target)
    bridge = one_hot_model(model)
    sequences = as_sequences(sequences)
    model.check(sequences)
    classes = fixed_target(model, sequences, target)
    lengths = sequences.lengths
    dtype = str(model.dtype).removeprefix("torch.")
    contributions = np.full((len(sequences), 4, int(lengths.max())), np.nan, dtype=dtype)

    def differentiate(model: Model, rows: Int64) -> None:
        for piece in slices(rows.size, model):
            part = rows[piece]
            bases = sequences.take(part).padded()[0]
            x = torch.from_numpy(one_hot(bases)).to(model.device, model.dtype).requires_grad_()
            logits = bridge(x)
            names = [sequences.names[i] for i in part]
            refuse_nonfinite(logits, names, model.name, bridge, partial(_one, bridge, x))
            targets = logits.argmax(-1) if classes is None else torch.from_numpy(classes[part]).to(model.device)
            (gradient,) = torch.autograd.grad(logits.gather(1, targets[:, None]).sum(), x)
            contributions[part, :, : bases.shape[1]] = gradient.cpu().numpy()

    for length in np.unique(lengths):  # the bridge takes sequences of one length
        same = np.flatnonzero(lengths == length)
        for rows in np.split(same, range(model.micro_batch, same.size, model.micro_batch)):
            fitting(model, partial(differentiate, rows=rows))
    return contributions


def _one(bridge: nn.Module, x: Tensor, row: int) -> Tensor:
    logits: Tensor = bridge(x[row : row + 1])
    return logits
