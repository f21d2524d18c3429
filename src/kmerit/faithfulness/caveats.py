"""What must be known beside a verdict, in sentences."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from kmerit.faithfulness.comparisons import FEWEST, OPERATOR, ORDER, Comparison, Endpoint
from kmerit.faithfulness.controls import CONTROLS, NEAREST, OF_A_METHOD, OTHER, RANDOM, SHIFTED
from kmerit.faithfulness.outcomes import Outcomes
from kmerit.types import Bool, MutagenesisCurve

ENOUGH = 200
"""From so many on, the intervals' coverage was simulated; below, a verdict carries a warning."""
MANY_TIES = 0.1
"""Above this share of tied positions a verdict carries a warning."""


def few_sequences(comparisons: Sequence[Comparison], control: str | None) -> list[str]:
    """Warn of intervals that are too narrow, as those of few independent sequences are."""
    return [
        f"Few independent sequences ({each.clusters}): below {ENOUGH} a 95 % interval covers somewhat less than "
        f"95 %, some 85 to 90 % at {FEWEST}."
        for each in comparisons
        if each.control == control and each.clusters < ENOUGH
    ]


def unseen(comparisons: Sequence[Comparison], control: str | None) -> list[str]:
    """Say how small an excess could have gone unseen; nothing where all differences are equal."""
    return [
        f"An excess below {each.detectable:.3g} logits would have gone unseen (power 80 %)."
        for each in comparisons
        if each.control == control and each.detectable
    ]


def footprint(
    outcomes: Outcomes, endpoint: Endpoint, method: str, rows: Bool, comparisons: Sequence[Comparison]
) -> list[str]:
    """Say where only scattered controls find a method worse, and what those say that cluster as it does."""
    lost = [each for each in comparisons if each.decides and each.high is not None and each.high < 0]
    clustered = [each for each in comparisons if each.decides and each.control in OF_A_METHOD]
    if not lost or not clustered or any(each.control in OF_A_METHOD for each in lost):
        return []
    own = _tokens(outcomes, endpoint, method, rows)
    theirs = " and ".join(f"{each.control} {_tokens(outcomes, endpoint, each.control, rows):.0f}" for each in lost)
    beside = " and ".join(f"{each.control} {each.excess:.3f} ({each.low:.3f} to {each.high:.3f})" for each in clustered)
    return [
        f"Equal n is not equal damage: at n = {endpoint.count} this ranking changes {own:.0f} tokens, {theirs}. "
        f"Against controls that cluster as it does it is no worse: {beside}."
    ]


def _tokens(outcomes: Outcomes, endpoint: Endpoint, ranking: str, rows: Bool) -> float:
    groups = outcomes.groups
    here = (groups["method"] == ranking) & (groups["operator"] == OPERATOR) & (groups["order"] == ORDER)
    at = groups.index[here & (groups["n"] == endpoint.count)][0]
    return float(np.nanmean(outcomes.per_sequence(outcomes.tokens_changed)[at][rows]))


def explained_for_another(own: Bool, comparisons: Sequence[Comparison], control: str | None) -> list[str]:
    """Say of how many sequences another class is explained than the card's, and what the others say alone.

    Args:
        own: ``bool [sequence]`` of the class, whether the card's class is the one that is explained.
        comparisons: With every control, on those sequences alone.
        control: The one that decided.
    """
    if own.all():
        return []
    text = f"{int((~own).sum())} of {own.size} sequences are explained for another class, mostly the one they are "
    text += "mistaken for"
    found = next((each for each in comparisons if each.control == control and each.low is not None), None)
    if found is None:
        return [f"{text}."]
    return [
        f"{text}; on the {found.sequences} others the excess over {control} is {found.excess:.3f} ({found.low:.3f} to "
        f"{found.high:.3f})."
    ]


_WHY = {
    SHIFTED: f"a sequence of {2 * NEAREST} nt or fewer has no place far from where its scores began",
    OTHER: "it needs another sequence of the same class and length, explained for the same class",
}


def unformed(
    curve: MutagenesisCurve, endpoint: Endpoint, comparisons: Sequence[Comparison], sequences: int
) -> list[str]:
    """Say which controls there are not, for which sequences, and which have too few to count."""
    if not sequences:
        return ["No sequence of this class took part, so nothing can be said of it."]
    if not endpoint.ranked:
        return ["Nothing between 0 and all nucleotides was mutated, so all rankings mutate the same ones."]
    told = []
    asked = {*curve.settings.get("controls", ()), *([RANDOM] if curve.settings.get("random_sets") else [])}
    for control in CONTROLS:
        if control not in {each.control for each in comparisons}:
            why = f" ({_WHY[control]})" if control in _WHY else ""
            what = f"was not formed{why}" if control in asked else "was not asked for"
            told.append(f"The control {control} {what}, and being faithful means to beat every control.")
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


def degenerate(curve: MutagenesisCurve, method: str, rows: Bool) -> list[str]:
    """Say how many sequences of a class have scores that hold no order, and how much of it is drawn."""
    told, count = [], int(rows.sum())
    members = np.flatnonzero(rows)
    withheld = np.isin(members, curve.settings.get("withheld", {}).get(method, ()))
    if withheld.any():
        told.append(
            f"{int(withheld.sum())} of {count} sequences take no part: their scores were withheld, for they miss what "
            f"they should add up to."
        )
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
    shares = np.asarray(curve.settings.get("tie_shares", {}).get(method, np.zeros(rows.size)))[rows]
    if count and shares.mean() > MANY_TIES:
        told.append(f"{shares.mean():.0%} of the positions have a score that another position has too; ties are drawn.")
    return told
