"""A convolutional network over nucleotides teaches by its pupil's own tokens."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from helpers.training_data import LEARN, TINY, random_strings, splits
from kmerit.errors import ConfigError, RunMismatch
from kmerit.models.tokenizers import MASK, token_ids
from kmerit.sequences import Sequences
from kmerit.training import finetune
from kmerit.training.convolutional import ConvolutionalConfig, convolutional_network, letters
from kmerit.training.data import LabelledRows
from kmerit.training.learner import classifier
from kmerit.training.loop import teacher
from kmerit.training.recipe import FinetuneConfig


def test_a_convolutional_network_teaches_by_the_pupils_own_tokens(tmp_path) -> None:
    data = splits()
    keys = {**LEARN, "channels": 16, "average_decay": 0.9, "max_steps": 40, "baselines": False}
    folder = finetune(ConvolutionalConfig(**keys), tmp_path / "teacher", data=data, network=convolutional_network)
    measured = json.loads((folder / "metrics.json").read_text())["test"]
    assert measured["auroc"]["value"] > 0.9
    pupil, _ = classifier(FinetuneConfig(**TINY), ("a", "b"))
    loaded = teacher([str(folder)], 1.0, pupil)
    rows = LabelledRows(data.test, FinetuneConfig(**LEARN), 3, data.crop, 0)
    logits = loaded.models[0](**{**rows.__getitems__(list(range(40))), "labels": None}).logits
    assert (logits.argmax(1).numpy() == data.test.labels).mean() == pytest.approx(measured["accuracy"]["value"])
    with pytest.raises(RunMismatch, match="channels was 16, now it is 8"):
        finetune(
            ConvolutionalConfig(**keys | {"channels": 8}),
            tmp_path / "teacher",
            data=data,
            network=convolutional_network,
        )
    keys |= {"base": str(folder), "max_steps": 1, "seed": 1}
    third = convolutional_network(ConvolutionalConfig(**keys), ("a", "b", "c"))
    assert torch.equal(third.network.first.weight, loaded.models[0].network.first.weight)


def test_letters_are_read_off_kmers_where_any_of_them_is_shown() -> None:
    text = random_strings(1, 30, seed=3)[0]
    ids = token_ids(next(Sequences.from_strings([text]).rows())[None], np.array([30]), 4).ids
    expected = ["ATCG".index(base) for base in text]
    assert letters(torch.from_numpy(ids), 4)[0, :30].tolist() == expected
    ids[0, 5:8] = MASK  # of the k-mers over letter 7, number 4 to 7, the last is still shown
    assert letters(torch.from_numpy(ids), 4)[0, :30].tolist() == expected
    ids[0, 8] = MASK
    result = letters(torch.from_numpy(ids), 4)[0].tolist()
    assert result[:7] == expected[:7]
    assert result[7] == 4
    assert result[8:30] == expected[8:]
    assert set(result[30:]) == {4}


def test_the_recipe_of_another_network_is_refused() -> None:
    with pytest.raises(ConfigError, match="Expected a ConvolutionalConfig, got a FinetuneConfig"):
        convolutional_network(FinetuneConfig(**TINY), ("a", "b"))
