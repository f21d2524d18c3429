"""Verdicts against a known truth: which rankings find what is planted, and whether the trial says so."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from kmerit.faithfulness.verdicts import FAITHFUL, UNDECIDED
from kmerit.statistics import Interval, clopper_pearson

FINDS, DOES_NOT, UNCLEAR = "finds", "does not", "unclear"
FOUND = {"auroc": 0.65, "correlation": 0.2}
"""From this mean on a ranking finds the truth: AUROC of the mask, or rank correlation with the letters' log-odds."""
MISSED = {"auroc": 0.55, "correlation": 0.05}
"""A ranking whose interval ends below it does not find the truth."""
ENOUGH = 200
"""Sequences from which on *undecided* disagrees with a ranking that finds the truth."""


@dataclass(frozen=True)
class Case:
    """One ranking of one planted set.

    Attributes:
        set: Name of the set.
        ranking: The method; with what was done to its scores, of a hard negative.
        hard: What makes it a hard negative: ``turned``, ``another sequence``, ``wrong class``, ``early layer`` or
            ``shuffled labels``; nothing for the method's own scores.
        truth: ``finds``, ``does not`` or ``unclear``.
        verdict: The trial's.
        sequences: How many the verdict rests on.
    """

    set: str
    ranking: str
    hard: str
    truth: str
    verdict: str
    sequences: int


@dataclass(frozen=True)
class Agreement:
    """How often the trial agrees with the truth.

    Attributes:
        cases: With a truth.
        agree: Of those: faithful where the truth is found, and not faithful where it is not; *undecided* of what finds
            the truth counts as disagreement from 200 sequences on, and is left out below.
        lower: Of the share that agrees, the one-sided 95 % bound of Clopper and Pearson; 0 without cases.
        unclear: Cases between, without a truth.
        hard: Hard negatives that do not find the truth.
        acquitted: Of those, how many are called faithful.
    """

    cases: int
    agree: int
    lower: float
    unclear: int
    hard: int
    acquitted: int


def truth_of(measure: str, *found: Interval) -> str:
    """Say whether a ranking finds what is planted.

    Args:
        measure: ``auroc`` or ``correlation``.
        found: Of the mask, and of a second truth where there is one: the letters that the model needs. A mask counts
            every letter of a motif, and a model need not; so it is enough to find either, and what finds neither must
            miss both.

    Example:
        >>> truth_of("auroc", Interval(0.7, 0.6, 0.8)), truth_of("auroc", Interval(0.5, 0.4, 0.54))
        ('finds', 'does not')
        >>> truth_of("auroc", Interval(0.5, 0.4, 0.54), Interval(0.6, 0.5, 0.7))
        'unclear'
    """
    if any(each.value >= FOUND[measure] for each in found):
        return FINDS
    return DOES_NOT if all(each.high < MISSED[measure] for each in found) else UNCLEAR


def agreement(cases: Iterable[Case]) -> Agreement:
    """Count agreement over cases.

    Example:
        >>> one = Case("a", "lrp", "", FINDS, FAITHFUL, 200)
        >>> agreement([one, Case("a", "lrp, turned", "turned", DOES_NOT, UNDECIDED, 200)]).agree
        2
    """
    every = list(cases)
    known = [
        case
        for case in every
        if case.truth != UNCLEAR and not (case.truth == FINDS and case.verdict == UNDECIDED and case.sequences < ENOUGH)
    ]
    agree = sum((case.verdict == FAITHFUL) == (case.truth == FINDS) for case in known)
    hard = [case for case in known if case.hard and case.truth == DOES_NOT]
    return Agreement(
        len(known),
        agree,
        clopper_pearson(agree, len(known), 0.9)[0] if known else 0.0,
        sum(case.truth == UNCLEAR for case in every),
        len(hard),
        sum(case.verdict == FAITHFUL for case in hard),
    )
