"""The page's section on motifs: logos, a heat map of families and methods, and the three answers."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
import numpy as np
import pandas as pd

from kmerit.biology.motif_tests import each_row
from kmerit.formats import COLOURS
from kmerit.report import text
from kmerit.report.figures import blank, paper_style, svg
from kmerit.sequences import Floats

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from kmerit.biology.motif_tests import Motifs

MOST_ROWS = 30
"""Families of a section, those found by most first."""
_POINTS = 9
_NARROWEST = 3.6
"""Inches that the heat map has at least: the label of its scale takes them."""
_LETTER = 11
_HEIGHT = 36


@dataclass(frozen=True)
class Picture:
    """A logo of what a method found, with the verdict."""

    method: str
    verdict: str
    logo: str


@dataclass(frozen=True)
class Family:
    """A row of the section.

    Attributes:
        name: The family's.
        members: Names of its motifs.
        logo: The database's, as a data address.
        answers: In the data, used.
        pictures: One per method that found it.
        missed: Methods that did not, though the model uses it.
        untested: Whether too few sequences have a hit to say by whom it was found.
    """

    name: str
    members: str
    logo: str
    answers: str
    pictures: tuple[Picture, ...]
    missed: tuple[str, ...]
    untested: bool


@dataclass(frozen=True)
class Section:
    """What the page shows of a task's motifs."""

    lines: tuple[str, ...]
    heat_map: str
    families: tuple[Family, ...]
    left_out: int


def section(result: Motifs) -> Section:
    """Lay out the section of a task."""
    frame = _shown(result.to_frame())
    order = _order(result, frame)
    shown = order[:MOST_ROWS]
    picture = heat_map(frame, result, shown) if shown else None
    address = "" if picture is None else _address(svg(picture))
    rows = tuple(_family(result, frame[frame["family"] == family]) for family in shown)
    lines = [*text.motif_summary(result), text.motif_found(result), *text.motif_aurocs(result)]
    lines += text.motif_patterns(result)
    return Section(tuple(lines), address, rows, len(order) - len(shown))


def _shown(frame: pd.DataFrame) -> pd.DataFrame:
    """Keep one line a method: the positive part of signed scores."""
    return frame[(frame["part"] == "positive") | ~frame["signed"]]


def _order(result: Motifs, frame: pd.DataFrame) -> list[int]:
    """Sort the families of which anything is claimed: found by most methods first, then used, then by t."""
    claims = frame.groupby("family").agg(found=("found", "sum"), t=("t", "max"))
    families = result.families.set_index("family")
    used = families["used"].fillna(False).astype(bool)
    enriched = families["enriched"].fillna(False).astype(bool)
    table = claims.assign(used=used, enriched=enriched)
    table = table[(table["found"] > 0) | table["used"] | table["enriched"]]
    return [int(i) for i in table.sort_values(["found", "used", "enriched", "t"], ascending=False, kind="stable").index]


def _family(result: Motifs, rows: pd.DataFrame) -> Family:
    about: Any = result.families.set_index("family").loc[int(rows["family"].iloc[0])]
    pictures: list[Picture] = []
    missed: list[str] = []
    for row in each_row(rows):
        if row.found and row.contribution is not None:
            heights = np.reshape(row.contribution, (-1, 4))
            pictures.append(Picture(row.method, text.MOTIF_VERDICTS[row.verdict], logo(heights)))
        elif row.verdict == "used, not found":
            missed.append(row.method)
    answers = text.motif_answers(about.to_dict(), result.settings.get("problem"))
    probabilities = np.reshape(about["probabilities"], (-1, 4))
    return Family(
        str(about["name"]),
        text.motif_members(str(about["members"])),
        logo(bits(probabilities)),
        answers,
        tuple(pictures),
        tuple(missed),
        not rows["tested"].any(),
    )


def bits(probabilities: Floats) -> Floats:
    """Scale letters by the information of their position, in bits.

    Example:
        >>> bits(np.array([[1.0, 0, 0, 0], [0.25, 0.25, 0.25, 0.25]])).sum(axis=1).tolist()
        [2.0, 0.0]
    """
    safe = np.where(probabilities > 0, probabilities, 1.0)
    information = 2 + (probabilities * np.log2(safe)).sum(axis=1, keepdims=True)
    return np.asarray(probabilities * information)


