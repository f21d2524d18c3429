"""References: relevances of y - y_ref, found exactly, refused where they cannot be; the ledger's entry for them."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

import kmerit as km
from helpers.checkpoints import REFERENCE, random_strings
from helpers.planted_value import LENGTH, strings
from helpers.planted_value import model as grammar
from kmerit.attribution.ledger import ENTRIES
from kmerit.attribution.references import agreement_of, completeness, flooded, restructured
from kmerit.errors import (
    LabelError,
    NotFinite,
    ReferenceUnreachable,
    SequenceError,
    TargetError,
    UnsupportedMethod,
    UsageError,
)
from kmerit.models.differentiable import secant
from kmerit.models.model import Model
from kmerit.models.rules import ATTNLRP, CP_LRP
from kmerit.results import Problem

SUMMING = ["cp_lrp", "attnlrp", "input_x_gradient", "integrated_gradients"]
STRINGS = random_strings([39, 24, 17, 30])


@pytest.fixture(scope="module")
def model(make_checkpoint: Callable[..., Path]) -> Model:
    return km.load_model(make_checkpoint(k=3, labels=("expression",)), device="cpu", dtype="float64")


def test_the_restructured_top_is_the_same_function() -> None:
    rng = np.random.default_rng(0)
    for _ in range(1000):
        size = int(rng.integers(1, 60))
        w, u, a_ref = rng.normal(size=size), 3 * rng.normal(size=size), np.maximum(2 * rng.normal(size=size), 0)
        h1, h2, h3 = restructured(u, a_ref)
        assert min(h1.min(), h2.min(), h3.min()) >= 0
        assert abs(w @ (h1 + h2 - h3) - (w @ np.maximum(u, 0) - w @ a_ref)) <= 1e-12 * max(1, np.abs(w) @ np.abs(u))


def test_flooding_reaches_the_value_by_the_smallest_step_or_says_what_can_be_reached() -> None:
    """500 random tops; a fine grid of steps finds no smaller one, and no value outside the range that is said."""
    rng, refused = np.random.default_rng(1), 0
    for _ in range(500):
        a, w, c = np.maximum(rng.normal(size=12), 0), rng.normal(size=12), float(rng.normal())
        y = float(w @ a + c)
        y_ref = y - float(rng.choice([0.5, 2.0, 5.0])) * float(rng.choice([-1, 1]))
        steps = np.linspace(-12, 12, 4801)
        curve = np.maximum(a - steps[:, None], 0) @ w + c
        try:
            a_ref = flooded(a, w, c, y_ref)
        except ReferenceUnreachable as error:
            refused += 1
            low, high = (float(part) for part in str(error).split("reaches ")[1].split(". Give")[0].split(" to "))
            assert not low - 1e-3 * abs(low) <= y_ref <= high + 1e-3 * abs(high)
            assert (curve >= low - 1e-3 - 1e-3 * abs(low)).all()
            assert (curve <= high + 1e-3 + 1e-3 * abs(high)).all()
            continue
        assert w @ a_ref + c == pytest.approx(y_ref, abs=1e-12)
        assert (a_ref >= 0).all()
        moved = np.abs(a - a_ref).max()
        crossed = np.flatnonzero(np.sign(curve[1:] - y_ref) != np.sign(curve[:-1] - y_ref))
        nearest = min(np.minimum(np.abs(steps[crossed]), np.abs(steps[crossed + 1])), default=np.inf)
        assert moved <= nearest + 0.006
    assert 20 < refused < 300


def test_flooding_is_exact_on_a_curve_that_is_not_monotone() -> None:
    a, w = np.array([1.0, 2.0]), np.array([3.0, -1.0])  # 1 at first; down by 2t until t = 1, then up again to 0
    assert flooded(a, w, 0.0, -0.5).tolist() == pytest.approx([0.25, 1.25])
    with pytest.raises(ReferenceUnreachable, match=r"y cannot be -1\.5; .* reaches -1 to inf"):
        flooded(a, w, 0.0, -1.5)
    assert flooded(np.array([0.5, -0.2]), np.array([1.0, 1.0]), 0.0, 1.5, -1.0, 1.0).tolist() == pytest.approx([1, 0.5])


def test_secants_chain_to_the_difference() -> None:
    """A log of a mean of softplus over bins and tracks, each step by its secant: sums to y - y_ref."""
    draw = torch.Generator().manual_seed(0)
    z, z_ref = (torch.randn(5, 7, 3, generator=draw, dtype=torch.float64) for _ in range(2))
    z[0] = z_ref[0]
    soft = torch.nn.functional.softplus
    values, start = soft(z).mean((1, 2)), soft(z_ref).mean((1, 2))
    outer = secant(torch.log, values, start)
    inner = secant(soft, z, z_ref)
    parts = (z - z_ref) * inner * outer[:, None, None] / 21
    torch.testing.assert_close(parts.sum((1, 2)), values.log() - start.log(), rtol=0, atol=1e-14)
    torch.testing.assert_close(inner[0], torch.sigmoid(z[0]))


@pytest.mark.parametrize("kind", ["shuffled", "negatives", "training", 0.05])
def test_relevances_add_up_to_the_difference(model: Model, kind: str | float) -> None:
    negatives = km.Sequences.from_strings(random_strings([20, 20, 31]), names=["a", "b", "c"])
    of = {"negatives": negatives, "training": negatives}.get(str(kind))
    why = km.reference(model, STRINGS, kind, of=of, copies=3)
    y = model.logits(STRINGS)[:, 0]
    np.testing.assert_allclose(why.outputs, y, atol=1e-12)
    if kind == 0.05:
        assert (why.values == 0.05).all()
    elif kind != "shuffled":
        np.testing.assert_allclose(why.values, model.logits(negatives).mean(), atol=1e-12)
    else:
        assert why.copies is not None
        np.testing.assert_allclose(why.values, model.logits(why.copies).reshape(4, 3).mean(1), atol=1e-12)
    weight, bias = model.encoder.classifier.weight[0].numpy(), float(model.encoder.classifier.bias[0])  # type: ignore[attr-defined]
    assert why.activations is not None
    np.testing.assert_allclose(why.activations @ weight + bias, why.values, atol=1e-9)
    table = km.ledger(model, STRINGS, reference=why)
    entries = table[[*ENTRIES, "reference"]].sum(axis=1)
    np.testing.assert_allclose(entries, table["output"] - table["output_reference"], rtol=0, atol=1e-9)
    np.testing.assert_allclose(table["output_reference"], np.tile(why.values, 2), atol=1e-12)
    assert (table["reference"].abs() > 0).all()
    scores = km.attribute(model, STRINGS, SUMMING, reference=why, options={m: {"at": "words"} for m in SUMMING[:2]})
    assert {each.settings["reference"]["kind"] for each in scores.values()} == {why.kind}
    missed = completeness(scores, why).set_index("method")
    for name in ("cp_lrp", "attnlrp"):
        own = table[table["method"] == name]
        np.testing.assert_allclose(missed.loc[name, "sum"], own["input"] + own["special"], atol=1e-9)
    if kind == "shuffled":
        assert missed.loc["integrated_gradients", "share"].max() < 1e-3


def test_the_last_tanh_is_explained_from_the_reference(model: Model) -> None:
    """The multipliers of the pooler, written out: w (a - a_ref) / (u - u_ref); with u_ref = 0 they are AttnLRP's."""
    why = km.reference(model, STRINGS[:1], copies=3)
    tokens = model.tokenize(*km.Sequences.from_strings(STRINGS[:1]).padded())
    network, (ids, mask) = model.encoder, model.tensors(tokens)
    tape = network.record(network.embed(network.look_up(ids, mask)), mask)
    u, a = tape.pooled, tape.activated  # type: ignore[attr-defined]
    u_ref = why.pooled(why.names)
    assert u_ref is not None
    w = network.classifier.weight[0]  # type: ignore[attr-defined]
    multipliers = w * (a - u_ref.tanh()) / (u - u_ref)
    table = km.ledger(model, STRINGS[:1], ["cp_lrp"], reference=why)
    assert table["reference"][0] == pytest.approx(float(-(multipliers * u_ref).sum()), abs=1e-12)
    from kmerit.attribution.references import book_from

    for book in (CP_LRP, ATTNLRP):
        at_zero = book_from(book, torch.zeros_like(u)).tanh(u, a, w.expand_as(u))
        torch.testing.assert_close(at_zero, book.tanh(u, a, w.expand_as(u).clone()))


