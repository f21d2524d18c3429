"""Verdicts against a known truth: thresholds, the second truth, and what counts as agreement."""

import pytest
from scipy.stats import beta

from kmerit.trials.truth import DOES_NOT, FINDS, UNCLEAR, Case, agreement, truth_of
from kmerit.trials.verdicts import FAITHFUL, SAME, UNDECIDED, WORSE
from kmerit.uncertainty import Interval


@pytest.mark.parametrize(
    ("mask", "needed", "truth"),
    [
        (Interval(0.65, 0.6, 0.7), None, FINDS),
        (Interval(0.64, 0.6, 0.7), None, UNCLEAR),
        (Interval(0.52, 0.5, 0.549), None, DOES_NOT),
        (Interval(0.52, 0.5, 0.55), None, UNCLEAR),
        (Interval(0.40, 0.3, 0.5), Interval(0.7, 0.6, 0.8), FINDS),  # the letters that the model needs
        (Interval(0.40, 0.3, 0.5), Interval(0.5, 0.4, 0.6), UNCLEAR),
        (Interval(0.40, 0.3, 0.5), Interval(0.5, 0.4, 0.54), DOES_NOT),
        (Interval(float("nan"), float("nan"), float("nan")), None, UNCLEAR),
    ],
)
def test_a_ranking_finds_misses_or_neither(mask: Interval, needed: Interval | None, truth: str) -> None:
    assert truth_of("auroc", *(each for each in (mask, needed) if each is not None)) == truth


def case(truth: str, verdict: str, hard: str = "", sequences: int = 200) -> Case:
    return Case("set", "lrp", hard, truth, verdict, sequences)


def test_what_agrees() -> None:
    result = agreement(
        [
            case(FINDS, FAITHFUL),
            case(FINDS, SAME),  # wrong
            case(FINDS, UNDECIDED),  # wrong: 200 sequences should tell
            case(FINDS, UNDECIDED, sequences=150),  # left out
            case(DOES_NOT, UNDECIDED),
            case(DOES_NOT, WORSE, "turned"),
            case(DOES_NOT, FAITHFUL, "wrong class"),  # wrong
            case(FINDS, FAITHFUL, "early layer"),  # it finds, and so is no hard negative
            case(UNCLEAR, FAITHFUL, "turned"),
        ]
    )
    assert (result.cases, result.agree, result.unclear, result.hard, result.acquitted) == (7, 4, 1, 2, 1)
    assert result.lower == pytest.approx(beta.ppf(0.05, 4, 4))
