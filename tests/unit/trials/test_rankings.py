"""Ranking: direction, ties, scores that are not finite."""

import numpy as np
import pytest

from kmerit.errors import CountError, UnknownName
from kmerit.results import ORDERS as ORDER_NAMES
from kmerit.sequences import Sequences
from kmerit.trials.rankings import ORDERS, as_numbers, order_named, rank, tied
from kmerit.trials.trial import columns

NO_TIES = np.linspace(0, 0.9, 5)


def test_largest_first_with_sign() -> None:
    assert rank(np.array([-5.0, 0.0, 2.0, 1.0, -1.0]), NO_TIES).tolist() == [4, 2, 0, 1, 3]


def test_smallest_first() -> None:
    assert rank(np.array([-5.0, 0.0, 2.0, 1.0, -1.0]), NO_TIES, descending=False).tolist() == [0, 2, 4, 3, 1]


@pytest.mark.parametrize("descending", [True, False])
def test_nonfinite_scores_rank_last_either_way(descending: bool) -> None:
    ranks = rank(np.array([np.nan, 1.0, np.inf, 2.0, -np.inf]), NO_TIES, descending=descending)
    assert set(ranks[[0, 2, 4]].tolist()) == {2, 3, 4}
    assert ranks[[0, 2, 4]].tolist() == [2, 3, 4]  # among themselves by tie key


@pytest.mark.parametrize("descending", [True, False])
def test_ties_follow_their_keys(descending: bool) -> None:
    ties = np.array([[0.4, 0.3, 0.2, 0.1, 0.0], [0.0, 0.1, 0.2, 0.3, 0.4]])
    ranks = rank(np.zeros(5), ties, descending=descending)
    assert ranks.tolist() == [[4, 3, 2, 1, 0], [0, 1, 2, 3, 4]]


def test_negative_zero_ties_with_zero() -> None:
    assert rank(np.array([0.0, -0.0]), np.array([0.5, 0.1])).tolist() == [1, 0]


def test_tied_positions_are_counted_by_row() -> None:
    scores = np.array([[1.0, 1.0, 2.0, 3.0], [0.0, 0.0, 0.0, 5.0], [1.0, 2.0, 3.0, 4.0], [np.nan, np.inf, 1.0, 2.0]])
    assert tied(scores).tolist() == [2, 3, 0, 2]


def test_one_position_is_not_tied() -> None:
    assert tied(np.array([3.0])).tolist() == 0


def test_orders_choose_their_positions() -> None:
    ranks, counts = np.array([2, 0, 1]), np.array([0, 1, 3])
    assert ORDERS["morf"].mutated(ranks, counts).tolist() == [[False] * 3, [False, True, False], [True] * 3]
    assert ORDERS["insertion"].mutated(ranks, counts).tolist() == [[True] * 3, [True, False, True], [False] * 3]


def test_the_registry_holds_the_orders_that_a_curve_may_name() -> None:
    assert tuple(ORDERS) == ORDER_NAMES
    with pytest.raises(UnknownName, match="morf"):
        order_named("mrf")


def test_shares_are_numbers_of_nucleotides() -> None:
    sequences = Sequences.from_strings(["ACGT" * 5, "TTTT" * 5])
    assert as_numbers([0, 3, "10%", "2.5%", "0.1%", "100%", "all"], sequences) == [0, 3, 2, 1, 1, 20, "all"]
    assert columns(sequences, (1, "10%", "100%")) == ((1, 2), True)
    assert columns(sequences, (2, "10%")) == ((2,), False)


@pytest.mark.parametrize(
    ("count", "lengths", "message"),
    [
        ("10%", (20, 24), "10% is a share, and the sequences have 20 to 24 nt"),
        ("101%", (20, 20), "expected a share up to 100%, got 101%"),
        ("ten%", (20, 20), "expected whole numbers from 0, shares such as '10%', or 'all', got 'ten%'"),
        ("-5%", (20, 20), "expected whole numbers from 0, shares"),
    ],
)
def test_shares_that_are_none(count: str, lengths: tuple[int, int], message: str) -> None:
    sequences = Sequences.from_strings(["A" * lengths[0], "C" * lengths[1]])
    with pytest.raises(CountError, match=message):
        columns(sequences, (count,))