def logo(heights: Floats) -> str:
    """Draw letters on top of each other, the tallest on top, as a data address of an SVG.

    Args:
        heights: ``[position, base]``; negative ones are left out.

    Example:
        >>> logo(np.array([[1.0, 0, 0, 0]]))[:26]
        'data:image/svg+xml;base64,'
    """
    rows = np.maximum(np.nan_to_num(heights), 0)
    top = float(rows.sum(axis=1).max(initial=0)) or 1.0
    parts = []
    for position, row in enumerate(rows):
        y = float(_HEIGHT)
        for base in np.argsort(row, kind="stable"):
            tall = _HEIGHT * float(row[base]) / top
            if tall < 0.5:
                continue
            letter = "ACGT"[base]
            # A capital of 10 units is about 7.2 tall and 7 wide in the fonts that are there.
            parts.append(
                f'<text transform="translate({_LETTER * position} {y:.1f}) scale({_LETTER / 7:.3f} {tall / 7.2:.3f})" '
                f'fill="{COLOURS[letter]}">{letter}</text>'
            )
            y -= tall
    width = _LETTER * len(rows)
    words = escape("".join("ACGT"[base] for base in rows.argmax(axis=1)))
    return _address(
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{_HEIGHT}" viewBox="0 0 {width} {_HEIGHT}" '
        f'font-family="Arial, Helvetica, sans-serif" font-size="10" font-weight="bold"><title>{words}</title>'
        f"{''.join(parts)}</svg>"
    )


def _address(drawing: str) -> str:
    return "data:image/svg+xml;base64," + base64.b64encode(drawing.encode()).decode("ascii")


def heat_map(frame: pd.DataFrame, result: Motifs, families: Sequence[int]) -> Figure:
    """Draw by how much each method's budget lies in hits rather than in those of shuffled copies; dots are claims."""
    methods = list(dict.fromkeys(frame["method"]))
    values = frame.pivot(index="family", columns="method", values="beyond_shuffled").loc[list(families), methods]
    effects = frame.pivot(index="family", columns="method", values="found").loc[list(families), methods]
    about = result.families.set_index("family").loc[list(families)]
    table = values.to_numpy(dtype=float)
    names = [str(name) for name in about["name"]]
    with mpl.rc_context(), paper_style():
        # In inches; the page shows it in this size. Names of columns stand at 60 degrees to the left of their end.
        letter, columns = 0.075, [*methods, "in data", "used"]
        left = 0.25 + letter * max(*map(len, names), len(methods[0]) // 2)
        below = 0.2 + 0.8 * letter * max(map(len, columns))
        wide, tall, bar = 0.5 * len(columns), 0.32 * len(names), 0.9
        width, height = max(left + wide + 0.15, _NARROWEST), 0.05 + tall + below + bar
        figure = blank(width, height)
        figure.set_layout_engine("none")
        axis = figure.add_axes((left / width, (bar + below) / height, wide / width, tall / height))
        axis.set_facecolor("#BDBDBD")
        most = float(np.nanmax(np.abs(table))) if np.isfinite(table).any() else 1.0
        image = axis.imshow(table, aspect="auto", cmap="RdBu_r", vmin=-most, vmax=most)
        claims = np.nonzero(effects.to_numpy(dtype=bool))
        axis.scatter(claims[1], claims[0], s=16, c="black")
        for row, (used, enriched) in enumerate(zip(about["used"], about["enriched"], strict=True)):
            for column, known in ((len(methods), enriched), (len(methods) + 1, used)):
                mark = "–" if pd.isna(known) else "yes" if known else ""
                axis.text(column, row, mark, ha="center", va="center", fontsize=_POINTS)
        axis.set_xlim(-0.5, len(methods) + 1.5)
        axis.set_xticks(range(len(columns)), columns, rotation=60, ha="right", fontsize=_POINTS)
        axis.set_yticks(range(len(names)), names, fontsize=_POINTS)
        scale = figure.add_axes((0.4 / width, 0.5 / height, (width - 0.8) / width, 0.1 / height))
        figure.colorbar(image, cax=scale, orientation="horizontal")
        scale.tick_params(labelsize=_POINTS)
        scale.set_xlabel("share of hit letters beyond shuffled copies", fontsize=_POINTS)
    return figure
