"""Leaks on purpose: as many rows as before, the same ones replaced whoever else leaks, and found by the audit."""

from __future__ import annotations

import numpy as np
import pytest

from helpers.faulty_sets import made, random_parts
from kmerit.datasets.audit import audit
from kmerit.datasets.leaks import FARTHEST, NEAREST, draw_leaking, overlapping_windows, placed, plant_leaks
from kmerit.errors import FormatError, LabelError
from kmerit.io.genome import locate
from kmerit.sequences import Sequences, decode, reverse_complement


@pytest.fixture
def rows() -> tuple[Sequences, Sequences]:
    """Training and test rows without anything in common."""
    return made(random_parts(100, 200)), made(random_parts(40, 200, seed=1))


@pytest.mark.parametrize("classes", [(), (0,), (1,), (0, 1)])
def test_arms(rows: tuple[Sequences, Sequences], classes: tuple[int, ...]) -> None:
    train, test = rows
    leaks = test.take(draw_leaking(test, 0.75, seed=0))
    arm = plant_leaks(train, leaks, classes, seed=0)
    assert len(arm) == len(train)
    assert np.array_equal(arm.labels, train.labels)
    result = audit({"train": arm, "test": test}, baselines=()).classes
    for label in (0, 1):
        assert result[str(label)]["test_rows_copied_from_train"] == (0.75 if label in classes else 0.0)
    both = plant_leaks(train, leaks, (0, 1), seed=0)
    for i, label in enumerate(train.labels.tolist()):
        assert arm.names[i] == (both if label in classes else train).names[i]


def test_too_many_leaks_and_no_labels(rows: tuple[Sequences, Sequences]) -> None:
    train, test = rows
    with pytest.raises(LabelError, match="20 leaks of class 0 cannot replace 5 training rows"):
        plant_leaks(train.take(slice(10)), test, (0,), seed=0)
    bare = Sequences.from_strings(["ACGT"])
    with pytest.raises(LabelError, match="needs classes as labels"):
        plant_leaks(bare, test, (0,), seed=0)
    with pytest.raises(LabelError, match="needs classes as labels"):
        draw_leaking(bare, 0.5, seed=0)


@pytest.fixture
def genome() -> Sequences:
    """Two pieces."""
    return Sequences.from_strings([decode(part) for part in random_parts(2, 2000, seed=5)], names=["x", "y"])


def test_located_on_either_strand(genome: Sequences) -> None:
    texts = [genome.string(0)[100:300], genome.string(1)[1800:2000], genome.string(0)[1950:] + genome.string(1)[:50]]
    turned = made([reverse_complement(part) for part in Sequences.from_strings(texts).rows()])
    place, strand = locate(Sequences.from_strings(texts), genome)
    assert (place.tolist(), strand.tolist()) == ([100, 3800, -1], [1, 1, 1])
    place, strand = locate(turned, genome)
    assert (place.tolist(), strand.tolist()) == ([100, 3800, -1], [-1, -1, 1])
    almost = texts[0][:150] + ("A" if texts[0][150] != "A" else "C") + texts[0][151:]
    assert locate(Sequences.from_strings([almost, "ACGT"]), genome)[0].tolist() == [-1, -1]


def test_neighbours_overlap_and_keep_strand_and_label(genome: Sequences) -> None:
    starts = [0, 700, 1800]
    parts = [genome.bases[a : a + 200] for a in starts]
    parts[1] = reverse_complement(parts[1])
    test = made(parts)
    for seed in range(5):
        beside = overlapping_windows(test, genome, seed)
        assert beside.labels is not None
        assert beside.labels.tolist() == [0, 1, 0]
        place, strand = locate(beside, genome)
        assert strand.tolist() == [1, -1, 1]
        shift = place - np.array(starts)
        assert ((np.abs(shift) >= NEAREST) & (np.abs(shift) <= FARTHEST)).all()
        assert (place >= 0).all()
        assert (place + 200 <= 2000).all()


def test_rows_that_are_not_in_the_genome(genome: Sequences) -> None:
    rows = made([genome.bases[10:200], *random_parts(1, 190, seed=9), genome.bases[2000:4000]])
    assert placed(rows, genome).tolist() == [0]
    with pytest.raises(FormatError, match="'seq1' is not in the genome, or has no room next to it"):
        overlapping_windows(rows, genome, 0)
