"""Verdicts: is a method's ranking better than its matched controls? With the floor and the caveats that belong to it.

Verdicts: is a method's ranking better than rankings that know nothing of the sequence? Every number comes from the
outcomes of a trial. The rule, its thresholds and its margin: docs/decisions/0013.
"""

from __future__ import annotations

import json
import math
import os
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from copy import copy
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, overload

import numpy as np
from numpy.typing import NDArray

from kmerit.disk import AnyRows, NamedRows, StoredRows, return_memory
from kmerit.errors import CountError, FormatError, UnknownName, UsageError
from kmerit.formats import Shown, significant
from kmerit.results import BOTH, Outcomes, Remark, codes
from kmerit.sequences import Bool, Floats, Int64, Rows, Several
from kmerit.store import write_text
from kmerit.trials.controls import CONTEXT, CONTROLS, DECIDING, RANDOM, is_control, ranking_of
from kmerit.trials.design import FEWEST, LEVEL, POWER, Prospect, prospects
from kmerit.trials.execution import NEGATIVE, method_of
from kmerit.trials.outcomes import need_outcomes
from kmerit.trials.rankings import ISM, ORDERS, is_bound
from kmerit.uncertainty import (
    Studentised,
    bootstrap_means,
    effect_sizes,
    holm,
    intervals,
    max_t,
    mcnemar,
    percentiles,
    studentised,
)

if TYPE_CHECKING:
    import pandas as pd

OPERATOR, ORDER = "random_other", "morf"
_STEPS = 64
"""In which two curves are compared over tokens changed."""
_TOGETHER = 2**16
"""Sequences of which they are compared together."""


def aopc(drops: Floats) -> Floats:
    """Compute the area over the perturbation curve: the mean drop over the counts above 0.

    Source: samek2017, eq. 12, without its term at n = 0, where the drop is zero by definition.

    Args:
        drops: ``[count, ...]``, from the unmutated sequence; or the differences of two rankings' drops.

    Example:
        >>> float(aopc(np.array([0.25, 0.75])))
        0.5
    """
    return np.asarray(np.mean(drops, axis=0))


def mean_over_draws(values: Floats) -> Floats:
    """Average ``[sequence, draw]`` over the draws that a sequence has; NaN where it has none.

    Example:
        >>> mean_over_draws(np.array([[1.0, np.nan], [np.nan, np.nan]])).tolist()
        [1.0, nan]
    """
    there = np.isfinite(values)
    with np.errstate(invalid="ignore"):
        return np.asarray(np.where(there, values, 0.0).sum(axis=1) / there.sum(axis=1))


def aopc_by_method(outcomes: Outcomes, *, operator: str = OPERATOR, order: str = ORDER) -> dict[str, Floats]:
    """Compute every method's AOPC of the explained logit, mean over draws.

    Args:
        outcomes: Of a trial.
        operator: What replaced a base.
        order: Which positions went first.

    Returns:
        By method (controls included) ``[sequence]``, in logits; NaN where a sequence takes no part.

    Raises:
        CountError: There is no n above 0 under this operator and order.

    Example:
        >>> import kmerit as km
        >>> model = km.load_model("bundled:promoter")
        >>> sequences = km.Sequences.from_strings(["TATAAAGGCGCGCC"])
        >>> scores = km.attribute(model, sequences, ["lrp"])
        >>> aopc_by_method(km.mutate(model, sequences, scores, counts=[0, 2], replicates=1))["lrp"].shape
        (1,)
    """
    drops = outcomes.drops("logit")
    curves = {method: outcomes.counts(method, operator, order) for method in outcomes.methods}
    areas = {method: mean_over_draws(aopc(drops[[*at.values()]])) for method, at in curves.items() if at}
    if not areas:
        raise CountError(f"There are no mutants under {operator}, {order}. Run mutate with both, and an n above 0.")
    return areas


class Endpoint:
    """The endpoint of every ranking, and whether its calls are right.

    Attributes:
        methods: The rankings that are judged, in the order of the outcomes.
        ranked: Whether there is an n below all; where every nucleotide is mutated, all rankings are one.
        count: The largest n below all.
        aopc: By ranking ``[sequence, draw]``, in logits; NaN where a sequence takes no part.
        correct: By ranking ``[sequence]``, whether the call of draw 0 at ``count`` is right; none of values.
        direction: By method, 1 where mutation is to lower the output, -1 where it is to raise it.
    """

    def __init__(self, outcomes: Outcomes) -> None:
        every = {name: outcomes.counts(name, OPERATOR, ORDER) for name in outcomes.methods}
        curves = {name: at for name, at in every.items() if at}
        if not curves:
            raise UsageError(
                f"A verdict needs the operator {OPERATOR}, the order {ORDER} and a count above 0; these outcomes have "
                f"none. Run mutate with them, or trial."
            )
        self._at = {name: outcomes.counts(name, OPERATOR, ORDER, full=False) for name in curves}
        below = [n for at in self._at.values() for n in at]
        self.ranked = len(below) > 0
        self.count = max(below) if below else max(n for at in curves.values() for n in at)
        self.methods = [name for name in curves if not is_control(name) and not is_bound(name)]
        self._drops, self._tokens = outcomes.drops("logit"), outcomes.tokens_by_draw
        self._sequences = len(outcomes)
        self._counts = {name: len(at) for name, at in curves.items()}
        areas = StoredRows(0, self._sequences, np.float64, self._drops.shape[2:])
        for at in curves.values():
            areas.append(aopc(self._drops[[*at.values()]]))
        self.aopc = NamedRows(areas, {name: row for row, name in enumerate(curves)})
        self.direction = {name: direction(outcomes, name) for name in self.methods}
        self._ism = {  # the order that reaches farthest, either way
            1: outcomes.counts(ISM, OPERATOR, ORDER, full=False),
            -1: outcomes.counts(ISM, OPERATOR, "lerf", full=False),
        }
        self.correct = NamedRows(np.zeros((0, self._sequences)), {})
        if not outcomes.regression:
            calls = outcomes.arrays({"first": lambda part: part.laid_out(part.correct, 1)[..., 0]})["first"]
            self.correct = NamedRows(calls, {n: at[self.count] for n, at in self._at.items() if self.count in at})
        self._excesses = StoredRows(0, self._sequences, np.float64)
        self._rows: dict[tuple[str, str], int] = {}

    def of_methods(self, methods: Collection[str]) -> Endpoint:
        """Take the same endpoint with fewer methods on the card."""
        part = copy(self)
        part.methods = [name for name in self.methods if name in methods]
        return part

    def excess(self, method: str, control: str) -> Floats:
        """Give the method's endpoint less that of its control, ``[sequence]``; NaN where either takes no part.

        It is computed once, whichever classes and strata ask for it.
        """
        if (method, control) not in self._rows:
            self._excesses.append(self._excess(method, control))
            self._rows[method, control] = len(self._excesses) - 1
        return self._excesses[self._rows[method, control]]

    def _excess(self, method: str, control: str) -> Floats:
        other, sign = ranking_of(control, method), self.direction[method]
        if control != CONTEXT:
            return sign * mean_over_draws(self.aopc[method] - self.aopc[other])
        own, theirs = _shared(self._at[method], self._at[other])
        every = (self._tokens, own), (self._drops, own), (self._tokens, theirs), (self._drops, theirs)
        parts = [
            mean_over_draws(at_equal_tokens(*(columns_of(rows, at, start, start + _TOGETHER) for rows, at in every)))
            for start in range(0, self._sequences, _TOGETHER)
        ]
        return sign * np.concatenate(parts)

    def of_ism(self, method: str, control: str) -> Floats:
        """Give what the order of in-silico mutagenesis reaches over the same control, ``[sequence]``; NaN where none.

        It is not mutated everywhere, as methods are; there every ranking is the same, so nothing is missed but a
        divisor.
        """
        other, sign = ranking_of(control, method), self.direction[method]
        bound = self._ism[sign] or (self._at.get("ism", {}) if sign == 1 else {})
        own, theirs = _shared(bound, self._at[other])
        if not own:
            return np.full(self._sequences, np.nan)
        return sign * mean_over_draws((self._drops[own] - self._drops[theirs]).sum(axis=0) / self._counts[other])


