"""Running the model again, for methods that change its input."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from kmerit.attribution.method import Batch
from kmerit.errors import UnsupportedMethod
from kmerit.models.inference import refuse_nonfinite
from kmerit.models.model import Model
from kmerit.models.rules import GRADIENT
from kmerit.sequences import Bool, Float, Int8, Int64


def logits_of(model: Model, bases: Int8, lengths: Int64, names: Sequence[str]) -> Float:
    """Classify one micro-batch of bases ``[sequence, position]``: logits ``[sequence, class]``."""
    return model.forward(model.tokenize(bases[:, : lengths.max()], lengths), names)


def explained_logit(batch: Batch, words: Tensor) -> Tensor:
    """Classify word embeddings [sequence, token, hidden] in place of a batch's own: the explained logit [sequence].

    Raises:
        NotFinite: An answer that is no number.
    """
    encoder, mask = batch.model.encoder, batch.trace.mask
    with torch.inference_mode():
        logits = encoder.classify(encoder.embed(words), mask)
        _refuse_nonfinite(batch, words, logits)
        return logits.gather(1, batch.trace.target[:, None])[:, 0]


def word_gradient(batch: Batch, words: Tensor) -> tuple[Tensor, Tensor]:
    """Differentiate the explained logit.

    Args:
        batch: Its model is left as it was found.
        words: Word embeddings [sequence, token, hidden], in place of the batch's own.

    Returns:
        Logits [sequence, class], and the gradient with respect to ``words``.

    Raises:
        NotFinite: An answer that is no number.
    """
    encoder, trace = batch.model.encoder, batch.trace
    with torch.inference_mode():
        tape = encoder.record(encoder.embed(words), trace.mask)
        _refuse_nonfinite(batch, words, tape.logits)
        seed = torch.nn.functional.one_hot(trace.target, tape.logits.shape[1]).to(tape.logits.dtype)
        *_, (_, received) = encoder.sweep(tape, GRADIENT, seed)
        return tape.logits, encoder.to_words(words, GRADIENT, received)


def _refuse_nonfinite(batch: Batch, words: Tensor, logits: Tensor) -> None:
    """Refuse NaN or infinite outputs for changed word embeddings."""
    encoder, mask = batch.model.encoder, batch.trace.mask

    def again(row: int) -> object:
        count = int(mask[row].sum())
        return encoder.classify(encoder.embed(words[row : row + 1, :count]), mask[row : row + 1, :count])

    names = [f"{name}, changed" for name in batch.names]
    refuse_nonfinite(logits, names, batch.model.name, encoder, again)


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
    """Measure how far scores miss their sum, the rise of the explained logit over the baseline, as a share.

    Args:
        batch: The micro-batch.
        scores: [sequence, token], special tokens included.
        baselines: Word embeddings [sequence, token, hidden]; the mean rise from several.

    Returns:
        [sequence], as a share of the rise; 0 where they miss nothing.
    """
    trace = batch.trace
    end = explained_logit(batch, trace.words)
    starts = [explained_logit(batch, words) for words in baselines]
    rise = end - torch.stack(starts).mean(0)
    gap = ((scores * trace.mask).sum(-1) - rise).abs()
    return torch.where(gap == 0, gap, gap / rise.abs())
