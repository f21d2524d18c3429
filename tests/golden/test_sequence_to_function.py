"""Sequence-to-function models against the public packages, and their rules: all of the output is accounted for."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

import kmerit as km
from kmerit.attribution.ledger import BOOKS_OF, ENTRIES
from kmerit.cli.options import number_or_name
from kmerit.errors import (
    CheckpointError,
    ConfigError,
    LengthError,
    TargetError,
    UnknownName,
    UnsupportedMethod,
    UsageError,
)
from kmerit.models.checkpoint import Checkpoint, Settings, Tensors
from kmerit.models.differentiable import BOOKS
from kmerit.models.families import borzoi
from kmerit.models.families.borzoi import pooled
from kmerit.models.families.enformer import _positions, gamma_features
from kmerit.models.sequence_to_function import RotaryAttention, distances
from kmerit.runs.settings import AttributionTable

TRACKS = Path(__file__).parent / "reference" / "tracks"
FAMILY = dict.fromkeys(["enformer", "enformer_uneven", "enformer_whole"], "enformer") | dict.fromkeys(
    ["borzoi", "borzoi_whole", "borzoi_rotary", "prime"], "borzoi"
)
AIMS: list[dict[str, Any]] = [
    {"tracks": ["human:1"]},
    {"tracks": [0, 2], "bins": [0, 1], "how": "sum"},
    {"tracks": "all", "bins": "all", "how": "log_mean"},
    {"tracks": [0], "to": [1, 2], "bins": "all", "how": "log_ratio"},
]
AIM = AIMS[2]


@pytest.fixture(autouse=True)
def few_units_are_turned(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """The published model turns 128 units of each head; the tiny one, which was made so, turns 6."""
    folder = getattr(getattr(request.node, "callspec", None), "params", {}).get("folder")
    if folder == "borzoi_rotary":
        monkeypatch.setattr(borzoi, "_ROTARY_UNITS", 6)


def expected(folder: str) -> tuple[list[str], np.ndarray]:
    """Return the sequences, and the values [sequence, bin, track] of the package."""
    with np.load(TRACKS / folder / "expected.npz") as file:
        sequences = file["sequences"].tolist()
        return sequences, np.concatenate([file[key] for key in file.files if key != "sequences"], axis=2)


def copied(folder: str, where: Path, **settings: Any) -> Path:
    copy = Path(shutil.copytree(TRACKS / folder, where / "copy"))
    config = json.loads((copy / "config.json").read_text()) | settings
    (copy / "config.json").write_text(json.dumps({k: v for k, v in config.items() if v is not ...}))
    return copy


def profile(model: Any, sequences: list[str]) -> np.ndarray:
    tokens = model.tokenize(*km.Sequences.from_strings(sequences).padded())
    with torch.no_grad():
        return np.asarray(model.encoder.profile(model.encoder.look_up(*model.tensors(tokens))).numpy())


@pytest.mark.parametrize("folder", FAMILY)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_values_equal_the_packages(folder: str, dtype: str) -> None:
    sequences, values = expected(folder)
    model = km.load_model(TRACKS / folder, dtype=dtype)
    assert model.family == FAMILY[folder]
    ours = profile(model, sequences)
    assert ours.shape == values.shape
    assert values.std() > 0.1
    np.testing.assert_allclose(ours, values, rtol=0, atol=1e-5 * np.abs(values).max())


@pytest.mark.parametrize("folder", FAMILY)
def test_aggregates_are_of_the_packages_values(folder: str) -> None:
    sequences, values = expected(folder)
    model: Any = km.load_model(TRACKS / folder, dtype="float64")
    length, bins = len(sequences[0]), values.shape[1]
    middle = length // 2 // model.encoder.width - model.encoder.trimmed(model.encoder.bins_before(length))
    means = values.astype(np.float64)
    by_aim = [
        means[:, middle, 1],
        means[:, [0, 1]][..., [0, 2]].sum((1, 2)),
        np.log(means.mean((1, 2))),
        np.log(means[..., 0].mean(1) / means[..., 1:3].mean((1, 2))),
    ]
    assert 0 <= middle < bins
    for aim, answer in zip(AIMS, by_aim, strict=True):
        one = model.task(aim)
        np.testing.assert_allclose(one.predict(sequences)[:, 0], answer, rtol=2e-5, atol=2e-5)
        np.testing.assert_array_equal(one.logits(sequences)[:, 0], one.predict(sequences)[:, 0])


@pytest.mark.parametrize("folder", FAMILY)
@pytest.mark.parametrize("aim", AIMS, ids=["mean", "sum", "log_mean", "log_ratio"])
def test_the_ledger_adds_up_to_the_output(folder: str, aim: dict[str, Any]) -> None:
    sequences, _ = expected(folder)
    table = km.ledger(km.load_model(TRACKS / folder, dtype="float64", target=aim), sequences)
    np.testing.assert_allclose(table[list(ENTRIES)].sum(axis=1), table["output"], rtol=0, atol=1e-9)
    by_method = table.set_index("method")
    assert (by_method.loc["cp_lrp", ["softmax", "position"]] == 0).all(axis=None)
    attnlrp = by_method.loc["attnlrp", ["softmax"] if folder == "borzoi_rotary" else ["softmax", "position"]]
    assert (attnlrp.abs() > 1e-9).all(axis=None)  # a rotation adds nothing: it has no entry
    assert (table[["input", "bias", "norm_offset"]].abs() > 1e-6).all(axis=None)


@pytest.mark.parametrize("folder", FAMILY)
@pytest.mark.parametrize("method", ["cp_lrp", "attnlrp"])
@pytest.mark.parametrize("gamma", [0, 0.25])
def test_without_offsets_all_relevance_is_the_nucleotides(
    folder: str, method: str, gamma: float, tmp_path: Path
) -> None:
    """The rise of a sum of tracks over what softplus is at 0 reaches the input, by CP-LRP all of it."""
    copy = copied(folder, tmp_path)
    weights = load_file(copy / "model.safetensors")
    for key, value in weights.items():
        if key.endswith(("bias", "running_mean")):
            weights[key] = torch.zeros_like(value)
    save_file(weights, copy / "model.safetensors", metadata={"format": "pt"})
    sequences, values = expected(folder)
    model = km.load_model(copy, dtype="float64", target={"tracks": [0], "bins": "all", "how": "sum"})
    options = {method: {"gamma": gamma}}
    scores = km.attribute(model, sequences, [method], options=options)[method]
    table = km.ledger(model, sequences, [method], options=options)
    np.testing.assert_allclose(np.nansum(scores.scores, axis=1), table["input"], rtol=0, atol=1e-9)
    if method == "cp_lrp":
        rise = model.predict(sequences)[:, 0] - values.shape[1] * np.log(2)
        np.testing.assert_allclose(np.nansum(scores.scores, axis=1), rise, rtol=0, atol=1e-9)


@pytest.mark.parametrize("folder", FAMILY)
def test_gradients_are_those_of_finite_differences(folder: str) -> None:
    sequences, _ = expected(folder)
    model: Any = km.load_model(TRACKS / folder, dtype="float64", target=AIM)
    gradient = km.hypothetical(model, sequences[:1])
    bridge, x = km.one_hot_model(model), torch.zeros(1, 4, len(sequences[0]), dtype=torch.float64)
    x[0, ["ACGT".index(letter) for letter in sequences[0]], torch.arange(x.shape[2])] = 1
    for base, place in ((0, 3), (2, 20), (3, 41)):
        step = torch.zeros_like(x)
        step[0, base, place] = 1e-6
        with torch.no_grad():
            slope = float((bridge(x + step) - bridge(x - step)) / 2e-6)
        assert gradient[0, base, place] == pytest.approx(slope, rel=1e-5, abs=1e-9)


def test_lengths_do_not_share_a_pass() -> None:
    sequences, _ = expected("enformer_whole")
    mixed = [sequences[0], sequences[1][:40], sequences[2]]
    model = km.load_model(TRACKS / "enformer_whole", target=AIM)
    alone = np.concatenate([model.predict([each]) for each in mixed])
    np.testing.assert_allclose(model.predict(mixed), alone, rtol=1e-6)


def test_nothing_is_answered_before_tracks_are_named() -> None:
    model = km.load_model(TRACKS / "enformer")
    sequences, _ = expected("enformer")
    for ask in (
        lambda: model.predict(sequences),
        lambda: km.attribute(model, sequences, ["cp_lrp"]),
        lambda: km.attribute(model, sequences, ["cp_lrp"], target=0),
        lambda: km.ledger(model, sequences),
        lambda: km.hypothetical(model, sequences),
    ):
        with pytest.raises(TargetError, match=r'predicts 5 tracks in bins of 8 nt.*target=\{"tracks"'):
            ask()


@pytest.mark.parametrize(
    ("aim", "words"),
    [
        ({"tracks": ["liver"]}, "no track 'liver'"),
        ({"tracks": [5]}, "no track 5"),
        ({"tracks": []}, "expected a list of names or numbers"),
        ({"tracks": [1, "human:1"]}, "named twice"),
        ({"bins": "center"}, "names no tracks"),
        ({"tracks": [0], "bins": "middle"}, "expected 'center', 'all'"),
        ({"tracks": [0], "bins": [-1]}, "whole numbers from 0"),
        ({"tracks": [0], "bins": [4]}, "no bin 4; a sequence of 64 nt has 4"),
        ({"tracks": [0], "how": "max"}, "expected one of mean, sum, log_mean, log_ratio"),
        ({"tracks": [0], "how": "log_ratio"}, "give both or neither"),
        ({"tracks": [0], "over": "bins"}, "'over' is not a key"),
    ],
)
def test_targets_that_are_not_understood_are_refused(aim: dict[str, Any], words: str) -> None:
    model, (sequences, _) = km.load_model(TRACKS / "enformer"), expected("enformer")
    with pytest.raises(TargetError, match=words):
        km.attribute(model, sequences, ["cp_lrp"], target=aim)


def test_a_target_is_named_where_scores_are_asked_for() -> None:
    model, (sequences, _) = km.load_model(TRACKS / "enformer", dtype="float64"), expected("enformer")
    scores = km.attribute(model, sequences, ["cp_lrp"], target=AIM)["cp_lrp"]
    one = km.attribute(model.task(AIM), sequences, ["cp_lrp"])["cp_lrp"]
    np.testing.assert_array_equal(scores.scores, one.scores)
    assert scores.settings["model"] == model.task(AIM).digest != model.task(AIMS[0]).digest
    pdt = km.ledger(model, sequences, ["cp_lrp"], target=AIM)["output"]
    np.testing.assert_allclose(pdt, model.task(AIM).predict(sequences)[:, 0])
    with pytest.raises(TargetError, match="bundled:promoter has none"):
        km.attribute(km.load_model("bundled:promoter"), sequences, ["attention"], target=AIM)


def test_what_was_trained_on_gives_way_to_a_target() -> None:
    aim = {"tracks": [0], "bins": "center", "how": "log_mean"}
    trained, rows = km.load_model("bundled:planted_values", dtype="float64"), km.plant_values(2, length=128).sequences
    chosen = km.load_model("bundled:planted_values", dtype="float64", target=aim)
    scores = [km.attribute(model, rows, ["cp_lrp"], target=t) for model, t in ((trained, aim), (chosen, "predicted"))]
    np.testing.assert_array_equal(*(each["cp_lrp"].scores for each in scores))
    again = trained.task(aim)
    assert (again.digest, again.labels, again.dtype) == (chosen.digest, chosen.labels, torch.float64)
    assert (again.labels, trained.labels) == (("log_mean of tracks 0 at center",), ("mean of tracks 0 over all bins",))
    with pytest.raises(TargetError, match="is one value already"):
        chosen.task(aim)


def test_shorter_sequences_than_the_crop_keeps_are_refused() -> None:
    model = km.load_model(TRACKS / "enformer", target=AIM)
    with pytest.raises(km.errors.SequenceError, match="needs at least 25"):
        model.predict(["ACGT" * 6])
    assert model.predict(["ACGT" * 6 + "A"]).shape == (1, 1)
    with pytest.raises(LengthError):
        model.encoder.trimmed(3)  # type: ignore[attr-defined]


def test_the_names_of_pickled_files_load(tmp_path: Path) -> None:
    """torch's files of the package hold the trunk twice; a copy that differs is refused."""
    copy = copied("enformer_whole", tmp_path)
    names = json.loads((copy / "pickled_names.json").read_text())
    weights = load_file(copy / "model.safetensors")
    stems = {
        "_trunk.1.": "stem.",
        "_trunk.2.": "conv_tower.",
        "_trunk.4.": "transformer.",
        "_trunk.6.": "final_pointwise.",
    }
    for name in names:
        for second, first in stems.items():
            if name.startswith(second):
                weights[name] = weights[first + name.removeprefix(second)].clone()
    assert sorted(weights) == names
    (copy / "model.safetensors").unlink()
    torch.save(weights, copy / "pytorch_model.bin")
    sequences, values = expected("enformer_whole")
    np.testing.assert_allclose(profile(km.load_model(copy), sequences), values, rtol=0, atol=1e-5 * values.max())
    weights["_trunk.1.0.bias"] += 1
    torch.save(weights, copy / "pytorch_model.bin")
    with pytest.raises(CheckpointError, match=r"second copy of 'stem.0.bias', and is not"):
        km.load_model(copy)


