"""The baselines of a model's own card stand beside what a run measured, and never get in its way."""

from __future__ import annotations

import json
import shutil
from html import unescape
from pathlib import Path
from typing import Any

import pytest

import kmerit as km
from disturbing import inputs
from helpers.small_run import write_experiment
from kmerit.models.checkpoint import locate
from kmerit.report.load import Metrics, read_run
from kmerit.report.page import write_report
from kmerit.runs.model_card import recorded_baselines
from kmerit.store import Stages

PROMOTER = locate("bundled:promoter")
KEYS = ["attribution.methods=['attention']", "trial.counts=[3]"]
TOLD = json.loads((PROMOTER / "metrics.json").read_text(encoding="utf-8"))

ENHANCER = """
[tasks.human_enhancers_dedup]
model = "bundled:enhancer"
crop = { length = 200, anchor = "center" }
[data]
per_class = 4
min_length = 200
drop_n = true
[statistics]
resamples = 100
[compute]
device = "cpu"
threads = 1
"""


def measured(folder: Path) -> dict[str, Any]:
    (path,) = folder.glob("tasks/*/metrics.json")
    return dict(json.loads(path.read_text(encoding="utf-8")))


def shown(folder: Path) -> tuple[str, str]:
    """Give the section of the test set as the page and the Markdown have it."""
    html = write_report(folder).read_text(encoding="utf-8").replace("\N{NO-BREAK SPACE}", " ")
    markdown = (folder / "table1.md").read_text(encoding="utf-8").replace("\\", "")
    return html.split('<section id="test"')[1].split("</section>")[0], markdown.split("The whole test set")[1]


def test_a_card_is_of_the_rows_that_have_the_same_metrics(tmp_path: Path) -> None:
    known = recorded_baselines(PROMOTER, TOLD["test"])
    assert (known["data"], known["split"], known["crop"]) == ("epdnew_nontata", "test", "251 nt, left")
    assert (known["rows"], known["this_run"]) == (6232, True)
    assert [each["name"] for each in known["baselines"]] == list(TOLD["baselines"])
    for each in known["baselines"]:
        for kept, told in (("metrics", TOLD["baselines"]), ("above", TOLD["above"])):
            assert each[kept] == {name: told[each["name"]][name] for name in ("accuracy", "auroc")}
    assert Metrics.model_validate({"baselines": known}).baselines is not None
    for changes in (
        {"rows": 6231},
        {"auroc": TOLD["test"]["auroc"] | {"value": 0.951}},
        {"auroc": TOLD["test"]["auroc"] | {"value": None}},
    ):
        assert recorded_baselines(PROMOTER, TOLD["test"] | changes)["this_run"] is False
    rounded = {name: {"value": round(each["value"], 3)} for name, each in TOLD["test"].items() if name != "rows"}
    assert recorded_baselines(PROMOTER, {"rows": 6232, **rounded})["this_run"] is True
    assert recorded_baselines(tmp_path, TOLD["test"]) == {}


def test_of_a_value_the_card_has_other_metrics_and_no_differences() -> None:
    known = recorded_baselines(locate("bundled:planted_values"), {"rows": 12})
    assert known["this_run"] is False
    assert [(each["name"], set(each["metrics"]), each["above"]) for each in known["baselines"]] == [
        ("ridge regression on 4-mers", {"r2", "pearson"}, {})
    ]


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ('{"eval_accuracy": 0.9, "epoch": 3.0}', "The key 'model' is missing."),
        ("[0.9]", "expected a JSON object, {...}, got a list."),
        ("{", "not valid JSON (Expecting property name enclosed in double quotes: line 1 column 2 (char 1))."),
        ("version https://git-lfs.github.com/spec/v1\n", "a pointer of Git LFS, not the file itself."),
        (json.dumps(TOLD | {"crop": 251}), "crop: expected text in quotes, got 251."),
        (json.dumps(TOLD | {"test": TOLD["test"] | {"rows": 0}}), "test.rows: expected"),
        (json.dumps(TOLD | {"test": TOLD["test"] | {"auroc": 0.9}}), "test.auroc: expected a table, got 0.9."),
        (
            json.dumps(TOLD | {"baselines": {"4-mers": {"rows": 5, "auroc": {"value": 0.5}}}}),
            "The key 'baselines.4-mers.auroc.low' is missing.",
        ),
        (
            json.dumps(TOLD | {"above": {"4-mers": {"rows": 5, "auroc": {"value": 1e999, "low": 0, "high": 1}}}}),
            "above.4-mers.auroc.value: expected a finite number",
        ),
    ],
)
def test_a_file_of_another_program_is_named_and_not_used(tmp_path: Path, content: str, problem: str) -> None:
    (tmp_path / "metrics.json").write_text(content, encoding="utf-8")
    known = recorded_baselines(tmp_path, TOLD["test"])
    assert list(known) == ["unread"]
    assert known["unread"]["code"] == "baselines_unread"
    assert known["unread"]["values"]["problem"].startswith(problem)
    assert str(tmp_path) not in json.dumps(known)


