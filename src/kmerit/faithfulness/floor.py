"""The floor: what the model answers when nothing of a sequence is left, and whether that is all there is to a fall."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from kmerit.faithfulness.rankings import ORDERS
from kmerit.statistics import bootstrap_means, percentiles
from kmerit.types import Bool, Floats, Int64, Outcomes

COLLAPSE = 0.1
"""From this fall of accuracy on, by full mutation, a class is said to collapse."""
SAME = 0.2
"""Classes are called alike where the interval of their difference holds 0 and reaches no farther than this."""
FEWEST = 2
"""A class of fewer independent sequences has no interval."""
_DIGITS = 9


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
        explains: Whether the default label is all there is to a fall: accuracy falls here by 0.1 or more, the default
            label is another class, and the model calls this class's mutants so as often as those of other classes (the
            interval of the difference holds 0 and lies within 0.2 of it).
        sentence: What that means, in words.
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
    explains: bool
    sentence: str


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
        [('random_other', 'class 0'), ('random_other', 'class 1')]
    """
    if outcomes.regression:
        return []
    names, full, defaults = outcomes.class_names, full_mutations(outcomes), default_labels(outcomes)
    called, correct = (outcomes.per_sequence(each) for each in (called_default(outcomes), outcomes.correct))
    found = []
    for operator, default in defaults.items():
        at = int(full[(outcomes.groups["operator"] == operator).to_numpy() & (full >= 0)][0])
        there = np.isfinite(called[at])
        labels = np.unique(outcomes.classes[there]).tolist()
        members: dict[int, Bool] = {label: there & (outcomes.classes == label) for label in labels}
        rates = {names[label]: float(called[at][rows].mean()) for label, rows in members.items()}
        means = {label: _resampled(called[at], rows, outcomes, resamples, seed) for label, rows in members.items()}
        for label, rows in members.items():
            before, after = float(outcomes.initially_correct[rows].mean()), float(correct[at][rows].mean())
            difference, low, high = _left(label, rates, names, means)
            alike = low is not None and high is not None and -SAME <= low <= 0 <= high <= SAME
            fall = Floor(
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
                explains=label != default and before - after >= COLLAPSE and alike,
                sentence="",
            )
            found.append(replace(fall, sentence=_sentence(fall)))
    return found


def _resampled(called: Floats, rows: Bool, outcomes: Outcomes, resamples: int, seed: int) -> Floats | None:
    """Resample one class's rate, ``[resample]``; None of too few sequences."""
    clusters = outcomes.clusters[rows]
    if np.unique(clusters).size < FEWEST:
        return None
    # Classes are drawn independently of each other, so each has draws of its own.
    own = seed + int(outcomes.classes[rows][0])
    return bootstrap_means(called[rows][:, None], clusters=clusters, resamples=resamples, seed=own)[:, 0]


def _left(
    label: int, rates: dict[str, float], names: dict[int, str], means: dict[int, Floats | None]
) -> tuple[float | None, float | None, float | None]:
    """Compare a class's rate with the mean rate of the others: difference, low, high."""
    others = [other for other in means if other != label]
    if not others:
        return None, None, None
    difference = rates[names[label]] - float(np.mean([rates[names[other]] for other in others]))
    own, theirs = means[label], [draws for other in others if (draws := means[other]) is not None]
    if own is None or len(theirs) < len(others):
        return difference, None, None
    low, high = percentiles((own - np.mean(theirs, axis=0))[:, None])
    # Shares of few sequences hit a limit exactly, but for the last bits of a mean.
    return difference, round(float(low[0]), _DIGITS), round(float(high[0]), _DIGITS)


def _sentence(floor: Floor) -> str:
    name, fall = repr(floor.class_name), f"from {floor.accuracy:.2f} to {floor.floor:.2f}"
    whatever = ", ".join(f"{rate:.0%} of {each}" for each, rate in floor.rates.items())
    calls = f"with every nucleotide mutated ({floor.operator}) the model answers {floor.default_name!r} for {whatever}"
    is_default, falls = floor.label == floor.default_label, floor.accuracy - floor.floor >= COLLAPSE
    if floor.difference is None:
        return f"{calls}; no other class took part, so what full mutation leaves of a class is unknown."
    between = f"{floor.difference:+.0%} against the other{'s' if len(floor.rates) > 2 else ''}"
    too_few = "These are too few sequences to say what full mutation leaves of a class."
    if floor.low is None or floor.high is None:
        return f"{name} goes {fall}: {calls}. {too_few}"
    between += f", 95 % interval {floor.low:+.0%} to {floor.high:+.0%}"
    if floor.explains:
        return (
            f"The floor explains the fall of {name} {fall}: {calls} ({between}), so what collapses is the class that "
            f"is not the model's default answer."
        )
    if not floor.low <= 0 <= floor.high:
        return (
            f"Full mutation does not erase the class: {calls} ({between}). So the default answer is not all that takes "
            f"the accuracy of {name} {fall}: the mutants still differ between classes, in composition for instance."
        )
    if max(-floor.low, floor.high) > SAME:
        return f"{name} goes {fall}: {calls} ({between}). {too_few}"
    if is_default:
        return f"{name} is the model's default answer{f', and yet falls {fall}' if falls else ''}: {calls} ({between})."
    return f"{name} hardly falls towards the floor ({floor.accuracy:.2f} to {floor.floor:.2f}): {calls} ({between})."


def full_mutations(outcomes: Outcomes) -> Int64:
    """Find each group's full mutation: a group's index, -1 where it has none, ``int64 [group]``."""
    groups = outcomes.groups
    restores = groups["order"].map(lambda name: ORDERS[name].restores).to_numpy(dtype=np.bool_)
    at_floor = np.where(restores, groups["n"] == 0, groups["full"])
    curve = groups.groupby(["method", "operator", "order"], observed=True).ngroup().to_numpy()
    found: Int64 = np.full(int(curve.max()) + 1, -1, dtype=np.int64)
    found[curve[at_floor]] = np.flatnonzero(at_floor)
    return found[curve]


def default_labels(outcomes: Outcomes) -> dict[str, int]:
    """Name the label that each operator's full mutation favours, each class counting alike."""
    found: dict[str, int] = {}
    at_floor = np.isin(outcomes.group, full_mutations(outcomes))
    for operator in outcomes.operators:
        cells = at_floor & (outcomes.groups["operator"] == operator).to_numpy()[outcomes.group]
        if outcomes.regression or not cells.any():
            continue
        label, called = outcomes.class_of_cell[cells], outcomes.called[cells]
        given = np.zeros((int(label.max()) + 1, outcomes.outputs))
        np.add.at(given, (label, called), 1)
        given = given[given.sum(axis=1) > 0]
        found[operator] = int((given / given.sum(axis=1, keepdims=True)).mean(axis=0).argmax())
    return found


def called_default(outcomes: Outcomes) -> Floats:
    """Say whether the mutant of each cell is given the default label; NaN where none is known, ``[cell]``."""
    defaults = default_labels(outcomes)
    of_group = outcomes.groups["operator"].astype(str).map(lambda name: defaults.get(name, -1)).to_numpy()
    default = of_group[outcomes.group]
    return np.where(default < 0, np.nan, outcomes.called == default)
