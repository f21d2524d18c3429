"""The attention of single heads over nucleotides: what each pays to every nucleotide, and [CLS]'s for figures."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from kmerit.attribution.trace import to_nucleotides
from kmerit.errors import UnsupportedMethod, UsageError
from kmerit.models.family import Ability, Recording
from kmerit.models.inference import Company, batches, fitting, slices
from kmerit.models.inference import part as rows_of
from kmerit.models.model import Model
from kmerit.sequences import Float, Sequences, Tokens

Progress = Callable[[int, int], None]

VARIANTS = ("paid", "focus", "cls")
"""What is taken of an attention matrix."""


class Paid(NamedTuple):
    """Attention of single heads, brought to nucleotides.

    Attributes:
        values: ``float32 [W, layer, head, L]``; NaN where no token covers a nucleotide.
        sink: ``float32 [W, layer, head]``, the share of attention that goes to special tokens.
    """

    values: NDArray[np.float32]
    sink: NDArray[np.float32]


def paid_attention(model: Model, sequences: Sequences, variant: str = "paid", progress: Progress | None = None) -> Paid:
    """Measure the attention of every head to each nucleotide.

    Args:
        model: Of any family with attention; left as it was found.
        sequences: Any that the model takes whole.
        variant: ``paid``: for each key the mean over the queries that are no special tokens, each renormalised over
            the keys that are none. ``focus``: for each query how far it is from spreading evenly over those keys, 1
            less its entropy over the largest possible. ``cls``: the row of the first token, renormalised likewise.
        progress: Called with what is done and what there is to do.

    Returns:
        Nucleotides take the mean over the tokens that cover them; the sink is that of the same queries.

    Raises:
        UnsupportedMethod: The model has no attention to show, or no classification token for ``cls``.
        UsageError: Another variant.
        SequenceError: A sequence is too short or has an N.
        LengthError: A sequence is too long.
        NotFinite: The model's answer is no number.

    Example:
        >>> import kmerit as km
        >>> model, sequences = km.load_model("bundled:promoter"), km.Sequences.from_strings(["TATAAAGGCGCGCC"])
        >>> paid = paid_attention(model, sequences)
        >>> paid.values.shape, paid.sink.shape
        ((1, 3, 3, 14), (1, 3, 3))
    """
    if variant not in VARIANTS:
        raise UsageError(f"attention: expected one of {', '.join(VARIANTS)}, got {variant!r}.")
    if variant == "cls" and Ability.ATTENTION not in model.abilities:
        raise UnsupportedMethod(
            f"{model.name} ({model.family}) has no classification token that its head reads; take attention = 'paid'."
        )
    model.check(sequences)
    longest = int(sequences.lengths.max())
    parts: list[Paid] = []
    for rows in slices(len(sequences), model):
        batch = sequences.take(np.arange(rows.start, rows.stop))
        parts += fitting(model, partial(passes, sequences=batch, variant=variant, longest=longest))
        if progress is not None:
            progress(rows.stop, len(sequences))
    return Paid(*(np.concatenate(each) for each in zip(*parts, strict=True)))


def passes(model: Model, sequences: Sequences, variant: str, longest: int) -> list[Paid]:
    """Take a batch in micro-batches whose sequences may share a pass; see `paid_attention`."""
    parts = []
    for rows in slices(len(sequences), model):
        batch = sequences.take(np.arange(rows.start, rows.stop))
        tokens = model.tokenize(*batch.padded())
        values: NDArray[np.float32] | None = None
        for rows_together in batches(tokens, model.company):
            names = [batch.names[i] for i in rows_together]
            own_tokens = rows_of(tokens, rows_together) if rows_together.size < len(tokens.ids) else tokens
            by_token, sunk = _by_token(model, own_tokens, names, variant)
            layers, heads = by_token.shape[1:3]
            flat = by_token.reshape(len(rows_together), layers * heads, -1)
            by_head = np.stack([to_nucleotides(flat[:, i], own_tokens, longest) for i in range(layers * heads)], axis=1)
            if values is None:
                values = np.empty((len(batch), layers, heads, longest), dtype=np.float32)
                sink = np.empty((len(batch), layers, heads), dtype=np.float32)
            values[rows_together], sink[rows_together] = (
                by_head.reshape(len(rows_together), layers, heads, longest),
                sunk,
            )
        if values is not None:
            parts.append(Paid(values, sink))
    return parts


def _by_token(model: Model, tokens: Tokens, names: list[str], variant: str) -> tuple[Float, Float]:
    """Return what each token gets ``[B, layer, head, T]``, and the share of special tokens ``[B, layer, head]``."""
    covers = torch.from_numpy(tokens.spans[..., 1] > tokens.spans[..., 0]).to(model.device)
    with torch.inference_mode(), model.computing():
        tape = _record(model, tokens, names)
        every = [*tape.attentions[:-1], tape.last_attention]
        features = [_read(attention.detach(), covers, variant) for attention in every]
        values, sink = (torch.stack(each, dim=1).float().cpu().numpy() for each in zip(*features, strict=True))
    return values, sink


def _record(model: Model, tokens: Tokens, names: list[str]) -> Recording:
    ids, mask = model.tensors(tokens)
    tape = model.encoder.record(model.encoder.embed(model.encoder.look_up(ids, mask)), mask, every_row=True)
    model.refuse_nonfinite(tape.logits, tokens, names)
    if not tape.attentions:
        raise UnsupportedMethod(
            f"{model.name} ({model.family}) has no attention to show; its heads cannot be compared with features."
        )
    return tape


def _read(attention: Tensor, covers: Tensor, variant: str) -> tuple[Tensor, Tensor]:
    """Read one layer [B, h, T, T]: [B, h, T] and [B, h]."""
    keys = attention * covers[:, None, None]  # [B, h, Q, T]
    total = keys.sum(-1, keepdim=True)
    rows = keys / total.clamp(min=torch.finfo(keys.dtype).tiny)
    if variant == "cls":
        return rows[:, :, 0], 1 - total[:, :, 0, 0]
    queries = covers[:, None, :, None].to(keys.dtype)
    count = queries.sum(2).clamp(min=1)  # [B, 1, 1]
    sink = ((1 - total) * queries).sum(2)[..., 0] / count[..., 0]
    if variant == "paid":
        return (rows * queries).sum(2) / count, sink
    entropy = -torch.special.xlogy(rows, rows).sum(-1)
    even = covers.sum(-1).clamp(min=2).to(keys.dtype).log()[:, None, None]
    return 1 - entropy / even, sink


def head_attention(model: Model, sequences: Sequences) -> Float:
    """Return the attention of [CLS] to each nucleotide, by layer and head: the mean over the tokens that cover it.

    Args:
        model: Left as it was found.
        sequences: One micro-batch of them; all are taken in one pass.

    Returns:
        ``[sequence, layer, head, position]``; NaN where no token covers a nucleotide.

    Raises:
        UnsupportedMethod: The model does not show its attention.
        SequenceError: A sequence is too short or has an N.
        LengthError: A sequence is too long.
        NotFinite: The model's answer is no number.

    Example:
        >>> import kmerit as km
        >>> model, sequences = km.load_model("bundled:promoter"), km.Sequences.from_strings(["TATAAAGGCGCGCC"])
        >>> head_attention(model, sequences).shape
        (1, 3, 3, 14)
    """
    if Ability.ATTENTION not in model.abilities:
        raise UnsupportedMethod(
            f"{model.name} ({model.family}) does not show its attention; its heads cannot be drawn."
        )
    model.check(sequences)
    longest = int(sequences.lengths.max())
    if model.company is not Company.ANY and len(sequences) > 1:
        alone = [head_attention(model, sequences.take([i])) for i in range(len(sequences))]
        pads = [(0, longest - each.shape[-1]) for each in alone]
        return np.concatenate(
            [np.pad(x, ((0, 0),) * 3 + (pad,), constant_values=np.nan) for x, pad in zip(alone, pads, strict=True)]
        )
    tokens = model.tokenize(*sequences.padded())
    with torch.inference_mode():
        ids, mask = model.tensors(tokens)
        tape = model.encoder.record(model.encoder.embed(model.encoder.look_up(ids, mask)), mask)
        model.refuse_nonfinite(tape.logits, tokens, sequences.names)
        rows = torch.stack([attention[:, :, 0] for attention in tape.attentions], dim=1)
    weights = rows.cpu().numpy()
    layers, heads = weights.shape[1:3]
    by_layer = [
        np.stack([to_nucleotides(weights[:, layer, head], tokens, longest) for head in range(heads)], axis=1)
        for layer in range(layers)
    ]
    return np.stack(by_layer, axis=1)
