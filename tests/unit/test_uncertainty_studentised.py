"""The studentised bootstrap and max-T, against scipy, statsmodels and closed forms."""

import numpy as np
import pytest
import statsmodels.api as sm
from scipy import stats

from kmerit.disk import StoredRows
from kmerit.errors import LabelError
from kmerit.uncertainty import bootstrap_means, clopper_pearson, max_t, mean_differences, studentised


def test_the_error_of_single_rows_is_the_standard_error() -> None:
    values = np.random.default_rng(0).normal(size=(30, 4))
    result = studentised(values)
    assert result.error == pytest.approx(stats.sem(values, axis=0))
    assert result.t == pytest.approx(stats.ttest_1samp(values, 0, axis=0).statistic)


def test_the_error_of_clusters_is_that_of_a_cluster_robust_regression() -> None:
    rng = np.random.default_rng(1)
    clusters = rng.integers(0, 12, 50)
    values = rng.normal(size=50) + rng.normal(size=12)[clusters]
    fitted = sm.OLS(values, np.ones(50)).fit(cov_type="cluster", cov_kwds={"groups": clusters})
    result = studentised(values[:, None], clusters=clusters)
    assert result.mean[0] == pytest.approx(fitted.params[0])
    assert result.error[0] == pytest.approx(fitted.bse[0])


def test_a_resample_has_its_own_error() -> None:
    rng = np.random.default_rng(2)
    values = rng.lognormal(size=(9, 1))
    draws = studentised(values, resamples=3, seed=5).draws[:, 0]
    weights = np.random.default_rng(5).multinomial(9, np.full(9, 1 / 9), size=3)
    for draw, weight in zip(draws, weights, strict=True):
        resample = np.repeat(values[:, 0], weight)
        assert draw == pytest.approx((resample.mean() - values.mean()) / stats.sem(resample))


def test_an_interval_of_normal_differences_is_students() -> None:
    values = np.random.default_rng(3).normal(size=(40, 200))
    low, high = studentised(values, resamples=2000).interval()
    ends = stats.t.interval(0.95, 39, values.mean(axis=0), stats.sem(values, axis=0))
    assert np.mean(low - ends[0]) == pytest.approx(0, abs=0.01)
    assert np.mean(high - ends[1]) == pytest.approx(0, abs=0.01)


def test_missing_rows_missing_columns_and_equal_values() -> None:
    result = studentised(
        [[1.0, np.nan, 0.0, 2.0], [3.0, np.nan, 0.0, 2.0], [5.0, 1.0, 0.0, 2.0], [np.nan, 3.0, 0.0, 2.0]]
    )
    assert result.rows.tolist() == [3, 2, 4, 4]
    assert result.mean.tolist() == [3.0, 2.0, 0.0, 2.0]
    assert result.error[2:].tolist() == [0.0, 0.0]
    assert result.t[2] == 0  # nothing for every sequence
    assert result.t[3] == np.inf
    low, high = result.interval()
    assert (low[2:].tolist(), high[2:].tolist()) == ([0.0, 2.0], [0.0, 2.0])
    alone = studentised([[1.0], [2.0]], clusters=["a", "a"])
    assert np.isnan([alone.error[0], alone.interval()[0][0]]).all()
    empty = studentised(np.empty((0, 2)))
    assert (empty.rows.tolist(), np.isnan(empty.mean).all()) == ([0, 0], True)


def test_a_resample_of_equal_values_has_no_error_whatever_is_rounded() -> None:
    values = np.full((80, 1), 0.5)
    values[4] = 0.0
    result = studentised(values)
    above = result.draws[result.draws > 0]
    assert np.isposinf(above).all()
    assert np.isclose((1 - 1 / 80) ** 80, len(above) / len(result.draws), atol=0.03)


def test_a_table_is_needed() -> None:
    with pytest.raises(LabelError, match=r"\[row, column\]"):
        studentised([1.0, 2.0])


ROWS, RESAMPLES = 400, 20_000


def threshold_of(columns: np.ndarray) -> tuple[float, float]:
    return max_t([studentised(columns, resamples=RESAMPLES)])


