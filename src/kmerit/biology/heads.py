"""The attention of single heads over nucleotides: for figures, not a score."""

from __future__ import annotations

import numpy as np
import torch

from kmerit.attribution.trace import to_nucleotides
from kmerit.errors import UnsupportedMethod
from kmerit.models.family import Ability
from kmerit.models.inference import Company
from kmerit.models.model import Model
from kmerit.sequences import Float, Sequences


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