def test_unknown_tensors_and_settings_are_refused(tmp_path: Path) -> None:
    copy = copied("enformer", tmp_path)
    weights = load_file(copy / "model.safetensors")
    save_file(weights | {"_heads.rat.0.bias": torch.zeros(1)}, copy / "model.safetensors")
    with pytest.raises(CheckpointError, match=r"_heads\.rat\.0\.bias"):
        km.load_model(copy)
    save_file(weights, copy / "model.safetensors")
    (copy / "config.json").write_text((copy / "config.json").read_text().replace('"dim"', '"squeeze": 3, "dim"'))
    with pytest.raises(CheckpointError, match="squeeze"):
        km.load_model(copy)


def test_positions_of_the_original_are_the_table_up_to_its_rounding() -> None:
    with np.load(TRACKS / "tf_gammas.npz") as file:
        rows, values = file["rows"], file["values"]
    ours = gamma_features(distances(1536), 32, 1536, by_place=True)[rows].numpy()
    assert np.abs(ours - values).max() < 0.0025
    theirs = gamma_features(distances(1536), 32, 1536, by_place=False)[rows].numpy()
    assert np.abs(theirs - values).max() > 0.5


def test_the_table_of_positions_is_named_or_refused(tmp_path: Path) -> None:
    copy = copied("enformer", tmp_path, use_tf_gamma=True)
    with pytest.raises(CheckpointError, match=r"tf_gammas.pt is not there.*'computed'"):
        km.load_model(copy)
    computed = copied("enformer", tmp_path / "b", use_tf_gamma=True, tf_gammas="computed")
    sequences, values = expected("enformer")
    assert np.abs(profile(km.load_model(computed), sequences) - values).max() > 1e-3
    table = gamma_features(distances(1536), 2, 1536, by_place=True).float()
    torch.save(table[:9], copy / "tf_gammas.pt")
    with pytest.raises(CheckpointError, match=r"expected a table of \[3071, 2\]"):
        km.load_model(copy)
    torch.save(table, copy / "tf_gammas.pt")
    with pytest.raises(LengthError, match="12288 nt"):
        profile(km.load_model(copy), sequences)
    long = ["".join(np.random.default_rng(0).choice(list("ACGT"), 8 * 1536))]
    np.testing.assert_allclose(profile(km.load_model(copy), long), profile(km.load_model(computed), long), atol=1e-5)


