"""The sentences follow from the numbers."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pandas as pd

from helpers.report_run import audit_of
from kmerit.datasets.findings import Concern, Finding
from kmerit.report import text
from kmerit.report.load import Note, RunResults, read_run
from kmerit.report.page import page
from kmerit.report.table1 import rows
from kmerit.report.text import warnings
from kmerit.trials.design import Prospect
from kmerit.trials.verdicts import Caveat, Floor


def headline(run: RunResults) -> list[str]:
    return text.headline(run, rows(run))


def cautions(run: RunResults) -> list[tuple[str, str]]:
    return text.cautions(run, rows(run))


def rewrite(path: Path, change: tuple[str, str]) -> None:
    path.write_text(path.read_text(encoding="utf-8").replace(*change), encoding="utf-8")


def drop_lines(path: Path, containing: str) -> None:
    kept = [line for line in path.read_text(encoding="utf-8").splitlines() if containing not in line]
    path.write_text("\n".join(kept), encoding="utf-8")


def test_three_sentences_name_what_lies_outside_the_control(run_folder: Path) -> None:
    outside, default, footprint = headline(read_run(run_folder))
    assert "below the random control's 95 % interval for lrp on non-TATA promoter; " in outside
    assert "attention, gradcam, lrp and lrp_last on enhancer" in outside
    assert "no method on non-enhancer" in outside
    assert outside.endswith("above that interval for full_lrp on non-TATA promoter.")
    assert "“non-TATA promoter” for 67\N{NO-BREAK SPACE}% of non-TATA promoter and " in default
    ends = "“non-enhancer” for 63\N{NO-BREAK SPACE}% of enhancer and 61\N{NO-BREAK SPACE}% of non-enhancer"
    assert ends in default
    assert "30 sequences" in footprint
    assert "64 to 92 tokens" in footprint


def test_equal_n_is_called_unequal_damage_only_where_the_ranges_lie_apart(run_folder: Path) -> None:
    assert "equal damage" not in headline(read_run(run_folder))[2]  # 64 to 92 tokens, and 92
    for path in run_folder.glob("tasks/*/summary.csv"):
        table = pd.read_csv(path)
        table.loc[(table["method"] == "random") & (table["n"] == 20), "tokens_changed"] = 93.0
        table.to_csv(path, index=False)
    assert headline(read_run(run_folder))[2].endswith(
        "change 64 to 92 tokens where random positions change 93, so equal n is not equal damage."
    )


def test_without_a_random_control_it_says_so(run_folder: Path) -> None:
    for summary in run_folder.glob("tasks/*/summary.csv"):
        drop_lines(summary, ",random,")
    run = read_run(run_folder)
    assert "no random control" in headline(run)[0]
    assert any("random_sets" in line for line in warnings(run))


def test_nothing_outside_the_control(run_folder: Path) -> None:
    for summary in run_folder.glob("tasks/*/summary.csv"):
        for method in ("attention", "gradcam", "lrp", "lrp_last", "full_lrp"):
            drop_lines(summary, f",{method},")
    assert (
        "for no method on non-TATA promoter, non-promoter, enhancer or non-enhancer."
        in headline(read_run(run_folder))[0]
    )


def test_cautions_carry_this_runs_numbers(run_folder: Path) -> None:
    messages = dict(cautions(read_run(run_folder)))
    assert "non-promoter 0.330" in messages["The floor"]
    assert "64 to 92 tokens" in messages["The token footprint"]
    assert "75.5 % of its positive test rows" in messages["Leakage"]
    assert "cannot be compared directly" in messages["Leakage"]
    assert "24 comparisons" in messages["Choice"]
    assert "60 validation sequences" in messages["Choice"]


def judge(folder: Path, *verdicts: tuple[str, int, str]) -> None:
    for task in ("epdnew_nontata", "human_enhancers_dedup"):
        cards = [{"method": method, "label": label, "verdict": verdict} for method, label, verdict in verdicts]
        (folder / "tasks" / task / "cards.json").write_text(json.dumps({"cards": cards}), encoding="utf-8")


def test_verdicts_say_what_is_faithful_first_and_count_the_rest(run_folder: Path) -> None:
    same = "no better than its controls"
    judge(
        run_folder,
        *[("rollout", label, "worse than its controls") for label in (0, 1)],
        *[("lrp", label, "faithful") for label in (0, 1)],
        *[("full_lrp", label, "faithful") for label in (0, 1)],
        ("attention", 0, same),
        ("attention", 1, "faithful"),
        ("gradcam", 1, "undecided"),
    )
    assert headline(read_run(run_folder))[0] == (
        "Against matched controls, 10 of 18 rankings (a method on a class) are faithful: lrp and full_lrp on every "
        "class; attention on non-TATA promoter and enhancer. The others: 4 worse than their controls, 2 no better than "
        "their controls, 2 undecided."
    )


def test_no_verdict_is_faithful(run_folder: Path) -> None:
    judge(run_folder, ("lrp", 1, "no better than its controls"))
    assert headline(read_run(run_folder))[0] == (
        "Against matched controls, none of 2 rankings (a method on a class) is faithful: 2 no better than their "
        "controls."
    )


def test_cautions_know_of_fair_controls(run_folder: Path) -> None:
    bare = dict(cautions(read_run(run_folder)))
    assert "controls that change as many as a method does are fairer" in bare["The token footprint"]
    assert "one in twenty null rankings" in bare["Choice"]
    judge(run_folder, ("lrp", 1, "faithful"))
    judged = dict(cautions(read_run(run_folder)))
    assert "fairer" not in judged["The token footprint"]
    assert "controls that change as many as a method does: shifted, clump and other" in judged["The token footprint"]
    assert "one in twenty null rankings" not in judged["Choice"]
    assert "bands hold for all methods and classes" in judged["Choice"]


def test_one_is_singular(run_folder: Path) -> None:
    for path in run_folder.glob("tasks/*/summary.csv"):
        table = pd.read_csv(path)
        table = table[table["full"] | table["n"].isin([0, 1])]
        table.assign(sequences=1, tokens_changed=1.0).to_csv(path, index=False)
    run = read_run(run_folder)
    sentence = " ".join([*headline(run), *warnings(run)])
    assert "With the 1 highest-scored nucleotide replaced" in sentence
    assert "rests on 1 sequence," in sentence
    assert "change 1 token " in sentence
    assert "small samples (1 sequence per class)" in sentence


def test_small_samples_warn_and_large_ones_do_not(run_folder: Path) -> None:
    assert sum("small samples (30 sequences per class)" in line for line in warnings(read_run(run_folder))) == 1
    for summary in run_folder.glob("tasks/*/summary.csv"):
        for full in ("True", "False"):
            rewrite(summary, (f",{full},30,", f",{full},500,"))
    assert not any("small samples" in line for line in warnings(read_run(run_folder)))


def alter(path: Path, **changes: Any) -> None:
    known = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    path.write_text(json.dumps(known | changes), encoding="utf-8")


def test_the_runs_own_notes_are_put_into_words_with_the_pages_names(run_folder: Path) -> None:
    note = Note("few_sequences", {"wanted": 30, "by_class": {"background": 20, "promoter": 10}})
    alter(run_folder / "tasks" / "epdnew_nontata" / "info.json", notes=[asdict(note)])
    assert (
        "epdnew_nontata: Fewer sequences than the 30 requested of each class: there are only 20 of non-promoter and 10 "
        "of non-TATA promoter." in warnings(read_run(run_folder))
    )


def feature(name: str, auroc: float, gate: bool = False) -> Finding:
    values = {"at_least": auroc - 0.02}
    return Finding("feature_auroc", values, where=name, label=None, value=auroc, threshold=0.8, gate=gate)


ENDS = Finding("ends", {"auroc": 0.9, "gc": 0.6}, where="ends", label=None, value=0.3, threshold=0.05)
PLACES = Finding(
    "half_placed", {"by_class": {"promoter": [5, 9]}}, where="promoter", label=None, value=1.0, threshold=0.0
)
FOUND = (feature("CpG", 0.86), feature("GC", 0.81), ENDS, PLACES)


def audited(folder: Path, *findings: Finding, leaked: float = 0.07) -> RunResults:
    place = folder / "tasks" / "epdnew_nontata"
    audit = audit_of(("background", "promoter"), findings, promoter_copied=leaked)
    (place / "audit.json").write_text(audit.to_json(), encoding="utf-8")
    return read_run(folder)


def test_degenerate_scores_are_one_bullet_for_a_task_in_the_pages_names(run_folder: Path) -> None:
    flags = {"0": {"zero": 3, "undefined": 3, "sequences": 30}, "1": {"zero": 7, "sequences": 30}}
    alter(run_folder / "tasks" / "epdnew_nontata" / "info.json", flags={"gradcam": flags})
    (bullet,) = [line for line in warnings(read_run(run_folder)) if "degenerate" in line and "epdnew" in line]
    assert bullet == (
        "epdnew_nontata: some sequences have degenerate scores: gradcam on non-TATA promoter 7 of 30 all zero; gradcam "
        "on non-promoter 3 of 30 all zero, 3 of 30 undefined (0/0), set to zero."
    )


def test_findings_of_one_kind_are_one_line(run_folder: Path) -> None:
    run = audited(run_folder, *FOUND)
    html = page(run, {})
    assert "epdnew_nontata: easily separable: CpG alone, AUROC 0.86; GC alone, AUROC 0.81" in warnings(run)
    assert "One feature distinguishes the classes: CpG, GC; The ends distinguish the classes." in html
    assert html.count("One feature distinguishes the classes: CpG, GC") == 2  # above its first class, and in the audit
    assert "The ends distinguish the classes: ends" not in html
    assert "leaked: 7.0 % of non-TATA promoter test rows are copies of training rows" in html
    task = run.tasks[0]
    first, *_, last = text.findings(task.audit, task.class_names)
    assert first.text == (
        "CpG alone distinguishes the classes: AUROC 0.86, with 95 % confidence at least 0.84. "
        "GC alone distinguishes the classes: AUROC 0.81, with 95 % confidence at least 0.79."
    )
    assert (last.title, last.severity) == ("Coordinates missing: non-TATA promoter", "note")
    assert last.text.startswith("5 of 9 rows of non-TATA promoter have coordinates;")
    # A remedy of its own makes a finding of its own, and still one title.
    task = audited(run_folder, feature("length", 0.9), feature("GC", 0.81)).tasks[0]
    assert len(text.findings(task.audit)) == 2
    assert text.grave_titles(task.audit) == ["One feature distinguishes the classes: length, GC"]
    gated = audited(run_folder, feature("GC", 0.81, gate=True)).tasks[0]
    assert [each.severity for each in text.findings(gated.audit)] == ["failure"]


def test_a_data_set_in_a_line() -> None:
    def leak(name: str, share: float) -> Concern:
        values = {"kind": "copied", "share": share, "any_share": share, "placed_only": False}
        return Concern("leaked", {"class_name": name, **values})

    leaks = [leak("a", 0.755), leak("b", 0.01)]
    names = {"a": "promoter"}
    assert text.in_a_line(leaks, names) == "leaked: 75.5 % of the promoter and 1.0 % of the b test rows"
    easy = [Concern("separable", {"by": by, "auroc": auroc}) for by, auroc in (("GC", 0.85), ("length", 1.0))]
    contradictory = Concern("contradictory", {"class_name": "a", "share": 0.1, "split": None, "against": None})
    assert text.in_a_line([*easy, contradictory]) == (
        "length alone distinguishes the classes, AUROC 1.00; contradictory labels"
    )
    assert text.in_a_line([Concern("leaks_unknown")]) == (
        "leaks unknown: no training rows were given; no easy features found"
    )
    assert text.in_a_line([Concern("leaks_unknown"), Concern("separability_unseen")]) == (
        "leaks unknown: no training rows were given; too few rows to see easy separation"
    )
    assert text.concerns([*leaks, Concern("leaks_unknown")], names) == [
        ("a", "leaked: 75.5 % of promoter test rows are copies of training rows"),
        ("b", "leaked: 1.0 % of b test rows are copies of training rows"),
    ]


def test_what_a_class_can_show_is_said() -> None:
    many = Prospect("on", "on", 40, 20, 38, 12, 0.73, decidable=True)
    assert text.prospect(many) == (
        "on: 40 sequences classified correctly, 38 of them independent; 20 misclassified, reported separately. "
        "Smallest detectable effect: 0.73 standard deviations (power 90 %, 12 questions at once)."
    )
    weak = replace(many, detectable=1.9, decidable=False)
    assert "Undecided: the smallest detectable effect is 1.90" in text.prospect(weak)
    none = replace(many, detectable=None, decidable=False)
    assert text.prospect(none, {"on": "promoter"}).startswith("promoter: 40 sequences")
    assert "Undecided: at least 10 independent" in text.prospect(none)


def test_caveats_say_what_is_missing_and_why() -> None:
    def missing(control: str, asked: bool = True) -> str:
        return text.sentence(Caveat("control_missing", {"control": control, "asked": asked}))

    assert "40 nt or fewer" in missing("shifted")
    assert missing("clump") == "The control clump could not be drawn, so the method cannot be called faithful."
    assert missing("other", asked=False) == (
        "The control other was not requested, so the method cannot be called faithful."
    )
    assert missing("context").endswith("so beyond composition is not answered.")
    few = {"sequences": 4, "control": "other", "excess": -0.5, "low": None, "high": None}
    assert text.sentence(Caveat("mistaken", few)) == (
        "4 misclassified sequences are not judged; there the excess over other is −0.500 (too few for an interval)."
    )
    one = {"sequences": 1, "control": None, "excess": None, "low": None, "high": None}
    assert text.sentence(Caveat("mistaken", one)) == "1 misclassified sequence is not judged."


def test_the_grid_and_the_evaluations_are_said() -> None:
    sequences = {"core": 10, "orders": 6, "operators": 6, "ism": 4, "greedy": 2}
    grid = {"sequences": sequences, "counts": [1, 3, "all"], "draws": 2, "random_sets": 4}
    grid |= {"orders": ["lerf", "insertion"], "operators": ["mask"], "operator_count": 3}
    sentence = text.grid({**grid, "greedy_count": 2, "greedy_candidates": 5})
    for part in ("10 sequences", "n = 1, 3, all", "2 draws", "on 6 of them", "lerf, insertion", "on 2: greedy search"):
        assert part in sentence
    one = {"sequences": {"core": 1}, "counts": [1], "draws": 1, "random_sets": 1}
    assert text.grid(one) == (
        "Grid: 1 sequence, random_other, most relevant first, n = 1, 1 draw, one ranking of each matched control per "
        "draw, 1 random ranking."
    )
    sentence = text.evaluations(1200, 4800, 0.75, {"greedy": 30})
    assert sentence.startswith("1,200 distinct mutants were classified; ")
    assert sentence.endswith("been 4,800 (75\N{NO-BREAK SPACE}% saved); in addition, for the bounds: greedy 30.")


def test_the_floor_of_three_classes() -> None:
    def of(label: int, name: str, difference: float, outcome: Any) -> Floor:
        rates = {"a": 0.9, "b": 0.5, "c": 0.9}
        low, high = difference - 0.1, difference + 0.1
        return Floor("mask", label, name, 0, "a", rates[name], rates, difference, low, high, 1.0, 0.2, 50, outcome)

    floors = [of(0, "a", 0.2, "default"), of(1, "b", -0.4, "kept"), of(2, "c", 0.0, "explained")]
    sentence = text.floor(floors, {"b": "B"}, "mask").replace("\N{NO-BREAK SPACE}", " ")
    assert sentence == (
        "With every nucleotide replaced (mask), the model answers “a” for 90 % of a, 50 % of B and 90 % of c; this "
        "alone explains the fall in accuracy of c (1.00 to 0.20). Difference from the mean of the other "
        "classes: a +20 %, 95 % interval +10 % to +30 %; B −40 %, 95 % interval −50 % to −30 %; c 0 %, 95 % interval "
        "−10 % to +10 %. Full mutation does not erase B: mutants still differ between classes, in composition for "
        "instance, so the default label alone does not set the floor."
    )
    alone = Floor("mask", 0, "a", 0, "a", 1.0, {"a": 1.0}, None, None, None, 1.0, 1.0, 9, "alone")
    assert text.floor([alone], operator="mask").endswith("so what full mutation leaves of this one is unknown.")
    assert text.floor([alone]) == ""


def test_other_operators_are_named_not_mixed_in(run_folder: Path) -> None:
    path = run_folder / "tasks" / "epdnew_nontata" / "summary.csv"
    head, *lines = path.read_text(encoding="utf-8").splitlines()
    other = [line.replace("random_other", "complement").replace(",0.", ",0.0") for line in lines]
    path.write_text("\n".join([head, *other, *lines]), encoding="utf-8")
    run = read_run(run_folder)
    assert run.tasks[0].left_out == ("complement, morf",)
    assert {cell.operator for group in run.tasks[0].groups for cell in group.cells} == {"random_other"}
    assert any("complement, morf" in line for line in warnings(run))


def test_another_order_is_told_as_what_it_is(run_folder: Path) -> None:
    for summary in run_folder.glob("tasks/*/summary.csv"):
        rewrite(summary, (",morf,", ",lerf,"))
    assert headline(read_run(run_folder))[0].startswith("With the 20 lowest-scored nucleotides replaced,")