def columns_of(rows: AnyRows, at: Sequence[int], start: int, stop: int) -> Floats:
    """Take some rows of successive columns, ``[row, column, ...]``; as many as there are."""
    if isinstance(rows, StoredRows):
        stop = min(stop, rows.shape[1])
        return np.stack([rows.read_row(row, start, stop) for row in at])
    return np.asarray(rows[list(at)][:, start:stop])


def _shared(one: Mapping[int, int], other: Mapping[int, int]) -> tuple[list[int], list[int]]:
    """Find the groups of two curves at every n that both have."""
    shared = [n for n in one if n in other]
    return [one[n] for n in shared], [other[n] for n in shared]


def direction(outcomes: Outcomes, method: str) -> int:
    """Tell which way mutation is to move the output: 1 down, -1 up, as what a method ranks lowest is to."""
    return -1 if outcomes.settings.get("signs", {}).get(method) == NEGATIVE else 1


def at_equal_tokens(own_tokens: Floats, own: Floats, other_tokens: Floats, other: Floats) -> Floats:
    """Compare two curves at equal numbers of tokens changed: the mean difference over the range that both have.

    Each curve begins at no token and no drop, and is interpolated.

    Args:
        own_tokens: ``[count, sequence, draw]``, tokens changed.
        own: ``[count, sequence, draw]``, the drop.
        other_tokens: Likewise.
        other: Likewise.

    Returns:
        ``[sequence, draw]``, own less other; NaN where either is missing, or changes no token.

    Example:
        >>> curve = lambda *values: np.array(values, dtype=float)[:, None, None]
        >>> result = at_equal_tokens(curve(2.0, 4.0), curve(2.0, 4.0), curve(8.0), curve(4.0))
        >>> result.round(2).tolist()
        [[1.02]]
    """
    differences = np.full(own.shape[1:], np.nan)
    there = np.isfinite(own).all(axis=0) & np.isfinite(other).all(axis=0)
    for place in zip(*np.nonzero(there), strict=True):
        curves = []
        for tokens, drop in ((own_tokens, own), (other_tokens, other)):
            at = np.concatenate([[0.0], tokens[:, *place]])
            order = np.argsort(at, kind="stable")
            curves.append((at[order], np.concatenate([[0.0], drop[:, *place]])[order]))
        reach = min(at[-1] for at, _ in curves)
        if reach > 0:
            grid = reach * np.arange(1, _STEPS + 1) / _STEPS
            one, two = (np.interp(grid, at, drop) for at, drop in curves)
            differences[place] = (one - two).mean()
    return differences


def excess_by_sequence(outcomes: Outcomes, controls: Sequence[str]) -> pd.DataFrame:
    """Give every sequence's excess of each method over each control, in logits: what a verdict averages.

    Args:
        outcomes: Of a trial.
        controls: Of `CONTROLS`; those that the outcomes lack are left out.

    Returns:
        A row per method, control and sequence: ``ranking``, ``control``, ``label`` (the class explained), ``row`` and
        ``excess``, NaN where either takes no part.

    Example:
        >>> import kmerit as km
        >>> model = km.load_model("bundled:promoter")
        >>> sequences = km.Sequences.from_strings(["TATAAAGGCGCGCC" * 4], labels=[1])
        >>> scores = km.attribute(model, sequences, ["lrp"])
        >>> outcomes = km.mutate(model, sequences, scores, counts=[5], replicates=1, controls=["shifted"])
        >>> list(excess_by_sequence(outcomes, ["shifted"])[["ranking", "control"]].iloc[0])
        ['lrp', 'shifted']
    """
    import pandas as pd

    endpoint = Endpoint(outcomes)
    tables = [
        pd.DataFrame({"ranking": method, "control": control, "label": outcomes.classes,
                      "row": range(len(outcomes.names)), "excess": endpoint.excess(method, control)})
        for method in endpoint.methods
        for control in controls
        if ranking_of(control, method) in endpoint.aopc
    ]  # fmt: skip
    return pd.concat(tables, ignore_index=True)


MARGIN = 0.1
"""Of what exact in-silico mutagenesis reaches over a control: an excess inside it is as good as none."""


@dataclass(frozen=True)
class Comparison:
    """A method next to one control, on the same sequences with the same alleles.

    Attributes:
        control: ``random``, ``shifted``, ``clump``, ``other`` or ``context``.
        sequences: How many could be compared.
        clusters: In how many clusters they lie.
        excess: AOPC of the method less that of the control, in logits, over ``context`` at equal tokens changed; None
            where nothing could be compared.
        low: Of its 95 % interval, studentised; of this comparison alone.
        high: Of its 95 % interval.
        effect_size: The excess in standard deviations over sequences; None where all differences are equal.
        t: The excess in standard errors.
        band_low: Of its band, which holds over all comparisons of the card at once; None where it has no part in them.
        band_high: Of its band.
        margin: An excess within it, on either side, is as good as none; None where in-silico mutagenesis was not done.
        detectable: The smallest excess that would be seen at the card's threshold, with a power of 90 %, in logits.
        p_value: McNemar's, of the calls on draw 0 at the largest n below all.
        p_holm: The same, corrected for the number of methods.
        sufficient: Whether there are enough clusters for it to count.
    """

    control: str
    sequences: int
    clusters: int
    excess: float | None
    low: float | None
    high: float | None
    effect_size: float | None
    t: float | None
    band_low: float | None
    band_high: float | None
    margin: float | None
    detectable: float | None
    p_value: float | None
    p_holm: float | None
    sufficient: bool

    @property
    def above(self) -> bool:
        """Whether the band lies above 0."""
        return self.sufficient and self.band_low is not None and self.band_low > 0

    @property
    def below(self) -> bool:
        """Whether the band lies below 0."""
        return self.sufficient and self.band_high is not None and self.band_high < 0

    @property
    def inside(self) -> bool:
        """Whether the band lies inside the margin."""
        ends = (self.band_low, self.band_high)
        return (
            self.sufficient
            and self.margin is not None
            and all(end is not None and abs(end) < self.margin for end in ends)
        )


