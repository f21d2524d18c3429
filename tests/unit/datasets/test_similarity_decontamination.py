"""What is shared with test sequences goes, the rest stays, and the account adds up."""

from __future__ import annotations

import numpy as np
import pytest

import kmerit.datasets.similarity as module
from kmerit.datasets.similarity import decontaminate, shared_kmers
from kmerit.sequences import Int8, Locus, Sequences, decode, reverse_complement


@pytest.fixture
def bases() -> Int8:
    return np.random.default_rng(1).integers(0, 4, 20_000).astype(np.int8)


def of(*parts: Int8, **more: object) -> Sequences:
    return Sequences.from_strings([decode(part) for part in parts], **more)  # type: ignore[arg-type]


def slow_count(record: str, test: str) -> int:
    """Count by strings: the replica."""
    turned = test[::-1].translate(str.maketrans("ACGT", "TGCA"))
    words = {strand[i : i + 32] for strand in (test, turned) for i in range(len(strand) - 31)}
    return sum(record[i : i + 32] in words for i in range(len(record) - 31))


def test_counts_as_strings_do(bases: Int8) -> None:
    records = of(bases[:300], bases[150:400], bases[5000:5100], bases[:31], reverse_complement(bases[100:250]))
    tests = of(bases[90:300], bases[200:390], bases[5050:5080])
    expected = [max(slow_count(record, test) for test in tests.strings()) for record in records.strings()]
    assert shared_kmers(records, tests).tolist() == expected
    assert expected[2:4] == [0, 0]
    assert min(expected[:2]) > 100


def test_counts_nothing_against_nothing(bases: Int8) -> None:
    assert shared_kmers(of(bases[:300]), of(bases[:20])).tolist() == [0]


@pytest.mark.parametrize(("length", "gone"), [(71, True), (70, False)])
@pytest.mark.parametrize("turn", [False, True])
def test_a_short_row_goes_as_a_whole_from_40_words_on(bases: Int8, length: int, gone: bool, turn: bool) -> None:
    rows = of(bases[:200], bases[1000:1200], labels=[0, 1], names=["shared", "clean"])
    piece = bases[100 : 100 + length]
    clean, report = decontaminate(rows, of(reverse_complement(piece) if turn else piece))
    assert clean.names == (("clean",) if gone else ("shared", "clean"))
    assert (report.dropped, report.cut, report.removed_nt) == ((1, 0, 200) if gone else (0, 0, 0))


def test_a_long_record_loses_just_the_shared_stretch(bases: Int8) -> None:
    record = of(bases, labels=[1], names=["chr"], loci=[Locus("chr9", 1000, 21_000, "-")])
    clean, report = decontaminate(record, of(reverse_complement(bases[7000:7250])))
    assert clean.names == ("chr/0-7000", "chr/7250-20000")
    assert clean.strings() == [decode(bases[:7000]), decode(bases[7250:])]
    assert clean.loci == (Locus("chr9", 14_000, 21_000, "-"), Locus("chr9", 1000, 13_750, "-"))
    assert clean.labels is not None
    assert clean.labels.tolist() == [1, 1]
    assert report.as_dict() == {
        "rows": 1, "dropped": 0, "cut": 1, "pieces": 2, "nt": 20_000, "removed_nt": 250, "scrap_nt": 0,
    }  # fmt: skip


def test_scraps_are_dropped_and_counted(bases: Int8) -> None:
    clean, report = decontaminate(of(bases), of(bases[150:400]), shortest=200)
    assert clean.names == ("seq0/400-20000",)
    assert (report.removed_nt, report.scrap_nt) == (250, 150)
    assert clean.bases.size + report.removed_nt + report.scrap_nt == report.nt


def test_words_of_different_test_sequences_do_not_add_up(bases: Int8) -> None:
    tests = of(bases[100:160], bases[170:230])
    assert shared_kmers(of(bases[:600]), tests).tolist() == [29]
    assert decontaminate(of(bases[:600]), tests)[1].removed_nt == 0


def test_words_far_apart_do_not_add_up(bases: Int8) -> None:
    test = of(np.concatenate([bases[100:160], bases[3000:3060]]))
    assert decontaminate(of(bases), test)[1].removed_nt == 0
    assert decontaminate(of(bases), test, window=4000)[1].removed_nt == 2960


def test_words_do_not_reach_over_records(bases: Int8) -> None:
    test = of(bases[900:1100])
    whole, halves = of(bases[:2000]), of(bases[:970], bases[970:2000])
    assert decontaminate(whole, test)[1].removed_nt == 200
    assert decontaminate(halves, test)[0].lengths.tolist() == [970, 900]


@pytest.mark.parametrize("chunk", [64, 1000, 6999, 7001])
def test_chunks_leave_no_trace(bases: Int8, chunk: int, monkeypatch: pytest.MonkeyPatch) -> None:
    records = of(bases[:5000], bases[5000:5300], bases[5300:], bases[100:350])
    tests = of(bases[4900:5200], reverse_complement(bases[6900:7100]), bases[10_000:10_090], bases[:50])
    expected, account = decontaminate(records, tests)
    counts = shared_kmers(records, tests)
    monkeypatch.setattr(module, "_CHUNK", chunk)
    clean, report = decontaminate(records, tests)
    assert report == account
    assert clean.names == expected.names
    assert np.array_equal(clean.bases, expected.bases)
    assert np.array_equal(shared_kmers(records, tests), counts)


def test_nothing_is_left_to_find(bases: Int8) -> None:
    generator = np.random.default_rng(2)
    starts = generator.integers(0, 19_000, 12)
    tests = of(*(bases[a : a + size] for a, size in zip(starts, generator.integers(40, 600, 12), strict=True)))
    clean, report = decontaminate(of(bases[:9000], bases[9000:9400], bases[9400:]), tests)
    assert report.removed_nt > 1000
    again, nothing = decontaminate(clean, tests)
    assert nothing.removed_nt == 0
    assert again.names == clean.names
    for record in clean.strings():
        for a in range(0, max(len(record) - 599, 1), 50):
            assert max(slow_count(record[a : a + 600], test) for test in tests.strings()) < 40
