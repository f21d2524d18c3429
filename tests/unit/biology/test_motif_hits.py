"""Families, their shuffled copies and their hits, against enumeration."""

from __future__ import annotations

import os
import subprocess
import sys
from itertools import product
from pathlib import Path

import numpy as np
import pytest

import kmerit as km
from kmerit.biology.motif_hits import (
    USUAL_NAMES,
    Family,
    _family,
    families,
    families_named,
    find_hits,
    read_families,
    write_meme,
)
from kmerit.errors import UnknownName
from kmerit.io.motifs import Motif, bundled_motifs, read_motifs

UNKNOWN = np.array([[0.7, 0.1, 0.1, 0.1], [0.1, 0.7, 0.1, 0.1], [0.05, 0.05, 0.85, 0.05], [0.25, 0.25, 0.25, 0.25]])


def named(families: tuple[Family, ...], name: str) -> set[str]:
    return next({each.name for each in family.motifs} for family in families if name in {m.name for m in family.motifs})


def test_bundled_families_are_what_is_known_to_be_alike() -> None:
    known = read_families()
    assert sum(map(len, known)) == 1019
    assert len({motif.identifier for family in known for motif in family.motifs}) == 1019
    assert len({family.name for family in known}) == len(known)
    assert {family.name for family in known if family.name.startswith("ZNF43 ")} == {
        f"ZNF43 ({identifier})" for identifier in ("MA2564.1", "MA2692.1")
    }
    assert {"SP1", "KLF4"} <= named(known, "SP1")
    assert {"FOS::JUN", "JUNB", "NFE2"} <= named(known, "BATF::JUN")
    assert {"GATA1", "GATA4"} <= named(known, "GATA1")
    assert {"NFYA", "NFYB", "NFYC"} <= named(known, "NFYA")
    assert {"USF1", "MAX", "MYC", "MITF"} <= named(known, "USF1")
    assert {"CEBPA", "TEF", "DBP", "ATF4"} <= named(known, "CEBPA")
    assert {"CTCF", "CTCFL"} <= named(known, "CTCF")
    assert "CREB1" not in named(known, "BATF::JUN")
    for family in known:
        for motif in family.motifs:
            np.testing.assert_allclose(motif.probabilities.sum(axis=1), 1, atol=1e-9)


def test_members_are_aligned_and_shuffled_alike() -> None:
    rng = np.random.default_rng(0)
    rows = rng.dirichlet([0.3] * 4, size=12)
    first, cut, turned = (
        Motif(name, name, table) for name, table in (("a", rows), ("b", rows[2:9]), ("c", rows[1:11][::-1, ::-1]))
    )
    family = _family([first, cut, turned])
    assert family.places == (0, 2, 1)
    assert family.reverse == (False, False, True)
    whole, part, back = family.shuffled(3, 0)
    assert sorted(map(tuple, whole)) == sorted(map(tuple, rows))
    assert not np.allclose(whole, rows)
    order = [int(np.flatnonzero((rows == row).all(axis=1))[0]) for row in whole]
    np.testing.assert_allclose(part, rows[[i for i in order if 2 <= i < 9]])
    np.testing.assert_allclose(back, rows[[i for i in order if 1 <= i < 11]])
    assert not np.allclose(family.shuffled(4, 0)[0], whole)
    np.testing.assert_allclose(family.shuffled(3, 0)[0], whole)


