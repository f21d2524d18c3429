"""Everything a trial measures besides its endpoint, and summaries per class, count and method."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from functools import partial
from itertools import combinations, pairwise
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from kmerit.disk import AnyRows, NamedRows, StoredRows, return_memory
from kmerit.errors import CountError, LabelError, UsageError
from kmerit.results import MEASURES, Outcomes, Remark, codes
from kmerit.sequences import Bool, Floats, Int64
from kmerit.store import write_text
from kmerit.trials.controls import CONTEXT, CONTROLS, DECIDING, RANDOM, is_control, ranking_of
from kmerit.trials.outcomes import need_outcomes
from kmerit.trials.rankings import GREEDY, ISM, is_bound
from kmerit.trials.trial import evaluations
from kmerit.trials.verdicts import (
    MARGIN,
    OPERATOR,
    ORDER,
    Endpoint,
    Verdict,
    Verdicts,
    aopc,
    called_default,
    default_labels,
    direction,
    full_mutations,
    judge,
    mean_over_draws,
)
from kmerit.uncertainty import (
    blocks,
    bootstrap_means,
    class_difference,
    kendall_tau,
    mean_differences,
    percentiles,
    wilson,
)

SMALLEST_GAP = 0.05
"""In logits: where a sequence's bounds lie closer, a share of the way between them says nothing."""

Column = tuple[dict[str, Any], Floats]
"""What is measured, and its value for each sequence."""


def excesses(
    outcomes: Outcomes, *, resamples: int = 2000, seed: int = 0, endpoint: Endpoint | None = None
) -> pd.DataFrame:
    """Compare every method's curve with every control's, sequence by sequence and draw by draw.

    Args:
        outcomes: Of a trial with controls.
        resamples: Bootstrap draws of each interval.
        seed: Of those draws.
        endpoint: Of these outcomes, where it has been computed.

    Returns:
        A row per class, condition (``all`` sequences, or those initially ``correct``), method, control, operator,
        order, measure and ``n``: a number, ``all``, or ``aopc``, the mean over all n > 0. ``value`` is the method's
        drop less the control's, with its 95 % interval; ``sequences`` and independent ``clusters`` are counts. Of
        ``negative(NAME)`` it is the rise of the value, less the control's.
        A drop is from the unmutated sequence, under either order; of ``flips`` it is the flip rate. ``context`` changes
        more tokens than the method at equal n, so it has the one row ``tokens``: the mean difference of the drops of
        the logit at equal numbers of tokens changed.

    Example:
        >>> import kmerit as km
        >>> model = km.load_model("bundled:promoter")
        >>> sequences = km.Sequences.from_strings(["TATAAAGGCGCGCC" * 4, "ACGTTGCAACGGTT" * 4], labels=[1, 0])
        >>> scores = km.attribute(model, sequences, ["lrp"])
        >>> outcomes = km.mutate(model, sequences, scores, counts=[1, 5], replicates=1, controls=["random"])
        >>> sorted(set(excesses(outcomes, resamples=50)["n"]))
        ['1', '5', 'aopc']
    """
    return _tabulate(outcomes, _excesses(outcomes, endpoint), resamples, seed)


def measures(outcomes: Outcomes, *, resamples: int = 2000, seed: int = 0) -> pd.DataFrame:
    """Measure every method and control on its own, most relevant first, under ``random_other``.

    Source: samek2017 for AOPC and LeRF, deyoung2020 for comprehensiveness and sufficiency, edin2025 for NAOPC.

    Args:
        outcomes: Of `trial` for all of the measures.
        resamples: Bootstrap draws of each interval.
        seed: Of those draws.

    Returns:
        A row per class, condition, method and ``measure``:

        - ``aopc_logit``, ``aopc_probability``: the mean drop over n > 0.
        - ``naopc_ism``, ``naopc_greedy``: on draw 0, the AOPC's place between a lower bound (in-silico mutagenesis,
          least first) at 0 and an upper bound (in-silico mutagenesis or greedy, most first) at 1, over the n that both
          have, "all" left out. Bounds are practical, so a value may lie outside 0..1. Sequences whose bounds lie within
          0.05 logits are left out.
        - ``srg``: AOPC of the logit, most relevant first less least relevant first, on the draws of both.
        - ``comprehensiveness``: the drop of probability with the top ``n`` mutated; ``sufficiency``: with all but them.
        - ``accuracy_drop``, ``flip_rate``: with the top ``n`` mutated.

    Example:
        >>> import kmerit as km
        >>> model = km.load_model("bundled:promoter")
        >>> sequences = km.Sequences.from_strings(["TATAAAGGCGCGCC" * 4, "ACGTTGCAACGGTT" * 4], labels=[1, 0])
        >>> scores = km.attribute(model, sequences, ["lrp"])
        >>> outcomes = km.mutate(model, sequences, scores, counts=[1, 5], replicates=1, controls=["random"])
        >>> sorted(set(measures(outcomes, resamples=50)["measure"]))
        ['accuracy_drop', 'aopc_logit', 'aopc_probability', 'comprehensiveness', 'flip_rate']
    """
    return _tabulate(outcomes, _measures(outcomes), resamples, seed)


