"""Operators draw what they say they draw."""

import re
from pathlib import Path

import numpy as np
import pytest

import kmerit as km
from kmerit.errors import CountError, FormatError, SequenceError, UnknownName, UsageError
from kmerit.models.model import Model
from kmerit.sequences import Locus, Sequences, decode, encode, reverse_complement
from kmerit.trials.controls import RANDOM
from kmerit.trials.design import Design, mutants_of
from kmerit.trials.execution import answers_of, maskers_of
from kmerit.trials.operators import OPERATORS, check_room, composition, operator_named
from kmerit.trials.rankings import order_named

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


@pytest.mark.parametrize("name", [name for name, each in OPERATORS.items() if name != "mask" and not each.choose])
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


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("block(0)", r"block\(0\): expected at least 1 nt"),
        ("shuffle(4)", "an odd number of nt from 3 for the window, got 4"),
        ("shuffle(1)", "an odd number of nt from 3"),
        ("complement(5)", "complement has no width; block and shuffle have"),
    ],
)
def test_widths_that_cannot_be(name: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        operator_named(name)
    with pytest.raises(UnknownName, match="blok"):
        operator_named("blok(5)")


def test_a_width_that_is_the_usual_one_is_the_same_operator() -> None:
    for wide, usual in (("block(10)", "block"), ("shuffle(11)", "shuffle")):
        assert operator_named(wide).name == usual
        assert alleles(wide, "ACGGTCATTC" * 3).tolist() == alleles(usual, "ACGGTCATTC" * 3).tolist()
    assert operator_named("block(25)").name == "block(25)"


def test_letters_put_in_are_as_frequent_as_in_the_data() -> None:
    shares = np.array([0.1, 0.2, 0.3, 0.4])
    for name in ("delete", "insert"):
        drawn = alleles(name, "A" * 40_000, shares)
        letters = drawn[::2] if name == "insert" else drawn
        assert np.bincount(letters, minlength=4) / letters.size == pytest.approx(shares, abs=0.01)


def test_harshest_and_mildest_measure_the_model_itself(model: Model, sequences: Sequences) -> None:
    """Against the trial's own mutants: no other base at the first position lowers the logit further."""
    scores = km.attribute(model, sequences, ["ism"], 1)
    names = ["harshest", "mildest", "random_other", "complement", "transition"]
    outcomes = km.mutate(model, sequences, scores, counts=[1, 3], replicates=1, operator=names)
    drops = {name: outcomes.drops("logit")[outcomes.counts("ism", name, "morf")[1]][:, 0] for name in names}
    for other in names[2:]:
        assert (drops["harshest"] >= drops[other] - 1e-5).all()
        assert (drops["mildest"] <= drops[other] + 1e-5).all()
    substitutions = scores["ism"].substitutions
    first = np.nanargmax(scores["ism"].scores, axis=1)
    expected = -substitutions[np.arange(len(sequences)), first].min(axis=1)
    assert drops["harshest"] == pytest.approx(expected, abs=1e-4)
    assert outcomes.diagnostics["ranking_evaluations"] == {"single substitutions": 3 * int(sequences.lengths.sum())}


@pytest.mark.parametrize("operator", ["block(25)", "shuffle(23)"])
def test_a_sequence_without_room_is_named(model: Model, sequences: Sequences, operator: str) -> None:
    scores = km.attribute(model, sequences, ["lrp"])
    width = operator[-3:-1]
    with pytest.raises(CountError, match=rf"^{re.escape(operator)} needs a window of {width} nt; 'seq9' has 21\."):
        km.mutate(model, sequences, scores, counts=[2], operator=operator)
    grid = km.Grid(counts=(2,), operators=(operator,), operator_count=2, ism_per_class=0, greedy_per_class=0)
    with pytest.raises(CountError, match=rf"^{re.escape(operator)}"):
        km.trial(model, sequences, scores, grid)


def test_every_width_that_is_asked_for_must_fit_and_one_that_is_not_need_not() -> None:
    short = Sequences.from_strings(["ACGGTCAT"])
    for name in ("shuffle(11)", "block(10)", "block"):
        with pytest.raises(CountError, match=rf"^{name.partition('(')[0]} needs a window of 1[01] nt; 'seq0' has 8\."):
            check_room([operator_named(name)], short)
    check_room([operator_named(name) for name in ("shuffle", "shuffle(7)", "block(8)")], short)


def test_what_was_changed_beyond_what_was_chosen_is_counted(model: Model, sequences: Sequences) -> None:
    scores = km.attribute(model, sequences, ["lrp"])
    outcomes = km.mutate(
        model, sequences, scores, counts=[1, "all"], replicates=1, operator=["block", "delete", "insert"]
    )
    changed = outcomes.positions_changed
    assert changed is not None
    frame = outcomes.to_frame().assign(changed=changed)
    block = frame[(frame["operator"] == "block") & (frame["n"] == 1)]
    assert (block["changed"] == 10).all()
    assert (frame[frame["operator"] == "delete"]["changed"] > 1).any()


def test_a_budget_may_be_a_share_of_the_length(model: Model, sequences: Sequences) -> None:
    alike = sequences.take(np.flatnonzero(sequences.lengths == 30))
    scores = km.attribute(model, alike, ["lrp"])
    shares = km.mutate(model, alike, scores, counts=[0, "10%", "50%", "100%"], replicates=1)
    numbers = km.mutate(model, alike, scores, counts=[0, 3, 15, "all"], replicates=1)
    assert shares.cells.equals(numbers.cells)
    assert shares.settings == numbers.settings


def test_a_deletion_is_refilled_with_what_follows_on_the_genome(model: Model, tmp_path: Path) -> None:
    letters = "".join(np.random.default_rng(0).choice(list("ACGT"), 200))
    genome = tmp_path / "chr1.fa"
    genome.write_text(f">chr1\n{letters}\n")
    back = decode(reverse_complement(encode(letters, "genome")))
    loci = [Locus("chr1", 20, 50, "+"), Locus("chr1", 120, 150, "-")]
    rows = Sequences.from_strings([letters[20:50], back[50:80]], [0, 1], ["one", "two"], loci)
    operator = operator_named(f"delete({genome})")
    design = Design((), (operator,), (order_named("morf"),), (0, 3), False, 1, 1, 0, UNIFORM)
    flanks = maskers_of(model, rows, [operator])
    answers = answers_of(model, rows, np.zeros(2, np.int64), [operator], flanks)
    expected = [letters[20:50][3:] + letters[50:53], back[50:80][3:] + back[80:83]]
    for i, row in enumerate(rows.rows()):
        first = {RANDOM: -np.arange(30.0)}
        mutants = mutants_of([design], rows.names[i], np.asarray(row), [first], answers[i])
        assert [decode(each) for each in mutants.distinct] == [rows.string(i), expected[i]]
    scores = km.attribute(model, rows, ["lrp"])
    outcomes = km.mutate(model, rows, scores, counts=[3], replicates=1, operator=operator.name)
    assert operator.name in outcomes.settings["operators"]


@pytest.mark.parametrize(
    ("locus", "error", "message"),
    [
        (
            Locus("chr1", 150, 180, "+"),
            SequenceError,
            r"expected 30 nt without N behind 'one' \(chr1:150-180.*has fewer",
        ),
        (Locus("chr1", 21, 51, "+"), FormatError, "got others: another assembly"),
        (None, SequenceError, "'one' has none"),
    ],
)
def test_a_sequence_without_a_flank_is_refused(
    model: Model, tmp_path: Path, locus: Locus | None, error: type[Exception], message: str
) -> None:
    letters = "".join(np.random.default_rng(0).choice(list("ACGT"), 200))
    genome = tmp_path / "chr1.fa"
    genome.write_text(f">chr1\n{letters}\n")
    start = 20 if locus is None or locus.start == 21 else locus.start
    rows = Sequences.from_strings([letters[start : start + 30]], [0], ["one"], [locus])
    with pytest.raises(error, match=message):
        km.mutate(model, rows, km.attribute(model, rows, ["lrp"]), counts=[3], operator=f"delete({genome})")


def test_a_deletion_has_no_width() -> None:
    with pytest.raises(UsageError, match=r"delete\(5\): delete has no width"):
        operator_named("delete(5)")
