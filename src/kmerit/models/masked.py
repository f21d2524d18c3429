"""Masked language models over k-mers: which letters they expect at a position whose tokens are hidden."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

import numpy as np
import torch

from kmerit.errors import CheckpointError, LengthError, SequenceError
from kmerit.models.checkpoint import locate, read
from kmerit.models.families import dnabert
from kmerit.models.inference import fitting, slices
from kmerit.models.library import quiet
from kmerit.models.tokenizers import Overlapping, substitute
from kmerit.sequences import Floats, Int8, Int64, N, Sequences

HIDDEN_SHARE = 0.15
"""Of the tokens at once, as in training."""
_HEAD = "cls.predictions.transform.dense.weight"


@dataclass(frozen=True, eq=False)
class MaskedModel:
    """A BERT over overlapping k-mers that restores masked tokens.

    Attributes:
        name: What it was asked for by.
        digest: sha256 of its weights.
        tokenizer: Cuts sequences into k-mers.
        network: Ids and mask to logits ``[sequence, token, word]``.
        max_tokens: Of a sequence.
        micro_batch: Sequences per pass.
    """

    name: str
    digest: str
    tokenizer: Overlapping
    network: Any
    max_tokens: int
    micro_batch: int = 8

    def __repr__(self) -> str:
        return f"<MaskedModel {self.name}: {self.tokenizer.k}-mers>"

    @cached_property
    def spacing(self) -> int:
        """Nucleotides from one hidden position to the next of a pass."""
        return int(np.ceil(self.tokenizer.k / HIDDEN_SHARE))

    def check(self, sequences: Sequences) -> None:
        """Refuse sequences that it cannot read.

        Raises:
            SequenceError: One is shorter than a word, or has an N.
            LengthError: One is too long.
        """
        k, lengths = self.tokenizer.k, sequences.lengths
        shortest, longest = int(lengths.argmin()), int(lengths.argmax())
        if lengths[shortest] < k or (sequences.bases == N).any():
            raise SequenceError(
                f"{self.name} reads words of {k} letters A, C, G, T: {sequences.names[shortest]!r} has "
                f"{lengths[shortest]} nt, or a letter is N. Drop such sequences (--min-length {k}, --drop-n)."
            )
        if lengths[longest] - k + 3 > self.max_tokens:
            raise LengthError(
                f"{self.name} takes {self.max_tokens - 3 + k} nt; {sequences.names[longest]!r} has {lengths[longest]}. "
                f"Crop with --crop (Python: km.prepare)."
            )

    def letters(self, bases: Int8) -> Floats:
        """Predict the letters of a sequence, position by position, from all others: ``[position, base]``.

        All tokens over a position are hidden, in a pass with others that are far from it. Each of them expects one of
        the four words that agree with the neighbours; the probabilities of the tokens are averaged.
        """
        size, k = bases.size, self.tokenizer.k
        tokens = self.tokenizer(bases[None], np.array([size]))
        odds = np.zeros((size, 4))
        starts = np.arange(min(self.spacing, size))
        for first in range(0, starts.size, self.micro_batch):
            offsets = starts[first : first + self.micro_batch]
            ids = np.repeat(tokens.ids, offsets.size, axis=0)
            covering = [_covering(np.arange(offset, size, self.spacing), size, k) for offset in offsets.tolist()]
            for row, (_, words) in enumerate(covering):
                ids[row, 1 + words] = self.tokenizer.mask_id
            logits = fitting(self, partial(MaskedModel._logits, ids=ids))
            for row, (positions, words) in enumerate(covering):
                expected = np.stack(
                    [substituted(tokens.ids[0, 1 + words], positions - words, base, k) for base in range(4)]
                )
                of_words = logits[row, 1 + words, expected]  # [base, word]
                of_words = np.exp(of_words - of_words.max(axis=0))
                np.add.at(odds, positions, (of_words / of_words.sum(axis=0)).T)
        return np.asarray(odds / odds.sum(axis=1, keepdims=True))

    @property
    def device(self) -> torch.device:
        """Where it runs."""
        device: torch.device = next(self.network.parameters()).device
        return device

    def _logits(self, ids: Int64) -> Floats:
        parts = []
        for rows in slices(len(ids), self):
            input_ids = torch.from_numpy(ids[rows]).to(self.device)
            with torch.inference_mode():
                logits = self.network(input_ids=input_ids, attention_mask=torch.ones_like(input_ids)).logits
            parts.append(np.asarray(logits.double().cpu().numpy()))
        return np.concatenate(parts)


def _covering(positions: Int64, size: int, k: int) -> tuple[Int64, Int64]:
    """List every position with every word over it, numbered by where the word starts."""
    words = positions[:, None] - np.arange(k)
    inside = (words >= 0) & (words <= size - k)
    return np.broadcast_to(positions[:, None], words.shape)[inside], words[inside]


def substituted(ids: Int64, offsets: Int64, base: int, k: int) -> Int64:
    """Replace the letter at each word's own offset."""
    result = ids.copy()
    for offset in np.unique(offsets).tolist():
        at_offset = offsets == offset
        result[at_offset] = substitute(ids[at_offset], int(offset), base, k)
    return result


def load_masked(name: str, device: torch.device | str = "cpu", micro_batch: int = 8) -> MaskedModel:
    """Load a masked language model over overlapping k-mers, as DNABERT is published and ``kmerit pretrain`` writes it.

    Raises:
        CheckpointError: Another vocabulary, or weights without the head that restores masked tokens.

    Example:
        >>> load_masked("bundled:encoder")
        Traceback (most recent call last):
        kmerit.errors.CheckpointError: bundled:encoder cannot restore masked tokens: ...
    """
    from transformers import BertForMaskedLM

    checkpoint = read(name)
    if not dnabert.fits(checkpoint):
        raise CheckpointError(
            f"{name}: expected a masked language model over overlapping k-mers (DNABERT, or of kmerit pretrain), got "
            f"{checkpoint.config.get('model_type')!r} with {checkpoint.config.get('vocab_size')} words, which do not "
            f"tell single letters apart."
        )
    if _HEAD not in checkpoint.tensors:
        raise CheckpointError(
            f"{name} cannot restore masked tokens: it has no head for that ({_HEAD}), which fine-tuning drops. "
            f"Give the model as it was pre-trained."
        )
    words = dnabert.SIZES.get(int(checkpoint.size("vocab_size")))
    with quiet():
        network, about = BertForMaskedLM.from_pretrained(
            locate(name), dtype=torch.float32, output_loading_info=True, trust_remote_code=False
        )
    missing = [key for key in about["missing_keys"] if key != "cls.predictions.decoder.weight"]
    if missing or words is None:
        what = f"the tensor {missing[0]!r}" if missing else f"a table of {', '.join(map(str, dnabert.SIZES))} words"
        raise CheckpointError(f"{name}: {what} is missing. Is it a checkpoint of this architecture?")
    network.eval().to(device)
    return MaskedModel(
        name,
        checkpoint.digest,
        Overlapping(words),
        network,
        int(checkpoint.size("max_position_embeddings")),
        micro_batch,
    )


def load_each(names: Iterable[str], device: torch.device | str = "cpu", micro_batch: int = 8) -> dict[str, MaskedModel]:
    """Load several, by name."""
    return {name: load_masked(name, device, micro_batch) for name in dict.fromkeys(names)}
