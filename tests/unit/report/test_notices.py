"""The run's own texts on the page: in the page's names, each thing once."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from kmerit.report.folder import read_run
from kmerit.report.notices import findings, gathered, grave_titles, renamed
from kmerit.report.page import page
from kmerit.report.words import warnings

NAMES = {"background": "non-promoter", "promoter": "non-TATA promoter"}
EASY = [f"easily separable: {name} alone, AUROC 0.8{i}" for i, name in enumerate(("CpG", "GC"))]
FINDINGS = [
    {
        "title": "One feature distinguishes the classes: CpG",
        "severity": "warning",
        "text": "CpG alone.",
        "remedy": "Match.",
    },
    {
        "title": "One feature distinguishes the classes: GC",
        "severity": "warning",
        "text": "GC alone.",
        "remedy": "Match.",
    },
    {"title": "The ends distinguish the classes: ends", "severity": "warning", "text": "Cut."},
    {"title": "Coordinates missing: promoter", "text": "Not all rows of promoter have coordinates."},
]


def alter(path: Path, **changes: Any) -> None:
    known = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    path.write_text(json.dumps(known | changes), encoding="utf-8")


def told(folder: Path) -> tuple[str, list[str]]:
    place = folder / "tasks" / "epdnew_nontata"
    flags = {"0": {"zero": 3, "undefined": 3, "sequences": 30}, "1": {"zero": 7, "sequences": 30}}
    alter(place / "info.json", warnings=EASY, flags={"gradcam": flags}, audit={"1": [LEAK]})
    alter(place / "findings.json", findings=FINDINGS)
    run = read_run(folder)
    return page(run, {}), warnings(run)


LEAK = "leaked: 7.0 % of promoter test rows are copies of training rows"


def test_a_class_has_one_name_wherever_it_is_spoken_of() -> None:
    few = "Fewer than the 30 sequences asked for of background 20, promoter 10: all there are."
    assert renamed(few, NAMES) == few.replace("promoter", "non-TATA promoter").replace("background", "non-promoter")
    leaks = renamed("leaked: 1 % of the promoter and 2 % of the background test rows", NAMES)
    assert leaks == "leaked: 1 % of the non-TATA promoter and 2 % of the non-promoter test rows"
    assert renamed("Coordinates missing: promoter", NAMES) == "Coordinates missing: non-TATA promoter"
    operators = "the operators complement, transition, background, shuffle, mask"
    assert renamed(operators, NAMES) == operators
    assert renamed("Match the background in composition.", NAMES) == "Match the background in composition."


def test_degenerate_scores_are_one_bullet_for_a_task_in_the_pages_names(run_folder: Path) -> None:
    _, said = told(run_folder)
    (bullet,) = [text for text in said if "degenerate" in text and "epdnew" in text]
    assert bullet == (
        "epdnew_nontata: some sequences have degenerate scores: gradcam on non-TATA promoter 7 of 30 all zero; gradcam "
        "on non-promoter 3 of 30 all zero, 3 of 30 0/0, set to zero."
    )


def test_remarks_of_one_kind_are_one_line(run_folder: Path) -> None:
    html, said = told(run_folder)
    assert "epdnew_nontata: easily separable: CpG alone, AUROC 0.80; GC alone, AUROC 0.81" in said
    assert "One feature distinguishes the classes: CpG, GC; The ends distinguish the classes." in html
    assert html.count("One feature distinguishes the classes: CpG, GC") == 3  # for each class, and in the audit
    assert "The ends distinguish the classes: ends" not in html
    first, *_, last = findings(read_run(run_folder).tasks[0])
    assert (first.text, first.remedy) == ("CpG alone. GC alone.", "Match.")
    assert last.text == "Not all rows of non-TATA promoter have coordinates."
    assert "leaked: 7.0 % of non-TATA promoter test rows" in html
    alter(
        run_folder / "tasks" / "epdnew_nontata" / "findings.json",
        findings=[FINDINGS[0] | {"remedy": "Own."}, FINDINGS[1]],
    )
    task = read_run(run_folder).tasks[0]
    assert len(findings(task)) == 2
    assert grave_titles(task) == ["One feature distinguishes the classes: CpG, GC"]
    assert gathered(["A: b", "A: b"]) == ["A: b"]
