"""The study of regimes, whole, on tiny models and few rows; and each of its refusals."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import threading
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import kmerit as km
from helpers.faulty_sets import random_parts
from kmerit.errors import (
    ConfigError,
    CountError,
    LabelError,
    LengthError,
    NoneLeft,
    RunLocked,
    RunMismatch,
    SequenceError,
    UnknownName,
    UnsupportedMethod,
    UsageError,
)
from kmerit.io.scores import read_attributions
from kmerit.report import text
from kmerit.runs.settings import load_config
from kmerit.runs.study import Study
from kmerit.sequences import decode
from kmerit.studies.regimes import RegimesConfig, _folder, places_of, recipe_of, rows_of_task, shares_of
from kmerit.training import finetune
from kmerit.training.recipe import FinetuneConfig
from kmerit.trials.outcomes import read_outcomes

CONFIGS = Path(__file__).resolve().parents[3] / "configs"
DATA = CONFIGS.parent / "data"
TINY = {"base": None, "k": 3, "hidden": 8, "layers": 1, "heads": 1, "intermediate": 8, "max_steps": 1, "device": "cpu"}
METHODS = ["attention", "saliency"]
RESULTS = ("study.parquet", "agreement.csv", "models.csv", "places.csv", "shares.csv", "regimes.json", "regimes.md")


def table(path: Path, labels: list[int], lengths: list[int]) -> str:
    """Write random rows of given labels and lengths."""
    rows = [decode(part)[:length] for part, length in zip(random_parts(len(labels), 80), lengths, strict=True)]
    frame = pd.DataFrame({"name": [f"r{i}" for i in range(len(rows))], "sequence": rows, "label": labels})
    frame.to_csv(path, index=False)
    return str(path)


@pytest.fixture
def design(tmp_path: Path) -> dict[str, Any]:
    train = table(tmp_path / "train.csv", [0, 1] * 8, [60] * 16)
    test = table(tmp_path / "test.csv", [0, 1] * 5, [60] * 8 + [30, 60])
    return {
        "tasks": {"mine": {"train": train, "test": test}},
        "lengths": [44, 60],
        "seeds": [0, 1, 2],
        "operators": ["random_other", "block(4)"],
        "methods": METHODS,
        "counts": [2, 5],
        "per_class": 4,
        "random_sets": 1,
        "resamples": 100,
        "training": TINY,
    }


def loaded(design: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """Take a bundled model in place of trained ones."""
    kept = {key: value for key, value in design.items() if key not in ("seeds", "training")}
    return {**kept, "models": {"mine": ["bundled:promoter"]}, **changes}


def test_the_shipped_config_is_understood() -> None:
    config = RegimesConfig.parse(tomllib.loads((CONFIGS / "regimes.toml").read_text(encoding="utf-8")))
    assert (len(config.tasks), config.lengths, len(config.seeds), len(config.methods)) == (2, [100, 200], 3, 6)


MORE_TASKS = ("regimes-cohn", "regimes-ocr", "regimes-ienhancer", "regimes-dnase")


@pytest.mark.parametrize("name", ["regimes", "contexts", "contexts-encoder", "distances", *MORE_TASKS])
def test_the_trainings_of_the_shipped_configs_are_understood(name: str) -> None:
    config = RegimesConfig.parse(tomllib.loads((CONFIGS / f"{name}.toml").read_text(encoding="utf-8")))
    recipe = recipe_of(config, 1)
    assert recipe.seed == 1
    new = {"contexts": ("hyenadna", None), "distances": ("bert", None)}
    assert (recipe.architecture, recipe.base) == new.get(name, ("bert", "bundled:encoder"))
    most = recipe.max_tokens - (1 if name == "contexts" else -3)
    assert max(config.lengths) <= most or config.tile == 500 < most
    for task in config.tasks.values():
        if "plant" in task:
            assert km.Planting.parse(task["plant"]).length == config.lengths[0]


@pytest.mark.slow
@pytest.mark.parametrize("name", MORE_TASKS)
def test_the_configs_of_more_tasks_run_on_rows_that_ship(name: str, tmp_path: Path) -> None:
    tree = tomllib.loads((CONFIGS / f"{name}.toml").read_text(encoding="utf-8"))
    (task,) = tree["tasks"]
    source = tree["tasks"][task]
    if name == "regimes-dnase":  # as the config's own command writes the splits
        rows = pd.read_csv(DATA / "dnase" / "dhs_200bp_4cells.csv.gz")
        for split, part in rows.groupby("data_label"):
            part.to_csv(tmp_path / f"dnase-{split}.csv", index=False)
        source |= {key: str(tmp_path / Path(source[key]).name) for key in ("train", "validation", "test")}
    elif name != "regimes-ienhancer":  # which is bundled; of these two some test rows ship
        rows = pd.read_csv(DATA / "official_test_rows" / f"{source['task']}_subset.csv.gz")
        columns = rows.drop(columns=["chrom", "start_grch38", "end_grch38", "strand", "start_grch37", "end_grch37"])
        columns[::2].to_csv(tmp_path / "train.csv", index=False)
        columns[1::2].to_csv(tmp_path / "test.csv", index=False)
        tree["tasks"][task] = {"train": str(tmp_path / "train.csv"), "test": str(tmp_path / "test.csv")}
    tree |= {"seeds": [0], "per_class": 2, "train_per_class": 8, "validation_per_class": 2, "test_per_class": 4}
    tree |= {"operators": ["random_other"], "counts": [5], "resamples": 100, "lengths": tree["lengths"][:1]}
    tree["training"] |= {"max_steps": 1}
    page = km.study(tree, tmp_path / "out").read_text(encoding="utf-8")
    cells = pd.read_parquet(tmp_path / "out" / "study.parquet")
    assert set(cells["class"]) == set(range(4 if name == "regimes-dnase" else 2))
    assert ("Known fault: 100 of the 200 enhancers" in page) == (name == "regimes-ienhancer")


@pytest.mark.slow
def test_the_grid_is_complete_and_a_stopped_study_ends_with_the_same_bytes(
    tmp_path: Path, design: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, stopped = tmp_path / "whole", tmp_path / "stopped"
    km.study(design, whole)
    cells = pd.read_parquet(whole / "study.parquet")
    assert len(cells) == 2 * 3 * 2 * 2 * 2 * 8  # lengths, seeds, operators, n, methods, sequences
    of_sequence = cells.groupby("sequence")["length"].nunique()
    assert set(of_sequence) == {2}
    assert set(cells["verdict"]) <= {"undecided", "faithful", "worse than its controls"}
    both = cells.dropna(subset=["shifted", "clump", "other"])
    assert len(both) == cells["excess"].notna().sum() > 0
    assert both["excess"].to_numpy() == pytest.approx(both[["shifted", "clump", "other"]].mean(axis=1).to_numpy())
    agreement = pd.read_csv(whole / "agreement.csv")
    assert len(agreement) == 2 * 3 * 2
    assert agreement["beyond"].to_numpy() == pytest.approx((agreement["w"] - agreement["shifted"]).to_numpy())
    shares = pd.read_csv(whole / "shares.csv")
    assert shares["share"].sum() == pytest.approx(1)
    assert {"length", "operator", "method", "seed", "length x seed", "rest"} <= set(shares["factor"])
    message = json.loads((whole / "regimes.json").read_text(encoding="utf-8"))
    assert message["left_out"]["mine"]["test"] == {"with_n": 0, "too_short": 1, "outside": 0, "overlapping": 0}
    models = pd.read_csv(whole / "models.csv")
    assert len(models) == 2 * 3
    assert set(models["rows"]) == {9}
    assert (models["accuracy_low"] <= models["accuracy"]).all()
    places = pd.read_csv(whole / "places.csv")
    shortest, longest = (places[places["length"] == length] for length in (44, 60))
    assert len(shortest) == len(longest) == 3 * 2 * 2
    assert set(shortest["central"]) == set(shortest["even"]) == {1.0}
    assert set(longest["even"]) == {44 / 60}
    assert longest["central"].between(0, 1).all()
    assert len(message["verdicts"]) == 2 * 3 * 2 * 2 * 2
    page = (whole / "regimes.md").read_text(encoding="utf-8")
    assert text.SHARES in page
    assert "| mine | test | 0 | 1 | 0 | 0 |" in page

    mutate, calls = Study.mutate, []

    def killed(self: Study, *args: Any, **options: Any) -> Any:
        calls.append(options["name"])
        if len(calls) == 4:
            raise KeyboardInterrupt
        return mutate(self, *args, **options)

    with monkeypatch.context() as patch:
        patch.setattr(Study, "mutate", killed)
        with pytest.raises(KeyboardInterrupt):
            km.study(design, stopped)
    assert not (stopped / "study.parquet").exists()
    km.study(design, stopped)
    for name in RESULTS:
        assert (stopped / name).read_bytes() == (whole / name).read_bytes(), name
    with pytest.raises(RunMismatch, match=r"counts\[?.* was"):
        km.study(design, stopped, ["counts=[2, 6]"])


def test_lengths_beyond_a_tile_are_trained_measured_and_tried_in_tiles(tmp_path: Path, design: dict[str, Any]) -> None:
    # The model takes 44 nt, and no more.
    config = {**design, "seeds": [0], "tile": 44, "training": {**TINY, "max_tokens": 44}}
    page = km.study(config, tmp_path / "out").read_text(encoding="utf-8")
    assert text.regime_tiles(44, [44, 60]) in page
    folder = tmp_path / "out" / "mine" / "60" / "seed0"
    long, short = (
        json.loads((tmp_path / "out" / "mine" / length / "seed0" / "model" / "metrics.json").read_text("utf-8"))
        for length in ("60", "44")
    )
    assert long["split"] == {split: 2 * rows for split, rows in short["split"].items()}  # each row is two tiles
    trial = rows_of_task("mine", RegimesConfig.parse(config)).trial
    outcomes = read_outcomes(folder / "random_other")
    assert (outcomes.settings["tile"], outcomes.settings["stride"]) == (44, 44)
    model = km.load_model(folder / "model")
    np.testing.assert_array_equal(outcomes.predicted, model.predict(trial, tiles=km.Tiles(44)).argmax(1))
    test = rows_of_task("mine", RegimesConfig.parse(config)).test
    right = model.predict(test, tiles=km.Tiles(44)).argmax(1) == test.labels
    models = pd.read_csv(tmp_path / "out" / "models.csv").set_index("length")
    assert (models.loc[60, "rows"], models.loc[60, "accuracy"]) == (len(test), pytest.approx(right.mean()))
    assert "tile" not in read_outcomes(tmp_path / "out" / "mine" / "44" / "seed0" / "random_other").settings
    with pytest.raises(RunMismatch, match="tile was 44"):
        km.study(config, tmp_path / "out", ["tile=40"])
    with pytest.raises(ConfigError, match=r"training\.jitter moves a crop"):
        RegimesConfig.parse({**config, "training": {**TINY, "jitter": 3}})


def test_a_loaded_model_reads_what_is_too_long_for_it_in_tiles(tmp_path: Path, design: dict[str, Any]) -> None:
    for split in ("train", "test"):
        path = Path(design["tasks"]["mine"][split])
        frame = pd.read_csv(path)
        frame.assign(sequence=frame["sequence"] * 20).to_csv(path, index=False)
    config = loaded(design, lengths=[590], operators=["random_other"], per_class=2, counts=[5], tile=300)
    page = km.study(config, tmp_path / "out").read_text(encoding="utf-8")
    assert text.regime_tiles(300, [590]) in page


def test_loaded_models_have_no_shares_and_the_page_says_why(tmp_path: Path, design: dict[str, Any]) -> None:
    report = km.study(loaded(design, lengths=[44], operators=["shuffle"]), tmp_path / "out")
    assert not (tmp_path / "out" / "shares.csv").exists()
    assert text.NO_SHARES["seeds"] in report.read_text(encoding="utf-8")
    cells = pd.read_parquet(tmp_path / "out" / "study.parquet")
    assert set(cells["model"]) == {"bundled:promoter"}
    assert set(cells["operator"]) == {"shuffle"}


def test_budgets_may_be_shares_of_each_length(tmp_path: Path, design: dict[str, Any]) -> None:
    page = km.study(loaded(design, counts=[2, "10%"], operators=["random_other"]), tmp_path / "out")
    table = pd.read_parquet(page.parent / "study.parquet")
    assert {length: sorted(set(part["n"])) for length, part in table.groupby("length")} == {44: [2, 4], 60: [2, 6]}
    places = pd.read_csv(page.parent / "places.csv")
    assert dict(zip(places["length"], places["n"], strict=True)) == {44: 4, 60: 6}
    assert "the first 4 to 6 positions (a share of the length)" in page.read_text()


def test_maps_that_rank_nothing_are_counted_on_the_page(tmp_path: Path, design: dict[str, Any]) -> None:
    page = km.study(loaded(design, methods=["gradcam", "attention"], operators=["random_other"]), tmp_path / "out")
    facts = json.loads((page.parent / "regimes.json").read_text())["constant"]
    found = {}
    for row in facts:
        scores = read_attributions(next(page.parent.glob(f"mine/{row['length']}/*/scores.parquet")))[row["method"]]
        own = [
            np.unique(scores[i]).size == 1 for i, name in enumerate(scores.names) if int(name[1:]) % 2 == row["class"]
        ]
        assert (row["constant"], row["sequences"]) == (sum(own), len(own))
        found[row["method"]] = found.get(row["method"], 0) + row["constant"]
    assert found["attention"] == 0
    assert found["gradcam"] > 0
    assert text.RANKS_NOTHING in page.read_text()


def test_shares_in_any_order_make_the_same_bytes(tmp_path: Path, design: dict[str, Any]) -> None:
    models = {"mine": ["bundled:promoter", "bundled:enhancer"]}
    config = loaded(design, models=models, operators=["random_other"], counts=[5], per_class=2)
    km.study(config, tmp_path / "whole")
    for shards in (["1/1"], ["2/2", "1/2"], ["3/3"]):  # of the last, three models are left to the call without a shard
        out = tmp_path / f"of-{shards[0][-1]}-{len(shards)}"
        for shard in shards:
            assert km.study(config, out, shard=shard) == out
            assert not [*out.glob("*.parquet"), *out.glob("*.csv"), *out.glob("*.md")]
        assert len([*out.rglob("accuracy.json")]) == {"1/1": 4, "2/2": 4, "3/3": 1}[shards[0]]
        before = {path: path.stat().st_mtime_ns for path in out.rglob("scores.parquet")}
        km.study(config, out)
        for name in RESULTS:
            made, expected = out / name, tmp_path / "whole" / name
            assert made.exists() == expected.exists(), name
            assert not made.exists() or made.read_bytes() == expected.read_bytes(), (shards, name)
        assert before == {path: path.stat().st_mtime_ns for path in before}  # not scored again
        assert not [*out.rglob("*.lock")]


def test_a_training_belongs_to_one_share(tmp_path: Path, design: dict[str, Any]) -> None:
    config = {**design, "lengths": [44], "seeds": [0, 1], "operators": ["random_other"], "counts": [5], "per_class": 2}
    km.study(config, tmp_path / "out", shard="2/2")
    assert sorted(path.name for path in (tmp_path / "out" / "mine" / "44").iterdir()) == ["seed1"]


_HELD = """
import sys
import kmerit.store
with kmerit.store.hold(sys.argv[1]):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_a_share_that_is_at_work_is_refused_and_others_are_not(tmp_path: Path, design: dict[str, Any]) -> None:
    config = loaded(design, operators=["random_other"], counts=[5], per_class=2)
    out = tmp_path / "out"
    arm = out / "mine" / "60" / _folder("bundled:promoter")
    km.study(config, out, shard="3/3")  # of which there is none, so that the settings are recorded and no more
    assert [path.name for path in out.iterdir()] == ["study.json"]
    command = [sys.executable, "-c", _HELD, str(arm)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        assert other.stdin is not None
        assert other.stdout.readline() == "held\n"
        for shard in ("1/2", "1/1", None):
            with pytest.raises(RunLocked, match=r"60.bundled_promoter-\w+ is in use by process"):
                km.study(config, out, shard=shard)
        km.study(config, out, shard="2/2")
        other.stdin.close()
    km.study(config, out)


def test_a_share_waits_until_another_has_recorded_the_settings(
    tmp_path: Path, design: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    config = loaded(design, lengths=[44], operators=["random_other"], counts=[5], per_class=2)
    command = [sys.executable, "-c", _HELD, str(tmp_path / "out")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        assert other.stdin is not None
        assert other.stdout.readline() == "held\n"
        monkeypatch.setattr("kmerit.runs.study.PATIENCE", 0.2)
        with pytest.raises(RunLocked, match="out is in use by process"):
            km.study(config, tmp_path / "out", shard="1/2")
        monkeypatch.undo()
        release = threading.Timer(1, other.stdin.close)
        release.start()
        km.study(config, tmp_path / "out", shard="1/2")
        release.join()
    assert [*(tmp_path / "out").rglob("accuracy.json")]


@pytest.mark.parametrize("shard", ["0/2", "3/2", "1", "a/b"])
def test_a_share_that_is_none_is_refused(tmp_path: Path, design: dict[str, Any], shard: str) -> None:
    with pytest.raises(UsageError, match="--shard: expected i/N"):
        km.study(design, tmp_path / "out", shard=shard)
    assert not (tmp_path / "out").exists()


def test_a_study_is_no_run_and_that_is_said() -> None:
    with pytest.raises(ConfigError, match=r"is the config of a study.* kmerit study bundled:regimes .*--shard i/N"):
        load_config("bundled:regimes")


def test_a_length_that_a_loaded_model_cannot_take_is_refused(tmp_path: Path, design: dict[str, Any]) -> None:
    for split in ("train", "test"):
        path = Path(design["tasks"]["mine"][split])
        frame = pd.read_csv(path)
        frame.assign(sequence=frame["sequence"] * 20).to_csv(path, index=False)
    with pytest.raises(LengthError, match="tokens"):
        km.study(loaded(design, lengths=[20, 590]), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_length_that_a_new_model_cannot_take_is_refused_before_training(
    tmp_path: Path, design: dict[str, Any]
) -> None:
    config = {**design, "training": {**TINY, "max_tokens": 30}}
    with pytest.raises(LengthError, match=r"mine, 60 nt, train: a sequence of 60 nt has 60 tokens"):
        km.study(config, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"methods": ["attention", "saliensy"]}, UnknownName, "Unknown method 'saliensy'. Did you mean 'saliency'"),
        ({"training": {**TINY, "learning_rat": 1}}, ConfigError, r"training\.learning_rat.*learning_rate"),
        ({"operators": ["shufle"]}, UnknownName, "shuffle"),
        (
            {"methods": ["saliency", "attention"], "training": {"architecture": "hyenadna", "max_tokens": 64}},
            UnsupportedMethod,
            r"attention needs attention of a classification token.*\(family hyenadna\)",
        ),
    ],
)
@pytest.mark.parametrize("shard", [None, "1/2"])
def test_what_cannot_be_trained_or_explained_is_refused_before_anything_is_written(
    tmp_path: Path, design: dict[str, Any], change: dict[str, Any], error: type[Exception], message: str, shard: Any
) -> None:
    with pytest.raises(error, match=message):
        km.study({**design, **change}, tmp_path / "out", shard=shard)
    assert not (tmp_path / "out").exists()


def test_a_method_that_a_loaded_model_cannot_serve_is_refused_before_anything_is_written(
    tmp_path: Path, design: dict[str, Any]
) -> None:
    recipe = {"architecture": "hyenadna", "max_tokens": 64, "hidden": 8, "heads": 1, "layers": 1, "max_steps": 1}
    recipe |= {"device": "cpu", "baselines": False, **design["tasks"]["mine"]}
    model = finetune(FinetuneConfig.parse(recipe), tmp_path / "model")
    with pytest.raises(UnsupportedMethod, match="attention needs"):
        km.study(loaded(design, models={"mine": [str(model)]}), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_trained_models_need_their_base_no_more(tmp_path: Path, design: dict[str, Any]) -> None:
    base = shutil.copytree(Path(km.__file__).parent / "assets" / "models" / "encoder", tmp_path / "base")
    training = {"base": str(base), "max_steps": 1, "device": "cpu", "batch_size": 2}
    config = {**design, "lengths": [44], "seeds": [0], "operators": ["shuffle"], "training": training}
    page = km.study(config, tmp_path / "out").read_bytes()
    shutil.rmtree(base)
    assert km.study(config, tmp_path / "out").read_bytes() == page


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"operators": ["block(50)"]}, r"block\(50\) needs a window of 50 nt; .* has 44"),
        ({"operators": ["shuffle(45)"]}, r"shuffle\(45\) needs a window of 45 nt; .* has 44"),
        ({"counts": [2, 45]}, "45"),
    ],
)
def test_what_the_shortest_length_has_no_room_for_is_refused(
    tmp_path: Path, design: dict[str, Any], change: dict[str, Any], message: str
) -> None:
    with pytest.raises(CountError, match=message):
        km.study({**design, **change}, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_task_without_two_classes_is_refused(tmp_path: Path, design: dict[str, Any]) -> None:
    table(tmp_path / "test.csv", [1] * 6, [60] * 6)
    with pytest.raises(LabelError, match=r"tasks\.mine, test: expected rows of two classes"):
        km.study(design, tmp_path / "out")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"seeds": []}, "give either seeds"),
        ({"models": {"mine": ["bundled:promoter"]}}, "give either seeds"),
        ({"seeds": [], "models": {"other": ["bundled:promoter"]}}, "expected a list for each of the tasks mine"),
        ({"operators": ["shuffle", "shuffle"]}, "operators: one is named twice"),
        ({"counts": [0, 2]}, "at least 1 nucleotide"),
    ],
)
def test_designs_that_are_no_grid_are_refused(design: dict[str, Any], change: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        RegimesConfig.parse({**design, **change})


def test_more_rows_than_there_are_is_said(
    tmp_path: Path, design: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    validation = table(tmp_path / "validation.csv", [0, 0, 1], [60] * 3)
    tasks = {"mine": {**design["tasks"]["mine"], "validation": validation}}
    keys = {"train_per_class": 9, "validation_per_class": 2, "test_per_class": 5, "per_class": 4}
    rows = rows_of_task("mine", RegimesConfig.parse({**design, **keys, "tasks": tasks}))
    assert (len(rows.splits.train), len(rows.test), len(rows.trial)) == (16, 9, 8)
    assert [record.getMessage() for record in caplog.records if record.name.endswith("regimes")] == [
        "tasks.mine: train_per_class = 9, but there are fewer train rows; all are taken: 8 of 0, 8 of 1",
        "tasks.mine: validation_per_class = 2, but there are fewer validation rows; all are taken: 1 of 1",
        "tasks.mine: test_per_class = 5, but there are fewer test rows; all are taken: 4 of 0",
    ]


def test_a_task_of_which_nothing_is_long_enough_is_named_with_its_split(tmp_path: Path, design: dict[str, Any]) -> None:
    message = (
        r"tasks\.mine: train\.csv, train: No sequence is left of (\d+): 0 have an N, \1 are shorter than 99 nt\. "
        r".* the longest of lengths, 99 nt: lower lengths, or name longer rows without N"
    )
    with pytest.raises(NoneLeft, match=message):
        km.study({**design, "lengths": [44, 99]}, tmp_path / "out")
    table(tmp_path / "test.csv", [0, 1] * 5, [30] * 10)
    with pytest.raises(NoneLeft, match=r"tasks\.mine: train\.csv, test: No sequence is left of 10"):
        km.study(design, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    Path(design["tasks"]["mine"]["train"]).write_text("name,sequence,label\nr0,ACXGT,1\n", encoding="utf-8")
    with pytest.raises(SequenceError, match="X") as told:
        km.study(design, tmp_path / "out")
    assert "lengths" not in str(told.value)


def test_test_rows_are_needed(design: dict[str, Any]) -> None:
    config = RegimesConfig.parse({**design, "tasks": {"mine": {"train": design["tasks"]["mine"]["train"]}}})
    with pytest.raises(ConfigError, match=r"tasks\.mine: expected test rows"):
        rows_of_task("mine", config)


def test_planted_sets_of_growing_distance_are_tasks(tmp_path: Path, design: dict[str, Any]) -> None:
    planting = {"regime": "spacing", "motifs": ["USF1", "NFYA"], "length": 60, "train": 12, "validation": 4, "test": 8}
    tasks = {f"apart{nt}": {"plant": {**planting, "distance": nt}} for nt in (0, 12)}
    config = {**loaded(design, lengths=[60], operators=["shuffle"]), "tasks": tasks}
    config["models"] = {name: ["bundled:promoter"] for name in tasks}
    km.study(config, tmp_path / "out")
    cells = pd.read_parquet(tmp_path / "out" / "study.parquet")
    assert [len(set(of_task["sequence"])) for _, of_task in cells.groupby("task")] == [8, 8]
    rows = rows_of_task("apart12", RegimesConfig.parse(config))
    expected = km.plant(km.Planting.parse(tasks["apart12"]["plant"]))["test"].sequences
    assert rows.trial.strings() == expected.strings()
    with pytest.raises(ConfigError, match=r"planted sequences are tried whole; expected lengths = \[60\], got \[44\]"):
        rows_of_task("apart0", RegimesConfig.parse({**config, "lengths": [44]}))
    both = {"apart0": {**tasks["apart0"], "task": "ienhancer_2l"}}
    with pytest.raises(ConfigError, match=r"tasks\.apart0: plant says what data there are; task says it, too"):
        rows_of_task("apart0", RegimesConfig.parse({**config, "tasks": both, "models": {"apart0": ["x"]}}))


def test_shares_find_what_the_excess_depends_on(design: dict[str, Any]) -> None:
    config = RegimesConfig.parse(design)
    effect = {"attention": 0.0, "saliency": 1.0}
    rows = [
        {"task": "mine", "length": 44, "operator": "shuffle", "method": method, "seed": seed, "n": n,
         "sequence": f"s{i}", "excess": effect[method] + 0.1 * i}
        for method in METHODS for seed in range(3) for n in (2, 5) for i in range(6)
    ]  # fmt: skip
    frame = pd.DataFrame(rows)
    shares, reason = shares_of(frame, config)
    assert reason is None
    assert shares is not None
    assert shares.set_index("factor")["share"]["method"] == pytest.approx(1)
    frame.loc[0, "excess"] = np.nan
    fewer, _ = shares_of(frame, config)
    assert fewer is not None
    assert (fewer["sequences"][0], fewer["left_out"][0]) == (5, 1)
    assert shares_of(frame[frame["method"] == "saliency"], config) == (None, "levels")
    assert shares_of(frame.assign(excess=1.0), config) == (None, "equal")
    assert shares_of(frame, config.model_copy(update={"seeds": [0, 1]})) == (None, "seeds")


def test_places_are_those_of_sequences_with_scores() -> None:
    rows = km.Sequences.from_strings(["ACGT" * 5] * 3, labels=[1, 1, 1])
    scores = np.stack([np.arange(20.0), -np.abs(np.arange(20.0) - 9.5), np.full(20, np.nan)])
    own = km.Attribution("own", scores, "nucleotide", np.ones(3, dtype=np.int64), rows.names, sequences=rows)
    keys = {"tasks": {"few": {}}, "lengths": [10, 20], "seeds": [0], "methods": ["own", "other"], "counts": [4]}
    row = places_of({"own": own, "other": own}, rows, RegimesConfig.parse(keys)).iloc[0]
    assert (row["sequences"], row["central"], row["even"]) == (2, 0.5, 0.5)
