"""One style for all figures, and files that are the same whenever they are made of the same numbers."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib as mpl
import pandas as pd
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from kmerit.errors import UsageError
from kmerit.report.figures import DPI, RC
from kmerit.store import write_bytes, write_csv

FORMATS: dict[str, dict[str, Any]] = {
    ".png": {"Software": None},
    ".svg": {"Date": None, "Creator": None},
    ".pdf": {"CreationDate": None, "Creator": None, "Producer": None},
}
"""Endings, and what a file must not say of when and by what it was made."""


@dataclass(frozen=True, eq=False)
class Plot:
    """A figure, and the numbers that it shows, one to a row."""

    figure: Figure
    numbers: pd.DataFrame


@contextmanager
def paper_style() -> Iterator[None]:
    """Draw as all of kmerit's figures are drawn."""
    with mpl.rc_context({**RC, "pdf.fonttype": 42}):
        yield


def blank(width: float, height: float) -> Figure:
    """Make a figure that belongs to no window; inches."""
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def check_out(out: Path) -> None:
    """Refuse an ending that is no format, before anything is computed.

    Raises:
        UsageError: With the formats there are.
    """
    if out.suffix and out.suffix not in FORMATS:
        raise UsageError(
            f"--out: {out.name!r} ends in {out.suffix!r}; expected .png, .svg or .pdf, or no ending for all three."
        )


def outputs(out: Path) -> tuple[Path, ...]:
    """List the files of a figure, its numbers last.

    Example:
        >>> [path.name for path in outputs(Path("figure.svg"))]
        ['figure.svg', 'figure.csv']
    """
    endings = [out.suffix] if out.suffix else [*FORMATS]
    return tuple(out.with_suffix(ending) for ending in (*endings, ".csv"))


def save(plot: Plot, out: Path | str) -> tuple[Path, ...]:
    """Write a figure, and its numbers as CSV beside it.

    Args:
        plot: What to write.
        out: A file in .png, .svg or .pdf; without an ending, all three are written.

    Returns:
        What was written, the CSV last.

    Raises:
        UsageError: Another ending.

    Example:
        >>> import tempfile
        >>> import pandas as pd
        >>> with paper_style(), tempfile.TemporaryDirectory() as folder:
        ...     plot = Plot(blank(2, 1), pd.DataFrame({"n": [0, 5]}))
        ...     [path.name for path in save(plot, folder + "/figure.svg")]
        ['figure.svg', 'figure.csv']
    """
    out = Path(out)
    check_out(out)
    *figures, numbers = outputs(out)
    for path in figures:
        drawn = io.BytesIO()
        with paper_style():
            plot.figure.savefig(
                drawn, format=path.suffix[1:], dpi=DPI, metadata=FORMATS[path.suffix], facecolor="white"
            )
        write_bytes(path, drawn.getvalue())
    write_csv(numbers, plot.numbers, float_format="%.6g")
    return (*figures, numbers)
