"""The methods that ask the model again, against their definitions written out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import kmerit as km
from kmerit.errors import UsageError, WithheldWarning
from kmerit.io.scores import read_attributions
from kmerit.models.tokenizers import MASK, vocabulary

STRINGS = ["ACGTTGCAACGG", "TTGACATTA"]


@pytest.fixture(scope="module")
def model(tiny_checkpoint: Path) -> Any:
    return km.load_model(tiny_checkpoint, dtype="float64")


def attribute(model: Any, method: str, **options: Any) -> km.Attribution:
    sequences = km.Sequences.from_strings(STRINGS)
    return km.attribute(model, sequences, [method], target=1, options={method: options})[method]


def logit(model: Any, text: str) -> float:
    return float(model.logits(km.Sequences.from_strings([text]))[0, 1])


def test_ism_is_every_substitution(model: Any, tmp_path: Path) -> None:
    attribution = attribute(model, "ism")
    assert attribution.substitutions is not None
    for i, text in enumerate(STRINGS):
        for position, old in enumerate(text):
            effects = [
                logit(model, text[:position] + new + text[position + 1 :]) - logit(model, text) if new != old else 0.0
                for new in "ACGT"
            ]
            np.testing.assert_allclose(attribution.substitutions[i, position], effects, atol=1e-12)
            np.testing.assert_allclose(attribution.scores[i, position], -sum(effects) / 3, atol=1e-12)
    path = km.attribute(
        model, km.Sequences.from_strings(STRINGS), ["ism", "rollout"], target=1, out=tmp_path / "a.parquet"
    )
    reloaded = read_attributions(path)
    assert np.array_equal(reloaded["ism"].substitutions, attribution.substitutions)
    assert reloaded["rollout"].substitutions is None


def test_first_order_ism_is_the_derivative_of_ism(model: Any) -> None:
    """Scaled towards nothing, a change of the embeddings has the first-order effect."""
    attribution = attribute(model, "ism_first_order")
    words = vocabulary(6)
    text, step = STRINGS[0], 1e-5
    index = {word: i for i, word in enumerate(words)}
    tokens = model.tokenize(*km.Sequences.from_strings([text]).padded())
    ids, mask = torch.from_numpy(tokens.ids), torch.from_numpy(tokens.mask)
    table = model.encoder.words

    def at(embeddings: torch.Tensor) -> float:
        return float(model.encoder.classify(model.encoder.embed(embeddings), mask)[0, 1])

    for position, new in [(0, "T"), (5, "C"), (7, "C"), (11, "A")]:
        changed = text[:position] + new + text[position + 1 :]
        other = torch.tensor([[2, *(index[changed[i : i + 6]] for i in range(len(text) - 5)), 3]])
        way = table[other] - table[ids]
        slope = (at(table[ids] + step * way) - at(table[ids] - step * way)) / (2 * step)
        result = attribution.substitutions[0, position, "ACGT".index(new)]
        np.testing.assert_allclose(result, slope, rtol=1e-5, atol=1e-9)
    np.testing.assert_allclose(attribution.scores[0], -attribution.substitutions[0].sum(-1) / 3)
    own = ["ACGT".index(base) for base in text]
    assert (attribution.substitutions[0, np.arange(len(text)), own] == 0).all()


def test_occlusion_masks_every_token_over_a_nucleotide(model: Any) -> None:
    attribution = attribute(model, "occlusion")
    single = attribute(model, "occlusion", unit="token")
    text = STRINGS[1]
    tokens = model.tokenize(*km.Sequences.from_strings([text]).padded())

    def masked(chosen: list[int]) -> float:
        ids = tokens.ids.copy()
        ids[0, chosen] = MASK
        return float(model.forward(km.Tokens(ids, tokens.mask, tokens.spans))[0, 1])

    for position in range(len(text)):
        over = [1 + start for start in range(len(text) - 5) if start <= position < start + 6]
        np.testing.assert_allclose(attribution.scores[1, position], logit(model, text) - masked(over), atol=1e-12)
    np.testing.assert_allclose(single.scores[1, 0], logit(model, text) - masked([1]), atol=1e-12)


def test_integrated_gradients_are_complete(model: Any) -> None:
    sequences = km.Sequences.from_strings(STRINGS)
    attribution = km.attribute(model, sequences, ["integrated_gradients"], target=1, level="token")[
        "integrated_gradients"
    ]
    tokens = model.tokenize(*sequences.padded())
    covers = tokens.spans[..., 1] > tokens.spans[..., 0]
    start = model.forward(km.Tokens(np.where(covers, MASK, tokens.ids), tokens.mask, tokens.spans))[:, 1]
    difference = model.logits(sequences)[:, 1] - start
    np.testing.assert_allclose(np.nansum(attribution.scores, axis=1), difference, rtol=1e-3)
    assert (attribution.diagnostics["delta"] < 1e-3).all()
    with pytest.warns(WithheldWarning, match="integrated_gradients is withheld"):
        rough = attribute(model, "integrated_gradients", steps=1)
    assert rough.diagnostics["delta"].max() > attribution.diagnostics["delta"].max()


def test_smoothgrad_without_noise_is_saliency(model: Any) -> None:
    quiet = attribute(model, "smoothgrad", noise=0.0, samples=2)
    np.testing.assert_allclose(quiet.scores, attribute(model, "saliency").scores, rtol=1e-10)
    noisy = attribute(model, "smoothgrad", noise=0.2, samples=3)
    assert not np.allclose(noisy.scores, quiet.scores, rtol=1e-3, equal_nan=True)
    assert np.array_equal(noisy.scores, attribute(model, "smoothgrad", noise=0.2, samples=3).scores, equal_nan=True)


def test_random_is_named_by_sequence_and_seed(model: Any) -> None:
    scores = attribute(model, "random").scores
    assert not np.allclose(scores, attribute(model, "random", seed=1).scores, equal_nan=True)
    last = km.attribute(model, km.Sequences.from_strings([STRINGS[1]], names=["seq1"]), ["random"])["random"].scores
    assert np.array_equal(last[0], scores[1, : len(STRINGS[1])])


def test_nucleotide_methods_have_no_token_scores(model: Any) -> None:
    with pytest.raises(UsageError, match="ism scores nucleotides, not tokens"):
        km.attribute(model, km.Sequences.from_strings(STRINGS), ["ism"], level="token")


def test_partial_lrp_of_the_last_layer_is_lrp_last(model: Any) -> None:
    last = attribute(model, "partial_lrp", layer=-1)
    np.testing.assert_array_equal(last.scores, attribute(model, "lrp_last").scores)
    assert not np.allclose(attribute(model, "partial_lrp", layer=0).scores, last.scores, equal_nan=True)
