"""Ablation of heads: against hooks on transformers' own module, and on a head that was made by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import kmerit as km
from helpers.checkpoints import REFERENCE, random_strings, write_library
from helpers.planted_head import PLANTED, WORD, planted_windows, write_planted
from kmerit.biology.head_effects import Effects, Outputs, contrasts, head_outputs, ladder, with_feature, without_heads
from kmerit.errors import UnsupportedMethod
from kmerit.sequences import Sequences

STRINGS = random_strings([60, 41, 60])


def by_hooks(folder: Path, strings: list[str], heads: list[tuple[int, int]]) -> tuple[np.ndarray, list[torch.Tensor]]:
    """Logits with the slices of heads replaced by their means, by transformers; and the means over tokens."""
    from transformers import BertForSequenceClassification

    module: Any = BertForSequenceClassification.from_pretrained(folder, attn_implementation="eager").eval()
    words = (folder / "vocab.txt").read_text().split()
    batches = [
        torch.tensor([[words.index(w) for w in ["[CLS]", *(t[i : i + 6] for i in range(len(t) - 5)), "[SEP]"]]])
        for t in strings
    ]
    seen: list[list[torch.Tensor]] = [[] for _ in module.bert.encoder.layer]
    means: list[torch.Tensor] = []

    def pass_over() -> np.ndarray:
        with torch.no_grad():
            return np.concatenate([module(ids).logits.numpy() for ids in batches])

    def listen(at: int) -> Any:
        last = at == len(seen) - 1
        return lambda part, inputs: seen[at].append(inputs[0][0, :1] if last else inputs[0][0])

    projections = [layer.attention.output.dense for layer in module.bert.encoder.layer]
    hooks = [each.register_forward_pre_hook(listen(at)) for at, each in enumerate(projections)]
    pass_over()
    for hook in hooks:
        hook.remove()
    means = [torch.cat(each).mean(0) for each in seen]

    def ablate(at: int) -> Any:
        def hook(part: Any, inputs: Any) -> Any:
            x = inputs[0].clone()
            for layer, head in heads:
                if layer == at:
                    x[:, :, 8 * head : 8 * head + 8] = means[at][8 * head : 8 * head + 8]
            return (x,)

        return hook

    for at, each in enumerate(projections):
        each.register_forward_pre_hook(ablate(at))
    return pass_over(), means


@pytest.mark.parametrize("heads", [[], [(0, 1)], [(1, 3)], [(0, 0), (0, 2), (1, 1)]])
def test_ablation_is_a_hook_before_the_projection(tiny_checkpoint: Path, heads: list[tuple[int, int]]) -> None:
    model, rows = km.load_model(tiny_checkpoint, micro_batch=2), Sequences.from_strings(STRINGS)
    expected, means = by_hooks(tiny_checkpoint, STRINGS, heads)
    outputs = head_outputs(model, rows, 4)
    for ours, theirs in zip(outputs.mean, means, strict=True):
        np.testing.assert_allclose(ours.numpy(), theirs.numpy(), atol=1e-5)
    ablated = without_heads(model, heads, outputs)
    np.testing.assert_allclose(ablated.logits(rows), expected, atol=2e-5)
    assert ablated.digest != model.digest
    np.testing.assert_array_equal(model.logits(rows), km.load_model(tiny_checkpoint, micro_batch=2).logits(rows))


KINDS: dict[str, dict[str, object]] = {
    "distilbert": {},
    "roberta": {},
    "modernbert": {"local_attention": 8, "cls_token_id": 1, "sep_token_id": 2, "bos_token_id": 1, "eos_token_id": 2},
    "llama": {"num_key_value_heads": 2},
    "gpt_neox": {},
}


@pytest.mark.parametrize("kind", [*KINDS, "dnabert2", "nucleotide_transformer_v2"])
def test_heads_of_every_family_can_be_ablated(tmp_path: Path, kind: str) -> None:
    folder = write_library(tmp_path / kind, kind, **KINDS[kind]) if kind in KINDS else REFERENCE / kind
    model, rows = km.load_model(folder, dtype="float64"), Sequences.from_strings(STRINGS)
    heads = km.load_model(folder).encoder.record(*_entered(model, rows), every_row=True).attentions[0].shape[1]
    outputs = head_outputs(model, rows, heads)
    before = model.logits(rows)
    changed = [without_heads(model, [(layer, 0)], outputs).logits(rows) for layer in range(len(outputs.mean))]
    assert all(np.abs(each - before).max() > 1e-9 for each in changed)
    np.testing.assert_array_equal(model.logits(rows), before)
    # All heads of a layer gone: what the layer adds no longer depends on the sequence.
    none = without_heads(model, [(0, head) for head in range(heads)], outputs)
    assert head_outputs(none, rows, heads).size[0].max() < 1e-9


def _entered(model: km.Model, rows: Sequences) -> tuple[torch.Tensor, torch.Tensor]:
    ids, mask = model.tensors(model.tokenize(*rows.padded()))
    return model.encoder.embed(model.encoder.look_up(ids, mask)).float(), mask


def test_what_cannot_be_ablated_is_refused() -> None:
    module = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(240, 2))
    with pytest.raises(UnsupportedMethod, match="no head can be ablated"):
        head_outputs(km.wrap(module, 60, ["a", "b"]), Sequences.from_strings(STRINGS[:1]), 2)


def test_only_the_head_made_by_hand_moves_the_logit(tmp_path: Path) -> None:
    model, rows = km.load_model(write_planted(tmp_path)), planted_windows(60)
    have = np.array([WORD in text for text in rows])
    logits = model.logits(rows)[:, 1]
    assert logits[have].min() > logits[~have].max()
    work = Effects(model, rows, 4, 1)
    for head in np.ndindex(2, 4):
        effect = work.of([(int(head[0]), int(head[1]))])
        own, *_ = contrasts([effect], have, np.ones_like(have), np.arange(60), resamples=200)
        if head == PLANTED:
            assert own.low > 1
        else:  # they change no more than the scale in a norm
            assert abs(own.value) < 0.05


def test_contrasts_and_their_intervals() -> None:
    rng = np.random.default_rng(0)
    have, usable = np.arange(80) % 2 == 0, np.arange(80) < 70
    effect = rng.normal(size=80) + 2 * have
    one, flat = contrasts([effect, np.ones(80)], have, usable, np.arange(80))
    assert one.value == pytest.approx(effect[:70][have[:70]].mean() - effect[:70][~have[:70]].mean())
    assert one.low < 2 < one.high
    assert flat == pytest.approx((0, 0, 0), abs=1e-12)
    # Windows of one locus count as one, and are drawn together.
    twice = contrasts([np.repeat(effect, 2)], np.repeat(have, 2), np.repeat(usable, 2), np.repeat(np.arange(80), 2))[0]
    assert twice == pytest.approx(one)


def test_controls_are_of_the_same_layer_and_nearest_in_size() -> None:
    outputs = Outputs((), np.array([[1.0, 2.0, 2.2, 9.0], [1.0, 1.0, 1.0, 1.0]]))
    assert outputs.matched((0, 1), ()) == (0, 2)
    assert outputs.matched((0, 1), {(0, 2)}) == (0, 0)
    steps = ladder([(0, 1), (1, 0), (0, 2), (0, 0)], outputs, 4)
    assert steps[0] == ([(0, 1)], [(0, 2)])
    assert steps[1] == ([(0, 1), (1, 0)], [(0, 2), (1, 1)])
    assert steps[2] == ([(0, 1), (1, 0), (0, 2)], [(0, 0), (1, 1), (0, 3)])
    assert len(steps) == 3  # no head of layer 0 is left for a fourth


def test_windows_with_a_value_feature_lie_above_the_median() -> None:
    track = np.array([[1.0, 1.0], [2.0, np.nan], [3.0, 3.0], [np.nan, np.nan]])
    have, usable = with_feature(track, mask=False)
    assert have.tolist() == [False, False, True, False]
    assert usable.tolist() == [True, True, True, False]
