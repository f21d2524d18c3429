"""What must be known with a verdict, in sentences."""

from __future__ import annotations

from collections.abc import Sequence

from kmerit.faithfulness.comparisons import Comparison
from kmerit.faithfulness.controls import CONTEXT, CONTROLS, DECIDING, NEAREST, OTHER, RANDOM, SHIFTED
from kmerit.faithfulness.endpoint import Endpoint
from kmerit.faithfulness.prospects import FEWEST, Prospect
from kmerit.types import Bool, Outcomes

ENOUGH = 50
"""From so many on, intervals of skewed differences miss the truth less than twice as often as they should; below, a
verdict carries a warning."""
MANY_TIES = 0.1
"""Above this share of tied positions a verdict carries a warning."""


def undecidable(expected: Prospect) -> list[str]:
    """Say that a class cannot be decided, as was said before any mutant was classified."""
    return [expected.sentence] if not expected.decides and expected.sequences else []


def few_sequences(comparisons: Sequence[Comparison], control: str | None) -> list[str]:
    """Warn of intervals that are too narrow, as those of few independent sequences are where differences are skewed."""
    return [
        f"Few independent sequences ({each.clusters}): below {ENOUGH} a 95 % interval of skewed differences misses the "
        f"truth on one side in 5 to 10 % of cases, where 2.5 % are nominal."
        for each in comparisons
        if each.control == control and each.clusters < ENOUGH
    ]


def unmeasured_margin(comparisons: Sequence[Comparison]) -> list[str]:
    """Say that an excess cannot be called none where nobody knows what could be reached."""
    if not any(each.decides and each.margin is None for each in comparisons if each.control in DECIDING):
        return []
    return [
        f"Exact in-silico mutagenesis was done for fewer than {FEWEST} of these sequences, or reaches nothing: so "
        f"there is no margin, and nothing is called no better than its controls."
    ]


def mistaken_stratum(count: int, comparisons: Sequence[Comparison], control: str | None) -> list[str]:
    """Say how many sequences the model mistakes, and what a method's excess is on them alone."""
    if not count:
        return []
    text = f"{count} more that the model mistakes are a stratum of their own, not judged"
    found = next((each for each in comparisons if each.control == control and each.low is not None), None)
    if found is None:
        return [f"{text}."]
    if found.clusters < FEWEST:
        return [f"{text}; on them the excess over {control} is {found.excess:.3f}, and they are too few for more."]
    return [
        f"{text}; on them the excess over {control} is {found.excess:.3f} (95 % interval {found.low:.3f} to "
        f"{found.high:.3f})."
    ]


def explained_for_another(outcomes: Outcomes, rows: Bool, label: int) -> list[str]:
    """Say of how many of the sequences another class is explained than the card's."""
    count = int((outcomes.targets[rows] != label).sum())
    return [f"{count} of {int(rows.sum())} sequences are explained for another class."] if count else []


_WHY = {
    SHIFTED: f"a sequence of {2 * NEAREST} nt or fewer has no place far from where its scores began",
    OTHER: "it needs another sequence of the same class and length, explained for the same class",
}


def unformed(outcomes: Outcomes, endpoint: Endpoint, comparisons: Sequence[Comparison], sequences: int) -> list[str]:
    """Say which controls there are not, for which sequences, and which have too few to count."""
    if not sequences:
        return ["No sequence of this class that the model calls so took part, so nothing can be said of it."]
    if not endpoint.ranked:
        return ["Nothing between 0 and all nucleotides was mutated, so all rankings mutate the same ones."]
    found = []
    asked = {*outcomes.settings.get("controls", ()), *([RANDOM] if outcomes.settings.get("random_sets") else [])}
    for control in CONTROLS:
        if control not in {each.control for each in comparisons} and control != RANDOM:
            why = f": {_WHY[control]}" if control in _WHY else ""
            what = f"could not be formed{why}" if control in asked else "was not asked for"
            then = "beyond composition is not answered" if control == CONTEXT else "nothing is claimed without it"
            found.append(f"The control {control} {what}; {then}.")
    for each in comparisons:
        if each.sequences < sequences:
            why = f": {_WHY[each.control]}" if each.control in _WHY else ""
            found.append(f"The control {each.control} exists for {each.sequences} of {sequences} sequences{why}.")
    few: dict[int, list[str]] = {}
    for each in comparisons:
        if each.clusters < FEWEST:
            few.setdefault(each.clusters, []).append(each.control)
    found += [
        f"Compared with {', '.join(names)} on {count} independent sequences; {FEWEST} are needed to decide."
        for count, names in few.items()
    ]
    return found


def joined_contexts(outcomes: Outcomes, comparisons: Sequence[Comparison]) -> list[str]:
    """Say how many positions had too few others of their context, for the control ``context``."""
    joined = outcomes.diagnostics.get("context_strata")
    if not joined or all(each.control != CONTEXT for each in comparisons):
        return []
    text = (
        f"context: of {joined['positions']:,} positions, {joined['joined_quarters']:,} joined another quarter of the "
        f"sequence and {joined['joined_gc']:,} another GC count, as fewer than five had their context"
    )
    return [f"{text}; {joined['alone']:,} have none to exchange with." if joined["alone"] else f"{text}."]


def degenerate(outcomes: Outcomes, method: str, rows: Bool) -> list[str]:
    """Say how many sequences of a class have scores that hold no order, and how much of it is drawn."""
    found, count = [], int(rows.sum())
    withheld = outcomes.of_method("withheld", method)[rows]
    if withheld.any():
        found.append(
            f"{int(withheld.sum())} of {count} sequences take no part: their scores were withheld, for they miss what "
            f"they should add up to."
        )
    constant = outcomes.of_method("constant", method)[rows]
    if constant.any():
        found.append(
            f"All scores of {int(constant.sum())} of {count} sequences are equal (for example all zero), so they were "
            f"ranked at random."
        )
    unknown = (outcomes.of_method("nonfinite", method)[rows] > 0) & ~withheld
    if unknown.any():
        found.append(
            f"{int(unknown.sum())} of {count} sequences have scores that are not finite; such positions come last."
        )
    shares = (outcomes.of_method("tied", method) / outcomes.lengths)[rows]
    if count and shares.mean() > MANY_TIES:
        found.append(
            f"{shares.mean():.0%} of the positions have a score that another position has too; ties are ranked at "
            f"random."
        )
    return found