def differences(outcomes: Outcomes, *, resamples: int = 2000, seed: int = 0) -> pd.DataFrame:
    """Compare methods with each other by the endpoint of the verdicts, sequence by sequence and draw by draw.

    Args:
        outcomes: Of a trial; controls are not needed.
        resamples: Bootstrap draws of each interval.
        seed: Of those draws.

    Returns:
        A row per class, condition (``all`` sequences, or those initially ``correct``) and pair of methods: ``value`` is
        the AOPC of the explained class's logit of ``method`` less that of ``other``, with its 95 % interval, which is
        not corrected for the number of pairs. Where the trial had lines with and without sign, like is compared with
        like, and ``sign`` says which: signed with signed, sizes with unsigned methods and sizes.

    Example:
        >>> import kmerit as km
        >>> model = km.load_model("bundled:promoter")
        >>> sequences = km.Sequences.from_strings(["TATAAAGGCGCGCC" * 4, "ACGTTGCAACGGTT" * 4], labels=[1, 0])
        >>> scores = km.attribute(model, sequences, ["lrp", "attention"])
        >>> outcomes = km.mutate(model, sequences, scores, counts=[1, 5], replicates=1)
        >>> table = differences(outcomes, resamples=100)
        >>> table[["class_name", "condition", "method", "other"]].iloc[0].tolist()
        ['background', 'all', 'lrp', 'attention']
    """
    drops = outcomes.drops("logit")
    every, row = StoredRows(0, len(outcomes), np.float64, drops.shape[2:]), dict[str, int]()
    for method in outcomes.methods:
        curve = outcomes.counts(method, OPERATOR, ORDER)
        if curve and not is_bound(method) and not is_control(method):
            every.append(direction(outcomes, method) * aopc(drops[[*curve.values()]]))
            row[method] = len(row)
    areas = NamedRows(every, row)
    signs = outcomes.settings.get("signs", {})
    columns = (
        ({"method": one, "other": other, "sign": signs.get(one, "")}, mean_over_draws(areas[one] - areas[other]))
        for one, other in combinations(areas, 2)
        if signs.get(one, "") == signs.get(other, "")
    )
    return _tabulate(outcomes, columns, resamples, seed)


def _excesses(outcomes: Outcomes, endpoint: Endpoint | None) -> Iterator[Column]:
    index = {tuple(row): at for at, row in enumerate(outcomes.groups.itertuples(index=False))}
    for measure in MEASURES[:1] if outcomes.regression else MEASURES:
        drops = outcomes.drops(measure)
        areas: dict[tuple[str, str, str, str], list[tuple[int, int]]] = {}

        def excess(method: str, at: int, other: int, drops: AnyRows = drops) -> Floats:
            return np.asarray(direction(outcomes, method) * (drops[at] - drops[other]))

        for (method, operator, order, full, n), at in index.items():
            if is_control(method) or is_bound(method) or n == 0:
                continue
            for control in [each for each in CONTROLS if each != CONTEXT]:
                other = index.get((ranking_of(control, method), operator, order, full, n))
                if other is None:
                    continue
                keys = {"method": method, "control": control, "operator": operator, "order": order}
                yield (
                    {**keys, "measure": measure, "n": "all" if full else str(n)},
                    mean_over_draws(excess(method, at, other)),
                )
                areas.setdefault((method, control, operator, order), []).append((at, other))
        for area, pairs in areas.items():
            keys = dict(zip(("method", "control", "operator", "order"), area, strict=True))
            parts = np.stack([excess(area[0], at, other) for at, other in pairs])
            yield {**keys, "measure": measure, "n": "aopc"}, mean_over_draws(aopc(parts))
    if any(outcomes.counts(method, OPERATOR, ORDER, full=False) for method in outcomes.methods):
        endpoint = endpoint or Endpoint(outcomes)
        for method in endpoint.methods:
            if ranking_of(CONTEXT, method) in endpoint.aopc:
                keys = {"method": method, "control": CONTEXT, "operator": OPERATOR, "order": ORDER}
                yield {**keys, "measure": "logit", "n": "tokens"}, endpoint.excess(method, CONTEXT)


def _measures(outcomes: Outcomes) -> Iterator[Column]:
    groups = outcomes.groups[outcomes.groups["operator"] == OPERATOR]
    drops = {m: outcomes.drops(m) for m in (MEASURES[:1] if outcomes.regression else MEASURES)}

    def curve(method: str, order: str, full: bool = True) -> dict[int, int]:
        return outcomes.counts(method, OPERATOR, order, full=full)

    def area(measure: str, at: list[int]) -> Floats:
        return aopc(drops[measure][at])

    def ends(bound: str) -> tuple[dict[int, int], dict[int, int]]:
        return curve(bound, ORDER, False), curve(ISM, "lerf", False)

    full = set(groups[groups["full"]]["n"])
    for method in [name for name in outcomes.methods if not is_bound(name)]:
        first, last, way = curve(method, ORDER), curve(method, "lerf"), direction(outcomes, method)
        if not first:
            continue
        for kind in [each for each in ("logit", "probability") if each in drops]:
            yield _named(method, f"aopc_{kind}"), way * mean_over_draws(area(kind, list(first.values())))
        if last:
            both = [n for n in first if n in last]
            gap = area("logit", [first[n] for n in both]) - area("logit", [last[n] for n in both])
            yield _named(method, "srg"), mean_over_draws(gap)
        for bound, name in ((ISM, "naopc_ism"), (GREEDY, "naopc_greedy")):
            upper, lower = ends(bound) if way == 1 else (ends(ISM)[1], ends(ISM)[0])
            own = curve(method, ORDER, False)
            shared = [n for n in own if n in upper and n in lower]
            if shared and not is_control(method) and (way == 1 or bound == ISM):
                top, bottom, own_area = (area("logit", [each[n] for n in shared])[:, 0] for each in (upper, lower, own))
                wide = np.abs(top - bottom) >= SMALLEST_GAP
                yield (
                    _named(method, name),
                    np.divide(own_area - bottom, top - bottom, out=np.full(own_area.shape, np.nan), where=wide),
                )
        if not outcomes.regression:
            for title, measure, order in _PER_COUNT:
                for n, at in curve(method, order).items():
                    label = "all" if n in full else str(n)
                    yield _named(method, title, label), mean_over_draws(drops[measure][at])


