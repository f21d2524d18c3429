"""Figure 1 shows what it should, reads as text, and comes out the same each time."""

from __future__ import annotations

import math
import xml.etree.ElementTree as ET
from dataclasses import replace
from pathlib import Path

import pytest

from kmerit.report.figures import OTHERS, STYLE, figure1, png, style, svg
from kmerit.report.folder import read_run
from kmerit.report.results import RANDOM, RunResults


@pytest.fixture
def run(run_folder: Path) -> RunResults:
    return read_run(run_folder)


def test_panels_lines_and_band(run: RunResults) -> None:
    figure = figure1(run.tasks)
    assert figure is not None
    assert [axis.get_title(loc="left") for axis in figure.axes] == [
        "non-TATA promoter (default label, 67\N{NO-BREAK SPACE}%)",
        "non-promoter",
        "enhancer",
        "non-enhancer (default label, 62\N{NO-BREAK SPACE}%)",
    ]
    group = run.tasks[0].groups[0]
    drawn = {tuple(line.get_ydata()) for line in figure.axes[0].lines}
    for method in (*group.methods, RANDOM):
        assert tuple(cell.accuracy for cell in group.curve(method)) in drawn
    band = figure.axes[0].collections[0].get_paths()[0].vertices[:, 1]
    control = group.curve(RANDOM)
    assert band.min() == min(cell.low for cell in control)
    assert band.max() == max(cell.high for cell in control)
    low, high = figure.axes[0].get_ylim()
    for axis in figure.axes:
        heights = [y for line in axis.lines if line.get_transform() == axis.transData for y in line.get_ydata()]
        assert low < min(heights)
        assert max(heights) < high


def test_svg_is_text_and_the_same_each_time(run: RunResults) -> None:
    first, second = figure1(run.tasks), figure1(run.tasks)
    assert first is not None
    assert second is not None
    drawing = svg(first)
    assert drawing == svg(second)
    assert "non-TATA promoter (default label, 67\N{NO-BREAK SPACE}%)" in "".join(ET.fromstring(drawing).itertext())
    assert "<dc:date>" not in drawing
    assert png(first) == png(second)


def test_an_odd_number_of_panels_leaves_no_empty_frame(run: RunResults) -> None:
    one = replace(run.tasks[0], groups=run.tasks[0].groups[:1])
    figure = figure1([one, run.tasks[1]])
    assert figure is not None
    assert [axis.get_visible() for axis in figure.axes] == [True, True, True, False]


def test_a_value_that_is_missing_is_not_drawn(run: RunResults) -> None:
    group = run.tasks[0].groups[0]
    cells = tuple(replace(cell, low=math.nan, high=math.nan) for cell in group.cells)
    figure = figure1([replace(run.tasks[0], groups=(replace(group, cells=cells),))])
    assert figure is not None
    assert svg(figure)


def test_no_trial_no_figure() -> None:
    assert figure1([]) is None


def test_every_method_has_a_look_of_its_own() -> None:
    looks = style([*STYLE, *(f"mine{i}" for i in range(len(OTHERS)))])
    assert len({colour for colour, _ in looks.values()}) == len(looks)
    assert len({marker for _, marker in looks.values()}) == len(looks)
