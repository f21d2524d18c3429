"""A fair trial from its config to its report cards."""

from __future__ import annotations

import json
import shutil
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import kmerit as km
from helpers.checkpoints import write_masked
from helpers.small_run import results, write_experiment, write_sequences
from kmerit.errors import (
    CheckpointError,
    ConfigError,
    CountError,
    FormatError,
    LabelError,
    RunError,
    RunMismatch,
    SequenceError,
    UnknownName,
    UsageError,
)
from kmerit.runs.pipeline import rewrite_report, run
from kmerit.runs.settings import grid, load_config, resolve
from kmerit.runs.stages import Progress
from kmerit.trials.trial import Grid

GRID = (
    "trial.counts=[1, 3, 'all']",
    "trial.draws=1",
    "trial.random_sets=2",
    "trial.satellite_per_class=2",
    "trial.operators=['mask', 'shuffle', 'block(8)', 'harshest']",
    "trial.operator_count=3",
    "trial.ism_per_class=1",
    "trial.greedy_per_class=1",
    "attribution.methods=['attention', 'rollout']",
)
ACCOUNTED = (
    *("trial.counts=[1, 'all']", "trial.draws=1", "trial.random_sets=2", "trial.ism_per_class=0"),
    *("trial.greedy_per_class=0", "attribution.methods=['attention', 'cp_lrp']", "attribution.target='predicted'"),
)


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory, tiny_checkpoint: Path) -> Path:
    return write_experiment(tmp_path_factory.mktemp("fair"), tiny_checkpoint)


@pytest.fixture(scope="module")
def done(config: Path) -> Path:
    return run(config, config.parent / "done", GRID).folder


def test_it_ends_in_cards_for_every_class_and_method(done: Path) -> None:
    task = done / "tasks" / "mine"
    about = json.loads((task / "cards.json").read_text())
    assert [(card["label"], card["method"]) for card in about["cards"]] == [
        (label, method) for label in (0, 1) for method in ("attention", "rollout")
    ]
    # Eight sequences of 40 nt: too few, and too short for one of the controls; both are said.
    for card in about["cards"]:
        assert card["verdict"] == "undecided"
        if not card["sequences"]:  # the model calls none of them so
            assert card["caveats"][0] == {"code": "no_sequences", "values": {}}
            continue
        assert {"code": "control_missing", "values": {"control": "shifted", "asked": True}} in card["caveats"]
        assert any(each["code"] == "few_clusters" and each["values"]["needed"] == 10 for each in card["caveats"])
    assert {"code": "leaks_unknown", "values": {}} in about["data_set"]
    text = (task / "cards.md").read_text(encoding="utf-8")
    assert "The control shifted could not be drawn (a sequence of 40 nt or fewer" in text
    assert "leaks unknown: no training rows were given" in text.lower()
    assert sum(card["sequences"] + card["mistaken"] for card in about["cards"]) == 2 * 8
    assert about["grid"]["sequences"]["core"] == 8
    assert about["grid"]["counts"] == [1, 3, "all"]
    assert {floor["operator"] for floor in about["floors"]} == {
        "random_other",
        "mask",
        "shuffle",
        "block(8)",
        "harshest",
    }


