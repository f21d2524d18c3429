"""The report cards of a fair trial on the page."""

from __future__ import annotations

import csv
import json
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import kmerit as km
from helpers.report_run import GRID
from kmerit.errors import FormatError
from kmerit.report import text
from kmerit.report.calibrations import calibrated
from kmerit.report.load import Card, RunResults, read_run
from kmerit.report.page import write_report
from kmerit.report.table1 import rows, write_cards_md
from kmerit.report.text import TERMS, footprints

ROOT = Path(__file__).parents[3]


def headline(run: RunResults) -> list[str]:
    return text.headline(run, rows(run))


def cautions(run: RunResults) -> dict[str, str]:
    return dict(text.cautions(run, rows(run)))


EXPLAINED = {"code": "floor_explains", "values": {"class_name": "background", "accuracy": 0.83, "floor": 0.2}}
TIES = {"code": "ties", "values": {"share": 0.12}}
FEW = {"code": "narrow_intervals", "values": {"clusters": 30, "enough": 50}}
LEAK = {"kind": "copied", "share": 0.75, "any_share": 0.75, "placed_only": False}
CARD = {
    "method": "lrp",
    "class_name": "promoter",
    "label": 1,
    "verdict": "faithful",
    "beyond": True,
    "control": "shifted",
    "excess": 0.4321,
    "low": 0.1111,
    "high": 0.7,
    "sequences": 200,
    "caveats": [EXPLAINED, TIES],
}
UNDECIDED = {"method": "rollout", "class_name": "promoter", "label": 1, "verdict": "undecided", "control": None}


def floor(label: int, difference: float, low: float, high: float, outcome: str, **about: Any) -> dict[str, Any]:
    """The floor of one of two classes of equal size, as a card file has it."""
    name = ("background", "promoter")[label]
    rates = {"background": 0.75, "promoter": 0.6}
    numbers = {"difference": difference, "low": low, "high": high, "accuracy": 0.83, "floor": 0.25, "sequences": 30}
    default = {"default_label": 1, "default_name": "promoter", "rate": rates[name], "rates": rates}
    return {
        "operator": "random_other", "label": label, "class_name": name, **default, **numbers, "outcome": outcome
    } | about  # fmt: skip


CARDS: dict[str, Any] = {
    "grid": GRID,
    "evaluations": {"done": 10, "naive": 25, "share_saved": 0.6},
    "data_set": [{"code": "leaked", "values": {"class_name": "promoter", **LEAK}}],
    "floors": [floor(1, 0.0, -0.1, 0.1, "explained", operator="mask")],
    "cards": [CARD, {**UNDECIDED, "excess": None, "low": None, "high": None, "caveats": [EXPLAINED, TIES]}],
}


