"""How results are shown: numbers and tables in text, views and sequence logos in notebooks."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from kmerit.errors import MissingExtra

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

DASH, MINUS, SPACE = "–", "\N{MINUS SIGN}", "\N{NO-BREAK SPACE}"
DIGITS = 3
"""Behind the point, of accuracies, AUROCs, effects and the like."""


def fixed(value: float | None, digits: int = DIGITS, none: str = DASH) -> str:
    """Write a number with fixed digits and a true minus sign; a dash where there is none.

    Example:
        >>> fixed(-0.12345), fixed(-0.0001), fixed(None), fixed(12345, 0)
        ('−0.123', '0.000', '–', '12,345')
    """
    if value is None or not math.isfinite(value):
        return none
    text = f"{value:,.{digits}f}"
    return text.replace("-", MINUS) if float(text.replace(",", "")) else text.lstrip("-")


def span(low: float | None, high: float | None) -> str:
    """Write an interval; nothing where there is none.

    Example:
        >>> span(0.1, 0.2), span(None, None)
        ('[0.100, 0.200]', '')
    """
    is_finite = low is not None and high is not None and math.isfinite(low) and math.isfinite(high)
    return f"[{fixed(low)}, {fixed(high)}]" if is_finite else ""


def interval(value: float | None, low: float | None, high: float | None, digits: int = DIGITS, none: str = DASH) -> str:
    """Write a number with its interval, where that is known.

    Example:
        >>> interval(0.9, 0.88, 0.92), interval(0.9, None, None), interval(None, None, None, none="undefined")
        ('0.900 (0.880 to 0.920)', '0.900', 'undefined')
    """
    text = fixed(value, digits, none)
    return text if text == none or not span(low, high) else f"{text} ({fixed(low, digits)} to {fixed(high, digits)})"


def percent(share: float | None, digits: int = 0) -> str:
    r"""Write a share as per cent, which stays on one line with its sign.

    Example:
        >>> percent(0.123), percent(0.123, 1), percent(None)
        ('12\xa0%', '12.3\xa0%', '–')
    """
    return DASH if share is None or not math.isfinite(share) else f"{fixed(100 * share, digits)}{SPACE}%"


def significant(value: float, digits: int = 2) -> str:
    """Write a number with significant digits, as of a p value or a deviation.

    Example:
        >>> significant(0.01234), significant(0.0000123), significant(31.25, 3)
        ('0.012', '1.2e-05', '31.2')
    """
    return f"{value:.{digits}g}"


def fine_percent(value: float) -> str:
    """Write a share as per cent with one decimal; none and all without.

    Example:
        >>> fine_percent(0.07), fine_percent(1.0), fine_percent(0.00004)
        ('7.0 %', '100 %', 'under 0.1 %')
    """
    if 0 < value < 0.0005:
        return "under 0.1 %"
    return percent(value, 0 if value in (0, 1) else 1).replace(SPACE, " ")


def tokens(changed: float, total: float) -> str:
    """Write how many tokens changed, and of how many.

    Example:
        >>> tokens(80.2, 195.0), tokens(80.2, math.nan)
        ('80 of 195', '80')
    """
    return f"{fixed(changed, 0)} of {fixed(total, 0)}" if math.isfinite(changed + total) else fixed(changed, 0)


def size(count: float) -> str:
    """Write a number of bytes.

    Example:
        >>> size(3.4e6), size(12.34e9)
        ('3 MB', '12.3 GB')
    """
    return f"{count / 1e9:,.1f} GB" if count >= 1e9 else f"{count / 1e6:,.0f} MB"


def markdown_table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    r"""Lay out a table in Markdown; cells are written as they are, and None is empty.

    Example:
        >>> print(markdown_table(["method", "AUROC"], [["lrp", "0.900"], ["a|b", None]]))
        | method | AUROC |
        |----------|---------|
        | lrp | 0.900 |
        | a\|b |  |
    """
    import pandas as pd

    def spelt(cell: object) -> str:
        return "" if cell is None else str(cell).replace("\\|", "|").replace("|", "\\|")

    table = pd.DataFrame([map(spelt, row) for row in rows], columns=[spelt(name) for name in columns])
    return str(table.to_markdown(index=False, disable_numparse=True, stralign=None))


def baseline_text(name: str) -> str:
    """Describe a baseline of a model, by the name that the model's metrics.json gives it.

    Example:
        >>> baseline_text("4-mers"), baseline_text("its teachers")
        ('logistic regression on 4-mers', 'its teachers')
    """
    return f"logistic regression on {name}" if "-mers" in name and not name.startswith("ridge") else name


def withheld(sequences: int, of: int, median: float, highest: float, tolerance: float) -> str:
    """Describe for how many sequences scores were withheld, and by how much they missed what they should add up to.

    Example:
        >>> withheld(3, 3, 0.3, 0.4, 0.01)
        'median delta 30 % over 3 sequences, all above 1 %'
        >>> withheld(1, 3, 0.002, 0.4, 0.01)
        '1 of 3 sequences have a delta above 1 %, up to 40 %'
    """
    above = f"above {significant(100 * tolerance, 3)} %"
    if sequences == of:
        return f"median delta {significant(100 * median, 3)} % over {of} sequences, all {above}"
    return f"{sequences} of {of} sequences have a delta {above}, up to {significant(100 * highest, 3)} %"


COLOURS = {"A": "#009E73", "C": "#0072B2", "G": "#E69F00", "T": "#D55E00", "N": "#999999"}
"""Distinct for the colour-blind, too. Source: wong2011."""
_INCHES_A_LETTER = 0.18


def draw_logo(letters: str, heights: NDArray[Any], start: int, title: str, ax: Axes | None) -> Axes:
    """Draw letters as tall as their scores, negative ones hanging below the line; nothing where a score is NaN.

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


