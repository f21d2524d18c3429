"""Paired comparisons on cases with known answers; the coverage of their intervals, simulated."""

from collections.abc import Callable

import numpy as np
import pytest
from scipy.stats import binomtest, norm
from statsmodels.stats.multitest import multipletests

from kmerit.errors import LabelError
from kmerit.uncertainty import effect_differences, holm, mcnemar, mean_differences


def test_mean_differences_of_columns_with_missing_rows() -> None:
    result = mean_differences([[1.0, np.nan], [3.0, 2.0], [2.0, np.nan]], clusters=["a", "a", "b"])
    assert result.rows.tolist() == [3, 1]
    assert result.clusters.tolist() == [2, 1]
    assert result.mean.tolist() == [2.0, 2.0]
    assert result.effect_size[0] == pytest.approx(2.0)
    assert np.isnan([result.effect_size[1], result.detectable[1]]).all()


def test_a_column_without_rows_is_nan_throughout() -> None:
    result = mean_differences([[np.nan], [np.nan]])
    assert result.rows.tolist() == [0]
    assert np.isnan([result.mean, result.low, result.high, result.effect_size, result.detectable]).all()


def test_equal_differences_have_no_spread_and_no_effect_size() -> None:
    result = mean_differences([[2.0], [2.0], [2.0]])
    assert (result.mean[0], result.low[0], result.high[0], result.detectable[0]) == (2.0, 2.0, 2.0, 0.0)
    assert np.isnan(result.effect_size[0])


def test_detectable_is_seen_with_a_power_of_80_percent() -> None:
    rng = np.random.default_rng(5)
    noise = rng.normal(size=(200, 400))
    detectable = mean_differences(noise, resamples=400).detectable
    assert detectable.mean() == pytest.approx((norm.ppf(0.975) + norm.ppf(0.8)) / np.sqrt(200), rel=0.02)
    observation = mean_differences(noise + detectable.mean(), resamples=400).low > 0
    assert observation.mean() == pytest.approx(0.8, abs=0.06)


def test_clusters_of_copies_count_once() -> None:
    rng = np.random.default_rng(2)
    values = rng.normal(size=(60, 1))
    copied = mean_differences(np.repeat(values, 4, axis=0), clusters=np.repeat(np.arange(60), 4))
    alone = mean_differences(values)
    assert [copied.low[0], copied.high[0]] == pytest.approx([alone.low[0], alone.high[0]])
    assert copied.detectable[0] == pytest.approx(alone.detectable[0])


def test_rows_of_one_cluster_have_a_mean_and_no_interval() -> None:
    result = mean_differences([[1.0, 1.0], [3.0, np.nan], [5.0, 2.0]], clusters=[0, 0, 1], resamples=100)
    assert np.isfinite([result.low, result.high]).all()
    alone = mean_differences([[1.0], [3.0]], clusters=[0, 0], resamples=100)
    assert (alone.rows.tolist(), alone.clusters.tolist(), alone.mean.tolist()) == ([2], [1], [2.0])
    assert np.isnan([alone.low, alone.high, alone.detectable]).all()


def test_a_table_is_needed() -> None:
    with pytest.raises(LabelError, match=r"\[row, column\]"):
        mean_differences([1.0, 2.0])


@pytest.mark.parametrize(("lost", "won"), [(10, 2), (0, 7), (5, 5), (0, 0)])
def test_mcnemar_is_a_binomial_test_of_the_discordant_pairs(lost: int, won: int) -> None:
    first = np.array([True] * lost + [False] * won + [True] * 9 + [False] * 4)
    second = np.array([False] * lost + [True] * won + [True] * 9 + [False] * 4)
    expected = binomtest(lost, lost + won).pvalue if lost + won else 1.0
    assert mcnemar(first, second) == pytest.approx(expected)


def test_mcnemar_is_that_of_statsmodels_to_the_last_bit_and_exactly_1_where_nothing_differs() -> None:
    from statsmodels.stats.contingency_tables import mcnemar as reference

    for lost in (0, 1, 7, 40, 399, 5000):
        for more in (0, 1, 2, 3, 11, 200):
            first, second = (np.repeat([a, b, True], [lost, lost + more, 2]) for a, b in ((True, False), (False, True)))
            expected = float(reference([[2, lost], [lost + more, 0]], exact=True).pvalue)
            assert mcnemar(first, second) == mcnemar(second, first) == (expected if more > 1 else 1.0)
            assert more > 1 or expected == pytest.approx(1, abs=1e-13)


def test_mcnemar_of_nothing_and_of_different_rows() -> None:
    assert np.isnan(mcnemar([], []))
    with pytest.raises(LabelError, match="same rows"):
        mcnemar([True], [True, False])


def test_holm_steps_down_and_leaves_out_what_is_no_test() -> None:
    # Holm 1979: the smallest times 4, the next times 3 ..., never falling, at most 1.
    assert holm([0.01, 0.02, np.nan, 0.9, 0.03]) == pytest.approx([0.04, 0.06, np.nan, 0.9, 0.06], nan_ok=True)
    assert np.isnan(holm([np.nan])).all()
    assert holm([]).size == 0