def test_the_published_size_must_say_which_positions(tmp_path: Path) -> None:
    sizes = {"dim": 1536, "depth": 11, "heads": 8, "target_length": 896}
    published = Settings(sizes | {"output_heads": {"human": 5313, "mouse": 1643}})
    with pytest.raises(CheckpointError, match="lacks use_tf_gamma"):
        _positions(Checkpoint("official", tmp_path, published, Tensors({})))


def test_tracks_are_named_on_the_command_line_and_in_a_config(tmp_path: Path) -> None:
    assert number_or_name(json.dumps(AIM)) == AIM
    assert (number_or_name("3"), number_or_name("human:1")) == (3, "human:1")
    with pytest.raises(UsageError, match="is not JSON"):
        number_or_name("{tracks}")
    table = AttributionTable.model_validate({"target": AIM})
    assert (table.target, table.task_target) == (AIM, "predicted")
    assert AttributionTable.model_validate({"target": "human:1"}).task_target == "human:1"


def test_own_scores_explain_the_value_that_was_named() -> None:
    model, (sequences, _) = km.load_model(TRACKS / "enformer"), expected("enformer")
    scores = np.ones((len(sequences), len(sequences[0])))
    own = km.own_scores(model, sequences, {"mine": scores}, target=AIM)["mine"]
    assert own.settings["model"] == model.task(AIM).digest
    assert own.settings["target"] == AIM


