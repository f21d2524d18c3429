"""Agreement of rankings, against scipy and against cases worked out by hand."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.stats import kendalltau, spearmanr

from kmerit.errors import LabelError
from kmerit.uncertainty import kendall_tau, mean_interval, paired_reversals, rank_correlations, ranking_agreement

TABLE = arrays(np.float64, (3, 7), elements=st.sampled_from([-1.0, 0.0, 0.5, 2.0, 3.5]))


@given(TABLE, TABLE)
def test_correlations_are_scipys(a: np.ndarray, b: np.ndarray) -> None:
    varied = (np.ptp(a, axis=1) > 0) & (np.ptp(b, axis=1) > 0)
    ours = rank_correlations(a, b)
    assert (np.isfinite(ours) == varied).all()
    for i in np.flatnonzero(varied):
        assert ours[i] == pytest.approx(spearmanr(a[i], b[i]).statistic)
        assert kendall_tau(a[i], b[i]) == pytest.approx(kendalltau(a[i], b[i]).statistic)
    assert np.isnan(kendall_tau(np.zeros(4), np.arange(4.0)))


def test_what_is_missing_in_either_is_left_out() -> None:
    a = np.array([[1.0, np.nan, 3.0, 2.0, 9.0]])
    b = np.array([[1.0, 100.0, 3.0, 2.0, np.nan]])
    assert rank_correlations(a, b).tolist() == [1.0]
    with pytest.raises(LabelError, match=r"\(1, 5\) and \(1, 4\)"):
        rank_correlations(a, b[:, :4])


def test_mean_intervals_cover_the_mean() -> None:
    rng = np.random.default_rng(0)
    result = [mean_interval(rng.normal(3.0, 1.0, 200), resamples=300) for _ in range(200)]
    assert 0.89 <= np.mean([low <= 3.0 <= high for _, low, high in result]) <= 0.99
    assert np.isnan(mean_interval([np.nan, np.nan])).all()


def test_clusters_widen_an_interval() -> None:
    values = np.repeat(np.random.default_rng(0).normal(size=20), 10)
    alone = mean_interval(values)
    together = mean_interval(values, clusters=np.repeat(np.arange(20), 10))
    assert together.high - together.low > 2 * (alone.high - alone.low)
    values[3] = np.nan
    assert np.isfinite(mean_interval(values, clusters=np.repeat(np.arange(20), 10))).all()


def test_rankings_that_agree_and_disagree() -> None:
    rng = np.random.default_rng(0)
    truth = np.array([0.9, 0.8, 0.6, 0.5]) + rng.normal(0, 0.01, (100, 4))
    trial = np.array([9.0, 1.0, 6.0, 5.0]) + rng.normal(0, 0.01, (100, 4))
    result = ranking_agreement(truth, trial)
    assert result.value == result.low == result.high == pytest.approx(2 / 6)
    pairs = paired_reversals(truth, trial)
    assert [pair[:2] for pair in pairs] == [(1, 2), (1, 3)]
    assert pairs[0][2] == pytest.approx(0.2, abs=0.01)
    assert pairs[0][3] == pytest.approx(5.0, abs=0.01)


def test_a_method_without_values_and_rows_of_one_cluster_reverse_nothing() -> None:
    truth, trial = np.array([[0.9, 0.6], [0.8, 0.7]]), np.array([[1.0, 2.0], [1.0, 1.5]])
    assert paired_reversals(np.where([True, False], np.nan, truth), trial, resamples=100) == []
    assert paired_reversals(truth, trial, resamples=100, clusters=[0, 0]) == []


def test_pairs_that_chance_may_have_reversed_do_not_count() -> None:
    rng = np.random.default_rng(0)
    truth, trial = rng.normal(size=(30, 3)), rng.normal(size=(30, 3))
    assert paired_reversals(truth, trial) == []
    result = ranking_agreement(truth, trial)
    assert result.low < 0 < result.high
    with pytest.raises(LabelError, match="one shape"):
        ranking_agreement(truth, trial[:, :2])
    assert np.isnan(ranking_agreement(truth[:, :1], trial[:, :1])).all()
