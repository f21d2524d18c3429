"""Models that know nothing: their weights, and what stays of the checkpoint."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import kmerit as km
from helpers.checkpoints import REFERENCE
from kmerit.errors import CheckpointError
from kmerit.models.untrained import permuted_weights, random_weights, training_steps

STRINGS = ["ACGTTGCAGGATCCATTACGGATA", "GGGCCCATATCGATCGATTTAGAC"]


def test_random_weights_are_those_of_a_new_model(tiny_checkpoint: Path) -> None:
    one, again, other = (random_weights(tiny_checkpoint, seed) for seed in (1, 1, 2))
    assert one.digest == again.digest != other.digest
    assert one.digest != km.load_model(tiny_checkpoint).digest
    np.testing.assert_array_equal(one.logits(STRINGS), again.logits(STRINGS))
    layer = one.encoder.layers[0]
    weight = layer.up.weight.numpy()
    assert weight.std() == pytest.approx(0.2, rel=0.05)  # initializer_range of config.json
    assert abs(weight.mean()) < 0.02
    assert (layer.up.bias == 0).all()
    assert (layer.after_attention.weight == 1).all()
    assert (layer.after_attention.bias == 0).all()
    assert one.labels == km.load_model(tiny_checkpoint).labels


@pytest.mark.parametrize("name", ["dnabert2", "nucleotide_transformer_v1", "nucleotide_transformer_v2", "gena_lm"])
def test_other_families(name: str) -> None:
    for model in (random_weights(REFERENCE / name, 0), permuted_weights(REFERENCE / name, 0)):
        assert np.isfinite(model.logits(STRINGS)).all()


def test_permuted_weights_keep_every_matrix_its_values(tiny_checkpoint: Path) -> None:
    trained, permuted = km.load_model(tiny_checkpoint), permuted_weights(tiny_checkpoint, 0)
    before, after = (each.encoder.layers[1].down.weight.numpy() for each in (trained, permuted))
    assert (before != after).any()
    assert np.array_equal(np.sort(before, axis=None), np.sort(after, axis=None))
    assert permuted.name.endswith("(permuted, seed 0)")


def test_steps_of_a_training_in_their_order(tmp_path: Path) -> None:
    for name in ("checkpoint-1000", "checkpoint-200", "runs", "checkpoint-best"):
        (tmp_path / name).mkdir()
    assert list(training_steps(tmp_path)) == [200, 1000]
    with pytest.raises(CheckpointError, match="expected folders checkpoint-N"):
        training_steps(tmp_path / "runs")