_PER_COUNT = (
    ("comprehensiveness", "probability", "morf"),
    ("sufficiency", "probability", "insertion"),
    ("accuracy_drop", "accuracy", "morf"),
    ("flip_rate", "flips", "morf"),
)


def _named(method: str, measure: str, n: str = "") -> dict[str, Any]:
    return {"method": method, "measure": measure, "n": n}


def _tabulate(outcomes: Outcomes, columns: Iterable[Column], resamples: int, seed: int) -> pd.DataFrame:
    """Average columns over the sequences of each class, all of them and those initially correct, with intervals."""
    import pandas as pd

    frames = []
    conditions: dict[str, Bool] = {"all": np.ones(len(outcomes), dtype=np.bool_)}
    if not outcomes.regression:
        conditions["correct"] = outcomes.initially_correct
    names, values = [], StoredRows(0, len(outcomes), np.float64)
    for name_of_column, column in columns:
        names.append(name_of_column)
        values.append(column)
    return_memory()
    keys = pd.DataFrame(names)
    for label, name in outcomes.class_names.items():
        for condition, holds in conditions.items():
            rows = holds & (outcomes.classes == label)
            if not rows.any() or not names:
                continue
            clusters = outcomes.clusters[rows]
            statistics = mean_differences(values.take(rows), clusters=clusters, resamples=resamples, seed=seed + label)
            sizes = {"sequences": statistics.rows, "clusters": statistics.clusters}
            numbers = {**sizes, "value": statistics.mean, "low": statistics.low, "high": statistics.high}
            more = {"effect_size": statistics.effect_size, "detectable": statistics.detectable}
            frames.append(keys.assign(**numbers, **more, label=label, class_name=name, condition=condition))
    front = ["label", "class_name", "condition"]
    if not frames:
        return pd.DataFrame(columns=front)
    table = pd.concat(frames, ignore_index=True)
    return table[table["sequences"] > 0][[*front, *(c for c in table if c not in front)]].reset_index(drop=True)


SMALLEST_DENOMINATOR = 0.05
"""Below this a floor-normalised drop says nothing, and is NaN."""

BOUNDS = {
    "accuracy": ("low", "high"),
    "flip_rate": ("flip_rate_low", "flip_rate_high"),
    "probability": ("probability_low", "probability_high"),
    "logit": ("logit_low", "logit_high"),
}
"""The measures that have an interval, and the columns of its ends."""
COLUMNS = [
    *("label", "method", "operator", "order", "n", "full", "sequences", "draws"),
    *("accuracy", "low", "high", "accuracy_correct", "flip_rate", "probability", "logit"),
    *("tokens_changed", "gc_shift", "default_label_rate", "floor_normalised_drop"),
    *(end for measure, ends in BOUNDS.items() if measure != "accuracy" for end in ends),
]
_CELLS_AT_ONCE = 2_000_000