def test_one_column_has_students_threshold() -> None:
    above, below = threshold_of(np.random.default_rng(4).normal(size=(ROWS, 1)))
    assert above == pytest.approx(stats.t.isf(0.05, ROWS - 1), abs=0.06)
    assert below == pytest.approx(stats.t.isf(0.05, ROWS - 1), abs=0.06)


@pytest.mark.parametrize("columns", [4, 24])
def test_independent_columns_have_sidaks_threshold(columns: int) -> None:
    above, _ = threshold_of(np.random.default_rng(5).normal(size=(ROWS, columns)))
    assert above == pytest.approx(stats.norm.isf(1 - 0.95 ** (1 / columns)), abs=0.08)


def test_copies_of_a_column_cost_nothing_and_its_opposite_costs_the_other_side() -> None:
    one = np.random.default_rng(6).normal(size=(ROWS, 1))
    alone = threshold_of(one)
    assert threshold_of(np.repeat(one, 5, axis=1)) == pytest.approx(alone)
    assert threshold_of(one * 7.0) == pytest.approx(alone)  # a t has no unit
    assert threshold_of(np.hstack([one, -one]))[0] == pytest.approx(stats.t.isf(0.025, ROWS - 1), abs=0.08)


def test_classes_are_independent_tables() -> None:
    rng = np.random.default_rng(7)
    parts = [studentised(rng.normal(size=(ROWS, 3)), resamples=RESAMPLES, seed=seed) for seed in (0, 1)]
    assert max_t(parts)[0] == pytest.approx(stats.norm.isf(1 - 0.95 ** (1 / 6)), abs=0.08)


def test_columns_that_are_constant_or_unknown_take_no_part() -> None:
    rng = np.random.default_rng(8)
    noise = rng.normal(size=(ROWS, 1))
    nothing = np.zeros((ROWS, 1))
    missing = np.full((ROWS, 1), np.nan)
    assert threshold_of(np.hstack([noise, nothing, missing])) == pytest.approx(threshold_of(noise))
    assert np.isnan(threshold_of(np.hstack([nothing, missing]))).all()


def test_the_familywise_rate_is_the_nominal_one() -> None:
    # Skewed differences of 60 rows, 10 columns that hang together: in how many samples is any t above the threshold?
    rng, hits = np.random.default_rng(9), np.zeros(2)
    samples = 400
    for seed in range(samples):
        shared, own = (rng.gamma(4.0, 0.5, size=(60, n)) - 2.0 for n in (1, 10))
        result = studentised(shared + own, resamples=400, seed=seed)
        above, below = max_t([result])
        hits += [(result.t > above).any(), (-result.t > below).any()]
    for count in hits:
        assert 0.02 < count / samples < 0.085


def test_clopper_pearson_is_the_beta_quantile() -> None:
    assert clopper_pearson(3, 50) == pytest.approx((stats.beta.ppf(0.025, 3, 48), stats.beta.ppf(0.975, 4, 47)))
    assert clopper_pearson(0, 20, 0.9) == pytest.approx((0.0, 1 - 0.05 ** (1 / 20)))
    assert np.isnan(clopper_pearson(0, 0)).all()


@pytest.mark.parametrize("clustered", [False, True])
def test_columns_in_files_and_in_blocks_give_the_same_bytes(clustered: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(1)
    table = rng.normal(size=(700, 21))
    table[rng.random(table.shape) < 0.1] = np.nan
    table[:, 1], table[:, 2] = 0, rng.random(700) < 0.02
    clusters = rng.integers(0, 200, 700) if clustered else None
    whole = mean_differences(table, clusters=clusters, seed=3), bootstrap_means(table, clusters=clusters, seed=3)
    monkeypatch.setattr("kmerit.disk._IN_MEMORY", 0)
    stored = StoredRows(0, 700, np.float64)
    for column in table.T:
        stored.append(column)
    for together in (1, 5000):  # 4 columns and 4
        monkeypatch.setattr("kmerit.uncertainty._VALUES_AT_ONCE", together)
        for columns in (table, stored):
            parts = mean_differences(columns, clusters=clusters, seed=3)
            assert all(np.array_equal(*pair, equal_nan=True) for pair in zip(parts, whole[0], strict=True))
            means = bootstrap_means(columns, clusters=clusters, seed=3)
            assert np.array_equal(means, whole[1], equal_nan=True)
