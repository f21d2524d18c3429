"""A whole run on a model that predicts a value: verdicts, floor, metrics and page speak of the value."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from torch import nn

import kmerit as km
from helpers.planted_value import LENGTH, strings
from helpers.planted_value import model as grammar
from helpers.small_run import write_experiment
from kmerit.errors import ConfigError, LabelError

CONFIG = """\
[tasks.mine]
model = "grammar"
sequences = "mine.csv"

[data]
per_class = 24

[attribution]
methods = ["input_x_gradient", "saliency"]
reference = "shuffled"

[trial]
preset = "quick"
counts = [4, 8, "all"]

[statistics]
resamples = 100

[compute]
device = "cpu"
threads = 1
"""
METHOD, NEGATIVE = "input_x_gradient", "negative(input_x_gradient)"


def write(folder: Path, column: str = "value") -> Path:
    rows = strings(30)
    values = grammar().logits(rows)[:, 0] + np.random.default_rng(0).normal(size=30)
    labels = [f"{value:.3f}" for value in values] if column == "value" else [str(i % 2) for i in range(30)]
    lines = [f"s{i},{row},{label}" for i, (row, label) in enumerate(zip(rows, labels, strict=True))]
    (folder / "mine.csv").write_text("\n".join([f"name,sequence,{column}", *lines, ""]))
    (folder / "run.toml").write_text(CONFIG)
    return folder / "run.toml"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("values")
    km.run(write(place), place / "out", models={"grammar": grammar()})
    return place / "out"


def test_the_verdicts_are_of_the_value_in_both_directions(folder: Path) -> None:
    cards = json.loads((folder / "tasks" / "mine" / "cards.json").read_text())
    assert cards["endpoint"]["value"] == "activity"
    verdicts = {each["method"]: each["verdict"] for each in cards["cards"]}
    assert verdicts[METHOD] == verdicts[NEGATIVE] == "faithful"
    assert [each["operator"] for each in cards["value_floors"]] == ["random_other"]
    assert (cards["floors"], cards["data_set"]) == ([], None)


def test_the_test_split_is_measured_by_correlation(folder: Path) -> None:
    metrics = json.loads((folder / "tasks" / "mine" / "metrics.json").read_text())["test"]
    test = km.read_sequences(folder / "tasks" / "mine" / "test.parquet")
    assert metrics["rows"] == 30
    expected = np.corrcoef(np.asarray(test.labels), grammar().logits(test)[:, 0])[0, 1]
    assert metrics["pearson"]["value"] == pytest.approx(expected)
    assert "predicted" not in pd.read_parquet(folder / "tasks" / "mine" / "predictions.parquet")


def test_the_page_speaks_of_the_value(folder: Path) -> None:
    page = (folder / "report.html").read_text(encoding="utf-8")
    text = re.sub(r"<(script|style).*?</\1>", "", page, flags=re.S)
    text = text[: text.index('id="glossary"')]
    assert "activity after mutation: mine" in text
    assert "AOPC</a> of the predicted value (activity)" in text
    assert "With every nucleotide replaced (random_other), activity" in text.replace("\N{NO-BREAK SPACE}", " ")
    assert "on a value in one direction" in text
    assert "Spearman" in text
    for word in ("accuracy", "logit", "classified", "default label", "misclassified", "probability"):
        assert word not in text, word
    assert "Fewer sequences than the 24 requested" not in text
    assert "Fully mutated sequences have a value, too" in text
    assert "Its mean change here is" in text
    footer = page.split("<footer>")[1].split("</footer>")[0]
    assert "figure2.svg" in footer
    assert "figure1" not in footer
    (block,) = json.loads(page.split('id="data">')[1].split("</script>")[0])["explorations"].values()
    assert block["trial"]["bounded"] is False
    summary = pd.read_csv(folder / "tasks" / "mine" / "summary.csv")
    row = summary[(summary["method"] == NEGATIVE) & (summary["n"] == 8)].iloc[0]
    assert f"{row['logit']:.3f}".replace("-", "\N{MINUS SIGN}") in text
    assert (folder / "figure2.svg").exists()
    assert not (folder / "figure1.svg").exists()


def test_the_reference_is_stated_and_its_choice_is_measured(folder: Path) -> None:
    place = folder / "tasks" / "mine"
    sample = km.read_sequences(place / "sequences.parquet")
    why = km.reference(grammar(), sample, "shuffled")
    about = json.loads((place / "reference.json").read_text())
    assert json.loads((folder / "manifest.json").read_text())["tasks"]["mine"]["reference"] == about
    assert about == {
        "kind": "shuffled",
        "mean": pytest.approx(why.values.mean()),
        "sequences": 20,
        "seed": 0,
        "formed": ["shuffled", "0"],
        "missing": {"negatives": "no_rows", "training": "no_rows"},
    }
    scores = km.read_attributions(place / "attributions.parquet")
    assert scores[METHOD].settings["reference"]["mean"] == pytest.approx(why.values.mean())
    assert "reference" not in scores["saliency"].settings
    table = pd.read_csv(place / "references.csv", dtype={"other": str})
    assert table[["method", "one", "other", "sequences"]].values.tolist() == [[METHOD, "shuffled", "0", 20]]
    assert table["tau"][0] == pytest.approx(1)  # a gradient is what it is
    page = (folder / "report.html").read_text(encoding="utf-8")
    assert "the mean over 20 dinucleotide-shuffled copies of the same sequence" in page
    assert "Missing: negatives (the run has no such sequences) and training (the run has no such sequences)." in page


def test_the_only_reference_of_a_run_is_stated(tmp_path: Path) -> None:
    """Of a value above 0, without training rows, there are shuffled copies alone."""
    config = write(tmp_path)
    positive = km.wrap(
        nn.Sequential(nn.Conv1d(4, 1, 8), nn.AdaptiveMaxPool1d(1), nn.Flatten(), nn.Linear(1, 1), nn.Softplus()),
        length=LENGTH,
        outputs=["activity"],
        problem="value",
    )
    keys = ["attribution.methods=['input_x_gradient']", "trial.counts=[4]", "trial.ism_per_class=0"]
    km.run(config, tmp_path / "out", keys, models={"grammar": positive})
    place = tmp_path / "out" / "tasks" / "mine"
    about = json.loads((place / "reference.json").read_text())
    assert about["formed"] == ["shuffled"]
    assert about["missing"] == {"negatives": "no_rows", "training": "no_rows", "0": "unreachable"}
    assert not (place / "references.csv").exists()
    page = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert "The run can form no reference but shuffled" in page
    assert "0 (the output cannot be it)" in page


@pytest.mark.slow
def test_a_bundled_model_is_put_on_trial_by_its_value(tmp_path: Path) -> None:
    for split, count, seed in (("train", 4, 6), ("planted", 12, 5)):
        km.plant_values(count, seed=seed).save(tmp_path / split)
    config = CONFIG.replace("grammar", "bundled:planted_values").replace(
        'sequences = "mine.csv"', 'sequences = "planted/sequences.csv"\ntrain = "train/sequences.csv"'
    )
    (tmp_path / "run.toml").write_text(config)
    keys = ["attribution.methods=['cp_lrp']", "trial.counts=[20, 80, 'all']", "trial.ism_per_class=0"]
    km.run(tmp_path / "run.toml", tmp_path / "out", keys)
    place = tmp_path / "out" / "tasks" / "mine"
    stated = json.loads((tmp_path / "out" / "manifest.json").read_text())["tasks"]["mine"]["reference"]
    assert stated["kind"] == "shuffled"
    assert 0.6 < stated["mean"] < 0.8  # hardly any motif is left: the softplus of 0 is 0.69
    assert json.loads((place / "metrics.json").read_text())["test"]["r2"]["value"] > 0.8
    cards = json.loads((place / "cards.json").read_text())["cards"]
    assert {each["method"]: each["excess"] > 0.03 for each in cards} == {
        "cp_lrp": True,
        "negative(cp_lrp)": True,
    }
    table = pd.read_csv(place / "ledger.csv")
    parts = ["input", "special", "bias", "norm_offset", "position", "softmax", "reference"]
    np.testing.assert_allclose(table[parts].sum(axis=1), table["output"] - table["output_reference"], atol=1e-9)
    assert pd.read_csv(place / "references.csv")[["one", "other"]].values.tolist() == [["shuffled", "training"]]
    page = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert "the mean over 20 dinucleotide-shuffled copies of the same sequence" in page


def test_labels_in_another_unit_are_left_out(tmp_path: Path) -> None:
    for split, count, seed in (("train", 4, 6), ("planted", 8, 5)):
        km.plant_values(count, length=64, seed=seed).save(tmp_path / split)
    config = CONFIG.replace("grammar", "bundled:planted_values").replace(
        'sequences = "mine.csv"', 'sequences = "planted/sequences.csv"\ntrain = "train/sequences.csv"'
    )
    (tmp_path / "run.toml").write_text(config)
    keys = ["attribution.methods=['cp_lrp']", "trial.counts=[20, 'all']", "trial.ism_per_class=0"]
    keys += ["attribution.target={tracks=[0], bins='all', how='log_mean'}"]
    with pytest.raises(ConfigError, match=r"it is 'training', and labels are in the unit .* Give 'shuffled' or a num"):
        km.run(tmp_path / "run.toml", tmp_path / "out", [*keys, "attribution.reference=training"])
    km.run(tmp_path / "run.toml", tmp_path / "out", keys)
    place, why = tmp_path / "out" / "tasks" / "mine", "labels are in the unit of what a model was trained on"
    metrics = json.loads((place / "metrics.json").read_text())
    assert metrics["test"] == {}
    assert metrics["withheld"]["code"] == "other_unit"
    assert metrics["withheld"]["values"]["model"] == "bundled:planted_values"
    stated = json.loads((tmp_path / "out" / "manifest.json").read_text())["tasks"]["mine"]
    assert stated["metrics_withheld"] == metrics["withheld"]
    assert stated["reference"]["missing"]["training"] == "other_unit"
    for name in ("report.html", "table1.md"):
        text = (tmp_path / "out" / name).read_text(encoding="utf-8")
        assert f"Predictions are not compared with labels. mine: {why}" in text.replace("\N{NO-BREAK SPACE}", " ")
    page = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert "training (its values are in another unit than what is explained)" in page


def test_logits_of_classes_have_references_too(tiny_checkpoint: Path, tmp_path: Path) -> None:
    config = write_experiment(tmp_path, tiny_checkpoint)
    keys = ["attribution.methods=['cp_lrp', 'attention']", "attribution.reference=negatives", "trial.preset=quick"]
    keys += ["trial.counts=[3]", "trial.ism_per_class=0"]
    km.run(config, tmp_path / "out", keys)
    place = tmp_path / "out" / "tasks" / "mine"
    table = pd.read_csv(place / "ledger.csv")
    parts = ["input", "special", "bias", "norm_offset", "position", "softmax", "reference"]
    np.testing.assert_allclose(table[parts].sum(axis=1), table["output"] - table["output_reference"], atol=1e-9)
    pairs = pd.read_csv(place / "references.csv")
    assert {"shuffled", "negatives"} <= {*pairs["one"], *pairs["other"]}
    page = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert "the mean over 12 negatives" in page
    assert '<th scope="col">output there</th>' in page


@pytest.mark.parametrize(
    ("key", "message"),
    [
        ("attribution.methods=['saliency']", "saliency do not add up to the output"),
        ("attribution.strands=both", "it is of one strand"),
        ("attribution.reference=negatives", "sequences of class 0; there are none here"),
        ("attribution.reference=training", "needs the training rows"),
        ("attribution.reference=mean", "reference"),
    ],
)
def test_references_that_a_run_cannot_form(key: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=message):
        km.run(write(tmp_path), tmp_path / "out", [key], models={"grammar": grammar()})
    assert not (tmp_path / "out" / "tasks").exists()


def test_classes_for_a_model_of_a_value_are_refused(tmp_path: Path) -> None:
    with pytest.raises(LabelError, match="grammar predicts a value, and the sequences are labelled with classes"):
        km.run(write(tmp_path, "label"), tmp_path / "out", models={"grammar": grammar()})
    assert not (tmp_path / "out" / "tasks").exists()
