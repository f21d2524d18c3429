"""The floor: what the model answers when nothing of a sequence is left, and whether that is all there is to a fall."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

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
            found.append(
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
    return found


def _outcome(
    is_default: bool, fall: float, difference: float | None, low: float | None, high: float | None
) -> FloorOutcome:
    if difference is None:
        return "alone"
    if low is None or high is None:
        return "too_few"
    if not low <= 0 <= high:
        return "kept"
    if max(-low, high) > SAME:
        return "too_few"
    if is_default:
        return "default"
    return "explained" if fall >= COLLAPSE else "no_fall"


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