def test_what_was_measured_on_validation_rows_is_said_to_be(tmp_path: Path) -> None:
    card = {name: TOLD[name] for name in ("model", "crop", "split", "baselines")} | {"validation": TOLD["test"]}
    (tmp_path / "metrics.json").write_text(json.dumps(card), encoding="utf-8")
    known = recorded_baselines(tmp_path, {"rows": 5})
    assert (known["split"], known["rows"], known["data"]) == ("validation", 6232, "")
    assert known["baselines"][0]["above"] == {}


def test_a_bundled_model_stands_beside_its_baselines_on_the_same_rows(tmp_path: Path) -> None:
    (tmp_path / "run.toml").write_text(ENHANCER)
    km.run(tmp_path / "run.toml", tmp_path / "whole", until="evaluate")
    known = measured(tmp_path / "whole")["baselines"]
    assert (known["rows"], known["this_run"], len(known["baselines"])) == (729, True, 5)
    html, markdown = shown(tmp_path / "whole")
    for text in (html, markdown):
        assert "human_enhancers_dedup: 729 test rows of human_enhancers_dedup, crop 200 nt, center." in text
        assert "These are the rows that this run measured" in text
        assert "logistic regression on gapped k-mers (8, 5)" in text
        assert "Its teachers: the networks" in text
    assert '<h3 id="baselines-title">Baselines: how far other models get</h3>' in html
    assert "### Baselines: how far other models get\n" in markdown
    told = json.loads((locate("bundled:enhancer") / "metrics.json").read_text(encoding="utf-8"))
    numbers = [
        f"{each[name][end]:.3f}"
        for each in (told["test"], told["baselines"]["4-mers"], told["above"]["4-mers"])
        for name in ("accuracy", "auroc")
        for end in ("value", "low", "high")
    ]
    assert [number for number in numbers if number.lstrip("-") not in html or number.lstrip("-") not in markdown] == []
    assert 'class="caveat"' not in html


def test_of_some_test_sequences_the_card_is_of_other_rows(tmp_path: Path) -> None:
    (tmp_path / "run.toml").write_text(ENHANCER)
    km.run(tmp_path / "run.toml", tmp_path / "some", ["data.test_per_class=5"], until="evaluate")
    assert measured(tmp_path / "some")["baselines"]["this_run"] is False
    text = unescape(write_report(tmp_path / "some").read_text(encoding="utf-8"))
    assert "These are other rows than this run's, which measured 10 of 729: compare within this table." in text


@pytest.mark.slow
def test_a_model_that_a_run_makes_has_its_baselines(tmp_path: Path) -> None:
    inputs(tmp_path)
    km.run(tmp_path / "tuned.toml", tmp_path / "out", until="evaluate")
    known = measured(tmp_path / "out")["baselines"]
    assert known["this_run"] is True
    assert [each["name"] for each in known["baselines"]] == ["4-mers", "6-mers"]
    assert known["data"] == "train.csv"


def test_without_baselines_a_line_says_how_to_get_them(tmp_path: Path, tiny_checkpoint: Path) -> None:
    config = write_experiment(tmp_path, tiny_checkpoint)
    km.run(config, tmp_path / "run", KEYS, until="evaluate")
    assert measured(tmp_path / "run")["baselines"] == {}
    for text in shown(tmp_path / "run"):
        assert "No baselines (other models on the same rows) are recorded for the model of mine; kmerit fine" in text
        assert "difference" not in text


def test_the_metrics_of_another_program_break_no_run(tmp_path: Path, tiny_checkpoint: Path) -> None:
    model = Path(shutil.copytree(tiny_checkpoint, tmp_path / "model"))
    (model / "metrics.json").write_text('{"eval_accuracy": 0.9, "epoch": 3.0}', encoding="utf-8")
    config = write_experiment(tmp_path, model)
    km.run(config, tmp_path / "run", KEYS)
    (task,) = read_run(tmp_path / "run").tasks
    assert task.metrics.baselines is not None
    assert task.metrics.baselines.unread is not None
    for text in shown(tmp_path / "run"):
        assert "is not one that kmerit writes, so no baselines are shown. The key" in text
        assert "are recorded for" not in text


def test_a_model_in_memory_has_no_card(tmp_path: Path) -> None:
    config = write_experiment(tmp_path, "own")
    models = {"own": km.load_model("bundled:promoter", device="cpu")}
    km.run(config, tmp_path / "run", KEYS, models=models, until="evaluate")
    assert measured(tmp_path / "run")["baselines"] == {}


def test_a_run_that_an_earlier_version_began_is_finished_and_says_nothing_of_baselines(
    tmp_path: Path, tiny_checkpoint: Path
) -> None:
    config, out = write_experiment(tmp_path, tiny_checkpoint), tmp_path / "run"
    km.run(config, out, KEYS, until="evaluate")
    metrics = measured(out)
    del metrics["baselines"]
    (out / "tasks" / "mine" / "metrics.json").write_text(json.dumps(metrics), encoding="utf-8")
    Stages(out).mark_done("mine.evaluate", ["tasks/mine/predictions.parquet", "tasks/mine/metrics.json"])
    km.run(config, out, KEYS)
    assert "baselines" not in measured(out)
    for text in shown(out):
        assert "aseline" not in text
