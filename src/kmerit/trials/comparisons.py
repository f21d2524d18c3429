"""Methods next to their controls, by the endpoint of the trial: sequence by sequence, draw of alleles by draw.

The endpoint of a trial, fixed beforehand: how far the explained logit falls, sequence by sequence, draw by draw. It
is the area over the perturbation curve (AOPC) of the explained class's logit, the most relevant nucleotides first,
each replaced by one of the three others.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from kmerit.errors import CountError, UsageError
from kmerit.results import Outcomes
from kmerit.sequences import Bool, Floats, Int64
from kmerit.trials.bounds import ISM, is_bound
from kmerit.trials.controls import CONTEXT, CONTROLS, DECIDING, is_control, ranking_of
from kmerit.trials.design import FEWEST, LEVEL, POWER
from kmerit.uncertainty import Studentised, effect_sizes, holm, intervals, max_t, mcnemar, studentised

if TYPE_CHECKING:
    import pandas as pd


OPERATOR, ORDER = "random_other", "morf"
_STEPS = 64
"""In which two curves are compared over tokens changed."""


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
    """Average ``[sequence, draw]`` over the draws that a sequence has; NaN where it has none."""
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
        correct: By ranking ``[sequence]``, whether the call of draw 0 at ``count`` is right.
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
        self._counts = {name: len(at) for name, at in curves.items()}
        self.aopc = {name: aopc(self._drops[[*at.values()]]) for name, at in curves.items()}
        self.correct: dict[str, Floats] = {
            name: outcomes.per_draw(outcomes.correct, at[self.count])[:, 0]
            for name, at in self._at.items()
            if self.count in at
        }

    def excess(self, method: str, control: str) -> Floats:
        """Give the method's endpoint less that of its control, ``[sequence]``; NaN where either takes no part."""
        other = ranking_of(control, method)
        if control != CONTEXT:
            return mean_over_draws(self.aopc[method] - self.aopc[other])
        own, theirs = self._shared(method, other)
        return mean_over_draws(
            at_equal_tokens(self._tokens[own], self._drops[own], self._tokens[theirs], self._drops[theirs])
        )

    def of_ism(self, method: str, control: str) -> Floats:
        """Give what the order of in-silico mutagenesis reaches over the same control, ``[sequence]``; NaN where none.

        It is not mutated everywhere, as methods are; there every ranking is the same, so nothing is missed but a
        divisor.
        """
        bound = next((name for name in (ISM, "ism") if name in self.aopc), None)
        other = ranking_of(control, method)
        own, theirs = self._shared(bound, other) if bound else ([], [])
        if not own:
            return np.full(self._drops.shape[1], np.nan)
        return mean_over_draws((self._drops[own] - self._drops[theirs]).sum(axis=0) / self._counts[other])

    def _shared(self, one: str, other: str) -> tuple[list[int], list[int]]:
        """Find the groups of two rankings at every n below all that both have."""
        shared = [n for n in self._at[one] if n in self._at[other]]
        return [self._at[one][n] for n in shared], [self._at[other][n] for n in shared]


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
        >>> found = at_equal_tokens(curve(2.0, 4.0), curve(2.0, 4.0), curve(8.0), curve(4.0))
        >>> found.round(2).tolist()
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
        decides: Whether there are enough clusters for it to count.
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
    decides: bool

    @property
    def above(self) -> bool:
        """Whether the band lies above 0."""
        return self.decides and self.band_low is not None and self.band_low > 0

    @property
    def below(self) -> bool:
        """Whether the band lies below 0."""
        return self.decides and self.band_high is not None and self.band_high < 0

    @property
    def inside(self) -> bool:
        """Whether the band lies inside the margin."""
        ends = (self.band_low, self.band_high)
        return (
            self.decides and self.margin is not None and all(end is not None and abs(end) < self.margin for end in ends)
        )


@dataclass(frozen=True, eq=False)
class Compared:
    """Every method of one stratum of sequences next to every control that the outcomes have.

    Attributes:
        pairs: Method and control of each column.
        table: The excess, ``[sequence, column]``.
        found: Of the table.
        low: Of each column's 95 % interval.
        high: Of it.
        margins: By column; NaN where there is none.
        tests: McNemar's p values, by column.
    """

    pairs: tuple[tuple[str, str], ...]
    table: Floats
    found: Studentised
    low: Floats
    high: Floats
    margins: Floats
    tests: Floats

    def part(self, controls: Sequence[str]) -> Studentised:
        """Take the columns of some controls that have enough clusters to decide."""
        own = np.array([c in controls for _, c in self.pairs], dtype=np.bool_) & (self.found.clusters >= FEWEST)
        f = self.found
        return Studentised(f.rows[own], f.clusters[own], f.mean[own], f.error[own], f.draws[:, own])


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
    table = np.stack([endpoint.excess(m, c)[rows] for m, c in pairs], axis=1)
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
    from scipy.stats import norm

    corrected = np.full(len(compared.pairs), np.nan)
    for control in CONTROLS:
        same = [at for at, (_, other) in enumerate(compared.pairs) if other == control]
        corrected[same] = holm(compared.tests[same])
    statistics, effect = compared.found, effect_sizes(compared.table)
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
                known((above[at] + norm.ppf(POWER)) * statistics.error[at]) if decides else None,
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
    reached = endpoint.of_ism(method, control)[rows]
    reached = reached[np.isfinite(reached)]
    return MARGIN * float(reached.mean()) if reached.size >= FEWEST and reached.mean() > 0 else math.nan


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