def summarise(
    outcomes: Outcomes, *, by: str | None = None, resamples: int = 2000, level: float = 0.95, seed: int = 0
) -> pd.DataFrame:
    """Summarise raw outcomes per class, method, operator, order and count.

    A sequence's outcome is the mean over its draws; a class's is the mean over its sequences.

    Args:
        outcomes: Of a trial.
        by: ``"label"`` splits by true class; ``"predicted"`` by what the model calls the unmutated sequence, which
            needs no labels, and then accuracy means agreement with that call. By default the labels where known.
        resamples: Draws of each interval.
        level: Coverage of each interval.
        seed: Of those draws.

    Returns:
        One row per class, method, operator, order and ``n`` (``full``: all positions; ``n`` is then the longest
        sequence's length), with ``sequences`` and ``draws``, and

        - ``accuracy``; ``low``, ``high``: its interval over sequences (bootstrap, clusters of overlapping loci drawn
          together; Wilson for a single draw without clusters). For the method ``random``: the interval in which the
          accuracy of one random ranking per sequence falls, each sequence's draw resampled independently; NaN where
          there is only one, which says nothing of how others fall.
        - ``accuracy_correct``: among sequences that are classified correctly unmutated; ``flip_rate``: calls changed.
        - ``probability``, ``logit``: of the explained class. They and the flip rate have intervals too, in
          ``probability_low``, ``probability_high``, and so on; Wilson's is for the flip rate alone.
        - ``tokens_changed``; ``gc_shift``: change of GC content.
        - ``default_label_rate``: share of fully mutated sequences given the label that full mutation favours.
        - ``floor_normalised_drop``: (acc(0) - acc(n)) / (acc(0) - acc(all)), NaN where the denominator is below 0.05
          in size.
        - ``positions_changed``: bases that differ, where an operator does not change exactly the positions chosen.

        A model with one output (regression) has one class, 0, and of the outcomes only ``logit``, its value.

    Raises:
        LabelError: Split by label, and there are none.
        UsageError: Another value of ``by``; or a folder, which `read_outcomes` reads.

    Example:
        >>> import kmerit as km
        >>> model = km.load_model("bundled:promoter")
        >>> sequences = km.Sequences.from_strings(["TATAAAGGCGCGCC", "ACGTTGCAACGGTT"], labels=[1, 0])
        >>> scores = km.attribute(model, sequences, ["lrp"])
        >>> outcomes = km.mutate(model, sequences, scores, counts=[0, 2], replicates=1)
        >>> summarise(outcomes)[["label", "method", "n", "tokens_changed"]].values.tolist()[0]
        [0, 'lrp', 0, 0.0]
    """
    import pandas as pd

    need_outcomes(outcomes, "summarise")
    outcomes = _split(outcomes, by)
    floor = full_mutations(outcomes)
    defaults = default_labels(outcomes)
    of_cells: dict[str, Callable[[Outcomes], NDArray[Any]]] = {
        "accuracy": lambda part: part.correct,
        "flip_rate": lambda part: part.flipped,
        "probability": lambda part: part.probability,
        "logit": lambda part: part.logit,
        "tokens_changed": lambda part: part.tokens_changed,
        "gc_shift": lambda part: part.gc_shift,
        "default_label_rate": lambda part: called_default(part, defaults),
    }
    optional = "positions_changed" in outcomes.mutants.column_names
    if optional:
        of_cells["positions_changed"] = lambda part: np.asarray(part.positions_changed)
    columns = [*COLUMNS, *(["positions_changed"] if optional else [])]
    means = outcomes.arrays({name: partial(_per_sequence, of_cell=of_cell) for name, of_cell in of_cells.items()})
    draws = {name: partial(_laid_out, of_cell=of_cells[name], draws=outcomes.most_draws) for name in BOUNDS}
    random = outcomes.arrays(draws, RANDOM) if RANDOM in outcomes.methods else {}
    frames = []
    for label in np.unique(outcomes.classes):
        of_class = outcomes.classes == label
        mean = {name: _of_groups(_mean, values, of_class) for name, values in means.items()}
        mean["default_label_rate"] = _at_floor(mean["default_label_rate"], floor)
        for measure, ends in BOUNDS.items():
            limits = _intervals(
                outcomes, measure, means[measure], random.get(measure), of_class, resamples, level, seed
            )
            mean.update(zip(ends, limits, strict=True))
        frames.append(
            outcomes.groups.assign(
                label=label,
                sequences=_of_groups(_taking_part, outcomes.draws, of_class),
                draws=_of_groups(_most, outcomes.draws, of_class),
                accuracy_correct=_of_groups(_mean, means["accuracy"], of_class & outcomes.initially_correct),
                floor_normalised_drop=_normalised_drop(outcomes, mean["accuracy"], floor, of_class),
                **mean,
            )
        )
    table = pd.concat(frames, ignore_index=True)[columns]
    table = table[table["sequences"] > 0].sort_values(["label", "method", "operator", "order", "n", "full"])
    if outcomes.regression:
        logit_columns = {"logit", *BOUNDS["logit"]}
        endpoints = {column for measure, ends in BOUNDS.items() for column in (measure, *ends)}
        table[sorted((endpoints | {"accuracy_correct", "floor_normalised_drop"}) - logit_columns)] = np.nan
    return table.astype(dict.fromkeys(["method", "operator", "order"], str)).reset_index(drop=True)


def _split(outcomes: Outcomes, by: str | None) -> Outcomes:
    if by not in (None, "label", "predicted"):
        raise UsageError(f"by: expected 'label' or 'predicted', got {by!r}.")
    if by == "label" and outcomes.labels is None and not outcomes.regression:
        raise LabelError("Accuracy per class needs labels, and these sequences had none. Split by 'predicted'.")
    return outcomes.without_labels if by == "predicted" else outcomes


def default_label(outcomes: Outcomes, operator: str | None = None) -> int | None:
    """Name the label that full mutation favours, each class counting alike; None without full mutations.

    Args:
        outcomes: Of a trial.
        operator: Which operator's full mutations; the first by default.

    Example:
        >>> import kmerit as km
        >>> model = km.load_model("bundled:promoter")
        >>> sequences = km.Sequences.from_strings(["TATAAAGGCGCGCC", "ACGTTGCAACGGTT"], labels=[1, 0])
        >>> outcomes = km.mutate(model, sequences, km.attribute(model, sequences, ["lrp"]), counts=["all"])
        >>> default_label(outcomes) in (0, 1)
        True
    """
    need_outcomes(outcomes, "default_label")
    return default_labels(outcomes).get(operator or outcomes.operators[0])


