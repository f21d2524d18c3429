"""The scores of one sequence as logos, a track for each method."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from kmerit.errors import UnknownName, UsageError
from kmerit.logo import draw_logo
from kmerit.report.plots.saving import Plot, blank, paper_style
from kmerit.types import Attribution, Sequences

_WIDEST = 24.0
_INCHES_A_LETTER = 0.11


def plot_logo(
    sequences: Sequences,
    attributions: Mapping[str, Attribution],
    name: str,
    start: int = 0,
    end: int | None = None,
) -> Plot:
    """Draw one sequence's scores: letters as high as their scores, negative ones below the line.

    Args:
        sequences: What was explained.
        attributions: Scores per nucleotide, by method.
        name: Which sequence.
        start: First position, counted from 0.
        end: The position after the last; that of the sequence by default.

    Raises:
        UnknownName: No sequence of that name, in the sequences or in the scores.
        UsageError: Scores of tokens, no method, or positions outside the sequence.
        SequenceError: Scores of other letters under that name.
        Withheld: A method's scores of that sequence were withheld.
        MissingExtra: logomaker is not installed.

    Example:
        >>> import kmerit as km
        >>> model, sequences = km.load_model("bundled:promoter"), km.Sequences.from_strings(["TATAAAGGCGCGCC"])
        >>> plot = plot_logo(sequences, km.attribute(model, sequences, ["lrp"]), "seq0", end=10)
        >>> plot.numbers.columns.tolist(), len(plot.numbers)
        (['position', 'letter', 'lrp'], 10)
    """
    if name not in sequences.names:
        raise UnknownName("sequence", name, sequences.names)
    letters = sequences.string(sequences.names.index(name))
    end = len(letters) if end is None else end
    if not 0 <= start < end <= len(letters):
        raise UsageError(f"Positions {start} to {end} are not within {name!r}, which has {len(letters)} nucleotides.")
    if not attributions:
        raise UsageError("Expected at least one method to draw, got none.")
    one = sequences.take([sequences.names.index(name)])
    tracks = {method: _scores(attribution, one)[start:end] for method, attribution in attributions.items()}
    with paper_style():
        width = min(_WIDEST, max(4.0, 0.8 + _INCHES_A_LETTER * (end - start)))
        figure = blank(width, 1.5 * len(tracks) + 0.4)
        axes = figure.subplots(len(tracks), 1, squeeze=False, sharex=True)[:, 0]
        for axis, (method, scores) in zip(axes, tracks.items(), strict=True):
            draw_logo(letters[start:end], scores, start, method, axis)
            axis.label_outer()
        figure.suptitle(name, fontsize=9)
    numbers = pd.DataFrame({"position": np.arange(start, end), "letter": list(letters[start:end]), **tracks})
    return Plot(figure, numbers)


def _scores(attribution: Attribution, one: Sequences) -> np.ndarray:
    (name,), length = one.names, one.bases.size
    if attribution.level != "nucleotide":
        raise UsageError(f"The scores of {attribution.method!r} are per {attribution.level}; a logo needs nucleotides.")
    if name not in attribution.names:
        raise UnknownName("sequence", name, attribution.names)
    row = attribution.take([attribution.names.index(name)])
    if row.identity is None and (row.scores.shape[1] < length or np.isfinite(row.scores[0, length:]).any()):
        raise UsageError(f"The scores of {name!r} are not of its {length} nucleotides. Attribute these sequences.")
    scores: np.ndarray = row.of(one).usable().scores[0, :length]
    return scores
