"""The logo that an attribution draws of itself."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.patches import PathPatch

import kmerit as km
from kmerit.errors import MissingExtra, UsageError
from kmerit.formats import COLOURS

SEQUENCES = km.Sequences.from_strings(["ACGT", "GATTACA"])
SCORES = np.array([[0.5, -1.0, 0.0, 2.0, np.nan, np.nan, np.nan], [1.0, -2.0, np.nan, 0.25, 3.0, -0.5, 0.75]])
ATTRIBUTION = km.Attribution("made", SCORES, "nucleotide", np.zeros(2, np.int64), SEQUENCES.names)


def drawn(ax: object) -> dict[int, tuple[float, float, tuple[float, ...]]]:
    """Position to the bottom, the top and the colour of its letter."""
    result = {}
    for patch in ax.patches:  # type: ignore[attr-defined]
        assert isinstance(patch, PathPatch)
        box = patch.get_path().get_extents()
        if box.height > 0:
            result[round((box.x0 + box.x1) / 2)] = (box.y0, box.y1, patch.get_facecolor())
    return result


def test_letters_are_as_high_as_their_scores() -> None:
    from matplotlib.colors import to_rgba

    letters = drawn(ATTRIBUTION.plot(1, SEQUENCES))
    assert sorted(letters) == [0, 1, 3, 4, 5, 6]  # nothing where the score is not a number
    for position, (bottom, top, colour) in letters.items():
        score = SCORES[1, position]
        np.testing.assert_allclose((bottom, top), (min(score, 0), max(score, 0)), atol=1e-9)
        assert colour == to_rgba(COLOURS["GATTACA"[position]])


def test_a_window_keeps_its_positions() -> None:
    ax = ATTRIBUTION.plot(1, SEQUENCES, start=3, end=6)
    assert sorted(drawn(ax)) == [3, 4, 5]
    assert ax.get_xlim() == (2.5, 5.5)
    assert ax.get_title() == "seq1: made"


def test_on_axes_of_ones_own() -> None:
    ax = Figure().add_subplot()
    assert ATTRIBUTION.plot(0, SEQUENCES, ax=ax) is ax
    assert sorted(drawn(ax)) == [0, 1, 3]


def test_scores_in_memory_know_their_letters(tiny_checkpoint: Path) -> None:
    sequences = km.Sequences.from_strings(["GATTACAGATTACA", "ACGTACGT"])
    scores = km.attribute(km.load_model(tiny_checkpoint), sequences, ["saliency"], check=1)["saliency"]
    assert drawn(scores.plot(0)) == drawn(scores.plot(0, sequences))
    with pytest.raises(UsageError, match="without letters"):
        ATTRIBUTION.plot(0)
    with pytest.raises(ValueError, match="those that the names name"):
        replace(ATTRIBUTION, sequences=SEQUENCES.take([1, 0]))


def test_what_cannot_be_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match="expected 0 <= start < end <= 7, got 3 and 9"):
        ATTRIBUTION.plot(1, SEQUENCES, 3, 9)
    with pytest.raises(UsageError, match="the 2 sequences explained"):
        ATTRIBUTION.plot(0, SEQUENCES.take([0]))
    monkeypatch.setitem(sys.modules, "logomaker", None)
    with pytest.raises(MissingExtra, match=r"kmerit\[logo\]"):
        ATTRIBUTION.plot(0, SEQUENCES)
