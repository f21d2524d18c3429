"""The page that a run ends in holds the run's own sequences, scores and tokens."""

from __future__ import annotations

import json
import re
from pathlib import Path

import kmerit as km
from kmerit.io.scores import read_attributions


def test_the_page_of_a_run_can_be_explored(finished: Path) -> None:
    place = finished / "tasks" / "mine"
    html = (finished / "report.html").read_text(encoding="utf-8")
    result = re.search(r'<script type="application/json" id="data">(.*?)</script>', html, re.DOTALL)
    assert result is not None
    data = json.loads(result[1])
    shown = data["explorations"]["mine"]
    sequences = km.read_sequences(place / "sequences.parquet")
    assert tuple(shown["names"]) == sequences.names
    assert shown["total"] == len(sequences)
    assert shown["methods"] == list(read_attributions(place / "attributions.parquet"))
    assert shown["tokens"] == {"k": 6}
    assert shown["trial"]["counts"] == [0, 3, "all"]
    assert shown["trial"]["rows"] == [*shown["methods"], "random"]
    assert [method["name"] for method in data["chart"]["methods"]] == shown["methods"]
    assert "Missing from the run folder" not in html


def test_a_run_on_other_data_does_not_speak_of_the_paper(finished: Path) -> None:
    html = (finished / "report.html").read_text(encoding="utf-8").split("<main")[1].split("<script")[0]
    markdown = (finished / "table1.md").read_text(encoding="utf-8")
    assert '<h2 id="table1-title">Table 1</h2>' in html
    for text in (html.split('id="glossary')[0], markdown):
        assert re.findall(r"[^.]*\b(?:the|The) paper\b[^.]*|section 5\.1", text) == []
    assert "## The whole test set\n" in markdown
