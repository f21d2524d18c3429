"""Tokens that a mutant changes, where substitutions cut the sequence anew."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import kmerit as km
from helpers.checkpoints import REFERENCE, random_strings, write_library
from kmerit.errors import LengthError
from kmerit.trials.execution import _token_keys


@pytest.fixture(scope="module", params=["bert", "dnabert2", "nucleotide_transformer_v2", "distilbert"])
def model(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    sizes = {"distilbert": {"dim": 16, "n_layers": 1, "n_heads": 2, "hidden_dim": 8}}
    folder = REFERENCE / request.param
    if not folder.is_dir():
        folder = write_library(tmp_path_factory.mktemp(request.param), request.param, **sizes.get(request.param, {}))
    return km.load_model(folder, dtype="float64")


def spelled(model: Any, text: str) -> set[tuple[int, int, int]]:
    """Id and span of every token over a nucleotide."""
    tokens = model.tokenize(*km.Sequences.from_strings([text]).padded())
    return {(int(i), int(a), int(b)) for i, (a, b) in zip(tokens.ids[0], tokens.spans[0], strict=True) if b > a}


def test_every_mutant_is_cut_anew_and_counted(model: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    sequences = km.Sequences.from_strings(random_strings([40, 25, 60]), labels=[0, 1, 0])
    product: list[str] = []
    forward = type(model).forward

    def watched(self: Any, tokens: km.Tokens, *names: Any) -> Any:
        product.extend(spelling(self, tokens))
        return forward(self, tokens, *names)

    scores = km.attribute(model, sequences, ["random", "saliency"])
    monkeypatch.setattr(type(model), "forward", watched)
    curve = km.mutate(model, sequences, scores, counts=[0, 1, 5, "all"], replicates=2, order=["morf", "insertion"])
    owner = curve.mutants["sequence"].to_numpy()
    changed = curve.mutants["tokens_changed"].to_numpy()
    assert len(product) == len(owner)
    wild = [spelled(model, text) for text in sequences.strings()]
    expected = [len(spelled(model, text) - wild[i]) for text, i in zip(product, owner, strict=True)]
    assert changed.tolist() == expected
    assert changed[[product.index(text) for text in sequences.strings()]].tolist() == [0, 0, 0]
    logits = np.stack(curve.mutants["logits"].to_pylist())
    np.testing.assert_allclose(logits, model.logits(km.Sequences.from_strings(product)), rtol=0, atol=1e-9)


def spelling(model: Any, tokens: km.Tokens) -> list[str]:
    """The nucleotides that tokens were made of, from the words of the vocabulary."""
    tokenizer = model.tokenizer
    if hasattr(tokenizer, "vocabulary"):
        words = list(tokenizer.vocabulary)
    else:
        numbers = tokenizer.backend.get_vocab()
        words = sorted(numbers, key=numbers.__getitem__)
    covers = tokens.spans[..., 1] > tokens.spans[..., 0]
    return ["".join(words[i] for i in row[inside]) for row, inside in zip(tokens.ids, covers, strict=True)]


def test_what_a_key_cannot_hold_is_refused() -> None:
    for ids, span in (([2**20], [0, 1]), ([1], [0, 2**12]), ([1], [2**20, 2**20 + 1])):
        tokens = km.Tokens(np.array([ids]), np.ones((1, 1), dtype=bool), np.array([[span]], dtype=np.int32))
        with pytest.raises(LengthError, match=r"counts changed tokens up to position 1048575"):
            _token_keys(tokens, np.array([0]))
