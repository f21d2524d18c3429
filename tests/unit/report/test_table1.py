"""Table 1 for machines and for people."""

from __future__ import annotations

import csv
import math
from pathlib import Path

import pytest

from kmerit.formats import fixed, percent, span, tokens
from kmerit.report import load
from kmerit.report.load import read_run
from kmerit.report.page import page
from kmerit.report.table1 import rows, table1_csv, table1_md

METHODS = ("attention", "rollout", "gradcam", "lrp", "lrp_last", "full_lrp")


def lines(folder: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(table1_csv(read_run(folder)).splitlines()))


def test_rows_and_columns_are_the_papers(run_folder: Path) -> None:
    table = rows(read_run(run_folder))
    assert [row.group.name for row in table] == ["non-TATA promoter", "non-promoter", "enhancer", "non-enhancer"]
    assert all([entry.column for entry in row.main] == ["n = 0", "LRP*", "attention", "all"] for row in table)
    published = [[entry.paper for entry in row.main] for row in table]
    assert published == [
        [0.878, 0.784, 0.788, 0.678],
        [0.968, 0.814, 0.854, 0.306],
        [0.876, 0.490, 0.512, 0.386],
        [0.870, 0.838, 0.852, 0.620],
    ]


def test_lrp_star_is_the_choice_made_on_validation_sequences(run_folder: Path) -> None:
    promoter, background, *_ = rows(read_run(run_folder))
    for row, chosen in ((promoter, "lrp_last"), (background, "lrp")):
        star = row.main[1].cell
        assert star is not None
        assert star.method == chosen
        assert star == row.group.at(chosen, 20)


def test_position_against_random(run_folder: Path) -> None:
    row = rows(read_run(run_folder))[0]
    assert {entry.column: entry.position for entry in row.scores} == {
        "attention": "inside",
        "rollout": "inside",
        "gradcam": "inside",
        "lrp": "below",
        "lrp_last": "inside",
        "full_lrp": "above",
    }
    assert row.control.position is None
    assert row.main[0].position is row.main[3].position is None


@pytest.mark.parametrize(("order", "good", "bad"), [("morf", "lrp", "full_lrp"), ("lerf", "full_lrp", "lrp")])
def test_a_word_has_one_tone_on_cards_and_in_tables(run_folder: Path, order: str, good: str, bad: str) -> None:
    for path in run_folder.glob("tasks/*/summary.csv"):
        path.write_text(path.read_text(encoding="utf-8").replace(",morf,", f",{order},"), encoding="utf-8")
    run = read_run(run_folder)
    tones = {entry.column: entry.tone for entry in rows(run)[0].scores}
    assert [tones[good], tones[bad], tones["rollout"]] == ["good", "bad", "neutral"]
    html = page(run, {})
    words = {entry.column: entry.position for entry in rows(run)[0].scores}
    assert f'<td class="good">{words[good]}</td>' in html
    assert f'<td class="bad">{words[good]}</td>' not in html
    assert f'<td class="bad">{words[bad]}</td>' in html
    assert html.count('<li class="card good">') == html.count('<td class="good">') > 0
    assert html.count('<li class="card bad">') == html.count('<td class="bad">') > 0


def test_csv_is_tidy_and_true_to_the_summary(run_folder: Path) -> None:
    table = lines(run_folder)
    mine = [line for line in table if line["task"] == "epdnew_nontata" and line["label"] == "1"]
    star = next(line for line in mine if line["quantity"] == "accuracy_lrp_star")
    assert star["method"] == "lrp_last"
    assert (star["n"], star["paper"], star["tokens_changed"]) == ("20", "0.784", "63.6")
    assert float(star["value"]) == pytest.approx(0.83 - 0.16 * 0.4)
    assert float(star["drop"]) == pytest.approx(0.16 * 0.4)
    assert float(star["random_low"]) < float(star["value"]) < float(star["random_high"])
    everything = next(line for line in mine if line["n"] == "all")
    assert (everything["method"], everything["paper"], everything["default_label_rate"]) == ("", "0.678", "0.67")
    assert {line["method"] for line in mine} == {
        "",
        "attention",
        "rollout",
        "gradcam",
        "lrp",
        "lrp_last",
        "full_lrp",
        "random",
    }
    keys = [(line["task"], line["label"], line["quantity"], line["method"], line["n"]) for line in table]
    assert len(keys) == len(set(keys))


def test_csv_holds_the_whole_test_set(run_folder: Path) -> None:
    tested = {line["quantity"]: line for line in lines(run_folder) if line["task"] == "human_enhancers_dedup"}
    assert tested["test_accuracy"]["paper"] == "0.86"
    assert tested["test_auroc"]["value"] == "0.925"
    assert tested["test_auroc"]["sequences"] == "7000"


def test_markdown_has_the_four_classes_beside_the_paper(run_folder: Path) -> None:
    text = table1_md(read_run(run_folder))
    first = text.split("## Every")[0]
    assert "| non-TATA promoter | 0.830 [0.684, 0.976]; *0.878* | 0.766 [0.626, 0.906] (lrp\\_last); *0.784* |" in first
    assert "## The whole test set" in text
    assert "0.845 [0.830, 0.860] | 0.930 |" in text


def test_classes_of_one_name_carry_their_task(run_folder: Path) -> None:
    for old, new in (("epdnew_nontata", "first"), ("human_enhancers_dedup", "second")):
        (run_folder / "tasks" / old).rename(run_folder / "tasks" / new)
    text = table1_md(read_run(run_folder))
    assert "| background (first) |" in text
    assert "| promoter |" in text


def test_papers_counterparts_agree_with_its_section_5_1() -> None:
    assert {task: counterpart.accuracy for task, counterpart in load.COUNTERPARTS.items()} == {
        "human_nontata_promoters": 0.93,
        "epdnew_nontata": 0.93,
        "human_enhancers_ensembl": 0.86,
        "human_enhancers_dedup": 0.86,
    }


def test_numbers_are_written_with_their_sign_or_as_a_dash() -> None:
    assert fixed(-0.0123) == "−0.012"
    assert fixed(-0.0001) == "0.000"
    assert fixed(math.nan) == fixed(None) == percent(math.nan) == tokens(math.nan, 195) == "–"
    assert percent(0.675) == "68\N{NO-BREAK SPACE}%"
    assert span(0.5, math.nan) == ""
    assert tokens(91.8, 195.0) == "92 of 195"


def test_nucleotides_put_back_are_all_there_at_n_all(run_folder: Path) -> None:
    def head_and_row() -> list[list[str]]:
        lines = [line for line in table1_md(read_run(run_folder)).splitlines() if line.startswith("|")]
        return [[cell.strip() for cell in lines[at].strip("|").split("|")] for at in (0, 2)]

    head, row = head_and_row()
    taken = dict(zip(head, row, strict=True))
    for summary in run_folder.glob("tasks/*/summary.csv"):
        summary.write_text(summary.read_text(encoding="utf-8").replace(",morf,", ",insertion,"), encoding="utf-8")
    head, row = head_and_row()
    back = dict(zip(head, row, strict=True))
    assert [head[1], head[4]] == ["n = all", "n = 0"]
    for n in ("n = 0", "n = all"):
        assert back[n].split(";")[0] == taken[n].split(";")[0]
