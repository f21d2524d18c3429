"""A fair trial from its config to its report cards."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pandas as pd
import pytest

from helpers.small_run import results, write_experiment, write_sequences
from kmerit.errors import ConfigError, CountError, LabelError, RunMismatch, UnknownName, UsageError
from kmerit.runs import run, trial
from kmerit.runs.job import Progress
from kmerit.runs.pipeline import rewrite_report

GRID = (
    "grid.counts=[1, 3, 'all']",
    "grid.draws=1",
    "grid.random_sets=2",
    "grid.satellite_per_class=2",
    "grid.operators=['mask', 'shuffle']",
    "grid.operator_count=3",
    "grid.ism_per_class=1",
    "grid.greedy_per_class=1",
    "attribution.methods=['attention', 'rollout']",
)


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory, tiny_checkpoint: Path) -> Path:
    return write_experiment(tmp_path_factory.mktemp("fair"), tiny_checkpoint)


@pytest.fixture(scope="module")
def done(config: Path) -> Path:
    return trial(config, config.parent / "done", GRID).parent


def test_it_ends_in_cards_for_every_class_and_method(done: Path) -> None:
    task = done / "tasks" / "mine"
    about = json.loads((task / "cards.json").read_text())
    assert [(card["label"], card["method"]) for card in about["cards"]] == [
        (label, method) for label in (0, 1) for method in ("attention", "rollout")
    ]
    # Eight sequences of 40 nt: too few, and too short for one of the controls; both are said.
    for card in about["cards"]:
        assert card["verdict"] == "undecided"
        assert card["data_set"].startswith("leaks unknown: no training rows were given")
        if not card["sequences"]:  # the model calls none of them so
            assert card["warnings"][0].startswith("No sequence of this class that the model calls so took part")
            continue
        assert any("shifted could not be formed: a sequence of 40 nt or fewer" in text for text in card["warnings"])
        assert any("10 are needed to decide" in text for text in card["warnings"])
    assert sum(card["sequences"] + card["mistaken"] for card in about["cards"]) == 2 * 8
    assert "8 sequences, random_other, most relevant first, n = 1, 3, all" in about["grid"]
    assert {floor["operator"] for floor in about["floors"]} == {"random_other", "mask", "shuffle"}


def test_the_report_shows_cards_grid_and_evaluations(done: Path) -> None:
    html = (done / "report.html").read_text(encoding="utf-8")
    about = json.loads((done / "tasks" / "mine" / "cards.json").read_text())
    assert '<h2 id="cards-title">Report cards</h2>' in html
    assert about["grid"] in html
    assert about["evaluations"]["sentence"] in html


def test_the_reports_figure_has_the_controls_that_were_formed(done: Path) -> None:
    html = (done / "report.html").read_text(encoding="utf-8")
    assert '"controls":["random","clump","other","context"]' in html  # 40 nt are too short for shifted
    assert '["other(attention)",3,' in html
    assert '["bound(ism)"' not in html


@pytest.mark.parametrize("name", ["config.toml", "manifest.json"])
def test_settings_edited_by_hand_are_told_by_the_next_report(done: Path, tmp_path: Path, name: str) -> None:
    folder = tmp_path / "copy"
    shutil.copytree(done, folder)
    assert "was changed after" not in rewrite_report(folder).read_text(encoding="utf-8")
    path = folder / name
    path.write_text(path.read_text(encoding="utf-8").replace("cpu", "gpu"), encoding="utf-8")
    assert f"{name} was changed after the run wrote it" in rewrite_report(folder).read_text(encoding="utf-8")


def test_table_1_shows_methods_and_random_and_the_rest_is_kept_beside_it(done: Path) -> None:
    shown, every = (pd.read_csv(done / "tasks" / "mine" / f"{name}.csv") for name in ("summary", "curves"))
    assert set(shown["method"]) == {"attention", "rollout", "random"}
    assert {"other(attention)", "clump(rollout)", "bound(ism)", "bound(greedy)"} < set(every["method"])
    assert set(every["operator"]) == {"random_other", "mask", "shuffle"}


def test_stopped_in_the_middle_it_goes_on_to_the_same_folder(config: Path, done: Path) -> None:
    out = config.parent / "stopped"

    @contextmanager
    def watch(title: str) -> Iterator[Progress]:
        def progress(finished: int, total: int) -> None:
            if title == "mine: trial" and finished > 2:
                raise KeyboardInterrupt

        yield progress

    with pytest.raises(KeyboardInterrupt):
        trial(config, out, GRID, watch)
    assert trial(config, out, GRID).exists()
    assert results(out) == results(done)


def test_one_class_alone_is_refused_before_anything_is_computed(tmp_path: Path, tiny_checkpoint: Path) -> None:
    config = write_experiment(tmp_path, tiny_checkpoint)
    write_sequences(tmp_path / "mine.csv", labels=(1,))
    with pytest.raises(LabelError, match=r"test sequences have the label 1\. A run compares classes"):
        trial(config, tmp_path / "out", GRID)
    assert not (tmp_path / "out").exists()


def test_a_run_does_not_go_on_with_a_trial(config: Path, done: Path) -> None:
    with pytest.raises(RunMismatch, match="Choose a new folder"):
        run(config, done, ["attribution.methods=['attention', 'rollout']"])


@pytest.mark.parametrize(
    ("override", "error", "message"),
    [
        ("grid.operators=['maks']", UnknownName, "Did you mean 'mask'"),
        ("grid.orders=['lrf']", UnknownName, "Did you mean 'lerf'"),
        ("grid.greedy_per_class=200", UsageError, "must not exceed ism_per_class"),
        ("grid.draw=3", ConfigError, "Did you mean 'draws'"),
        ("grid.counts=[41]", CountError, r"grid\.counts: cannot substitute 41 nucleotides"),
        ("grid.operator_count=41", CountError, r"grid\.operator_count: cannot substitute 41 nucleotides"),
        ("trial.choice_count=41", CountError, r"trial\.choice_count: cannot substitute 41 nucleotides"),
        ("grid.operators=['random_other']", UsageError, "which the core always does"),
    ],
)
def test_what_is_wrong_shows_before_anything_is_computed(
    config: Path, tmp_path: Path, override: str, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        trial(config, tmp_path / "out", [override])
    assert not (tmp_path / "out").exists()


def test_a_quick_trial_is_a_first_look(config: Path) -> None:
    from kmerit.faithfulness import Grid
    from kmerit.runs.config import load_config
    from kmerit.runs.resolve import QUICK_PER_CLASS, for_trial, grid

    given = load_config(config)
    quick = for_trial(given, quick=True)
    assert quick.grid is not None
    assert grid(quick.grid) == Grid.quick()
    assert quick.data.per_class == min(given.data.per_class, QUICK_PER_CLASS)
    assert quick.trial.counts == [0, 5, 20]
    assert for_trial(given).data.per_class == given.data.per_class
