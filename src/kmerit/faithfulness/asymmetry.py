"""What of a trial's outcome is about the data set: the ranking of methods, and which class falls further."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from kmerit.errors import CountError
from kmerit.faithfulness.bounds import is_bound
from kmerit.faithfulness.controls import is_control
from kmerit.faithfulness.endpoint import OPERATOR, ORDER, mean_over_draws
from kmerit.statistics import Interval, bootstrap_interval
from kmerit.types import Floats, Int64, Outcomes

if TYPE_CHECKING:
    import pandas as pd

Drops = Mapping[str, Mapping[int, float]]
"""By method and label: accuracy lost."""
EQUAL = 0.02
"""Classes whose drops differ by no more are called equal."""


def drops(summary: pd.DataFrame, n: int) -> dict[str, dict[int, float]]:
    """Take from a summary how much accuracy each method's first ``n`` nucleotides cost each class.

    Args:
        summary: Of :func:`kmerit.faithfulness.summarise`, most relevant first, with the counts 0 and ``n``.
        n: Substitutions.

    Raises:
        CountError: The summary lacks one of the counts.

    Example:
        >>> import pandas as pd
        >>> rows = [(0, "lrp", 0, 0.9), (0, "lrp", 20, 0.6), (1, "lrp", 0, 0.8), (1, "lrp", 20, 0.75)]
        >>> table = pd.DataFrame(rows, columns=["label", "method", "n", "accuracy"]).assign(full=False, order="morf")
        >>> {label: round(drop, 2) for label, drop in drops(table, 20)["lrp"].items()}
        {0: 0.3, 1: 0.05}
    """
    kept = summary[~summary["full"] & (summary["order"] == "morf") & summary["n"].isin([0, n])]
    found: dict[str, dict[int, float]] = {}
    for key, rows in kept.groupby(["method", "label"], sort=True, observed=True):
        method, label = str(key[0]), int(str(key[1]))
        accuracy = dict(zip(rows["n"], rows["accuracy"], strict=True))
        if set(accuracy) != {0, n}:
            raise CountError(f"{method}: the drop at n = {n} needs outcomes at n = 0 and n = {n}.")
        found.setdefault(method, {})[label] = float(accuracy[0] - accuracy[n])
    if not found:
        raise CountError(f"The summary has no outcomes at n = 0 and n = {n}, most relevant first.")
    return found


def falls(outcomes: Outcomes, n: int | None, control: str | None = None) -> Floats:
    """Say how much of its accuracy every sequence loses, most relevant first, under ``random_other``.

    Args:
        outcomes: Of a trial.
        n: Substitutions; None: all.
        control: Of which ranking; None: the mean over the methods, without controls and bounds.

    Returns:
        ``[sequence]``, between -1 and 1, mean over draws; NaN where a sequence takes no part.

    Raises:
        CountError: There are no such mutants.

    Example:
        >>> import kmerit as km
        >>> model = km.load_model("bundled:promoter")
        >>> sequences = km.Sequences.from_strings(["TATAAAGGCGCGCC" * 4, "ACGTTGCAACGGTT" * 4], labels=[1, 0])
        >>> outcomes = km.mutate(model, sequences, km.attribute(model, sequences, ["lrp"]), counts=[5], replicates=1)
        >>> falls(outcomes, 5).shape
        (2,)
    """
    groups = outcomes.groups
    here = (groups["operator"] == OPERATOR) & (groups["order"] == ORDER)
    here &= groups["full"] if n is None else (groups["n"] == n) & ~groups["full"]
    names = groups["method"].astype(str)
    here &= names == control if control else ~names.map(lambda name: is_control(name) or is_bound(name))
    if not here.any():
        of, count = control or "a method", "all" if n is None else n
        raise CountError(f"There are no outcomes of {of} at n = {count}, most relevant first. Mutate with them.")
    lost = outcomes.drops("accuracy")[here.to_numpy()]
    return mean_over_draws(np.moveaxis(lost, 1, 0).reshape(lost.shape[1], -1))


def class_difference(
    values: Floats, labels: Int64, *, clusters: Int64 | None = None, resamples: int = 2000, seed: int = 0
) -> Interval:
    """Take the mean of class 0 from that of class 1, with a 95 % bootstrap interval over sequences.

    Args:
        values: ``[sequence]``; a sequence without one (NaN) is left out.
        labels: ``[sequence]``, 0 or 1.
        clusters: ``[sequence]``; sequences of one cluster are drawn together.
        resamples: Bootstrap draws.
        seed: Of those draws.

    Example:
        >>> class_difference(np.array([0.1, 0.3, 0.2, 0.4]), np.array([0, 0, 1, 1])).value.__round__(2)
        0.1
    """
    there = np.isfinite(values)
    filled = np.where(there, values, 0.0)

    def difference(weights: Floats) -> Floats:
        shares = [weights * (there & (labels == label)) for label in (0, 1)]
        with np.errstate(invalid="ignore"):
            zero, one = (share @ filled / share.sum(axis=-1) for share in shares)
        return np.asarray(one - zero)

    return bootstrap_interval(difference, values.size, clusters=clusters, resamples=resamples, seed=seed)


def ranking(found: Drops) -> list[str]:
    """Order methods by their mean drop over the classes, the largest first; controls are left out."""
    means = {method: float(np.mean(list(by_label.values()))) for method, by_label in found.items()}
    return sorted((method for method in means if not is_control(method)), key=lambda method: (-means[method], method))


def falls_further(found: Drops) -> int | None:
    """Name the class that loses most accuracy, averaged over methods; None if the first two lose equally much."""
    methods = [method for method in found if not is_control(method)]
    labels = sorted({label for method in methods for label in found[method]})
    means = {label: float(np.mean([found[method][label] for method in methods])) for label in labels}
    first, *rest = sorted(means, key=lambda label: -means[label])
    return None if rest and means[first] - means[rest[0]] <= EQUAL else first


def changes(names: tuple[str, str], first: Drops, second: Drops) -> list[str]:
    """Warn of what is another in a second data set: the ranking of methods, the class that falls further.

    Args:
        names: Of the two data sets.
        first: Drops in the first.
        second: Drops in the second, of the same methods.

    Returns:
        Sentences; none if nothing changed.

    Example:
        >>> changes(("a", "b"), {"lrp": {0: 0.3, 1: 0.1}}, {"lrp": {0: 0.1, 1: 0.3}})
        ['The class that falls further changes: 0 with a, 1 with b.']
    """
    from scipy.stats import kendalltau

    told = []
    one, two = ranking(first), ranking(second)
    if one != two:
        tau = kendalltau([two.index(method) for method in one], range(len(one))).statistic
        told.append(
            f"The ranking of methods changes (Kendall's tau {tau:.2f}): {', '.join(one)} with {names[0]}, "
            f"{', '.join(two)} with {names[1]}."
        )
    before, after = falls_further(first), falls_further(second)
    if before != after:
        spelt = ["neither" if label is None else str(label) for label in (before, after)]
        told.append(f"The class that falls further changes: {spelt[0]} with {names[0]}, {spelt[1]} with {names[1]}.")
    return told
