"""The baselines count k-mers rightly and learn what composition tells."""

import numpy as np
import pytest
from tests.unit.training.conftest import labelled, random_strings

from kmerit.errors import LabelError
from kmerit.training.baselines import kmer_frequencies, linear_baselines
from kmerit.types import Sequences


def test_frequencies_are_shares_of_a_sequences_kmers() -> None:
    sequences = Sequences.from_strings(["AACAA", "ANAC"])
    found = kmer_frequencies(sequences, 2).toarray()
    words = ["".join((a, b)) for a in "ACGT" for b in "ACGT"]
    assert found[0, [words.index(w) for w in ("AA", "AC", "CA")]].tolist() == [0.5, 0.25, 0.25]
    assert found[1].sum() == pytest.approx(1 / 3)  # AN and NA count for nothing


def test_composition_is_learnt_in_two_and_three_classes() -> None:
    for classes in (2, 3):
        found = linear_baselines(labelled(200, 1, classes), labelled(100, 2, classes), ks=(1, 2), resamples=20)
        assert list(found) == ["1-mers", "2-mers"]
        assert all(entry["auroc"]["value"] > 0.95 for entry in found.values())


def test_noise_is_not_learnt() -> None:
    rng = np.random.default_rng(0)
    train, test = (
        Sequences.from_strings(random_strings(200, 40, seed), labels=rng.integers(0, 2, 200)) for seed in (1, 2)
    )
    found = linear_baselines(train, test, ks=(2,), resamples=200)["2-mers"]["auroc"]
    assert found["low"] < 0.55
    assert found["high"] < 0.65


def test_classes_that_only_the_test_has_are_never_predicted() -> None:
    found = linear_baselines(labelled(100, 1, 2), labelled(60, 2, 3), ks=(1,), resamples=5)["1-mers"]
    assert 0.5 < found["accuracy"]["value"] < 0.8


def test_values_are_no_classes() -> None:
    with pytest.raises(LabelError, match="classes"):
        linear_baselines(Sequences.from_strings(["ACGT"], labels=[0.5]), labelled(4, 1))