def test_an_encoder_says_how_far_mutants_leave_the_data(config: Path, done: Path, tmp_path: Path) -> None:
    masked = write_masked(tmp_path / "masked")
    more = ["trial.departure=bundled:encoder", f"trial.departure_masked={masked}", "data.per_class=6"]
    task = run(config, tmp_path / "out", [*GRID, *more]).folder / "tasks" / "mine"
    table = pd.read_csv(task / "departures.csv")
    rows = [(o, n) for o in ("random_other", "mask", "shuffle", "block(8)", "harshest") for n in ("3", "all")]
    assert [*zip(table["operator"], table["n"].astype(str), strict=True)] == rows
    text = (task / "cards.md").read_text(encoding="utf-8")
    assert "## How far mutants leave the data" in text
    assert text.count("| random_other | ") == 2
    assert "| pseudo-likelihood | its change |" in text
    page = (task.parent.parent / "report.html").read_text(encoding="utf-8")
    section = page[page.index('<section id="departures1"') :].split("</section>")[0]
    assert section.count('<th scope="row" class="method">') == len(rows)
    first = table.iloc[0]
    assert f"<td>{first['state']:.2f} ({first['state_low']:.2f} to {first['state_high']:.2f})</td>" in section
    assert '<th scope="col">pseudo-likelihood</th>' in section
    assert 'id="departures1"' not in (done / "report.html").read_text(encoding="utf-8")
    assert not (done / "tasks" / "mine" / "departures.csv").exists()
    assert "leave the data" not in (done / "tasks" / "mine" / "cards.md").read_text(encoding="utf-8")


def test_the_report_shows_cards_grid_and_evaluations(done: Path) -> None:
    html = (done / "report.html").read_text(encoding="utf-8")
    done_and_naive = json.loads((done / "tasks" / "mine" / "cards.json").read_text())["evaluations"]
    assert '<h2 id="cards-title">Report cards</h2>' in html
    assert "Grid: 8 sequences, random_other, most relevant first, n = 1, 3, all" in html
    assert f"{done_and_naive['done']:,} distinct mutants were classified" in html


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
    assert set(every["operator"]) == {"random_other", "mask", "shuffle", "block(8)", "harshest"}


def test_stopped_in_the_middle_it_goes_on_to_the_same_folder(config: Path, done: Path) -> None:
    out = config.parent / "stopped"

    @contextmanager
    def watch(title: str) -> Iterator[Progress]:
        def progress(finished: int, total: int) -> None:
            if title == "mine: trial" and finished > 2:
                raise KeyboardInterrupt

        yield progress

    with pytest.raises(KeyboardInterrupt):
        run(config, out, GRID, watch)
    assert run(config, out, GRID).report.exists()
    assert results(out) == results(done)


def test_one_class_alone_is_refused_before_anything_is_computed(tmp_path: Path, tiny_checkpoint: Path) -> None:
    config = write_experiment(tmp_path, tiny_checkpoint)
    write_sequences(tmp_path / "mine.csv", labels=(1,))
    with pytest.raises(LabelError, match=r"test sequences have the label 1\. A run compares classes"):
        run(config, tmp_path / "out", GRID)
    assert not (tmp_path / "out").exists()


def test_a_run_of_another_preset_is_refused(config: Path, done: Path) -> None:
    with pytest.raises(RunMismatch, match="Choose a new folder"):
        run(config, done, ["attribution.methods=['attention', 'rollout']", "trial.counts=[3]"], preset="quick")


def test_a_run_of_an_older_layout_is_refused(config: Path, done: Path, tmp_path: Path) -> None:
    folder = tmp_path / "old"
    shutil.copytree(done, folder)
    manifest = json.loads((folder / "manifest.json").read_text())
    (folder / "manifest.json").write_text(json.dumps({**manifest, "schema": 1}))
    with pytest.raises(RunMismatch, match=r"another version of kmerit \(layout 1; this one writes 2"):
        run(config, folder, GRID)
    with pytest.raises(RunError, match="has layout 1, and this kmerit reads 2"):
        rewrite_report(folder)


