"""Figure 1 shows what it should, reads as text, and comes out the same each time."""

from __future__ import annotations

import math
import xml.etree.ElementTree as ET
from dataclasses import replace
from pathlib import Path

import pytest

from helpers.report_run import GRID
from kmerit.report.figures import OTHERS, STYLE, chart, figure1, png, style, svg
from kmerit.report.load import RANDOM, Group, RunResults, TaskResult, read_run


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
    assert len({look.colour for look in looks.values()}) == len(looks)
    assert len({look.marker for look in looks.values()}) == len(looks)
    more = style([*STYLE, *(f"mine{i}" for i in range(4 * len(OTHERS)))])
    assert {name: more[name] for name in looks} == looks
    for parts in (("colour", "marker"), ("colour", "dash")):
        assert len({tuple(getattr(look, part) for part in parts) for look in more.values()}) == len(more)


def brightness(colour: str) -> float:
    red, green, blue = (int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5))
    return 0.2126 * red**2.2 + 0.7152 * green**2.2 + 0.0722 * blue**2.2


def test_methods_are_told_apart_on_a_dark_page(run: RunResults) -> None:
    dark = {method["name"]: method["dark"] for method in chart(run)["methods"]}
    assert len(set(dark.values())) == len(dark)
    # The two blues: apart by how bright they are, which every eye sees.
    assert brightness(dark["rollout"]) > 2 * brightness(dark["attention"])
    assert all(brightness(colour) > 0.15 for colour in dark.values())


def test_a_random_control_of_one_draw_has_no_band_but_is_seen(run: RunResults) -> None:
    def alone(group: Group) -> Group:
        cells = [
            replace(cell, low=math.nan, high=math.nan) if cell.method == RANDOM else cell
            for cell in group.cells
            if cell.method != RANDOM or cell.n == 20
        ]
        return replace(group, cells=tuple(cells))

    def legend(task: TaskResult) -> list[str]:
        figure = figure1([task])
        assert figure is not None
        return [text.get_text() for text in figure.legends[0].get_texts()]

    task = run.tasks[0]
    single = replace(task, groups=tuple(map(alone, task.groups)))
    assert {"random: mean", "random: 95 %"} <= set(legend(task))
    assert "random: mean" in legend(single)
    assert "random: 95 %" not in legend(single)
    figure = figure1([single])
    assert figure is not None
    (at_20,) = single.groups[0].curve(RANDOM)
    dots = [line for line in figure.axes[0].lines if line.get_marker() == "."]
    assert [(list(dot.get_xdata()), list(dot.get_ydata())) for dot in dots] == [([20], [at_20.accuracy])]


def test_nucleotides_put_back_are_not_called_replaced(run: RunResults) -> None:
    def back(group: Group) -> Group:
        return replace(group, cells=tuple(replace(cell, order="insertion") for cell in group.cells))

    groups = tuple(map(back, run.tasks[0].groups))
    figure = figure1([replace(run.tasks[0], groups=groups)])
    assert figure is not None
    assert figure.axes[0].get_xlabel() == "nucleotides put back"
    assert groups[0].intact == next(cell for cell in groups[0].cells if cell.full)
    floor = groups[0].mutated
    assert floor is not None
    assert floor.n == 0
    assert [floor.accuracy] * 2 in [list(line.get_ydata()) for line in figure.axes[0].lines]


def test_the_grid_of_a_fair_trial_stands_under_the_figure(run: RunResults) -> None:
    cards = run.tasks[0].cards.model_copy(update={"grid": GRID})
    figure = figure1([replace(run.tasks[0], cards=cards)])
    assert figure is not None
    assert "Grid: 400 sequences, random_other" in svg(figure)
