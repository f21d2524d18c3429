"""Crossed designs and Kendall's W, against planted answers."""

from __future__ import annotations

import numpy as np
import pytest

from kmerit.errors import LabelError
from kmerit.uncertainty import concordance, shifted_concordance, variance_shares

FACTORS = ["task", "operator", "seed"]


def planted(noise: float = 0.0) -> np.ndarray:
    generator = np.random.default_rng(1)
    effect = np.array([0.0, 1.0, 3.0])[None, :, None, None]
    return effect + noise * generator.normal(size=(2, 3, 3, 40))


def test_only_the_planted_operator_has_a_share() -> None:
    shares = variance_shares(planted(), FACTORS, seeds="seed", apart=["task"], resamples=20)
    assert shares["operator"] == pytest.approx((1, 1, 1))
    assert all(share.value == pytest.approx(0, abs=1e-12) for name, share in shares.items() if name != "operator")


def test_noise_leaves_the_operator_first_and_shares_add_up_to_one() -> None:
    shares = variance_shares(planted(0.5), FACTORS, seeds="seed", apart=["task"], resamples=100)
    assert shares["operator"].low > 0.9
    assert shares["operator"].low <= shares["operator"].value <= shares["operator"].high
    assert sum(share.value for share in shares.values()) == pytest.approx(1)


def test_a_pair_of_factors_that_only_act_together_has_the_whole_share() -> None:
    together = np.array([[1.0, -1.0], [-1.0, 1.0]])[:, :, None, None] + np.zeros((2, 2, 3, 5))
    assert variance_shares(together, FACTORS, seeds="seed", resamples=0)["task x operator"].value == pytest.approx(1)


def test_a_share_of_two_factors_is_that_of_their_squares() -> None:
    both = (
        np.array([-1.0, 1.0])[:, None, None, None] + np.array([-2.0, 2.0])[None, :, None, None] + np.zeros((2, 2, 3, 5))
    )
    shares = variance_shares(both, FACTORS, seeds="seed", resamples=0)
    assert (shares["task"].value, shares["operator"].value) == pytest.approx((0.2, 0.8))


def test_cells_that_do_not_differ_have_no_shares() -> None:
    shares = variance_shares(np.ones((2, 2, 3, 5)), FACTORS, seeds="seed", resamples=3)
    assert all(np.isnan(share.value) for share in shares.values())


@pytest.mark.parametrize(
    ("values", "seeds", "message"),
    [
        (np.zeros((2, 2, 2, 5)), "seed", "three model seeds"),
        (np.zeros((2, 3, 5)), "seed", "one axis for each factor"),
        (np.zeros((2, 2, 3, 5)), "model", "not a factor: model"),
        (np.full((2, 2, 3, 5), np.nan), "seed", "60 are missing"),
    ],
)
def test_designs_that_are_not_crossed_are_refused(values: np.ndarray, seeds: str, message: str) -> None:
    with pytest.raises(LabelError, match=message):
        variance_shares(values, FACTORS, seeds=seeds)


def test_equal_rankings_agree_and_shifted_ones_are_near_chance() -> None:
    row = np.random.default_rng(0).normal(size=200)
    scores = np.stack([row, 2 * row + 1, np.exp(row)])
    assert concordance(scores) == pytest.approx(1)
    assert shifted_concordance(scores, draws=300).mean() == pytest.approx(1 / 3, abs=0.03)


def test_ties_are_corrected_for() -> None:
    row = np.array([0, 0, 1, 1, 1, 2.0])
    assert concordance([row, row]) == pytest.approx(1)
    assert np.isnan(concordance(np.ones((2, 5))))


def test_scores_that_have_no_ranks_are_refused() -> None:
    with pytest.raises(LabelError, match="two or more of each"):
        concordance([[1.0, 2.0]])
    with pytest.raises(LabelError, match="not finite"):
        concordance([[1.0, np.nan], [1.0, 2.0]])
