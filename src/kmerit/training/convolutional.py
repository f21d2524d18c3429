"""A small convolutional network over the letters: the teacher of the bundled models, and a baseline beside them.

It reads the same k-mer tokens as the models it teaches, so that it answers to the very batch that they see; from
overlapping k-mers the letters follow, also where some k-mers are hidden.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from transformers import AutoConfig, AutoModelForSequenceClassification, PreTrainedConfig, PreTrainedModel
from transformers.modeling_outputs import SequenceClassifierOutput

from kmerit.models.kmer import SPECIAL

_UNKNOWN = 4


class ConvolutionalConfig(PreTrainedConfig):  # type: ignore[misc]
    """The network's shape; names that BERT's shape has too mean the same.

    Attributes:
        vocab_size: Of the k-mer tokens.
        hidden_size: Channels.
        num_hidden_layers: Blocks: a residual convolution, then the maximum over ``pool`` positions.
        kernels: Widths of the first convolution and of those in the blocks, nucleotides and positions.
        pool: Positions that become one.
        hidden_letters: Share of letters made unknown in training.
        hidden_dropout_prob: After each residual convolution.
        classifier_dropout: Before each layer of the head.
    """

    model_type = "kmerit_convolutional"

    def __init__(
        self,
        vocab_size: int = 4101,
        hidden_size: int = 128,
        num_hidden_layers: int = 3,
        kernels: tuple[int, int] = (13, 7),
        pool: int = 3,
        hidden_letters: float = 0.0,
        hidden_dropout_prob: float = 0.1,
        classifier_dropout: float | None = None,
        max_position_embeddings: int = 512,
        **rest: Any,
    ) -> None:
        super().__init__(**rest)
        self.vocab_size, self.hidden_size, self.num_hidden_layers = vocab_size, hidden_size, num_hidden_layers
        self.kernels, self.pool, self.hidden_letters = list(kernels), pool, hidden_letters
        self.hidden_dropout_prob, self.classifier_dropout = hidden_dropout_prob, classifier_dropout
        self.max_position_embeddings = max_position_embeddings


def letters(ids: Tensor, k: int) -> Tensor:
    """Read the letters off overlapping k-mers.

    Args:
        ids: ``[sequence, token]``, the first a [CLS].
        k: Nucleotides a token.

    Returns:
        ``[sequence, token + k - 2]``: place of the letter in ``ATCG``; 4 where no k-mer tells it.

    Example:
        >>> import numpy as np
        >>> from kmerit.models.kmer import token_ids
        >>> from kmerit.types import encode
        >>> tokens = token_ids(encode("ACGT")[None], np.array([4]), 3)
        >>> letters(torch.from_numpy(tokens.ids), 3).tolist()
        [[0, 2, 3, 1, 4]]
    """
    words = ids[:, 1:]
    known = words >= len(SPECIAL)
    found = torch.full((len(ids), words.shape[1] + k - 1), _UNKNOWN, dtype=torch.long, device=ids.device)
    for offset in range(k):
        letter = torch.where(known, (words - len(SPECIAL)) // 4 ** (k - 1 - offset) % 4, _UNKNOWN)
        part = found[:, offset : offset + words.shape[1]]
        torch.minimum(part, letter, out=part)  # the k-mers over a place agree, or do not tell
    return found


class _Block(nn.Module):
    def __init__(self, shape: ConvolutionalConfig) -> None:
        super().__init__()
        width, kernel = shape.hidden_size, shape.kernels[1]
        self.norm = nn.BatchNorm1d(width)
        self.convolution = nn.Conv1d(width, width, kernel, padding=kernel // 2)
        self.dropout = nn.Dropout(shape.hidden_dropout_prob)
        self.pool = nn.MaxPool1d(shape.pool, ceil_mode=True)

    def forward(self, hidden: Tensor) -> Tensor:
        added = self.convolution(nn.functional.gelu(self.norm(hidden)))
        pooled: Tensor = self.pool(hidden + self.dropout(added))
        return pooled


class Convolutions(nn.Module):
    """From letters to features: the maximum, the mean and an attended mean of every channel."""

    def __init__(self, shape: ConvolutionalConfig) -> None:
        super().__init__()
        width, kernel = shape.hidden_size, shape.kernels[0]
        self.first = nn.Conv1d(4, width, kernel, padding=kernel // 2)
        self.blocks = nn.Sequential(*(_Block(shape) for _ in range(shape.num_hidden_layers)))
        self.norm = nn.BatchNorm1d(width)
        self.attention = nn.Conv1d(width, 1, 1)

    def forward(self, one_hot: Tensor) -> Tensor:
        """Compute ``[sequence, 3 * channel]`` from ``[sequence, letter, position]``."""
        hidden = self.blocks(nn.functional.gelu(self.first(one_hot)))
        hidden = nn.functional.gelu(self.norm(hidden)).float()
        share = self.attention(hidden).float().softmax(-1)
        return torch.cat([hidden.amax(-1), hidden.mean(-1), (hidden * share).sum(-1)], dim=1)


class ConvolutionalClassifier(PreTrainedModel):  # type: ignore[misc]
    """The network with a head of two layers."""

    config_class = ConvolutionalConfig
    base_model_prefix = "network"

    def __init__(self, config: ConvolutionalConfig) -> None:
        super().__init__(config)
        self.k = (config.vocab_size - len(SPECIAL)).bit_length() // 2
        self.network = Convolutions(config)
        dropout = config.hidden_dropout_prob if config.classifier_dropout is None else config.classifier_dropout
        self.classifier = nn.Sequential(
            nn.Dropout(dropout),
            nn.Linear(3 * config.hidden_size, config.hidden_size),
            nn.GELU(),
            nn.Dropout(dropout),
            nn.Linear(config.hidden_size, config.num_labels),
        )
        self.post_init()

    def _init_weights(self, module: nn.Module) -> None:
        """Leave torch's own start."""

    def forward(
        self, input_ids: Tensor, attention_mask: Tensor | None = None, labels: Tensor | None = None
    ) -> SequenceClassifierOutput:
        """Answer to k-mer tokens; padding is unknown letters."""
        places = letters(input_ids, self.k)
        if self.training and self.config.hidden_letters:
            places = places.masked_fill(torch.rand(places.shape) < self.config.hidden_letters, _UNKNOWN)
        one_hot = nn.functional.one_hot(places, _UNKNOWN + 1)[:, :, :_UNKNOWN].transpose(1, 2)
        logits = self.classifier(self.network(one_hot.float()))
        loss = None if labels is None else nn.functional.cross_entropy(logits.float(), labels)
        return SequenceClassifierOutput(loss=loss, logits=logits)


AutoConfig.register(ConvolutionalConfig.model_type, ConvolutionalConfig)
AutoModelForSequenceClassification.register(ConvolutionalConfig, ConvolutionalClassifier)
