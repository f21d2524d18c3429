"""Three questions of motifs: against brute force, other libraries, and sequences of which the answer is known."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.stats import contingency, nchypergeom_fisher
from sklearn.metrics import roc_auc_score
from statsmodels.stats.contingency_tables import StratifiedTable
from torch import nn

import kmerit as km
from kmerit.biology import motif_parts, motif_tests
from kmerit.biology.motif_hits import COPIES, Hits, read_families
from kmerit.biology.motif_tests import (
    BUDGET,
    Line,
    Measured,
    Spans,
    aurocs,
    budgets,
    compare_methods,
    composed,
    enrichment,
    halves,
    lines_of,
    measure,
    odds_bound,
    profiles,
    sites,
)
from kmerit.biology.motif_use import Use, used
from kmerit.errors import FormatError, LabelError, RunError, RunMismatch, SequenceError, UnknownName, UsageError
from kmerit.io.motifs import Motif, bundled_motifs, find_motif, read_motifs
from kmerit.io.scores import save
from kmerit.models import model as models
from kmerit.report.motif_section import section
from kmerit.report.text import motif_answers, motif_found, motif_lines, motif_summary
from kmerit.store import Share, Work


def test_budgets_are_equal_whatever_the_scores() -> None:
    rng = np.random.default_rng(0)
    scores = np.round(rng.normal(size=(50, 37)), 1)
    scores[3] = 0.0
    scores[4, 10:] = np.nan
    weights = budgets(scores)
    np.testing.assert_allclose(weights.sum(axis=1), 0.1 * np.isfinite(scores).sum(axis=1))
    assert ((weights >= 0) & (weights <= 1)).all()
    np.testing.assert_allclose(weights[3], 0.1)
    assert weights[4, 10:].sum() == 0
    for row, weight in zip(scores, weights, strict=True):
        known = np.isfinite(row)
        assert row[known & (weight == 1)].min(initial=np.inf) >= row[known & (weight < 1)].max(initial=-np.inf)
    assert not budgets(np.full((1, 5), np.nan)).any()


def test_profiles_leave_out_a_sequences_own_cluster() -> None:
    rng = np.random.default_rng(1)
    weights, clusters = rng.random((6, 8)), np.array([0, 0, 1, 2, 2, 3])
    product = profiles(weights, np.ones((6, 8), dtype=bool), np.full(6, 8), clusters)
    for i in range(6):
        np.testing.assert_allclose(product[i], weights[clusters != clusters[i]].mean(axis=0))


def test_profiles_of_other_lengths_go_by_the_share_of_the_length() -> None:
    valid = np.array([[True] * 8, [True] * 4 + [False] * 4])
    weights = np.where(valid, [[1.0, 1, 2, 2, 3, 3, 4, 4], [5.0, 6, 7, 8, 0, 0, 0, 0]], 0.0)
    product = profiles(weights, valid, np.array([8, 4]), np.array([0, 1]))
    assert product[1, :4].tolist() == [1, 2, 3, 4]
    assert product[0].tolist() == [5, 5, 6, 6, 7, 7, 8, 8]


def made_hits(rng: np.random.Generator, families: int, sequences: int, length: int, count: int) -> Hits:
    group, sequence = rng.integers(families, size=count), rng.integers(sequences, size=count)
    start = rng.integers(length - 6, size=count)
    end = start + rng.integers(1, 7, size=count)
    zeros = np.zeros(count, dtype=np.int64)
    return Hits(group, zeros, sequence, start, end, zeros, np.zeros(count), np.full(count, 1e-5))


def masks(hits: Hits, families: int, sequences: int, length: int) -> Any:
    out = np.zeros((families, sequences, length), dtype=bool)
    for group, sequence, start, end in zip(hits.group, hits.sequence, hits.start, hits.end, strict=True):
        out[group, sequence, start:end] = True
    return out


@pytest.mark.parametrize("count", [0, 1, 300])
def test_merged_hits_cover_what_all_hits_cover(count: int) -> None:
    rng = np.random.default_rng(2)
    hits = made_hits(rng, 4, 5, 40, count)
    spans = Spans(*hits.merged(5))
    values = rng.random((5, 40))
    expected = (masks(hits, 4, 5, 40) * values).sum(axis=2)
    np.testing.assert_allclose(spans.sums(values, 4), expected, atol=1e-12)
    key = list(
        zip(spans.family.tolist(), spans.sequence.tolist(), spans.start.tolist(), spans.end.tolist(), strict=True)
    )
    assert all(a[:2] != b[:2] or a[3] < b[2] for a, b in pairwise(key))


def test_the_mean_over_all_shifts_is_the_budget() -> None:
    """The first null needs no draw: an FFT over every lag gives its mean, and that is the budget."""
    rng = np.random.default_rng(3)
    hits = made_hits(rng, 3, 5, 40, 60)
    weights, inside = budgets(rng.normal(size=(5, 40))), masks(hits, 3, 5, 40)
    lags = np.fft.irfft(np.fft.rfft(weights) * np.conj(np.fft.rfft(inside.astype(float))), n=40)
    size = inside.sum(axis=2)
    np.testing.assert_allclose((lags.mean(axis=2) / np.where(size, size, 1))[size > 0], BUDGET)
    line = Line("a", "size", False, weights)
    own = Spans(*hits.merged(5))
    copies = [made_hits(rng, 3, 5, 40, 6) for _ in range(3)]
    pairs = [(own.apart(other), other.apart(own)) for other in (Spans(*copy.merged(5)) for copy in copies)]
    measured = measure(line, np.full(5, 40), np.arange(5), own, pairs, 3)
    spent = budgets(weights)
    np.testing.assert_allclose(
        measured.own.T[size > 0], ((inside * spent).sum(axis=2) / np.where(size, size, 1))[size > 0]
    )
    assert np.isnan(measured.own.T[size == 0]).all()
    others = np.stack([spent[np.arange(5) != i].mean(axis=0) for i in range(5)])
    np.testing.assert_allclose(
        measured.other.T[size > 0], ((inside * others).sum(axis=2) / np.where(size, size, 1))[size > 0]
    )
    shares = [spans.sums(spent, 3) / np.maximum(spans.sums(np.ones_like(spent), 3), 1e-9) for spans, _ in pairs]
    there = np.stack([spans.sums(np.ones_like(spent), 3) > 0 for spans, _ in pairs])
    expected = np.where(there, shares, 0).sum(axis=0) / np.maximum(there.sum(axis=0), 1)
    some = there.any(axis=0)
    np.testing.assert_allclose(measured.apart.T[some], expected[some])
    assert np.isnan(measured.apart.T[~some]).all()


def test_stretches_apart_overlap_none_of_the_other() -> None:
    rng = np.random.default_rng(13)
    for count in (0, 3, 30):
        one, other = (Spans(*made_hits(rng, 4, 5, 40, n).merged(5)) for n in (60, count))
        theirs = list(zip(*(column.tolist() for column in other), strict=True))
        expected = [
            (family, sequence, start, end)
            for family, sequence, start, end in zip(*(column.tolist() for column in one), strict=True)
            if not any(f == family and s == sequence and a < end and start < b for f, s, a, b in theirs)
        ]
        assert list(zip(*(column.tolist() for column in one.apart(other)), strict=True)) == expected


def test_copies_that_match_the_very_sites_do_not_hide_a_motif() -> None:
    """A copy of a GC-rich motif matches some of its sites, too; those sites speak for neither."""
    rng = np.random.default_rng(14)
    rows, length, families = 120, 100, 60
    starts = rng.integers(0, 80, rows)
    scores = rng.normal(size=(rows, length))
    scores[np.arange(rows)[:, None], starts[:, None] + np.arange(12)] += 4
    column = np.arange(rows)

    def background(count: int) -> list[Any]:
        hits = made_hits(rng, families - 1, rows, length, count)
        return [hits.group + 1, hits.sequence, hits.start, hits.end]

    def spans(of_motif: list[Any]) -> Spans:
        both = [np.concatenate(pair) for pair in zip(of_motif, background(3000), strict=True)]
        order = np.lexsort((both[2], both[1], both[0]))
        return Spans(*(each[order].astype(np.int64) for each in both))

    own = spans([0 * column, column, starts, starts + 12])
    copies = []
    for _ in range(COPIES):
        same = rng.random(rows) < rng.choice([0.05, 0.8])  # of some copies most hits are sites
        at = np.where(same, starts + 2, (starts + 40) % 80)
        copies.append(spans([0 * column, column, at, at + 12]))
    table = motif_tests.find(
        [Line("m", "size", False, scores)], np.full(rows, length), np.arange(rows), own, copies, families, 0
    )
    assert table["found"].tolist() == [True] + [False] * (families - 1)


@pytest.mark.parametrize("others", [0, 59])
def test_a_method_that_is_never_wrong_has_found_the_family(others: int) -> None:
    """Where all sequences agree there is no error, and the t is infinite; where they agree on nothing, none is due."""
    rng = np.random.default_rng(15)
    rows, length = 60, 100
    column = np.arange(rows)
    starts = np.where(column % 2, 20, 60)
    mask = np.zeros((rows, length))
    mask[column[:, None], starts[:, None] + np.arange(10)] = 1.0
    once = mask.copy()
    once[7] = mask[8]
    scores = {"mask": mask, "once wrong": once, "flat": np.full((rows, length), 0.3), "noise": rng.random(mask.shape)}

    def spans(at: Any, count: int) -> Spans:
        hits = made_hits(rng, max(others, 1), rows, length, count if others else 0)
        background = [hits.group + 1, hits.sequence, hits.start, hits.end]
        both = [np.concatenate(pair) for pair in zip([0 * column, column, at, at + 10], background, strict=True)]
        order = np.lexsort((both[2], both[1], both[0]))
        return Spans(*(each[order].astype(np.int64) for each in both))

    own = spans(starts, 3000)
    copies = [spans(np.where(column % 2, 45, 5) + i, 3000) for i in range(COPIES)]
    lines = [Line(name, "size", False, each) for name, each in scores.items()]
    table = motif_tests.find(lines, np.full(rows, length), column, own, copies, 1 + others, 0)
    table = table[table["family"] == 0].set_index("method")
    assert table["tested"].all()
    assert table["found"].to_dict() == {"mask": True, "once wrong": True, "flat": False, "noise": False}
    assert table["t_shift"]["mask"] == np.inf
    assert table["p"]["mask"] == 1 / 2001
    assert (table["excess"]["flat"], table["q"]["flat"]) == (0, 1)
    assert np.isnan(table["t"]["flat"])
    assert not table["composition"].any()


def test_methods_that_always_differ_by_as_much_differ() -> None:
    inside = np.arange(30) < np.full((80, 1), 6)
    names = tuple(f"s{i}" for i in range(80))
    values = {"mask": inside * 1.0, "flat": np.zeros(inside.shape), "too": np.zeros(inside.shape)}
    scores = {n: km.Attribution(n, v, "nucleotide", np.zeros(80, dtype=np.int64), names) for n, v in values.items()}
    pairs = compare_methods(scores, inside, np.arange(80), 0)[1]
    assert pairs["difference"].tolist() == [0.5, 0.5, 0.0]
    np.testing.assert_allclose(pairs["p"], [3 / 2001, 3 / 2001, 1.0])
    once = np.where(np.arange(80)[:, None] == 4, 0.0, values["mask"])
    scores["mask"] = dataclasses.replace(scores["mask"], scores=once)
    pairs = compare_methods(scores, inside, np.arange(80), 0)[1]
    assert (pairs["p"] < 0.01).tolist() == [True, True, False]


def test_withheld_sequences_take_no_part() -> None:
    rng = np.random.default_rng(4)
    scores = rng.normal(size=(5, 40))
    scores[2] = np.nan
    hits = made_hits(rng, 3, 5, 40, 200)
    spans = Spans(*hits.merged(5))
    pairs = [(spans, Spans(*made_hits(rng, 3, 5, 40, 20).merged(5)))] * 3
    measured = measure(Line("a", "size", False, scores), np.full(5, 40), np.arange(5), spans, pairs, 3)
    assert np.isnan(measured.own[2]).all()
    assert np.isfinite(measured.own[[0, 1, 3, 4]]).all()


def synthetic(rng: np.random.Generator, rows: int, families: int, spread: float, effect: float = 0.0) -> Measured:
    """Shares of families and copies whose true means differ by ``spread``; the family's own by ``effect`` more."""
    centre = 0.2 + rng.normal(0, spread, size=(COPIES + 1, 1, families))
    every = centre + rng.normal(0, 0.15, size=(COPIES + 1, rows, families))
    every[rng.random(every.shape) < 0.5] = np.nan
    own = every[0] + effect
    return Measured(own, np.full(own.shape, 0.1), own, every[1:].astype(np.float32))