@dataclass(frozen=True, eq=False)
class Compared:
    """Every method of one stratum of sequences next to every control that the outcomes have.

    Attributes:
        pairs: Method and control of each column.
        table: The excess, ``[column, sequence]``.
        statistics: Of the table.
        low: Of each column's 95 % interval.
        high: Of it.
        margins: By column; NaN where there is none.
        tests: McNemar's p values, by column.
    """

    pairs: tuple[tuple[str, str], ...]
    table: StoredRows
    statistics: Studentised
    low: Floats
    high: Floats
    margins: Floats
    tests: Floats

    def part(self, controls: Sequence[str]) -> Studentised:
        """Take the columns of some controls that have enough clusters to decide."""
        own = np.array([c in controls for _, c in self.pairs], dtype=np.bool_) & (self.statistics.clusters >= FEWEST)
        return self.statistics.take(own)


@dataclass(frozen=True)
class Thresholds:
    """How many standard errors above 0, and below, an excess must lie to be claimed, by control.

    Those of the deciding controls are one, ``context`` has its own, and ``random`` has none.
    """

    above: Mapping[str, float] = field(default_factory=dict)
    below: Mapping[str, float] = field(default_factory=dict)


def compare(endpoint: Endpoint, clusters: Int64, rows: Bool, resamples: int, seed: int) -> Compared | None:
    """Compare every method with every control that the outcomes have.

    Args:
        endpoint: Of the outcomes.
        clusters: ``int64 [sequence]``, of the same outcomes.
        rows: ``bool [sequence]``, those that are compared.
        resamples: Bootstrap draws, over clusters of sequences.
        seed: Of those draws.

    Returns:
        None where there is nothing to compare.
    """
    pairs = tuple(
        (method, control)
        for method in endpoint.methods
        for control in CONTROLS
        if ranking_of(control, method) in endpoint.aopc
    )
    if not rows.any() or not pairs or not endpoint.ranked:
        return None
    table = StoredRows(0, int(rows.sum()), np.float64)
    for method, control in pairs:
        table.append(endpoint.excess(method, control)[rows])
    statistics = studentised(table, clusters=clusters[rows], resamples=resamples, seed=seed)
    low, high = intervals(statistics, table, clusters[rows], resamples, 0.95, seed)
    tests = np.array([_mcnemar(endpoint, m, c, rows) for m, c in pairs])
    return Compared(
        pairs, table, statistics, low, high, np.array([_margin(endpoint, m, c, rows) for m, c in pairs]), tests
    )


def thresholds(classes: Sequence[Compared]) -> Thresholds:
    """Find the thresholds of a card from the comparisons of its classes."""
    above: dict[str, float] = {}
    below: dict[str, float] = {}
    for controls in (DECIDING, (CONTEXT,)):
        up, down = max_t([each.part(controls) for each in classes], 1 - LEVEL)
        above |= dict.fromkeys(controls, up)
        below |= dict.fromkeys(controls, down)
    return Thresholds(above, below)


def comparisons(compared: Compared, limits: Thresholds) -> dict[str, list[Comparison]]:
    """List the comparisons of every method, in the order of ``CONTROLS``; a control that has no rows is left out.

    Args:
        compared: Of one stratum.
        limits: Of the card; with none, no comparison decides.
    """
    from scipy.special import ndtri

    corrected = np.full(len(compared.pairs), np.nan)
    for control in CONTROLS:
        same = [at for at, (_, other) in enumerate(compared.pairs) if other == control]
        corrected[same] = holm(compared.tests[same])
    statistics, effect = compared.statistics, effect_sizes(compared.table)
    above, below = (
        np.array([side.get(c, math.nan) for _, c in compared.pairs]) for side in (limits.above, limits.below)
    )
    band_low, band_high = statistics.band(above, -below)
    by_method: dict[str, list[Comparison]] = {method: [] for method, _ in compared.pairs}
    for at, (method, control) in enumerate(compared.pairs):
        if not statistics.rows[at]:
            continue
        decides = bool(statistics.clusters[at] >= FEWEST and math.isfinite(above[at]))
        by_method[method].append(
            Comparison(
                control,
                int(statistics.rows[at]),
                int(statistics.clusters[at]),
                known(statistics.mean[at]),
                known(compared.low[at]),
                known(compared.high[at]),
                known(effect[at]),
                known(statistics.t[at]),
                known(band_low[at]) if decides else None,
                known(band_high[at]) if decides else None,
                known(compared.margins[at]),
                known((above[at] + ndtri(POWER)) * statistics.error[at]) if decides else None,
                known(compared.tests[at]),
                known(corrected[at]),
                decides,
            )
        )
    return by_method


def _margin(endpoint: Endpoint, method: str, control: str, rows: Bool) -> float:
    """Give a comparison's margin; NaN where in-silico mutagenesis reaches nothing, or was done too rarely."""
    if control not in DECIDING:
        return math.nan
    ism_effects = endpoint.of_ism(method, control)[rows]
    ism_effects = ism_effects[np.isfinite(ism_effects)]
    return MARGIN * float(ism_effects.mean()) if ism_effects.size >= FEWEST and ism_effects.mean() > 0 else math.nan


def _mcnemar(endpoint: Endpoint, method: str, control: str, rows: Bool) -> float:
    rankings = (method, ranking_of(control, method))
    if any(ranking not in endpoint.correct for ranking in rankings):
        return math.nan
    own, other = (endpoint.correct[ranking][rows] for ranking in rankings)
    both = np.isfinite(own) & np.isfinite(other)
    return mcnemar(own[both] > 0.5, other[both] > 0.5)


def known(value: float) -> float | None:
    """Return a number, or None in place of NaN: what could not be computed is missing."""
    return float(value) if math.isfinite(value) else None


COLLAPSE = 0.1
"""From this fall of accuracy on, by full mutation, a class is said to collapse."""
ALIKE = 0.2
"""Classes are called alike where the interval of their difference holds 0 and reaches no farther than this."""
FEWEST_CLUSTERS = 2
"""A class of fewer independent sequences has no interval."""
_DIGITS = 9

FloorOutcome = Literal["alone", "too_few", "explained", "kept", "default", "no_fall"]
"""What full mutation leaves of a class. ``alone``: no other class took part, so nobody knows. ``too_few``: too few
sequences to know. ``explained``: nothing, and the default label explains the fall of accuracy, which is 0.1 or more, as
another class is the default. ``kept``: something, as mutants of the classes still get different answers (the interval
of the difference leaves 0 out). ``default``: nothing, and the class is the default label itself. ``no_fall``: nothing,
and accuracy hardly falls. *Nothing*: the interval of the difference holds 0 and lies within 0.2 of it."""


