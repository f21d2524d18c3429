"""How numbers and tables of numbers are written, wherever people read them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

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
    known = low is not None and high is not None and math.isfinite(low) and math.isfinite(high)
    return f"[{fixed(low)}, {fixed(high)}]" if known else ""


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


def share(value: float) -> str:
    """Write a share of rows with one decimal; none and all without.

    Example:
        >>> share(0.07), share(1.0), share(0.00004)
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
