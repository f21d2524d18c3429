"""The page's section on motifs."""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.text import Text

import kmerit as km
from kmerit.report.figures import paper_style
from kmerit.report.motif_section import heat_map, section


def result(names: Sequence[str], methods: Sequence[str]) -> km.Motifs:
    """Make answers of families of these names: each is found by the first method alone, and used by the model."""
    rng, count = np.random.default_rng(0), len(names)
    known = {"family": range(count), "name": names, "members": names, "consensus": ["ACGT"] * count}
    answers = {"enriched": [True] * count, "effect": [1.0] * count, "used": [True] * count}
    ends = {
        "effect_low": [0.5] * count,
        "effect_high": [1.5] * count,
        "p_used": [0.01] * count,
        "strand": ["+"] * count,
    }
    letters = {"probabilities": [np.eye(4).ravel().tolist()] * count, "sequences": [30] * count, "others": [9] * count}
    ratio = {"odds_ratio": [3.0] * count, "odds_low": [2.0] * count, "odds_high": [4.0] * count}
    ratio["p_enriched"] = [0.01] * count
    families = pd.DataFrame({**known, **answers, **ends, **letters, **ratio})
    rows = [
        {
            "family": i, "method": method, "part": "positive", "signed": True, "tested": True, "found": not m,
            "beyond_shuffled": float(rng.normal()), "t": 5.0 - m, "composition": False,
            "contribution": [0.1] * 16 if not m else None,
        }
        for m, method in enumerate(methods)
        for i in range(count)
    ]  # fmt: skip
    methods_table = pd.DataFrame({"method": methods, "auroc": 0.6, "low": 0.5, "high": 0.7, "sequences": 30})
    empty = pd.DataFrame(columns=["method", "other", "difference", "low", "high", "p"])
    return km.Motifs(families, pd.DataFrame(rows), methods_table, empty, pd.DataFrame(), pd.DataFrame(), {"hit": 1e-4})


@pytest.mark.parametrize(
    ("names", "methods"),
    [
        (("A",), ("lrp",)),
        (("FOS::JUN", "CTCF"), ("input_x_gradient", "attention")),
        (("a family of quite a long name",), ("lrp",)),
        (tuple(f"family {i}" for i in range(30)), tuple(f"a_method_of_a_long_name_{i}" for i in range(7))),
    ],
)
def test_all_words_of_the_heat_map_are_inside_it(names: tuple[str, ...], methods: tuple[str, ...]) -> None:
    answers = result(names, methods)
    figure = heat_map(answers.to_frame(), answers, range(len(names)))
    with mpl.rc_context(), paper_style():
        canvas = FigureCanvasAgg(figure)
        canvas.draw()
        drawn = figure.get_tightbbox(canvas.get_renderer())  # inches; without ticks beyond the ends of an axis
        words = [each for each in figure.findobj(Text) if each.get_visible() and each.get_text()]
        boxes = {each.get_text(): each.get_window_extent(canvas.get_renderer()) for each in words}
    assert {"share of hit letters beyond shuffled copies", "in data", "used", *names, *methods} <= set(boxes)
    width, height = figure.get_size_inches()
    assert drawn.x0 >= -0.01
    assert drawn.y0 >= -0.01
    assert drawn.x1 <= width + 0.01
    assert drawn.y1 <= height + 0.01
    label = boxes["share of hit letters beyond shuffled copies"]
    assert not [word for word in (*names, *methods, "in data", "used") if label.overlaps(boxes[word])]


def test_rows_name_who_found_a_family_and_who_missed_it() -> None:
    shown = section(result(["FOS::JUN", "CTCF"], ["lrp", "attention"]))
    assert [family.name for family in shown.families] == ["FOS::JUN", "CTCF"]
    assert [picture.method for picture in shown.families[0].pictures] == ["lrp"]
    assert shown.families[0].missed == ("attention",)
    assert shown.left_out == 0
    assert section(result([f"family {i}" for i in range(33)], ["lrp"])).left_out == 3