@pytest.mark.parametrize("family", ["hyenadna", "caduceus", "nucleotide_transformer"])
def test_every_family_accounts_for_a_reference(family: str) -> None:
    folders = [path for path in REFERENCE.iterdir() if path.name.startswith(family[:6])]
    model = km.load_model(sorted(folders)[0], dtype="float64")
    table = km.ledger(model, STRINGS, reference=0.25, target=0)
    np.testing.assert_allclose(table[[*ENTRIES, "reference"]].sum(axis=1), table["output"] - 0.25, rtol=0, atol=1e-9)


def test_without_any_bias(tiny_checkpoint: Path, tmp_path: Path) -> None:
    """All offsets are 0: what is left is the input's, positions', softmaxes' and the reference's."""
    from safetensors.torch import load_file, save_file

    folder = Path(shutil.copytree(tiny_checkpoint, tmp_path / "copy"))
    weights = load_file(folder / "model.safetensors")
    zeroed = {key: torch.zeros_like(value) if key.endswith("bias") else value for key, value in weights.items()}
    zeroed = {key: torch.zeros_like(value) if "token_type" in key else value for key, value in zeroed.items()}
    save_file(zeroed, folder / "model.safetensors", metadata={"format": "pt"})
    model = km.load_model(folder, dtype="float64")
    for reference in (None, "shuffled"):
        table = km.ledger(model, STRINGS, target=1, reference=reference)
        assert (table[["bias", "norm_offset"]] == 0).all(axis=None)
        entries = [*ENTRIES, *(["reference"] if reference else [])]
        start = table["output_reference"] if reference else 0
        np.testing.assert_allclose(table[entries].sum(axis=1), table["output"] - start, rtol=0, atol=1e-9)


