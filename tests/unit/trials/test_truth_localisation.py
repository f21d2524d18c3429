"""Scores against planted truth, on cases with known answers."""

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, roc_auc_score

from kmerit.errors import SequenceError
from kmerit.trials.truth import composition_correlations, localisation


def test_scores_that_are_the_mask_and_scores_that_are_its_contrary() -> None:
    mask = np.zeros((2, 10), dtype=bool)
    mask[:, 3:5] = True
    result = localisation(np.stack([mask[0], ~mask[1]]).astype(np.float32), mask)
    assert result["auroc"].tolist() == [1.0, 0.0]
    assert result["auprc"][0] == 1.0
    assert result["mass_inside"].tolist() == [1.0, 0.0]


def test_the_areas_are_sklearns() -> None:
    rng = np.random.default_rng(0)
    mask = rng.random((20, 50)) < 0.3
    scores = np.round(rng.normal(size=(20, 50)) + mask, 1)
    result = localisation(scores, mask)
    for i in range(20):
        assert result["auroc"][i] == pytest.approx(roc_auc_score(mask[i], scores[i]))
        assert result["auprc"][i] == pytest.approx(average_precision_score(mask[i], scores[i]))


def test_equal_scores_find_nothing() -> None:
    mask = np.array([[True, False, False, False]])
    result = localisation(np.zeros((1, 4)), mask)
    assert (result["auroc"][0], result["auprc"][0]) == (0.5, 0.25)
    assert np.isnan(result["mass_inside"][0])


def test_what_is_not_finite_counts_as_lowest_and_negative_scores_are_no_mass() -> None:
    mask = np.array([[True, False, False, False]])
    result = localisation(np.array([[-3.0, np.nan, -4.0, -5.0]]), mask)
    assert result["auroc"][0] == 1.0
    assert np.isnan(result["mass_inside"][0])
    assert localisation(np.array([[1.0, 3.0, -4.0, 0.0]]), mask)["mass_inside"][0] == 0.25


def test_without_a_signal_nothing_can_be_found() -> None:
    for mask in (np.zeros((1, 3), dtype=bool), np.ones((1, 3), dtype=bool)):
        assert all(np.isnan(values[0]) for values in localisation(np.ones((1, 3)), mask).values())


def test_a_sequence_whose_scores_are_withheld_has_no_part_in_a_mean() -> None:
    mask = np.array([[True, False, False, False]] * 2)
    result = localisation(np.array([[0.9, 0.1, 0.2, 0.3], [np.nan] * 4]), mask)
    assert [np.nanmean(values) for values in result.values()] == [1.0, 1.0, 0.6]
    assert all(np.isnan(values[1]) for values in result.values())


def test_composition() -> None:
    truth = np.array([[0.4, -0.4, 0.1, 0.2], [0.4, -0.4, 0.1, 0.2]])
    assert composition_correlations(np.stack([3 * truth[0], -truth[1]]), truth).tolist() == [1.0, -1.0]


def test_scores_of_other_sequences_are_refused() -> None:
    with pytest.raises(SequenceError, match=r"\(1, 3\) and \(1, 4\)"):
        localisation(np.ones((1, 3)), np.ones((1, 4), dtype=bool))
    with pytest.raises(SequenceError, match="same sequences"):
        composition_correlations(np.ones((2, 3)), np.ones((1, 3)))