def flashed(folder: Path) -> Path:
    """A checkpoint of the variant with rotary positions, its tensors named as flash_attn's layer names them."""
    copy = copied("borzoi", folder, flashed=True, dim=256, heads=2, depth=1)
    weights, draw = load_file(copy / "model.safetensors"), torch.Generator().manual_seed(0)
    for key in list(weights):
        if key.startswith("transformer.1.") or ".to_" in key or ".rel_" in key:
            del weights[key]
    stem = "transformer.0.0.fn.1.mha"
    shapes = {"Wqkv.weight": (512, 256), "Wqkv.bias": (512,), "out_proj.weight": (256, 256), "out_proj.bias": (256,)}
    weights |= {f"{stem}.{name}": torch.zeros(shape) for name, shape in shapes.items()}
    for key, value in weights.items():
        shape = [{24: 256, 48: 512}.get(size, size) for size in value.shape]
        if value.is_floating_point():
            drawn = torch.randn(shape, generator=draw) * max(1, int(np.prod(shape[1:]))) ** -0.5
            weights[key] = drawn.abs() + 0.5 if "running_var" in key or "norm.weight" in key else drawn
    save_file(weights, copy / "model.safetensors", metadata={"format": "pt"})
    return copy


def test_the_variant_with_rotary_positions_loads_and_is_accounted_for(tmp_path: Path) -> None:
    copy = flashed(tmp_path)
    sequences, values = expected("borzoi")
    model: Any = km.load_model(copy, dtype="float64", target={"tracks": [0, 7], "bins": "all", "how": "log_mean"})
    assert isinstance(model.encoder.layers[0].attention, RotaryAttention)
    table = km.ledger(model, sequences)
    np.testing.assert_allclose(table[list(ENTRIES)].sum(axis=1), table["output"], rtol=0, atol=1e-9)
    assert values.shape[1] == model.encoder.bins(len(sequences[0]))
    config = json.loads((copy / "config.json").read_text())
    (copy / "config.json").write_text(json.dumps(config | {"heads": 4}))
    with pytest.raises(CheckpointError, match="at least 128 units"):
        km.load_model(copy)


