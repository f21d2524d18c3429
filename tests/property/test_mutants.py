"""What holds for the mutants of any sequence, scores and design."""

from dataclasses import replace

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from kmerit.sequences import Float, Floats, Int8
from kmerit.trials.controls import random_scores
from kmerit.trials.design import Design, SequenceMutants, mutants_of
from kmerit.trials.operators import OPERATORS
from kmerit.trials.rankings import ORDERS

EXACT = [operator for operator in OPERATORS.values() if operator.exact and operator.choose is None]
Case = tuple[Design, str, Int8, Float]

# Few distinct values, so that ties are common; some that are not finite.
SCORE = st.sampled_from([-2.0, 0.0, 0.0, 1.0, 1.5, float("nan"), float("inf")]) | st.floats(-1, 1)


@st.composite
def cases(draw: st.DrawFn) -> Case:
    bases = np.array(draw(st.lists(st.integers(0, 3), min_size=1, max_size=40)), dtype=np.int8)
    methods = draw(st.integers(1, 3))
    scores = np.array(
        draw(st.lists(st.lists(SCORE, min_size=bases.size, max_size=bases.size), min_size=methods, max_size=methods))
    )
    shares: Floats = np.array(draw(st.lists(st.floats(0.01, 1), min_size=4, max_size=4)))
    design = Design(
        methods=tuple(f"method{i}" for i in range(methods)),
        operators=tuple(draw(st.lists(st.sampled_from(EXACT), min_size=1, max_size=2, unique=True))),
        orders=tuple(draw(st.lists(st.sampled_from(list(ORDERS.values())), min_size=1, max_size=3, unique=True))),
        counts=tuple(sorted(draw(st.sets(st.integers(0, bases.size), min_size=1, max_size=4)))),
        full=draw(st.booleans()),
        replicates=draw(st.integers(1, 3)),
        random_sets=draw(st.integers(0, 4)),
        seed=draw(st.integers(0, 2**32)),
        composition=shares / shares.sum(),
    )
    return design, draw(st.text(max_size=8)), bases, scores


def made_of(case: Case) -> SequenceMutants:
    """Mutants of one design, whose random sets are drawn as a trial draws them."""
    design, name, bases, scores = case
    rankings = dict(zip(design.methods, scores, strict=True))
    if design.random_sets:
        rankings["random"] = random_scores(design.seed, design.random_sets, name, bases.size)
    return mutants_of([design], name, bases, [rankings])


def cells(case: Case) -> Int8:
    """Bases of every cell, ``[row, column, position]``."""
    mutants = made_of(case)
    return mutants.distinct[mutants.which[0]]


@given(cases())
def test_exactly_n_positions_change_and_never_to_themselves(case: Case) -> None:
    design, _, bases, _ = case
    changed = (cells(case) != bases).sum(axis=2)
    counts = design.substitutions(bases.size)
    restores = np.array([order.restores for order in design.orders])[design.rows.order]
    expected = np.where(restores[:, None], bases.size - counts, counts)
    assert (changed == expected).all()
    assert set(np.unique(cells(case))) <= {0, 1, 2, 3}


@given(cases())
def test_sets_are_nested_with_the_same_alleles(case: Case) -> None:
    design, _, bases, _ = case
    restores = np.array([order.restores for order in design.orders])[design.rows.order]
    mutants = cells(case)
    forward = np.where(restores[:, None, None], mutants[:, ::-1], mutants)
    fewer, more = forward[:, :-1], forward[:, 1:]
    assert ((fewer == bases) | (fewer == more)).all()


@given(cases())
def test_all_methods_orders_and_counts_share_the_alleles_of_a_draw(case: Case) -> None:
    design, _, bases, _ = case
    mutants, rows = cells(case), design.rows
    for operator in range(len(design.operators)):
        for replicate in range(design.replicates):
            same = mutants[(rows.operator == operator) & (rows.draw % design.replicates == replicate)]
            alleles = same.reshape(-1, bases.size)
            for position in range(bases.size):
                assert len(set(alleles[:, position]) - {bases[position]}) <= 1


@given(cases())
def test_equal_mutants_are_one_and_the_first_is_the_sequence_itself(case: Case) -> None:
    mutants = made_of(case)
    assert len(np.unique(mutants.distinct, axis=0)) == len(mutants.distinct)
    assert (mutants.distinct[0] == case[2]).all()
    assert set(mutants.which[0].ravel()) | {0} == set(range(len(mutants.distinct)))


@given(cases())
def test_the_same_case_gives_the_same_mutants(case: Case) -> None:
    first, second = made_of(case), made_of(case)
    assert (first.distinct == second.distinct).all()
    assert (first.which[0] == second.which[0]).all()


@given(cases())
def test_a_method_gets_the_same_mutants_whatever_it_is_compared_with(case: Case) -> None:
    design, name, bases, scores = case
    alone = replace(design, methods=design.methods[-1:], random_sets=0)
    rows = design.rows.method == len(design.methods) - 1
    assert (cells((alone, name, bases, scores[-1:])) == cells(case)[rows]).all()


@given(cases())
def test_more_draws_leave_the_first_ones_as_they_were(case: Case) -> None:
    design, name, bases, scores = case
    more = replace(design, replicates=design.replicates + 2, random_sets=0)
    few = replace(design, random_sets=0)
    kept = more.rows.draw < design.replicates
    assert (cells((more, name, bases, scores))[kept] == cells((few, name, bases, scores))).all()


@given(cases())
def test_equal_scores_give_equal_mutants_under_any_method_name(case: Case) -> None:
    design, name, bases, scores = case
    twin = replace(design, methods=("first", "second"), random_sets=0)
    mutants = cells((twin, name, bases, np.stack([scores[0], scores[0]])))
    assert (mutants[twin.rows.method == 0] == mutants[twin.rows.method == 1]).all()


@given(cases())
def test_the_first_position_mutated_has_the_best_finite_score(case: Case) -> None:
    design, name, bases, scores = case
    best = replace(design, counts=(1,), full=False, orders=(ORDERS["morf"], ORDERS["lerf"]), random_sets=0)
    chosen = (cells((best, name, bases, scores))[:, 0] != bases).argmax(axis=1)
    for row, position in enumerate(chosen):
        finite = scores[best.rows.method[row]]
        finite = finite[np.isfinite(finite)]
        if finite.size:
            extreme = finite.max() if best.rows.order[row] == 0 else finite.min()
            assert scores[best.rows.method[row], position] == extreme
