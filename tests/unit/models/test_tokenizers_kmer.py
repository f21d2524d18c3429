from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import kmerit as km
from kmerit.errors import SequenceError
from kmerit.models.tokenizers import CLS, PAD, SEP, UNK, token_ids, vocabulary


def test_vocabulary_counts_in_the_order_of_dnabert() -> None:
    words = vocabulary(6)
    assert words[:5] == ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    assert words[5:9] == ["AAAAAA", "AAAAAT", "AAAAAC", "AAAAAG"]
    assert words[-1] == "GGGGGG"
    assert len(words) == 4101


@given(
    st.lists(st.text("ACGTN", min_size=6, max_size=30), min_size=1, max_size=5),
    st.sampled_from([3, 4, 5, 6]),
)
def test_tokens_are_those_of_the_strings(strings: list[str], k: int) -> None:
    index = {word: i for i, word in enumerate(vocabulary(k))}
    tokens = token_ids(*km.Sequences.from_strings(strings).padded(), k)
    for row, text in enumerate(strings):
        words = [index.get(text[i : i + k], UNK) for i in range(len(text) - k + 1)]
        count = len(words) + 2
        assert tokens.ids[row, :count].tolist() == [CLS, *words, SEP]
        assert (tokens.ids[row, count:] == PAD).all()
        assert tokens.mask[row].tolist() == [True] * count + [False] * (tokens.ids.shape[1] - count)
        starts, ends = tokens.spans[row].T
        assert [text[a:b] for a, b in zip(starts[1 : count - 1], ends[1 : count - 1], strict=True)] == [
            text[i : i + k] for i in range(len(text) - k + 1)
        ]
        special = np.r_[0, count - 1 : len(starts)]
        assert (starts[special] == ends[special]).all()


def test_shorter_than_k() -> None:
    with pytest.raises(SequenceError, match="has 5 nt; a 6-mer model needs at least 6"):
        token_ids(*km.Sequences.from_strings(["ACGTACGT", "ACGTA"]).padded(), 6)
