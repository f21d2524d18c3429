"""Both strands: predictions and scores averaged with the reverse complement's, positions turned back, and said."""

from __future__ import annotations

import json
import logging
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import torch
from torch import Tensor, nn

import kmerit as km
from helpers.command import type_command
from kmerit.errors import UsageError
from kmerit.models.inference import strand_change
from kmerit.results import Problem
from kmerit.sequences import other_strand

LENGTHS = (40, 31, 52, 40, 12)


@pytest.fixture(scope="module")
def model(tiny_checkpoint: Path) -> Any:
    return km.load_model(tiny_checkpoint, dtype="float64", micro_batch=2)


@pytest.fixture(scope="module")
def sequences() -> km.Sequences:
    rng = np.random.default_rng(4)
    strings = ["".join(rng.choice(list("ACGT"), length)) for length in LENGTHS]
    return km.Sequences.from_strings(strings, labels=[0, 1, 0, 1, 1])


def turned(scores: Any, axis: int = 0) -> Any:
    return np.flip(scores, axis)


def test_the_other_strand(sequences: km.Sequences) -> None:
    pairs = dict(zip("ACGT", "TGCA", strict=True))
    back = other_strand(sequences)
    assert back.strings() == ["".join(pairs[letter] for letter in text[::-1]) for text in sequences.strings()]
    assert back.names == sequences.names
    assert other_strand(back).strings() == sequences.strings()


def test_predictions_are_the_mean(model: Any, sequences: km.Sequences) -> None:
    both = model.predict(sequences, strands="both")
    back = model.predict(other_strand(sequences))
    assert np.allclose(both, (model.predict(sequences) + back) / 2, atol=1e-12)
    assert np.allclose(both, model.predict(other_strand(sequences), strands="both"), atol=1e-12)
    assert both.settings["strands"] == "both"
    assert both.settings["strand_change"]["mean"] == pytest.approx(
        np.abs(model.predict(sequences) - back).max(1).mean()
    )
    assert both.to_frame()["strands"].unique().tolist() == ["both"]
    assert "strands" not in model.predict(sequences).to_frame()


@pytest.mark.filterwarnings("ignore:.*withheld")
@pytest.mark.parametrize("name", ["lrp", "attention", "saliency", "ism", "occlusion", "integrated_gradients"])
def test_scores_are_the_mean_turned_back(name: str, model: Any, sequences: km.Sequences) -> None:
    forward = km.attribute(model, sequences, [name], target="label")[name]
    back = km.attribute(model, other_strand(sequences), [name], target="label")[name]
    both = km.attribute(model, sequences, [name], target="label", strands="both")[name]
    for i in range(len(sequences)):
        np.testing.assert_allclose(both[i], (forward[i] + turned(back[i])) / 2, atol=1e-12)
        if both.substitutions is not None:
            length = LENGTHS[i]
            other = back.substitutions[i, :length][::-1, ::-1]
            np.testing.assert_allclose(
                both.substitutions[i, :length], (forward.substitutions[i, :length] + other) / 2, atol=1e-12
            )
    assert both.settings["strands"] == "both"
    assert np.isnan(both.scores[1, 31:]).all()
    mirrored = km.attribute(model, other_strand(sequences), [name], target="label", strands="both")[name]
    np.testing.assert_allclose(mirrored[2], turned(both[2]), atol=1e-12)


def test_a_sequence_withheld_on_one_strand_is_withheld(model: Any, sequences: km.Sequences) -> None:
    options = {"integrated_gradients": {"steps": 1}}
    with pytest.warns(km.errors.WithheldWarning):
        both = km.attribute(model, sequences, ["integrated_gradients"], options=options, strands="both")
    result = both["integrated_gradients"]
    assert (np.isnan(result.scores).all(1) == result.withheld_rows).all()
    assert result.withheld_rows.any()