@dataclass(frozen=True)
class Floor:
    """Full mutation of one class by one operator.

    Attributes:
        operator: Its name.
        label: The class, by number.
        class_name: The class, by name.
        default_label: The class that full mutation favours, by number; the same for all classes of an operator.
        default_name: That class, by name.
        rate: Share of this class's fully mutated sequences that are given the default label.
        rates: That share for every class, by name.
        difference: ``rate`` less the mean rate of the other classes: what full mutation leaves of the class. None where
            no other class took part.
        low: Of its 95 % bootstrap interval; None where a class has fewer than 2 independent sequences.
        high: Of its 95 % bootstrap interval.
        accuracy: Of the same sequences, unmutated.
        floor: Their accuracy when fully mutated.
        sequences: How many.
        outcome: What that means, a `FloorOutcome`.
    """

    operator: str
    label: int
    class_name: str
    default_label: int
    default_name: str
    rate: float
    rates: dict[str, float]
    difference: float | None
    low: float | None
    high: float | None
    accuracy: float
    floor: float
    sequences: int
    outcome: FloorOutcome


def floors(outcomes: Outcomes, *, resamples: int = 2000, seed: int = 0) -> list[Floor]:
    """Measure the floor of every class under every operator that mutated sequences fully; none for regression.

    Args:
        outcomes: Of a trial.
        resamples: Bootstrap draws of each difference's interval, over sequences, by cluster, within each class.
        seed: Of those draws.

    Example:
        >>> import kmerit as km
        >>> model = km.load_model("bundled:promoter")
        >>> sequences = km.Sequences.from_strings(["TATAAAGGCGCGCC", "ACGTTGCAACGGTT"], labels=[1, 0])
        >>> outcomes = km.mutate(model, sequences, km.attribute(model, sequences, ["lrp"]), counts=["all"])
        >>> [(floor.operator, floor.class_name) for floor in floors(outcomes)]
        [('random_other', 'background'), ('random_other', 'promoter')]
    """
    if outcomes.regression:
        return []
    names, full, defaults = outcomes.class_names, full_mutations(outcomes), default_labels(outcomes)
    every = outcomes.arrays(
        {
            "called": lambda part: part.per_sequence(called_default(part, defaults)),
            "correct": lambda part: part.per_sequence(part.correct),
        }
    )
    floor_rows = []
    for operator, default in defaults.items():
        at = int(full[(outcomes.groups["operator"] == operator).to_numpy() & (full >= 0)][0])
        called, correct = (every[name][at] for name in ("called", "correct"))
        there = np.isfinite(called)
        labels = np.unique(outcomes.classes[there]).tolist()
        members: dict[int, Bool] = {label: there & (outcomes.classes == label) for label in labels}
        rates = {names[label]: float(called[rows].mean()) for label, rows in members.items()}
        means = {label: _resampled(called, rows, outcomes, resamples, seed) for label, rows in members.items()}
        for label, rows in members.items():
            before, after = float(outcomes.initially_correct[rows].mean()), float(correct[rows].mean())
            difference, low, high = _left(label, rates, names, means)
            floor_rows.append(
                Floor(
                    operator=operator,
                    label=label,
                    class_name=names[label],
                    default_label=default,
                    default_name=names[default],
                    rate=rates[names[label]],
                    rates=rates,
                    difference=difference,
                    low=low,
                    high=high,
                    accuracy=before,
                    floor=after,
                    sequences=int(rows.sum()),
                    outcome=_outcome(label == default, before - after, difference, low, high),
                )
            )
    return floor_rows


@dataclass(frozen=True)
class ValueFloor:
    """Full mutation by one operator, of a model that predicts a value: all in the value's unit.

    Attributes:
        operator: Its name.
        class_name: The value's name.
        intact: Mean of what is predicted for the unmutated sequences.
        floor: Mean of what is predicted for the same sequences, fully mutated.
        change: ``floor`` less ``intact``.
        low: Of the change's 95 % bootstrap interval; None with fewer than 2 independent sequences.
        high: Of it.
        spread: Standard deviation over sequences of what is predicted for them fully mutated; None of one sequence.
        sequences: How many.
    """

    operator: str
    class_name: str
    intact: float
    floor: float
    change: float
    low: float | None
    high: float | None
    spread: float | None
    sequences: int


def value_floors(outcomes: Outcomes, *, resamples: int = 2000, seed: int = 0) -> list[ValueFloor]:
    """Measure what is left of a value under every operator that mutated sequences fully; none for classes.

    Args:
        outcomes: Of a trial.
        resamples: Bootstrap draws of each change's interval, over sequences, by cluster.
        seed: Of those draws.

    Example:
        >>> import torch
        >>> import kmerit as km
        >>> gc = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(32, 1, bias=False))
        >>> _ = gc[1].weight.data.copy_(torch.tensor([[0.0] * 8 + [1.0] * 16 + [0.0] * 8]))
        >>> model = km.wrap(gc, length=8, outputs=["gc"], problem="value")
        >>> outcomes = km.mutate(model, ["GGGGCCCC"], km.attribute(model, ["GGGGCCCC"], ["ism"]), counts=["all"])
        >>> [(each.operator, each.class_name, each.intact) for each in value_floors(outcomes)]
        [('random_other', 'gc', 8.0)]
    """
    if not outcomes.regression:
        return []
    full, rows = full_mutations(outcomes), []
    values = outcomes.arrays({"logit": lambda part: part.per_sequence(part.logit)})["logit"]
    drops = outcomes.drops("logit")
    for operator in outcomes.operators:
        at = full[(outcomes.groups["operator"] == operator).to_numpy() & (full >= 0)]
        if not at.size:
            continue
        fallen = mean_over_draws(drops[at[0]])
        there = np.isfinite(fallen)
        left, clusters = values[at[0]][there], outcomes.clusters[there]
        low, high = None, None
        if np.unique(clusters).size >= FEWEST_CLUSTERS:
            means = bootstrap_means(-fallen[there][:, None], clusters=clusters, resamples=resamples, seed=seed)
            low, high = (float(end[0]) for end in percentiles(means))
        rows.append(
            ValueFloor(
                operator=operator,
                class_name=outcomes.class_names[0],
                intact=float((left + fallen[there]).mean()),
                floor=float(left.mean()),
                change=-float(fallen[there].mean()),
                low=low,
                high=high,
                spread=float(left.std(ddof=1)) if left.size > 1 else None,
                sequences=int(there.sum()),
            )
        )
    return rows


def _outcome(
    is_default: bool, fall: float, difference: float | None, low: float | None, high: float | None
) -> FloorOutcome:
    if difference is None:
        return "alone"
    if low is None or high is None:
        return "too_few"
    if not low <= 0 <= high:
        return "kept"
    if max(-low, high) > ALIKE:
        return "too_few"
    if is_default:
        return "default"
    return "explained" if fall >= COLLAPSE else "no_fall"


