"""The page of a run in a real browser."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from helpers.explored import COUNTS, exploration
from helpers.report_run import GRID, METHODS, excess_rows, write_run
from kmerit.report.explorer import Exploration
from kmerit.report.load import Hit, Hits, read_run
from kmerit.report.page import page
from kmerit.report.page import page as page_of

pytestmark = pytest.mark.browser

HOSTILE = "</script><script>window.hurt=1</script><img src=x onerror=window.hurt=1> \"q\" 'é' 北 & -->"
TASK = "epdnew_nontata"


def write_page(folder: Path, explorations: dict[str, Exploration], name: str = "page.html") -> Path:
    run = read_run(write_run(folder / "run"))
    path = folder / name
    path.write_text(page(run, {}, explorations), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def shown() -> Exploration:
    return exploration(12, ("attention", "lrp", "gradcam"), 130)


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory, shown: Exploration) -> Path:
    other = exploration(4, METHODS, 50, seed=5)
    return write_page(tmp_path_factory.mktemp("page"), {TASK: shown, "human_enhancers_dedup": other})


def lines(page: Any, group: int = 0) -> int:
    return int(page.locator(".panels .panel").nth(group).locator("[aria-label=line]:not(.control-line) path").count())


def wait_until(page: Any, condition: str) -> None:
    """Ask again and again; the page's own policy keeps the browser from doing so by itself."""
    for _ in range(100):
        if page.evaluate(condition):
            return
        page.wait_for_timeout(50)
    pytest.fail(f"{condition} never came true.")


def test_figure_follows_its_switches_and_keeps_the_view_in_the_address(visit: Any, report: Path) -> None:
    page = visit(report).page
    assert page.locator(".panels .panel").count() == 4
    before = lines(page)
    switch = page.locator("#figure1-live").get_by_role("button", name="rollout", exact=True)
    switch.click()
    assert switch.get_attribute("aria-pressed") == "false"
    assert lines(page) == before - 1
    page.get_by_label("Show", exact=True).select_option("probability")
    page.get_by_label("Against", exact=True).select_option("tokens_changed")
    page.locator("#figure1-live").get_by_label("Class", exact=True).select_option("2")
    title = "Figure 1. Probability of the explained class against tokens changed"
    assert page.locator("#figure1-title").text_content() == title
    assert page.locator(".panels .panel").count() == 1
    assert "tokens changed" in page.locator(".panels").text_content()
    assert "No interval was computed" not in page.locator("#figure1-live").text_content()
    hash = page.evaluate("location.hash")
    again = visit(report, hash).page
    assert again.locator("#figure1-live").inner_html() == page.locator("#figure1-live").inner_html()