def test_the_larger_of_two_neighbours_takes_all_and_equals_are_drawn() -> None:
    x = torch.zeros(1, 50, 40, requires_grad=True)
    gradient = torch.autograd.grad(pooled(x).sum(), x)[0]
    pairs = gradient.reshape(50, 20, 2)
    assert (pairs.sum(-1) == 1).all()
    assert 0.4 < float(pairs[..., 0].mean()) < 0.6
    torch.testing.assert_close(torch.autograd.grad(pooled(x).sum(), x)[0], gradient)
    draws = torch.randn(2, 3, 8, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(pooled(draws), torch.nn.functional.max_pool1d(draws, 2))


def test_lengths_that_pooling_would_cut_are_refused() -> None:
    model = km.load_model(TRACKS / "borzoi", target=AIM)
    with pytest.raises(LengthError, match=r"has 500 nt; .* multiples of 128. .*--crop 384"):
        model.predict(["ACGTA" * 100])
    with pytest.raises(km.errors.SequenceError, match="needs at least 256"):
        model.predict(["ACGT" * 32])


def test_the_crop_of_the_published_model(tmp_path: Path) -> None:
    model: Any = km.load_model(copied("borzoi", tmp_path, return_center_bins_only=False))
    assert (model.encoder.bins(524_288), model.encoder.width, model.shortest) == (16_352, 32, 523_264)
    model = km.load_model(copied("prime", tmp_path / "b", return_center_bins_only=False))
    assert (model.encoder.bins(524_288), model.encoder.width) == (32_736, 16)


def test_what_a_subset_of_tracks_leaves_behind_is_refused(tmp_path: Path) -> None:
    copy = copied("borzoi", tmp_path)
    weights = load_file(copy / "model.safetensors")
    save_file(weights | {"human_head_bak.bias": torch.zeros(9)}, copy / "model.safetensors")
    with pytest.raises(CheckpointError, match=r"human_head_bak\.bias"):
        km.load_model(copy)
    with pytest.raises(CheckpointError, match="neither human nor mouse"):
        km.load_model(copied("borzoi", tmp_path / "b", enable_human_head=False, enable_mouse_head=False))


@pytest.mark.parametrize("folder", ["enformer", "prime"])
@pytest.mark.parametrize("kind", ["shuffled", 1.5])
@pytest.mark.parametrize("aim", AIMS, ids=["mean", "sum", "log_mean", "log_ratio"])
def test_a_reference_is_accounted_for(folder: str, kind: Any, aim: dict[str, Any]) -> None:
    sequences, _ = expected(folder)
    model = km.load_model(TRACKS / folder, dtype="float64", target=aim)
    table = km.ledger(model, sequences, reference=kind)
    parts = table[[*ENTRIES, "reference"]].sum(axis=1)
    np.testing.assert_allclose(parts, table["output"] - table["output_reference"], rtol=0, atol=1e-9)
    for method in ("cp_lrp", "attnlrp"):
        scores = km.attribute(model, sequences, [method], reference=kind)[method]
        inputs = table.loc[table["method"] == method, "input"]
        np.testing.assert_allclose(scores.scores.sum(axis=1), inputs, rtol=0, atol=1e-9)


GAMMA = {method: {"gamma": 0.25} for method in ("cp_lrp", "attnlrp")}


@pytest.mark.parametrize("folder", FAMILY)
@pytest.mark.parametrize("kind", [None, "shuffled", 1.5])
def test_with_gamma_all_is_accounted_for(folder: str, kind: Any) -> None:
    sequences, _ = expected(folder)
    model = km.load_model(TRACKS / folder, dtype="float64", target=AIM)
    plain, table = (km.ledger(model, sequences, reference=kind, options=each) for each in (None, GAMMA))
    parts = table[[*ENTRIES, *([] if kind is None else ["reference"])]].sum(axis=1)
    start = 0 if kind is None else table["output_reference"]
    np.testing.assert_allclose(parts, table["output"] - start, rtol=0, atol=1e-9)
    np.testing.assert_allclose(table["input"] + table["bias"], plain["input"] + plain["bias"], rtol=0, atol=1e-9)
    assert ((table["input"] - plain["input"]).abs() > 1e-9).all()  # the first layer's bias has another share
    scores = km.attribute(model, sequences, [*GAMMA], reference=kind, options=GAMMA)
    for method, each in scores.items():
        inputs = table.loc[table["method"] == method, "input"]
        np.testing.assert_allclose(np.nansum(each.scores, axis=1), inputs, rtol=0, atol=1e-9)
        assert each.settings["options"] == {"at": "input", "gamma": 0.25}


@pytest.mark.parametrize("folder", ["enformer_uneven", "borzoi", "prime"])
@pytest.mark.parametrize("method", [*GAMMA])
def test_gamma_parts_what_the_first_convolution_received(folder: str, method: str) -> None:
    """What its output received by epsilon, shared out in numpy; gamma 0 is epsilon, and one gamma leaves another be."""
    sequences, _ = expected(folder)
    model: Any = km.load_model(TRACKS / folder, dtype="float64", target=AIM)
    both = km.attribute(model, sequences[:1], [*GAMMA], options={method: {"gamma": 0.25}})
    plain = km.attribute(model, sequences[:1], [*GAMMA], options={method: {"gamma": 0}})
    default = km.attribute(model, sequences[:1], [*GAMMA])
    for name in GAMMA:
        np.testing.assert_array_equal(plain[name].scores, default[name].scores)
        assert (both[name].scores == default[name].scores).all() == (name != method)

    class Watched(type(BOOKS[type(BOOKS_OF[method])])):  # type: ignore[misc]
        def stem(self, convolution: Any, x: Any) -> Any:
            kept.append((convolution, super().stem(convolution, x)))
            return kept[-1][1]

    kept: list[Any] = []
    x = model.encoder.look_up(*model.tensors(model.tokenize(*km.Sequences.from_strings(sequences[:1]).padded())))
    x = x.detach().requires_grad_()
    value = model.encoder.run(x, torch.ones(x.shape[:2], dtype=torch.bool), Watched(), [])
    ((convolution, output),) = kept
    received = (output * torch.autograd.grad(value.sum(), output)[0])[0].detach().numpy()  # [unit, place]
    weight, bias = convolution.weight.numpy(), convolution.bias.numpy()
    bases, reach = ["ACGT".index(letter) for letter in sequences[0]], weight.shape[2] // 2
    parts = np.zeros((*received.shape, len(bases)))  # of each output, by the nucleotide that it comes from
    for place in range(len(bases)):
        for at in range(max(0, place - reach), min(len(bases), place + reach + 1)):
            parts[:, place, at] = weight[:, bases[at], at - place + reach]
    z = parts.sum(2) + bias[:, None]
    raised = np.where(np.sign(parts) == np.sign(z)[..., None], 1.25 * parts, parts)
    offset = np.where(np.sign(bias)[:, None] == np.sign(z), 1.25 * bias[:, None], bias[:, None])
    shares = raised / (raised.sum(2) + offset)[..., None]
    np.testing.assert_allclose(both[method].scores[0], (received[..., None] * shares).sum((0, 1)), rtol=0, atol=1e-10)


def test_gamma_where_there_is_no_first_convolution_is_refused() -> None:
    words = r"cp_lrp with gamma=0.25 needs a convolution over nucleotides.*family dnabert\). Leave gamma out"
    promoters, (sequences, _) = km.load_model("bundled:promoter"), expected("enformer")
    for ask in (km.attribute, km.ledger):
        with pytest.raises(UnsupportedMethod, match=words):
            ask(promoters, sequences, ["cp_lrp"], options={"cp_lrp": {"gamma": 0.25}})
    scores = km.attribute(promoters, sequences, ["cp_lrp"], options={"cp_lrp": {"gamma": 0}})
    np.testing.assert_array_equal(
        scores["cp_lrp"].scores, km.attribute(promoters, sequences, ["cp_lrp"])["cp_lrp"].scores
    )
    module = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(256, 1))
    wrapped = km.wrap(module, length=64, outputs=["activity"], problem="value")
    with pytest.raises(UnsupportedMethod, match="cp_lrp needs the rules of AttnLRP and CP-LRP"):
        km.attribute(wrapped, sequences, ["cp_lrp"], options={"cp_lrp": {"gamma": 0.25}})