def test_holm_is_that_of_statsmodels() -> None:
    rng = np.random.default_rng(0)
    for size in (1, 2, 7, 40):
        values = np.round(rng.uniform(size=size) ** 3, 2)  # with ties
        assert holm(values).tolist() == multipletests(values, method="holm")[1].tolist()


def test_effect_sizes_do_not_depend_on_the_scale_of_either_measurement() -> None:
    rng = np.random.default_rng(0)
    one = rng.normal(1.0, 1.0, size=(60, 1))
    two = one + rng.normal(0.5, 0.3, size=(60, 1))
    result, scaled = (effect_differences(one, k * two, resamples=500) for k in (1, 100))
    effects = [float(each.mean() / each.std(ddof=1)) for each in (one, two)]
    assert [result.first[0], result.second[0]] == pytest.approx(effects)
    assert result.difference[0] == pytest.approx(effects[1] - effects[0])
    assert [scaled.low[0], scaled.high[0]] == pytest.approx([result.low[0], result.high[0]])
    assert result.low[0] < result.difference[0] < result.high[0]
    gap = np.where(np.arange(60)[:, None] < 50, one, np.nan)
    assert effect_differences(gap, two, resamples=10).second == pytest.approx(two[:50].mean() / two[:50].std(ddof=1))
    assert np.isnan(effect_differences(one, two, clusters=np.zeros(60), resamples=10).low).all()
    with pytest.raises(LabelError, match="two tables of one shape"):
        effect_differences(one, two[:5])


def test_the_interval_of_a_difference_of_effect_sizes_holds_its_level() -> None:
    rng = np.random.default_rng(1)
    inside = 0
    for _ in range(200):
        shared = rng.normal(size=(80, 1))
        one, two = (shared + rng.normal(0.5, 1.0, size=(80, 1)) for _ in range(2))
        result = effect_differences(one, 3 * two, resamples=300)
        inside += bool(result.low[0] <= 0 <= result.high[0])
    assert 176 <= inside <= 200  # 190 expected; 176 and fewer come by chance once in ten thousand times


Draw = Callable[[np.random.Generator, int, int], np.ndarray]
SIMULATIONS = 2000


def skewed(rng: np.random.Generator, rows: int, columns: int) -> np.ndarray:
    """Differences of logits: most near 0, some large."""
    return rng.gamma(0.8, 1.0, size=(rows, columns)) - 0.8


def thirds(rng: np.random.Generator, rows: int, columns: int) -> np.ndarray:
    """Differences of accuracy over three draws: thirds between -1 and 1, most of them 0."""
    return (rng.binomial(3, 0.35, size=(rows, columns)) - rng.binomial(3, 0.35, size=(rows, columns))) / 3


def normal(rng: np.random.Generator, rows: int, columns: int) -> np.ndarray:
    return rng.normal(size=(rows, columns))


def in_pairs(rng: np.random.Generator, rows: int, columns: int) -> np.ndarray:
    """Half of the rows share a locus, and most of their difference, with one other."""
    shared = skewed(rng, rows, columns)[np.arange(rows) // 2]
    return np.where((np.arange(rows) < rows // 2)[:, None], shared, skewed(rng, rows, columns))


def coverage(draw: Draw, rows: int, clusters: np.ndarray | None = None) -> float:
    """Share of 2,000 simulated samples whose nominal 95 % interval holds the true mean, 0."""
    rng, contents = np.random.default_rng(rows), []
    for batch in range(8):  # fresh resamples for every 250 samples
        result = mean_differences(draw(rng, rows, SIMULATIONS // 8), clusters=clusters, resamples=1000, seed=batch)
        contents.append((result.low <= 0) & (result.high >= 0))
    return float(np.concatenate(contents).mean())


@pytest.mark.slow
@pytest.mark.parametrize("rows", [200, 400])
@pytest.mark.parametrize("draw", [normal, skewed, thirds])
def test_intervals_cover_what_they_claim_from_200_sequences_on(draw: Draw, rows: int) -> None:
    assert 0.93 <= coverage(draw, rows) <= 0.97


@pytest.mark.slow
def test_intervals_cover_what_they_claim_with_clusters() -> None:
    rows = 300
    loci = np.where(np.arange(rows) < rows // 2, np.arange(rows) // 2, np.arange(rows))
    assert 0.93 <= coverage(in_pairs, rows, loci) <= 0.97
    assert coverage(in_pairs, rows) < 0.93  # as if all were independent: too narrow


@pytest.mark.slow
def test_intervals_of_few_skewed_sequences_cover_nearly_what_they_claim() -> None:
    assert coverage(skewed, 10) > 0.92  # percentile intervals: 85 %
    assert coverage(skewed, 25) > 0.93