def test_the_class_explained_is_that_of_the_mean(model: Any, sequences: km.Sequences) -> None:
    result = km.attribute(model, sequences, ["lrp"], strands="both")["lrp"]
    assert (result.target == model.predict(sequences, strands="both").argmax(1)).all()


def test_files_and_tiles(model: Any, sequences: km.Sequences, tmp_path: Path) -> None:
    path = km.attribute(model, sequences, ["ism", "lrp"], strands="both", out=tmp_path / "scores.parquet")
    in_memory = km.attribute(model, sequences, ["ism", "lrp"], strands="both")
    back = km.read_attributions(path)
    for name in in_memory:
        assert np.array_equal(back[name].scores, in_memory[name].scores, equal_nan=True)
        assert back[name].settings == in_memory[name].settings
    settings = json.loads(pq.read_schema(path).metadata[b"kmerit"])
    assert settings["lrp"]["strands"] == "both"
    assert set(settings["lrp"]["strand_change"]) == {"mean", "changed"}
    tiles = km.Tiles(20, 10)
    tiled = km.attribute(model, sequences, ["lrp"], target=1, tiles=tiles, strands="both")["lrp"]
    forward = km.attribute(model, sequences, ["lrp"], target=1, tiles=tiles)["lrp"]
    other = km.attribute(model, other_strand(sequences), ["lrp"], target=1, tiles=tiles)["lrp"]
    np.testing.assert_allclose(tiled[2], (forward[2] + turned(other[2])) / 2, atol=1e-12)


class Ends(nn.Module):
    """Reads the first letter, or the first and the last alike."""

    def __init__(self, symmetric: bool) -> None:
        super().__init__()
        self.symmetric = symmetric

    def forward(self, x: Tensor) -> Tensor:
        signal = x[:, 0, 0] + (x[:, 3, -1] if self.symmetric else 0)
        return torch.stack([1 - signal, signal], dim=1) * 5


def test_a_model_that_reads_one_strand_is_warned_of(caplog: pytest.LogCaptureFixture) -> None:
    rng = np.random.default_rng(0)
    strings = ["".join(rng.choice(list("ACGT"), 10)) for _ in range(40)]
    for symmetric in (True, False):
        caplog.clear()
        model = km.wrap(Ends(symmetric), 10, 2)
        with caplog.at_level(logging.WARNING):
            change = model.predict(strings, strands="both").settings["strand_change"]
            km.attribute(model, strings, ["ism"], strands="both")
        warnings = [text for text in caplog.messages if "reverse complement" in text]
        assert len(warnings) == (0 if symmetric else 2)
        assert (change["changed"] == 0) is symmetric
    assert f"over {len(strings)} sequences; " in warnings[0]
    assert f"of {len(strings)} get another class" in warnings[0]


def test_how_much_values_and_labels_change() -> None:
    values = np.array([[0.0], [2.0], [4.0]])
    result = strand_change(Problem.VALUE, values, values + 1, "m")
    assert result.changed is None
    assert result.mean == pytest.approx(1 / values.std())
    assert strand_change(Problem.VALUES, np.zeros((2, 1)), np.zeros((2, 1)), "m").mean == 0
    labels = strand_change(Problem.LABELS, np.array([[0.4, 0.9]]), np.array([[0.6, 0.8]]), "m")
    assert labels == (pytest.approx(0.2), 0.5)


def test_what_cannot_be_is_refused(model: Any, sequences: km.Sequences) -> None:
    for call in (
        lambda: model.predict(sequences, strands="reverse"),
        lambda: km.attribute(model, sequences, ["lrp"], strands=2),
    ):  # type: ignore[call-overload]
        with pytest.raises(UsageError, match="strands: expected 'forward' or 'both'"):
            call()
    with pytest.raises(UsageError, match="strands share nucleotides, not tokens"):
        km.attribute(model, sequences, ["lrp"], level="token", strands="both")


