"""Statistics on cases with known answers; the coverage of intervals, simulated."""

import tracemalloc

import numpy as np
import pytest

from kmerit import disk, uncertainty
from kmerit.disk import StoredRows
from kmerit.errors import LabelError
from kmerit.sequences import Locus
from kmerit.uncertainty import (
    bootstrap_interval,
    bootstrap_means,
    locus_clusters,
    moderated,
    paired_difference,
    percentiles,
    studentised,
    wilson,
)


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(11)


def test_bootstrap_means_average_every_column_over_the_same_rows(rng: np.random.Generator) -> None:
    values = rng.normal(size=(40, 1))
    draws = bootstrap_means(np.hstack([values, values + 3]), resamples=50)
    assert draws[:, 1] - draws[:, 0] == pytest.approx(np.full(50, 3.0))


def test_bootstrap_means_are_those_of_bootstrap_interval(rng: np.random.Generator) -> None:
    values = rng.normal(size=30)
    low, high = percentiles(bootstrap_means(values[:, None], resamples=300, seed=5))
    interval = bootstrap_interval(lambda w: w @ values / w.sum(-1), 30, resamples=300, seed=5)
    assert [low[0], high[0]] == pytest.approx([interval.low, interval.high])


def test_bootstrap_means_leave_out_what_is_missing() -> None:
    draws = bootstrap_means([[1.0, np.nan], [1.0, np.nan], [np.nan, np.nan]], resamples=40)
    first = draws[:, 0]
    assert set(first[np.isfinite(first)]) == {1.0}
    assert np.isnan(draws[:, 1]).all()


def test_bootstrap_means_draw_clusters_whole() -> None:
    values = np.array([[1.0], [1.0], [1.0], [0.0], [0.0], [0.0]])
    draws = bootstrap_means(values, clusters=["a", "a", "a", "b", "b", "b"], resamples=400)
    assert set(draws[:, 0]) == {0.0, 0.5, 1.0}
    assert (draws[:, 0] == 0.5).mean() == pytest.approx(0.5, abs=0.08)


def test_bootstrap_holds_the_weights_of_one_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uncertainty, "_CELLS_AT_ONCE", batch := 1_000_000)
    values = np.arange(5000.0)[:, None]
    for statistic in (bootstrap_means, studentised):
        statistic(values[:4], resamples=10)  # which imports what it needs
        tracemalloc.start()
        statistic(values, resamples=1000)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 1.5 * batch * 8


def test_bootstrap_of_stored_rows_holds_one_run_of_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    count = 100_000
    monkeypatch.setattr(disk, "_IN_MEMORY", 0)
    monkeypatch.setattr(uncertainty, "_CELLS_AT_ONCE", count)
    table, run = StoredRows(0, count, np.float64), 4 * count * 8
    for _ in range(6):
        table.append(np.random.default_rng(0).normal(size=count))
    studentised(table.take(np.arange(count) < 9), resamples=2)  # which imports what it needs
    tracemalloc.start()
    studentised(table, resamples=2)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 4 * run  # values of a run, how many in each cluster, a product of both, weights and numbers


def test_bootstrap_spread_is_the_standard_error(rng: np.random.Generator) -> None:
    values = rng.normal(size=(500, 1))
    assert bootstrap_means(values, resamples=4000).std() == pytest.approx(values.std() / np.sqrt(500), rel=0.04)


def test_percentiles_leave_out_nan() -> None:
    draws = np.array([[0.0, np.nan], [1.0, np.nan], [np.nan, np.nan]])
    low, high = percentiles(draws, 0.5)
    assert low == pytest.approx([0.25, np.nan], nan_ok=True)
    assert high == pytest.approx([0.75, np.nan], nan_ok=True)


def test_paired_difference_cancels_what_rows_share(rng: np.random.Generator) -> None:
    shared = rng.normal(scale=100, size=200)
    result = paired_difference(shared + 1 + 0.1 * rng.normal(size=200), shared)
    assert result.low < 1 < result.high
    assert result.high - result.low < 0.05


def test_paired_difference_needs_the_same_rows() -> None:
    with pytest.raises(LabelError, match="same rows"):
        paired_difference([1.0, 2.0], [1.0])


def test_wilson_agrees_with_a_published_case() -> None:
    # Newcombe 1998, table I, method 3: 81/263, 15/148, 0/20, 1/29.
    low, high = wilson([81, 15, 0, 1], [263, 148, 20, 29])
    assert low == pytest.approx([0.2553, 0.0624, 0.0, 0.0061], abs=5e-5)
    assert high == pytest.approx([0.3662, 0.1605, 0.1611, 0.1718], abs=5e-5)


@pytest.mark.parametrize("level", [0.9, 0.95, 0.99])
def test_wilson_agrees_with_statsmodels(level: float) -> None:
    from statsmodels.stats.proportion import proportion_confint

    trials = np.repeat(np.arange(1, 40), 40)
    hits = np.minimum(np.tile(np.arange(40), 39), trials)
    expected = proportion_confint(hits, trials, alpha=1 - level, method="wilson")
    np.testing.assert_allclose(wilson(hits, trials, level), expected, rtol=1e-13, atol=1e-16)


