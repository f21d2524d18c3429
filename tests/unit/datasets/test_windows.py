"""Windows of a genome, and sequences without the k-mers of others."""

from __future__ import annotations

import numpy as np

from helpers.training_data import random_strings
from kmerit.datasets.similarity import without_kmers_of
from kmerit.datasets.windows import cut_windows, draw_windows, matched_windows
from kmerit.sequences import Sequences, decode, encode, gc_count, reverse_complement

CORPUS = Sequences.from_strings([*random_strings(3, 2000, seed=0), "ACGTN" * 40])


def test_what_shares_one_word_is_left_out_on_either_strand() -> None:
    word, other, apart = random_strings(3, 24, seed=11)
    turned = decode(reverse_complement(encode(word)))
    inputs = [f"TT{word}A", f"{turned}CC", other, word[:12], word[12:], "ACGNA"]
    kept = without_kmers_of(Sequences.from_strings(inputs), Sequences.from_strings([f"G{word}", apart]), 24)
    assert kept.strings() == inputs[2:]  # halves that lie end to end are no word


def test_windows_stay_inside_records_and_off_n() -> None:
    starts = draw_windows(CORPUS, 50, 3000, np.random.default_rng(0))
    texts = CORPUS.strings()
    result = cut_windows(CORPUS, starts, 50)
    assert len(result) > 2000
    assert all(any(window in text for text in texts) for window in result.strings()[:300])
    assert not (result.bases == 4).any()


def test_matched_windows_have_the_gc_of_the_rows() -> None:
    rich = Sequences.from_strings(["GC" * 20 + "AT" * 10] * 3)
    bases, _ = rich.padded()
    starts = matched_windows(CORPUS, bases, 50, np.random.default_rng(0), pool=20_000)
    gc = gc_count(CORPUS.bases[starts[:, None] + np.arange(60)])
    assert starts.size > 20
    assert (gc // 3 == 40 // 3).all()