def test_the_command_line(tiny_checkpoint: Path, model: Any, sequences: km.Sequences, tmp_path: Path) -> None:
    pd.DataFrame({"name": sequences.names, "sequence": sequences.strings()}).to_csv(tmp_path / "my.csv", index=False)
    common = ("--model", tiny_checkpoint, "--sequences", "my.csv", "--strands", "both", "--dtype", "float64")
    result = type_command("predict", *common, "--out", "predictions.csv", cwd=tmp_path)
    assert result.code == 0, result.err
    table = pd.read_csv(tmp_path / "predictions.csv")
    assert table["strands"].tolist() == ["both"] * 5
    assert np.allclose(table["p(signal)"], model.predict(sequences, strands="both")[:, 1], atol=1e-5)
    result = type_command("attribute", *common, "--methods", "lrp", "--out", "scores.parquet", cwd=tmp_path)
    assert result.code == 0, result.err
    assert km.read_attributions(tmp_path / "scores.parquet")["lrp"].settings["strands"] == "both"


def test_logits_are_the_mean_of_both_strands(model: Any, sequences: km.Sequences) -> None:
    both = model.logits(sequences, strands="both")
    assert np.allclose(both, (model.logits(sequences) + model.logits(other_strand(sequences))) / 2, atol=1e-12)


@pytest.mark.parametrize("ask", ["predict", "logits", "attribute"])
def test_other_words_for_strands_are_refused_alike(ask: str, model: Any, sequences: km.Sequences) -> None:
    asked: Any = partial(km.attribute, model, methods=["attention"]) if ask == "attribute" else getattr(model, ask)
    with pytest.raises(UsageError, match="strands: expected 'forward' or 'both', got 'reverse'"):
        asked(sequences=sequences, strands="reverse")


def test_a_trial_says_the_strands_of_its_scores(
    model: Any, sequences: km.Sequences, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    both = km.attribute(model, sequences, ["attention"], strands="both")
    forward = km.attribute(model, sequences, ["rollout"])
    assert [each["strands"] for each in (both["attention"].settings, forward["rollout"].settings)] == [
        "both",
        "forward",
    ]
    own = {"mine": [np.arange(float(length)) for length in LENGTHS]}
    counts: Any = {"counts": [3], "replicates": 1, "controls": ["shifted"]}
    alone = km.mutate(model, sequences, forward, **counts)
    assert alone.settings["strands"] == {"forward": ["rollout"]}
    assert not {"both_strands", "mixed_strands"} & {each.code for row in km.judge(alone) for each in row.caveats}
    assert not [record for record in caplog.records if "strands" in record.message and "trials" in record.name]

    mixed = km.mutate(model, sequences, {**both, **forward, **own}, **counts)
    assert mixed.settings["strands"] == {"both": ["attention"], "forward": ["rollout"], "unknown": ["mine"]}
    assert (
        "scores of both strands (attention) with scores of the forward strand (rollout) and of unknown strands (mine)"
        in caplog.text
    )
    for row in km.judge(mixed):
        codes = {each.code for each in row.caveats}
        assert ("both_strands" in codes) == (row.method == "attention")
        assert "mixed_strands" in codes

    path = km.attribute(model, sequences, ["attention"], strands="both", out=tmp_path / "both.parquet")
    assert km.read_attributions(path)["attention"].strands == "both"
    assert km.mutate(model, sequences, path, **counts).settings["strands"] == {"both": ["attention"]}


def test_scores_of_an_older_file_that_does_not_name_the_forward_strand_go_with_newer_ones(
    model: Any, sequences: km.Sequences
) -> None:
    new = km.attribute(model, sequences[:2], ["rollout"])["rollout"]
    old = km.attribute(model, sequences[2:], ["rollout"])["rollout"]
    old = replace(old, settings={key: value for key, value in old.settings.items() if key != "strands"})
    assert km.Attribution.concat([old, new]).strands == "forward"
    both = km.attribute(model, sequences[2:], ["rollout"], strands="both")["rollout"]
    with pytest.raises(UsageError, match=r"settings\['strands'\] in all parts, got forward and both"):
        km.Attribution.concat([new, both])
