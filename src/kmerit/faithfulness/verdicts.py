"""Verdicts: is a method's ranking better than rankings that know nothing of the model?

The endpoint is fixed beforehand: the area over the perturbation curve (AOPC) of the explained class's logit, the most
relevant nucleotides first, each replaced by one of the three others. Every number comes from a curve's raw outcomes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from kmerit.errors import UsageError
from kmerit.faithfulness.bounds import is_bound
from kmerit.faithfulness.controls import CONTROLS, NEAREST, OTHER, SHIFTED, is_control, ranking_of
from kmerit.faithfulness.floor import Floor, floors
from kmerit.faithfulness.outcomes import Outcomes
from kmerit.statistics import holm, mcnemar, mean_differences
from kmerit.types import Bool, Floats, MutagenesisCurve

OPERATOR, ORDER = "random_other", "morf"
FAITHFUL, WORSE, SAME, UNDECIDED = "faithful", "worse than control", "not distinguishable", "undecided"
FEWEST = 10
"""Below so many clusters of sequences nothing is decided: a bootstrap of so few says little of their spread."""
ENOUGH = 200
"""From so many on, the intervals' coverage was simulated; below, a verdict carries a warning."""
MANY_TIES = 0.1
"""Above this share of tied positions a verdict carries a warning."""


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
        decides: Whether there are enough clusters for this comparison to count.
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


@dataclass(frozen=True)
class Verdict:
    """The report card of one method on one class.

    Attributes:
        method: Its name.
        label: The class, by number.
        class_name: The class, by name.
        verdict: ``faithful``: the excess lies above 0 against every control; ``worse than control``: below 0 against
            any; ``not distinguishable`` otherwise; ``undecided``: it could not be computed, the warnings say why.
        control: The control that decided: the one whose interval reaches lowest (for ``worse``: ends lowest).
        excess: The excess over that control, in logits.
        low: Of its 95 % interval.
        high: Of its 95 % interval.
        p_value: McNemar's against that control.
        p_holm: The same, corrected for the number of methods.
        aopc: The method's own AOPC, in logits.
        sequences: How many sequences of the class took part.
        comparisons: With every control that was formed.
        warnings: What must be known beside it, in sentences.
    """

    method: str
    label: int
    class_name: str
    verdict: str
    control: str | None
    excess: float | None
    low: float | None
    high: float | None
    p_value: float | None
    p_holm: float | None
    aopc: float | None
    sequences: int
    comparisons: tuple[Comparison, ...] = ()
    warnings: tuple[str, ...] = field(default=())


def judge(curve: MutagenesisCurve, *, resamples: int = 2000, seed: int = 0) -> list[Verdict]:
    """Give every method its verdict on every class.

    A method and a control are compared sequence by sequence, draw of alleles by draw of alleles; sequences are
    resampled by cluster. Classes are the true labels; without labels, what the model calls the unmutated sequences.

    Args:
        curve: Raw outcomes with controls, from `trial` or from ``mutate(..., controls=CONTROLS)``.
        resamples: Bootstrap draws of each interval.
        seed: Of those draws.

    Returns:
        By class, then method, in the order of the curve.

    Raises:
        UsageError: The curve has no outcomes of ``random_other``, most relevant first.

    Example:
        >>> import kmerit as km
        >>> model = km.load_model("bundled:promoter")
        >>> sequences = km.Sequences.from_strings(["TATAAAGGCGCGCC" * 4, "ACGTTGCAACGGTT" * 4], labels=[1, 0])
        >>> scores = km.attribute(model, sequences, ["lrp"])
        >>> curve = km.mutate(model, sequences, scores, counts=[5], replicates=1, controls=["random", "shifted"])
        >>> [(verdict.class_name, verdict.method, verdict.verdict) for verdict in judge(curve)]
        [('background', 'lrp', 'undecided'), ('promoter', 'lrp', 'undecided')]
    """
    outcomes = Outcomes(curve, "predicted" if curve.labels is None else "label")
    scale = _Scale(outcomes)
    names = class_names(curve, outcomes)
    floor = {each.label: each for each in floors(curve) if each.operator == OPERATOR}
    verdicts = []
    for label, name in names.items():
        of_class = outcomes.classes == label
        compared = _comparisons(outcomes, scale, of_class, resamples, seed)
        for method in scale.methods:
            warnings = _warnings(curve, method, of_class, floor.get(label))
            verdicts.append(_verdict(method, label, name, scale, of_class, compared[method], warnings))
    return verdicts


