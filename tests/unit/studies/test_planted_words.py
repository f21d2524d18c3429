"""What the planted study says in words."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from kmerit.report.studies import planted as write_report
from kmerit.report.text import planted as sentence


def result(**changes: Any) -> dict[str, Any]:
    row = {
        "method": "lrp",
        "measure": "auroc",
        "truth": 0.9,
        "truth_low": 0.85,
        "truth_high": 0.95,
        "finds": True,
        "finds_by": ["auroc", "auprc"],
        **{f"{key}{end}": 0.5 for key in ("auprc", "mass_inside") for end in ("", "_low", "_high")},
        "verdict": "faithful",
        "excess": 1.0,
        "excess_low": 0.5,
        "excess_high": 1.5,
        "control": "shifted",
    }
    return {
        "regime": "localised",
        "motifs": ["CTCF"],
        "negatives": "random",
        "learned": True,
        "sequences": 9,
        "auroc": {"value": 0.99, "low": 0.98, "high": 1.0},
        "scrubbing_flips": 0.9,
        "restoring_background_flips": 0.95,
        "ranked_by": "auroc",
        "methods": [row],
        "pairs": 3,
        "kendall_tau": {"auroc": {"value": 0.5, "low": 0.2, "high": 0.7}},
        "reversed_pairs": [],
        "false_acquittals": [],
        "false_convictions": [],
        "undecided": [],
        **changes,
    }


def test_a_trial_that_errs_nowhere() -> None:
    assert sentence(result()) == (
        "Kendall's tau between truth and trial is 0.500 (0.200 to 0.700) by AUROC; no error of the trial was found."
    )


def test_each_error_is_named() -> None:
    pair = {"truth_prefers": "lrp", "trial_prefers": "attention", "truth_margin": 0.2, "trial_margin": 1.0}
    missed = {**result()["methods"][0], "method": "attention", "finds": False, "finds_by": ["auprc", "mass_inside"]}
    rows = [*result()["methods"], missed]
    text = sentence(
        result(methods=rows, false_acquittals=["attention"], false_convictions=["lrp"], reversed_pairs=[pair])
    )
    assert (
        "calls faithful what does not find the signal by AUROC (attention, which does by AUPRC and mass inside)" in text
    )
    assert "does not call faithful what finds the signal (lrp)" in text
    assert "reverses 1 of 3 pairs beyond chance, the widest being lrp (truth) against attention (trial)" in text


def test_of_a_model_that_learned_nothing_nothing_is_concluded(tmp_path: Path) -> None:
    unlearned = {"regime": "or", "learned": False, "auroc": {"value": 0.7}, "scrubbing_flips": 0.5}
    results = {"one": unlearned, "two": result()}
    text = write_report(tmp_path / "planted.md", results, None).read_text(encoding="utf-8")
    assert "**one**: not learned (test AUROC 0.700, scrubbing flips 50\N{NO-BREAK SPACE}%)" in text
    assert "faithful 1 of 1 scores that find the signal, and 0 of 0 that do not." in text
    assert "## two" in text
    assert "## one" not in text
    assert "| lrp | 0.900 (0.850 to 0.950) | 0.500 (0.500 to 0.500) | 0.500 (0.500 to 0.500) | yes | faithful |" in text


def test_all_sets_side_by_side_with_disagreement_in_bold(tmp_path: Path) -> None:
    missed = result()
    missed["methods"][0]["finds"] = False
    results = {"one": result(), "two": missed}
    text = write_report(tmp_path / "planted.md", results, None).read_text(encoding="utf-8")
    assert "| method | one | two |" in text
    assert "| lrp | 0.90, faithful | **0.90, faithful** |" in text


def test_what_is_undecided_is_no_error(tmp_path: Path) -> None:
    left = result(undecided=["lrp"])
    left["methods"][0]["verdict"] = "undecided"
    assert sentence(left).endswith("no error of the trial was found. It leaves undecided: lrp.")
    results = {"one": left}
    assert "| lrp | 0.90, undecided |" in write_report(tmp_path / "planted.md", results, None).read_text(
        encoding="utf-8"
    )


def test_composition_has_no_columns_of_place(tmp_path: Path) -> None:
    composed = result(ranked_by="correlation", motifs=[])
    row = composed["methods"][0] | {"measure": "correlation"}
    composed["methods"] = [{key: row[key] for key in row if not key.startswith(("auprc", "mass"))}]
    results = {"x": composed}
    text = write_report(tmp_path / "planted.md", results, None).read_text(encoding="utf-8")
    assert "| method | rank correlation | finds it |" in text
