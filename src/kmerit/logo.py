"""A sequence logo of scores."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from kmerit.errors import MissingExtra

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COLOURS = {"A": "#009E73", "C": "#0072B2", "G": "#E69F00", "T": "#D55E00", "N": "#999999"}
"""Letters told apart by the colour-blind, too. Source: wong2011."""
_INCHES_A_LETTER = 0.18


def draw_logo(letters: str, heights: NDArray[Any], start: int, title: str, ax: Axes | None) -> Axes:
    """Draw letters as high as their scores, negative ones hanging below the line; nothing where a score is NaN.

    Args:
        letters: The bases.
        heights: A score for each.
        start: Position of the first letter.
        title: Of the picture.
        ax: Where to draw; by default on a new figure that belongs to nobody, as wide as the letters need.

    Raises:
        MissingExtra: logomaker is not installed.
    """
    try:
        import logomaker
    except ImportError:
        raise MissingExtra("logomaker", "logo", "Drawing a logo") from None
    import pandas as pd
    from matplotlib.figure import Figure

    if ax is None:
        width = max(4.0, _INCHES_A_LETTER * len(letters))
        ax = Figure(figsize=(width, 2.2), layout="constrained").add_subplot()
    alphabet = sorted(set(letters))
    values = {
        letter: np.where([other == letter for other in letters], np.nan_to_num(heights), 0) for letter in alphabet
    }
    table = pd.DataFrame(values, index=np.arange(start, start + len(letters)), dtype=float)
    logomaker.Logo(table, ax=ax, color_scheme=COLOURS, flip_below=False, show_spines=False)
    ax.axhline(0, color="black", linewidth=0.6)
    ax.set(title=title, xlabel="position (nt)", ylabel="score", xlim=(start - 0.5, start + len(letters) - 0.5))
    return ax