@pytest.mark.parametrize(
    ("override", "error", "message"),
    [
        ("trial.operators=['maks']", UnknownName, "Did you mean 'mask'"),
        ("trial.orders=['lrf']", UnknownName, "Did you mean 'lerf'"),
        ("trial.greedy_per_class=200", UsageError, "must not exceed ism_per_class"),
        ("trial.draw=3", ConfigError, "Did you mean 'draws'"),
        ("trial.counts=[41]", CountError, r"trial\.counts: cannot substitute 41 nucleotides"),
        ("trial.departure_masked=x", ConfigError, "departure_masked goes with departure"),
        ("trial.departure=bundled:promoter", SequenceError, "expected 10 or more sequences, got 8"),
        ("trial.operators=['infill(bundled:encoder)']", CheckpointError, "cannot restore masked tokens"),
        ("trial.counts=['101%']", CountError, r"trial\.counts: expected a share up to 100%, got 101%"),
        ("trial.counts=['10 %']", ConfigError, r"trial\.counts"),
        ("trial.operators=['block(41)']", CountError, r"block\(41\) needs a window of 41 nt; 's\d+' has 40"),
        ("trial.operators=['shuffle(41)']", CountError, r"shuffle\(41\) needs a window of 41 nt; 's\d+' has 40"),
        ("trial.operator_count=41", CountError, r"trial\.operator_count: cannot substitute 41 nucleotides"),
        ("trial.choice_count=41", CountError, r"trial\.choice_count: cannot substitute 41 nucleotides"),
        ("trial.operators=['random_other']", UsageError, "which is always included"),
        ("trial.satellite_per_class=0", ConfigError, r"trial\.operators needs sequences to try them on"),
    ],
)
def test_what_is_wrong_shows_before_anything_is_computed(
    config: Path, tmp_path: Path, override: str, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        run(config, tmp_path / "out", [*GRID[:-1], override])
    assert not (tmp_path / "out").exists()


@pytest.fixture(scope="module")
def own(config: Path) -> dict[str, Path]:
    """Own scores of all 24 test sequences: arrays, and attributions of two methods."""
    sequences = km.read_sequences(config.parent / "mine.csv")
    gc = np.stack([np.isin(sequences.padded()[0][i], (1, 2)) for i in range(len(sequences))]).astype(float)
    np.save(config.parent / "gc.npy", gc)
    model = km.load_model("bundled:promoter")
    mine = km.own_scores(model, sequences, {"half": gc / 2, "turned": -gc}, "label")
    mine.save(config.parent / "mine.parquet")
    return {name: config.parent / name for name in ("gc.npy", "mine.parquet")}


OWN = (*GRID[:-1], "attribution.methods=['rollout']", "trial.ism_per_class=0", "trial.greedy_per_class=0")


def test_own_scores_are_put_on_trial_like_a_methods(config: Path, own: dict[str, Path]) -> None:
    out = config.parent / "own"
    run(config, out, [*OWN, "attribution.target=label", "tasks.mine.own={gc='gc.npy'}"])
    place = out / "tasks" / "mine"
    scores, sequences = (
        km.read_attributions(place / "attributions.parquet"),
        km.read_sequences(place / "sequences.parquet"),
    )
    assert list(scores) == ["rollout", "gc"]
    assert scores["gc"].target.tolist() == scores["rollout"].target.tolist()
    assert all(
        scores["gc"].scores[i].tolist() == [float(letter in "GC") for letter in letters]
        for i, letters in enumerate(sequences.strings())
    )
    assert {card["method"] for card in json.loads((place / "cards.json").read_text())["cards"]} == {"rollout", "gc"}
    assert set(json.loads((place / "info.json").read_text())["flags"]) == {"rollout", "gc"}
    own["gc.npy"].write_bytes(own["gc.npy"].read_bytes()[:-1] + b"1")
    with pytest.raises(RunMismatch, match=r"tasks\.mine\.own\.gc"):
        run(config, out, [*OWN, "attribution.target=label", "tasks.mine.own={gc='gc.npy'}"])


@pytest.mark.parametrize(
    ("own_key", "error", "message"),
    [
        ("'absent.npy'", FormatError, "no such file"),
        ("{rollout='gc.npy'}", ConfigError, "'rollout' is the name of a method"),
        ("{'shifted(x)'='gc.npy'}", UsageError, "name of a control"),
        ("{both='mine.parquet'}", FormatError, "has no scores called 'both', but half, turned"),
        ("'short.npy'", SequenceError, "expected scores of 24 sequences, got those of 3"),
        ("'few.parquet'", SequenceError, r"'few' has no scores of 's\d+' .* on trial lack them"),
    ],
)
def test_own_scores_that_do_not_fit_are_refused_first(
    config: Path, own: dict[str, Path], tmp_path: Path, own_key: str, error: type[Exception], message: str
) -> None:
    np.save(config.parent / "short.npy", np.zeros((3, 40)))
    some = km.read_sequences(config.parent / "mine.csv").take([0, 1])
    few = km.own_scores(km.load_model("bundled:promoter"), some, {"few": np.zeros((2, 40))})
    few.save(config.parent / "few.parquet")
    with pytest.raises(error, match=message):
        run(config, tmp_path / "out", [*OWN, f"tasks.mine.own={own_key}"])
    assert not (tmp_path / "out").exists()


def test_both_strands_of_a_run(config: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    run(config, out, [*OWN, "attribution.strands=both"])
    place = out / "tasks" / "mine"
    scores = km.read_attributions(place / "attributions.parquet")["rollout"]
    model = km.load_model(tomllib.loads(config.read_text())["tasks"]["mine"]["model"], "cpu")
    both = km.attribute(model, km.read_sequences(place / "sequences.parquet"), ["rollout"], strands="both")["rollout"]
    assert scores.settings["strands"] == "both"
    np.testing.assert_array_equal(scores.scores, both.scores)
    assert km.read_outcomes(place / "outcomes").settings["strands"] == {"both": ["rollout"]}
    cards = json.loads((place / "cards.json").read_text(encoding="utf-8"))["cards"]
    assert all({"code": "both_strands", "values": {}} in card["caveats"] for card in cards)
    sentence = "Scores are means over both strands; mutants are classified on the forward strand only."
    for shown in (place / "cards.md", out / "report.html"):
        assert sentence in shown.read_text(encoding="utf-8"), shown
    assert json.loads((out / "manifest.json").read_text())["tasks"]["mine"]["strands"] == {"both": ["rollout"]}
    log = (out / "run.log").read_text(encoding="utf-8")
    assert "scores are means over both strands; mutants are classified on the forward strand only" in log


def test_own_scores_in_a_run_on_both_strands_are_said_to_be_of_unknown_strands(config: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    np.save(config.with_name("own.npy"), np.tile(np.arange(40.0), (24, 1)))
    run(config, out, [*OWN, "attribution.strands=both", "tasks.mine.own={mine='own.npy'}"])
    settings = km.read_outcomes(out / "tasks" / "mine" / "outcomes").settings
    assert settings["strands"]["unknown"] == ["mine"]
    assert "scores of mine are not: differences between" in (out / "report.html").read_text(encoding="utf-8")
    assert "with scores of unknown strands (mine)" in (out / "run.log").read_text(encoding="utf-8")


def test_a_preset_takes_the_place_of_the_configs_trial(config: Path) -> None:
    written = load_config(config, ["data.per_class=200", "data.validation_per_class=90"])
    assert (written.trial.preset, written.trial.counts) == ("paper", (0, 3, "all"))
    paper = resolve(written)
    assert grid(paper.trial) == replace(Grid.paper(), counts=(0, 3, "all"), draws=2, random_sets=2)
    quick = resolve(load_config(config, ["data.per_class=200", "data.validation_per_class=90"], "quick"))
    assert grid(quick.trial) == Grid.quick()
    assert (quick.data.per_class, quick.data.validation_per_class, quick.trial.choice_count) == (60, 60, 3)
    assert (paper.data.test_per_class, quick.data.test_per_class) == (None, 250)
    assert resolve(load_config(config, ["data.test_per_class=all"], "quick")).data.test_per_class == "all"
    fair = resolve(load_config(config, ["trial.draws=3"], "fair"))
    assert grid(fair.trial) == replace(Grid.fair(), draws=3)


def test_accuracy_of_a_quick_run_is_of_some_test_sequences_and_the_page_says_so(config: Path, tmp_path: Path) -> None:
    keys = ["data.test_per_class=3", "trial.counts=[3]", "attribution.methods=['attention']"]
    folder = run(config, tmp_path / "out", keys, preset="quick").folder
    metrics = json.loads((folder / "tasks" / "mine" / "metrics.json").read_text())
    rows = len(pd.read_parquet(folder / "tasks" / "mine" / "test.parquet"))
    assert metrics["rows_of_split"] == rows > 6
    assert len(pd.read_parquet(folder / "tasks" / "mine" / "predictions.parquet")) == 6
    page = (folder / "report.html").read_text(encoding="utf-8")
    assert '<h2 id="test-title">The test set</h2>' in page
    assert f"6 of {rows:,} test sequences, drawn at random." in page
    assert "n = 3, 1 draw, one ranking of each matched control per draw, 2 random rankings" in page
    assert '<th scope="col">all</th>' not in page
    assert "column for all nucleotides" not in page


def test_a_quick_run_says_how_many_sequences_it_takes(config: Path, tmp_path: Path) -> None:
    sentence: list[str] = []
    with pytest.raises(CountError):
        run(config, tmp_path / "out", ["data.per_class=70", "trial.counts=[41]"], say=sentence.append, preset="quick")
    assert sentence == ["A quick trial takes 60 sequences a class at most, not 70."]


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("grid.draws=2", r"'grid': the table \[grid\] is now \[trial\], with the same keys"),
        ("trial.replicates=3", r"'trial\.replicates': write trial\.draws"),
        ("trial.operator=mask", r"write others into the list trial\.operators"),
        ("trial.order=lerf", r"write others into the list trial\.orders"),
        ("attribution.own=scores.npy", r"write tasks\.NAME\.own"),
    ],
)
def test_keys_of_older_configs_are_refused_with_their_new_spelling(config: Path, override: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load_config(config, [override])


def test_a_ledger_where_a_method_has_one(config: Path, done: Path, tmp_path: Path) -> None:
    assert not (done / "tasks" / "mine" / "ledger.csv").exists()  # neither attention nor rollout has one
    place = run(config, tmp_path / "accounted", ACCOUNTED).folder / "tasks" / "mine"
    table = pd.read_csv(place / "ledger.csv")
    assert table[["method", "label"]].values.tolist() == [["cp_lrp", 0], ["cp_lrp", 1]]
    entries = table[["input", "special", "bias", "norm_offset", "position", "softmax"]]
    np.testing.assert_allclose(entries.sum(axis=1), table["output"], atol=1e-6)
    scores = km.read_attributions(place / "attributions.parquet")["cp_lrp"]
    model = km.load_model(tomllib.loads(config.read_text())["tasks"]["mine"]["model"], dtype="float64")
    sequences = km.read_sequences(place / "sequences.parquet")
    logits = model.logits(sequences)[np.arange(len(sequences)), scores.target]
    assert table["output"][0] == pytest.approx(logits[sequences.labels == 0].mean(), abs=1e-6)
    html = (place.parents[1] / "report.html").read_text(encoding="utf-8")
    assert "How much of the output lies in the sequence" in html
    assert "How much of the output" not in (done / "report.html").read_text(encoding="utf-8")


def test_a_run_whose_ledger_does_not_add_up_goes_on(
    config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from kmerit.attribution import ledger

    plain = ledger._of_encoder

    def shifted(*arguments: Any) -> Any:
        entries = plain(*arguments)
        return entries | {"bias": entries["bias"] + 1}

    monkeypatch.setattr(ledger, "_of_encoder", shifted)
    finished = run(config, tmp_path / "accounted", ACCOUNTED)
    assert not (finished.folder / "tasks" / "mine" / "ledger.csv").exists()
    assert "there is no ledger in the report" in (finished.folder / "run.log").read_text(encoding="utf-8")
    html = finished.report.read_text(encoding="utf-8")
    assert "How much of the output" not in html
    assert "There is no ledger of cp_lrp" in html