def test_numbers_that_cannot_be_are_refused_with_the_range(model: Model) -> None:
    reach = np.abs(model.encoder.classifier.weight[0].numpy()).sum()  # type: ignore[attr-defined]
    with pytest.raises(ReferenceUnreachable, match=r"expression cannot be 1000; .* reaches -?[\d.e-]+ to [\d.e-]+\."):
        km.reference(model, STRINGS, 1000)
    assert reach < 1000
    torch.manual_seed(0)
    positive = nn.Sequential(nn.Flatten(), nn.Linear(4 * LENGTH, 6), nn.ReLU(), nn.Linear(6, 1), nn.Softplus())
    positive[3].weight.data.abs_()  # so that the lowest value is that of no activation
    wrapped = km.wrap(positive, length=LENGTH, outputs=["counts"], problem="value")
    for number in (0, -1.5):
        with pytest.raises(ReferenceUnreachable, match=rf"counts cannot be {number:g}: it ends in softplus"):
            km.attribute(wrapped, strings(2), ["input_x_gradient"], reference=number)
    lowest = float(positive[3].bias.detach())
    near = km.reference(wrapped, strings(2), float(np.log1p(np.exp(lowest))))  # all of ReLU's at 0
    assert near.activations is not None
    np.testing.assert_allclose(near.activations, 0, atol=1e-5)
    least = rf"counts cannot be 0\.001; .* reaches {np.log1p(np.exp(lowest)):.4g} to inf"  # in the output's unit
    with pytest.raises(ReferenceUnreachable, match=least):
        km.reference(wrapped, strings(2), 0.001)


def test_path_methods_start_at_the_shuffled_copies() -> None:
    """On a model with a bias, from sequences of a value of their own: the sum is exactly the difference."""
    model = grammar()
    why = km.reference(model, strings(3), "shuffled", copies=4)
    fine = {"integrated_gradients": {"steps": 400}, "gradient_shap": {"n_samples": 1600}}
    scores = km.attribute(model, strings(3), [*fine], reference=why, options=fine)
    missed = completeness(scores, why).set_index("method")
    assert missed.loc["integrated_gradients", "share"].max() < 0.01
    assert list(missed.columns) == ["name", "output", "reference", "sum", "missed", "share"]
    alone = km.attribute(model, strings(3)[:1], ["input_x_gradient"], reference="shuffled")
    assert alone["input_x_gradient"].settings["reference"] == {
        "kind": "shuffled",
        "mean": pytest.approx(km.reference(model, strings(3)[:1]).values[0]),
        "sequences": 20,
        "seed": 0,
    }


def test_the_order_of_preference(model: Model) -> None:
    assert km.reference(model, STRINGS, copies=1).kind == "shuffled"
    same = ["A" * 20, "ACACACACACAC"]
    assert km.reference(model, same).kind == "number"
    assert km.reference(model, same, of=STRINGS).kind == "negatives"
    with pytest.raises(SequenceError, match="'seq0' has no other order of its dinucleotides"):
        km.reference(model, same, "shuffled")
    values = km.Sequences.from_strings(STRINGS, labels=[0.01, 0.02, 0.03, 0.06])
    assert km.reference(model, STRINGS, "training", of=values).values == pytest.approx(0.03)