def drops(summary: pd.DataFrame, n: int) -> dict[str, dict[str, float]]:
    """Take from a summary how much accuracy each method's first ``n`` nucleotides cost each class.

    Args:
        summary: By `summarise`; with 0 among its counts.
        n: Nucleotides mutated, most relevant first.

    Returns:
        By method, then by the number of a class, which is a string, as JSON wants it.

    Example:
        >>> import pandas as pd
        >>> rows = [(0, "lrp", 0, 0.9), (0, "lrp", 20, 0.6), (1, "lrp", 0, 0.8), (1, "lrp", 20, 0.75)]
        >>> summary = pd.DataFrame(rows, columns=["label", "method", "n", "accuracy"]).assign(full=False, order="morf")
        >>> {label: round(drop, 2) for label, drop in drops(summary, 20)["lrp"].items()}
        {'0': 0.3, '1': 0.05}
    """
    rows = summary[~summary["full"] & (summary["order"] == "morf")].astype({"label": str})
    accuracy = rows.set_index(["n", "method", "label"])["accuracy"]
    drop_table = (accuracy[0] - accuracy[n]).unstack()
    return {str(method): by_label.dropna().to_dict() for method, by_label in drop_table.iterrows()}


def mean_drops(models: Iterable[Mapping[str, Mapping[str, float]]], methods: Sequence[str]) -> dict[str, float]:
    """Average drops over models and methods, by class.

    Args:
        models: The `drops` of each.
        methods: Those that count.

    Example:
        >>> mean_drops([{"lrp": {"0": 0.1}}, {"lrp": {"0": 0.3}}], ["lrp"])
        {'0': 0.2}
    """
    each = [by_method[method] for by_method in models for method in methods]
    return {label: float(np.mean([by[label] for by in each])) for label in sorted({key for by in each for key in by})}


def falls_further(by_method: Mapping[str, Mapping[str, float]], methods: Sequence[str]) -> int | None:
    """Name the class that loses most accuracy, averaged over methods; None if the first two lose within 0.02 of it.

    Args:
        by_method: The `drops` of a model.
        methods: Those that count.

    Example:
        >>> falls_further({"lrp": {"0": 0.1, "1": 0.3}}, ["lrp"])
        1
    """
    means = mean_drops([by_method], methods)
    first, *rest = sorted(means, key=lambda label: -means[label])
    return None if rest and means[first] - means[rest[0]] <= 0.02 else int(first)


def rank_by_drop(by_method: Mapping[str, Mapping[str, float]], methods: Iterable[str]) -> list[str]:
    """Order methods by their mean drop over the classes, the largest first.

    Example:
        >>> rank_by_drop({"lrp": {"0": 0.1, "1": 0.2}, "ism": {"0": 0.0, "1": 0.4}}, ["lrp", "ism"])
        ['ism', 'lrp']
    """
    means = {method: float(np.mean(list(by_method[method].values()))) for method in methods}
    return sorted(means, key=lambda method: (-means[method], method))


class Change(Remark):
    """What differs in what trials on two data sets say, see `changes`.

    Attributes:
        CODES: ``ranking``: of the methods, by their mean drop, with Kendall's ``tau``. ``falls_further``: the class
            that does; None for neither.
    """

    CODES: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "ranking": ("tau", "first", "second", "first_set", "second_set"),
        "falls_further": ("before", "after", "first_set", "second_set"),
    }


def changes(sets: Mapping[str, Mapping[str, Any]]) -> list[Change]:
    """List what differs from each data set to the next: the ranking of methods, the class that falls further.

    Args:
        sets: By name: ``ranking``, see `rank_by_drop`, and ``falls_further``, see `falls_further`.

    Example:
        >>> sets = {"a": {"ranking": ["lrp"], "falls_further": 0}, "b": {"ranking": ["lrp"], "falls_further": 1}}
        >>> changes(sets)
        [Change(code='falls_further', values={'before': 0, 'after': 1, 'first_set': 'a', 'second_set': 'b'})]
    """
    differences = []
    for first, second in pairwise(sets):
        names = {"first_set": first, "second_set": second}
        one, two = (sets[name]["ranking"] for name in (first, second))
        before, after = (sets[name]["falls_further"] for name in (first, second))
        if one != two:
            tau = float(kendall_tau([two.index(method) for method in one], range(len(one))))
            differences.append(Change("ranking", {"tau": tau, "first": one, "second": two, **names}))
        if before != after:
            differences.append(Change("falls_further", {"before": before, "after": after, **names}))
    return differences


def collapse_counts(models: Sequence[Mapping[str, Any]], methods: Sequence[str], arms: Sequence[str]) -> dict[str, Any]:
    """Count whether accuracy collapses with the leaked class or with the default label.

    Args:
        models: Of one data set; per model ``arm``, ``leaked`` (classes), ``default_label``, ``falls_further`` and
            ``drops``, see `drops`.
        methods: Those that count.
        arms: Names of all arms; that without leaks comes first.

    Returns:
        Of the ``models`` with one leaked class, how many fell further in the ``leaked`` class and how many in the one
        that is ``not_default``; and per arm the ``drop`` of each class, averaged over methods and models, less that of
        the first arm (``against_none``).

    Example:
        >>> none = {"arm": "none", "leaked": [], "default_label": 0, "falls_further": 1, "drops": {"lrp": {"1": 0.25}}}
        >>> leak = none | {"arm": "positives", "leaked": [1], "drops": {"lrp": {"1": 0.5}}}
        >>> collapse_counts([none, leak], ["lrp"], ["none", "positives"])["against_none"]
        {'positives': {'1': 0.25}}
    """
    single = [model for model in models if len(model["leaked"]) == 1 and model["falls_further"] is not None]
    by_arm = {arm: mean_drops([model["drops"] for model in models if model["arm"] == arm], methods) for arm in arms}
    none = by_arm[arms[0]]
    return {
        "models": len(single),
        "leaked": sum(model["falls_further"] in model["leaked"] for model in single),
        "not_default": sum(model["default_label"] not in (None, model["falls_further"]) for model in single),
        "drop": by_arm,
        "against_none": {
            arm: {label: drop - none[label] for label, drop in by_arm[arm].items() if label in none} for arm in arms[1:]
        },
    }


