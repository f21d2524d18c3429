"""Motifs on sequences: where, on which strand, how well; nothing over an N."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from helpers.small_run import write_experiment
from kmerit.errors import FormatError
from kmerit.io.motifs import Motif, find_motif, occurrences, read_motifs
from kmerit.io.readers import read_sequences
from kmerit.runs.pipeline import run
from kmerit.sequences import Sequences, decode, reverse_complement

RNG = np.random.default_rng(0)
SKEWED = Motif("skewed", "M1", np.array([[0.7, 0.1, 0.1, 0.1], [0.1, 0.1, 0.7, 0.1], [0.1, 0.6, 0.1, 0.2]]))


def test_every_window_that_scores_enough_is_found_and_no_other() -> None:
    text = "".join(RNG.choice(list("ACGTN"), 400, p=[0.24, 0.24, 0.24, 0.24, 0.04]))
    sequences = Sequences.from_strings(["T", text], names=["short", "long"])
    result = {(hit.start, hit.strand, hit.score) for hit in occurrences(sequences, [SKEWED], 0.6)}
    expected = set()
    pairs = {"A": "T", "C": "G", "G": "C", "T": "A"}
    for start in range(398):
        word = text[start : start + 3]
        if "N" in word:
            continue
        reloaded, other = (
            sum(SKEWED.log_odds[i, "ACGT".index(letter)] for i, letter in enumerate(letters))
            for letters in (word, [pairs[letter] for letter in reversed(word)])
        )
        if max(reloaded, other) >= 0.6 * SKEWED.highest:
            expected.add((start, "-" if other > reloaded else "+", round(max(reloaded, other), 3)))
    assert len(expected) > 10
    assert result == expected
    assert {hit.sequence for hit in occurrences(sequences, [SKEWED], 0.6)} == {"long"}


def test_the_other_strand() -> None:
    ctcf = find_motif(read_motifs(), "CTCF")
    best = ctcf.log_odds.argmax(axis=1).astype(np.int8)
    sequences = Sequences.from_strings(["AAA" + decode(reverse_complement(best)) + "AA"])
    (hit,) = occurrences(sequences, [ctcf], 1.0 - 1e-9)
    assert (hit.start, hit.end, hit.strand, hit.motif) == (3, 3 + len(ctcf), "-", "CTCF")


def test_a_run_marks_the_motifs_that_it_is_asked_for(tmp_path: Path, tiny_checkpoint: Path) -> None:
    config = write_experiment(tmp_path, tiny_checkpoint)
    task = tmp_path / "run" / "tasks" / "mine"
    report = run(config, tmp_path / "run", ["motifs.match=0.4"]).report
    hits = json.loads((task / "hits.json").read_text())
    names = read_sequences(task / "sequences.parquet").names
    assert hits["source"] == "jaspar2024_vertebrates.meme, at least 40% of the highest score"
    assert hits["hits"]
    assert {hit["sequence"] for hit in hits["hits"]} <= set(names)
    page = report.read_text(encoding="utf-8")
    assert hits["hits"][0]["motif"] in page
    assert hits["source"] in page
    (tmp_path / "none.meme").write_text("MEME version 4\n")
    with pytest.raises(FormatError, match=r"none.meme"):
        run(config, tmp_path / "other", ["motifs.file='none.meme'"])
    assert not (tmp_path / "other").exists()
