"""Asking the model again: for methods that change its input."""

from __future__ import annotations

import torch
from torch import Tensor

from kmerit.attribution.method import Batch
from kmerit.errors import UnsupportedMethod
from kmerit.models import Model
from kmerit.models.rules import GRADIENT
from kmerit.types import Bool, Float, Int8, Int64


def logits_of(model: Model, bases: Int8, lengths: Int64) -> Float:
    """Classify one micro-batch of bases ``[sequence, position]``: logits ``[sequence, class]``."""
    return model.forward(model.tokenize(bases[:, : lengths.max()], lengths))


def explained_logit(model: Model, words: Tensor, mask: Tensor, target: Tensor) -> Tensor:
    """Classify word embeddings [sequence, token, hidden]: the explained logit [sequence]."""
    with torch.inference_mode():
        logits = model.encoder.classify(model.encoder.embed(words), mask)
        return logits.gather(1, target[:, None])[:, 0]


def word_gradient(model: Model, words: Tensor, mask: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """Differentiate the explained logit.

    Args:
        model: Left as it was found.
        words: Word embeddings [sequence, token, hidden].
        mask: bool [sequence, token].
        target: int64 [sequence].

    Returns:
        Logits [sequence, class], and the gradient with respect to ``words``.
    """
    encoder = model.encoder
    with torch.inference_mode():
        tape = encoder.record(encoder.embed(words), mask)
        seed = torch.nn.functional.one_hot(target, tape.logits.shape[1]).to(tape.logits.dtype)
        *_, (_, received) = encoder.sweep(tape, GRADIENT, seed)
        return tape.logits, encoder.to_words(words, GRADIENT, received)


def masked_words(batch: Batch, covered: Bool | None = None) -> Tensor:
    """Word embeddings with the mask token in place of some tokens.

    Args:
        batch: Of a model that has a mask token.
        covered: bool [sequence, token]; by default every token that covers a nucleotide, so that special tokens stay.
    """
    model, trace = batch.model, batch.trace
    if model.tokenizer.mask_id is None:
        raise UnsupportedMethod(f"{model.name}: its vocabulary has no mask token. Use ism, which substitutes.")
    covers = batch.tokens.spans[..., 1] > batch.tokens.spans[..., 0] if covered is None else covered
    ids = trace.ids.masked_fill(torch.from_numpy(covers).to(trace.ids.device), model.tokenizer.mask_id)
    return model.encoder.look_up(ids, trace.mask)


def missed_share(batch: Batch, scores: Tensor, *baselines: Tensor) -> Tensor:
    """By how much scores miss what they should add up to: the rise of the explained logit from the baseline.

    Args:
        batch: The micro-batch.
        scores: [sequence, token], special tokens included.
        baselines: Word embeddings [sequence, token, hidden]; the mean rise from several.

    Returns:
        [sequence], as a share of the rise; 0 where they miss nothing.
    """
    trace, model = batch.trace, batch.model
    end = explained_logit(model, trace.words, trace.mask, trace.target)
    starts = [explained_logit(model, words, trace.mask, trace.target) for words in baselines]
    rise = end - torch.stack(starts).mean(0)
    missed = ((scores * trace.mask).sum(-1) - rise).abs()
    return torch.where(missed == 0, missed, missed / rise.abs())
