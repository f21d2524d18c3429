"""Hypothetical contributions: what each of the four bases would contribute at each position, to first order."""

from __future__ import annotations

from functools import partial

import numpy as np
import torch
from torch import Tensor, nn

from kmerit.attribution.attribute import Target, fixed_target
from kmerit.io.readers import SequencesLike, as_sequences
from kmerit.models.inference import refuse_nonfinite
from kmerit.models.model import Model
from kmerit.models.one_hot import one_hot_model
from kmerit.sequences import Float, one_hot


def hypothetical(model: Model, sequences: SequencesLike, target: Target = "predicted") -> Float:
    """Differentiate the explained logit with respect to the one-hot sequence.

    At the base that is there the value is its contribution, gradient x input; at another base it is what that base
    would contribute. The difference of the two is the first-order effect of the substitution, so all 3L effects of
    a sequence follow from this one gradient. TF-MoDISco reads it as hypothetical contributions.

    Args:
        model: Of a family with overlapping k-mers, stride 1, or from ``wrap``; left as it was found.
        sequences: As for `attribute`; whole, nothing is truncated.
        target: Class to explain: ``predicted``, ``label`` or an index.

    Returns:
        ``[sequence, 4, position]``, bases in the order ACGT, in the model's dtype; NaN beyond a sequence's end.
        ``(hypothetical * one_hot(bases)).sum(1)`` are the contributions of the sequence itself.

    Raises:
        UnsupportedMethod: A family without an exact one-hot bridge.
        SequenceError: A sequence is too short or has an N.
        LengthError: A sequence is too long.

    Example:
        >>> import kmerit as km
        >>> model = km.load_model("bundled:promoter")
        >>> km.hypothetical(model, km.Sequences.from_strings(["TATAAAGGCGCGCC"]), target=1).shape
        (1, 4, 14)
    """
    bridge = one_hot_model(model)
    sequences = as_sequences(sequences)
    model.check(sequences)
    classes = fixed_target(model, sequences, target)
    lengths = sequences.lengths
    dtype = str(model.dtype).removeprefix("torch.")
    contributions = np.full((len(sequences), 4, int(lengths.max())), np.nan, dtype=dtype)
    for length in np.unique(lengths):  # the bridge takes sequences of one length
        same = np.flatnonzero(lengths == length)
        for rows in np.split(same, range(model.micro_batch, same.size, model.micro_batch)):
            bases = sequences.take(rows).padded()[0]
            x = torch.from_numpy(one_hot(bases)).to(model.device, model.dtype).requires_grad_()
            logits = bridge(x)
            refuse_nonfinite(
                logits,
                [sequences.names[i] for i in rows],
                model.name,
                bridge,
                partial(_one, bridge, x),
            )
            targets = logits.argmax(-1) if classes is None else torch.from_numpy(classes[rows]).to(model.device)
            (gradient,) = torch.autograd.grad(logits.gather(1, targets[:, None]).sum(), x)
            contributions[rows, :, :length] = gradient.cpu().numpy()
    return contributions


def _one(bridge: nn.Module, x: Tensor, row: int) -> Tensor:
    logits: Tensor = bridge(x[row : row + 1])
    return logits