@pytest.mark.parametrize("spread", [0.0, 0.05])
def test_a_family_that_is_one_more_order_of_columns_is_rarely_rejected(spread: float) -> None:
    """The third null: whatever copies differ by, one more of them exceeds 5 % in about 5 % of families."""
    rng = np.random.default_rng(5)
    rows, clusters = np.ones(60, dtype=bool), np.arange(60)
    from scipy.stats import t

    p = []
    for _ in range(40):
        tested = motif_tests.test_line(synthetic(rng, 60, 20, spread), rows, clusters)
        p.append(t.sf(tested.t[2], tested.freedom[2]))
    rate = (np.concatenate(p) < 0.05).mean()
    assert 0.005 < rate < 0.07
    strong = motif_tests.test_line(synthetic(rng, 60, 20, spread, effect=0.4), rows, clusters)
    assert (t.sf(strong.t[2], strong.freedom[2]) < 0.01).mean() > 0.9


def test_halves_keep_clusters_together() -> None:
    clusters = np.repeat(np.arange(50), 3)
    half = halves(clusters, 0)
    assert half.sum() == 75
    assert all(len(set(half[clusters == cluster].tolist())) == 1 for cluster in range(50))
    assert (half != halves(clusters, 1)).any()


def test_enrichment_is_that_of_statsmodels() -> None:
    rng = np.random.default_rng(6)
    n = 600
    gc = rng.random(n)
    of_class = rng.random(n) < gc  # the class is GC-rich
    by_gc = rng.random(n) < 0.6 * gc  # a hit comes with GC, not with the class
    real = rng.random(n) < np.where(of_class, 0.5, 0.15)
    present = np.stack([by_gc, real, np.zeros(n, dtype=bool)], axis=1)
    frame = enrichment(present, of_class, gc, np.arange(n))
    edges = np.quantile(gc, np.linspace(0, 1, 11)[1:-1])
    strata = np.searchsorted(edges, gc, side="right")
    for column in (0, 1):
        tables = [
            [
                [
                    (present[:, column] & of_class & (strata == s)).sum(),
                    (~present[:, column] & of_class & (strata == s)).sum(),
                ],
                [
                    (present[:, column] & ~of_class & (strata == s)).sum(),
                    (~present[:, column] & ~of_class & (strata == s)).sum(),
                ],
            ]
            for s in range(10)
        ]
        expected = StratifiedTable(np.array(tables, dtype=float).transpose(1, 2, 0))
        assert frame["odds_ratio"][column] == pytest.approx(expected.oddsratio_pooled)
        low, high = expected.oddsratio_pooled_confint()
        assert (frame["odds_low"][column], frame["odds_high"][column]) == pytest.approx((low, high))
    assert frame["enriched"].tolist() == [False, True, False]