@pytest.fixture(scope="module")
def tried(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A page of a fair trial: every control, another order, and one random draw under that."""
    folder = write_run(tmp_path_factory.mktemp("tried") / "run")
    for place in folder.glob("tasks/*"):
        table = pd.read_csv(place / "summary.csv")
        back = table[(table["n"] > 0)].assign(order="insertion", draws=1)
        back.loc[back["method"] == "random", ["low", "high"]] = np.nan
        one = table[table["n"].isin([20]) | table["full"]].assign(operator="mask")
        table = pd.concat([table, back, one], ignore_index=True)
        scores = table[table["method"] != "random"]
        lagging = scores["accuracy"] * 0.9 + 0.05
        own = [
            scores.assign(method=f"{kind}(" + scores["method"] + ")", accuracy=lagging) for kind in ("shifted", "other")
        ]
        clumped = table[table["method"] == "lrp"].assign(method="clump(lrp)")
        pd.concat([table, *own, clumped]).to_csv(place / "curves.csv", index=False)
        pd.DataFrame(excess_rows(place.name)).to_csv(place / "excesses.csv", index=False)
        table.to_csv(place / "summary.csv", index=False)
        cards = [
            {
                "method": method,
                "label": label,
                "verdict": "no better than its controls",
                "excess": 0.1,
                "low": -0.1,
                "high": 0.3,
            }
            for label in (0, 1)
            for method in METHODS
        ]
        (place / "cards.json").write_text(json.dumps({"cards": cards, "grid": GRID}), encoding="utf-8")
    path = folder.parent / "page.html"
    path.write_text(page(read_run(folder), {}), encoding="utf-8")
    return path


def test_every_control_can_stand_beside_the_scores(visit: Any, tried: Path) -> None:
    page = visit(tried).page
    panel = page.locator(".panels .panel").first
    control = page.get_by_label("Control", exact=True)
    assert control.locator("option").all_text_contents() == ["random", "shifted", "clump", "other", "none"]
    assert panel.locator(".control-band path").count() == 1
    assert panel.locator(".control-line").count() == 1
    caption = page.locator(".figure-caption")
    assert "The band holds 95 %" in caption.text_content()
    control.select_option("shifted")
    assert panel.locator(".control-band path").count() == 0
    assert panel.locator(".control-line").count() == len(METHODS)
    assert "rotated along the sequence" in caption.text_content()
    page.locator("#figure1-live").get_by_role("button", name="rollout", exact=True).click()
    assert panel.locator(".control-line").count() == len(METHODS) - 1
    page.locator("#figure1-live summary").click()
    page.locator("#figure1-live tr", has_text="shifted(lrp_last)").first.wait_for()
    assert page.locator("#figure1-live tr", has_text="shifted(rollout)").count() == 0
    assert page.locator("#figure1-live tr", has_text="other(").count() == 0
    again = visit(tried, page.evaluate("location.hash")).page
    assert again.locator("#figure1-live .panels").inner_html() == page.locator("#figure1-live .panels").inner_html()
    control.select_option("none")
    assert panel.locator(".control-line").count() == 0
    assert page.get_by_text("Grid: 400 sequences, random_other").count() == 1


def test_what_is_lost_beyond_a_control_is_drawn_from_zero(visit: Any, tried: Path) -> None:
    page = visit(tried, "#control=shifted&ci=every").page
    page.get_by_label("Show", exact=True).select_option("excess_logit")
    assert page.locator("#figure1-title").text_content() == (
        "Figure 1. Drop of the logit beyond the control's against the number of nucleotides replaced"
    )
    panel = page.locator(".panels .panel").first
    message = page.locator(".figure-caption").text_content()
    assert "Dashed, at 0: the control shifted, " in message
    assert "more is lost than with the control; a good method lies above it." in message
    assert panel.locator(".control-line").count() == 1
    assert lines(page) == len(METHODS)
    page.locator("#figure1-live summary").click()
    five = page.get_by_role("cell", name="5", exact=True)
    row = page.locator("#figure1-live tr", has_text="promoter").filter(has_text="rollout").filter(has=five).first
    row.wait_for()
    assert row.locator("td").all_text_contents()[:3] == ["5", "−0.025", "[−0.125, 0.075]"]
    page.get_by_label("Against", exact=True).select_option("tokens_changed")
    assert lines(page) == len(METHODS)
    control = page.get_by_label("Control", exact=True)
    control.select_option("other")
    assert "The control other was not tried here." in page.locator(".figure-caption").text_content()
    control.select_option("none")
    assert "Choose a control" in page.locator(".figure-caption").text_content()
    assert lines(page) == 0


def test_one_random_draw_is_a_line_without_a_band_and_a_point_is_seen(visit: Any, tried: Path) -> None:
    page = visit(tried, "#design=random_other%2C+insertion").page
    panel = page.locator(".panels .panel").first
    assert panel.locator(".control-band path, .control-band line").count() == 0
    assert panel.locator(".control-line").count() == 1
    assert "There is no band" in page.locator(".figure-caption").text_content()
    page.get_by_label("Trial", exact=True).select_option("mask, morf")
    assert panel.locator(".control-dot path, .control-dot circle").count() == 1


def test_nucleotides_put_back_are_not_called_replaced(visit: Any, tried: Path) -> None:
    page = visit(tried, "#design=random_other%2C+insertion").page
    assert page.locator("#figure1-title").text_content().endswith("against the number of nucleotides put back")
    figure = page.locator("#figure1-live .panel").first
    assert "nucleotides put back" in figure.text_content()
    assert "nucleotides replaced" not in figure.text_content()
    assert "with 20 put back" in figure.locator("svg[role=img]").get_attribute("aria-label")
    caption = page.locator(".figure-caption").text_content()
    assert "put back into a sequence otherwise replaced" in caption
    assert "Dotted" not in caption  # what is left with none put back was not tried
    page.get_by_label("Trial", exact=True).select_option("random_other, morf")
    assert "nucleotides replaced" in figure.text_content()
    assert "Dotted: every nucleotide replaced" in page.locator(".figure-caption").text_content()


def test_going_to_a_part_keeps_the_view(visit: Any, report: Path) -> None:
    page = visit(report, "#y=logit").page
    page.get_by_role("navigation").get_by_role("link", name="Table 1").click()
    wait_until(page, "location.hash.includes('at=table1')")
    assert "y=logit" in page.evaluate("location.hash")
    again = visit(report, page.evaluate("location.hash")).page
    assert again.get_by_label("Show", exact=True).input_value() == "logit"
    assert again.evaluate("Math.abs(document.getElementById('table1').getBoundingClientRect().top)") < 60
    page.get_by_label("Show", exact=True).select_option("accuracy")
    assert page.evaluate("location.hash") == ""
    page.locator("#figure1 a[href='#term-floor']").click()
    assert page.locator("#term-floor").is_visible()


@pytest.mark.parametrize(
    "hash",
    [
        "#on=%25E0%25A4%25A&y=nothing&x=y&class=99&design=none&ci=often&control=mine",
        "#tracks=%25&seq=nobody&size=xxl&at_n=7&sort=up&called=5&only=9&from=low&to=&pos=-3&task=__proto__",
        "#on=nobody&tracks=nobody&pos=9999&pos=1e3&%=%&=&&",
        "#__proto__",
    ],
)
def test_an_address_that_means_nothing_shows_the_usual(visit: Any, report: Path, hash: str) -> None:
    usual, odd = visit(report).page, visit(report, hash).page
    for part in ("#figure1-live .panels", "#figure1-live .switches", ".list", ".sight"):
        assert odd.locator(part).inner_html() == usual.locator(part).inner_html()


def test_pointing_at_letters_does_not_rewrite_the_address_each_time(visit: Any, report: Path) -> None:
    page = visit(report).page
    page.evaluate("""() => {
        window.written = 0;
        const write = history.replaceState.bind(history);
        history.replaceState = (...all) => (window.written++, write(...all));
    }""")
    page.evaluate("""() => {
        const svg = document.querySelector(".logo"), left = svg.getBoundingClientRect().left;
        for (let x = 5; x < 305; x += 6)
            svg.dispatchEvent(new PointerEvent("pointermove", { bubbles: true, clientX: left + x }));
    }""")
    assert "Position 33" in page.locator("#readout").text_content()
    assert page.evaluate("window.written") == 0
    wait_until(page, "location.hash.includes('pos=33')")
    assert page.evaluate("window.written") == 1


def test_sorting_by_drop_follows_the_count_and_a_link_shows_the_same(visit: Any, report: Path) -> None:
    page = visit(report).page
    page.get_by_label("Sort by").select_option("drop")
    before, name = page.locator(".list option").all_text_contents(), page.locator("h3.name").text_content()
    count = page.get_by_label("Replaced", exact=True)
    count.focus()
    count.select_option("1")
    after = page.locator(".list option").all_text_contents()
    assert after != before
    assert page.locator("h3.name").text_content() == name
    assert page.evaluate("document.activeElement.dataset.key") == "at_n"
    again = visit(report, page.evaluate("location.hash")).page
    assert again.locator(".list option").all_text_contents() == after
    assert again.locator("h3.name").text_content() == name


def test_choosing_a_task_keeps_the_keyboard_there(visit: Any, report: Path) -> None:
    page = visit(report).page
    task = page.get_by_label("Task", exact=True)
    task.focus()
    task.select_option("human_enhancers_dedup")
    page.get_by_text("of 4 match").wait_for()
    assert page.evaluate("document.activeElement.dataset.key") == "task"


def test_letters_are_as_tall_as_their_scores_on_both_sides(visit: Any, report: Path) -> None:
    page = visit(report, "#tracks=lrp").page
    drawn = page.eval_on_selector_all(
        ".logo[data-method=lrp] .base",
        "all => all.map(e => [+e.dataset.score, +e.getAttribute('transform').match(/scale\\([^ ]+ ([^)]+)\\)/)[1]])",
    )
    each = np.array(drawn)
    assert (each[:, 0] < 0).any()
    per_unit = each[:, 1] / np.abs(each[:, 0])
    np.testing.assert_allclose(per_unit, per_unit[0], rtol=1e-6)
    fits = page.eval_on_selector_all(
        ".logo .base",
        "all => { const low = e => e.getBoundingClientRect().bottom; "
        "return all.every(e => low(e) < low(e.ownerSVGElement) + 1); }",
    )
    assert fits


def test_figures_table_has_the_summarys_numbers(visit: Any, report: Path) -> None:
    page = visit(report).page
    page.locator("#figure1-live summary").click()
    twenty = page.get_by_role("cell", name="20", exact=True)
    row = page.locator("#figure1-live tr", has_text="enhancer").filter(has_text="lrp_last").filter(has=twenty).first
    row.wait_for()  # the table is made once the browser tells that it was opened
    assert row.locator("td").all_text_contents()[:2] == ["20", "0.403"]
    page.get_by_label("Show", exact=True).select_option("flip_rate")
    assert row.locator("td").nth(1).text_content() == "0.360"
    page.get_by_label("Show", exact=True).select_option("accuracy_correct")
    assert "No interval was computed" in page.locator("#figure1-live").text_content()


def test_explorer_shows_the_letters_scores_and_mutated_positions(visit: Any, report: Path, shown: Exploration) -> None:
    assert shown.trial is not None
    page = visit(report, "#seq=seq3&at_n=10&tokens=on").page
    assert page.locator("h3.name").text_content() == "seq3"
    letters = page.eval_on_selector_all(".ruler .base", "all => all.map(e => e.classList[1]).join('')")
    assert letters == shown.sequences.string(3)
    for m, method in enumerate(shown.methods):
        svgs = f".logo[data-method={method}]"
        drawn = page.eval_on_selector_all(
            f"{svgs} .base", "all => all.map(e => [+e.dataset.position, +e.dataset.score, e.classList[1]])"
        )
        exact = shown.scores[3][m]
        step = np.abs(exact).max() / 127
        for position, score, letter in drawn:
            assert score == pytest.approx(exact[position], abs=0.51 * float(step))
            assert letter == letters[position]
        assert len(drawn) >= (np.abs(exact) > step).sum()
        replaced = page.eval_on_selector_all(f"{svgs} .mutated", "all => all.map(e => +e.dataset.position)")
        first = {int(position) for position in shown.trial.first[m, 3, :10]}
        assert set(replaced) == first
        changed = sum(any(start <= position < start + 6 for position in first) for start in range(130 - 5))
        note = page.locator(".tracknotes li", has_text=method).text_content()
        assert f"{changed} of 125 tokens hold a replaced nucleotide" in note
    cells = page.locator(".fall-table tbody tr", has_text="lrp").locator("td").all_text_contents()
    assert cells == [f"{value:.3f}" for value in shown.trial.probability[1, 3]]
    assert len(cells) == len(COUNTS)


def test_names_of_motifs_are_stacked_and_overlapping_sites_are_named_once(
    visit: Any, tmp_path: Path, shown: Exploration
) -> None:
    """A site of three hits has the name of its best; names that would touch stand in rows, within the line."""
    hits = [
        Hit(sequence="seq3", start=10, end=20, motif="FOS::JUN", score=8.0),
        Hit(sequence="seq3", start=12, end=24, motif="BACH2", score=11.0),
        Hit(sequence="seq3", start=13, end=21, motif="BACH2", score=9.0),
        Hit(sequence="seq3", start=18, end=30, motif="NFE2L2", score=3.0),
        Hit(sequence="seq3", start=30, end=38, motif="a motif of a long name", score=1.0),
        Hit(sequence="seq3", start=39, end=47, motif="CTCF", score=1.0),
        Hit(sequence="seq3", start=124, end=130, motif="the last of the line", score=1.0),
        Hit(sequence="seq4", start=1, end=9, motif="of another", score=1.0),
    ]
    marked = replace(shown, hits=Hits(source="mine.meme, p < 0.0001", hits=tuple(hits)))
    page = visit(write_page(tmp_path, {TASK: marked}), "#seq=seq3").page
    boxes = page.eval_on_selector_all(
        ".ruler .motif",
        """all => all.map(e => { const box = e.getBBox(), svg = e.ownerSVGElement;
        return [e.textContent, box.x, box.y, box.width, box.height, svg.width.baseVal.value,
        Math.min(...[...svg.querySelectorAll('.label:not(.motif)')].map(each => each.getBBox().y)),
        [...document.querySelectorAll('.ruler')].indexOf(svg)]; })""",
    )
    names = [name for name, *_ in boxes]
    assert set(names) == {"BACH2 +2", "a motif of a long name", "CTCF", "the last of the line"}
    assert "of another" not in page.locator("#explorer-live .ruler").all_text_contents()
    for i, (name, x, y, width, height, wide, numbers, line) in enumerate(boxes):
        assert x >= -0.5, name
        assert x + width <= wide + 0.5, name
        assert y + height <= numbers + 3, name  # above the positions; boxes have some room for letters such as g
        for other, x2, y2, width2, _, _, _, line2 in boxes[i + 1 :]:
            apart = line != line2 or abs(y - y2) >= 11 or x + width <= x2 or x2 + width2 <= x
            assert apart, (name, other)
    assert "motif (mine.meme, p < 0.0001)" in page.locator("#explorer-live").text_content()


def test_explorer_filters_and_steps(visit: Any, report: Path, shown: Exploration) -> None:
    assert shown.trial is not None
    assert shown.trial.correct is not None
    page = visit(report).page
    explorer = page.locator("#explorer-live")
    explorer.get_by_label("Prediction", exact=True).select_option("0")
    wrong = [name for name, right in zip(shown.sequences.names, shown.trial.correct, strict=True) if not right]
    listed = explorer.locator(".list option").all_text_contents()
    assert [text.split(" · ")[0] for text in listed] == wrong
    assert all("✗" in text for text in listed)
    explorer.get_by_label("Sort by").select_option("low")
    values = [float(text.split(" · ")[-1]) for text in explorer.locator(".list option").all_text_contents()]
    assert values == sorted(values)
    explorer.get_by_role("button", name="Next").click()
    assert "seq=" in page.evaluate("location.hash")
    explorer.get_by_label("Name").fill("no such name")
    assert "No sequence matches" in explorer.text_content()
    explorer.get_by_label("Name").fill("")
    explorer.get_by_label("Task").select_option("human_enhancers_dedup")
    explorer.get_by_text("of 4 match").wait_for()  # another task's sequences are unpacked first
    assert explorer.locator(".list option").count() <= 4


def test_keyboard_alone_is_enough(visit: Any, report: Path, shown: Exploration) -> None:
    page = visit(report).page
    switch = page.locator("#explorer-live .switch").first
    switch.focus()
    page.keyboard.press("Space")
    assert switch.get_attribute("aria-pressed") == "false"
    page.get_by_label("Position", exact=True).focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    sentence = page.locator("#readout").text_content()
    assert sentence.startswith(f"Position 2: {shown.sequences.string(0)[2]}.")
    assert shown.sequences.string(0)[2:8] in sentence
    page.locator(".list").focus()
    page.keyboard.press("ArrowDown")
    assert page.locator("h3.name").text_content() == "seq1"


def test_every_control_has_a_name_and_every_chart_a_description(visit: Any, report: Path) -> None:
    page = visit(report).page
    nameless = page.evaluate(
        "[...document.querySelectorAll('button, select, input')].filter(e => !(e.getAttribute('aria-label') || "
        "e.closest('label')?.textContent.trim() || e.textContent.trim())).length"
    )
    assert nameless == 0
    charts = page.locator("svg[role=img]")
    assert charts.count() >= 5
    assert all(charts.nth(i).get_attribute("aria-label") for i in range(charts.count()))
    ids = page.evaluate("[...document.querySelectorAll('[id]')].map(e => e.id)")
    assert len(ids) == len(set(ids))


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_narrow_screen_does_not_scroll_sideways(visit: Any, report: Path, scheme: str) -> None:
    opened = visit(report, "#tokens=on", viewport={"width": 360, "height": 740}, color_scheme=scheme)
    assert opened.page.evaluate("document.documentElement.scrollWidth") == 360
    charts = opened.page.locator("svg[role=img]")
    assert charts.count() >= 5
    assert all(charts.nth(i).bounding_box()["width"] > 250 for i in range(charts.count()))
    ink, paper = opened.page.evaluate(
        "[getComputedStyle(document.body).color, getComputedStyle(document.body).backgroundColor]"
    )
    brightness = [sum(map(int, re.findall(r"\d+", colour)[:3])) for colour in (ink, paper)]
    assert (brightness[0] > brightness[1]) == (scheme == "dark")


def test_printed_page_keeps_the_figures_and_drops_the_controls(visit: Any, report: Path) -> None:
    page = visit(report, color_scheme="dark", viewport={"width": 720, "height": 1000}).page
    page.emulate_media(media="print")
    assert page.evaluate("document.documentElement.scrollWidth") <= 720  # what A4 holds beside its margins
    assert not page.locator("#figure1-live .switches").is_visible()
    assert page.locator("#figure1-live .legend li").all_text_contents() == [f" {name}" for name in METHODS]
    assert page.locator("#figure1-live .legend svg").first.is_visible()
    assert page.locator("#figure1-live .figure-caption").is_visible()
    assert not page.locator(".picker").is_visible()
    assert page.locator(".panels svg").first.is_visible()
    assert page.locator(".logo").first.is_visible()
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert len(page.pdf()) > 50_000


def test_panels_stand_in_pairs_however_long_their_headings(visit: Any, report: Path) -> None:
    page = visit(report, viewport={"width": 720, "height": 900}).page
    left = page.eval_on_selector_all(".panels .panel", "all => all.map(e => e.getBoundingClientRect().left)")
    assert left[0] == left[2] < left[1] == left[3]


def test_hostile_names_stay_text(visit: Any, tmp_path: Path) -> None:
    names = [HOSTILE, "a b", "ü<b>", *(f"s{i}" for i in range(5))]
    shown = exploration(8, ("<b>lrp</b>", "atten tion", "x&y"), 40, names)
    folder = write_run(tmp_path / "run")
    place = folder / "tasks" / TASK
    for task in folder.glob("tasks/*/summary.csv"):
        task.write_text(task.read_text(encoding="utf-8").replace(",lrp,", ",<b>lrp</b>,"), encoding="utf-8")
    info = json.loads((place / "info.json").read_text(encoding="utf-8"))
    (place / "info.json").write_text(
        json.dumps(info | {"classes": [HOSTILE, "<i>"], "title": HOSTILE}), encoding="utf-8"
    )
    place = place.rename(place.with_name("mine"))
    path = tmp_path / "hostile.html"
    path.write_text(page(read_run(folder), {}, {"mine": shown}), encoding="utf-8")
    opened = visit(path, "#tracks=" + "%253Cb%253Elrp%253C%252Fb%253E").page
    assert opened.evaluate("window.hurt") is None
    assert opened.locator("h3.name").text_content() == HOSTILE
    assert opened.locator(".list option").first.text_content().startswith(HOSTILE)
    assert opened.locator("main img, b, i").count() == 0
    assert "<b>lrp</b>" in opened.locator(".tracknotes").text_content()
    assert opened.locator(".tracknotes li").count() == 1
    opened.locator(".list").select_option("2")
    assert opened.locator("h3.name").text_content() == "ü<b>"
    again = visit(path, opened.evaluate("location.hash")).page
    assert again.locator("h3.name").text_content() == "ü<b>"


def test_a_script_that_got_in_would_not_run(visit: Any, report: Path, tmp_path: Path) -> None:
    path = tmp_path / "spoilt.html"
    altered = report.read_text(encoding="utf-8").replace("<main>", "<main><script>window.hurt=1</script>", 1)
    path.write_text(altered, encoding="utf-8")
    opened = visit(path)
    assert opened.page.evaluate("window.hurt") is None
    assert "Content Security Policy" in opened.complaints.pop()


def test_thousand_sequences_and_twelve_methods(visit: Any, tmp_path: Path) -> None:
    more = tuple(f"method{i}" for i in range(6))
    methods = (*METHODS, *more)
    folder = write_run(tmp_path / "many")
    for summary in folder.glob("tasks/*/summary.csv"):
        table = pd.read_csv(summary)
        like = [table[table["method"] == old].assign(method=new) for old, new in zip(METHODS, more, strict=True)]
        pd.concat([table, *like]).to_csv(summary, index=False)
    path = tmp_path / "many.html"
    path.write_text(page_of(read_run(folder), {}, {TASK: exploration(1000, methods, 200)}), encoding="utf-8")
    assert path.stat().st_size < 8_000_000
    seconds = []
    for _ in range(3):  # a busy machine may be slow once
        page = visit(path).page
        seconds.append(page.evaluate("performance.getEntriesByName('figure1')[0].startTime") / 1000)
    assert min(seconds) < 3
    assert lines(page) == 12
    looks = page.eval_on_selector_all(
        "#figure1-live .switch .sample",
        "all => all.map(e => getComputedStyle(e.querySelector('line')).stroke "
        "+ e.querySelector('path').getAttribute('d'))",
    )
    assert len(set(looks)) == 12
    assert page.locator(".list option").count() == 1000
    page.locator(".list").select_option("999")
    assert page.locator("h3.name").text_content() == "seq999"


def test_the_explorer_of_values_speaks_of_no_probability(visit: Any, tmp_path: Path, shown: Exploration) -> None:
    assert shown.trial is not None
    values = replace(shown.trial, probability=shown.trial.probability * 0.05, of_values=True, correct=None)
    page = visit(write_page(tmp_path, {TASK: replace(shown, trial=values)})).page
    explorer = page.locator("#explorer-live")
    words = explorer.text_content()
    assert "value, lowest first" in words
    assert "Value from" in words
    assert "its value" in words
    assert "robability" not in words
    listed = explorer.locator(".list option").all_text_contents()
    assert not any("predicted" in text for text in listed)
    explorer.get_by_label("Sort by").select_option("high")
    shown_values = [float(text.split(" · ")[-1]) for text in explorer.locator(".list option").all_text_contents()]
    assert shown_values == sorted(shown_values, reverse=True)
    ticks = page.locator("#explorer-live figure, #explorer-live svg").locator("[aria-label='y-axis tick label'] text")
    labels = ticks.all_text_contents()
    assert len(labels) > 1
    assert len(set(labels)) == len(labels)


def test_without_scripts_the_page_still_reads(visit: Any, tmp_path: Path) -> None:
    from kmerit.report.page import write_report

    path = write_report(write_run(tmp_path / "run"))
    page = visit(path, wait=False, java_script_enabled=False).page
    assert page.locator("#figure1 img").is_visible()
    assert not page.locator("#figure1-live").is_visible()
    assert page.locator("#table1 table").is_visible()


def test_page_of_a_run_as_the_command_line_makes_it(visit: Any, tmp_path: Path, tiny_checkpoint: Path) -> None:
    from helpers.small_run import write_experiment
    from kmerit.runs.pipeline import run

    report = run(write_experiment(tmp_path, tiny_checkpoint), tmp_path / "out").report
    page = visit(report, "#at_n=3&tokens=on").page
    name = page.locator("h3.name").text_content()
    rows = dict(line.split(",")[:2] for line in (tmp_path / "mine.csv").read_text(encoding="utf-8").splitlines())
    letters = page.eval_on_selector_all(".ruler .base", "all => all.map(e => e.classList[1]).join('')")
    assert letters == rows[name]
    assert page.locator(".logo[data-method=lrp] .mutated").count() == 3
    assert "of 35 tokens" in page.locator(".tracknotes").text_content()