def losses(outcomes: Outcomes, methods: Sequence[str], n: int) -> pd.DataFrame:
    """Take from a trial what mutation took from each sequence: of its ``n`` first nucleotides, and of all.

    Args:
        outcomes: Of a trial, with 0 among its counts.
        methods: Whose mean counts.
        n: Nucleotides mutated.

    Returns:
        ``lost``, in accuracy, by ``n`` (a string, or ``all``), ``ranking`` (``methods``; ``random`` positions),
        ``sequence``, ``label`` and ``cluster``.

    Example:
        >>> import kmerit as km
        >>> model = km.load_model("bundled:promoter")
        >>> sequences = km.Sequences.from_strings(["TATAAAGGCGCGCC", "ACGTTGCAACGGTT"], labels=[1, 0])
        >>> scores = km.attribute(model, sequences, ["lrp"])
        >>> losses(km.mutate(model, sequences, scores, counts=[0, 2]), ["lrp"], 2)["ranking"].tolist()
        ['methods', 'methods']
    """
    cells = outcomes.to_frame()
    cells["lost"] = outcomes.initially_correct[cells["sequence"]].astype(float) - outcomes.correct
    cells["cluster"] = outcomes.clusters[cells["sequence"]]
    of_methods, at_n = cells["method"].isin(methods), (cells["n"] == n) & ~cells["full"]
    parts = {
        (str(n), "methods"): cells[of_methods & at_n],
        (str(n), RANDOM): cells[(cells["method"] == RANDOM) & at_n],
        ("all", "methods"): cells[of_methods & cells["full"]],
    }
    nonempty = {key: part for key, part in parts.items() if len(part)}
    means = [part.groupby(["sequence", "label", "cluster"])["lost"].mean() for part in nonempty.values()]
    lost: pd.DataFrame = pd.concat(means, keys=nonempty, names=["n", "ranking"]).reset_index()
    return lost


def class_contrasts(
    lost: pd.DataFrame, contrasts: Mapping[str, Mapping[str, float]], resamples: int = 2000, seed: int = 0
) -> dict[str, dict[str, dict[str, Any]]]:
    """Compute how much further class 1 falls than class 0, in weighted sums of the arms of a study.

    Args:
        lost: `losses` of its models, with ``arm`` and ``seed`` (of the training).
        contrasts: By name, the weight of each arm.
        resamples: Bootstrap draws of the intervals, over sequences; the trainings are taken as they are.
        seed: Of those draws.

    Returns:
        By ``n``, then by ranking, then by contrast: ``value``, ``low``, ``high`` in accuracy, and ``trainings``, the
        values of each seed alone. A contrast whose arms are not there is left out.

    Example:
        >>> rows = {"n": "20", "ranking": "methods", "sequence": [0, 1], "label": [0, 1], "cluster": [0, 1]}
        >>> arms = [pd.DataFrame({**rows, "arm": arm, "seed": 0, "lost": [0, i]}) for i, arm in enumerate("ab")]
        >>> class_contrasts(pd.concat(arms), {"b less a": {"b": 1, "a": -1}})["20"]["methods"]["b less a"]["value"]
        1.0
    """
    by_arm = lost.pivot(index=["n", "ranking", "sequence", "label", "cluster", "seed"], columns="arm", values="lost")
    by_n: dict[str, dict[str, dict[str, Any]]] = {}
    for n, ranking in dict.fromkeys(zip(lost["n"], lost["ranking"], strict=True)):
        by_contrast = by_n.setdefault(n, {}).setdefault(ranking, {})
        for name, weights in contrasts.items():
            if set(weights) <= set(by_arm):
                sums = sum(by * by_arm.loc[(n, ranking), arm] for arm, by in weights.items()).unstack("seed")
                labels, clusters = (sums.index.get_level_values(key).to_numpy() for key in ("label", "cluster"))
                whole = class_difference(sums.mean(axis=1, skipna=False), labels, clusters, resamples, seed)
                alone = [class_difference(sums[of], labels, clusters, 0).known()["value"] for of in sums]
                by_contrast[name] = whole.known() | {"trainings": alone}
    return by_n


