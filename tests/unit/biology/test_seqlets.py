"""Motifs from scores alone, on sequences with a known one."""

from __future__ import annotations

import sys
from types import ModuleType, SimpleNamespace

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
    modisco_patterns,
    patterns,
    shifted,
)
from kmerit.io.motifs import bundled_motifs, find_motif, read_motifs
from kmerit.sequences import one_hot

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


def test_modisco_reads_substitutions_and_shifted_ones_as_its_floor(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is asked of TF-MoDISco, and what becomes of its answer: its pattern without flanks, next to a floor."""
    sequences, inside, noise = planted()
    bases, _ = sequences.padded()
    effects = np.random.default_rng(1).normal(size=(*bases.shape, 4)) * 0.3 - 3.0 * inside[..., None]
    np.put_along_axis(effects, bases[..., None].astype(np.int64), 0.0, axis=2)
    asked = []

    def answer(encoded: np.ndarray, hypothetical: np.ndarray, **settings: int) -> tuple[list[SimpleNamespace], None]:
        contributions = encoded * hypothetical
        asked.append(contributions.sum(axis=2))
        width = int(inside[1].sum())
        places = [max(int(row.sum(axis=1)[10:-20].argmax()) + 10 - width, 0) for row in contributions[1::2]]
        first = [int(row.argmax()) for row in inside[1::2]] if len(asked) == 1 else places
        wide = [slice(at - 8, at + width + 8) for at in np.maximum(first, 8)]
        rows, sizes = (np.mean([t[i, s] for i, s in zip(range(1, 120, 2), wide, strict=True)], axis=0)
                       for t in (encoded, contributions))  # fmt: skip
        return [SimpleNamespace(sequence=rows, contrib_scores=sizes, seqlets=wide)], None

    monkeypatch.setitem(sys.modules, "modiscolite", ModuleType("modiscolite"))
    monkeypatch.setitem(sys.modules, "modiscolite.tfmodisco", SimpleNamespace(TFMoDISco=answer))
    target = np.ones(len(sequences), dtype=np.int64)
    own = km.Attribution(
        "ism", -effects.mean(axis=2), "nucleotide", target, sequences.names, sequences=sequences, substitutions=effects
    )
    known = read_families(bundled_motifs())
    monkeypatch.setattr("kmerit.biology.seqlets.find_seqlets", lambda values, lengths: [])
    found = discover({"ism": own, "noise": scores("noise", noise, sequences)}, sequences, known, modisco=True)
    assert found["source"].tolist() == ["own", "shifted"], "scores without substitutions are not for TF-MoDISco"
    assert (np.sort(asked[0], axis=1).sum(axis=1) != np.sort(asked[1], axis=1).sum(axis=1)).any()
    assert asked[0][inside].mean() > 1 > asked[1][inside].mean()
    first = found.iloc[0]
    assert (known[first["family"]].name, bool(first["beyond"])) == ("FOS::JUN", True)
    assert len(first["consensus"]) == inside[1].sum(), "flanks that contribute nothing are cut off"
    assert not found.iloc[1]["beyond"]


def test_modisco_has_no_patterns_of_a_model_that_learned_nothing() -> None:
    sequences, _, _ = planted()
    assert modisco_patterns(np.zeros((len(sequences), LENGTH, 4)), sequences) == []
    assert modisco_patterns(-1e-4 * (1 - one_hot(sequences.padded()[0]).transpose(0, 2, 1)), sequences) == []