def test_enrichment_counts_clusters_not_sequences() -> None:
    rng = np.random.default_rng(7)
    of_class, present = np.arange(20) % 2 == 0, (rng.random(20) < np.where(np.arange(20) % 2 == 0, 0.8, 0.3))[:, None]
    many = [np.repeat(each, 30, axis=0) for each in (present, of_class)]
    gc = np.repeat(rng.random(20), 30)
    alone = enrichment(many[0], many[1], gc, np.arange(600))
    together = enrichment(many[0], many[1], gc, np.repeat(np.arange(20), 30))
    assert alone["p_enriched"][0] < 1e-6 < 1e-3 < together["p_enriched"][0]


def test_auroc_is_that_of_scikit_learn() -> None:
    rng = np.random.default_rng(8)
    scores, inside = np.round(rng.normal(size=(20, 30)), 1), rng.random((20, 30)) < 0.3
    scores[0, 5:9] = np.nan
    inside[1] = False
    product = aurocs(scores, inside)
    assert np.isnan(product[1])
    for i in (0, *range(2, 20)):
        known = np.isfinite(scores[i])
        assert product[i] == pytest.approx(roc_auc_score(inside[i][known], scores[i][known]))


def test_methods_are_compared_on_the_same_sequences() -> None:
    rng = np.random.default_rng(9)
    inside = rng.random((80, 30)) < 0.2
    values = {"good": inside + rng.normal(size=inside.shape), "noise": rng.normal(size=inside.shape)}
    values["noise too"] = rng.normal(size=inside.shape)
    names = tuple(f"s{i}" for i in range(80))
    product = {n: km.Attribution(n, v, "nucleotide", np.zeros(80, dtype=np.int64), names) for n, v in values.items()}
    methods, pairs = compare_methods(product, inside, np.arange(80), 0)
    assert methods["auroc"][0] > 0.7 > 0.55 > methods["auroc"][1]
    assert (pairs["p"] < 0.05).tolist() == [True, True, False]
    assert pairs["low"][0] > 0
    alone, none = compare_methods({"good": product["good"]}, inside, np.arange(80), 0)
    assert (len(alone), len(none)) == (1, 0)