class Balanced(HTMLParser):
    """Check that the elements of tables nest."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: object) -> None:
        if tag in ("section", "table", "thead", "tbody", "tr", "td", "th", "ul", "li", "div", "p"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag in ("section", "table", "thead", "tbody", "tr", "td", "th", "ul", "li", "div", "p"):
            assert self.open.pop() == tag


@pytest.fixture
def judged(run_folder: Path) -> Path:
    (run_folder / "tasks" / "epdnew_nontata" / "cards.json").write_text(json.dumps(CARDS), encoding="utf-8")
    return run_folder


def test_cards_stand_with_verdict_interval_control_and_warnings(judged: Path) -> None:
    html = write_report(judged).read_text(encoding="utf-8")
    section = html[html.index('<section id="cards"') :]
    section = section[: section.index("</section>")]
    for part in ("faithful", "0.432", "[0.111, 0.700]", "shifted", "undecided", "(60\N{NO-BREAK SPACE}% saved)"):
        assert part in section
    assert section.count("<li>Data set: leaked: 75.0 % of the non-TATA promoter test rows.</li>") == 1
    assert "The floor explains" not in section  # which the paragraph on the floor says
    assert section.count("tied scores") == 1
    assert "<li>non-TATA promoter: 12.0 % of the positions have tied scores" in section
    assert "This run decides nothing" not in html
    assert html.count("Grid: 400 sequences, random_other") == 1  # under Figure 1, which the other parts point to
    assert html.count('href="#grid"') == 2
    assert '<a href="#cards">' in html
    assert Balanced(html).open == []


def test_a_data_set_that_nobody_audited_is_not_called_sound(judged: Path) -> None:
    path = judged / "tasks" / "epdnew_nontata" / "cards.json"
    path.write_text(json.dumps(CARDS | {"data_set": None}), encoding="utf-8")
    assert write_report(judged).read_text(encoding="utf-8").count("<li>Data set: not audited.</li>") == 1


def test_what_every_card_of_a_class_says_is_said_once(judged: Path) -> None:
    cards = [CARD | {"caveats": [FEW]}, UNDECIDED | {"caveats": [FEW, TIES]}]
    path = judged / "tasks" / "epdnew_nontata" / "cards.json"
    path.write_text(json.dumps(CARDS | {"cards": cards}), encoding="utf-8")
    html = write_report(judged).read_text(encoding="utf-8")
    shared, own = "Few independent sequences (30)", "12.0 % of the positions have tied scores"
    assert html.count(shared) == 1
    assert f"<li>non-TATA promoter: {shared}" in html
    assert f"<li>non-TATA promoter (rollout): {own}" in html
    assert html.count(own) == 2  # on its card, too


def test_cards_in_markdown_say_the_same(judged: Path) -> None:
    place = judged / "tasks" / "epdnew_nontata"
    hostile = CARDS | {"cards": [CARD | {"class_name": "a|b"}]}
    (place / "cards.json").write_text(json.dumps(hostile), encoding="utf-8")
    lines = write_cards_md(place, "mine").read_text(encoding="utf-8").splitlines()
    assert lines[0] == "# Report cards: mine"
    row = next(line for line in lines if line.startswith(r"| a\|b |"))
    assert row.startswith(r"| a\|b | lrp | faithful | yes | 0.432 | 0.111 to 0.700 | shifted |")
    assert row.endswith("| 200 |")
    assert "Data set: leaked: 75.0 % of the promoter test rows." in lines
    assert r"- a|b: 12.0 % of the positions have tied scores (ranked at random)." in lines
    assert any(
        line.startswith("- With every nucleotide replaced (mask), the model answers “promoter”") for line in lines
    )
    assert any("Grid: 400 sequences" in line for line in lines)
    assert any("(60\N{NO-BREAK SPACE}% saved)" in line for line in lines)
    (place / "cards.json").unlink()
    with pytest.raises(FormatError, match=r"cards\.json' is not there; expected the report cards of a trial\.$"):
        write_cards_md(place)


def test_a_card_points_to_the_row_of_its_calibration(judged: Path) -> None:
    model = km.load_model("bundled:enhancer").digest
    with (ROOT / "docs" / "calibration" / "enhancer-rates.csv").open(encoding="utf-8") as file:
        rates = [row for row in csv.DictReader(file) if row["card"] == "one among the methods" and row["label"] == "1"]

    def worst(size: int, kind: str, claim: str) -> float:
        of_claim = [row for row in rates if (row["kind"], row["claim"], row["size"]) == (kind, claim, str(size))]
        return max(float(row["upper"]) for row in of_claim)

    for sequences, size in ((50, 50), (199, 100), (500, 200)):
        row = calibrated(model, 1, sequences)
        assert row is not None
        assert (row.sequences, row.pool) == (size, 135)
        assert row.faithful == pytest.approx(worst(size, "noise", "faithful"), abs=5e-5)
        assert row.worse == pytest.approx(worst(size, "noise", "worse than its controls"), abs=5e-5)
        assert row.beyond == pytest.approx(worst(size, "letters", "beyond composition"), abs=5e-5)
    assert calibrated(model, 1, 49) is None

    place = judged / "tasks" / "epdnew_nontata"
    in_markdown = write_cards_md(place, "mine", model).read_text(encoding="utf-8")
    assert "- promoter: calibrated at 200 sequences a class. At most" in in_markdown
    assert "The rates: docs/calibration.md, column 200 a class." in in_markdown
    assert text.NOT_CALIBRATED in write_cards_md(place, "mine").read_text(encoding="utf-8")
    info = json.loads((place / "info.json").read_text(encoding="utf-8"))
    (place / "info.json").write_text(json.dumps(info | {"model_digest": model}), encoding="utf-8")
    html = write_report(judged).read_text(encoding="utf-8")
    assert '<p id="calibration1">non-TATA promoter: calibrated at 200 sequences a class.' in html
    assert '<td><a href="#calibration1">200</a></td>' in html


def test_verdicts_on_a_value_point_to_a_row_too() -> None:
    model = km.load_model("bundled:planted_values").digest
    cards = [Card(method="cp_lrp", class_name="activity", sequences=size) for size in (30, 12)]
    (line,) = text.calibration(model, cards, value="activity")
    assert line.startswith("activity: calibrated at 20 sequences. At most 0.5")
    assert line.endswith("docs/calibration.md, column 20.")
    assert text.calibration(model, cards[1:], value="activity") == [text.NOT_CALIBRATED]


def test_a_caveat_of_another_version_is_refused(judged: Path) -> None:
    path = judged / "tasks" / "epdnew_nontata" / "cards.json"
    path.write_text(json.dumps({"cards": [CARD | {"caveats": [{"code": "gone", "values": {}}]}]}), encoding="utf-8")
    with pytest.raises(FormatError, match=r"cards\.json': Caveat: expected a code of .*, got 'gone'\."):
        read_run(judged)


def test_the_floor_is_said_once_in_the_pages_words(judged: Path) -> None:
    rates = {"background": 0.9, "promoter": 0.8}
    about = {"default_label": 0, "default_name": "background", "rates": rates, "floor": 0.2}
    floors = [floor(1, 0.0, -0.1, 0.1, "explained", **about), floor(0, 0.0, -0.1, 0.1, "default", operator="mask")]
    path = judged / "tasks" / "epdnew_nontata" / "cards.json"
    path.write_text(json.dumps(CARDS | {"floors": floors, "cards": [CARD]}), encoding="utf-8")
    (task, _) = read_run(judged).tasks
    assert all("floor" not in line for _, line in text.caveats(task.cards.cards))
    assert text.floor_of(task).replace("\N{NO-BREAK SPACE}", " ") == (
        "With every nucleotide replaced (random_other), the model answers “non-promoter” for 90 % of non-promoter and "
        "80 % of non-TATA promoter; this alone explains the fall in accuracy of non-TATA promoter (0.83 to 0.20). "
        "Difference from the mean of the other classes: non-TATA promoter 0 %, 95 % interval −10 % to +10 %."
    )
    assert write_report(judged).read_text(encoding="utf-8").count("this alone explains the fall") == 1


def test_a_class_that_full_mutation_does_not_erase_is_not_called_erased(judged: Path) -> None:
    path = judged / "tasks" / "epdnew_nontata" / "cards.json"
    apart = [floor(0, 0.15, 0.09, 0.2, "kept"), floor(1, -0.15, -0.2, -0.09, "kept")]
    path.write_text(json.dumps(CARDS | {"floors": apart}), encoding="utf-8")
    run = read_run(judged)
    sentence = text.floor_of(run.tasks[0])
    assert "Difference between the two classes: +15 %, 95 % interval +9 % to +20 %." in sentence.replace(
        "\N{NO-BREAK SPACE}", " "
    )
    assert "Full mutation does not erase the class" in sentence
    assert headline(run)[1].endswith("; on epdnew_nontata the mutants still differ between classes.")
    assert "Full mutation does not erase" not in cautions(run)["The floor"]  # it stands under the cards
    assert write_report(judged).read_text(encoding="utf-8").count("Full mutation does not erase the class") == 1
    path.write_text(json.dumps(CARDS | {"floors": apart, "cards": []}), encoding="utf-8")
    assert "Full mutation does not erase the class" in cautions(read_run(judged))["The floor"]


def test_a_floor_without_difference_says_no_more_than_it_knows(judged: Path) -> None:
    path = judged / "tasks" / "epdnew_nontata" / "cards.json"
    for low, high, outcomes in ((-0.05, 0.08, ("explained", "default")), (-0.3, 0.3, ("too_few", "too_few"))):
        floors = [floor(0, 0.0, low, high, outcomes[0]), floor(1, 0.0, -high, -low, outcomes[1])]
        path.write_text(json.dumps(CARDS | {"floors": floors}), encoding="utf-8")
        sentence = text.floor_of(read_run(judged).tasks[0])
        assert "erase" not in sentence
        assert ("Too few sequences" in sentence) == (outcomes[0] == "too_few")
        assert ("this alone explains" in sentence) == (outcomes[0] == "explained")
        assert headline(read_run(judged))[1].endswith("every method ends at this accuracy.")


def test_nothing_on_the_page_says_that_nothing_is_left(judged: Path) -> None:
    assert "nothing of a sequence is left" not in write_report(judged).read_text(encoding="utf-8").lower()
    assert "nothing of the sequence left" not in write_report(judged).read_text(encoding="utf-8").lower()
    assert any("explained for the same class" in " ".join(term.text.split()) for term in TERMS)


def test_a_footprint_far_below_that_of_random_positions_is_told(judged: Path) -> None:
    assert footprints(read_run(judged).tasks[0]) == ""  # lrp changes 64 tokens or more, random positions 92
    path = judged / "tasks" / "epdnew_nontata" / "summary.csv"
    table = pd.read_csv(path)
    table.loc[(table["method"] == "lrp") & (table["n"] == 20), "tokens_changed"] = 31
    table.to_csv(path, index=False)
    sentence = footprints(read_run(judged).tasks[0])
    expected = "At n = 20 some methods change far fewer tokens than random positions do: non-TATA promoter: lrp 31 ("
    assert sentence.startswith(expected)
    assert sentence in write_report(judged).read_text(encoding="utf-8")


def test_where_nothing_could_differ_nothing_is_judged_or_compared(judged: Path) -> None:
    for path in judged.glob("tasks/*/summary.csv"):
        table = pd.read_csv(path)
        table[table["full"] | (table["n"] == 0)].to_csv(path, index=False)
    html = write_report(judged).read_text(encoding="utf-8")
    run = read_run(judged)
    assert [task.cards.cards for task in run.tasks] == [(), ()]
    assert run.tasks[0].cards.floors
    for section in ("glance", "scores", "cards"):
        assert f'id="{section}"' not in html
        assert f'href="#{section}"' not in html
    assert "Only n = 0 and n = all were tried" in headline(run)[0]
    assert "n = 20" not in html[html.index('<section id="table1"') : html.index('<section id="test"')]
    table = html[html.index('<section id="table1"') : html.index('<section id="test"')]
    assert [table.count(part) for part in (">n = 0<", ">n = all<", "attention", "LRP*")] == [1, 1, 0, 0]
    assert Balanced(html).open == []
    markdown = (judged / "table1.md").read_text(encoding="utf-8")
    assert "| class | n = 0 | n = all |" in markdown
    assert "Every method" not in markdown
    assert "95 % at" not in (judged / "figure1.svg").read_text(encoding="utf-8")
    assert set(pd.read_csv(judged / "table1.csv", dtype=str)["n"].dropna()) == {"0", "all"}


def test_the_page_says_what_can_be_decided_and_what_not(judged: Path) -> None:
    path = judged / "tasks" / "epdnew_nontata" / "cards.json"
    shared = {"mistaken": 0, "questions": 12}
    few = {
        "label": 0,
        "class_name": "background",
        "sequences": 7,
        "clusters": 6,
        "detectable": None,
        "decidable": False,
    }
    many = {
        "label": 1,
        "class_name": "promoter",
        "sequences": 40,
        "clusters": 38,
        "detectable": 0.714,
        "decidable": True,
    }
    few, many = few | shared, many | shared
    no_margin = UNDECIDED | {"caveats": [{"code": "no_margin", "values": {"needed": 10}}]}
    margins_missing = {"cards": [CARD, no_margin], "prospects": [few, many]}
    path.write_text(json.dumps(CARDS | margins_missing), encoding="utf-8")
    html = write_report(judged).read_text(encoding="utf-8")
    assert "a power of 90 %, is 0.71 for non-TATA promoter (38 independent sequences). Smaller effects may stay" in html
    name = read_run(judged).tasks[0].shown_classes[0]
    assert f"nothing can be decided about {name} (6 independent sequences): too few sequences." in html
    assert "No method can be called “no better than its controls” here" in html
    assert '<p class="caveat">Exact in-silico mutagenesis covers' not in html  # which each card would say again
    compared = [{"control": "shifted", "margin": 0.1}]
    cards = [CARD | {"comparisons": compared}, no_margin]
    path.write_text(json.dumps(CARDS | {"cards": cards, "prospects": [many]}), encoding="utf-8")
    html = write_report(judged).read_text(encoding="utf-8")
    assert "No method can be called" not in html
    assert '<p class="caveat">Exact in-silico mutagenesis covers' in html
    assert "nothing can be decided" not in html


def test_without_cards_there_is_no_such_section(run_folder: Path) -> None:
    html = write_report(run_folder).read_text(encoding="utf-8")
    assert 'id="cards"' not in html
    assert "This run decides nothing: " in html
    assert "tasks/epdnew_nontata/cards.json</code>" in html  # which a finished run holds


def test_cards_that_cannot_be_understood_are_refused(judged: Path) -> None:
    (judged / "tasks" / "epdnew_nontata" / "cards.json").write_text('{"cards": 3}', encoding="utf-8")
    with pytest.raises(FormatError, match=r"cards\.json.*found '3'"):
        read_run(judged)


def compared(excess: float) -> list[dict[str, Any]]:
    """A method next to its controls, each a little further off."""
    result = []
    for control, step in (("random", -0.2), ("shifted", 0.0), ("clump", 0.02), ("other", 0.04), ("context", 0.01)):
        at = excess + step
        bounds = {"low": at - 0.06, "high": at + 0.06, "band_low": at - 0.1, "band_high": at + 0.1}
        result.append({"control": control, "excess": at, **bounds, "margin": None if control == "context" else 0.05})
    return result


@pytest.fixture
def drawn(judged: Path) -> Path:
    cards = [
        CARD | {"label": label, "method": method, "verdict": verdict, "beyond": beyond, "comparisons": compared(excess)}
        for label in (0, 1)
        for method, verdict, beyond, excess in (
            ("lrp", "faithful", True, 0.4),
            ("attention", "worse than its controls", None, -0.3),
            ("size(lrp)", "faithful", False, 0.3),
        )
    ]
    path = judged / "tasks" / "epdnew_nontata" / "cards.json"
    path.write_text(json.dumps(CARDS | {"cards": cards}), encoding="utf-8")
    return judged


def test_verdicts_are_drawn_with_both_answers(drawn: Path) -> None:
    html = write_report(drawn).read_text(encoding="utf-8")
    svg = (drawn / "figure2.svg").read_text(encoding="utf-8")
    for part in ("non-TATA promoter", "non-promoter", "size(lrp)", "faithful, beyond composition: not shown"):
        assert part in svg
    assert svg.count("faithful, beyond composition: yes") == 2
    assert (drawn / "figure2.png").exists()
    assert html.count('alt="Excess of each method over each matched control') == 1
    section = html[html.index('<section id="cards"') :]
    assert section.count("<td>not shown</td>") == 2
    assert section.count("<td>yes</td>") == 2
    before = (drawn / "figure2.png").read_bytes()
    write_report(drawn)
    assert (drawn / "figure2.png").read_bytes() == before


def test_the_figures_numbers_are_those_of_the_cards(drawn: Path) -> None:
    from kmerit.report.figures import plot_verdicts

    table = plot_verdicts(read_run(drawn).tasks).numbers
    assert list(dict.fromkeys(table["control"])) == ["shifted", "clump", "other", "context"]  # random decides nothing
    assert len(table) == 2 * 3 * 4
    row = table[(table["method"] == "lrp") & (table["control"] == "clump")].iloc[0]
    assert row[["excess", "band_low", "band_high"]].tolist() == pytest.approx([0.42, 0.32, 0.52])


def test_a_figure_of_verdicts_that_are_no_more_is_removed(drawn: Path) -> None:
    write_report(drawn)
    (drawn / "tasks" / "epdnew_nontata" / "cards.json").unlink()
    write_report(drawn)
    assert not list(drawn.glob("figure2.*"))


def test_nothing_compared_is_nothing_to_draw(judged: Path) -> None:
    from kmerit.errors import UsageError
    from kmerit.report.figures import plot_verdicts

    write_report(judged)
    assert not (judged / "figure2.svg").exists()
    with pytest.raises(UsageError, match="no report card compares"):
        plot_verdicts(read_run(judged).tasks)
