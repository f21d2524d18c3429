"""Whether a model's answer for a sequence depends on the company it has in a batch, and batches in which it cannot.

Own networks mask padding, which tests prove family by family. A library's forward pass is asked: a convolution or a
Fourier transform over tokens reaches into the padding, and some approximations of attention do.
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import Enum

import numpy as np
import torch

from kmerit.errors import CheckpointError, ModelError, SequenceError
from kmerit.models.library import Library, in_float64
from kmerit.models.network import Network
from kmerit.models.tokenizers.tokenizer import Tokenizer
from kmerit.sequences import Float, Int64, Sequences, Tokens

TOLERANCE = 1e-6
"""Of the probe, as a share of the largest logit: far above rounding in float64, far below what changes a class."""
_LENGTHS = (24, 27, 72)
"""Of the probe's sequences, in nucleotides: one alone, and one a little and one much longer to pad it for."""


class Company(Enum):
    """With whom a sequence may share a batch; the value says it in words."""

    ANY = "any sequences"
    EQUAL = "sequences of as many tokens"
    NONE = "no other sequence"


def company_of(name: str, network: Network, tokenizer: Tokenizer, max_tokens: int) -> Company:
    """Find out with whom a sequence may share a batch: alone against padded, and against another as long, in float64.

    Args:
        name: Of the model.
        network: In evaluation mode.
        tokenizer: Its tokeniser.
        max_tokens: How many tokens it takes.

    Raises:
        CheckpointError: The same question gets different answers.
    """
    if not isinstance(network, Library):
        return Company.ANY
    questions = _questions(tokenizer, max_tokens)
    if questions is None:
        return Company.EQUAL
    alone, beside, padded = questions
    try:
        first, again = (_answer(network, alone) for _ in range(2))
        if not _alike(first, again):
            raise CheckpointError(
                f"{name}: the same sequence is answered {first[0].round(6).tolist()} and then "
                f"{again[0].round(6).tolist()}; scores of such a model cannot be repeated. Take another model."
            )
        if not _alike(first, _answer(network, beside)[:1]):
            return Company.NONE
        free = all(_alike(first, _answer(network, each)[:1]) for each in padded)
    except CheckpointError:
        raise
    except (RuntimeError, ModelError):  # no float64, or no batch of different lengths: nothing is proven
        return Company.EQUAL
    return Company.ANY if free else Company.EQUAL


def _questions(tokenizer: Tokenizer, max_tokens: int) -> tuple[Tokens, Tokens, list[Tokens]] | None:
    """Build a sequence alone, next to another with as many tokens, and next to longer ones; None if impossible."""
    draws = np.random.default_rng(0)
    strings = ["".join(draws.choice(list("ACGT"), length)) for length in _LENGTHS]
    try:
        pairs = [tokenizer(*Sequences.from_strings([strings[0], other]).padded()) for other in strings[1:]]
        alone = tokenizer(*Sequences.from_strings(strings[:1]).padded())
    except SequenceError:
        return None
    if max(pair.ids.shape[1] for pair in pairs) > max_tokens:
        return None
    covers = alone.spans[0, :, 1] > alone.spans[0, :, 0]
    other = alone.ids[0].copy()
    other[covers] = other[covers][::-1]
    both = Tokens(np.stack([alone.ids[0], other]), np.repeat(alone.mask, 2, 0), np.repeat(alone.spans, 2, 0))
    return alone, both, pairs


def _answer(network: Library, tokens: Tokens) -> Float:
    with torch.inference_mode(), in_float64(network.module):
        logits = network.logits(torch.from_numpy(tokens.ids), torch.from_numpy(tokens.mask))
    return np.asarray(logits.double().numpy())


def _alike(one: Float, other: Float) -> bool:
    return bool(np.abs(one - other).max() <= TOLERANCE * max(1.0, float(np.abs(one).max())))


def batches(tokens: Tokens, company: Company) -> Iterator[Int64]:
    """Part the rows of a micro-batch into those that may share a pass."""
    rows = np.arange(len(tokens.ids))
    if company is Company.ANY:
        yield rows
        return
    counts = tokens.mask.sum(axis=1)
    for count in np.unique(counts):
        alike = rows[counts == count]
        yield from alike[:, None] if company is Company.NONE else [alike]


def part(tokens: Tokens, rows: Int64) -> Tokens:
    """Take rows of a micro-batch, without the padding that none of them needs."""
    width = int(tokens.mask[rows].sum(axis=1).max())
    return Tokens(tokens.ids[rows, :width], tokens.mask[rows, :width], tokens.spans[rows, :width])