def choose_lrp(outcomes: Outcomes | pd.DataFrame, n: int = 20) -> dict[str, Any]:
    """Choose per class which of ``lrp`` and ``lrp_last`` lowers the accuracy more; call it on validation sequences.

    Args:
        outcomes: Of both methods, or their summary.
        n: Substitutions at which the drops are compared, most relevant first.

    Returns:
        ``lrp_star``: the method's name by label (a tie goes to ``lrp``); ``validation_drop``: both drops by label;
        ``n``; ``sequences``. Labels are strings, as JSON wants them.

    Raises:
        CountError: The outcomes lack one of the methods, n, or 0.

    Example:
        >>> import kmerit as km
        >>> model = km.load_model("bundled:promoter")
        >>> sequences = km.Sequences.from_strings(["TATAAAGGCGCGCC", "ACGTTGCAACGGTT"], labels=[1, 0])
        >>> scores = km.attribute(model, sequences, ["lrp", "lrp_last"])
        >>> choice = choose_lrp(km.mutate(model, sequences, scores, counts=[0, 3], replicates=1), n=3)
        >>> sorted(choice["lrp_star"]), choice["n"]
        (['0', '1'], 3)
    """
    table = summarise(outcomes, resamples=1) if isinstance(outcomes, Outcomes) else outcomes
    table = table[(table["order"] == "morf") & table["n"].isin([0, n]) & table["method"].isin(["lrp", "lrp_last"])]
    table = table[table["operator"] == table["operator"].min()]
    accuracy = table.pivot_table(index="label", columns=["method", "n"], values="accuracy")
    if accuracy.shape[1] < 4 or n == 0:
        raise CountError(f"Choosing LRP* needs lrp and lrp_last, most relevant first, at n = 0 and n = {n}.")
    drops = {
        str(label): {method: float(row[method, 0] - row[method, n]) for method in ("lrp", "lrp_last")}
        for label, row in accuracy.iterrows()
    }
    return {
        "lrp_star": {label: "lrp_last" if drop["lrp_last"] > drop["lrp"] else "lrp" for label, drop in drops.items()},
        "validation_drop": drops,
        "n": n,
        "sequences": int(table[(table["n"] == n) & (table["method"] == "lrp")]["sequences"].sum()),
    }


def _mean(per_sequence: Floats) -> Floats:
    """Average ``[group, sequence]`` over sequences that take part; NaN where none does."""
    finite = np.isfinite(per_sequence)
    with np.errstate(invalid="ignore"):
        return np.asarray(np.where(finite, per_sequence, 0.0).sum(axis=1) / finite.sum(axis=1))


def _taking_part(draws: Int64) -> Int64:
    """Count the sequences that take part, ``[group]``."""
    return np.asarray((draws > 0).sum(axis=1))


def _most(draws: Int64) -> Int64:
    """Give the most draws that a sequence has, ``[group]``."""
    return np.asarray(draws.max(axis=1))


def _of_groups(statistic: Callable[[NDArray[Any]], NDArray[Any]], values: AnyRows, of_class: Bool) -> NDArray[Any]:
    """Compute a statistic of every group over the sequences of a class, some groups at a time."""
    runs = blocks(values.shape[1], values.shape[0])
    return np.concatenate([statistic(values[at][:, of_class]) for at in runs])


def _per_sequence(part: Outcomes, of_cell: Callable[[Outcomes], NDArray[Any]]) -> NDArray[Any]:
    return part.per_sequence(of_cell(part))


def _laid_out(part: Outcomes, of_cell: Callable[[Outcomes], NDArray[Any]], draws: int) -> NDArray[Any]:
    return part.laid_out(of_cell(part), draws)


def _at_floor(values: Floats, floor: Int64) -> Floats:
    return np.where(floor < 0, np.nan, values[floor])


def _normalised_drop(outcomes: Outcomes, accuracy: Floats, floor: Int64, of_class: Bool) -> Floats:
    right = outcomes.initially_correct[of_class]
    start = _of_groups(lambda draws: _mean(np.where(draws > 0, right, np.nan)), outcomes.draws, of_class)
    attainable = start - _at_floor(accuracy, floor)
    attained = np.abs(attainable) >= SMALLEST_DENOMINATOR
    return np.where(attained, (start - accuracy) / np.where(attained, attainable, 1.0), np.nan)


def _intervals(
    outcomes: Outcomes,
    measure: str,
    per_sequence: AnyRows,
    random_draws: AnyRows | None,
    of_class: Bool,
    resamples: int,
    level: float,
    seed: int,
) -> tuple[Floats, Floats]:
    """Give the mean of every group its interval: random control, single draw of yes or no, or several."""
    clusters = outcomes.clusters[of_class]
    values = per_sequence.take(of_class) if isinstance(per_sequence, StoredRows) else per_sequence[:, of_class].T
    low, high = percentiles(bootstrap_means(values, clusters=clusters, resamples=resamples, seed=seed), level)
    draws = _of_groups(_most, outcomes.draws, of_class)
    random = outcomes.groups["method"].to_numpy() == RANDOM
    if measure in ("accuracy", "flip_rate") and np.unique(clusters).size == clusters.size:
        single = (draws == 1) & ~random
        if single.any():
            right = _of_groups(lambda each: np.nansum(each, axis=1), per_sequence, of_class)
            low[single], high[single] = wilson(
                right[single], _of_groups(_taking_part, outcomes.draws, of_class)[single], level
            )
    if random_draws is not None:
        control = np.stack(
            [random_means(random_draws[row][of_class], resamples, seed) for row in range(len(random_draws))], axis=1
        )
        low[random], high[random] = percentiles(control, level)
        # One draw has no spread to resample: an interval of no width would call every other value an outlier.
        alone = random & (draws <= 1)
        low[alone] = high[alone] = np.nan
    return low, high


