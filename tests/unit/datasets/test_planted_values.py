"""Values of a known origin: recomputed by other means, exact shares of motifs, ready to train on."""

from __future__ import annotations

import math
import re
from pathlib import Path

import numpy as np
import pytest

import kmerit as km
from kmerit.datasets.planted_values import MOTIFS, Grammar, plant_values
from kmerit.errors import UsageError
from kmerit.sequences import encode

PAIR = str.maketrans("ACGT", "TGCA")


def by_hand(text: str) -> list[float]:
    """The value of each bin, with regular expressions and plain arithmetic."""
    places = set()
    for motif, effect in MOTIFS.items():
        for letters in {motif, motif.translate(PAIR)[::-1]}:
            places |= {(m.start() + len(motif) / 2, motif, effect) for m in re.finditer(f"(?={letters})", text)}
    bins = []
    for b in range(len(text) // 8):
        total = sum(effect * math.exp(-abs(8 * b + 4 - middle) / 64) for middle, _, effect in places)
        bins.append(math.log1p(math.exp(total)))
    return bins


def test_values_are_the_grammars() -> None:
    planted = plant_values(20, seed=3)
    labels = np.asarray(planted.sequences.labels)
    assert planted.bins.shape == (20, 128)
    for text, bins, label in zip(planted.sequences, planted.bins, labels, strict=True):
        np.testing.assert_allclose(bins, by_hand(text), atol=1e-12)
        assert label == pytest.approx(np.mean(by_hand(text)))
    assert np.ptp(labels) > 0.5


def test_each_motif_has_its_exact_share() -> None:
    planted = plant_values(20, seed=4)
    table, texts = planted.instances, dict(zip(planted.sequences.names, planted.sequences, strict=True))
    assert len(table) > 60
    assert set(table["strand"]) == {"+", "-"}
    assert (np.sign(table["change"]) == np.sign(table["effect"])).all()
    for row in table.head(15).itertuples():
        text = texts[row.name]
        own = text[row.start : row.end]
        assert row.consensus in (own, own.translate(PAIR)[::-1])
        without = text[: row.start] + "N" * (row.end - row.start) + text[row.end :]
        assert row.change == pytest.approx(np.mean(by_hand(text)) - np.mean(by_hand(without)), abs=1e-12)


def test_equal_seeds_give_equal_sequences_and_files_can_be_trained_on(tmp_path: Path) -> None:
    one, two = (plant_values(5, length=256, seed=7) for _ in range(2))
    assert list(one.sequences) == list(two.sequences) != list(plant_values(5, length=256, seed=8).sequences)
    read = km.read_sequences(one.save(tmp_path) / "sequences.csv")
    np.testing.assert_allclose(np.asarray(read.labels), np.asarray(one.sequences.labels))
    assert read.names == one.sequences.names


def test_without_motifs_a_value_is_that_of_nothing() -> None:
    assert Grammar().bins(encode("AT" * 40)) == pytest.approx(math.log(2))


def test_what_is_refused() -> None:
    with pytest.raises(UsageError, match="multiple of 8"):
        plant_values(3, length=100)
    with pytest.raises(UsageError, match="count=0"):
        plant_values(0)
