"""What holds for every operator, whatever the sequence and the positions chosen."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from kmerit.sequences import Bool, Int8, generator, kmers
from kmerit.trials.operators import HIDDEN, OPERATORS, WINDOW, revealed, windows

EXACT = [name for name, operator in OPERATORS.items() if operator.exact]
SHARES = np.array([0.1, 0.2, 0.3, 0.4])


def test_which_operators_are_exact() -> None:
    assert EXACT == ["random_other", "complement", "transition", "background"]
    assert set(OPERATORS) - set(EXACT) == {"shuffle", "mask"}


@st.composite
def chosen_positions(draw: st.DrawFn) -> tuple[Int8, Bool]:
    """Bases, and nested sets of positions ``[mutant, position]``."""
    bases = np.array(draw(st.lists(st.integers(0, 3), min_size=1, max_size=60)), dtype=np.int8)
    order = np.array(draw(st.permutations(range(bases.size))))
    counts = sorted(draw(st.lists(st.integers(0, bases.size), min_size=1, max_size=4)))
    return bases, order[None] < np.array(counts)[:, None]


def mutate(name: str, bases: Int8, chosen: Bool, seed: int = 0) -> Int8:
    return OPERATORS[name].mutate(bases, chosen, lambda purpose: generator(seed, purpose, 0, "s"), SHARES)


@given(chosen_positions(), st.sampled_from(EXACT), st.integers(0, 100))
def test_exact_operators_change_the_chosen_positions_and_no_others(
    case: tuple[Int8, Bool], name: str, seed: int
) -> None:
    bases, chosen = case
    mutants = mutate(name, bases, chosen, seed)
    assert ((mutants != bases) == chosen).all()
    assert set(np.unique(mutants)) <= {0, 1, 2, 3}
    # Nested: a larger set holds the smaller one with the same alleles. Reproducible: the seed is all there is.
    assert ((mutants[:-1] == bases) | (mutants[:-1] == mutants[1:])).all()
    assert (mutants == mutate(name, bases, chosen, seed)).all()


@given(chosen_positions())
def test_mask_hides_the_chosen_positions_and_changes_no_base(case: tuple[Int8, Bool]) -> None:
    bases, chosen = case
    shown, hidden = revealed(mutate("mask", bases, chosen))
    assert (shown == bases).all()
    assert (hidden == chosen).all()


@given(chosen_positions(), st.integers(0, 100))
def test_shuffle_keeps_dinucleotides_and_stays_near_what_was_chosen(case: tuple[Int8, Bool], seed: int) -> None:
    bases, chosen = case
    mutants = mutate("shuffle", bases, chosen, seed)
    near = np.array([[row[max(0, i - WINDOW) : i + WINDOW + 1].any() for i in range(bases.size)] for row in chosen])
    assert ((mutants != bases) <= near).all()
    for mutant in mutants:
        assert sorted(kmers(mutant, 2)) == sorted(kmers(bases, 2))
        assert (mutant[[0, -1]] == bases[[0, -1]]).all()
    assert (mutants == mutate("shuffle", bases, chosen, seed)).all()


def test_windows_that_touch_are_one() -> None:
    chosen = np.zeros(40, dtype=np.bool_)
    chosen[[10, 21, 39]] = True
    assert windows(chosen, 5) == [(5, 27), (34, 40)]
    assert HIDDEN > 4