def random_means(per_draw: Floats, resamples: int = 2000, seed: int = 0) -> Floats:
    """Average one random draw per sequence, chosen independently, again and again.

    Ten draws per sequence hold 10 ** sequences such averages; the percentiles of ten averages would cover a new one
    79 % of the time, not 95 %.

    Args:
        per_draw: ``[sequence, draw]``; NaN where a sequence has fewer draws, which are its first.
        resamples: How often.
        seed: Of the choices; the same choices for the same seed, so that counts stay nested.

    Returns:
        ``[resample]``.
    """
    counts = np.isfinite(per_draw).sum(axis=1)
    per_draw, counts = per_draw[counts > 0], counts[counts > 0]
    generator = np.random.default_rng(seed)
    means = []
    step = max(1, _CELLS_AT_ONCE // max(1, counts.size))
    for start in range(0, resamples if counts.size else 0, step):
        choice = generator.random((min(step, resamples - start), counts.size))
        means.append(per_draw[np.arange(counts.size), (choice * counts).astype(np.int64)].mean(axis=1))
    return np.concatenate(means) if means else np.full(resamples, np.nan)


FILES = ("cards.json", "cards.csv", "excesses.csv", "measures.csv", "differences.csv")
"""What `write_cards` leaves."""

_COLUMNS = (
    *("class_name", "label", "method", "sign", "verdict", "beyond", "control", "excess", "low", "high", "effect_size"),
    *("detectable", "aopc", "sequences", "mistaken", "data_set", "caveats"),
)

NOT_AUDITED = "not_audited"
"""What ``cards.csv`` says of the data set where nobody looked."""


def write_cards(
    outcomes: Outcomes,
    folder: str | Path,
    *,
    data_set: Sequence[Remark] | None = None,
    resamples: int = 2000,
    seed: int = 0,
) -> Verdicts:
    """Judge the outcomes of a trial, and write the report cards and a table of every measure.

    Args:
        outcomes: Of a trial with controls.
        folder: Gets ``cards.json``, ``cards.csv`` (a line per class and method), ``excesses.csv``, ``measures.csv``
            (what else was measured) and ``differences.csv`` (each method against each other one).
        data_set: What a verdict on this data set must be read with: :attr:`kmerit.datasets.findings.Audit.concerns`;
            None where nobody looked.
        resamples: Bootstrap draws of each interval.
        seed: Of those draws.

    Returns:
        The verdicts.

    Raises:
        UsageError: There are no outcomes of ``random_other``, most relevant first.

    Example:
        >>> import tempfile
        >>> import kmerit as km
        >>> model = km.load_model("bundled:promoter")
        >>> sequences = km.Sequences.from_strings(["TATAAAGGCGCGCC" * 4, "ACGTTGCAACGGTT" * 4], labels=[1, 0])
        >>> scores = km.attribute(model, sequences, ["lrp"])
        >>> outcomes = km.mutate(model, sequences, scores, counts=[1, "all"], controls=["random"])
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     cards = write_cards(outcomes, folder, resamples=100)
        ...     sorted(path.name for path in Path(folder).iterdir())
        ['cards.csv', 'cards.json', 'differences.csv', 'excesses.csv', 'measures.csv']
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    endpoint = Endpoint(outcomes)
    verdicts = judge(outcomes, resamples=resamples, seed=seed, endpoint=endpoint)
    about = card_tree(outcomes, verdicts, data_set)
    tables = {
        "excesses.csv": excesses(outcomes, resamples=resamples, seed=seed, endpoint=endpoint),
        "measures.csv": measures(outcomes, resamples=resamples, seed=seed),
        "differences.csv": differences(outcomes, resamples=resamples, seed=seed),
    }
    texts = {name: table.to_csv(index=False, lineterminator="\n") for name, table in tables.items()}
    texts["cards.csv"] = cards_csv(verdicts, data_set)
    texts["cards.json"] = json.dumps(about, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    for name, text in texts.items():
        write_text(folder / name, text)
    return verdicts


def card_tree(outcomes: Outcomes, verdicts: Verdicts, data_set: Sequence[Remark] | None = None) -> dict[str, Any]:
    """Gather cards, what could be decided, floors, grid and evaluations, as they stand in ``cards.json``."""
    return {
        "endpoint": {
            "measure": "aopc_logit",
            "operator": OPERATOR,
            "order": ORDER,
            **({"value": outcomes.class_names[0]} if outcomes.regression else {}),
        },
        "rule": {"controls": list(DECIDING), "margin": MARGIN},
        "grid": outcomes.settings.get("grid"),
        "evaluations": evaluations(outcomes.diagnostics),
        "prospects": list(outcomes.diagnostics.get("prospects", [])),
        "data_set": None if data_set is None else [asdict(each) for each in data_set],
        **verdicts.as_dict(),
    }


def cards_csv(verdicts: Iterable[Verdict], data_set: Sequence[Remark] | None = None) -> str:
    """Write one line for each card; the comparisons with every control stand in ``cards.json``."""
    about = NOT_AUDITED if data_set is None else codes(data_set)
    rows = [{**asdict(each), "data_set": about, "caveats": codes(each.caveats)} for each in verdicts]
    return str(pd.DataFrame(rows, columns=list(_COLUMNS), dtype=object).to_csv(index=False, lineterminator="\n"))
