"""Sanity checks on scores with known answers, and weights made random stage by stage."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import kmerit as km
from kmerit.errors import CountError, ModelError
from kmerit.trials.checks import cascade, entropy, gini
from kmerit.trials.verdicts import aopc_by_method, judge


def test_sparsity_and_entropy() -> None:
    n = 8
    one_hot, even, half = np.eye(n)[:1], np.full((1, n), -2.0), np.array([[1.0] * 4 + [0.0] * 4])
    assert gini(one_hot)[0] == pytest.approx(1 - 1 / n)
    assert gini(even)[0] == pytest.approx(0)
    assert gini(half)[0] == pytest.approx(0.5)
    assert (entropy(one_hot)[0], entropy(even)[0]) == (0.0, pytest.approx(1))
    assert entropy(half)[0] == pytest.approx(np.log(4) / np.log(8))
    padded = np.append(half, [[np.nan, np.inf]], axis=1)
    assert (gini(padded)[0], entropy(padded)[0]) == (gini(half)[0], entropy(half)[0])
    for measure in (gini, entropy):
        assert np.isnan(measure(np.zeros((1, 4)))[0])


def test_the_cascade_spoils_one_part_after_the_other_and_leaves_the_model(tiny_checkpoint: Path) -> None:
    model = km.load_model(tiny_checkpoint, dtype="float64")
    sequences = km.Sequences.from_strings(["ACGTTGCAACGTAACC"])
    before = model.logits(sequences).copy()
    calls = [model]
    for stage, altered in cascade(model, seed=0):
        last = calls[-1].encoder
        changed = {
            "classifier": not torch.equal(altered.encoder.classifier.weight, last.classifier.weight),
            "pooler": not torch.equal(altered.encoder.pooler.weight, last.pooler.weight),
            **{
                f"layer {i + 1}": not torch.equal(a.up.weight, b.up.weight)
                for i, (a, b) in enumerate(zip(altered.encoder.layers, last.layers, strict=True))
            },
            "embeddings": not torch.equal(altered.encoder.words, last.words),
        }
        assert [part for part, different in changed.items() if different] == [stage]
        assert not np.array_equal(altered.logits(sequences), calls[-1].logits(sequences))
        assert altered.digest not in {each.digest for each in calls}
        calls.append(altered)
    assert np.array_equal(model.logits(sequences), before)
    words = [np.sort(each.encoder.words.flatten().numpy()) for each in (model, calls[-1])]
    assert np.array_equal(*words), "a permutation keeps the values"
    again = [altered.logits(sequences) for _, altered in cascade(model, seed=0)]
    assert all(np.array_equal(a, b.logits(sequences)) for a, b in zip(again, calls[1:], strict=True))


def test_a_model_whose_parts_are_not_known_is_refused(tiny_checkpoint: Path) -> None:
    whole: Any = torch.nn.Identity()
    model = replace(km.load_model(tiny_checkpoint), encoder=whole)
    with pytest.raises(ModelError, match="a library runs its forward pass"):
        next(cascade(model, seed=0))


def test_the_endpoint_is_the_mean_drop_of_the_logit(tiny_checkpoint: Path) -> None:
    model = km.load_model(tiny_checkpoint)
    sequences = km.Sequences.from_strings(["ACGTTGCAACGTAACC", "GGGTTGCAACGTAACA"], labels=[0, 1])
    scores = km.attribute(model, sequences, ["lrp", "ism"], target=1)
    curve = km.mutate(model, sequences, scores, counts=[0, 2, 5], replicates=2)
    logits = np.array(curve.mutants["logits"].to_pylist())[:, 1]
    cells = curve.cells.to_pandas()
    cells["logit"] = logits[cells["mutant"]]
    for method, values in aopc_by_method(curve).items():
        for sequence in (0, 1):
            own = cells[(cells["method"] == method) & (cells["sequence"] == sequence)]
            drop = own[own["n"] == 0]["logit"].mean() - own[own["n"] > 0].groupby("n")["logit"].mean().mean()
            assert values[sequence] == pytest.approx(drop)
    called = model.logits(sequences).argmax(axis=1)
    for each in judge(curve.without_labels, resamples=100):  # without labels, every sequence is called right
        assert each.sequences == (called == each.label).sum()
        if each.sequences:
            assert aopc_by_method(curve)[each.method][called == each.label].mean() == pytest.approx(each.aopc)
    with pytest.raises(CountError, match="no mutants under complement"):
        aopc_by_method(curve, operator="complement")
