"""A loaded model: sequences in, logits out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from kmerit.errors import LengthError, SequenceError
from kmerit.models.encoder import Encoder
from kmerit.models.memory import fitting, slices
from kmerit.types import Float, Int8, Int64, N, Sequences, Tokens

Progress = Callable[[int, int], None]


@dataclass(frozen=True, eq=False)
class Model:
    """A genomic classifier (or regressor) with its tokeniser.

    Attributes:
        name: The path or name it was loaded from.
        family: Name of its family.
        encoder: Weights and forward pass.
        tokenizer: ``(bases, lengths) -> Tokens``.
        labels: Names of the classes, in the order of the logits.
        regression: Whether the one output is a value, not a logit.
        shortest: Nucleotides a sequence needs at least.
        token_count: ``lengths -> tokens``, special tokens included.
        max_tokens: How many tokens the model takes, special tokens included.
        digest: sha256 of the weights.
        micro_batch: Sequences per forward pass; fixed before a run, since it may change the last bits of a result.
        mask_id: Id of the mask token.
    """

    name: str
    family: str
    encoder: Encoder
    tokenizer: Callable[[Int8, Int64], Tokens]
    labels: tuple[str, ...]
    regression: bool
    shortest: int
    token_count: Callable[[Int64], Int64]
    max_tokens: int
    digest: str
    micro_batch: int
    mask_id: int

    @property
    def device(self) -> torch.device:
        """Where it runs."""
        return self.encoder.words.device

    @property
    def dtype(self) -> torch.dtype:
        """What it computes in."""
        return self.encoder.words.dtype

    @property
    def n_classes(self) -> int:
        """Outputs; 1 for regression."""
        return int(self.encoder.classifier.weight.shape[0])

    def check(self, sequences: Sequences) -> None:
        """Refuse sequences that the model cannot take whole.

        Raises:
            SequenceError: None at all, one too short, or with an N under a token.
            LengthError: More tokens than the model has positions for.
        """
        if not len(sequences):
            raise SequenceError("Expected at least one sequence, got none.")
        lengths = sequences.lengths
        if lengths.min() < self.shortest:
            i = int(np.argmin(lengths))
            raise SequenceError(
                f"{sequences.names[i]!r} has {lengths[i]} nt; {self.family} needs at least {self.shortest}. "
                f"Drop such sequences with --min-length {self.shortest}."
            )
        tokens = self.token_count(lengths)
        if tokens.max() > self.max_tokens:
            i = int(np.argmax(tokens))
            raise LengthError(
                f"{sequences.names[i]!r} gives {tokens[i] - 2} tokens; {self.family} allows {self.max_tokens - 2} plus "
                f"2 special. Crop with --crop (nt)."
            )
        unknown = np.flatnonzero(sequences.bases == N)
        if unknown.size:
            i = int(np.searchsorted(sequences.offsets, unknown[0], side="right")) - 1
            raise SequenceError(
                f"{sequences.names[i]!r} has an N at position {unknown[0] - sequences.offsets[i]}; {self.family} would "
                f"see an unknown token there. Drop such sequences with --drop-n."
            )

    def tokenize(self, bases: Int8, lengths: Int64) -> Tokens:
        """Tokenise a micro-batch: bases ``int8 [sequence, position]``, -1 beyond each length."""
        return self.tokenizer(bases, lengths)

    def tensors(self, tokens: Tokens) -> tuple[Tensor, Tensor]:
        """Put ids and mask on the model's device."""
        return (
            torch.from_numpy(tokens.ids).to(self.device, non_blocking=True),
            torch.from_numpy(tokens.mask).to(self.device, non_blocking=True),
        )

    def forward(self, tokens: Tokens) -> Float:
        """Classify one micro-batch.

        Returns:
            Logits ``[sequence, class]`` in the model's dtype; in float32 for bfloat16.
        """
        with torch.inference_mode():
            ids, mask = self.tensors(tokens)
            logits = self.encoder.classify(self.encoder.embed(self.encoder.words[ids]), mask)
        if logits.dtype == torch.bfloat16:  # numpy has no such numbers
            logits = logits.float()
        return np.asarray(logits.cpu().numpy())

    def logits(self, sequences: Sequences, progress: Progress | None = None) -> Float:
        """Classify sequences in micro-batches, in their order.

        Where memory runs out, a micro-batch is cut in half, and a warning logged.

        Returns:
            Logits ``[sequence, class]``; values ``[sequence, 1]`` for regression.

        Raises:
            SequenceError: A sequence is too short or has an N.
            LengthError: A sequence is too long; nothing is truncated.
            OutOfMemory: A single sequence does not fit.
        """
        self.check(sequences)
        parts: list[NDArray[Any]] = []
        for rows in slices(len(sequences), self):
            batch = sequences.take(rows)
            parts.append(fitting(self, partial(Model._logits_of, sequences=batch)))
            if progress is not None:
                progress(rows.stop, len(sequences))
        return np.concatenate(parts)

    def _logits_of(self, sequences: Sequences) -> Float:
        batches = (sequences.take(rows) for rows in slices(len(sequences), self))
        return np.concatenate([self.forward(self.tokenize(*batch.padded())) for batch in batches])

    def predict(self, sequences: Sequences, progress: Progress | None = None) -> Float:
        """Predict probabilities ``[sequence, class]``, or values ``[sequence, 1]`` for regression.

        Raises:
            SequenceError: A sequence is too short or has an N.
            LengthError: A sequence is too long; nothing is truncated.
        """
        logits = self.logits(sequences, progress)
        if self.regression:
            return logits
        odds = np.exp(logits - logits.max(axis=1, keepdims=True))
        return np.asarray(odds / odds.sum(axis=1, keepdims=True))