@pytest.mark.slow
def test_hits_are_the_windows_whose_exact_p_is_low() -> None:
    table = np.log2((UNKNOWN + 1e-4) / 0.25)
    every = np.array([sum(table[i, base] for i, base in enumerate(word)) for word in product(range(4), repeat=4)])
    rng = np.random.default_rng(1)
    text = "".join("ACGT"[i] for i in rng.integers(4, size=400)) + "N" + "ACGA" * 3
    hits = find_hits([[UNKNOWN]], km.Sequences.from_strings([text, "ACGT"]), p=0.05)
    result = {(int(s), int(a), bool(r)) for s, a, r in zip(hits.sequence, hits.start, hits.reverse, strict=True)}
    flip = str.maketrans("ACGT", "TGCA")
    for start in range(len(text) - 3):
        window = text[start : start + 4]
        for reverse in (False, True):
            word = window[::-1].translate(flip) if reverse else window
            if "N" in word:
                assert (0, start, reverse) not in result
                continue
            score = sum(table[i, "ACGT".index(letter)] for i, letter in enumerate(word))
            p = (every >= score - 1e-9).mean()
            if p < 0.03:
                assert (0, start, reverse) in result
            if p > 0.08:  # scores are put into bins of a tenth of a bit
                assert (0, start, reverse) not in result
    assert any(sequence == 1 for sequence, _, _ in result)
    np.testing.assert_array_equal(hits.end - hits.start, 4)


@pytest.mark.slow
def test_motifs_of_a_file_are_grouped_by_tomtom() -> None:
    motifs = list(read_motifs(bundled_motifs()).values())
    twice = [*motifs, *(Motif(f"{m.name}'", f"{m.identifier}'", m.probabilities[::-1, ::-1]) for m in motifs)]
    known = families(twice)
    assert len(known) == len(motifs)
    assert all(len(family) == 2 and family.reverse[1] for family in known)


def test_two_families_of_one_name_have_their_identifiers(tmp_path: Path) -> None:
    path = tmp_path / "two.meme"
    other = np.eye(4)[[0, 0, 1, 1, 0, 0, 3, 3]]
    path.write_text(write_meme({"M1": ("ONE", UNKNOWN), "M2": ("ONE", other), "M3": ("TWO", np.eye(4)[[2, 1] * 5])}))
    assert {family.name for family in read_families(path)} == {"ONE (M1)", "ONE (M2)", "TWO"}


def test_one_motif_is_one_family(tmp_path: Path) -> None:
    path = tmp_path / "one.meme"
    path.write_text(write_meme({"M1": ("ONE", UNKNOWN)}))
    (family,) = read_families(path)
    assert (family.name, len(family)) == ("ONE", 1)
    np.testing.assert_allclose(family.motif.probabilities, UNKNOWN)


def test_families_are_found_by_what_people_call_them(tmp_path: Path) -> None:
    known = read_families()
    own = {motif.identifier: motif.name for family in known for motif in family.motifs}
    for usual, (identifier, member, *_) in USUAL_NAMES.items():
        assert own[identifier] == member
        assert families_named([usual], known) == families_named([identifier], known)
    assert families_named(["ap-1"], known) == {33: "FOSL1"}
    few = read_families(bundled_motifs())
    assert set(families_named(["AP-1", "NFY", "ETS"], few).values()) == {"FOS::JUN", "NFYA", "ETS1"}
    (tmp_path / "own.meme").write_text(bundled_motifs().read_text().replace("MA0099.4", "own"))
    assert list(families_named(["AP-1"], read_families(tmp_path / "own.meme")).values()) == ["FOS::JUN"]
    with pytest.raises(UnknownName, match=r"Unknown family of motifs 'FOX'\. Did you mean 'FOX"):
        families_named(["FOX"], known)
    with pytest.raises(UnknownName, match="Unknown family of motifs 'ETS'"):
        families_named(["ETS"], [family for family in few if family.name == "CTCF"])


THREADS = """
import torch
torch.set_num_threads(1)
torch.get_num_threads()  # from here on torch asks OpenMP
from kmerit.biology.motif_hits import families, find_hits
from kmerit.io.motifs import bundled_motifs, read_motifs
from kmerit.sequences import Sequences
motifs = list(read_motifs(bundled_motifs()).values())
families(motifs)
find_hits([[motifs[0].probabilities]], Sequences.from_strings(["ACGTTGCA" * 9]))
print(torch.get_num_threads())
"""


def test_motifs_leave_the_threads_of_torch_as_they_are() -> None:
    command = [sys.executable, "-P", "-c", THREADS]
    environment = {**os.environ, "NUMBA_NUM_THREADS": "2"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=600, check=False)
    assert done.stdout == "1\n", done.stderr