def test_signed_methods_have_two_lines() -> None:
    names = ("a",)
    signed = km.Attribution("s", np.array([[-2.0, 1.0, np.nan]]), "nucleotide", np.zeros(1, dtype=np.int64), names)
    unsigned = km.Attribution(
        "u", np.array([[2.0, 1.0]]), "nucleotide", np.zeros(1, dtype=np.int64), names, signed=False
    )
    lines = lines_of({"s": signed, "u": unsigned})
    assert [(line.method, line.part) for line in lines] == [("s", "positive"), ("s", "size"), ("u", "size")]
    np.testing.assert_array_equal(lines[0].scores, [[0, 1, np.nan]])
    np.testing.assert_array_equal(lines[1].scores, [[2, 1, np.nan]])


LENGTH = 100
Case = tuple[km.Sequences, dict[str, km.Attribution]]


@pytest.fixture(scope="module")
def case() -> Case:
    """Class 1 has AP-1 and CTCF, each in half of a sequence; one score sees AP-1, and others nothing of it."""
    rng = np.random.default_rng(0)
    motifs = read_motifs()
    n = 160
    bases, observation = rng.integers(0, 4, (n, LENGTH)).astype(np.int8), np.zeros((n, LENGTH), dtype=bool)
    for i in range(1, n, 2):
        for half, name in enumerate(("FOS::JUN", "CTCF")):
            word = find_motif(motifs, name).draw(rng, 0.8)
            at = rng.integers(0, LENGTH // 2 - len(word)) + half * LENGTH // 2
            bases[i, at : at + len(word)] = word
            observation[i, at : at + len(word)] = not half
    loci = [km.Locus("chr1", 1000 * i, 1000 * i + LENGTH, "+-"[i // 2 % 2]) for i in range(n)]
    strings = ["".join("ACGT"[base] for base in row) for row in bases]
    sequences = km.Sequences.from_strings(strings, labels=np.arange(n) % 2, loci=loci)
    values = {
        "sees": 2.0 * observation + rng.normal(size=observation.shape),
        "noise": rng.normal(size=observation.shape),
        "gc": ((bases == 1) | (bases == 2)) + 0.01 * rng.normal(size=observation.shape),
    }
    target = np.ones(n, dtype=np.int64)
    scores = {
        name: km.Attribution(
            name, table, "nucleotide", target, sequences.names, signed=name != "gc", sequences=sequences
        )
        for name, table in values.items()
    }
    return sequences, scores


class Looks(nn.Module):
    """Answers for TGAGTCA, on either strand."""

    def __init__(self) -> None:
        super().__init__()
        word = torch.tensor(
            [[0, 0, 0, 1], [0, 0, 1, 0], [1, 0, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1], [0, 1, 0, 0], [1, 0, 0, 0]]
        )
        self.register_buffer("words", torch.stack([word.T, word.T.flip(0, 1)]).float())

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        answer = torch.relu(nn.functional.conv1d(x, self.words) - 5).amax(dim=(1, 2))
        return torch.stack([-answer, answer], dim=1)


def same(first: km.Motifs, second: km.Motifs) -> None:
    for one, other in ((first.to_frame(), second.to_frame()), (first.hits, second.hits)):
        shown = [each.drop(columns="contribution", errors="ignore") for each in (one, other)]
        pd.testing.assert_frame_equal(*shown)
    pairs = zip(first.found["contribution"], second.found["contribution"], strict=True)
    assert all((a is None) == (b is None) and (a is None or np.array_equal(a, b)) for a, b in pairs)


@pytest.mark.slow
def test_a_planted_family_is_in_the_data_found_and_used(
    case: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sequences, scores = case
    model = km.wrap(Looks(), length=LENGTH, outputs=2)
    again: Callable[..., km.Motifs] = lambda **options: km.motifs(  # noqa: E731
        scores, sequences, model, meme=bundled_motifs(), out=tmp_path / "out", **options
    )
    result = again()
    frame = result.to_frame().set_index(["method", "part", "name"])
    assert frame["verdict"]["sees", "positive", "FOS::JUN"] == "found and used"
    assert frame["verdict"]["noise", "positive", "FOS::JUN"] == "used, not found"
    assert set(result.found[result.found["found"]]["method"]) == {"sees"}
    families = result.families.set_index("name")
    assert set(families.index[families["enriched"]]) == {"FOS::JUN", "CTCF"}
    assert families.index[families["used"]].tolist() == ["FOS::JUN"]
    assert families["effect_low"]["FOS::JUN"] > 0
    assert result.methods.set_index("method")["auroc"].idxmax() == "sees"
    assert set(result.table["verdict"]) <= {"found and used", "used, not found", "found, not used"}
    # Sites: those of a family are joined, under its name.
    table = sites(result)
    assert set(table["motif"]) == {"FOS::JUN", "CTCF"}
    both = result.hits.merge(table, on="sequence", suffixes=("", "_site"))
    inside = (both["start"] >= both["start_site"]) & (both["end"] <= both["end_site"])
    assert inside.sum() == result.hits["family"].isin(result.claimed).sum()
    # Files: the tables come back, loci are those of the genome, motifs can be read by others.
    same(km.Motifs.load(tmp_path / "out"), result)
    same(km.Motifs.load(result.save(tmp_path / "copy")), result)
    assert len(read_motifs(tmp_path / "out" / "families.meme")) == len(families)
    rows = [line.split("\t") for line in (tmp_path / "out" / "hits.bed").read_text().splitlines()]
    letters = dict(zip(sequences.names, sequences.strings(), strict=True))
    flip = str.maketrans("ACGT", "TGCA")
    for hit, row in zip(result.hits.itertuples(index=False), rows, strict=True):
        locus = sequences.loci[hit.sequence]  # type: ignore[index]
        plus = letters[hit.name] if locus.strand == "+" else letters[hit.name][::-1].translate(flip)
        word = plus[int(row[1]) - locus.start : int(row[2]) - locus.start]
        word = word if row[5] == "+" else word[::-1].translate(flip)
        reloaded = letters[hit.name][hit.start : hit.end]
        assert word == (reloaded if hit.strand == "+" else reloaded[::-1].translate(flip))
    # What is done is not done again; another seed is another result.
    monkeypatch.setattr(motif_parts, "find_hits", None)
    same(again(), result)
    with pytest.raises(RunMismatch, match="seed was 0, now it is 1"):
        again(seed=1)
    shown = section(result)
    assert shown.families[0].name == "FOS::JUN"
    assert [picture.method for picture in shown.families[0].pictures] == ["sees"]
    assert set(shown.families[0].missed) == {"noise", "gc"}
    lines = "\n".join(motif_lines(result))
    assert "found, and used by the model: FOS::JUN" in lines
    assert "used by the model, but not found: FOS::JUN" in lines
    assert "FOS::JUN" in result._repr_html_()


class Scans(nn.Module):
    """Answers for the best match of a motif, on either strand."""

    def __init__(self, motif: Motif) -> None:
        super().__init__()
        table = torch.tensor(motif.log_odds, dtype=torch.float32).T
        self.register_buffer("tables", torch.stack([table, table.flip(0, 1)]))
        self.least = 0.5 * motif.highest

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        answer = torch.relu(nn.functional.conv1d(x, self.tables) - self.least).amax(dim=(1, 2))
        return torch.stack([-answer, answer], dim=1)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["MA0139.2", "MA0099.4"])
def test_must_hold_a_planted_family_is_found_and_first_among_all(name: str) -> None:
    """Exact effects of a model that reads one motif lead to its family, out of all of JASPAR's.

    The rate on models that were trained takes longer: ``benchmarks/motifs.py power``.
    """
    rng = np.random.default_rng(0)
    motif = read_motifs()[name]
    bases = rng.integers(0, 4, (100, 60)).astype(np.int8)
    for row in bases:
        word = motif.draw(rng, 0.7)
        at = rng.integers(0, 60 - len(word))
        row[at : at + len(word)] = word
    strings = ["".join("ACGT"[base] for base in row) for row in bases]
    sequences = km.Sequences.from_strings(strings, labels=[1] * len(strings))
    scores = km.attribute(km.wrap(Scans(motif), length=60, outputs=2), sequences, ["ism"], target=1)
    frame = km.motifs(scores, sequences).to_frame()
    lines = frame[frame["part"] == "positive"].sort_values("t", ascending=False)
    planted = next(each for each in read_families() if name in [member.identifier for member in each.motifs])
    assert lines["name"].iloc[0] == planted.name
    assert lines["found"].iloc[0]


def ask(case: Case, out: Path, share: Work | None = None, seed: int = 0, backgrounds: int = 100) -> None:
    """Ask about the case's motifs, in a folder."""
    model = km.wrap(Looks(), length=LENGTH, outputs=2)
    km.motifs(case[1], case[0], model, meme=bundled_motifs(), out=out, seed=seed, backgrounds=backgrounds, share=share)  # type: ignore[arg-type]


def files(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.slow
def test_shares_make_the_bytes_of_one_process(case: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ask(case, tmp_path / "whole")
    whole = files(tmp_path / "whole")
    monkeypatch.setattr(motif_parts, "TOGETHER", 50)  # and other blocks make the same bytes, too
    for count in (1, 2, 7):
        out = tmp_path / str(count)
        for share in (Share(1, 2), "gather"):
            with pytest.raises(RunError, match="no plan yet"):
                ask(case, out, share)  # type: ignore[arg-type]
        assert not out.exists()
        ask(case, out, "plan")
        with pytest.raises(RunError, match="56 of 56 parts are missing or damaged, the first 000000"):
            ask(case, out, "gather")
        for number in range(count, 0, -1):
            ask(case, out, Share(number, count))
        damaged = out / "parts" / "000005.parquet"
        damaged.write_bytes(damaged.read_bytes()[:-1])
        with pytest.raises(RunError, match="1 of 56 parts are missing or damaged, the first 000005"):
            ask(case, out, "gather")
        ask(case, out, Share(5 % count + 1, count))
        with monkeypatch.context() as without:  # what the shares have made is not made again
            without.setattr(motif_parts, "find_hits", None)
            without.setattr(Use, "_answers", None)
            ask(case, out, "gather")
        assert files(out) == whole
        for share in (Share(1, 2), "plan", "gather"):  # those that come late
            ask(case, out, share)  # type: ignore[arg-type]
        assert files(out) == whole


@pytest.mark.slow
def test_a_share_that_was_stopped_goes_on(case: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ask(case, tmp_path / "whole")
    out, find_hits, calls = tmp_path / "out", motif_parts.find_hits, list[int]()
    ask(case, out, "plan")

    def stopped(*of: Any) -> Hits:
        calls.append(1)
        if len(calls) == 8:
            raise KeyboardInterrupt
        return find_hits(*of)

    monkeypatch.setattr(motif_parts, "find_hits", stopped)
    with pytest.raises(KeyboardInterrupt):
        ask(case, out, Share(1, 2))
    ask(case, out, Share(2, 2))
    ask(case, out, Share(1, 2))
    assert len(calls) == 1 + COPIES + 1  # the one that was stopped is made again
    ask(case, out, "gather")
    assert files(out) == files(tmp_path / "whole")


def test_a_share_of_another_plan_is_refused_by_name(
    case: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    ask(case, out, "plan")
    with pytest.raises(RunMismatch, match="seed was 0, now it is 1"):
        ask(case, out, Share(1, 2), seed=1)
    with pytest.raises(RunMismatch, match="backgrounds was 100, now it is 101"):
        ask(case, out, Share(1, 2), backgrounds=101)
    threads = torch.get_num_threads()
    torch.set_num_threads(threads + 1)
    try:
        with pytest.raises(RunMismatch, match=r"threads was \d+, now it is \d+"):
            ask(case, out, "gather")
    finally:
        torch.set_num_threads(threads)
    monkeypatch.setattr(models, "version", lambda name: "0")
    with pytest.raises(RunMismatch, match=r"kmerit was '\S+', now it is '0'"):
        ask(case, out, Share(1, 2))
    with pytest.raises(UsageError, match="share: expected a folder"):
        km.motifs(case[1], case[0], share="plan")


def test_other_inputs_are_refused_by_their_names(case: Case, tmp_path: Path) -> None:
    """Not by digests alone; what is only called otherwise is the same, and keeps the name that it began with."""
    sequences, scores = case
    save(scores, tmp_path / "one.parquet")
    others = {**scores, "gc": dataclasses.replace(scores["gc"], scores=2 * scores["gc"].scores)}
    save(others, tmp_path / "other.parquet")
    out, promoter = tmp_path / "out", km.load_model("bundled:promoter")

    def plan(source: Any, rows: km.Sequences = sequences, model: km.Model = promoter, floor: str = "one") -> None:
        floors = {"shuffled": tmp_path / f"{floor}.parquet"}
        km.motifs(source, rows, model, meme=bundled_motifs(), de_novo=True, floors=floors, out=out, share="plan")

    plan(tmp_path / "one.parquet")
    before = (out / "settings.json").read_bytes()
    assert json.loads(before)["products"] == promoter.products
    (tmp_path / "renamed.parquet").write_bytes((tmp_path / "one.parquet").read_bytes())
    plan(tmp_path / "renamed.parquet", floor="renamed")
    assert (out / "settings.json").read_bytes() == before
    with pytest.raises(
        RunMismatch, match=r"model was bundled:promoter \(sha256 \w{8}\), now it is bundled:enhancer \("
    ):
        plan(tmp_path / "one.parquet", model=km.load_model("bundled:enhancer"))
    with pytest.raises(RunMismatch, match=r"scores was one.parquet \(sha256 \w{8}\), now it is other.parquet \("):
        plan(tmp_path / "other.parquet")
    with pytest.raises(RunMismatch, match=r"scores was one.parquet \(\w+ \w{8}\), now it is sees, noise, gc \("):
        plan(others)
    with pytest.raises(RunMismatch, match=r"floors.shuffled was one.parquet \(.*\), now it is other.parquet \("):
        plan(tmp_path / "one.parquet", floor="other")
    labels = np.asarray(sequences.labels)
    few = km.Sequences.from_strings(sequences.strings(), labels, [f"other{i}" for i in range(len(labels))])
    renamed = {
        name: km.Attribution(name, each.scores, each.level, each.target, few.names, signed=each.signed, sequences=few)
        for name, each in scores.items()
    }
    save(renamed, tmp_path / "one.parquet")
    save(renamed, tmp_path / "again.parquet")
    said = r"sequences was 160 sequences, \S+ first \(sha256 \w{8}\), now it is 160 sequences, other0 first \("
    with pytest.raises(RunMismatch, match=said):
        plan(tmp_path / "again.parquet", few)


def test_a_family_is_asked_about_by_itself() -> None:
    families = {family.name: family for family in read_families(bundled_motifs())}
    short, long = families["FOS::JUN"], families["CTCF"]
    rng = np.random.default_rng(0)
    strings = ["".join(rng.choice(list("ACGT"), len(long.motif) - 1)) for _ in range(30)]
    model = km.wrap(Looks(), length=len(strings[0]), outputs=2)
    use = Use(model, km.Sequences.from_strings(strings), 1)
    changes = [use.of(short), use.of(long)]
    assert used([short], changes[:1])["used"].tolist() == [True]
    assert changes == [use.of(short), {}]  # no background is long enough for the other
    with pytest.raises(UsageError, match=f"No sequence without N has the {len(long.motif)} nt of CTCF"):
        used([short, long], changes)


class Counts(nn.Module):
    """Answers for each TGAGTCA as it is read, and so by as much on every background; or for nothing."""

    def __init__(self, weight: float) -> None:
        super().__init__()
        self.weight = weight
        self.register_buffer("word", torch.eye(4)[torch.tensor([3, 2, 0, 2, 3, 1, 0])].T[None])

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        count = torch.relu(nn.functional.conv1d(x, self.word) - 6).sum(dim=(1, 2))
        return torch.stack([0 * count, self.weight * count], dim=1)


@pytest.mark.parametrize(("weight", "answer"), [(3.0, True), (0.0, False), (-3.0, False)])
def test_a_family_that_does_as_much_on_every_background_is_used(weight: float, answer: bool) -> None:
    family = next(each for each in read_families(bundled_motifs()) if each.name == "FOS::JUN")
    rng = np.random.default_rng(0)
    strings = ["".join(rng.choice(list("ACG"), 40)) for _ in range(30)]  # no TGAGTCA without T
    change = Use(km.wrap(Counts(weight), length=40, outputs=2), km.Sequences.from_strings(strings), 1).of(family)
    frame = used([family], [change])
    strands = {strand: each for strand, each in change.items() if each.effect}
    assert all((each.effect, each.low, each.high) == (weight,) * 3 for each in strands.values())
    assert bool(strands) == bool(weight)
    assert frame["used"].tolist() == [answer]
    if answer:
        assert (frame["effect"][0], frame["p_used"][0]) == (3.0, 0.0)


def test_named_families_are_asked_about_however_few_hits_they_have(case: Case) -> None:
    sequences, scores = case
    model = km.wrap(Looks(), length=LENGTH, outputs=2)
    few = sequences.take(np.arange(24))  # in too few clusters for any test
    own = {name: each.take(np.arange(24)) for name, each in scores.items()} | {
        "random": dataclasses.replace(scores["gc"].take(np.arange(24)), method="random")
    }
    steps: list[tuple[str, int]] = []
    parts: list[tuple[int, int]] = []
    result = km.motifs(
        own, few, model, meme=bundled_motifs(), families=["fos::jun", "MA0139.2"],
        announce=lambda *step: steps.append(step), progress=lambda *part: parts.append(part),
    )  # fmt: skip
    assert steps == [("hits", 12), ("found", 4), ("used", 2)]
    assert parts[-1][0] == parts[-1][1] == 1 + 20 + 2
    assert all(a <= b for (a, _), (b, _) in pairwise(parts))
    families = result.families.set_index("name")
    assert set(families.index[families["used"].notna()]) == {"FOS::JUN", "CTCF"}
    assert families["used"]["FOS::JUN"]
    assert not result.found["tested"].any()
    frame = result.to_frame().set_index(["method", "name"])["verdict"]
    assert set(frame.xs("FOS::JUN", level="name").drop("random")) == {"used, untested"}
    assert set(frame["random"]) == {"untested"}  # a control misses nothing
    assert "1 of 2 families asked about (those named)" in "\n".join(motif_summary(result))
    shown = section(result).families
    assert [family.name for family in shown if family.untested and not family.missed] == [each.name for each in shown]
    with pytest.raises(UnknownName, match="Did you mean 'CTCF'"):
        km.motifs(own, few, model, meme=bundled_motifs(), families=["CTCFL"])
    with pytest.raises(UsageError, match="got none"):
        km.motifs(own, few, model, meme=bundled_motifs(), families=[])
    with pytest.raises(UsageError, match="give a model, too"):
        km.motifs(own, few, meme=bundled_motifs(), families=["CTCF"])


def test_a_question_that_was_not_asked_says_why(case: Case) -> None:
    sequences, scores = case
    few = sequences.take(np.arange(1, 24, 2))
    own = {name: each.take(np.arange(1, 24, 2)) for name, each in scores.items()}
    model = km.wrap(Looks(), length=LENGTH, outputs=2)
    asked = motif_summary(km.motifs(own, few, model, meme=bundled_motifs()))
    assert asked[0] == "Of 12 families of motifs (jaspar2024_vertebrates.meme), none have enough hits to be tested."
    assert "labelled with another class" in asked[1]
    assert "none has enough hits to be tested and none is enriched. Name families" in asked[2]
    assert "motifs.families in the config of a run, --families of kmerit motifs, families= in Python." in asked[2]
    result = km.motifs(own, few, meme=bundled_motifs())
    assert motif_summary(result)[2] == "Used: not asked, for no model was given."
    assert motif_found(result) == "Found: not tested, for no family has enough hits."
    assert "  found: not tested" in motif_lines(result)


@pytest.mark.parametrize(
    ("odds", "words"),
    [
        ((np.inf, 0.0577, np.inf), "odds ratio, with 97.5 % confidence, at least 0.058"),
        ((0.0, 0.0, 87.75), "odds ratio, with 97.5 % confidence, at most 87.8"),
        ((0.96, 0.25, 9.7), "odds ratio 1.0, 0.25 to 9.7"),
    ],
)
def test_an_odds_ratio_is_said_with_digits_that_count(odds: tuple[float, ...], words: str) -> None:
    about = dict(zip(("odds_ratio", "odds_low", "odds_high"), odds, strict=True))
    assert f"({words})" in motif_answers({**about, "enriched": False, "used": None})


@pytest.mark.parametrize(("table", "largest"), [((5, 5, 0, 10), True), ((0, 10, 5, 5), False), ((12, 3, 0, 40), True)])
def test_the_bound_of_an_odds_ratio_is_that_of_scipy(table: tuple[int, int, int, int], largest: bool) -> None:
    a, b, c, d = table
    ends = contingency.odds_ratio([[a, b], [c, d]]).confidence_interval(0.95)
    bound = odds_bound(np.array([[a + b + c + d, a + b, a + c]]), largest)
    assert bound == pytest.approx(ends.low if largest else ends.high, rel=1e-6)
    # The same by `enrichment`, whose strata are one where all have the same GC.
    n = sum(table)
    present = np.repeat([True, False, True, False], table)[:, None]
    row = enrichment(present, np.arange(n) < a + b, np.full(n, 0.5), np.arange(n)).iloc[0]
    assert (row["odds_ratio"], row["odds_high"] if largest else row["odds_low"]) == (
        (np.inf,) * 2 if largest else (0, 0)
    )
    assert row["odds_low" if largest else "odds_high"] == pytest.approx(bound)


def test_the_bound_over_strata_has_the_chance_it_claims() -> None:
    """By drawing: of two strata, at the bound, the largest count comes in 2.5 % of draws."""
    margins = np.array([[20, 10, 4], [30, 12, 3]])
    bound = odds_bound(margins, largest=True)
    chance = np.prod([nchypergeom_fisher(n, hits, ones, bound).pmf(min(ones, hits)) for n, ones, hits in margins])
    assert chance == pytest.approx(0.025, rel=1e-6)
    assert np.isnan(odds_bound(np.array([[10, 10, 3]]), largest=True))


def a_test(excess: float, beyond: float, error: float, first: float = 10.0) -> motif_tests.Tested:
    """Make tests of one family, far above the first two nulls."""
    mean = np.array([[excess], [excess], [beyond]])
    errors = np.array([[excess / first], [excess / first], [error]])
    return motif_tests.Tested(
        np.zeros((3, 1, 1)), mean, errors, *np.zeros((2, 1)), np.full((3, 1), 100.0), np.array([50])
    )


@pytest.mark.parametrize(
    ("inputs", "answer"),
    [
        ((0.2, 0.02, 0.03), True),  # copies have nearly all of it
        ((0.2, 0.10, 0.08), False),  # the copies settle nothing: they may have none of it
        ((0.2, 0.18, 0.12), False),  # weak, though the estimate is all of it: a real motif may look so
        ((0.2, 0.08, 0.02), False),  # beyond copies, too
        ((0.2, 0.02, 0.03, 3.0), False),  # not far above the first two
    ],
)
def test_composition_is_named_only_where_copies_show_it(inputs: tuple[float, ...], answer: bool) -> None:
    assert composed(a_test(*inputs), np.array([True])).tolist() == [answer]
    assert composed(a_test(*inputs), np.array([False])).tolist() == [False]


def test_own_scores_are_asked_like_those_of_a_method(case: Case, tmp_path: Path) -> None:
    sequences, scores = case
    few, own = sequences.take(np.arange(40)), scores["gc"].take(np.arange(40))
    own = dataclasses.replace(own, scores=np.abs(own.scores))
    ask = lambda given, rows=few, **options: km.motifs(given, rows, meme=bundled_motifs(), **options)  # noqa: E731
    known = ask({"gc": own}).found.drop(columns="contribution")
    array = own.scores
    np.save(tmp_path / "gc.npy", array)
    own.to_frame().rename(columns={"score": "gc"}).to_csv(tmp_path / "gc.csv", index=False)
    for given in ({"gc": array}, f"gc={tmp_path / 'gc.npy'}", tmp_path / "gc.csv", {"gc": torch.tensor(array)}):
        pd.testing.assert_frame_equal(ask(given).found.drop(columns="contribution"), known)
    alone = ask(tmp_path / "gc.npy")
    assert set(alone.found["method"]) == {"own"}
    both = ask({"mine": array, "sees": scores["sees"].take(np.arange(40))})
    assert list(dict.fromkeys(both.found["method"])) == ["mine", "sees"]
    bare = km.Sequences.from_strings(few.strings())
    with pytest.raises(UsageError, match=r"own scores do not say which class they explain.*label= \(--label\)"):
        ask(array, bare)
    assert ask(array, bare, label=1).settings["label"] == 1
    values = km.Sequences.from_strings(few.strings(), labels=np.linspace(0, 1, 40))
    assert ask(array, values).settings["label"] == 0
    with pytest.raises(SequenceError, match="expected 40 x 100"):
        ask(array[:, :-1])
    with pytest.raises(UnknownName, match="Unknown class '7'"):
        ask(array, label=7)


def test_what_cannot_be_asked(case: Case, tmp_path: Path) -> None:
    sequences, scores = case
    with pytest.raises(UsageError, match="100 or more, got 99"):
        km.motifs(scores, sequences, backgrounds=99)
    with pytest.raises(UsageError, match="there are no attributions"):
        km.motifs({}, sequences)
    with pytest.raises(UsageError, match="go with de_novo"):
        km.motifs(scores, sequences, modisco=True)
    with pytest.raises(UnknownName, match="Unknown class '7'"):
        km.motifs(scores, sequences, label=7)
    with pytest.raises(LabelError, match="No scores explain class 0"):
        km.motifs(scores, sequences, label=0)
    several = km.Sequences.from_strings(sequences.strings(), labels=np.arange(len(sequences)) % 3)
    with pytest.raises(UsageError, match="sequences of 3 classes"):
        km.motifs(
            {n: km.Attribution(n, a.scores, a.level, a.target, several.names) for n, a in scores.items()},
            several,
        )
    with pytest.raises(FormatError, match="expected the output of: kmerit motifs"):
        km.Motifs.load(tmp_path)
    (tmp_path / "motifs.json").write_text(json.dumps({}))
    with pytest.raises(FormatError, match="expected the output of"):
        km.Motifs.load(tmp_path)


@pytest.mark.parametrize("count", [1, 2, 5])
def test_of_few_sequences_no_family_is_tested(count: int) -> None:
    """One of the halves may be empty then."""
    draws = np.random.default_rng(0)
    strings = ["".join(draws.choice(list("ACGT"), 60)) for _ in range(count + 3)]
    sequences = km.Sequences.from_strings(strings, labels=[1] * count + [0] * 3)
    model = km.load_model("bundled:promoter", device="cpu")
    scores = km.attribute(model, sequences, ["saliency"], target=1)
    result = km.motifs(scores, sequences, model, label=1, families=["GATA1", "SP1"])
    assert not result.found["tested"].any()
    assert not result.found["found"].any()
