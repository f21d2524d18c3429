from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kmerit.attribution.trace import PROJECTIONS, to_nucleotides
from kmerit.sequences import Tokens


def tokens_with(spans: list[list[tuple[int, int]]]) -> Tokens:
    width = max(map(len, spans))
    array = np.zeros((len(spans), width, 2), dtype=np.int32)
    mask = np.zeros((len(spans), width), dtype=bool)
    for i, row in enumerate(spans):
        array[i, : len(row)] = row
        mask[i, : len(row)] = True
    return Tokens(np.zeros(mask.shape, dtype=np.int64), mask, array)


def replica(scores: list[float], spans: list[tuple[int, int]], length: int, how: str) -> list[float]:
    """Nucleotide by nucleotide, as one would by hand."""
    result = []
    for position in range(length):
        over = [(score, b - a) for score, (a, b) in zip(scores, spans, strict=True) if a <= position < b]
        if not over:
            result.append(np.nan)
        elif how == "mean":
            result.append(sum(score for score, _ in over) / len(over))
        elif how == "share":
            result.append(sum(score / width for score, width in over))
        else:
            result.append(max(score for score, _ in over))
    return result


@given(
    st.integers(6, 30).flatmap(
        lambda length: st.tuples(
            st.just(length),
            st.lists(st.integers(0, length - 1), min_size=1, max_size=12, unique=True),
            st.randoms(use_true_random=False),
        )
    ),
    st.sampled_from(PROJECTIONS),
)
def test_any_spans(case: tuple[int, list[int], object], how: str) -> None:
    length, starts, random = case
    spans = [(0, 0), *((a, min(length, a + random.randint(1, 6))) for a in sorted(starts)), (0, 0)]
    scores = [random.uniform(-1, 1) for _ in spans]
    result = to_nucleotides(np.array([scores]), tokens_with([spans]), length, how)
    np.testing.assert_allclose(result[0], replica(scores, spans, length, how), atol=1e-12)
    if how == "share":
        np.testing.assert_allclose(np.nansum(result), sum(scores[1:-1]), atol=1e-12)


def test_zeros_stay_exact_and_special_tokens_count_nothing() -> None:
    spans = [(0, 0), (0, 3), (1, 4), (0, 0)]
    result = to_nucleotides(np.array([[9.0, 0.0, 3.0, 9.0]]), tokens_with([spans]), 5)
    assert result[0, :4].tolist() == [0.0, 1.5, 1.5, 3.0]
    assert np.isnan(result[0, 4])


def test_dtype_is_kept() -> None:
    scores = np.ones((1, 3), dtype=np.float32)
    for how in PROJECTIONS:
        assert to_nucleotides(scores, tokens_with([[(0, 0), (0, 2), (0, 0)]]), 2, how).dtype == np.float32


def test_unknown_projection() -> None:
    with pytest.raises(Exception, match="expected one of mean, share, max"):
        to_nucleotides(np.ones((1, 1)), tokens_with([[(0, 1)]]), 1, "median")