def test_training_values_are_in_the_unit_that_the_model_was_trained_on() -> None:
    rows, training = (km.plant_values(3, length=256, seed=seed).sequences for seed in (3, 4))
    model, mean = km.load_model("bundled:planted_values"), np.mean(training.labels)
    own = {"tracks": [0], "bins": "all", "how": "mean"}
    for same in ("predicted", own, {"tracks": "all", "bins": "all"}):
        assert km.reference(model, rows, "training", of=training, target=same).values == pytest.approx(mean)
    for asked in (own, {"tracks": "all", "bins": "all"}):
        loaded = km.load_model("bundled:planted_values", target=asked)
        assert km.reference(loaded, rows, "training", of=training).values == pytest.approx(mean)
    unlabelled = km.Sequences.from_strings(list(training))
    for change in ({"how": "sum"}, {"how": "log_mean"}, {"how": "log_ratio", "to": [0]}, {"bins": "center"}):
        other = own | change
        for asked, target in ((model, other), (model.task(other), "predicted")):
            with pytest.raises(
                TargetError, match=r"'training': labels are in the unit .* Give 'shuffled', 'negatives'"
            ):
                km.reference(asked, rows, "training", of=training, target=target)
        predicted = km.reference(model, rows, "training", of=unlabelled, target=other)
        assert predicted.values == pytest.approx(model.task(other).logits(unlabelled).mean(), rel=1e-5)
    assert km.load_model("bundled:planted_values", target=own | {"how": "sum"}).other_unit is not None


def test_training_labels_are_values_of_the_output_explained(
    model: Model, tiny_checkpoint: Path, make_checkpoint: Callable[..., Path]
) -> None:
    whole = km.Sequences.from_strings(STRINGS, labels=[1, 2, 3, 4])
    with pytest.raises(
        LabelError, match=r"predicts values, and the labels are whole numbers, .* Give values as floats"
    ):
        km.reference(model, STRINGS, "training", of=whole)
    floats = km.Sequences.from_strings(STRINGS, labels=[1.0, 2.0, 3.0, 4.0])
    with pytest.raises(LabelError, match="predicts classes, and the labels are values"):
        km.reference(km.load_model(tiny_checkpoint), STRINGS, "training", of=floats, target=1)
    table = [[5.0, 0.01], [5.0, 0.02], [5.0, 0.03], [5.0, 0.06]]
    named = km.Sequences.from_strings(STRINGS, labels=table, outputs=["half_life", "expression"])
    assert km.reference(model, STRINGS, "training", of=named).values == pytest.approx(0.03)
    several = replace(km.load_model(make_checkpoint(k=3, labels=("expression", "half_life"))), problem=Problem.VALUES)
    assert several.regression
    for target in ("expression", 0):
        assert km.reference(several, STRINGS, "training", of=named, target=target).values == pytest.approx(0.03)
    with pytest.raises(LabelError, match=r"one value each, and .* predicts 2: 0 expression, 1 half_life"):
        km.reference(several, STRINGS, "training", of=floats, target=0)


def test_what_is_refused(model: Model) -> None:
    with pytest.raises(
        UsageError, match=r"expected 'shuffled', 'negatives', 'training' or a finite number, got 'mean'"
    ):
        km.reference(model, STRINGS, "mean")
    with pytest.raises(UsageError, match="needs its sequences"):
        km.reference(model, STRINGS, "negatives")
    with pytest.raises(UnsupportedMethod, match=r"attention, lrp do not add up to the output.*cp_lrp"):
        km.attribute(model, STRINGS, ["attention", "lrp"], reference="shuffled")
    why = km.reference(model, STRINGS[:2], copies=1)
    with pytest.raises(SequenceError, match="of other sequences"):
        km.attribute(model, STRINGS, ["cp_lrp"], reference=why)
    with pytest.raises(UsageError, match="Leave tiles and strands out"):
        km.attribute(model, STRINGS, ["cp_lrp"], reference=0.0, strands="both")
    plain = km.attribute(model, STRINGS[:2], ["cp_lrp"])
    with pytest.raises(UsageError, match="None of these scores were made with a reference"):
        completeness(plain, why)