MOST_ROWS = 10
"""More sequences than these are counted, not shown."""
MOST_BARS = 400
"""Positions drawn of one sequence."""
_TALL = 22


class Shown:
    """Notebook view of a result that is a table: the first rows of `to_frame`."""

    def _repr_html_(self: Any) -> str:
        return frame_html(repr(self).strip("<>"), self._shown_frame())

    def _shown_frame(self: Any) -> pd.DataFrame:
        """Give the table that is shown, where that is not all columns of `to_frame`."""
        frame: pd.DataFrame = self.to_frame()
        return frame


class ShownAttribution:
    """Notebook view of an attribution."""

    def _repr_html_(self: Any) -> str:
        return attribution_html(self.method, self.level, self.signed, self.names, self.target, self.scores)


class ShownOutcomes:
    """Notebook view of the outcomes of a trial."""

    def _repr_html_(self: Any) -> str:
        return outcomes_html(self.groups, self.per_sequence(self.flipped), self.mutants.num_rows)


class ShownAudit:
    """Notebook view of an audit."""

    def _repr_html_(self: Any) -> str:
        return audit_html(self.name, self.splits, self.findings)


def audit_html(name: str, splits: Mapping[str, int], findings: Sequence[Any]) -> str:
    """Show an audit: its findings by code, worst first, each with its value and threshold. A page has the sentences.

    Args:
        name: Of the data set.
        splits: Rows per split.
        findings: With ``code``, ``where``, ``value`` and ``threshold``.

    Example:
        >>> import kmerit as km
        >>> rows = km.Sequences.from_strings(["ACGTTGCA", "GGATCCAT"], labels=[0, 1])
        >>> "copied" in km.audit({"train": rows, "test": rows}, baselines=())._repr_html_()
        True
    """
    sizes = ", ".join(f"{split} {rows:,}" for split, rows in splits.items())
    count = "1 finding" if len(findings) == 1 else f"{len(findings)} findings"
    title = f"Audit of {name} ({sizes}): {count}"
    rows = [
        [escape(finding.code), escape(finding.where), _number(finding.value), _number(finding.threshold)]
        for finding in findings
    ]
    return _table(title, ("finding", "where", "value", "threshold"), rows, len(rows))


def attribution_html(
    method: str, level: str, signed: bool, names: Sequence[str], target: NDArray[Any], scores: NDArray[Any]
) -> str:
    """Show an attribution: a row for each of the first sequences, its scores as bars, negative ones below the line.

    Args:
        method: Its name.
        level: What has a score each.
        signed: Whether negative scores mean evidence against the class.
        names: Of the sequences.
        target: ``[sequence]``, the class explained.
        scores: ``[sequence, position]``.

    Example:
        >>> import kmerit as km
        >>> scores = np.array([[0.5, -0.25, np.nan]])
        >>> shown = km.Attribution("lrp", scores, "nucleotide", np.array([1]), ("<seq>",))._repr_html_()
        >>> "&lt;seq&gt;" in shown, "<seq>" in shown
        (True, False)
    """
    rows = [
        [
            escape(name),
            str(int(explained)),
            _number(np.nanmax(np.abs(row)) if np.isfinite(row).any() else np.nan),
            _bars(row),
        ]
        for name, explained, row in zip(names[:MOST_ROWS], target, scores, strict=False)
    ]
    title = f"{method}: {'signed' if signed else 'unsigned'} scores per {level} of {len(names)} sequences"
    return _table(title, ("sequence", "class explained", "largest |score|", "scores"), rows, len(names))


