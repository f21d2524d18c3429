"""Near copies and neighbours end up in one group, whatever the strand."""

from __future__ import annotations

import numpy as np
import pytest

from kmerit.datasets import similarity
from kmerit.datasets.similarity import group_names, in_validation, near_copies, neighbours
from kmerit.sequences import Int8, Locus, Sequences, reverse_complement


def flat(parts: list[Int8], loci: list[Locus | None] | None = None) -> Sequences:
    offsets = np.concatenate([[0], np.cumsum([part.size for part in parts])])
    names = tuple(f"s{i}" for i in range(len(parts)))
    return Sequences(names, np.concatenate(parts), offsets, loci=None if loci is None else tuple(loci))


@pytest.fixture
def random_parts() -> list[Int8]:
    return list(np.random.default_rng(0).integers(0, 4, (6, 200)).astype(np.int8))


@pytest.mark.parametrize(("shared", "close"), [(71, True), (70, False)])
@pytest.mark.parametrize("turn", [False, True])
def test_71_nt_in_common_are_40_words(random_parts: list[Int8], shared: int, close: bool, turn: bool) -> None:
    piece = random_parts[0][50 : 50 + shared]
    random_parts[3][10 : 10 + shared] = reverse_complement(piece) if turn else piece
    # The base behind the piece differs, whatever it was: the common stretch has exactly this length.
    border = 10 + shared
    neighbour = 3 - random_parts[0][49] if turn else random_parts[0][50 + shared]
    random_parts[3][border] = (neighbour + 1) % 4
    neighbour = 3 - random_parts[0][50 + shared] if turn else random_parts[0][49]
    random_parts[3][9] = (neighbour + 1) % 4
    assert near_copies(flat(random_parts)).tolist() == ([[0, 3]] if close else [])


def test_words_across_the_border_of_two_sequences_do_not_count(random_parts: list[Int8]) -> None:
    joined = np.concatenate(random_parts[:2])
    sequences = flat([*random_parts[:2], joined[130:270]])
    assert near_copies(flat([random_parts[0], random_parts[1], joined])).tolist() == [[0, 2], [1, 2]]
    assert near_copies(sequences).tolist() == []


def test_words_with_n_do_not_count(random_parts: list[Int8]) -> None:
    hidden = random_parts[0].copy()
    hidden[::30] = 4
    other = np.append(hidden, np.int8(0))
    assert near_copies(flat([random_parts[0], hidden, other])).tolist() == []


def test_repeats_of_the_genome_can_be_left_out(random_parts: list[Int8]) -> None:
    for part in random_parts[1:4]:
        part[50:130] = random_parts[0][50:130]
    sequences = flat(random_parts)
    assert len(near_copies(sequences, most=4)) == 6
    assert len(near_copies(sequences, most=3)) == 0


@pytest.mark.parametrize("length", [12, 40, 60, 200])
@pytest.mark.parametrize("turn", [False, True])
def test_copies_are_linked_whatever_their_length_and_number(length: int, turn: bool) -> None:
    other, one = np.random.default_rng(1).integers(0, 4, (2, length)).astype(np.int8)
    family = [one, *[reverse_complement(one) if turn else one.copy()] * 99]
    names = group_names(flat([other, *family]), near_copies(flat([other, *family])))
    assert names == ["s0", *["s1"] * 100]


@pytest.mark.parametrize("members", [3, 60])
@pytest.mark.parametrize("length", [60, 200])
def test_families_that_differ_in_letters_are_linked(members: int, length: int) -> None:
    random = np.random.default_rng(2)
    one, other = random.integers(0, 4, (2, length)).astype(np.int8)
    family = [one.copy() for _ in range(members)]
    for at, member in enumerate(family):
        position = at % 5  # near an end, so that most words stay
        member[position] = (member[position] + 1 + at % 3) % 4
    names = group_names(flat([*family, other]), near_copies(flat([*family, other])))
    assert names == [*["s0"] * members, f"s{members}"]


@pytest.mark.parametrize("together", [1, 50, 700])
def test_words_are_sorted_in_parts(together: int, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    roots = rng.integers(0, 4, (12, 90)).astype(np.int8)
    rows = []
    for root in roots:
        rows.append(root)
        for place in rng.integers(0, 90, rng.integers(0, 3)).tolist():
            copy = rows[-1].copy()
            copy[place] = (copy[place] + 1) % 4
            rows.append(reverse_complement(copy))
    whole = near_copies(flat(rows), most=3)
    assert len(whole) > 5
    monkeypatch.setattr(similarity, "_TOGETHER", together)
    assert near_copies(flat(rows), most=3).tolist() == whole.tolist()


def test_short_sequences_have_no_words() -> None:
    assert near_copies(Sequences.from_strings(["ACGT", "ACGG"])).shape == (0, 2)


def test_neighbours_reach_over_gaps_and_nested_loci() -> None:
    loci = [
        Locus("chr1", 5000, 5100),
        Locus("chr1", 0, 3000, "-"),
        None,
        Locus("chr1", 100, 200),
        Locus("chr1", 4000, 4100),
        Locus("chr1", 6101, 6200),
        Locus("chr2", 5000, 5100),
    ]
    strings = ["A" * (4 if locus is None else locus.end - locus.start) for locus in loci]
    sequences = Sequences.from_strings(strings, loci=loci)
    names = group_names(sequences, neighbours(sequences, 1000))
    assert names == ["seq0", "seq0", "seq2", "seq0", "seq0", "seq5", "seq6"]


def test_groups_join_links_and_given_names() -> None:
    sequences = Sequences.from_strings(["ACGT"] * 6)
    links = np.array([[0, 1], [1, 4]])
    assert group_names(sequences, links, own_names=["", None, "g", "h", "g", None]) == ["g", "g", "g", "h", "g", "seq5"]


def test_a_tenth_of_the_groups_is_for_validation() -> None:
    share = np.mean([in_validation(f"group {i}") for i in range(20_000)])
    assert 0.09 < share < 0.11
    assert [in_validation(name) for name in ("STAU1", "SSX3", "PRR14L", "gene4")] == [True, False, False, False]
