"""What a number of sequences can show, said beforehand."""

import numpy as np
import pytest
from statsmodels.stats.power import TTestPower

from kmerit.trials.design import LEVEL, POWER, detectable_effect, prospects


@pytest.mark.parametrize(("clusters", "questions"), [(20, 2), (50, 12), (200, 24), (400, 76)])
def test_the_effect_has_the_power_that_it_claims(clusters: int, questions: int) -> None:
    effect = detectable_effect(clusters, questions)
    power = TTestPower().power(effect, clusters, LEVEL / questions, alternative="larger")
    assert power == pytest.approx(POWER, abs=0.02)


def of(sizes: tuple[int, int], wrong: int = 0, rankings: int = 12, clusters: np.ndarray | None = None):
    classes = np.repeat([0, 1], sizes)
    right = np.ones(classes.size, dtype=bool)
    right[:wrong] = False
    return prospects(classes, right, clusters, ["off", "on"], rankings)


def test_mistaken_sequences_are_counted_apart() -> None:
    off, on = of((60, 60), wrong=20)
    assert (off.sequences, off.mistaken, on.sequences, on.mistaken) == (40, 20, 60, 0)
    assert off.detectable > on.detectable
    assert off.decidable


def test_copies_of_one_locus_count_once() -> None:
    off, _ = of((40, 40), clusters=np.concatenate([np.arange(40) // 4, np.arange(40) + 100]))
    assert (off.sequences, off.clusters) == (40, 10)


def test_a_class_of_too_few_asks_no_question_and_is_undecided_beforehand() -> None:
    off, on = of((9, 50))
    assert (off.decidable, off.detectable) == (False, None)
    assert on.questions == 12
    assert on.decidable


def test_a_class_that_would_show_only_effects_beyond_reach_is_undecided_beforehand() -> None:
    off, _ = of((10, 10), rankings=30)
    assert off.detectable > 1.5
    assert not off.decidable