def _resampled(called: Floats, rows: Bool, outcomes: Outcomes, resamples: int, seed: int) -> Floats | None:
    """Resample one class's rate, ``[resample]``; None of too few sequences."""
    clusters = outcomes.clusters[rows]
    if np.unique(clusters).size < FEWEST_CLUSTERS:
        return None
    # Classes are drawn independently of each other, so each has draws of its own.
    own = seed + int(outcomes.classes[rows][0])
    return bootstrap_means(called[rows][:, None], clusters=clusters, resamples=resamples, seed=own)[:, 0]


def _left(
    label: int, rates: dict[str, float], names: dict[int, str], means: dict[int, Floats | None]
) -> tuple[float | None, float | None, float | None]:
    """Compare a class's rate with the mean rate of the others: difference, low, high."""
    other_labels = [other for other in means if other != label]
    if not other_labels:
        return None, None, None
    difference = rates[names[label]] - float(np.mean([rates[names[other]] for other in other_labels]))
    own, theirs = means[label], [draws for other in other_labels if (draws := means[other]) is not None]
    if own is None or len(theirs) < len(other_labels):
        return difference, None, None
    low, high = percentiles((own - np.mean(theirs, axis=0))[:, None])
    # Shares of few sequences hit a limit exactly, but for the last bits of a mean.
    return difference, round(float(low[0]), _DIGITS), round(float(high[0]), _DIGITS)


def full_mutations(outcomes: Outcomes) -> Int64:
    """Find each group's full mutation: a group's index, -1 where it has none, ``int64 [group]``."""
    groups = outcomes.groups
    restores = groups["order"].map(lambda name: ORDERS[name].restores).to_numpy(dtype=np.bool_)
    at_floor = np.where(restores, groups["n"] == 0, groups["full"])
    curve = groups.groupby(["method", "operator", "order"], observed=True).ngroup().to_numpy()
    at_full: Int64 = np.full(int(curve.max(initial=-1)) + 1, -1, dtype=np.int64)
    at_full[curve[at_floor]] = np.flatnonzero(at_floor)
    return at_full[curve]


def default_labels(outcomes: Outcomes) -> dict[str, int]:
    """Name the label that each operator's full mutation favours, each class counting alike."""
    if outcomes.regression:
        return {}
    counts = {name: np.zeros((int(outcomes.classes.max()) + 1, outcomes.outputs)) for name in outcomes.operators}
    for part in outcomes.parts():
        at_floor = np.isin(part.group, full_mutations(part))
        for operator, calls in counts.items():
            cells = at_floor & (part.groups["operator"] == operator).to_numpy()[part.group]
            np.add.at(calls, (part.class_of_cell[cells], part.predicted_of_cell[cells]), 1)
    labels: dict[str, int] = {}
    for operator, calls in counts.items():
        seen = calls[calls.sum(axis=1) > 0]
        if len(seen):
            labels[operator] = int((seen / seen.sum(axis=1, keepdims=True)).mean(axis=0).argmax())
    return labels


def called_default(outcomes: Outcomes, defaults: Mapping[str, int]) -> Floats:
    """Say whether the mutant of each cell is given its operator's default label; NaN where it has none, ``[cell]``."""
    of_group = outcomes.groups["operator"].astype(str).map(lambda name: defaults.get(name, -1)).to_numpy()
    default = of_group[outcomes.group]
    return np.where(default < 0, np.nan, outcomes.predicted_of_cell == default)


ENOUGH = 50
"""From this number on, intervals of skewed differences miss the truth less than twice as often as they should; below, a
verdict carries a caveat."""
MANY_TIES = 0.1
"""Above this share of tied positions a verdict carries a caveat."""


class Caveat(Remark):
    """Something that a verdict must be read with.

    Attributes:
        CODES: ``undecidable``: the class has too few sequences to decide. ``no_sequences``: none took part.
            ``no_counts``: nothing between 0 and all nucleotides was mutated. ``control_missing``: it was not asked for,
            or could not be formed. ``control_partly``: only ``sequences`` of ``of`` have it. ``few_clusters``: too few
            independent sequences for these controls. ``joined_contexts``: positions that joined a coarser stratum of
            the control ``context``. ``narrow_intervals``: too few sequences for exact 95 % intervals. ``no_margin``:
            in-silico mutagenesis of too few sequences. ``mistaken``: sequences of the class that the model calls
            otherwise, with the excess on them. ``explained_for_another``: sequences explained for another class.
            ``floor_explains``: the fall to the floor is the model's default answer (``class_name``). ``withheld``,
            ``constant``, ``nonfinite``, ``ties``: scores that are left out, all equal, not finite, shared.
            ``both_strands``: scores are means over both strands, mutants are classified on the forward strand.
            ``mixed_strands``: some methods' scores are of both strands (``methods``), others' (``others``) are not.
    """

    CODES: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "undecidable": ("class_name", "sequences", "mistaken", "clusters", "questions", "detectable"),
        "no_sequences": (),
        "no_counts": (),
        "control_missing": ("control", "asked"),
        "control_partly": ("control", "sequences", "of"),
        "few_clusters": ("controls", "clusters", "needed"),
        "joined_contexts": ("positions", "joined_quarters", "joined_gc", "alone"),
        "narrow_intervals": ("clusters", "enough"),
        "no_margin": ("needed",),
        "mistaken": ("sequences", "control", "excess", "low", "high"),
        "explained_for_another": ("sequences", "of"),
        "floor_explains": ("class_name", "accuracy", "floor"),
        "withheld": ("sequences", "of"),
        "constant": ("sequences", "of"),
        "nonfinite": ("sequences", "of"),
        "ties": ("share",),
        "both_strands": (),
        "mixed_strands": ("methods", "others"),
    }


def undecidable(expected: Prospect) -> list[Caveat]:
    """Warn that a class has too few sequences to be decided, as was known before any mutant was classified."""
    if expected.decidable or not expected.sequences:
        return []
    numbers = asdict(expected)
    return [Caveat("undecidable", {name: numbers[name] for name in Caveat.CODES["undecidable"]})]


def few_sequences(comparisons: Sequence[Comparison], control: str | None) -> list[Caveat]:
    """Warn of intervals that are too narrow, as those of few independent sequences are where differences are skewed."""
    return [
        Caveat("narrow_intervals", {"clusters": each.clusters, "enough": ENOUGH})
        for each in comparisons
        if each.control == control and each.clusters < ENOUGH
    ]


def unmeasured_margin(comparisons: Sequence[Comparison]) -> list[Caveat]:
    """Warn that no excess can be called none where the margin is unknown."""
    unknown = any(each.sufficient and each.margin is None for each in comparisons if each.control in DECIDING)
    return [Caveat("no_margin", {"needed": FEWEST})] if unknown else []


