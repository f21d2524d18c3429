"""What holds for planted truth, whatever is planted where; and for the shuffle that keeps dinucleotides."""

from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kmerit.datasets.planting import MOTIFS, Background, Planted, Planting, plant_split
from kmerit.io.motifs import Motif, find_motif, read_motifs
from kmerit.sequences import Int8, Sequences, dinucleotide_shuffle, gc_count, kmers

NAMES = ("CTCF", "USF1", "NFYA", "REST", "SP1")


@cache
def background(shuffled: bool) -> Background:
    rng = np.random.default_rng(0)
    strings = ["".join(rng.choice(list("ACGT"), 260, p=rng.dirichlet([5] * 4))) for _ in range(40)]
    return Background(Sequences.from_strings(strings), 70, shuffled)


@cache
def motif(name: str) -> Motif:
    return find_motif(read_motifs(), name)


@st.composite
def plantings(draw: st.DrawFn) -> Planting:
    regime = draw(st.sampled_from(["localised", "and", "or", "spacing"]))
    return Planting(
        regime=regime,
        motifs=tuple(draw(st.permutations(NAMES))[: MOTIFS[regime]]),
        length=70,
        background=draw(st.sampled_from(["shuffled", "real"])),
        negatives=draw(st.sampled_from(["random", "gc_matched", "shuffled"])),
        strands=draw(st.sampled_from(["forward", "both"])),
        distance=draw(st.integers(0, 12)),
        apart=draw(st.integers(1, 6)),
        seed=draw(st.integers(0, 1000)),
    )


def planted(planting: Planting, rows: int = 6) -> Planted:
    motifs = {name: motif(name) for name in planting.motifs}
    return plant_split(planting, "train", rows, background(planting.background == "shuffled"), motifs)


def matches(planting: Planting, bases: Int8) -> dict[str, list[int]]:
    """Where each motif matches, on either strand, found by another way than the planter's: window by window."""
    result: dict[str, list[int]] = {}
    for name in planting.motifs:
        each = motif(name)
        for start in range(bases.size - len(each) + 1):
            window = bases[start : start + len(each)]
            for reloaded in (window, 3 - window[::-1]):
                score = sum(each.log_odds[i, base] for i, base in enumerate(reloaded))
                if score >= planting.match * each.highest and start not in result.get(each.identifier, []):
                    result.setdefault(each.identifier, []).append(start)
    return result


@given(plantings())
@settings(max_examples=40)
def test_truth_is_what_was_planted(planting: Planting) -> None:
    dataset = planted(planting)
    bases, _ = dataset.sequences.padded()
    assert dataset.sequences.labels is not None
    assert dataset.sequences.labels.tolist() == [0, 1] * 3
    outside = ~dataset.mask
    assert (bases[outside] == dataset.background[outside]).all()
    for row, placements in enumerate(dataset.placements):
        expected = np.zeros(planting.length, dtype=bool)
        for placement in placements:
            width = len(read_motifs_once()[placement.motif])
            assert not expected[placement.start : placement.start + width].any(), "motifs overlap"
            expected[placement.start : placement.start + width] = True
        assert (dataset.mask[row] == expected).all()
        where: dict[str, list[int]] = {}
        for placement in placements:
            where.setdefault(placement.motif, []).append(placement.start)
        assert matches(planting, bases[row]) == where, "a motif by chance, or a planted one too weak"
        if planting.strands == "forward":
            assert {placement.strand for placement in placements} <= {"+"}


@cache
def read_motifs_once() -> dict[str, Motif]:
    return read_motifs()


def gap(made: Planted, row: int) -> int:
    first, second = made.placements[row]
    return second.start - first.start - len(read_motifs_once()[first.motif])


@given(plantings())
@settings(max_examples=40)
def test_the_label_follows_from_the_motifs(planting: Planting) -> None:
    dataset = planted(planting)
    contents = [len(placements) for placements in dataset.placements]
    negatives, positives = contents[::2], contents[1::2]
    if planting.regime == "localised":
        assert (negatives, positives) == ([0] * 3, [1] * 3)
    if planting.regime == "and":
        assert (negatives, positives) == ([1] * 3, [2] * 3)
    if planting.regime == "or":
        assert negatives == [0] * 3
        assert set(positives) <= {1, 2}
    if planting.regime == "spacing":
        assert (negatives, positives) == ([2] * 3, [2] * 3)
        assert [gap(dataset, row) for row in (1, 3, 5)] == [planting.distance] * 3
        assert all(abs(gap(dataset, row) - planting.distance) >= planting.apart for row in (0, 2, 4))


