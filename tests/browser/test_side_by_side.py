"""The page of trials side by side in a real browser: no column is cut, and names stay in view."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import kmerit as km
from kmerit.results import Attributions
from kmerit.runs.compare import compare

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def compared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two trials of one model, one of them of noisy scores, with names as users have them."""
    model, rng = km.load_model("bundled:promoter"), np.random.default_rng(4)
    strings = ["".join(rng.choice(list("ACGT"), 48)) for _ in range(40)]
    sequences = km.Sequences.from_strings(strings, labels=model.logits(strings).argmax(axis=1).tolist())
    exact = km.attribute(model, sequences, ["ism", "lrp"], "label")
    noisy = Attributions(
        {
            name: replace(each, scores=rng.normal(size=each.scores.shape).astype(np.float32), substitutions=None)
            for name, each in exact.items()
        }
    )
    plain = Attributions({name: replace(each, substitutions=None) for name, each in exact.items()})
    scores = {"seed0": plain, "results/promoters/seed1": noisy}
    trials = {
        name: km.mutate(
            model, sequences, each, counts=[2, 5], replicates=2, controls=("random", "shifted", "clump", "other")
        )
        for name, each in scores.items()
    }
    out = tmp_path_factory.mktemp("compared") / "out"
    compare(trials, scores=scores, resamples=200, out=out)
    return out / "compare.html"


def test_no_column_is_cut_on_a_usual_screen(visit: Any, compared: Path) -> None:
    page = visit(compared, wait=False, viewport={"width": 1200, "height": 900}).page
    wide = "[...document.querySelectorAll('.scroll')].map(box => box.scrollWidth - box.clientWidth)"
    assert set(page.evaluate(wide)) == {0}
    bands = page.locator("#differences td .span").all_inner_texts()
    assert bands
    assert all(" to " in each for each in bands)
    lines = "[...document.querySelectorAll('#differences .span')].map(each => each.getClientRects().length)"
    assert set(page.evaluate(lines)) == {1}  # in one line
    heads = page.locator("#differences thead th:not(.run)")
    for at in range(heads.count()):  # no word of a heading is broken
        longest = max(heads.nth(at).inner_text().split(), key=len)
        box = heads.nth(at).evaluate(
            "(head, word) => { const range = document.createRange(), text = head.firstChild;"
            " const at = text.data.indexOf(word); range.setStart(text, at); range.setEnd(text, at + word.length);"
            " return range.getClientRects().length; }",
            longest,
        )
        assert box == 1, longest


def test_a_narrow_screen_scrolls_the_tables_alone_and_keeps_the_names(visit: Any, compared: Path) -> None:
    page = visit(compared, wait=False, viewport={"width": 400, "height": 800}).page
    assert page.evaluate("document.documentElement.scrollWidth") <= 400
    for box in range(page.locator(".scroll").count()):
        part = page.locator(".scroll").nth(box)
        part.evaluate("box => { box.scrollLeft = box.scrollWidth; }")
        left, right = part.evaluate("box => [box.getBoundingClientRect().left, box.getBoundingClientRect().right]")
        name = part.locator("tbody th[scope=row]").first.bounding_box()
        last = part.locator("tbody tr").first.locator("td").last.bounding_box()
        assert left <= name["x"]
        assert name["x"] + name["width"] <= last["x"] + 1  # the name does not cover it
        assert last["x"] + last["width"] <= right + 1