def test_a_gamma_that_is_none_is_refused() -> None:
    model, (sequences, _) = km.load_model(TRACKS / "enformer", target=AIM), expected("enformer")
    for ask in (km.attribute, km.ledger):
        for gamma in (-0.25, "0.25", True, float("inf"), float("nan"), None):
            with pytest.raises(ConfigError, match=r"attnlrp: gamma is a number of at least 0, such as 0.25; got"):
                ask(model, sequences, ["attnlrp"], options={"attnlrp": {"gamma": gamma}})
    with pytest.raises(ConfigError, match=r"cp_lrp: no option 'at' of a ledger. It has: gamma"):
        km.ledger(model, sequences, ["cp_lrp"], options={"cp_lrp": {"at": "words"}})
    with pytest.raises(UnknownName, match="Unknown method of this ledger 'attnlrp'"):
        km.ledger(model, sequences, ["cp_lrp"], options={"attnlrp": {"gamma": 0.25}})


@pytest.mark.parametrize("how", ["mean", "log_mean"])
def test_softplus_and_logarithm_go_back_by_their_secants_from_the_reference(how: str) -> None:
    """Of one track in one bin all scores are those of the last layer's answer, times one number."""
    sequences, _ = expected("enformer")
    aim = {"tracks": ["mouse:1"], "bins": "center", "how": how}
    model = km.load_model(TRACKS / "enformer", dtype="float64", target=aim)
    y, y_ref = model.predict(sequences)[:, 0], 0.3
    z, z_ref = (np.log(np.expm1(np.exp(value) if how == "log_mean" else value)) for value in (y, np.float64(y_ref)))
    at_zero = np.log(np.log(2)) if how == "log_mean" else np.log(2)
    plain = km.attribute(model, sequences, ["cp_lrp"])["cp_lrp"].scores
    compared = km.attribute(model, sequences, ["cp_lrp"], reference=y_ref)["cp_lrp"].scores
    ratio = ((y - y_ref) / (z - z_ref)) / ((y - at_zero) / z)
    np.testing.assert_allclose(compared, plain * ratio[:, None], rtol=1e-9, atol=1e-12)
    assert np.abs(ratio - 1).max() > 0.01
