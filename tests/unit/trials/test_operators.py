"""Operators draw what they say they draw."""

import numpy as np
import pytest

from kmerit.errors import UnknownName
from kmerit.sequences import Sequences, encode
from kmerit.trials.operators import OPERATORS, composition, operator_named

UNIFORM = np.full(4, 0.25)


def alleles(name: str, text: str, shares: np.ndarray = UNIFORM, seed: int = 0) -> np.ndarray:
    """Mutate every position."""
    everywhere = np.ones((1, len(text)), dtype=np.bool_)
    return operator_named(name).mutate(encode(text), everywhere, lambda _: np.random.default_rng(seed), shares)[0]


def test_complement_pairs_bases() -> None:
    assert alleles("complement", "ACGT").tolist() == encode("TGCA").tolist()


def test_transition_keeps_purines_and_pyrimidines() -> None:
    assert alleles("transition", "ACGT").tolist() == encode("GTAC").tolist()


def test_random_other_is_uniform_over_the_three_others() -> None:
    drawn = np.bincount(alleles("random_other", "C" * 30_000), minlength=4)
    assert drawn[1] == 0
    assert drawn[[0, 2, 3]] == pytest.approx([10_000] * 3, rel=0.03)


def test_background_follows_the_composition_among_the_others() -> None:
    shares = np.array([0.1, 0.2, 0.3, 0.4])
    for base, letter in enumerate("ACGT"):
        drawn = np.bincount(alleles("background", letter * 40_000, shares), minlength=4) / 40_000
        expected = np.where(np.arange(4) == base, 0, shares)
        assert drawn[base] == 0
        assert drawn == pytest.approx(expected / expected.sum(), abs=0.01)


@pytest.mark.parametrize("shares", [[1 - 3e-9, 1e-9, 1e-9, 1e-9], [1e-9, 1e-9, 1e-9, 1 - 3e-9]])
def test_background_of_nearly_one_base_still_draws_another(shares: list[float]) -> None:
    for letter in "ACGT":
        assert (alleles("background", letter * 5000, np.array(shares)) != encode(letter)[0]).all()


@pytest.mark.parametrize("name", [name for name in OPERATORS if name != "mask"])
def test_alleles_are_bases_stored_small(name: str) -> None:
    drawn = alleles(name, "ACGT" * 50)
    assert drawn.dtype == np.int8
    assert set(drawn.tolist()) <= {0, 1, 2, 3}


def test_composition_counts_bases_and_never_gives_zero() -> None:
    shares = composition(Sequences.from_strings(["AAAN", "C"]))
    assert shares == pytest.approx(np.array([4, 2, 1, 1]) / 8)


def test_unknown_operator_names_the_nearest() -> None:
    with pytest.raises(UnknownName, match="Did you mean 'complement'"):
        operator_named("complment")
