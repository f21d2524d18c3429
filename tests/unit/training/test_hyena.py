"""A HyenaDNA trained from scratch is a checkpoint of the family, in the published layout, and takes long sequences."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

import kmerit as km
from helpers.checkpoints import REFERENCE, random_strings
from kmerit.errors import ConfigError, LengthError
from kmerit.training import finetune
from kmerit.training.data import Splits
from kmerit.training.hyena import new_hyenadna
from kmerit.training.learner import learner
from kmerit.training.recipe import FinetuneConfig

TINY = {
    "architecture": "hyenadna", "hidden": 8, "heads": 1, "layers": 2, "intermediate": 16, "max_tokens": 701,
    "hidden_dropout": 0.0, "batch_size": 4, "max_steps": 2, "resamples": 5, "device": "cpu", "baselines": False,
}  # fmt: skip


def rows(length: int) -> km.Sequences:
    strings = random_strings([length] * 8, seed=1)
    return km.Sequences.from_strings(strings, labels=[0, 1] * 4)


def test_the_layout_is_the_published_one() -> None:
    published = load_file(REFERENCE / "hyenadna" / "model.safetensors")
    config = FinetuneConfig.parse({**TINY, "hidden": 12, "intermediate": 20, "max_tokens": 96})
    new = new_hyenadna(config).tensors
    of_filters = ("filter_fn.implicit_filter", "filter_fn.pos_emb.z")
    assert {*new, "score.weight"} == set(published)
    for key in new:
        if not any(part in key for part in of_filters):  # as wide as they are by default, not as in that tiny model
            assert new.shape(key) == tuple(published[key].shape), key
    key = "hyena.backbone.layers.0.mixer.filter_fn."
    torch.testing.assert_close(new[f"{key}pos_emb.t"], published[f"{key}pos_emb.t"])
    torch.testing.assert_close(new[f"{key}pos_emb.z"][..., 0], published[f"{key}pos_emb.z"][..., 0])
    torch.testing.assert_close(new[f"{key}modulation.deltas"], published[f"{key}modulation.deltas"])


def test_what_is_published_computes_what_was_trained_on_more_than_512_nucleotides(tmp_path: Path) -> None:
    long = rows(700)
    folder = finetune(FinetuneConfig.parse(TINY), tmp_path / "model", data=Splits(long, long, long))
    model = km.load_model(folder)
    assert model.family == "hyenadna"
    assert model.labels == ("0", "1")
    trained, start = load_file(folder / "model.safetensors"), new_hyenadna(FinetuneConfig.parse(TINY)).tensors
    for key in start:
        constant = key.endswith(("pos_emb.t", "pos_emb.z", "deltas"))
        assert torch.equal(trained[key], start[key]) == constant, key
    with pytest.raises(LengthError):
        model.logits(rows(701))


def test_the_seed_draws_the_weights() -> None:
    one, same, other = (learner(FinetuneConfig.parse({**TINY, "seed": seed}), ["a", "b"]).module for seed in (0, 0, 1))
    ids = torch.tensor(np.random.default_rng(0).integers(7, 11, (2, 30)))
    with torch.no_grad():
        answers = [module(ids)["logits"] for module in (one, same, other)]
    assert torch.equal(answers[0], answers[1])
    assert (answers[0] - answers[2]).abs().max() > 1e-3


def test_rows_that_are_too_long_are_refused(tmp_path: Path) -> None:
    with pytest.raises(LengthError, match="a sequence of 701 nt has 702 tokens; the model takes 701"):
        finetune(FinetuneConfig.parse(TINY), tmp_path / "model", data=Splits(rows(701)))


@pytest.mark.parametrize(
    ("key", "value"),
    [("base", "bundled:encoder"), ("attention_dropout", 0.1), ("lora", {"rank": 2}), ("embedding_start", "composed")],
)
def test_what_does_not_go_with_it_is_refused(key: str, value: object) -> None:
    with pytest.raises(ConfigError, match=f"trained from scratch, without attention; {key} is not for it"):
        FinetuneConfig.parse({**TINY, key: value})
