"""Motifs from scores alone, on sequences with a known one."""

from __future__ import annotations

import numpy as np
import pytest

import kmerit as km
from kmerit.biology.motif_hits import read_families
from kmerit.biology.seqlets import (
    FEWEST,
    PER_SEQUENCE,
    Pattern,
    Seqlet,
    discover,
    find_seqlets,
    match,
    patterns,
    shifted,
)
from kmerit.io.motifs import bundled_motifs, find_motif, read_motifs

LENGTH = 80


def planted() -> tuple[km.Sequences, np.ndarray, np.ndarray]:
    """Sequences with AP-1 on either strand; where it is; the effects of substitutions that a perfect score knows."""
    rng = np.random.default_rng(0)
    word = find_motif(read_motifs(), "FOS::JUN")
    rows = rng.integers(0, 4, (120, LENGTH)).astype(np.int8)
    inside = np.zeros(rows.shape, dtype=bool)
    for i, row in enumerate(rows):
        letters = word.draw(rng, 0.85)
        at = rng.integers(10, LENGTH - 10 - len(letters))
        row[at : at + len(letters)] = letters if i % 2 else 3 - letters[::-1]
        inside[i, at : at + len(letters)] = True
    strings = ["".join("ACGT"[base] for base in row) for row in rows]
    return km.Sequences.from_strings(strings, labels=[1] * len(strings)), inside, rng.normal(size=rows.shape)


def scores(name: str, values: np.ndarray, sequences: km.Sequences) -> km.Attribution:
    target = np.ones(len(sequences), dtype=np.int64)
    return km.Attribution(name, values, "nucleotide", target, sequences.names, sequences=sequences)


def test_shifted_scores_are_the_same_scores_elsewhere() -> None:
    values = np.array([[1.0, 2, 3, 4, 5], [1.0, 2, 3, np.nan, np.nan]])
    moved = shifted(values, [5, 3], 0)
    assert sorted(moved[0].tolist()) == [1, 2, 3, 4, 5]
    assert sorted(moved[1, :3].tolist()) == [1, 2, 3]
    assert np.isnan(moved[1, 3:]).all()
    assert (moved[0] != values[0]).any()
    assert (moved[1, :3] != values[1, :3]).any()


@pytest.mark.slow
def test_seqlets_are_where_scores_are_high() -> None:
    sequences, inside, noise = planted()
    found = find_seqlets(3.0 * inside + 0.3 * noise, sequences.lengths.tolist())
    count = np.bincount([each.sequence for each in found], minlength=len(sequences))
    assert count.max() <= PER_SEQUENCE
    first = {each.sequence: each for each in reversed(found)}
    overlap = [inside[i, each.start : each.end].mean() for i, each in first.items()]
    assert len(first) > 100
    assert np.mean(overlap) > 0.8
    assert find_seqlets(np.zeros((3, LENGTH)), [LENGTH] * 3) == []


@pytest.mark.slow
def test_patterns_join_both_strands() -> None:
    sequences, inside, _ = planted()
    seqlets = [Seqlet(i, int(row.argmax()), int(row.argmax() + row.sum()), 1.0) for i, row in enumerate(inside)]
    found = patterns(seqlets, sequences)
    assert found[0].seqlets > 60
    assert all(pattern.seqlets >= FEWEST for pattern in found)
    np.testing.assert_allclose(found[0].probabilities.sum(axis=1), 1)
    known = read_families(bundled_motifs())
    (nearest, *_) = match(found, known, 0)
    assert known[nearest.family].name == "FOS::JUN"
    assert nearest.calibrated < 0.05
    assert match([], known, 0) == []


@pytest.mark.slow
def test_a_flat_pattern_matches_no_more_than_its_shuffled_copies() -> None:
    known = read_families(bundled_motifs())
    rng = np.random.default_rng(1)
    flat = [Pattern(50, rng.dirichlet([20] * 4, size=12)) for _ in range(20)]
    assert sum(each.calibrated <= 0.05 for each in match(flat, known, 0)) <= 4


@pytest.mark.slow
def test_discovery_is_told_beside_its_noise_floor() -> None:
    sequences, inside, noise = planted()
    known = read_families(bundled_motifs())
    table = {"sees": scores("sees", 3.0 * inside + 0.3 * noise, sequences), "noise": scores("noise", noise, sequences)}
    found = discover(table, sequences, known, floors={"ignorant": {"sees": table["noise"]}})
    assert "own" in set(found["source"])
    beyond = found[found["beyond"]]
    assert set(beyond["method"]) == {"sees"}
    assert {known[family].name for family in beyond["family"]} == {"FOS::JUN"}
    assert not found[found["source"] != "own"]["beyond"].any()
    assert len(discover({"zero": scores("zero", 0 * noise, sequences)}, sequences, known)) == 0