def class_names(curve: MutagenesisCurve, outcomes: Outcomes) -> dict[int, str]:
    """Name every class by its number, those without a sequence, too."""
    if outcomes.regression:
        return {0: "all"}
    known = list(curve.settings.get("classes", ()))
    there = int(outcomes.classes.max()) + 1
    return {i: known[i] if i < len(known) else f"class {i}" for i in range(max(there, outcomes.outputs, len(known)))}


class _Scale:
    """The endpoint of every ranking, ``[sequence, draw]``, and whether its call of draw 0 is right, ``[sequence]``."""

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
        self.count = int(below.max()) if len(below) else int(groups[chosen]["n"].max())
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


def _comparisons(
    outcomes: Outcomes, scale: _Scale, of_class: Bool, resamples: int, seed: int
) -> dict[str, list[Comparison]]:
    """Compare every method with every control that the curve has, on one class."""
    pairs = [
        (method, control)
        for method in scale.methods
        for control in CONTROLS
        if ranking_of(control, method) in scale.aopc
    ]
    if not of_class.any() or not pairs:
        return {method: [] for method in scale.methods}
    differences = [scale.aopc[m] - scale.aopc[ranking_of(c, m)] for m, c in pairs]
    clusters = None if outcomes.clusters is None else outcomes.clusters[of_class]
    table = np.stack([mean_over_draws(each[of_class]) for each in differences], axis=1)
    found = mean_differences(table, clusters=clusters, resamples=resamples, seed=seed)
    tests = [math.nan if outcomes.regression else _mcnemar(scale, m, c, of_class) for m, c in pairs]
    corrected = np.full(len(pairs), np.nan)
    for control in CONTROLS:
        same = [at for at, (_, other) in enumerate(pairs) if other == control]
        corrected[same] = holm([tests[at] for at in same])
    compared: dict[str, list[Comparison]] = {method: [] for method in scale.methods}
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
                    bool(found.clusters[at] >= FEWEST),
                )
            )
    return compared


def mean_over_draws(values: Floats) -> Floats:
    """Average ``[sequence, draw]`` over the draws that a sequence has; NaN where it has none."""
    there = np.isfinite(values)
    with np.errstate(invalid="ignore"):
        return np.asarray(np.where(there, values, 0.0).sum(axis=1) / there.sum(axis=1))


def _mcnemar(scale: _Scale, method: str, control: str, of_class: Bool) -> float:
    rankings = (method, ranking_of(control, method))
    if any(ranking not in scale.correct for ranking in rankings):
        return math.nan
    own, other = (scale.correct[ranking][of_class] for ranking in rankings)
    both = np.isfinite(own) & np.isfinite(other)
    return mcnemar(own[both] > 0.5, other[both] > 0.5)


def known(value: float) -> float | None:
    """Give a number, or None in place of NaN: what could not be computed is said to be missing."""
    return float(value) if math.isfinite(value) else None


