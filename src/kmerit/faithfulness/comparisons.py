"""Methods next to their controls, by the endpoint of the trial: sequence by sequence, draw of alleles by draw."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from kmerit.faithfulness.controls import CONTEXT, CONTROLS, DECIDING, ranking_of
from kmerit.faithfulness.endpoint import Endpoint
from kmerit.faithfulness.prospects import FEWEST, LEVEL, POWER
from kmerit.statistics import Studentised, holm, max_t, mcnemar, studentised
from kmerit.statistics.paired import effect_sizes, intervals
from kmerit.types import Bool, Floats, Int64

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
        kept = np.array([c in controls for _, c in self.pairs], dtype=np.bool_) & (self.found.clusters >= FEWEST)
        f = self.found
        return Studentised(f.rows[kept], f.clusters[kept], f.mean[kept], f.error[kept], f.draws[:, kept])


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
    found = studentised(table, clusters=clusters[rows], resamples=resamples, seed=seed)
    low, high = intervals(found, table, clusters[rows], resamples, 0.95, seed)
    tests = np.array([_mcnemar(endpoint, m, c, rows) for m, c in pairs])
    return Compared(pairs, table, found, low, high, np.array([_margin(endpoint, m, c, rows) for m, c in pairs]), tests)


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
    found, effect = compared.found, effect_sizes(compared.table)
    above, below = (
        np.array([side.get(c, math.nan) for _, c in compared.pairs]) for side in (limits.above, limits.below)
    )
    band_low, band_high = found.band(above, -below)
    listed: dict[str, list[Comparison]] = {method: [] for method, _ in compared.pairs}
    for at, (method, control) in enumerate(compared.pairs):
        if not found.rows[at]:
            continue
        decides = bool(found.clusters[at] >= FEWEST and math.isfinite(above[at]))
        listed[method].append(
            Comparison(
                control,
                int(found.rows[at]),
                int(found.clusters[at]),
                known(found.mean[at]),
                known(compared.low[at]),
                known(compared.high[at]),
                known(effect[at]),
                known(found.t[at]),
                known(band_low[at]) if decides else None,
                known(band_high[at]) if decides else None,
                known(compared.margins[at]),
                known((above[at] + norm.ppf(POWER)) * found.error[at]) if decides else None,
                known(compared.tests[at]),
                known(corrected[at]),
                decides,
            )
        )
    return listed


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
    """Give a number, or None in place of NaN: what could not be computed is said to be missing."""
    return float(value) if math.isfinite(value) else None
