"""What each attention head looks at: a row for each head, a column for each position."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from kmerit.errors import UsageError
from kmerit.report.plots.saving import Plot, blank, paper_style
from kmerit.types import Float


def plot_heads(attention: Float, letters: str = "", title: str = "") -> Plot:
    """Draw how much attention [CLS] pays to each nucleotide, by layer and head.

    A row is scaled by its own largest value; the CSV holds the attention as it is.

    Args:
        attention: ``[layer, head, position]``, of `head_attention`; NaN where no token covers a nucleotide.
        letters: The sequence's, drawn under the picture where they fit.
        title: Of the picture.

    Raises:
        UsageError: Of another shape.

    Example:
        >>> plot_heads(np.random.default_rng(0).random((2, 3, 10))).numbers.columns.tolist()
        ['layer', 'head', 'position', 'attention']
    """
    if attention.ndim != 3 or not attention.size:
        raise UsageError(f"Expected attention [layer, head, position], got {attention.shape}.")
    layers, heads, length = attention.shape
    rows = attention.reshape(layers * heads, length).astype(float)
    largest = np.nanmax(np.where(np.isfinite(rows), rows, 0), axis=1)
    with paper_style():
        figure = blank(6.5, min(9.5, max(2.4, 1.0 + 0.13 * len(rows))))
        axis = figure.subplots()
        axis.set_facecolor("#BDBDBD")
        scaled = rows / np.where(largest, largest, 1)[:, None]
        image = axis.imshow(scaled, aspect="auto", interpolation="nearest", cmap="viridis", vmin=0, vmax=1)
        figure.colorbar(image, ax=axis, label="attention / largest of its head", fraction=0.04, pad=0.02)
        for layer in range(1, layers):
            axis.axhline(layer * heads - 0.5, color="white", linewidth=1)
        axis.set_yticks([(layer + 0.5) * heads - 0.5 for layer in range(layers)], [f"layer {i}" for i in range(layers)])
        if letters and length <= 80:
            axis.set_xticks(range(length), list(letters), fontsize=6)
            axis.tick_params(axis="x", length=0)
        axis.set_xlabel("position (nt)")
        axis.set_title(title or "attention of [CLS], by head", loc="left", fontweight="bold")
    places = zip(("layer", "head", "position"), np.indices(attention.shape), strict=True)
    numbers: dict[str, Any] = {name: index.ravel() for name, index in places}
    return Plot(figure, pd.DataFrame(numbers | {"attention": attention.ravel()}))
