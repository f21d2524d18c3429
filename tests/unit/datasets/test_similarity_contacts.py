"""Copies, overlaps, near copies: found where they were put, and told apart by split and class."""

from __future__ import annotations

import numpy as np
import pytest

from helpers.faulty_sets import made, mutated, random_parts
from kmerit.datasets import similarity as groups
from kmerit.datasets.dataset import Dataset
from kmerit.datasets.reading import read_dataset
from kmerit.datasets.similarity import OTHER, SAME, copies, distances, merged, near_copies_in, overlaps
from kmerit.sequences import Bool, Int8, Locus, Sequences, reverse_complement

TRAIN, TEST = 0, 1


def dataset(train: list[Int8], test: list[Int8]) -> Dataset:
    return read_dataset({"train": made(train), "test": made(test)})


def near_table(data: Dataset, **options: float) -> Bool:
    result = near_copies_in(data, **options)  # type: ignore[arg-type]
    assert result is not None
    return result.table


@pytest.mark.parametrize("turn", [False, True])
def test_a_copy_is_one_on_either_strand(turn: bool) -> None:
    train, test = random_parts(4), random_parts(4, seed=1)
    test[1] = reverse_complement(train[3]) if turn else train[3]
    data = dataset(train, test)
    key, table = copies(data)
    assert key[4 + 1] == key[3]
    assert np.argwhere(table).tolist() == [[3, TEST, SAME], [5, TRAIN, SAME]]
    assert copies(data, both_strands=False)[1].any() == (not turn)


def test_a_copy_with_another_label_is_told_apart() -> None:
    train, test = random_parts(4), random_parts(4, seed=1)
    test[0] = train[3]
    _, table = copies(dataset(train, test))
    assert np.argwhere(table).tolist() == [[3, TEST, OTHER], [4, TRAIN, OTHER]]


def test_a_row_is_no_copy_of_itself() -> None:
    train = random_parts(4)
    train[2] = train[0]
    _, table = copies(dataset(train, random_parts(2, seed=1)))
    assert np.argwhere(table).tolist() == [[0, TRAIN, SAME], [2, TRAIN, SAME]]


def placed(*loci: Locus | None) -> Sequences:
    return made(random_parts(len(loci)), loci=list(loci))


def at(start: int, chrom: str = "chr1") -> Locus:
    return Locus(chrom, start, start + 120)


def test_overlaps_are_those_of_half_open_intervals() -> None:
    train = placed(at(0), at(1000), None, at(5000))
    test = placed(at(119), at(1120), at(0, "chr2"), at(4881))
    data = read_dataset({"train": train, "test": test})
    table = overlaps(data)
    assert table is not None
    assert np.argwhere(table[:, TRAIN]).tolist() == [[4, SAME], [7, SAME]]
    assert overlaps(read_dataset({"train": made(random_parts(2)), "test": made(random_parts(2))})) is None


def test_names_of_chromosomes_are_alike_with_and_without_chr() -> None:
    data = read_dataset({"train": placed(at(0, "1"), at(500)), "test": placed(at(60, "chr1"), at(900))})
    table = overlaps(data)
    assert table is not None
    assert table[2, TRAIN, SAME]


def test_overlaps_agree_with_a_comparison_of_all_pairs() -> None:
    rng = np.random.default_rng(0)
    loci: list[Locus | None] = [Locus(f"chr{rng.integers(3)}", a, a + 120) for a in rng.integers(0, 4000, 60).tolist()]
    data = read_dataset({"train": placed(*loci[:40]), "test": placed(*loci[40:])})
    expected = np.zeros((60, 2, 2), dtype=bool)
    for i, a in enumerate(loci):
        for j, b in enumerate(loci):
            if a and b and i != j and a.chrom == b.chrom and a.start < b.end and b.start < a.end:
                expected[i, data.split[j], int(data.labels[i] != data.labels[j])] = True
    table = overlaps(data)
    assert table is not None
    assert np.array_equal(table, expected)


def test_merged_intervals_touch_but_do_not_join() -> None:
    assert merged(np.array([0, 10, 30]), np.array([10, 20, 40])) == (3, 30)
    assert merged(np.array([0, 1]), np.array([100, 10])) == (1, 100)
    assert merged(np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64)) == (0, 0)


def test_distances_to_the_nearest_row_of_another_class() -> None:
    data = read_dataset({"train": placed(at(0), at(300), at(310), at(0, "chr2")), "test": placed(at(1000), at(90))})
    result = distances(data)
    assert result is not None
    # Classes alternate: rows 0, 2 and 4 against 1, 3 and 5.
    assert result[[0, 1, 2, 4, 5]].tolist() == [0, 0, 0, 580, 0]
    assert np.isnan(result[3])


@pytest.mark.parametrize(("share", "near"), [(0.0, True), (0.02, True), (0.2, False)])
def test_near_copies(share: float, near: bool) -> None:
    train, test = random_parts(6, 250), random_parts(6, 250, seed=1)
    test[0] = mutated(train[2], share)
    table = near_table(dataset(train, test))
    assert table[6, TRAIN, SAME] == near
    assert table[2, TEST, SAME] == near
    assert table.sum() == 2 * near


def test_short_rows_are_near_if_most_of_their_words_are_in_a_split() -> None:
    train, test = random_parts(4, 250), random_parts(4, 250, seed=1)
    test[0] = reverse_complement(train[0][100:140])
    assert np.argwhere(near_table(dataset(train, test))).tolist() == [[4, TRAIN, SAME]]


def test_a_family_larger_than_a_repeat_is_still_seen() -> None:
    train, test = random_parts(120, 200), random_parts(4, 200, seed=1)
    parent = train[0]
    for i in range(0, 120, 2):
        train[i] = mutated(parent, 0.005, seed=i)
    test[2] = mutated(parent, 0.005, seed=999)
    data = dataset(train, test)
    result = near_copies_in(data)
    assert result is not None
    assert result.table[122, TRAIN, SAME]
    assert result.repeats[0] > 0.1
    assert result.repeats[1] == 0


def test_near_copies_are_the_pairs_that_the_data_floor_finds() -> None:
    parts = random_parts(30, 200)
    for i in range(10, 20):
        parts[i] = np.concatenate([parts[i - 10][60 + i :], parts[i][: 60 + i]])
    sequences = made(parts)
    result = near_copies_in(read_dataset(sequences))
    assert result is not None
    assert sorted(map(tuple, result.pairs.tolist())) == sorted(map(tuple, groups.near_copies(sequences).tolist()))
    assert len(result.pairs) == 10
