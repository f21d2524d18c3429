"""What a model must beat: logistic regression on k-mer frequencies, on the same rows and crop."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MaxAbsScaler

from kmerit.errors import LabelError
from kmerit.sequence import kmers
from kmerit.statistics import classification_metrics
from kmerit.types import Sequences


def kmer_frequencies(sequences: Sequences, k: int) -> csr_array:
    """Count each sequence's k-mers, as shares of all it has.

    Returns:
        ``[sequence, 4**k]``, sparse; k-mers over an N count for nothing.

    Example:
        >>> kmer_frequencies(Sequences.from_strings(["AACA"]), 1).toarray().tolist()
        [[0.75, 0.25, 0.0, 0.0]]
    """
    words = [kmers(bases, k) for bases in sequences]
    row = np.repeat(np.arange(len(words)), [word.size for word in words])
    column = np.concatenate(words)
    share = np.repeat([1 / max(word.size, 1) for word in words], [word.size for word in words])
    known = column >= 0
    return csr_array((share[known], (row[known], column[known])), shape=(len(words), 4**k))


def linear_baselines(
    train: Sequences, test: Sequences, *, ks: Sequence[int] = (4, 6), resamples: int = 2000, seed: int = 0
) -> dict[str, dict[str, Any]]:
    """Fit logistic regressions on the training rows and measure them on the test rows.

    Args:
        train: With classes as labels, cropped as the model sees them.
        test: Likewise.
        ks: Word lengths.
        resamples: Bootstrap draws of the intervals.
        seed: Of those draws.

    Returns:
        Per word length (``"4-mers"``): the metrics of :func:`kmerit.statistics.classification_metrics`.

    Raises:
        LabelError: No classes.
    """
    if train.labels is None or test.labels is None or train.labels.dtype != np.int64:
        raise LabelError("Baselines need classes as labels.")
    classes = int(max(train.labels.max(), test.labels.max())) + 1
    found = {}
    for k in ks:
        model = make_pipeline(MaxAbsScaler(), LogisticRegression(max_iter=2000))
        model.fit(kmer_frequencies(train, k), train.labels)
        logits = _logits(model.predict_log_proba(kmer_frequencies(test, k)), model.classes_, classes)
        found[f"{k}-mers"] = classification_metrics(test.labels, logits, resamples=resamples, seed=seed)
    return found


def _logits(log_probability: NDArray[np.float64], seen: NDArray[np.int64], classes: int) -> NDArray[np.float64]:
    """Give classes that training never saw the lowest score."""
    logits = np.full((len(log_probability), classes), log_probability.min() - 1)
    logits[:, seen] = log_probability
    return logits
