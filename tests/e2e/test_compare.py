"""Runs and trials side by side, from the command line: the page, the tables, and what is refused."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

import kmerit as km
from helpers.command import Done
from helpers.small_run import CONFIG, write_sequences
from kmerit.runs.compare import compare
from kmerit.runs.pipeline import run

SMALL = ("attribution.methods=['lrp', 'attention']", "data.per_class=6")


@pytest.fixture(scope="module")
def runs(make_checkpoint: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two runs that differ in their model, and one in its counts."""
    home = tmp_path_factory.mktemp("runs")
    write_sequences(home / "mine.csv", length=48)
    folders = []
    for name, seed, more in (("one", 0, ()), ("two", 5, ()), ("other", 0, ("trial.counts=[0, 4, 'all']",))):
        config = home / f"{name}.toml"
        config.write_text(CONFIG.format(model=make_checkpoint(seed=seed)), encoding="utf-8")
        folders.append(run(config, home / name, [*SMALL, *more]).folder)
    return folders


def test_runs_are_compared_to_a_page_and_tables(kmerit: Callable[..., Done], runs: list[Path], tmp_path: Path) -> None:
    out = tmp_path / "compared"
    done = kmerit("compare", runs[0], f"mine={runs[1]}", "--out", out, "--resamples", 100)
    assert (done.code, done.out) == (0, f"Report: {out / 'compare.html'}\n"), done.err
    assert "lrp: the scores of one and mine have a rank correlation of" in done.err
    tables = {path.stem: pd.read_csv(path) for path in out.glob("*.csv")}
    assert set(tables) == {"verdicts", "claims", "differences", "agreement"}
    for name, table in tables.items():
        stored = pd.read_parquet(out / f"{name}.parquet").dropna(axis=1, how="all")
        pd.testing.assert_frame_equal(table.dropna(axis=1, how="all"), stored, check_dtype=False)
    assert set(tables["verdicts"]["run"]) == {"one", "mine"}
    page = (out / "compare.html").read_text(encoding="utf-8")
    assert "<script" not in page
    assert all(f">{word}<" in page for word in ("lrp", "attention", "shifted", "clump"))
    assert "| background | lrp |" in (out / "compare.md").read_text(encoding="utf-8")
    settings = json.loads((out / "compare.json").read_text(encoding="utf-8"))
    assert settings["runs"][0]["model_sha256"] != settings["runs"][1]["model_sha256"]
    before = {path.name: path.read_bytes() for path in out.iterdir() if path.is_file()}
    assert kmerit("compare", runs[0], f"mine={runs[1]}", "--out", out, "--resamples", 100).code == 0
    assert {path.name: path.read_bytes() for path in out.iterdir() if path.is_file()} == before
    again = kmerit("compare", runs[0], runs[1], "--out", out, "--resamples", 100)
    assert (again.code, again.out) == (1, "")
    assert "holds a comparison of another config" in again.err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["{0}"], "Expected two or more trials to compare, got 1."),
        (["{0}", "{0}"], "Two runs are called"),
        (["{0}", "{2}"], "counts: one has [0, 3, 'all'], other [0, 4, 'all']."),
        (["{0}", "nowhere"], "nowhere: no such folder."),
        (["{0}", "empty"], "empty: holds no run, and no trial."),
        (["{0}", "{1}", "--task", "yours"], "'yours'"),
        (["{0}", "{1}", "--scores", "one={0}/tasks/mine/attributions.parquet"], "is a run, which holds its own"),
        (["{0}", "{1}", "--scores", "three=x.parquet"], "'three'"),
        (["{0}", "{1}", "--scores", "x.parquet"], "expected NAME=FILE"),
    ],
)
def test_what_cannot_be_compared_is_said_in_a_line(
    kmerit: Callable[..., Done],
    runs: list[Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    done = kmerit("compare", *(each.format(*runs) for each in arguments), "--out", "out")
    assert done.code in (1, 2)
    assert message in done.err
    assert 1 <= done.err.count("\n") <= 2, done.err
    assert not (tmp_path / "out").exists()


def test_scores_are_known_as_earlier_versions_recorded_them(runs: list[Path]) -> None:
    folders = {each.name: each / "tasks" / "mine" for each in runs[:2]}
    files = {name: folder / "attributions.parquet" for name, folder in folders.items()}
    loaded = {name: km.read_attributions(file) for name, file in files.items()}

    def of_memory(name: str) -> bytes:
        parts = (
            (method.encode(), each.target.tobytes(), each.scores.tobytes()) for method, each in loaded[name].items()
        )
        return b"".join(part for each in parts for part in each)

    def earlier(content: Callable[[str], bytes]) -> dict[str, km.Outcomes]:
        trials = {name: km.read_outcomes(folder / "outcomes") for name, folder in folders.items()}
        digests = {name: hashlib.sha256(content(name)).hexdigest() for name in trials}
        return {
            name: replace(of, settings={**of.settings, "scores_sha256": digests[name]}) for name, of in trials.items()
        }

    expected = compare(runs[:2], resamples=100).agreement
    trials_of_files, trials_of_memory = earlier(lambda name: files[name].read_bytes()), earlier(of_memory)
    for trials, scores in ((trials_of_files, files), (trials_of_memory, loaded), (trials_of_memory, files)):
        pd.testing.assert_frame_equal(compare(trials, scores=scores, resamples=100).agreement, expected)
        with pytest.raises(km.KmeritError, match="not the scores that were put on trial"):
            compare(trials, scores={**scores, "two": scores["one"]}, resamples=100)


def test_folders_of_outcomes_are_compared_with_the_scores_that_were_ranked(runs: list[Path], tmp_path: Path) -> None:
    tasks = [each / "tasks" / "mine" for each in runs[:2]]
    outcomes = {each.parent.parent.name: each / "outcomes" for each in tasks}
    scores = {each.parent.parent.name: each / "attributions.parquet" for each in tasks}
    bare = compare(outcomes, resamples=100)
    assert bare.agreement.empty
    complete = compare(outcomes, scores=scores, resamples=100)
    pd.testing.assert_frame_equal(complete.agreement, compare(runs[:2], resamples=100).agreement)
    pd.testing.assert_frame_equal(bare.differences, complete.differences)
    with pytest.raises(km.KmeritError, match="not the scores that were put on trial"):
        compare(outcomes, scores={**scores, "two": scores["one"]})
    unfinished = tmp_path / "unfinished"
    unfinished.mkdir()
    with pytest.raises(km.KmeritError, match="holds no run"):
        compare({"one": runs[0], "two": unfinished})
