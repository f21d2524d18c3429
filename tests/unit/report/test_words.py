"""The sentences follow from the numbers."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd

from kmerit.report.folder import read_run
from kmerit.report.words import cautions, headline, warnings


def rewrite(path: Path, change: tuple[str, str]) -> None:
    path.write_text(path.read_text(encoding="utf-8").replace(*change), encoding="utf-8")


def drop_lines(path: Path, containing: str) -> None:
    kept = [line for line in path.read_text(encoding="utf-8").splitlines() if containing not in line]
    path.write_text("\n".join(kept), encoding="utf-8")


def test_three_sentences_name_what_lies_outside_the_control(run_folder: Path) -> None:
    outside, default, footprint = headline(read_run(run_folder))
    assert "below the random control's 95 % interval for lrp on non-TATA promoter; " in outside
    assert "attention, gradcam, lrp and lrp_last on enhancer" in outside
    assert "no score on non-enhancer" in outside
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
    assert any("random_sets" in text for text in warnings(run))


def test_nothing_outside_the_control(run_folder: Path) -> None:
    for summary in run_folder.glob("tasks/*/summary.csv"):
        for method in ("attention", "gradcam", "lrp", "lrp_last", "full_lrp"):
            drop_lines(summary, f",{method},")
    assert (
        "for no score on non-TATA promoter, non-promoter, enhancer or non-enhancer."
        in headline(read_run(run_folder))[0]
    )


def test_cautions_carry_this_runs_numbers(run_folder: Path) -> None:
    told = dict(cautions(read_run(run_folder)))
    assert "non-promoter 0.330" in told["The floor"]
    assert "64 to 92 tokens" in told["The token footprint"]
    assert "75.5 % of its positive test rows" in told["Leakage"]
    assert "not like for like" in told["Leakage"]
    assert "24 comparisons" in told["Choice"]
    assert "60 validation sequences" in told["Choice"]


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
        "Against matched controls, 10 of 18 rankings (a score on a class) are faithful: lrp and full_lrp on every "
        "class; attention on non-TATA promoter and enhancer. The others: 4 worse than their controls, 2 no better than "
        "their controls, 2 undecided."
    )


def test_no_verdict_is_faithful(run_folder: Path) -> None:
    judge(run_folder, ("lrp", 1, "no better than its controls"))
    assert headline(read_run(run_folder))[0] == (
        "Against matched controls, none of 2 rankings (a score on a class) is faithful. The others: 2 no better than "
        "their controls."
    )


def test_cautions_know_of_fair_controls(run_folder: Path) -> None:
    bare = dict(cautions(read_run(run_folder)))
    assert "controls that change as many as a score does are fairer" in bare["The token footprint"]
    assert "none corrected" in bare["Choice"]
    judge(run_folder, ("lrp", 1, "faithful"))
    judged = dict(cautions(read_run(run_folder)))
    assert "fairer" not in judged["The token footprint"]
    assert "controls that change as many as a score does: shifted, clump and other" in judged["The token footprint"]
    assert "none corrected" not in judged["Choice"]
    assert "bands hold over all methods and classes" in judged["Choice"]


def test_one_is_singular(run_folder: Path) -> None:
    for path in run_folder.glob("tasks/*/summary.csv"):
        table = pd.read_csv(path)
        table = table[table["full"] | table["n"].isin([0, 1])]
        table.assign(sequences=1, tokens_changed=1.0).to_csv(path, index=False)
    run = read_run(run_folder)
    text = " ".join([*headline(run), *warnings(run)])
    assert "With the 1 highest-scored nucleotide replaced" in text
    assert "rests on 1 sequence," in text
    assert "change 1 token " in text
    assert "small samples (1 sequence a class)" in text


def test_small_samples_warn_and_large_ones_do_not(run_folder: Path) -> None:
    assert sum("small samples (30 sequences a class)" in text for text in warnings(read_run(run_folder))) == 1
    for summary in run_folder.glob("tasks/*/summary.csv"):
        for full in ("True", "False"):
            rewrite(summary, (f",{full},30,", f",{full},500,"))
    assert not any("small samples" in text for text in warnings(read_run(run_folder)))


def test_the_runs_own_warnings_are_passed_on(run_folder: Path) -> None:
    path = run_folder / "tasks" / "epdnew_nontata" / "info.json"
    info = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps(info | {"warnings": ["Mind the gap."]}), encoding="utf-8")
    assert "epdnew_nontata: Mind the gap." in warnings(read_run(run_folder))


def test_other_operators_are_named_not_mixed_in(run_folder: Path) -> None:
    path = run_folder / "tasks" / "epdnew_nontata" / "summary.csv"
    head, *lines = path.read_text(encoding="utf-8").splitlines()
    other = [line.replace("random_other", "complement").replace(",0.", ",0.0") for line in lines]
    path.write_text("\n".join([head, *other, *lines]), encoding="utf-8")
    run = read_run(run_folder)
    assert run.tasks[0].left_out == ("complement, morf",)
    assert {cell.operator for group in run.tasks[0].groups for cell in group.cells} == {"random_other"}
    assert any("complement, morf" in text for text in warnings(run))


def test_another_order_is_told_as_what_it_is(run_folder: Path) -> None:
    for summary in run_folder.glob("tasks/*/summary.csv"):
        rewrite(summary, (",morf,", ",lerf,"))
    assert headline(read_run(run_folder))[0].startswith("With the 20 lowest-scored nucleotides replaced,")