def test_how_much_the_ranking_depends_on_the_reference(model: Model) -> None:
    kinds = {"shuffled": "shuffled", "0": 0.0, "0.05": 0.05}
    scores = {name: km.attribute(model, STRINGS, ["cp_lrp", "attention"], reference=k) for name, k in kinds.items()}
    table = agreement_of(scores)
    assert len(table) == 2 * 3
    assert (table["tau"] <= 1).all()
    assert (table[table["method"] == "attention"]["tau"] == 1).all()
    other = table[(table["method"] == "cp_lrp") & (table["one"] == "0")]
    assert isinstance(other, pd.DataFrame)
    assert (other["tau"] < 1).all()
    one, none = (scores["0"]["attention"].scores.copy() for _ in range(2))
    none[0] = np.nan  # as where a sequence's scores are withheld
    parts = {k: {"own": replace(scores["0"]["attention"], scores=x)} for k, x in {"one": one, "none": none}.items()}
    assert agreement_of(parts)[["sequences", "tau"]].values.tolist() == [[len(STRINGS) - 1, 1.0]]


def test_softplus_is_above_0_whatever_comes_before_it() -> None:
    module = nn.Sequential(nn.Flatten(), nn.Linear(32, 1), nn.Softplus())
    model = km.wrap(module, length=8, outputs=["activity"], problem="value")
    with pytest.raises(ReferenceUnreachable, match="activity cannot be 0: it ends in softplus"):
        km.reference(model, ["ACGTTGCA"], 0)
    assert km.reference(model, ["ACGTTGCA"], 0.5).values.tolist() == [0.5]


TRACK = {"tracks": [0], "bins": "all"}


@pytest.fixture(scope="module")
def tracks() -> Model:
    return km.load_model("bundled:planted_values", device="cpu")


@pytest.fixture(scope="module")
def planted() -> km.Sequences:
    return km.plant_values(2, length=256, seed=3).sequences


def test_a_reference_is_of_its_sequences(model: Model) -> None:
    why = km.reference(model, STRINGS, "shuffled", copies=2)
    turned = [each[::-1] for each in STRINGS]
    for call in (
        lambda: km.attribute(model, turned, ["cp_lrp"], reference=why),
        lambda: km.ledger(model, turned, reference=why),
    ):
        with pytest.raises(SequenceError, match="of other sequences: 'seq0' has other letters"):
            call()
    with pytest.raises(SequenceError, match=r"of other sequences, seq0, seq1, seq2, \.\.\. \(4\), and these are seq0"):
        km.ledger(model, STRINGS[:2], reference=why)
    of_turned = km.reference(model, turned, "shuffled", copies=2)
    with pytest.raises(SequenceError, match="'seq0' has other letters"):
        completeness(km.attribute(model, STRINGS, ["cp_lrp"], reference=why), of_turned)


def test_a_reference_is_of_its_model(model: Model, make_checkpoint: Callable[..., Path]) -> None:
    other = km.load_model(make_checkpoint(k=3, labels=("expression",), seed=5), device="cpu", dtype="float64")
    assert other.digest != model.digest
    why, scores = km.reference(other, STRINGS, 0.05), km.attribute(model, STRINGS, ["cp_lrp"], reference=0.05)
    for call in (
        lambda: km.attribute(model, STRINGS, ["cp_lrp"], reference=why),
        lambda: km.ledger(model, STRINGS, reference=why),
        lambda: completeness(scores, why),
    ):
        with pytest.raises(UsageError, match="of another model"):
            call()
    same = km.load_model(model.name, device="cpu", dtype="float32")  # another copy, in another dtype
    assert len(km.ledger(same, STRINGS, reference=km.reference(model, STRINGS, 0.05))) == 8