def mistaken_stratum(count: int, comparisons: Sequence[Comparison], control: str | None) -> list[Caveat]:
    """Say how many sequences the model mistakes, and what a method's excess is on them alone."""
    if not count:
        return []
    values: dict[str, float | str | None] = {"control": None, "excess": None, "low": None, "high": None}
    for each in comparisons:
        if each.control == control and each.low is not None:
            enough = each.clusters >= FEWEST
            values = {"control": control, "excess": each.excess, "low": each.low, "high": each.high}
            values |= {} if enough else {"low": None, "high": None}
            break
    return [Caveat("mistaken", {"sequences": count, **values})]


def explained_for_another(outcomes: Outcomes, rows: Bool, label: int) -> list[Caveat]:
    """Count the sequences of which another class is explained than the card's."""
    count = int((outcomes.targets[rows] != label).sum())
    return [Caveat("explained_for_another", {"sequences": count, "of": int(rows.sum())})] if count else []


def explained_by_floor(floor: Floor | None) -> list[Caveat]:
    """Say that the model's default answer explains how far a class falls."""
    if floor is None or floor.outcome != "explained":
        return []
    numbers = {"class_name": floor.default_name, "accuracy": floor.accuracy, "floor": floor.floor}
    return [Caveat("floor_explains", numbers)]


def unformed(outcomes: Outcomes, endpoint: Endpoint, comparisons: Sequence[Comparison], sequences: int) -> list[Caveat]:
    """List the controls that are missing, wholly or for some sequences, and those with too few to count."""
    if not sequences:
        return [Caveat("no_sequences")]
    if not endpoint.ranked:
        return [Caveat("no_counts")]
    caveats = []
    requested = {*outcomes.settings.get("controls", ()), *([RANDOM] if outcomes.settings.get("random_sets") else [])}
    for control in CONTROLS:
        if control not in {each.control for each in comparisons} and control in (*DECIDING, CONTEXT):
            caveats.append(Caveat("control_missing", {"control": control, "asked": control in requested}))
    for each in comparisons:
        if each.sequences < sequences:
            values = {"control": each.control, "sequences": each.sequences, "of": sequences}
            caveats.append(Caveat("control_partly", values))
    small_controls: dict[int, list[str]] = {}
    for each in comparisons:
        if each.clusters < FEWEST:
            small_controls.setdefault(each.clusters, []).append(each.control)
    caveats += [
        Caveat("few_clusters", {"controls": names, "clusters": count, "needed": FEWEST})
        for count, names in small_controls.items()
    ]
    return caveats


def joined_contexts(outcomes: Outcomes, comparisons: Sequence[Comparison]) -> list[Caveat]:
    """Say how many positions had too few others of their context, for the control ``context``."""
    strata = outcomes.diagnostics.get("context_strata")
    if not strata or all(each.control != CONTEXT for each in comparisons):
        return []
    return [Caveat("joined_contexts", {name: strata[name] for name in Caveat.CODES["joined_contexts"]})]


def degenerate(outcomes: Outcomes, method: str, rows: Bool) -> list[Caveat]:
    """Say how many sequences of a class have scores that hold no order, and how much of it is drawn."""
    caveats, count = [], int(rows.sum())
    withheld = outcomes.of_method("withheld", method)[rows]
    flagged = {
        "withheld": withheld,
        "constant": outcomes.of_method("constant", method)[rows],
        "nonfinite": (outcomes.of_method("nonfinite", method)[rows] > 0) & ~withheld,
    }
    for code, sequences in flagged.items():
        if sequences.any():
            caveats.append(Caveat(code, {"sequences": int(sequences.sum()), "of": count}))
    shares = (outcomes.of_method("tied", method) / outcomes.lengths)[rows]
    if count and shares.mean() > MANY_TIES:
        caveats.append(Caveat("ties", {"share": float(shares.mean())}))
    return caveats


def other_strand_unasked(outcomes: Outcomes, method: str) -> list[Caveat]:
    """Say that a method's scores are of both strands, which its mutants are not, and that other methods' are not."""
    by_strands: Mapping[str, Sequence[str]] = outcomes.settings.get("strands", {})
    both = list(by_strands.get(BOTH, ()))
    others = [name for strands, names in by_strands.items() if strands != BOTH for name in names]
    caveats = [Caveat("both_strands")] if method_of(method) in both else []
    return caveats + ([Caveat("mixed_strands", {"methods": both, "others": others})] if both and others else [])


LEAST = 100
"""Resamples from which the upper 5 % of a maximum can be estimated, roughly."""
FAITHFUL = "faithful"
"""The bands over all three deciding controls lie above 0."""
WORSE = "worse than its controls"
"""All three lie below 0."""
SAME = "no better than its controls"
"""All three lie inside the margin."""
UNDECIDED = "undecided"
"""Anything else."""


@dataclass(frozen=True)
class Verdict:
    """The report card of one method on one class.

    Attributes:
        method: Its name; ``size(NAME)`` is a signed method ranked by the size of its scores.
        sign: ``signed``, ``unsigned``, or nothing where the trial did not say; ``negative`` of ``negative(NAME)``, a
            signed method ranked from its lowest score up, which is judged by how far a value rises.
        label: The class, by number.
        class_name: The class, by name.
        verdict: By the bands of the excess over ``shifted``, ``clump`` and ``other``: ``faithful`` if all three lie
            above 0, ``worse than its controls`` if all three lie below, ``no better than its controls`` if all three
            lie inside their margins, else ``undecided``.
        beyond: The second answer, of what is faithful: whether the band over ``context`` lies above 0, too. None where
            it was not asked or could not be.
        control: The deciding control whose band begins lowest (if worse: ends highest).
        excess: The excess over that control, in logits.
        low: Of its band, which holds over all methods, classes and deciding controls of the card at once.
        high: Of its band.
        effect_size: The excess in standard deviations over sequences.
        detectable: The smallest effect, in standard deviations, that the sequences would show with a power of 90 %.
        aopc: The method's own AOPC, in logits.
        sequences: How many sequences of the class it rests on: those that the model calls so.
        mistaken: How many more the model mistakes; they are a stratum of their own.
        comparisons: With every control that was formed.
        mistaken_comparisons: The same of the mistaken sequences; described, and not judged.
        caveats: What must be known with it.
    """

    method: str
    sign: str
    label: int
    class_name: str
    verdict: str
    beyond: bool | None
    control: str | None
    excess: float | None
    low: float | None
    high: float | None
    effect_size: float | None
    detectable: float | None
    aopc: float | None
    sequences: int
    mistaken: int = 0
    comparisons: tuple[Comparison, ...] = ()
    mistaken_comparisons: tuple[Comparison, ...] = ()
    caveats: tuple[Caveat, ...] = ()

    def __repr__(self) -> str:
        excess = "" if self.excess is None else f", excess over {self.control} {significant(self.excess, 3)}"
        return f"<Verdict {self.class_name}, {self.method}: {self.verdict}{excess}>"