def test_wilson_of_nothing_is_unknown() -> None:
    low, high = wilson([0, 5], [0, 10])
    assert np.isnan([low[0], high[0]]).all()
    assert low[1] == pytest.approx(0.2366, abs=5e-5)


def test_loci_cluster_through_others_but_not_by_touching() -> None:
    loci = [
        Locus("chr1", 0, 100),
        Locus("chr1", 100, 200),  # touches the first: half-open, no base shared
        Locus("chr1", 199, 300, "-"),
        Locus("chr2", 0, 100),
        None,
        None,
        Locus("chr1", 0, 1000, "+"),
    ]
    clusters = locus_clusters(loci)
    assert clusters[0] == clusters[1] == clusters[2] == clusters[6]
    assert len(set(clusters.tolist())) == 4
    apart = locus_clusters(loci[:-1])
    assert apart[0] != apart[1] == apart[2]


@pytest.mark.slow
@pytest.mark.parametrize("size", [200, 500])
@pytest.mark.parametrize("accuracy", [0.6, 0.8, 0.9])
def test_interval_of_an_accuracy_covers_it(rng: np.random.Generator, size: int, accuracy: float) -> None:
    """2,000 simulated samples; 93 to 97 % of the nominal 95 % intervals must hold the truth."""
    samples = (rng.random((size, 2000)) < accuracy).astype(float)
    low, high = percentiles(bootstrap_means(samples, resamples=2000))
    assert 0.93 <= np.mean((low <= accuracy) & (accuracy <= high)) <= 0.97


@pytest.mark.slow
def test_interval_of_an_accuracy_over_draws_covers_it(rng: np.random.Generator) -> None:
    """Sequences differ in how likely a draw leaves them right; five draws each."""
    of_sequence = rng.beta(2, 1, size=(200, 2000))
    samples = rng.binomial(5, of_sequence) / 5
    low, high = percentiles(bootstrap_means(samples, resamples=2000))
    assert 0.93 <= np.mean((low <= 2 / 3) & (high >= 2 / 3)) <= 0.97


@pytest.mark.slow
def test_interval_of_clustered_rows_covers_only_if_clusters_are_drawn(rng: np.random.Generator) -> None:
    """200 loci of three rows each, which are right or wrong mostly together."""
    cluster = np.repeat(np.arange(200), 3)
    samples = (rng.random((200, 2000))[cluster] < np.where(rng.random((600, 2000)) < 0.1, 0.5, 0.8)).astype(float)
    truth = 0.9 * 0.8 + 0.1 * 0.5
    covered = {}
    for name, clusters in (("clustered", cluster), ("alone", None)):
        low, high = percentiles(bootstrap_means(samples, clusters=clusters, resamples=1000))
        covered[name] = np.mean((low <= truth) & (truth <= high))
    assert 0.93 <= covered["clustered"] <= 0.97
    assert covered["alone"] < 0.85


@pytest.mark.slow
def test_interval_of_a_paired_difference_covers_it(rng: np.random.Generator) -> None:
    shared, noise = rng.normal(size=(200, 2000)), rng.standard_t(5, size=(200, 2000))
    low, high = percentiles(bootstrap_means((shared + 0.3 + 0.5 * noise) - shared, resamples=2000))
    assert 0.93 <= np.mean((low <= 0.3) & (high >= 0.3)) <= 0.97


def test_moderated_variances_have_the_prior_that_made_them(rng: np.random.Generator) -> None:
    """Variances s0 d0 / chi2(d0), sampled with 6 degrees of freedom: both parameters are found again."""
    true = 2.0 * 8 / rng.chisquare(8, 20_000)
    sampled = true * rng.chisquare(6, true.size) / 6
    drawn, freedom = moderated(sampled, np.full(true.size, 6.0))
    assert freedom[0] - 6 == pytest.approx(8, rel=0.1)
    usual = (drawn * freedom - sampled * 6) / (freedom - 6)
    assert usual[0] == pytest.approx(2, rel=0.05)
    assert np.ptp(usual) < 1e-9
    assert ((drawn / true - 1) ** 2).mean() < 0.5 * ((sampled / true - 1) ** 2).mean()


def test_equal_variances_are_drawn_to_one_value(rng: np.random.Generator) -> None:
    sampled = 3.0 * rng.chisquare(6, 20_000) / 6
    sampled[0] = np.nan
    drawn, freedom = moderated(sampled, np.full(sampled.size, 6.0))
    assert np.isnan(drawn[0])
    assert drawn[1:] == pytest.approx(np.full(sampled.size - 1, 3.0), rel=0.1)
    assert freedom[1] > 200
    alone, known = moderated(np.array([2.0, np.nan, 0.0]), np.full(3, 4.0))
    assert (alone[0], known[0]) == (2.0, 4.0)
