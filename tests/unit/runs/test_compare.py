"""Folders that are compared: a study's is not, and those inside it are named."""

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import kmerit as km
from helpers.faulty_sets import random_parts
from kmerit.errors import FormatError
from kmerit.runs.compare import compare, trials_inside
from kmerit.runs.study import study_folder
from kmerit.sequences import decode
from kmerit.store import write_record

TINY = {"base": None, "k": 3, "hidden": 8, "layers": 1, "heads": 1, "intermediate": 8, "max_steps": 1, "device": "cpu"}


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished study of two seeds and two operators."""
    home = tmp_path_factory.mktemp("studied")
    rows = [decode(part)[:40] for part in random_parts(16, 40)]
    pd.DataFrame({"sequence": rows, "label": [0, 1] * 8}).to_csv(home / "mine.csv", index=False)
    config: dict[str, Any] = {
        "tasks": {"mine": {"train": str(home / "mine.csv"), "test": str(home / "mine.csv")}},
        "lengths": [40],
        "seeds": [0, 1],
        "operators": ["random_other", "block(4)"],
        "methods": ["attention", "saliency"],
        "counts": [5],
        "per_class": 4,
        "random_sets": 1,
        "resamples": 100,
        "training": TINY,
    }
    km.study(config, home / "study")
    return home / "study"


def test_a_studys_folder_names_the_trials_inside_it_and_those_are_compared(study: Path) -> None:
    with pytest.raises(FormatError) as refused:
        compare([study, study / "mine" / "40" / "seed0" / "random_other"])
    said = str(refused.value)
    assert said.startswith(f"{study}: a study's folder is not compared as a whole. Give trials inside it, of the same ")
    first, second = said.removesuffix(".").rpartition(": ")[2].split(", ")
    assert [Path(each).parent.name for each in (first, second)] == ["seed0", "seed1"]
    scores = {name: Path(each).parent / "scores.parquet" for name, each in (("a", first), ("b", second))}
    result = compare({"a": first, "b": second}, scores=scores, resamples=100)
    assert set(result.verdicts["run"]) == {"a", "b"}
    assert not result.agreement.empty


def test_a_folder_inside_a_study_names_what_it_holds(study: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(study / "mine" / "40")
    message = r"^seed0: holds no run, and no trial\. Give what is inside it: seed0/random_other\.$"
    with pytest.raises(FormatError, match=message):
        compare({"a": "seed0", "b": "seed1/random_other"})
    monkeypatch.chdir("seed1")
    assert [str(each) for each in trials_inside(Path())] == ["random_other"]


def test_a_study_without_a_finished_trial_says_so(tmp_path: Path) -> None:
    with study_folder(tmp_path / "begun", {}):
        pass
    with pytest.raises(FormatError, match="begun: a study's folder, with no finished trial yet"):
        compare({"a": tmp_path / "begun", "b": tmp_path})


def test_runs_and_trials_inside_are_named_as_they_are_given(tmp_path: Path) -> None:
    """Those of `run` and `trial` keep their outcomes further down; the folder that is given is theirs."""
    for place in ("runs/one/tasks/mine/outcomes", "trials/two/outcomes", "trials/three"):
        (tmp_path / place).mkdir(parents=True)
        write_record(tmp_path / place / "outcomes.json", {"settings": {}})
    (tmp_path / "damaged").mkdir()
    (tmp_path / "damaged/outcomes.json").write_text("{}", encoding="utf-8")
    (tmp_path / "runs/one/config.toml").write_text("", encoding="utf-8")
    assert trials_inside(tmp_path) == [tmp_path / each for each in ("runs/one", "trials/three", "trials/two")]