def test_a_reference_is_of_its_target(tracks: Model, planted: km.Sequences) -> None:
    why = km.reference(tracks, planted, "shuffled", copies=2, target={"tracks": [0], "how": "log_mean"})
    for call in (
        lambda: km.attribute(tracks, planted, ["cp_lrp"], reference=why),
        lambda: km.attribute(tracks, planted, ["cp_lrp"], TRACK, reference=why),
        lambda: km.ledger(tracks, planted, ["cp_lrp"], TRACK, reference=why),
    ):
        with pytest.raises(TargetError, match=r"of another target: of .*log_mean of tracks 0 at center"):
            call()
    with pytest.raises(UsageError, match="or of other tracks and bins, than the scores of cp_lrp"):
        completeness(km.attribute(tracks, planted, ["cp_lrp"], TRACK, reference="shuffled"), why)
    classes = km.load_model("bundled:promoter", device="cpu")
    (predicted,) = classes.predict(STRINGS[:1]).argmax(1).tolist()
    other = km.reference(classes, STRINGS[:1], "shuffled", copies=1, target=1 - predicted)
    own = km.reference(classes, STRINGS[:1], "shuffled", copies=1, target=predicted)
    for call in (
        lambda: km.attribute(classes, STRINGS[:1], ["cp_lrp"], reference=other),
        lambda: km.ledger(classes, STRINGS[:1], ["cp_lrp"], predicted, reference=other),
        lambda: completeness(km.attribute(classes, STRINGS[:1], ["cp_lrp"], reference=own), other),
    ):
        with pytest.raises(TargetError, match=f"'seq0' it has output {1 - predicted}, and output {predicted} is"):
            call()


def test_scores_from_another_reference_are_not_complete(model: Model) -> None:
    scores = km.attribute(model, STRINGS, ["cp_lrp"], reference=0.05)
    with pytest.raises(UsageError, match="the scores of cp_lrp were made from another one"):
        completeness(scores, km.reference(model, STRINGS, 0.04))
    assert np.isfinite(completeness(scores, km.reference(model, STRINGS, 0.05))["missed"]).all()


@pytest.mark.parametrize("number", [np.inf, -np.inf, np.nan, 10**400, np.float32("nan")])
def test_numbers_are_finite(model: Model, number: float) -> None:
    for call in (
        lambda: km.reference(model, STRINGS, number),
        lambda: km.attribute(model, STRINGS, ["cp_lrp"], reference=number),
        lambda: km.ledger(model, STRINGS, reference=number),
    ):
        with pytest.raises(UsageError, match="or a finite number, got"):
            call()


def test_numpy_numbers_are_numbers(model: Model) -> None:
    assert km.reference(model, STRINGS, np.float32(0.0625)).values.tolist() == [0.0625] * 4  # type: ignore[arg-type]
    wrapped = km.wrap(nn.Sequential(nn.Flatten(), nn.Linear(32, 1)), length=8, outputs=["y"], problem="value")
    assert km.reference(wrapped, ["ACGTTGCA"], np.int64(1)).values.tolist() == [1.0]  # type: ignore[arg-type]


@pytest.mark.parametrize("number", [2.5, "3", True, 0, -1])
def test_copies_are_whole_numbers(model: Model, number: Any) -> None:
    with pytest.raises(UsageError, match=f"copies: expected a whole number from 1, got .?{number}"):
        km.reference(model, STRINGS, "shuffled", copies=number)


@pytest.mark.parametrize("number", [2.5, "x", True, -1])
def test_seeds_are_whole_numbers(model: Model, number: Any) -> None:
    with pytest.raises(UsageError, match=f"seed: expected a whole number from 0, got .?{number}"):
        km.reference(model, STRINGS, "shuffled", seed=number)


@pytest.mark.parametrize(
    ("how", "number", "least", "most"),
    [
        ("mean", 1e-46, "2.35e-38", r"1.7e\+38"),
        ("mean", 1e39, "2.35e-38", r"1.7e\+38"),
        ("sum", 1e-37, "7.52e-37", r"1.7e\+38"),
        ("log_mean", 89.0, "-86.6", "88"),
        ("log_mean", -104.0, "-86.6", "88"),
    ],
)
def test_secants_that_overflow_in_float32_are_refused(
    tracks: Model, planted: km.Sequences, how: str, number: float, least: str, most: str
) -> None:
    target = {**TRACK, "how": how}
    match = f"{re.escape(f'{number:g}')} is too far for float32.*from {least} to {most}, or .*dtype='float64'"
    with pytest.raises(ReferenceUnreachable, match=match):
        km.attribute(tracks, planted, ["cp_lrp"], target, reference=number)
    table = km.ledger(tracks, planted, ["cp_lrp"], target, reference=number)  # in float64
    assert np.isfinite(table["missed"]).all()


@pytest.mark.parametrize(("how", "number"), [("log_mean", -85.0), ("log_mean", 87.5), ("mean", 1e-37), ("mean", 1e38)])
def test_secants_inside_the_range_are_finite(tracks: Model, planted: km.Sequences, how: str, number: float) -> None:
    scores = km.attribute(tracks, planted, ["cp_lrp"], {**TRACK, "how": how}, reference=number)["cp_lrp"]
    assert np.isfinite(scores.scores).all()
    assert (scores.scores != 0).any()


