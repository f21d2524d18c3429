"""The scores of many sequences: a row for each, a column for each position."""

from __future__ import annotations

import numpy as np
import pandas as pd

from kmerit.errors import UsageError
from kmerit.report.plots.saving import Plot, blank, paper_style
from kmerit.types import Attribution

MOST_NAMES = 40
"""More rows than these are not named beside the picture."""


def plot_heatmap(attribution: Attribution) -> Plot:
    """Draw scores as colours, sequences aligned at their first position.

    A row is scaled by its own largest magnitude, so that weak sequences are seen beside strong ones; the CSV holds the
    scores as they are. Blue is negative, red positive; grey, no score.

    Args:
        attribution: Scores per nucleotide.

    Raises:
        UsageError: Scores of tokens, or of no sequence.

    Example:
        >>> import kmerit as km
        >>> model, sequences = km.load_model("bundled:promoter"), km.Sequences.from_strings(["TATAAAGGCGCGCC"])
        >>> plot_heatmap(km.attribute(model, sequences, ["lrp"])["lrp"]).numbers.shape
        (14, 3)
    """
    if attribution.level != "nucleotide":
        raise UsageError(f"The scores of {attribution.method!r} are per {attribution.level}; expected nucleotides.")
    if not len(attribution):
        raise UsageError("Expected the scores of at least one sequence, got none.")
    scores = attribution.scores.astype(float)
    known = np.isfinite(scores)
    largest = np.abs(np.where(known, scores, 0)).max(axis=1)
    scaled = scores / np.where(largest, largest, 1)[:, None]
    with paper_style():
        figure = blank(6.5, min(9.0, 1.2 + 0.14 * len(scores)))
        axis = figure.subplots()
        axis.set_facecolor("#BDBDBD")
        low, colours = (-1, "RdBu_r") if (scaled[known] < 0).any() else (0, "Blues")
        image = axis.imshow(scaled, aspect="auto", interpolation="nearest", cmap=colours, vmin=low, vmax=1)
        figure.colorbar(image, ax=axis, label="score / largest of its sequence", fraction=0.04, pad=0.02)
        axis.set_xlabel("position (nt)")
        axis.set_title(attribution.method, loc="left", fontweight="bold")
        if len(scores) <= MOST_NAMES:
            axis.set_yticks(range(len(scores)), [name[:24] for name in attribution.names], fontsize=6)
        else:
            axis.set_ylabel(f"{len(scores)} sequences")
    row, position = np.nonzero(known)
    names = np.array(attribution.names, dtype=object)
    return Plot(figure, pd.DataFrame({"name": names[row], "position": position, "score": scores[known]}))
