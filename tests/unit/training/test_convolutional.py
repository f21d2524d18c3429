"""A convolutional network over nucleotides teaches by its pupil's own tokens."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from helpers.training_data import CROP, LEARN, TINY, random_strings, splits
from kmerit.errors import CheckpointError, ConfigError, RunMismatch
from kmerit.models.tokenizers import MASK, token_ids
from kmerit.sequences import Sequences
from kmerit.training import finetune
from kmerit.training.convolutional import ConvolutionalConfig, convolutional_network, letters
from kmerit.training.data import LabelledRows, Splits
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
    for other in ({"pool": 2}, {"blocks": 2}, {"readout": "places", "crop": {"length": 40}}):  # a pool has no tensors
        with pytest.raises(CheckpointError, match=r"its convolutions have (pool 1|blocks 3|places None), the recipe"):
            convolutional_network(ConvolutionalConfig(**keys | other), ("a", "b"))


def a_word_at_one_of_two_places(rows: int, seed: int) -> Sequences:
    """Sequences of 40 nt whose classes differ in nothing but where a word stands."""
    labels = np.random.default_rng(seed).integers(2, size=rows)
    places = np.where(labels == 1, 8, 24)
    texts = random_strings(rows, 40, seed)
    planted = [text[:at] + "GATTACAG" + text[at + 8 :] for text, at in zip(texts, places, strict=True)]
    return Sequences.from_strings(planted, labels=labels)


PLACES = {"readout": "places", "crop": {"length": 40, "anchor": "left"}, "channels": 8, "filter": 9, "pool": 4}


def test_a_head_that_reads_places_tells_where_a_word_stands(tmp_path) -> None:
    train, validation, test = (a_word_at_one_of_two_places(rows, seed) for rows, seed in ((400, 1), (100, 2), (100, 3)))
    data = Splits(train, validation, test, ("right", "left"), CROP)
    keys = {**LEARN, **PLACES, "blocks": 1, "learning_rate": 1e-2, "max_steps": 60, "baselines": False}
    folder = finetune(ConvolutionalConfig(**keys), tmp_path / "places", data=data, network=convolutional_network)
    assert json.loads((folder / "metrics.json").read_text())["test"]["auroc"]["value"] > 0.95


@pytest.mark.parametrize(("pool", "blocks"), [(1, 1), (4, 1), (4, 2), (7, 3), (40, 1)])
def test_a_head_that_reads_places_fits_any_pooling_and_shorter_rows(pool, blocks) -> None:
    config = ConvolutionalConfig(**{**LEARN, **PLACES, "pool": pool, "blocks": blocks})
    network = convolutional_network(config, ("a", "b")).eval()
    text = random_strings(1, 40, seed=3)[0]
    whole, part = (
        torch.from_numpy(token_ids(next(Sequences.from_strings([each]).rows())[None], np.array([len(each)]), 3).ids)
        for each in (text, text[:30])
    )
    assert network(whole).logits.shape == network(part).logits.shape == (1, 2)
    longer = torch.cat([whole[:, :-1], whole[:, 5:8]], dim=1)
    with pytest.raises(ValueError, match="Expected at most 40 nucleotides, whose places the network reads; got 4"):
        network(longer)


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"filter": 12}, r"filter \(12\) must be odd"),
        ({"readout": "places", "crop": None}, "needs sequences of one length: set crop"),
        ({"readout": "places", "crop": "none"}, "needs sequences of one length: set crop"),
    ],
)
def test_a_shape_that_cannot_be_is_refused(keys, said) -> None:
    with pytest.raises(ConfigError, match=said):
        ConvolutionalConfig.parse({**LEARN, "task": "ienhancer_2l", **keys})


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
