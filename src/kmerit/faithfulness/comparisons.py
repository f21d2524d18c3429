"""The endpoint of a trial, and methods beside their controls: sequence by sequence, draw of alleles by draw.

The endpoint is fixed beforehand: the area over the perturbation curve (AOPC) of the explained class's logit, the most
relevant nucleotides first, each replaced by one of the three others.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from kmerit.errors import UsageError
from kmerit.faithfulness.bounds import is_bound
from kmerit.faithfulness.controls import CONTROLS, is_control, ranking_of
from kmerit.faithfulness.outcomes import Outcomes
from kmerit.statistics import holm, mcnemar, mean_differences
from kmerit.types import Bool, Floats

OPERATOR, ORDER = "random_other", "morf"
FEWEST = 10
"""Below so many clusters of sequences nothing is decided: a bootstrap of so few says little of their spread."""


@dataclass(frozen=True)
class Comparison:
    """A method beside one control, on the same sequences with the same alleles.

    Attributes:
        control: ``random``, ``shifted``, ``other`` or ``blurred_random``.
        sequences: How many could be compared.
        clusters: In how many clusters they lie.
        excess: AOPC of the method less that of the control, in logits; None where nothing could be compared.
        low: Of its 95 % interval.
        high: Of its 95 % interval.
        effect_size: The excess in standard deviations over sequences; None where all differences are equal.
        detectable: The smallest excess that so many sequences would show, with a power of 80 %.
        p_value: McNemar's, of the calls on draw 0 at the largest n below all.
        p_holm: The same, corrected for the number of methods.
        decides: Whether there is an interval, and enough clusters for it to count.
    """

    control: str
    sequences: int
    clusters: int
    excess: float | None
    low: float | None
    high: float | None
    effect_size: float | None
    detectable: float | None
    p_value: float | None
    p_holm: float | None
    decides: bool


class Endpoint:
    """The endpoint of every ranking, and whether its calls are right.

    Attributes:
        methods: The rankings that are judged, in the order of the curve.
        ranked: Whether there is an n below all; where every nucleotide is mutated, all rankings are one.
        count: The largest n below all.
        aopc: By ranking ``[sequence, draw]``, in logits; NaN where a sequence takes no part.
        correct: By ranking ``[sequence]``, whether the call of draw 0 at ``count`` is right.
    """

    def __init__(self, outcomes: Outcomes) -> None:
        groups = outcomes.groups
        chosen = (groups["operator"] == OPERATOR) & (groups["order"] == ORDER) & (groups["n"] > 0)
        if not chosen.any():
            raise UsageError(
                f"A verdict needs the operator {OPERATOR}, the order {ORDER} and a count above 0; this curve has none. "
                f"Run mutate with them, or trial."
            )
        drops = outcomes.drops("logit")
        below = groups[chosen & ~groups["full"]]["n"]
        self.ranked = len(below) > 0
        self.count = int(below.max()) if self.ranked else int(groups[chosen]["n"].max())
        there = set(groups[chosen]["method"].astype(str))
        rankings = [name for name in outcomes.methods if name in there and not is_bound(name)]
        self.methods = [name for name in rankings if not is_control(name)]
        self.aopc: dict[str, Floats] = {}
        self.correct: dict[str, Floats] = {}
        for ranking in rankings:
            here = chosen & (groups["method"] == ranking)
            self.aopc[ranking] = drops[here.to_numpy()].mean(axis=0)
            at = groups.index[here & (groups["n"] == self.count)]
            if len(at):
                self.correct[ranking] = outcomes.per_draw(outcomes.correct, int(at[0]))[:, 0]


def compare(
    outcomes: Outcomes, endpoint: Endpoint, rows: Bool, resamples: int, seed: int
) -> dict[str, list[Comparison]]:
    """Compare every method with every control that the curve has.

    Args:
        outcomes: Of the curve.
        endpoint: Of the same outcomes.
        rows: ``bool [sequence]``, those that are compared.
        resamples: Bootstrap draws of each interval, over clusters of sequences.
        seed: Of those draws.

    Returns:
        By method, in the order of ``CONTROLS``; a control that has none of the rows is left out.
    """
    pairs = [
        (method, control)
        for method in endpoint.methods
        for control in CONTROLS
        if ranking_of(control, method) in endpoint.aopc
    ]
    if not rows.any() or not pairs or not endpoint.ranked:
        return {method: [] for method in endpoint.methods}
    differences = [endpoint.aopc[m] - endpoint.aopc[ranking_of(c, m)] for m, c in pairs]
    clusters = None if outcomes.clusters is None else outcomes.clusters[rows]
    table = np.stack([mean_over_draws(each[rows]) for each in differences], axis=1)
    found = mean_differences(table, clusters=clusters, resamples=resamples, seed=seed)
    tests = [math.nan if outcomes.regression else _mcnemar(endpoint, m, c, rows) for m, c in pairs]
    corrected = np.full(len(pairs), np.nan)
    for control in CONTROLS:
        same = [at for at, (_, other) in enumerate(pairs) if other == control]
        corrected[same] = holm([tests[at] for at in same])
    compared: dict[str, list[Comparison]] = {method: [] for method in endpoint.methods}
    for at, (method, control) in enumerate(pairs):
        if found.rows[at]:
            compared[method].append(
                Comparison(
                    control,
                    int(found.rows[at]),
                    int(found.clusters[at]),
                    known(found.mean[at]),
                    known(found.low[at]),
                    known(found.high[at]),
                    known(found.effect_size[at]),
                    known(found.detectable[at]),
                    known(tests[at]),
                    known(corrected[at]),
                    bool(found.clusters[at] >= FEWEST and math.isfinite(found.low[at])),
                )
            )
    return compared


def mean_over_draws(values: Floats) -> Floats:
    """Average ``[sequence, draw]`` over the draws that a sequence has; NaN where it has none."""
    there = np.isfinite(values)
    with np.errstate(invalid="ignore"):
        return np.asarray(np.where(there, values, 0.0).sum(axis=1) / there.sum(axis=1))


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
