"""Verdicts: is a method's ranking better than rankings that know nothing of the model?

Every number comes from a curve's raw outcomes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from kmerit.errors import UsageError
from kmerit.faithfulness.caveats import (
    degenerate,
    explained_for_another,
    few_sequences,
    footprint,
    unformed,
    unseen,
)
from kmerit.faithfulness.comparisons import OPERATOR, Comparison, Endpoint, compare, known, mean_over_draws
from kmerit.faithfulness.controls import CONTROLS
from kmerit.faithfulness.floor import Floor, floors
from kmerit.faithfulness.outcomes import Outcomes
from kmerit.types import Bool, MutagenesisCurve

LEAST = 40
"""Resamples that reach beyond 2.5 % on either side."""
FAITHFUL, WORSE, SAME, UNDECIDED = "faithful", "worse than control", "not distinguishable", "undecided"


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
    warnings: tuple[str, ...] = ()


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
        UsageError: The curve has no outcomes of ``random_other``, most relevant first, or is of values; too few
            resamples.

    Example:
        >>> import kmerit as km
        >>> model = km.load_model("bundled:promoter")
        >>> sequences = km.Sequences.from_strings(["TATAAAGGCGCGCC" * 4, "ACGTTGCAACGGTT" * 4], labels=[1, 0])
        >>> scores = km.attribute(model, sequences, ["lrp"])
        >>> curve = km.mutate(model, sequences, scores, counts=[5], replicates=1, controls=["random", "shifted"])
        >>> [(verdict.class_name, verdict.method, verdict.verdict) for verdict in judge(curve)]
        [('background', 'lrp', 'undecided'), ('promoter', 'lrp', 'undecided')]
    """
    if resamples < LEAST:
        raise UsageError(f"resamples: expected {LEAST} or more, which a 95 % interval needs, got {resamples}.")
    outcomes = Outcomes(curve, "predicted" if curve.labels is None else "label")
    if outcomes.regression:
        raise UsageError(
            "This curve is of a model that predicts values; verdicts compare classes, and are not yet made for values. "
            "Its drops are in the summary."
        )
    endpoint = Endpoint(outcomes)
    names = class_names(curve, outcomes)
    floor = {each.label: each for each in floors(curve) if each.operator == OPERATOR}
    verdicts = []
    for label, name in names.items():
        rows = outcomes.classes == label
        compared = compare(outcomes, endpoint, rows, resamples, seed)
        own = rows & (outcomes.targets == label)
        apart = {} if own.sum() == rows.sum() else compare(outcomes, endpoint, own, resamples, seed)
        for method in endpoint.methods:
            found = _verdict(method, label, name, endpoint, rows, compared[method])
            told = [
                *unformed(curve, endpoint, found.comparisons, found.sequences),
                *few_sequences(found.comparisons, found.control),
                *(unseen(found.comparisons, found.control) if found.verdict == SAME else []),
                *(footprint(outcomes, endpoint, method, rows, found.comparisons) if found.verdict == WORSE else []),
                *explained_for_another(own[rows], apart.get(method, []), found.control),
                *_explained_by(floor.get(label)),
                *degenerate(curve, method, rows),
            ]
            verdicts.append(replace(found, warnings=tuple(told)))
    return verdicts


def class_names(curve: MutagenesisCurve, outcomes: Outcomes) -> dict[int, str]:
    """Name every class by its number, those without a sequence, too."""
    if outcomes.regression:
        return {0: "all"}
    known = list(curve.settings.get("classes", ()))
    there = int(outcomes.classes.max()) + 1
    return {i: known[i] if i < len(known) else f"class {i}" for i in range(max(there, outcomes.outputs, len(known)))}


def _explained_by(floor: Floor | None) -> list[str]:
    return [] if floor is None or not floor.explains else [floor.sentence]


def _verdict(
    method: str, label: int, name: str, endpoint: Endpoint, rows: Bool, comparisons: Sequence[Comparison]
) -> Verdict:
    """Decide, and leave the warnings to others."""
    own = mean_over_draws(endpoint.aopc[method][rows])
    sequences = int(np.isfinite(own).sum())
    usable = [each for each in comparisons if each.decides]
    below = [each for each in usable if each.high is not None and each.high < 0]
    unclear = [each for each in usable if each.low is None or each.low <= 0]
    if below:
        verdict, decided = WORSE, min(below, key=lambda each: each.high or 0.0)
    elif usable:
        decided = min(usable, key=lambda each: math.inf if each.low is None else each.low)
        verdict = SAME if unclear else FAITHFUL if len(usable) == len(CONTROLS) else UNDECIDED
    else:
        verdict, decided = UNDECIDED, None
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
    )
