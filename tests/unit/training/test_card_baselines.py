"""The baselines count k-mers rightly and learn what composition tells."""

import numpy as np
import pytest

from helpers.training_data import labelled, random_strings
from kmerit.errors import LabelError
from kmerit.metrics import classification_metrics
from kmerit.sequences import Sequences
from kmerit.training.card import gapped_kmers, kmer_frequencies, linear_baselines


def test_frequencies_are_shares_of_a_sequences_kmers() -> None:
    sequences = Sequences.from_strings(["AACAA", "ANAC"])
    result = kmer_frequencies(sequences, 2).toarray()
    words = ["".join((a, b)) for a in "ACGT" for b in "ACGT"]
    assert result[0, [words.index(w) for w in ("AA", "AC", "CA")]].tolist() == [0.5, 0.25, 0.25]
    assert result[1].sum() == pytest.approx(1 / 3)  # AN and NA count for nothing


def auroc(labels, logits, resamples=0) -> dict[str, float]:
    return classification_metrics(labels, logits, resamples=resamples)["auroc"]


def test_composition_is_learnt_in_two_and_three_classes() -> None:
    for classes in (2, 3):
        test = labelled(100, 2, classes)
        result = linear_baselines(labelled(200, 1, classes), test, ks=(1, 2), gapped=(3, 2))
        assert list(result) == ["1-mers", "2-mers", "gapped k-mers (3, 2)"]
        assert all(auroc(test.labels, logits)["value"] > 0.95 for logits in result.values())


def test_gapped_kmers_are_counted_and_an_n_spoils_its_windows() -> None:
    text = "ACGTTGACNACGGT"
    result = gapped_kmers(Sequences.from_strings([text, "AC"]), 4, 2).toarray()
    places = [(0, 1), (0, 2), (0, 3), (1, 2), (1, 3), (2, 3)]
    expected = np.zeros(len(places) * 16)
    for start in range(len(text) - 3):
        window = text[start : start + 4]
        if "N" not in window:
            for i, (a, b) in enumerate(places):
                expected[i * 16 + "ACGT".index(window[a]) * 4 + "ACGT".index(window[b])] += 1
    assert np.allclose(result[0], np.log1p(expected))
    assert not result[1].any()


def test_a_gap_is_seen_that_no_short_word_sees() -> None:
    # A motif of two pairs with four open places between them.
    def rows(count: int, seed: int) -> Sequences:
        rng = np.random.default_rng(seed)
        texts, labels = random_strings(count, 40, seed), rng.integers(0, 2, count)
        for i, place in enumerate(rng.integers(0, 32, count)):
            first, second = ("GA", "TC") if labels[i] else ("TC", "GA")
            gap = texts[i][place + 2 : place + 6]
            texts[i] = texts[i][:place] + first + gap + second + texts[i][place + 8 :]
        return Sequences.from_strings(texts, labels=labels)

    test = rows(300, 2)
    result = linear_baselines(rows(1500, 1), test, ks=(2,), gapped=(8, 4))
    assert auroc(test.labels, result["gapped k-mers (8, 4)"])["value"] > 0.9
    assert auroc(test.labels, result["2-mers"])["value"] < 0.65


def test_noise_is_not_learnt() -> None:
    rng = np.random.default_rng(0)
    train, test = (
        Sequences.from_strings(random_strings(200, 40, seed), labels=rng.integers(0, 2, 200)) for seed in (1, 2)
    )
    result = auroc(test.labels, linear_baselines(train, test, ks=(2,))["2-mers"], resamples=200)
    assert result["low"] < 0.55
    assert result["high"] < 0.65


def test_classes_that_only_the_test_has_are_never_predicted() -> None:
    test = labelled(60, 2, 3)
    result = linear_baselines(labelled(100, 1, 2), test, ks=(1,))["1-mers"]
    assert 0.5 < np.mean(result.argmax(1) == test.labels) < 0.8
    assert (result.argmax(1) < 2).all()


def test_values_are_no_classes() -> None:
    with pytest.raises(LabelError, match="classes"):
        linear_baselines(Sequences.from_strings(["ACGT"], labels=[0.5]), labelled(4, 1))