def _verdict(
    method: str,
    label: int,
    name: str,
    scale: _Scale,
    of_class: Bool,
    comparisons: Sequence[Comparison],
    warnings: list[str],
) -> Verdict:
    own = mean_over_draws(scale.aopc[method][of_class])
    sequences = int(np.isfinite(own).sum())
    usable = [each for each in comparisons if each.decides]
    missing = [control for control in CONTROLS if control not in {each.control for each in comparisons}]
    below = [each for each in usable if each.high is not None and each.high < 0]
    unclear = [each for each in usable if each.low is not None and each.low <= 0]
    if below:
        verdict, decided = WORSE, min(below, key=lambda each: each.high or 0.0)
    elif usable:
        decided = min(usable, key=lambda each: math.inf if each.low is None else each.low)
        complete = len(usable) == len(CONTROLS)
        verdict = SAME if unclear else FAITHFUL if complete else UNDECIDED
    else:
        verdict, decided = UNDECIDED, None
    warnings = [*_unformed(missing, comparisons, sequences), *_few(decided), *warnings]
    if verdict == SAME and decided is not None and decided.detectable is not None:
        warnings.append(f"An excess below {decided.detectable:.3g} logits would have gone unseen (power 80 %).")
    chosen = decided or Comparison("", 0, 0, None, None, None, None, None, None, None, decides=False)
    return Verdict(
        method=method,
        label=label,
        class_name=name,
        verdict=verdict,
        control=chosen.control or None,
        excess=chosen.excess,
        low=chosen.low,
        high=chosen.high,
        p_value=chosen.p_value,
        p_holm=chosen.p_holm,
        aopc=known(float(np.nanmean(own))) if sequences else None,
        sequences=sequences,
        comparisons=tuple(comparisons),
        warnings=tuple(warnings),
    )


def _few(decided: Comparison | None) -> list[str]:
    """Warn of intervals that are too narrow, as those of few independent sequences are."""
    if decided is None or decided.clusters >= ENOUGH:
        return []
    return [
        f"Few independent sequences ({decided.clusters}): below {ENOUGH} a 95 % interval covers somewhat less than "
        f"95 %, some 85 to 90 % at {FEWEST}."
    ]


_WHY = {
    SHIFTED: f"a sequence of {2 * NEAREST} nt or fewer has no place far from where its scores began",
    OTHER: "it needs another sequence of the same class and length",
}


def _unformed(missing: Sequence[str], comparisons: Sequence[Comparison], sequences: int) -> list[str]:
    """Say which controls there are not, for which sequences, and which have too few to count."""
    if not sequences:
        return ["No sequence of this class took part, so nothing can be said of it."]
    told = []
    for control in missing:
        why = f" ({_WHY[control]})" if control in _WHY else ""
        told.append(f"The control {control} was not formed{why}, and being faithful means to beat every control.")
    for each in comparisons:
        if each.sequences < sequences:
            why = f" ({_WHY[each.control]})" if each.control in _WHY else ""
            told.append(f"The control {each.control} exists for {each.sequences} of {sequences} sequences{why}.")
    few: dict[int, list[str]] = {}
    for each in comparisons:
        if not each.decides:
            few.setdefault(each.clusters, []).append(each.control)
    told += [
        f"Compared with {', '.join(names)} on {count} independent sequences; {FEWEST} are needed to decide."
        for count, names in few.items()
    ]
    return told


def _warnings(curve: MutagenesisCurve, method: str, of_class: Bool, floor: Floor | None) -> list[str]:
    """Say what else could mislead a reader of this method's verdict on this class."""
    told, count = [], int(of_class.sum())
    if floor is not None and floor.explains:
        told.append(floor.sentence)
    members = np.flatnonzero(of_class)
    constant = np.isin(members, curve.settings.get("constant", {}).get(method, ()))
    if constant.any():
        told.append(
            f"All scores of {int(constant.sum())} of {count} sequences are equal, all zero say: their order is drawn."
        )
    unknown = np.isin(members, curve.settings.get("nonfinite", {}).get(method, ()))
    if unknown.any():
        told.append(
            f"{int(unknown.sum())} of {count} sequences have scores that are not finite; such positions come last."
        )
    shares = np.asarray(curve.settings.get("tie_shares", {}).get(method, np.zeros(of_class.size)))[of_class]
    if count and shares.mean() > MANY_TIES:
        told.append(f"{shares.mean():.0%} of the positions have a score that another position has too; ties are drawn.")
    return told
