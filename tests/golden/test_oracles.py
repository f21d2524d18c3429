"""Methods against trusted libraries, captum and tangermeme, which only the tests need."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from captum.attr import (
    DeepLift,
    FeatureAblation,
    GradientShap,
    InputXGradient,
    IntegratedGradients,
    NoiseTunnel,
    Saliency,
)
from tangermeme.deep_lift_shap import BilinearOp
from tangermeme.saturation_mutagenesis import saturation_mutagenesis
from torch import Tensor, nn
from transformers import BertForSequenceClassification

import kmerit as km
from kmerit.models.one_hot import EncoderModules
from kmerit.models.tokenizers import MASK
from kmerit.sequences import generator, one_hot

SEQUENCES = km.Sequences.from_strings(["ACGTTGCAACGGTCAGGATT", "TTGACATTACGGATTTCCAGA"])
TARGET = 1


@pytest.fixture(scope="module")
def model(tiny_checkpoint: Path) -> Any:
    return km.load_model(tiny_checkpoint, dtype="float64")


class Logits(nn.Module):
    """Hugging Face's BERT over word embeddings, which is what captum explains."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.bert = BertForSequenceClassification.from_pretrained(folder, dtype=torch.float64).eval()

    def forward(self, words: Tensor) -> Tensor:
        logits: Tensor = self.bert(inputs_embeds=words).logits
        return logits


@pytest.fixture(scope="module")
def logits(tiny_checkpoint: Path) -> Logits:
    return Logits(tiny_checkpoint)


def case(model: Any, logits: Logits, i: int) -> tuple[Tensor, Tensor, Tensor]:
    """Ids, word embeddings and [MASK] embeddings of one sequence."""
    tokens = model.tokenize(*SEQUENCES.take([i]).padded())
    ids = torch.from_numpy(tokens.ids)
    masked = ids.masked_fill(torch.from_numpy(tokens.spans[..., 1] > tokens.spans[..., 0]), MASK)
    table = logits.bert.bert.embeddings.word_embeddings
    return ids, table(ids).detach(), table(masked).detach()


def attribute(model: Any, method: str, level: str = "token", **options: Any) -> km.Attribution:
    return km.attribute(model, SEQUENCES, [method], target=TARGET, level=level, options={method: options})[method]


def close(got: Any, expected: Tensor, tolerance: float = 1e-9) -> None:
    """Agree to a share of the largest value."""
    want = expected.detach().numpy()
    assert np.abs(got[: len(want)] - want).max() <= tolerance * np.abs(want).max()


def test_saliency(model: Any, logits: Logits) -> None:
    result = attribute(model, "saliency").scores
    for i in range(len(SEQUENCES)):
        _, words, _ = case(model, logits, i)
        close(result[i], Saliency(logits).attribute(words.requires_grad_(), TARGET, abs=False)[0].norm(dim=-1))


def test_input_x_gradient(model: Any, logits: Logits) -> None:
    result = attribute(model, "input_x_gradient").scores
    for i in range(len(SEQUENCES)):
        _, words, _ = case(model, logits, i)
        close(result[i], InputXGradient(logits).attribute(words.requires_grad_(), TARGET)[0].sum(-1))


def test_integrated_gradients(model: Any, logits: Logits) -> None:
    result = attribute(model, "integrated_gradients", steps=20).scores
    for i in range(len(SEQUENCES)):
        _, words, baseline = case(model, logits, i)
        expected = IntegratedGradients(logits).attribute(words, baseline, TARGET, n_steps=20, method="gausslegendre")
        close(result[i], expected[0].sum(-1), 1e-7)  # captum's points are float32


