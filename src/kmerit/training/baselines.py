"""Baselines of a model: logistic regression on k-mer frequencies and on gapped k-mers, on the same rows and crop."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array, vstack
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import MaxAbsScaler, Normalizer

from kmerit.errors import LabelError
from kmerit.sequences import Floats, Int64, Sequences, kmers

_ROWS_AT_ONCE = 256


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
    valid = column >= 0
    return csr_array((share[valid], (row[valid], column[valid])), shape=(len(words), 4**k))


def gapped_kmers(sequences: Sequences, window: int, k: int) -> csr_array:
    """Weigh each sequence's gapped k-mers: any ``k`` of ``window`` neighbouring letters, the others left open.

    Returns:
        ``[sequence, places * 4**k]``, sparse: logarithm of 1 + count, float32, for each choice of the ``k`` places.
        Windows over an N count for nothing. Source: ghandi2014, for the features; here with their logarithm.

    Example:
        >>> gapped_kmers(Sequences.from_strings(["ACG"]), 3, 2).nonzero()[1].tolist()  # AC., A.G, .CG
        [1, 18, 38]
    """
    places = list(combinations(range(window), k))
    shape = len(places) * 4**k
    parts = []
    for start in range(0, len(sequences), _ROWS_AT_ONCE):
        rows = [_gapped(bases, window, places) for bases in sequences.take(_range(start, len(sequences)))]
        row = np.repeat(np.arange(len(rows), dtype=np.int32), [part.size for part in rows])
        column = np.concatenate(rows)
        part = csr_array((np.ones(column.size, dtype=np.float32), (row, column)), shape=(len(rows), shape))
        part.sum_duplicates()
        part.data = np.log1p(part.data)
        parts.append(part)
    return csr_array(vstack(parts, format="csr"))


def _range(start: int, rows: int) -> Int64:
    return np.arange(start, min(start + _ROWS_AT_ONCE, rows), dtype=np.int64)


def _gapped(bases: NDArray[np.int8], window: int, places: Sequence[tuple[int, ...]]) -> NDArray[np.int32]:
    """Number the gapped k-mers of one sequence."""
    if bases.size < window:
        return np.zeros(0, dtype=np.int32)
    windows = np.lib.stride_tricks.sliding_window_view(bases, window).astype(np.int32)
    valid = np.all((windows >= 0) & (windows < 4), axis=1)
    k = len(places[0])
    weights = (4 ** np.arange(k - 1, -1, -1)).astype(np.int32)
    numbered = [windows[valid][:, place] @ weights + i * 4**k for i, place in enumerate(places)]
    return np.concatenate(numbered).astype(np.int32)


def linear_baselines(
    train: Sequences, test: Sequences, *, ks: Sequence[int] = (4, 6), gapped: tuple[int, int] | None = None
) -> dict[str, Floats]:
    """Fit logistic regressions on the training rows and measure them on the test rows.

    Args:
        train: With classes as labels, cropped as the model sees them.
        test: Likewise.
        ks: Word lengths.
        gapped: Window and letters of gapped k-mers; none by default.

    Returns:
        Logits ``[sequence, class]``, per word length (``"4-mers"``) and for ``"gapped k-mers (8, 5)"``.

    Raises:
        LabelError: No classes.

    Example:
        >>> rows = Sequences.from_strings(["AAAAA", "CCCCC"], labels=[0, 1])
        >>> linear_baselines(rows, rows, ks=[1])["1-mers"].argmax(axis=1).tolist()
        [0, 1]
    """
    if train.labels is None or test.labels is None or train.labels.dtype != np.int64:
        raise LabelError("Baselines need classes as labels.")
    classes = int(max(train.labels.max(), test.labels.max())) + 1
    metrics = {}
    for k in ks:
        model = make_pipeline(MaxAbsScaler(), LogisticRegression(max_iter=2000))
        metrics[f"{k}-mers"] = _answers(
            model, kmer_frequencies(train, k), train.labels, kmer_frequencies(test, k), classes
        )
    if gapped is not None:
        window, k = gapped
        model = make_pipeline(Normalizer(), LogisticRegression(C=4.0, max_iter=200, tol=1e-3))
        both = gapped_kmers(train, window, k), gapped_kmers(test, window, k)
        metrics[f"gapped k-mers ({window}, {k})"] = _answers(model, both[0], train.labels, both[1], classes)
    return metrics


def _answers(model: Pipeline, train: csr_array, labels: NDArray[Any], test: csr_array, classes: int) -> Floats:
    """Fit and answer; classes that training never saw have the lowest score, probabilities of 0 as low as floats go."""
    model.fit(train, labels)
    log_probability = np.maximum(model.predict_log_proba(test), np.log(np.finfo(float).tiny))
    logits = np.full((len(log_probability), classes), log_probability.min() - 1, dtype=np.float64)
    logits[:, model.classes_] = log_probability
    return logits
