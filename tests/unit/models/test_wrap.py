"""A torch module that kmerit did not make is a model like every other."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import kmerit as km
from kmerit.attribution.method import methods
from kmerit.errors import (
    KmeritError,
    LengthError,
    ModelError,
    NotFinite,
    SequenceError,
    TargetError,
    UnsupportedMethod,
    UsageError,
)
from kmerit.models.inference import Company
from kmerit.results import Problem
from kmerit.sequences import one_hot
from kmerit.trials.outcomes import read_outcomes
from kmerit.trials.trial import Grid

LENGTH, MOTIF = 60, "TGACTCA"
SMALL = Grid(counts=(2, 7), draws=1, satellite_per_class=0, ism_per_class=0, greedy_per_class=0)


def rows(count: int, seed: int) -> tuple[list[str], list[int], list[int]]:
    """Draw sequences, every second one with the motif planted: strings, labels, and where it begins."""
    rng = np.random.default_rng(seed)
    strings, starts = [], []
    for i in range(count):
        text = "".join(rng.choice(list("ACGT"), LENGTH))
        start = int(rng.integers(5, LENGTH - 12)) if i % 2 else -1
        strings.append(text if start < 0 else text[:start] + MOTIF + text[start + len(MOTIF) :])
        starts.append(start)
    return strings, [i % 2 for i in range(count)], starts


def letters(strings: list[str]) -> Tensor:
    return torch.from_numpy(one_hot(km.Sequences.from_strings(strings).padded()[0]))


@pytest.fixture(scope="module")
def module() -> nn.Module:
    """A convolutional network, taught here to find a motif."""
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Conv1d(4, 16, 9, padding=4),
        nn.BatchNorm1d(16),
        nn.ReLU(),
        nn.Dropout(0.1),
        nn.AdaptiveMaxPool1d(1),
        nn.Flatten(),
        nn.Linear(16, 2),
    )
    strings, labels, _ = rows(800, 1)
    x, y = letters(strings), torch.tensor(labels)
    optimizer = torch.optim.Adam(network.parameters(), lr=0.02)
    for _ in range(60):
        for batch in torch.randperm(len(x)).split(100):
            optimizer.zero_grad()
            nn.functional.cross_entropy(network(x[batch]), y[batch]).backward()
            optimizer.step()
    return network


@pytest.fixture(scope="module")
def model(module: nn.Module) -> Any:
    return km.wrap(module, LENGTH, ["background", "motif"], dtype="float64", device="cpu")


def exact(module: nn.Module) -> nn.Module:
    return copy.deepcopy(module).double().eval()


def test_it_predicts_as_the_module_does(module: nn.Module, model: Any) -> None:
    strings, labels, _ = rows(100, 2)
    with torch.no_grad():
        expected = exact(module)(letters(strings).double())
    assert np.allclose(model.logits(strings), expected, atol=1e-10)
    assert np.allclose(model.predict(strings), expected.softmax(1), atol=1e-10)
    assert (model.predict(strings).argmax(1) == labels).mean() > 0.9
    assert model.predict(strings).to_frame().columns.tolist() == ["name", "predicted", "p(background)", "p(motif)"]
    assert (model.problem, model.labels, model.n_classes) == (Problem.CLASSES, ("background", "motif"), 2)


def test_the_module_is_left_as_it_was() -> None:
    torch.manual_seed(1)
    module = nn.Sequential(
        nn.Conv1d(4, 2, 3), nn.BatchNorm1d(2), nn.Dropout(0.5), nn.AdaptiveMaxPool1d(1), nn.Flatten()
    )
    module[0].eval()
    before = {name: value.clone() for name, value in module.state_dict().items()}
    model = km.wrap(module, 20, 2, dtype="float64")
    km.attribute(model, ["ACGTTGCAACGTTGCAACGT"], ["saliency", "ism"])
    assert [part.training for part in module] == [False, True, True, True, True]
    assert all(parameter.requires_grad and parameter.grad is None for parameter in module.parameters())
    for name, value in module.state_dict().items():
        assert value.dtype == before[name].dtype
        assert torch.equal(value, before[name])
    logits = model.logits(["ACGTTGCAACGTTGCAACGT"])
    nn.init.zeros_(module[0].weight)
    assert np.array_equal(model.logits(["ACGTTGCAACGTTGCAACGT"]), logits)


@pytest.mark.filterwarnings("ignore:.*withheld")
@pytest.mark.parametrize(
    "name", ["ism", "input_x_gradient", "integrated_gradients", "occlusion", "saliency", "smoothgrad", "gradient_shap"]
)
def test_methods_find_the_planted_motif(name: str, model: Any) -> None:
    strings, _, starts = rows(40, 3)
    planted = [i for i, start in enumerate(starts) if start >= 0]
    sure = [i for i in planted if model.predict(strings)[i, 1] > 0.9]
    assert len(sure) > 15
    result = km.attribute(model, strings, [name], target="motif", options=LENIENT.get(name, {}))[name]
    shares = [
        np.intersect1d(np.argsort(result[i])[-7:], np.arange(starts[i], starts[i] + 7)).size / 7
        for i in sure
        if np.isfinite(result[i]).all()
    ]
    assert len(shares) > len(sure) / 2
    assert np.mean(shares) > 0.6  # at random: 0.12


LENIENT: dict[str, dict[str, dict[str, Any]]] = {"integrated_gradients": {"integrated_gradients": {"steps": 256}}}


@pytest.mark.filterwarnings("ignore:.*withheld")
def test_captum_says_the_same(module: nn.Module, model: Any) -> None:
    from captum.attr import InputXGradient, IntegratedGradients, Saliency

    strings, _, _ = rows(6, 4)
    x, network = letters(strings).double().requires_grad_(), exact(module)
    options = {"integrated_gradients": {"steps": 256}}
    names = ["saliency", "input_x_gradient", "integrated_gradients"]
    result = km.attribute(model, strings, names, target=1, options=options)
    gradient = Saliency(network).attribute(x, target=1, abs=False)
    assert np.allclose(result["saliency"].scores, gradient.norm(dim=1).detach(), atol=1e-6)
    product = InputXGradient(network).attribute(x, target=1).sum(1)
    assert np.allclose(result["input_x_gradient"].scores, product.detach(), atol=1e-6)
    path = IntegratedGradients(network).attribute(x, target=1, n_steps=256, method="gausslegendre").sum(1)
    kept = ~result["integrated_gradients"].withheld_rows
    assert kept.sum() >= 3
    assert np.allclose(result["integrated_gradients"].scores[kept], path.detach()[kept], atol=1e-6)


def test_tangermeme_says_the_same(module: nn.Module, model: Any) -> None:
    from tangermeme.saturation_mutagenesis import saturation_mutagenesis

    strings, _, _ = rows(4, 5)
    for network in (exact(module), km.one_hot_model(model)):
        x = letters(strings).double()
        before, after = saturation_mutagenesis(network, x, raw_outputs=True, device="cpu", dtype=torch.float64)
        effects = (after - before[:, None, None])[..., 1].transpose(1, 2)
        ism = km.attribute(model, strings, ["ism"], target=1)["ism"]
        assert np.allclose(ism.substitutions, effects, atol=1e-6)
    assert np.allclose(
        km.hypothetical(model, strings, 1), _gradient(exact(module), letters(strings).double()), atol=1e-10
    )


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_tangermeme_predicts_from_token_ids(dtype: str, model: Any) -> None:
    from tangermeme.predict import predict

    for each in (km.load_model("bundled:promoter", device="cpu", dtype=dtype), model):
        strings, _, _ = rows(6, 5)
        tokens = each.tokenize(*km.Sequences.from_strings(strings).padded())
        answers = predict(each, torch.from_numpy(tokens.ids), batch_size=4, device="cpu")
        assert answers.dtype == each.dtype
        assert torch.allclose(answers, each(tokens.ids), atol=1e-5)
        assert np.allclose(answers, each.logits(strings), atol=1e-5)
        assert next(each.parameters()).dtype == each.dtype


def test_ids_that_are_not_whole_or_rounded_are_refused() -> None:
    from tangermeme.predict import predict

    model = km.load_model("bundled:promoter", device="cpu")
    ids = torch.from_numpy(model.tokenize(*km.Sequences.from_strings(["ACGTTGCAACGT"]).padded()).ids)
    for bad in (ids + 0.5, ids * float("nan"), ids.float() * float("inf")):
        with pytest.raises(UsageError, match="ids: expected whole numbers"):
            model(bad)
    with pytest.raises(UsageError, match=r"ids: bfloat16 rounds large ids.*dtype='float32'"):
        predict(model, ids, device="cpu", dtype="bfloat16")
    other = model.to("cpu", torch.float64)
    assert (other.dtype, model.dtype) == (torch.float64, torch.float32)
    assert (model.eval() is model, model.training) == (True, False)


def _gradient(network: nn.Module, x: Tensor) -> Tensor:
    x.requires_grad_()
    return torch.autograd.grad(network(x)[:, 1].sum(), x)[0]


@pytest.mark.filterwarnings("ignore:.*withheld")
@pytest.mark.parametrize("name", methods())
def test_every_method_works_or_is_refused_by_name(name: str, model: Any) -> None:
    strings, _, _ = rows(2, 6)
    method = methods()[name]
    if method.asks_for(method.complete({})) <= model.abilities:
        options = {key: 4 for key in ("samples", "steps", "n_samples") if key in method.options}
        result = km.attribute(model, strings, [name], options={name: options})[name]
        assert result.scores.shape == (2, LENGTH)
        return
    with pytest.raises(UnsupportedMethod, match=rf"{name} needs (attention|relevance|the rules|overlapping k-mers)"):
        km.attribute(model, strings, [name])


def test_it_is_put_on_trial(model: Any, tmp_path: Path) -> None:
    strings, labels, starts = rows(60, 7)
    sequences = km.Sequences.from_strings(strings, labels=labels)
    truth = np.array(
        [[start <= i < start + 7 if start >= 0 else False for i in range(LENGTH)] for start in starts], float
    )
    scores = {**km.attribute(model, sequences, ["ism"], target="label"), "truth": truth}
    curve = km.trial(model, sequences, scores, SMALL, out=tmp_path / "trial")
    again = km.trial(model, sequences, scores, SMALL, out=tmp_path / "trial")
    assert curve == again
    verdicts = {(each.class_name, each.method): each for each in km.judge(read_outcomes(curve), resamples=200)}
    assert verdicts["motif", "ism"].verdict == "faithful"
    assert verdicts["motif", "truth"].excess is not None
    assert verdicts["motif", "truth"].excess > 0


def test_other_problems() -> None:
    torch.manual_seed(2)
    strings, _, _ = rows(3, 8)

    def network(outputs: int) -> nn.Module:
        return nn.Sequential(nn.Conv1d(4, 8, 5), nn.Tanh(), nn.Flatten(), nn.Linear(8 * 56, outputs))

    one = km.wrap(network(1), LENGTH, ["bound"], problem="labels")
    assert one.predict(strings).shape == (3, 1)
    question = one.task("bound")
    assert question.labels == ("not bound", "bound")
    assert np.allclose(question.predict(strings)[:, 1], one.predict(strings)[:, 0], atol=1e-6)
    outcomes = km.trial(one, strings, km.attribute(one, strings, ["ism"], target="bound"), SMALL)
    assert outcomes.targets.tolist() == [1] * 3
    assert km.hypothetical(question, strings, 1).shape == (3, 4, LENGTH)
    with pytest.raises(TargetError, match="predicts 3 labels, none of which is 'predicted'"):
        km.attribute(km.wrap(network(3), LENGTH, 3, problem="labels"), strings, ["ism"])
    value = km.wrap(nn.Sequential(network(1), nn.Flatten(0)), LENGTH, ["activity"], problem="value")
    assert value.predict(strings).to_frame().columns.tolist() == ["name", "value"]
    assert km.attribute(value, strings, ["saliency"])["saliency"].target.tolist() == [0, 0, 0]
    several = km.wrap(network(3), LENGTH, ["x", "y", "z"], problem=Problem.VALUES)
    scores = km.attribute(several, strings, ["ism"], target="y")
    assert km.mutate(several, strings, scores, counts=[3], replicates=1).cells.num_rows == 3
    unnamed = km.wrap(network(2), LENGTH, 2)
    assert unnamed.labels == ("LABEL_0", "LABEL_1")


class Function(nn.Module):
    """Whatever a function of one-hot input answers."""

    def __init__(self, function: Callable[[Tensor], Any]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Any:
        return self.function(x)


def two(x: Tensor) -> Tensor:
    return x[:, :2].sum(2)


REFUSED: dict[str, tuple[Callable[[], Any], type[KmeritError], str]] = {
    "a function": (lambda: km.wrap(two, 8, 2), UsageError, "expected a torch.nn.Module, got function"),  # type: ignore[arg-type]
    "no length": (lambda: km.wrap(Function(two), 0, 2), UsageError, "length: expected a whole number from 1, got 0"),
    "no outputs": (lambda: km.wrap(Function(two), 8, []), UsageError, "outputs: expected distinct names"),
    "one name": (lambda: km.wrap(Function(two), 8, "peak"), UsageError, "outputs: expected distinct names"),
    "a name twice": (lambda: km.wrap(Function(two), 8, ["a", "a"]), UsageError, "outputs: expected distinct names"),
    "a problem": (
        lambda: km.wrap(Function(two), 8, 2, problem="regression"),
        UsageError,
        "one of classes, labels, value",
    ),
    "one class": (lambda: km.wrap(Function(two), 8, 1), UsageError, "one output cannot choose among classes"),
    "two for a value": (lambda: km.wrap(Function(two), 8, 2, problem="value"), UsageError, "Set problem='values'"),
    "a dtype": (lambda: km.wrap(Function(two), 8, 2, dtype="bfloat16"), UsageError, "dtype"),
    "another number": (
        lambda: km.wrap(Function(two), 8, 3),
        ModelError,
        r"answers \[2, 2\] to 2 sequences; expected \[2, 3\]",
    ),
    "a track": (lambda: km.wrap(Function(lambda x: x), 8, 4), ModelError, r"answers \[2, 4, 8\] to 2"),
    "a tuple": (
        lambda: km.wrap(Function(lambda x: (two(x),)), 8, 2),
        ModelError,
        "returns a tuple of 1; expected one tensor",
    ),
    "whole numbers": (lambda: km.wrap(Function(lambda x: two(x).long()), 8, 2), ModelError, "int64; expected floats"),
    "other axes": (lambda: km.wrap(nn.Linear(4, 2), 8, 2), ModelError, r"cannot be run on one-hot input \[2, 4, 8\]"),
    "NaN": (lambda: km.wrap(Function(lambda x: two(x) * torch.nan), 8, 2), NotFinite, "no finite numbers"),
    "dropout": (
        lambda: km.wrap(Function(lambda x: nn.functional.dropout(two(x))), 8, 2),
        ModelError,
        "another answer to the same sequence at each call",
    ),
    "probabilities": (lambda: km.wrap(Function(lambda x: two(x).softmax(1)), 8, 2), ModelError, "without its softmax"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_would_go_wrong_later_is_refused(what: str) -> None:
    make, error, message = REFUSED[what]
    with pytest.raises(error, match=message):
        make()


def test_sequences_must_have_its_length(model: Any) -> None:
    for length, remedy in ((LENGTH - 1, "Leave it out"), (LENGTH + 1, r"Crop it: .*Crop\(60\)")):
        for call in (model.predict, lambda given: km.attribute(model, given, ["ism"])):
            with pytest.raises(LengthError, match=f"'seq0' has {length} nt; .* exactly 60. {remedy}"):
                call(["A" * length])
    with pytest.raises(SequenceError, match=r"an N at position 3"):
        model.predict(["ACGN" + "A" * 56])
    long = rows(1, 9)[0][0] + rows(1, 10)[0][0]
    assert model.predict([long], tiles=km.Tiles(LENGTH)).shape == (1, 2)


def test_nan_in_use_is_refused() -> None:
    model = km.wrap(Function(lambda x: two(x) / (x[:, 0].sum(1, keepdim=True) != 8)), 8, 2)
    assert model.predict(["ACGTACGT"]).shape == (1, 2)
    with pytest.raises(NotFinite, match="'seq0'"):
        model.predict(["AAAAAAAA"])


def test_company_is_found_out() -> None:
    norm = Function(lambda x: two(x) - two(x).mean(0))
    model = km.wrap(norm, 8, 2)
    assert model.company is Company.NONE
    strings = ["ACGTACGT", "AAAACCGT"]
    assert np.array_equal(model.logits(strings), np.zeros((2, 2)))


def test_company_is_said(caplog: pytest.LogCaptureFixture) -> None:
    km.wrap(Function(lambda x: two(x) - two(x).mean(0)), 8, 2)
    assert "another answer in a batch than alone" in caplog.text
    caplog.clear()
    km.wrap(Function(two), 8, 2)
    assert not caplog.text


def test_a_norm_of_the_batch_that_needs_company_is_refused() -> None:
    norm = nn.Sequential(Function(two), nn.BatchNorm1d(2, track_running_stats=False))
    with pytest.raises(ModelError, match=r"on one sequence alone.*batch normalisation"):
        km.wrap(norm, 8, 2)


@pytest.mark.parametrize("problem", ["classes", "labels"])
def test_probabilities_of_a_sigmoid_are_suspected(problem: str, caplog: pytest.LogCaptureFixture) -> None:
    linear = nn.Sequential(nn.Flatten(), nn.Linear(32, 2))
    km.wrap(linear, 8, 2, problem=problem)
    assert not caplog.text
    km.wrap(nn.Sequential(linear, nn.Sigmoid()), 8, 2, problem=problem)
    assert "between 0 and 1" in caplog.text
    caplog.clear()
    km.wrap(nn.Sequential(linear, nn.Sigmoid()), 8, 2, problem="values")
    assert not caplog.text


def test_axes_of_length_1_are_left_out() -> None:
    strings = ["ACGTACGT", "AAAACCGT"]
    plain = km.wrap(Function(two), 8, 2).logits(strings)
    for axes in (lambda x: two(x)[..., None], lambda x: two(x)[..., None, None]):
        assert np.array_equal(km.wrap(Function(axes), 8, 2).logits(strings), plain)
    with pytest.raises(ModelError, match=r"\[2, 1, 2\]"):
        km.wrap(Function(lambda x: two(x)[:, None]), 8, 2)


@pytest.mark.parametrize(
    ("answer", "said"),
    [(lambda y: {"logits": y, "profile": y}, "a dict with 'logits, profile'"), (lambda y: (y, y), "a tuple of 2")],
    ids=["dict", "tuple"],
)
def test_several_answers_are_refused_by_their_names(answer: Any, said: str) -> None:
    with pytest.raises(ModelError, match=f"returns {said}.*forward returns one tensor"):
        km.wrap(Function(lambda x: answer(two(x))), 8, 2)


def test_the_only_label_is_explained() -> None:
    model = km.wrap(nn.Sequential(nn.Flatten(), nn.Linear(32, 1)), 8, ["bound"], problem="labels")
    assert "a label: 0 bound" in repr(model)
    strings = ["ACGTACGT", "AAAACCGT", "GGGGCCAT"]
    result = km.attribute(model, strings, ["saliency"])
    asked = km.attribute(model, strings, ["saliency"], target="bound")
    assert np.array_equal(result["saliency"].scores, asked["saliency"].scores)
    curve = km.mutate(model, strings, {"mine": np.ones((3, 8)), **result}, counts=[2], replicates=1)
    assert curve.settings["methods"] == ["mine", "saliency"]
    alone = km.mutate(model, strings, np.ones((3, 8)), counts=[2], replicates=1)
    assert set(alone.targets.tolist()) == {1}  # the answer yes


def test_a_module_without_gradient_still_has_ism() -> None:
    model = km.wrap(Function(lambda x: two(x.detach())), 8, 2)
    with pytest.raises(UnsupportedMethod, match=r"no gradient with respect to its input.*Use ism"):
        km.attribute(model, ["ACGTACGT"], ["saliency"])
    assert km.attribute(model, ["ACGTACGT"], ["ism"])["ism"].scores.shape == (1, 8)


def test_its_digest_is_its_content(module: nn.Module) -> None:
    first = km.wrap(module, LENGTH, ["a", "b"]).digest
    assert km.wrap(copy.deepcopy(module), LENGTH, ["a", "b"]).digest == first
    changed = copy.deepcopy(module)
    with torch.no_grad():
        changed[0].weight[0, 0, 0] += 0.1
    others = [km.wrap(changed, LENGTH, ["a", "b"]), km.wrap(module, LENGTH, ["b", "a"])]
    others += [km.wrap(module, LENGTH, ["a", "b"], problem="labels"), km.wrap(module, 61, ["a", "b"])]
    assert len({first, *(other.digest for other in others)}) == 5


def test_ids_are_taken_by_a_plain_call(module: nn.Module, model: Any, tiny_checkpoint: Path) -> None:
    from captum.attr import FeatureAblation

    strings, _, _ = rows(3, 11)
    kmers = km.load_model(tiny_checkpoint, dtype="float64")
    for each in (kmers, model):
        sequences = km.Sequences.from_strings(strings)
        tokens = each.tokenize(*sequences.padded())
        ids = torch.from_numpy(tokens.ids)
        assert np.allclose(each(ids), each.logits(sequences), atol=1e-10)
        assert np.allclose(each(tokens), each.logits(sequences), atol=1e-10)
        assert np.allclose(each(tokens.ids, tokens.mask), each.logits(sequences), atol=1e-10)
        mask_id = each.tokenizer.mask_id
        result = FeatureAblation(each).attribute(ids, baselines=mask_id, target=1)
        changed = ids.clone()
        changed[:, 7] = mask_id
        assert np.allclose(result[:, 7], (each(ids) - each(changed))[:, 1], atol=1e-6)
    padded = kmers.tokenize(*km.Sequences.from_strings([strings[0], strings[1][:40]]).padded())
    ids, mask = kmers.tensors(padded)
    assert np.allclose(kmers(ids, mask), kmers.logits([strings[0], strings[1][:40]]), atol=1e-10)
    for wrong, error in (
        (ids + 0.5, UsageError),
        (ids.half(), UsageError),
        (ids[0], UsageError),
        (strings, UsageError),
        (ids.repeat(1, 9), LengthError),
    ):
        with pytest.raises(error, match="ids:"):
            kmers(wrong)
    for wrong_ids in (ids - 1, ids + 10**6, ids[:0]):
        with pytest.raises(UsageError, match="ids:"):
            kmers(wrong_ids)
    with pytest.raises(UsageError, match="mask:"):
        kmers(ids, mask[:1])