@pytest.mark.parametrize("number", [-800.0, 800.0])
def test_secants_that_overflow_in_float64_are_refused(tracks: Model, planted: km.Sequences, number: float) -> None:
    with pytest.raises(ReferenceUnreachable, match=r"too far for float64.*from -708 to 709, or 'shuffled'\."):
        km.ledger(tracks, planted, ["cp_lrp"], {**TRACK, "how": "log_mean"}, reference=number)


def test_results_that_are_not_finite_are_refused(
    tracks: Model, planted: km.Sequences, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Let through what is refused beforehand: the last check is of the results."""
    monkeypatch.setattr("kmerit.attribution.references._refuse_too_far", lambda *args: None)
    target = {**TRACK, "how": "log_mean"}
    with pytest.raises(NotFinite, match=r"cp_lrp: the scores of .* from the reference 800 are not finite"):
        km.attribute(tracks, planted, ["cp_lrp"], target, reference=800.0)
    with pytest.raises(NotFinite, match=r"the ledger of cp_lrp for .* is not finite\. Its reference is 800"):
        km.ledger(tracks, planted, ["cp_lrp"], target, reference=800.0)
    scores = km.attribute(tracks, planted, ["cp_lrp"], TRACK, reference=1.0)["cp_lrp"]
    sums = {**scores.diagnostics, "relevance_sum": np.array([1.0, np.nan])}
    with pytest.raises(NotFinite, match="miss of y - y_ref is not finite"):
        completeness({"cp_lrp": replace(scores, diagnostics=sums)}, km.reference(tracks, planted, 1.0, target=TRACK))


@pytest.mark.parametrize(
    ("tail", "says", "refused", "reached"),
    [
        ([nn.Softplus(beta=2)], "it ends in softplus and is above 0", [0, -5], [0.3, 4.0]),
        ([nn.Softplus(), nn.Flatten()], "it ends in softplus and is above 0", [0, -5], [0.3]),
        ([nn.Sigmoid()], "it ends in sigmoid and is between 0 and 1", [0, 1, -5, 1e6], [0.3, 0.9]),
        ([nn.Tanh(), nn.Dropout()], "it ends in tanh and is between -1 and 1", [-1, 1, 1e6], [0.3, -0.3]),
        ([nn.ReLU()], "it ends in ReLU and is at least 0", [-5, -1e-9], [0, 0.3]),
        ([nn.ReLU6(), nn.Unflatten(1, (1, 1))], "it ends in ReLU6 and is from 0 to 6", [-5, 7], [0, 6, 0.3]),
        ([nn.ELU(0.5)], "it ends in ELU and is above -0.5", [-0.5, -5], [0.3, -0.25]),
    ],
)
def test_what_a_last_activation_cannot_be_is_refused(
    tail: list[nn.Module], says: str, refused: list[float], reached: list[float]
) -> None:
    torch.manual_seed(0)
    module = nn.Sequential(nn.Flatten(), nn.Linear(32, 6), nn.ReLU(), nn.Linear(6, 1), *tail)
    module[3].weight.data, module[3].bias.data = torch.full((1, 6), 9.0), torch.tensor([-20.0])  # -20 and all above
    wrapped = km.wrap(module, length=8, outputs=["y"], problem="value", dtype="float64")
    for number in refused:
        with pytest.raises(ReferenceUnreachable, match=re.escape(f"y cannot be {number:g}: {says}. Give a number")):
            km.reference(wrapped, ["ACGTTGCA"], number)
    for number in reached:
        why = km.reference(wrapped, ["ACGTTGCA"], number)
        assert why.values.tolist() == [number]
        if why.activations is not None:
            top = module[3:].double().eval()
            assert top(torch.from_numpy(why.activations)).item() == pytest.approx(number, abs=1e-9)


def test_of_a_forward_of_its_own_no_range_is_known() -> None:
    class Hidden(nn.Sequential):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return super().forward(x) - 10

    module = Hidden(nn.Flatten(), nn.Linear(32, 1), nn.Softplus())
    wrapped = km.wrap(module, length=8, outputs=["y"], problem="value")
    assert km.reference(wrapped, ["ACGTTGCA"], -5).values.tolist() == [-5]
