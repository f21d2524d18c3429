"""Each tokeniser: its spans tile the sequence, and the letters under a span spell the token."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import tokenizers
from hypothesis import given, settings
from hypothesis import strategies as st

import kmerit as km
from helpers.checkpoints import write_bpe
from kmerit.models.tokenizers import Blocks, Overlapping, Subwords, layout, vocabulary

batches = st.lists(st.text("ACGT", min_size=1, max_size=60), min_size=1, max_size=4)
with_n = st.lists(st.text("ACGTN", min_size=1, max_size=60), min_size=1, max_size=4)


@cache
def bpe() -> Subwords:
    with TemporaryDirectory() as folder:
        write_bpe(Path(folder), size=60)
        backend = tokenizers.Tokenizer.from_file(f"{folder}/tokenizer.json")
    return Subwords(backend, pad_id=3, unknown_id=0, mask_id=4)


def pieces(tokenizer: Any, texts: list[str]) -> list[list[tuple[int, int, int]]]:
    """Id, start and end of each token that covers something; the rest of what a tokeniser owes is checked here."""
    sequences = km.Sequences.from_strings(texts)
    tokens = tokenizer(*sequences.padded())
    width = tokens.spans[..., 1] - tokens.spans[..., 0]
    assert (tokens.mask.sum(1) - (width > 0).sum(1) == tokenizer.special).all()
    assert not (width[~tokens.mask] > 0).any()
    assert tokenizer.survey(sequences).tokens.tolist() == tokens.mask.sum(1).tolist()
    assert not (np.diff(tokens.mask.astype(int), axis=1) > 0).any()  # padding comes last
    return [
        [(int(i), int(a), int(b)) for i, (a, b) in zip(ids, spans, strict=True) if b > a]
        for ids, spans in zip(tokens.ids, tokens.spans, strict=True)
    ]


def tiles(found: list[tuple[int, int, int]], text: str) -> bool:
    edges = [0, *(end for _, _, end in found)]
    return edges == [*(start for _, start, _ in found), len(text)]


@given(batches)
def test_bpe(texts: list[str]) -> None:
    words = {number: word for word, number in bpe().backend.get_vocab().items()}
    for text, result in zip(texts, pieces(bpe(), texts), strict=True):
        assert tiles(result, text)
        assert all(words[number] == text[start:end] for number, start, end in result)


@given(with_n, st.sampled_from([3, 6]), st.booleans())
@settings(max_examples=60)
def test_blocks(texts: list[str], k: int, ends: bool) -> None:
    words = layout(k, ends)
    for text, result in zip(texts, pieces(Blocks(words, k, "<eos>" if ends else None), texts), strict=True):
        assert tiles(result, text)
        assert [words[number] for number, _, _ in result] == re.findall(f"[ACGT]{{{k}}}|.", text)
        assert all(words[number] == text[start:end] for number, start, end in result)


@given(st.lists(st.text("ACGT", min_size=6, max_size=60), min_size=1, max_size=4), st.sampled_from([3, 6]))
@settings(max_examples=60)
def test_overlapping_words(texts: list[str], k: int) -> None:
    words = vocabulary(k)
    for text, result in zip(texts, pieces(Overlapping(k), texts), strict=True):
        assert [words[number] for number, _, _ in result] == [text[i : i + k] for i in range(len(text) - k + 1)]
        assert all((start, end) == (i, i + k) for i, (_, start, end) in enumerate(result))
