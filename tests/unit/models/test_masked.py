"""Masked language models: the letters they expect, counted again word by word, and what is none."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import BertConfig, BertForMaskedLM

import kmerit as km
from helpers.checkpoints import write_masked
from kmerit.errors import CheckpointError, LengthError, SequenceError, UsageError
from kmerit.models.masked import load_masked
from kmerit.models.tokenizers import MASK, vocabulary
from kmerit.sequences import Sequences, encode
from kmerit.trials.operators import operator_named

TEXT = "ACGGTCATTTGACCAGTAGCATCGGAT"


@pytest.fixture(scope="module")
def masked_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_masked(tmp_path_factory.mktemp("masked"))


def test_letters_are_those_of_the_words_that_agree_with_the_neighbours(masked_folder: Path) -> None:
    masker = load_masked(str(masked_folder))
    odds = masker.letters(encode(TEXT))
    assert odds.sum(axis=1) == pytest.approx(1.0)
    assert masker.spacing == 20  # words of 3 letters: 15 % of the tokens
    network, words = BertForMaskedLM.from_pretrained(masked_folder).eval(), vocabulary(3)
    for position in (0, 1, 4, 12, 19, 20, len(TEXT) - 1):
        together = range(position % 20, len(TEXT), 20)
        ids = [
            words.index("[CLS]"),
            *(words.index(TEXT[i : i + 3]) for i in range(len(TEXT) - 2)),
            words.index("[SEP]"),
        ]
        for place in together:
            for start in range(max(0, place - 2), min(place, len(TEXT) - 3) + 1):
                ids[1 + start] = MASK
        with torch.no_grad():
            logits = network(torch.tensor([ids])).logits[0].double().numpy()
        each = []
        for start in range(max(0, position - 2), min(position, len(TEXT) - 3) + 1):
            four = []
            for letter in "ACGT":
                word = TEXT[start:position] + letter + TEXT[position + 1 : start + 3]
                four.append(logits[1 + start, words.index(word)])
            shares = np.exp(np.array(four) - max(four))
            each.append(shares / shares.sum())
        assert odds[position] == pytest.approx(np.mean(each, axis=0), abs=1e-5)


def test_a_pass_that_memory_does_not_hold_is_made_in_halves(
    masked_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    masker, smaller = (load_masked(str(masked_folder), micro_batch=size) for size in (8, 2))
    whole = type(masker.network).forward

    def cramped(network: BertForMaskedLM, input_ids: torch.Tensor, **options: object) -> object:
        if len(input_ids) > 3:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return whole(network, input_ids=input_ids, **options)

    expected = smaller.letters(encode(TEXT))
    monkeypatch.setattr(type(masker.network), "forward", cramped)
    assert np.array_equal(masker.letters(encode(TEXT)), expected)


def test_infill_draws_another_letter_as_probable_as_the_model_finds_it() -> None:
    choose = operator_named("infill(any)").choose
    assert choose is not None
    bases = np.full(40_000, 1, dtype=np.int8)
    odds = np.tile([0.1, 0.6, 0.3, 0.0], (bases.size, 1))
    drawn = np.bincount(choose(bases, odds, lambda purpose: np.random.default_rng(0)), minlength=4) / bases.size
    assert drawn == pytest.approx([0.25, 0, 0.75, 0], abs=0.01)
    certain = np.tile([0.0, 1.0, 0.0, 0.0], (300, 1))  # no other letter is expected: any of the three
    assert set(choose(bases[:300], certain, lambda purpose: np.random.default_rng(0)).tolist()) == {0, 2, 3}


def test_a_trial_draws_letters_from_a_masked_model(
    masked_folder: Path, make_checkpoint: Callable[..., Path], tmp_path: Path
) -> None:
    model = km.load_model(make_checkpoint(k=3), device="cpu")
    rng = np.random.default_rng(0)
    strings = ["".join(rng.choice(list("ACGT"), 40)) for _ in range(4)]
    scores = km.attribute(model, strings, ["lrp"])
    operator = f"infill({masked_folder})"

    def outcomes(folder: Path) -> km.Outcomes:
        return km.read_outcomes(
            km.mutate(model, strings, scores, counts=[2, "all"], replicates=2, operator=operator, out=folder)
        )

    one, two = outcomes(tmp_path / "one"), outcomes(tmp_path / "two")
    assert one.mutants.equals(two.mutants)
    assert one.operators == [operator]
    assert one.settings["maskers"] == {str(masked_folder): load_masked(str(masked_folder)).digest}
    assert one.positions_changed is None  # exactly the chosen positions
    other = write_masked(tmp_path / "other", seed=1)
    changed = km.mutate(model, strings, scores, counts=[2, "all"], replicates=2, operator=f"infill({other})")
    assert not changed.mutants["logits"].equals(one.mutants["logits"])


def test_what_is_no_masked_model_of_letters(
    masked_folder: Path, make_checkpoint: Callable[..., Path], tmp_path: Path
) -> None:
    with pytest.raises(
        CheckpointError, match=r"^bundled:encoder cannot restore masked tokens: it has no head for that"
    ):
        load_masked("bundled:encoder")
    with pytest.raises(CheckpointError, match="cannot restore masked tokens"):
        load_masked(str(make_checkpoint(k=3)))
    config = json.loads((masked_folder / "config.json").read_text())
    words = tmp_path / "words"
    BertForMaskedLM(BertConfig(**{**config, "vocab_size": 40})).save_pretrained(words)
    with pytest.raises(CheckpointError, match=r"over overlapping k-mers .* got 'bert' with 40 words"):
        load_masked(str(words))
    with pytest.raises(UsageError, match=r"name it: infill\(FOLDER\)"):
        operator_named("infill")


def test_sequences_that_a_masked_model_cannot_read(masked_folder: Path) -> None:
    masker = load_masked(str(masked_folder))
    masker.check(Sequences.from_strings(["A" * 64]))
    with pytest.raises(LengthError, match="takes 64 nt; 'seq0' has 65"):
        masker.check(Sequences.from_strings(["A" * 65]))
    for text in ("AC", "ACNGT"):
        with pytest.raises(SequenceError, match="reads words of 3 letters"):
            masker.check(Sequences.from_strings([text]))
