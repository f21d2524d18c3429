"""The report cards of a fair trial on the page."""

from __future__ import annotations

import json
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from kmerit.errors import FormatError
from kmerit.report import write_report
from kmerit.report.folder import read_run

CARD = {
    "method": "lrp",
    "class_name": "promoter",
    "label": 1,
    "verdict": "faithful",
    "control": "shifted",
    "excess": 0.4321,
    "low": 0.1111,
    "high": 0.7,
    "p_holm": 0.012,
    "sequences": 200,
    "data_set": "leaked: 75 % of the promoter test rows",
    "warnings": ["The floor explains <i>it</i>."],
}
UNDECIDED = {"method": "rollout", "class_name": "promoter", "label": 1, "verdict": "undecided", "control": None}
CARDS: dict[str, Any] = {
    "endpoint": "AOPC of the logit",
    "grid": "Grid: 400 sequences.",
    "evaluations": {"sentence": "10 distinct mutants were classified: 60% saved.", "done": 10},
    "warnings": [{"of": "promoter", "text": CARD["warnings"][0]}],
    "floors": [{"operator": "mask", "sentence": "It falls."}],
    "cards": [CARD, {**UNDECIDED, "excess": None, "low": None, "high": None, "warnings": [CARD["warnings"][0]]}],
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
    for part in ("faithful", "0.432", "[0.111, 0.700]", "shifted", "undecided", "Grid: 400 sequences.", "60% saved"):
        assert part in section
    for part in ("<td>leaked: 75 % of the promoter test rows</td>", "<td>not audited</td>"):
        assert part in section
    assert "The floor explains &lt;i&gt;it&lt;/i&gt;." in section
    assert section.count("The floor explains") == 1
    assert "promoter: The floor explains" in section
    assert "it passes no verdict" not in html
    assert html.count("epdnew_nontata: Grid: 400 sequences.") == 3  # beside Figure 1, Table 1 and every score
    assert '<a href="#cards">' in html
    assert Balanced(html).open == []


def test_without_cards_there_is_no_such_section(run_folder: Path) -> None:
    html = write_report(run_folder).read_text(encoding="utf-8")
    assert 'id="cards"' not in html
    assert "it passes no verdict" in html
    assert "cards.json" not in html  # nothing that is missing, either


def test_cards_that_cannot_be_understood_are_refused(judged: Path) -> None:
    (judged / "tasks" / "epdnew_nontata" / "cards.json").write_text('{"cards": 3}', encoding="utf-8")
    with pytest.raises(FormatError, match=r"cards\.json.*found '3'"):
        read_run(judged)
