"""Company in a batch never changes an answer: models whose padding would are found out, and asked in other batches."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import kmerit as km
from helpers.checkpoints import random_strings, write_library
from kmerit.biology.heads import head_attention
from kmerit.errors import CheckpointError
from kmerit.models.inference import Company, batches, company_of
from kmerit.models.library import Library

LEAKING: dict[str, dict[str, Any]] = {
    "convbert": {"embedding_size": 16, "conv_kernel_size": 5, "head_ratio": 2},
    "fnet": {},
    "nystromformer": {"num_landmarks": 8, "segment_means_seq_len": 8},
    "yoso": {},
}
TIGHT: dict[str, dict[str, Any]] = {
    "distilbert": {"dim": 16, "n_layers": 2, "n_heads": 4, "hidden_dim": 24},
    "roberta": {},
    "roformer": {},
}
SEQUENCES = km.Sequences.from_strings(random_strings([20, 31, 20, 44, 60, 21, 20], seed=1))


@pytest.fixture(scope="module", params=[*LEAKING, *TIGHT])
def model(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    kind = request.param
    folder = write_library(tmp_path_factory.mktemp(kind), kind, **{**LEAKING, **TIGHT}[kind])
    return km.load_model(folder, dtype="float64", micro_batch=4)


def kind(model: Any) -> str:
    return str(model.encoder.module.config.model_type)


def test_padding_that_leaks_is_found_out(model: Any) -> None:
    assert model.company is (Company.EQUAL if kind(model) in LEAKING else Company.ANY)
    free = replace(model, company=Company.ANY)
    alone = np.concatenate([free.logits(SEQUENCES.take([i])) for i in range(len(SEQUENCES))])
    leak = np.abs(free.logits(SEQUENCES) - alone).max()
    assert leak > 1e-4 if kind(model) in LEAKING else leak < 1e-12


@pytest.mark.filterwarnings("ignore::kmerit.errors.WithheldWarning")
def test_answers_and_scores_alone_and_together_are_the_same(model: Any) -> None:
    methods = ["saliency", "integrated_gradients", "ism", "occlusion"]
    options = {"integrated_gradients": {"steps": 32}}
    together = model.logits(SEQUENCES)
    scores = km.attribute(model, SEQUENCES, methods, target=1, options=options)
    curve = km.mutate(model, SEQUENCES, scores["ism"], counts=[3], replicates=1)
    mutants = curve.mutants.to_pandas()
    for i in range(len(SEQUENCES)):
        one = SEQUENCES.take([i])
        np.testing.assert_allclose(model.logits(one)[0], together[i], atol=1e-12)
        alone = km.attribute(model, one, methods, target=1, options=options)
        for name in methods:
            width = alone[name].scores.shape[1]
            np.testing.assert_allclose(scores[name].scores[i, :width], alone[name].scores[0], atol=1e-10)
        own = km.mutate(model, one, scores["ism"].take([i]), counts=[3], replicates=1).mutants.to_pandas()
        result = np.stack(mutants[mutants["sequence"] == i]["logits"])
        np.testing.assert_allclose(result, np.stack(own["logits"]), atol=1e-12)


def test_the_probe_changes_nothing(tmp_path: Path) -> None:
    model = km.load_model(write_library(tmp_path, "yoso"))
    before = {name: tensor.clone() for name, tensor in model.encoder.module.state_dict().items()}
    assert company_of("m", model.encoder, model.tokenizer, model.max_tokens) is Company.EQUAL
    after = model.encoder.module.state_dict()
    assert {name: tensor.dtype for name, tensor in after.items()} == {n: t.dtype for n, t in before.items()}
    assert all(torch.equal(after[name], tensor) for name, tensor in before.items())


@pytest.mark.parametrize(("what", "expected"), [("the others", Company.NONE), ("nothing", Company.ANY)])
def test_company_of_equal_length_can_matter_too(
    what: str, expected: Company, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in a mixture of experts whose capacity the batch shares."""
    plain = Library.logits

    def logits(self: Library, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        result = plain(self, ids, mask)
        return result + result.mean() if what == "the others" else result

    monkeypatch.setattr(Library, "logits", logits)
    model = km.load_model(write_library(tmp_path, "roberta"), dtype="float64", micro_batch=3)
    assert model.company is expected
    alone = np.concatenate([model.logits(SEQUENCES.take([i])) for i in range(len(SEQUENCES))])
    np.testing.assert_allclose(model.logits(SEQUENCES), alone, atol=1e-12)


def test_a_model_that_answers_anew_each_time_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = Library.logits
    monkeypatch.setattr(
        Library, "logits", lambda self, ids, mask: plain(self, ids, mask) + torch.rand(1, dtype=torch.float64)
    )
    with pytest.raises(CheckpointError, match=r"the same sequence gives .* and then"):
        km.load_model(write_library(tmp_path, "roberta"))


def test_own_networks_are_not_asked(tiny_checkpoint: Path) -> None:
    assert km.load_model(tiny_checkpoint).company is Company.ANY


def test_heads_of_several_sequences(tmp_path: Path) -> None:
    model = km.load_model(write_library(tmp_path, "distilbert", **TIGHT["distilbert"]), dtype="float64")
    equal = replace(model, company=Company.EQUAL)
    np.testing.assert_allclose(head_attention(equal, SEQUENCES), head_attention(model, SEQUENCES), atol=1e-12)


def test_batches_part_rows_by_their_tokens(tiny_checkpoint: Path) -> None:
    tokens = km.load_model(tiny_checkpoint).tokenize(*SEQUENCES.padded())
    for company, sizes in ((Company.ANY, [7]), (Company.EQUAL, [3, 1, 1, 1, 1]), (Company.NONE, [1] * 7)):
        result = list(batches(tokens, company))
        assert [rows.size for rows in result] == sizes
        assert sorted(np.concatenate(result).tolist()) == list(range(7))