def test_smoothgrad(model: Any, logits: Logits, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same draws, given to captum's noise tunnel; its mean is over gradients, so one sample is compared."""
    result = attribute(model, "smoothgrad", samples=1, noise=0.2, seed=5).scores
    for i, name in enumerate(SEQUENCES.names):
        _, words, _ = case(model, logits, i)
        drawn = generator(5, "smoothgrad", 0, name).standard_normal(words.shape)
        monkeypatch.setattr(torch, "normal", lambda mean, deviation, d=drawn: mean + deviation * torch.from_numpy(d))
        tunnel = NoiseTunnel(Saliency(logits))
        spread = 0.2 * float(words.max() - words.min())
        expected = tunnel.attribute(words, nt_type="smoothgrad", nt_samples=1, stdevs=spread, target=TARGET, abs=False)
        close(result[i], expected[0].norm(dim=-1), 1e-6)  # captum rounds the deviation to float32


@pytest.mark.usefixtures("nothing_withheld")
@pytest.mark.parametrize("baselines", ["mask", "shuffled"])
def test_gradient_shap(baselines: str, model: Any, logits: Logits, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same points and baselines, given to captum in place of its own draws."""
    samples, count = 6, 2
    options = {"n_samples": samples, "n_baselines": count, "baselines": baselines, "seed": 3}
    result = attribute(model, "gradient_shap", **options)
    for i, name in enumerate(SEQUENCES.names):
        _, words, masked = case(model, logits, i)
        rng, points, starts = generator(3, "gradient_shap", 0, name), [], []
        for _ in range(count):
            start = masked
            if baselines == "shuffled":
                bases = rng.permutation(next(iter(SEQUENCES.take([i]).rows())))[None]
                tokens = model.tokenize(bases, np.array([bases.size]))
                start = logits.bert.bert.embeddings.word_embeddings(torch.from_numpy(tokens.ids)).detach()
            starts += [start] * samples
            points += [(part + rng.random()) / samples for part in range(samples)]
        monkeypatch.setattr(np.random, "uniform", lambda low, high, n, p=points: np.array(p))
        monkeypatch.setattr(np.random, "choice", lambda n, size: np.arange(size))
        expected, delta = GradientShap(logits).attribute(
            words, torch.cat(starts), n_samples=samples * count, target=TARGET, return_convergence_delta=True
        )
        close(result.scores[i], expected[0].sum(-1))
        rise = logits(words)[0, TARGET] - logits(torch.cat(starts))[:, TARGET].mean()
        np.testing.assert_allclose(result.diagnostics["delta"][i], float((delta.mean() / rise).abs().detach()))


def test_deep_lift_adds_up_where_captums_does_not(model: Any, logits: Logits) -> None:
    attribution = attribute(model, "deep_lift")
    assert attribution.withheld is None
    assert attribution.diagnostics["delta"].max() < 1e-9
    network = EncoderModules(model.encoder)
    for i in range(len(SEQUENCES)):
        _, words, baseline = case(model, logits, i)
        mask = torch.ones(words.shape[:2])
        rise = (logits(words) - logits(baseline))[0, TARGET].detach()
        np.testing.assert_allclose(np.nansum(attribution.scores[i]), float(rise), rtol=1e-9)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that it sets hooks
            _, missed = DeepLift(network).attribute(
                words, baseline, TARGET, additional_forward_args=(mask,), return_convergence_delta=True
            )
        assert abs(float(missed / rise)) > 0.01


def test_occlusion(model: Any, logits: Logits) -> None:
    result = attribute(model, "occlusion", unit="token").scores
    for i in range(len(SEQUENCES)):
        ids, _, _ = case(model, logits, i)
        ablation = FeatureAblation(lambda ids: logits.bert(input_ids=ids).logits)
        expected = ablation.attribute(ids, baselines=MASK, target=TARGET)[0].double()
        expected[[0, -1]] = 0  # special tokens are never masked
        close(result[i], expected)


def test_ism_is_saturation_mutagenesis(model: Any) -> None:
    effects = attribute(model, "ism", level="nucleotide").substitutions
    assert effects is not None
    for i in range(len(SEQUENCES)):
        x = torch.from_numpy(one_hot(SEQUENCES.take([i]).padded()[0]))
        before, after = saturation_mutagenesis(km.one_hot_model(model), x, raw_outputs=True, device="cpu")
        expected = (after - before[:, None, None])[0, :, :, TARGET].T
        np.testing.assert_allclose(effects[i, : x.shape[2]], expected, atol=1e-9)


def test_the_bridge_in_modules_of_another_tool(model: Any) -> None:
    sequences = SEQUENCES.take([0])
    bridge = km.one_hot_model(model, product=BilinearOp)
    result = bridge(torch.from_numpy(one_hot(sequences.padded()[0]))).numpy()
    np.testing.assert_allclose(result, model.logits(sequences), atol=1e-12)
