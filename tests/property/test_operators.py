"""What holds for every operator, whatever the sequence and the positions chosen."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kmerit.sequences import Bool, Floats, Int8, generator, kmers
from kmerit.trials.operators import HIDDEN, OPERATORS, WINDOW, Operator, operator_named, revealed, windows

EXACT = [name for name, operator in OPERATORS.items() if operator.exact]
SHARES = np.array([0.1, 0.2, 0.3, 0.4])


@pytest.mark.parametrize("name", [name for name in OPERATORS if name not in EXACT])
def test_an_operator_that_is_not_exact_changes_other_positions_than_the_chosen_or_none(name: str) -> None:
    bases = np.random.default_rng(0).integers(0, 4, 60).astype(np.int8)
    chosen = np.arange(bases.size)[None] == 20
    mutants, _ = revealed(mutate(name, bases, chosen))
    assert ((mutants != bases) != chosen).any()


@st.composite
def chosen_positions(draw: st.DrawFn) -> tuple[Int8, Bool]:
    """Bases, and nested sets of positions ``[mutant, position]``."""
    bases = np.array(draw(st.lists(st.integers(0, 3), min_size=1, max_size=60)), dtype=np.int8)
    order = np.array(draw(st.permutations(range(bases.size))))
    counts = sorted(draw(st.lists(st.integers(0, bases.size), min_size=1, max_size=4)))
    return bases, order[None] < np.array(counts)[:, None]


def effects_of(bases: Int8, seed: int = 0) -> Floats:
    """Draw effects of substitutions, with ties."""
    effects = np.random.default_rng(seed).integers(-2, 3, (bases.size, 4)).astype(np.float64)
    effects[np.arange(bases.size), bases] = 0
    return effects


def nothing_drawn(purpose: str) -> np.random.Generator:
    raise AssertionError(purpose)


def apply(operator: Operator, bases: Int8, chosen: Bool, seed: int = 0) -> Int8:
    if operator.choose is not None:
        return np.where(chosen, operator.choose(bases, effects_of(bases, seed), nothing_drawn), bases)
    return operator.mutate(bases, chosen, lambda purpose: generator(seed, purpose, 0, "s"), SHARES)


def mutate(name: str, bases: Int8, chosen: Bool, seed: int = 0) -> Int8:
    return apply(OPERATORS[name], bases, chosen, seed)


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


@given(chosen_positions(), st.sampled_from([*OPERATORS]), st.integers(0, 100))
def test_what_an_operator_is_said_to_keep_is_kept(case: tuple[Int8, Bool], name: str, seed: int) -> None:
    bases, chosen = case
    operator = OPERATORS[name]
    if operator.room > bases.size:
        return
    mutants, _ = revealed(apply(operator, bases, chosen, seed))
    assert mutants.shape == chosen.shape
    assert set(np.unique(mutants)) <= {0, 1, 2, 3}
    for mutant, positions in zip(mutants, chosen, strict=True):
        if not positions.any():
            assert (mutant == bases).all()
        if "other positions" in operator.keeps:
            assert (mutant[~positions] == bases[~positions]).all()
        if "order" in operator.keeps:
            cut = np.arange(bases.size) + np.cumsum(positions) >= bases.size if name == "insert" else positions
            assert in_order(bases[~positions & ~cut], mutant)
        if "letters" in operator.keeps:
            assert Counter(mutant.tolist()) == Counter(bases.tolist())
        if "GC" in operator.keeps:
            assert np.isin(mutant, [1, 2]).sum() == np.isin(bases, [1, 2]).sum()
        if "dinucleotides" in operator.keeps:
            assert sorted(kmers(mutant, 2)) == sorted(kmers(bases, 2))


def in_order(part: Int8, whole: Int8) -> bool:
    """Whether one is a subsequence of the other."""
    rest = iter(whole.tolist())
    return all(letter in rest for letter in part.tolist())


@given(chosen_positions())
def test_deletion_closes_the_gaps_and_refills_the_end_from_one_flank(case: tuple[Int8, Bool]) -> None:
    bases, chosen = case
    everything = mutate("delete", bases, np.ones((1, bases.size), dtype=np.bool_))[0]
    for mutant, positions in zip(mutate("delete", bases, chosen), chosen, strict=True):
        left = int((~positions).sum())
        assert (mutant[:left] == bases[~positions]).all()
        assert (mutant[left:] == everything[: bases.size - left]).all()


@given(chosen_positions())
def test_insertion_puts_one_letter_before_each_and_cuts_the_end(case: tuple[Int8, Bool]) -> None:
    bases, chosen = case
    for mutant, positions in zip(mutate("insert", bases, chosen), chosen, strict=True):
        at = np.arange(bases.size) + np.cumsum(positions)  # where each letter is now
        inside = at < bases.size
        assert (mutant[at[inside]] == bases[inside]).all()


@given(chosen_positions(), st.integers(1, 20))
def test_a_block_replaces_its_window_and_nothing_else(case: tuple[Int8, Bool], width: int) -> None:
    bases, chosen = case
    operator = operator_named(f"block({width})")
    assert operator.room == width
    if width > bases.size:
        return
    mutants = apply(operator, bases, chosen)
    same = mutate("random_other", bases, np.ones((1, bases.size), dtype=np.bool_))[0]
    for mutant, positions in zip(mutants, chosen, strict=True):
        covered = np.zeros(bases.size, dtype=np.bool_)
        for position in np.flatnonzero(positions).tolist():
            start = min(max(position - width // 2, 0), bases.size - width)
            assert start <= position < start + width
            covered[start : start + width] = True
        assert ((mutant != bases) == covered).all()
        assert (mutant[covered] == same[covered]).all()  # the alleles that random_other draws


@given(chosen_positions())
def test_the_harshest_and_the_mildest_allele_bound_every_other(case: tuple[Int8, Bool]) -> None:
    bases, chosen = case
    effects, at = effects_of(bases), np.arange(bases.size)
    every = np.ones_like(chosen[:1])
    harshest, mildest = (effects[at, mutate(name, bases, every)[0]] for name in ("harshest", "mildest"))
    for name in ("random_other", "complement", "transition", "background"):
        effect = effects[at, mutate(name, bases, every)[0]]
        assert (harshest <= effect).all()
        assert (effect <= mildest).all()


@given(chosen_positions())
def test_mask_hides_the_chosen_positions_and_changes_no_base(case: tuple[Int8, Bool]) -> None:
    bases, chosen = case
    shown, hidden = revealed(mutate("mask", bases, chosen))
    assert (shown == bases).all()
    assert (hidden == chosen).all()


@pytest.mark.parametrize("width", [3, 2 * WINDOW + 1, 31])
@given(chosen_positions(), st.integers(0, 100))
def test_shuffle_keeps_dinucleotides_and_stays_near_what_was_chosen(
    width: int, case: tuple[Int8, Bool], seed: int
) -> None:
    bases, chosen = case
    operator = operator_named(f"shuffle({width})")
    assert operator.room == width
    mutants = apply(operator, bases, chosen, seed)
    reach = width // 2
    near = np.array([[row[max(0, i - reach) : i + reach + 1].any() for i in range(bases.size)] for row in chosen])
    assert ((mutants != bases) <= near).all()
    for mutant in mutants:
        assert sorted(kmers(mutant, 2)) == sorted(kmers(bases, 2))
        assert (mutant[[0, -1]] == bases[[0, -1]]).all()
    assert (mutants == apply(operator, bases, chosen, seed)).all()


def test_windows_that_touch_are_one() -> None:
    chosen = np.zeros(40, dtype=np.bool_)
    chosen[[10, 21, 39]] = True
    assert windows(chosen, 5) == [(5, 27), (34, 40)]
    assert HIDDEN > 4
