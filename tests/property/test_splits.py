"""Whatever the rows: no group crosses splits, no copy and no reverse complement either, and nothing is lost unsaid."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import assume, given, reject, settings
from hypothesis import strategies as st

from kmerit.datasets.split import Division, split
from kmerit.errors import FormatError
from kmerit.sequences import Int8, Locus, Sequences, decode, reverse_complement


@st.composite
def families(draw: st.DrawFn) -> Sequences:
    """Rows of a few families: copies on either strand, shifted windows, mutated ones, with or without coordinates."""
    rng = np.random.default_rng(draw(st.integers(0, 10_000)))
    parts: list[Int8] = []
    loci: list[Locus | None] = []
    placed = draw(st.booleans())
    for family in range(draw(st.integers(6, 14))):
        parent = rng.integers(0, 4, 400).astype(np.int8)
        for _ in range(draw(st.integers(1, 5))):
            start = int(rng.integers(0, 200))
            part = parent[start : start + 180].copy()
            kind = draw(st.sampled_from(["as it is", "turned", "mutated"]))
            if kind == "mutated":
                part[rng.integers(0, 180, 3)] = rng.integers(0, 4, 3)
            parts.append(reverse_complement(part) if kind == "turned" else part)
            loci.append(Locus(f"chr{family % 3}", 10_000 * family + start, 10_000 * family + start + 180))
            if draw(st.booleans()):
                parts.append(parts[-1] if draw(st.booleans()) else reverse_complement(parts[-1]))
                loci.append(loci[-1])
    labels = draw(st.lists(st.integers(0, 1), min_size=len(parts), max_size=len(parts)))
    labels[0], labels[-1] = 0, 1
    return Sequences.from_strings([decode(part) for part in parts], labels, loci=loci if placed else None)


@st.composite
def strong_cases(draw: st.DrawFn) -> Sequences:
    """Families of up to 70 near copies, rows as short as 40 nt, on either strand, among rows of their own."""
    rng = np.random.default_rng(draw(st.integers(0, 10_000)))
    parts: list[Int8] = []
    for _ in range(draw(st.integers(1, 3))):
        length, rows = draw(st.sampled_from([40, 60, 100, 200])), draw(st.sampled_from([2, 45, 70]))
        parent = rng.integers(0, 4, length + 8).astype(np.int8)
        changed = draw(st.integers(0, 2))
        for _ in range(rows):
            start = int(rng.integers(0, 9))
            part = parent[start : start + length].copy()
            part[rng.integers(0, length, changed)] = rng.integers(0, 4, changed)
            parts.append(reverse_complement(part) if rng.random() < 0.5 else part)
    parts += list(rng.integers(0, 4, (draw(st.integers(20, 60)), 80)).astype(np.int8))
    labels = rng.integers(0, 2, len(parts))
    labels[0], labels[-1] = 0, 1
    return Sequences.from_strings([decode(part) for part in parts], labels)


def words(text: Int8) -> set[str]:
    """List the 32-mers of both strands."""
    return {s[i : i + 32] for s in (decode(text), decode(reverse_complement(text))) for i in range(len(s) - 31)}


def divided(rows: Sequences, **options: Any) -> Division:
    """Divide rows anew; so few that a split would be empty are refused, and no example."""
    try:
        return split(rows, test=0.3, **options)
    except FormatError as error:
        if "nothing is left for" not in str(error):
            raise
        reject()


@settings(max_examples=12, deadline=None)
@given(strong_cases(), st.integers(0, 3))
def test_no_later_split_has_most_of_a_row_in_an_earlier_one(rows: Sequences, seed: int) -> None:
    result = divided(rows, validation=0.2, seed=seed)
    data = result.dataset
    assert data.sequences is not None
    assert len(data) + sum(result.dropped.values()) == len(rows)
    own = [words(part) for part in data.sequences.rows()]
    contents = [set().union(*(own[i] for i in np.flatnonzero(data.split == s))) for s in range(3)]
    for i, mine in enumerate(own):
        for earlier in range(int(data.split[i])):
            assert len(mine & contents[earlier]) < 0.5 * len(mine)
    assert len(set(zip(result.group.tolist(), data.split.tolist(), strict=True))) == len(set(result.group.tolist()))


@settings(max_examples=40)
@given(families(), st.sampled_from(["group", "chromosome"]), st.integers(0, 3), st.sampled_from([0.0, 0.2]))
def test_nothing_crosses(rows: Sequences, by: str, seed: int, validation: float) -> None:
    assume(by == "group" or rows.loci is not None)
    result = divided(rows, validation=validation, by=by, seed=seed)
    data = result.dataset
    assert data.sequences is not None
    assert len(data) + sum(result.dropped.values()) == len(rows)
    home: dict[int, int] = {}
    strands: dict[str, int] = {}
    for i, part in enumerate(data.sequences.rows()):
        assert home.setdefault(int(result.group[i]), int(data.split[i])) == data.split[i]
        for text in {decode(part), decode(reverse_complement(part))}:
            assert text not in strands
            strands[text] = i
    for i, a in enumerate(data.loci or ()):
        for j, b in enumerate(data.loci or ()):
            if a and b and a.chrom == b.chrom and a.start < b.end and b.start < a.end:
                assert data.split[i] == data.split[j]