def outcomes_html(groups: pd.DataFrame, flipped: NDArray[Any], mutants: int) -> str:
    """Show a trial: by method and count, how many answers changed, in per cent; mean over sequences and draws.

    Args:
        groups: Of the outcomes.
        flipped: ``[group, sequence]``, the share of draws whose answer changed; NaN where a sequence takes no part.
        mutants: How many were classified.

    Example:
        >>> import kmerit as km
        >>> model, strings = km.load_model("bundled:promoter"), ["TATAAAGGCGCGCC"]
        >>> scores = km.attribute(model, strings, ["lrp"])
        >>> "answers changed" in km.mutate(model, strings, scores, counts=[0, 2], replicates=1)._repr_html_()
        True
    """
    arms = ["method", "operator", "order"]
    counts = np.where(groups["full"], np.inf, groups["n"])
    changed = groups[arms].assign(count=counts, changed=np.nanmean(flipped, axis=1))
    mean = changed.groupby([*arms, "count"], observed=True)["changed"].mean().unstack("count")
    titles = ["all" if np.isinf(count) else f"n = {count:.0f}" for count in mean.columns]
    shares = ([f"{100 * share:.0f}" for share in row] for row in mean.to_numpy())
    rows = [[*(escape(str(part)) for part in arm), *row] for arm, row in zip(mean.index, shares, strict=True)]
    title = f"Mutagenesis of {flipped.shape[1]} sequences, {mutants} mutants classified: answers changed, in per cent"
    return _table(title, (*arms, *titles), rows, len(rows))


def frame_html(title: str, frame: pd.DataFrame, count: int | None = None) -> str:
    """Show the first rows of a frame; ``count`` says how many there are if the frame has only the first.

    Example:
        >>> import pandas as pd
        >>> "&lt;a&gt;" in frame_html("Names", pd.DataFrame({"name": ["<a>"]}))
        True
    """
    first = frame.head(MOST_ROWS).to_numpy(dtype=object)
    rows = [[escape(_number(cell) if isinstance(cell, float) else str(cell)) for cell in row] for row in first]
    return _table(title, [str(column) for column in frame.columns], rows, len(frame) if count is None else count)


def _table(title: str, head: Sequence[str], rows: Iterable[Sequence[str]], total: int) -> str:
    """Lay out a table; what is in the rows is HTML already."""
    body = ["<tr>" + "".join(f"<td style='text-align:left'>{cell}</td>" for cell in row) + "</tr>" for row in rows]
    remainder = f"<p>and {total - len(body)} more</p>" if total > len(body) else ""
    names = "".join(f"<th style='text-align:left'>{escape(name)}</th>" for name in head)
    return (
        f"<div><p><strong>{escape(title)}</strong></p><table><thead><tr>{names}</tr></thead>"
        f"<tbody>{''.join(body)}</tbody></table>{remainder}</div>"
    )


def _bars(scores: Any) -> str:
    scores = np.asarray(scores, dtype=float)[:MOST_BARS]
    positions = np.flatnonzero(np.isfinite(scores))
    if not positions.size:
        return "none"
    scores = scores[: positions[-1] + 1]
    largest = float(np.nanmax(np.abs(scores))) or 1.0
    has_negative = bool((scores[np.isfinite(scores)] < 0).any())
    height = _TALL * (2 if has_negative else 1)
    paths = {"#0072B2": "", "#D55E00": ""}
    for i, score in enumerate(scores):
        if np.isfinite(score) and score:
            tall = abs(score) / largest * _TALL
            paths["#0072B2" if score > 0 else "#D55E00"] += f"M{3 * i + 1} {_TALL}v{-tall if score > 0 else tall:.1f}"
    lines = "".join(f"<path d='{path}' stroke='{colour}' stroke-width='2'/>" for colour, path in paths.items() if path)
    return (
        f"<svg width='{3 * len(scores)}' height='{height}' viewBox='0 0 {3 * len(scores)} {height}' "
        f"preserveAspectRatio='none' role='img' aria-label='scores as bars'>{lines}"
        f"<line x1='0' x2='{3 * len(scores)}' y1='{_TALL}' y2='{_TALL}' stroke='gray' stroke-width='.5'/></svg>"
    )


def _number(value: float) -> str:
    return f"{value:.3g}" if np.isfinite(value) else "none"