@given(plantings())
@settings(max_examples=40)
def test_scrubbing_leaves_a_sequence_of_class_0(planting: Planting) -> None:
    dataset = planted(planting)
    bases, _ = dataset.sequences.padded()
    assert (dataset.scrubbed[::2] == bases[::2]).all()
    for row in (1, 3, 5):
        result = matches(planting, dataset.scrubbed[row])
        kept = {"localised": 0, "or": 0, "and": 1, "spacing": 2}[planting.regime]
        assert sum(map(len, result.values())) == kept
        if planting.regime == "spacing":
            first, second = dataset.placements[row]
            distance = result[second.motif][0] - result[first.motif][0] - len(read_motifs_once()[first.motif])
            assert abs(distance - planting.distance) >= planting.apart
        elif planting.regime != "and":
            assert (dataset.scrubbed[row] == dataset.background[row]).all()


@given(plantings())
@settings(max_examples=10)
def test_equal_seeds_give_equal_rows_whatever_their_number(planting: Planting) -> None:
    few, many = planted(planting, 2), planted(planting, 4)
    assert many.sequences.strings()[:2] == few.sequences.strings()
    assert many.placements[:2] == few.placements


@pytest.mark.parametrize("seed", range(3))
def test_gc_matched_negatives_have_the_gc_of_their_positives(seed: int) -> None:
    def difference(negatives: str) -> float:
        background = planted(
            Planting(regime="localised", motifs=("SP1",), length=70, negatives=negatives, seed=seed), 40
        )  # type: ignore[arg-type]
        gc = gc_count(background.sequences.padded()[0])
        return float(np.abs(gc[1::2] - gc[::2]).mean())

    assert difference("gc_matched") < 1.5 < difference("random")


def test_shuffled_negatives_without_motifs_have_the_dinucleotides_of_their_positives() -> None:
    background = planted(Planting(regime="localised", motifs=("CTCF",), length=70, negatives="shuffled"), 20)
    words = np.sort(kmers(background.sequences.padded()[0], 2), axis=1)
    assert (words[1::2] == words[::2]).all()


@given(st.lists(st.integers(0, 3), min_size=1, max_size=60), st.integers(0, 1000))
def test_shuffling_keeps_dinucleotides_and_ends(letters: list[int], seed: int) -> None:
    bases = np.array(letters, dtype=np.int8)
    shuffled = dinucleotide_shuffle(bases, np.random.default_rng(seed))
    assert np.sort(kmers(shuffled, 2)).tolist() == np.sort(kmers(bases, 2)).tolist()
    assert (shuffled[0], shuffled[-1]) == (bases[0], bases[-1])


def test_every_order_of_the_same_dinucleotides_is_equally_likely() -> None:
    bases = np.array([0, 1, 0, 2, 0, 3, 0], dtype=np.int8)
    rng = np.random.default_rng(0)
    orders = [tuple(dinucleotide_shuffle(bases, rng).tolist()) for _ in range(3000)]
    counts = np.unique(orders, axis=0, return_counts=True)[1]
    assert counts.size == 6
    assert np.abs(counts / 3000 - 1 / 6).max() < 0.03


def test_every_order_is_equally_likely_where_the_last_exits_matter() -> None:
    # AACCAC has these orders with the same dinucleotides AA, AC, CC, CA, AC and ends.
    bases = np.array([0, 0, 1, 1, 0, 1], dtype=np.int8)
    rng = np.random.default_rng(1)
    drawn = ["".join("AC"[b] for b in dinucleotide_shuffle(bases, rng)) for _ in range(4000)]
    assert set(drawn) == {"AACCAC", "ACCAAC", "AACACC", "ACAACC"}
    assert all(abs(drawn.count(each) - 1000) < 150 for each in set(drawn))
