"""Whatever the sequences: written and read back they are the same; cut, they are parts of what they were."""

from __future__ import annotations

import tempfile
from itertools import pairwise
from pathlib import Path

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from kmerit.datasets.similarity import decontaminate
from kmerit.io.crops import Crop, prepare
from kmerit.io.readers import read_sequences, write_sequences
from kmerit.sequences import ALPHABET, Int8, Locus, Sequences, canonical_kmers, decode, kmers, reverse_complement

letters = st.text(ALPHABET, min_size=1, max_size=120)
names = st.text(st.characters(categories=("L", "N", "P", "S")), min_size=1, max_size=8)
floats = st.floats(allow_nan=False, allow_infinity=False)
places = st.none() | st.tuples(
    st.sampled_from(["chr1", "X", "HLA-A*01:01:01:01", "chr6:5-10", "x:1-2:+"]),
    st.integers(0, 2**62),
    st.sampled_from("+-"),
)


@st.composite
def sequences(draw: st.DrawFn) -> Sequences:
    strings = draw(st.lists(letters, min_size=1, max_size=6))
    n = len(strings)
    labels = draw(
        st.none() | st.lists(st.integers(0, 9), min_size=n, max_size=n) | st.lists(floats, min_size=n, max_size=n)
    )
    drawn = draw(st.lists(places, min_size=n, max_size=n))
    loci = [
        None if place is None else Locus(place[0], place[1], place[1] + len(string), place[2])
        for place, string in zip(drawn, strings, strict=True)
    ]
    return Sequences.from_strings(
        strings,
        labels=labels,
        names=draw(st.lists(names, min_size=n, max_size=n, unique=True)),
        loci=loci if any(loci) else None,
    )


@settings(max_examples=40)
@given(sequences(), st.sampled_from(["fa", "fa.gz", "csv", "tsv.gz", "parquet"]))
def test_written_and_read_back(original: Sequences, suffix: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"x.{suffix}"
        write_sequences(original, path)
        back = read_sequences(path)
    assert back.names == original.names
    assert back.strings() == original.strings()
    assert back.loci == original.loci
    assert (back.labels is None) == (original.labels is None)
    if back.labels is not None and original.labels is not None:
        assert back.labels.dtype == original.labels.dtype
        assert back.labels.tolist() == original.labels.tolist()


@given(sequences(), st.integers(1, 130), st.sampled_from(["left", "center", "right"]))
def test_crops_are_parts(original: Sequences, length: int, anchor: str) -> None:
    cropped, report = prepare(original, crop=Crop(length, anchor), drop_n=False)  # type: ignore[arg-type]
    for before, after in zip(original.strings(), cropped.strings(), strict=True):
        assert after in before
        assert len(after) == min(length, len(before))
        assert anchor != "left" or before.startswith(after)
        assert anchor != "right" or before.endswith(after)
    assert report["cropped_nt"] == original.bases.size - cropped.bases.size


@given(letters, st.integers(1, 32))
def test_canonical_words_are_alike_on_both_strands(text: str, k: int) -> None:
    sequence = Sequences.from_strings([text])
    words, known = canonical_kmers(sequence.bases, k)
    turned, turned_known = canonical_kmers(reverse_complement(sequence.bases), k)
    assert np.array_equal(known, turned_known[::-1])
    assert np.array_equal(words[known], turned[::-1][known])
    if k < 32:
        plain = kmers(sequence.bases, k)
        other = kmers(reverse_complement(sequence.bases), k)[::-1]
        assert np.array_equal(known, plain >= 0)
        assert np.array_equal(words[known], np.minimum(plain, other)[known].astype(np.uint64))


def random_bases(seed: int, size: int) -> Int8:
    return np.random.default_rng(seed).integers(0, 4, size).astype(np.int8)


@settings(max_examples=20)
@given(
    st.lists(st.tuples(st.integers(0, 2900), st.integers(32, 700), st.booleans()), min_size=1, max_size=5),
    st.lists(st.integers(0, 3000), max_size=3),
)
def test_decontaminated_pieces_are_parts_and_clean(tests: list[tuple[int, int, bool]], cuts: list[int]) -> None:
    bases = random_bases(7, 3000)
    borders = sorted({0, *cuts, 3000})
    records = Sequences.from_strings([decode(bases[a:b]) for a, b in pairwise(borders)])
    parts = [bases[a : a + size] for a, size, _ in tests]
    against = Sequences.from_strings(
        [decode(reverse_complement(part) if turn else part) for part, (*_, turn) in zip(parts, tests, strict=True)]
    )
    clean, report = decontaminate(records, against, shortest=1)
    assert clean.bases.size + report.removed_nt == report.nt == 3000
    for name, string in zip(clean.names, clean.strings(), strict=True):
        source = records.string(records.names.index(name.split("/")[0]))
        start, end = (int(x) for x in name.split("/")[1].split("-")) if "/" in name else (0, len(source))
        assert string == source[start:end]
    assert decontaminate(clean, against, shortest=1)[1].removed_nt == 0