@dataclass(frozen=True)
class Verdicts(Shown, Rows[Verdict], Sequence[Verdict]):
    """The verdicts of a trial, by class, then method.

    Attributes:
        rows: A verdict for each class and method.
        floors: What the model answers when nothing of a sequence is left, by operator and class.
        value_floors: The same of a model that predicts a value, by operator.

    Example:
        >>> import kmerit as km
        >>> model, strings = km.load_model("bundled:promoter"), ["TATAAAGGCGCGCC" * 4, "ACGTTGCAACGGTT" * 4]
        >>> scores = km.attribute(model, strings, ["lrp", "rollout"])
        >>> verdicts = judge(km.mutate(model, strings, scores, counts=[5], replicates=1, controls=["shifted"]))
        >>> verdicts
        <Verdicts: 4 undecided>
        >>> verdicts["rollout"], verdicts["promoter", "lrp"].verdict, verdicts[0].method
        (<Verdicts: 2 undecided>, 'undecided', 'lrp')
    """

    rows: tuple[Verdict, ...] = ()
    floors: tuple[Floor, ...] = ()
    value_floors: tuple[ValueFloor, ...] = ()

    def _row_names(self) -> tuple[str, ...]:
        return tuple(each.method for each in self.rows)

    def _row(self, i: int) -> Verdict:
        return self.rows[i]

    def take(self, rows: NDArray[Any] | Sequence[int] | slice) -> Verdicts:
        """Select verdicts by index, slice or boolean mask, in the order asked.

        Example:
            >>> Verdicts().take(slice(2))
            <Verdicts: none>
        """
        return replace(self, rows=tuple(self.rows[i] for i in np.arange(len(self))[rows]))

    @overload  # type: ignore[override]
    def __getitem__(self, key: int | tuple[str, str]) -> Verdict: ...

    @overload
    def __getitem__(self, key: str | Several) -> Verdicts: ...

    def __getitem__(self, key: int | str | tuple[str, str] | Several) -> Verdict | Verdicts:
        """Give a verdict by its number, or by class and method; several by a slice, a list, a mask, or a name.

        The name is that of a method, or of a class.
        """
        if isinstance(key, str):
            for named in ("method", "class_name"):
                if verdicts := tuple(each for each in self.rows if getattr(each, named) == key):
                    return replace(self, rows=verdicts)
            raise UnknownName(
                "method or class", key, {name for each in self for name in (each.method, each.class_name)}
            )
        if isinstance(key, tuple) and [type(each) for each in key] == [str, str]:
            class_name, method = map(str, key)
            of_method = {each.class_name: each for each in self.rows if each.method == method}
            if not of_method:
                raise UnknownName("method", method, {each.method for each in self.rows})
            if class_name not in of_method:
                raise UnknownName("class", class_name, of_method)
            return of_method[class_name]
        selected: Verdict | Verdicts = super().__getitem__(key)  # type: ignore[index]
        return selected

    @classmethod
    def concat(cls, parts: Sequence[Verdicts]) -> Verdicts:
        """Put verdicts on several methods or classes together. Each keeps the thresholds of the card it was judged on.

        Raises:
            UsageError: No part, or two verdicts on one method and class.

        Example:
            >>> Verdicts.concat([Verdicts(), Verdicts()])
            <Verdicts: none>
        """
        if not parts:
            raise UsageError("concat: expected at least one part, got none.")
        rows = tuple(row for part in parts for row in part.rows)
        count = Counter((row.class_name, row.method) for row in rows)
        if twice := next((key for key, times in count.items() if times > 1), None):
            raise UsageError(f"concat: there are two verdicts on {twice[1]!r} for {twice[0]!r}; expected one.")
        floors = {json.dumps(asdict(each)): each for part in parts for each in part.floors}
        values = {json.dumps(asdict(each)): each for part in parts for each in part.value_floors}
        return cls(rows, tuple(floors.values()), tuple(values.values()))

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the verdicts as JSON, as they stand in a run's ``cards.json``.

        Raises:
            UsageError: The suffix is not ``.json``.

        Example:
            >>> import tempfile
            >>> with tempfile.TemporaryDirectory() as folder:
            ...     Verdicts.load(Verdicts().save(f"{folder}/verdicts.json"))
            <Verdicts: none>
        """
        target = Path(path)
        if target.suffix != ".json":
            raise UsageError(f"{path}: verdicts are written as JSON; give the file the suffix .json.")
        write_text(target, json.dumps(self.as_dict(), indent=2, ensure_ascii=False, allow_nan=False) + "\n")
        return target

    def as_dict(self) -> dict[str, Any]:
        """Give everything as plain data, ready for JSON.

        Example:
            >>> Verdicts().as_dict()
            {'floors': [], 'cards': []}
        """
        value_floors = {"value_floors": [asdict(each) for each in self.value_floors]} if self.value_floors else {}
        floors = [asdict(each) for each in self.floors]
        return {"floors": floors, **value_floors, "cards": [asdict(each) for each in self]}

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Verdicts:
        """Read what `save` wrote, or the ``cards.json`` of a run or trial.

        Raises:
            FormatError: The file does not hold that.

        Example:
            >>> Verdicts.load("nowhere.json")
            Traceback (most recent call last):
            kmerit.errors.FormatError: nowhere.json: expected verdicts in JSON, ...
        """
        try:
            tree = json.loads(Path(path).read_text(encoding="utf-8"))
            return cls(
                tuple(_read_verdict(each) for each in tree["cards"]),
                tuple(Floor(**each) for each in tree["floors"]),
                tuple(ValueFloor(**each) for each in tree.get("value_floors", ())),
            )
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise FormatError(
                f"{path}: expected verdicts in JSON, from Verdicts.save or a run's cards.json "
                f"({type(error).__name__}: {error})."
            ) from None

    def __repr__(self) -> str:
        counts = Counter(each.verdict for each in self)
        return f"<Verdicts: {', '.join(f'{count} {verdict}' for verdict, count in counts.items()) or 'none'}>"

    def _shown_frame(self) -> pd.DataFrame:
        columns = ["class_name", "method", "sign", "verdict", "beyond", "control", "excess", "low", "high", "sequences"]
        return self.to_frame()[columns]

    def to_frame(self) -> pd.DataFrame:
        """Give a row per verdict: every field of `Verdict` but its comparisons; of its caveats the codes.

        Example:
            >>> Verdicts().to_frame().columns[:5].tolist()
            ['method', 'sign', 'label', 'class_name', 'verdict']
        """
        import pandas as pd

        names = [each.name for each in fields(Verdict) if not each.name.endswith("comparisons")]
        rows = [{**{name: getattr(each, name) for name in names}, "caveats": codes(each.caveats)} for each in self]
        return pd.DataFrame(rows, columns=names)


def _read_verdict(tree: Mapping[str, Any]) -> Verdict:
    compared = {key: tuple(Comparison(**each) for each in tree[key]) for key in ("comparisons", "mistaken_comparisons")}
    return Verdict(**{**tree, **compared, "caveats": tuple(Caveat(**each) for each in tree["caveats"])})


def judge(
    outcomes: Outcomes,
    *,
    methods: Sequence[str] | None = None,
    resamples: int = 2000,
    seed: int = 0,
    endpoint: Endpoint | None = None,
) -> Verdicts:
    """Give every method its verdict on every class.

    A method and a control are compared sequence by sequence, draw of alleles by draw; sequences are resampled by
    cluster. Classes are the true labels, and the verdict rests on the sequences that the model gives them; without
    labels, classes are what the model calls the unmutated sequences. The thresholds are those of all that is judged
    here: with fewer methods they are lower. Of a model that predicts a value, that is the one class, and all sequences
    take part; drops and excesses are in its unit, and ``negative(NAME)`` is judged by how far the value rises.

    Args:
        outcomes: With controls, from `trial` or from ``mutate(..., controls=CONTROLS)``.
        methods: Which rankings make up the card; all by default.
        resamples: Bootstrap draws.
        seed: Of those draws.
        endpoint: Of these outcomes, where it has been computed.

    Returns:
        By class, then method, in the order of the outcomes.

    Raises:
        UsageError: There are no outcomes of ``random_other``, most relevant first; too few resamples; or a folder,
            which `read_outcomes` reads.
        UnknownName: A method that has no outcomes.

    Example:
        >>> import kmerit as km
        >>> model = km.load_model("bundled:promoter")
        >>> sequences = km.Sequences.from_strings(["TATAAAGGCGCGCC" * 4, "ACGTTGCAACGGTT" * 4], labels=[1, 0])
        >>> scores = km.attribute(model, sequences, ["lrp"])
        >>> outcomes = km.mutate(model, sequences, scores, counts=[5], replicates=1, controls=["shifted", "clump"])
        >>> [(verdict.class_name, verdict.method, verdict.verdict) for verdict in judge(outcomes)]
        [('background', 'lrp', 'undecided'), ('promoter', 'lrp', 'undecided')]
    """
    need_outcomes(outcomes, "judge")
    if resamples < LEAST:
        raise UsageError(f"resamples: expected {LEAST} or more, which the thresholds need, got {resamples}.")
    endpoint = endpoint or Endpoint(outcomes)
    for name in methods or ():
        if name not in endpoint.methods:
            raise UnknownName("method of these outcomes", name, endpoint.methods)
    if methods is not None:
        endpoint = endpoint.of_methods(methods)
    names = outcomes.class_names
    right = outcomes.initially_correct
    calls = None if outcomes.regression else right
    expected = {
        each.label: each
        for each in prospects(outcomes.classes, calls, outcomes.clusters, [*names.values()], len(endpoint.methods))
    }
    compared: dict[int, Compared | None] = {}
    return_memory()
    for label in names:
        # Classes are resampled independently of each other.
        of_class = right & (outcomes.classes == label)
        compared[label] = compare(endpoint, outcomes.clusters, of_class, resamples, seed + label)
    decidable = [each for label, each in compared.items() if each is not None and expected[label].decidable]
    limits = thresholds(decidable)
    every_floor = tuple(floors(outcomes, resamples=resamples, seed=seed))
    floor = {each.label: each for each in every_floor if each.operator == OPERATOR}
    verdicts: list[Verdict] = []
    for label, name in names.items():
        rows, misclassified = (chosen & (outcomes.classes == label) for chosen in (right, ~right))
        apart = compare(endpoint, outcomes.clusters, misclassified, resamples, seed + label)
        own, others = compared[label], {} if apart is None else comparisons(apart, Thresholds())
        of_label = {} if own is None else comparisons(own, limits if expected[label].decidable else Thresholds())
        for method in endpoint.methods:
            verdict = _verdict(method, endpoint, rows, of_label.get(method, ()), expected[label])
            caveats = [
                *undecidable(expected[label]),
                *unformed(outcomes, endpoint, verdict.comparisons, verdict.sequences),
                *joined_contexts(outcomes, verdict.comparisons),
                *few_sequences(verdict.comparisons, verdict.control),
                *(unmeasured_margin(verdict.comparisons) if verdict.verdict == UNDECIDED else []),
                *mistaken_stratum(int(misclassified.sum()), others.get(method, ()), verdict.control),
                *explained_for_another(outcomes, rows, label),
                *explained_by_floor(floor.get(label)),
                *degenerate(outcomes, method, rows),
                *other_strand_unasked(outcomes, method),
            ]
            verdicts.append(
                replace(
                    verdict,
                    sign=str(outcomes.settings.get("signs", {}).get(method, "")),
                    class_name=name,
                    mistaken=int(misclassified.sum()),
                    mistaken_comparisons=tuple(others.get(method, ())),
                    caveats=tuple(caveats),
                )
            )
    return Verdicts(tuple(verdicts), every_floor, tuple(value_floors(outcomes, resamples=resamples, seed=seed)))


def decide(listed: Sequence[Comparison]) -> tuple[str, bool | None]:
    """Apply the rule to a method's comparisons: the verdict, and whether it reaches beyond composition."""
    by_control = {each.control: each for each in listed if each.sufficient}
    three = [by_control[control] for control in DECIDING if control in by_control]
    if len(three) < len(DECIDING):
        return UNDECIDED, None
    if all(each.above for each in three):
        return FAITHFUL, by_control[CONTEXT].above if CONTEXT in by_control else None
    if all(each.below for each in three):
        return WORSE, None
    return (SAME if all(each.inside for each in three) else UNDECIDED), None


def _verdict(
    method: str, endpoint: Endpoint, rows: Bool, comparisons: Sequence[Comparison], expected: Prospect
) -> Verdict:
    """Decide a verdict without its caveats."""
    own = endpoint.direction[method] * mean_over_draws(endpoint.aopc[method][rows])
    sequences = int(np.isfinite(own).sum())
    verdict, beyond = decide(comparisons)
    three = [each for each in comparisons if each.control in DECIDING and each.sufficient]
    worse = verdict == WORSE

    def distance(each: Comparison) -> float:
        end = each.band_high if worse else each.band_low
        return math.inf if end is None else -end if worse else end

    nearest = min(three, key=distance) if three else None
    return Verdict(
        method=method,
        sign="",
        label=expected.label,
        class_name=expected.class_name,
        verdict=verdict,
        beyond=beyond,
        control=nearest.control if nearest else None,
        excess=nearest.excess if nearest else None,
        low=nearest.band_low if nearest else None,
        high=nearest.band_high if nearest else None,
        effect_size=nearest.effect_size if nearest else None,
        detectable=expected.detectable,
        aopc=known(float(np.nanmean(own))) if sequences else None,
        sequences=sequences,
        comparisons=tuple(comparisons),
    )
