"""A small convolutional network over nucleotides: a teacher of k-mer models, and a baseline for them.

It reads the k-mer tokens of the models it teaches, so that it predicts on the same batch; from overlapping k-mers the
letters follow, also where some k-mers are hidden.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Literal, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn
from transformers import AutoConfig, AutoModelForSequenceClassification, PreTrainedConfig, PreTrainedModel
from transformers.modeling_outputs import SequenceClassifierOutput

from kmerit.errors import CheckpointError, ConfigError
from kmerit.models.tokenizers import SPECIAL
from kmerit.training.recipe import CropConfig, FinetuneConfig

_SPECIAL = len(SPECIAL)
_UNKNOWN = 4


class ConvolutionalConfig(FinetuneConfig):
    """A fine-tuning of a convolutional network; `base` is one whose convolutions it starts with."""

    channels: int = Field(128, ge=1)
    filter: int = Field(13, ge=1, description="nucleotides of a first filter; odd")
    pool: int = Field(1, ge=1, description="nucleotides of which only a first filter's maximum is passed on")
    blocks: int = Field(3, ge=1, description="residual convolutions, each before a maximum over three positions")
    readout: Literal["pooled", "places"] = Field(
        "pooled",
        description="what the head reads of a channel: its maximum, mean and attended mean; or its value at every "
        "place, where a sequence's place means something (a fixed distance to the transcription start)",
    )
    hidden_letters: float = Field(0.0, ge=0, le=1, description="share of letters made unknown in training")

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.filter % 2 == 0:
            raise ValueError(f"filter ({self.filter}) must be odd, so that it has a middle")
        if self.readout == "places" and not isinstance(self.crop, CropConfig):
            raise ValueError("a head that reads places needs sequences of one length: set crop")
        return self

    @property
    def places(self) -> int | None:
        """Nucleotides of a sequence whose places the head reads."""
        return self.crop.length if self.readout == "places" and isinstance(self.crop, CropConfig) else None


class _Shape(PreTrainedConfig):  # type: ignore[misc]
    """The network's shape, as its config.json has it."""

    model_type = "kmerit_convolutional"

    def __init__(
        self,
        vocab_size: int = 4**6 + _SPECIAL,
        channels: int = 128,
        filter: int = 13,
        pool: int = 1,
        blocks: int = 3,
        places: int | None = None,
        hidden_letters: float = 0.0,
        dropout: float = 0.1,
        head_dropout: float = 0.1,
        max_position_embeddings: int = 512,
        **rest: Any,
    ) -> None:
        super().__init__(**rest)
        self.vocab_size, self.channels, self.blocks, self.hidden_letters = vocab_size, channels, blocks, hidden_letters
        self.filter, self.pool, self.places = filter, pool, places
        self.dropout, self.head_dropout, self.max_position_embeddings = dropout, head_dropout, max_position_embeddings


def letters(ids: Tensor, k: int) -> Tensor:
    """Read the letters off overlapping k-mers.

    Args:
        ids: ``[sequence, token]``, the first a [CLS].
        k: Nucleotides a token.

    Returns:
        ``[sequence, token + k - 2]``: place of the letter in ``ATCG``; 4 where it is in no known k-mer.

    Example:
        >>> letters(torch.tensor([[2, 5 + 0b00_10_11, 5 + 0b10_11_01, 3]]), 3).tolist()  # [CLS] ACG CGT [SEP]
        [[0, 2, 3, 1, 4]]
    """
    words = ids[:, 1:]
    known = words >= _SPECIAL
    read = torch.full((len(ids), words.shape[1] + k - 1), _UNKNOWN, dtype=torch.long, device=ids.device)
    for offset in range(k):
        letter = torch.where(known, (words - _SPECIAL) // 4 ** (k - 1 - offset) % 4, _UNKNOWN)
        part = read[:, offset : offset + words.shape[1]]
        torch.minimum(part, letter, out=part)  # the known k-mers over a place agree
    return read


class _Block(nn.Module):
    """A residual convolution, and the maximum over three positions."""

    def __init__(self, width: int, dropout: float) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(width)
        self.convolution = nn.Conv1d(width, width, 7, padding=3)
        self.dropout = nn.Dropout(dropout)
        self.pool = nn.MaxPool1d(3, ceil_mode=True)

    def forward(self, hidden: Tensor) -> Tensor:
        added = self.convolution(nn.functional.gelu(self.norm(hidden)))
        pooled: Tensor = self.pool(hidden + self.dropout(added))
        return pooled


class _Convolutions(nn.Module):
    """From ``[sequence, letter, position]`` to what the head reads of every channel.

    That is its maximum, its mean and an attended mean; or its value at every place.
    """

    def __init__(self, shape: _Shape) -> None:
        super().__init__()
        self.first = nn.Conv1d(4, shape.channels, shape.filter, padding=shape.filter // 2)
        self.pool = nn.MaxPool1d(shape.pool, ceil_mode=True)
        self.blocks = nn.Sequential(*(_Block(shape.channels, shape.dropout) for _ in range(shape.blocks)))
        self.norm = nn.BatchNorm1d(shape.channels)
        self.attention = nn.Conv1d(shape.channels, 1, 1) if shape.places is None else None

    def forward(self, one_hot: Tensor) -> Tensor:
        hidden = self.blocks(nn.functional.gelu(self.pool(self.first(one_hot))))
        hidden = nn.functional.gelu(self.norm(hidden)).float()
        if self.attention is None:
            return hidden.flatten(1)
        share = self.attention(hidden).float().softmax(-1)
        return torch.cat([hidden.amax(-1), hidden.mean(-1), (hidden * share).sum(-1)], dim=1)


class Network(PreTrainedModel):  # type: ignore[misc]
    """The convolutions with a head of two layers."""

    config_class = _Shape
    base_model_prefix = "network"

    def __init__(self, config: _Shape) -> None:
        super().__init__(config)
        self.k = (config.vocab_size - _SPECIAL).bit_length() // 2
        self.network = _Convolutions(config)
        read = 3 if config.places is None else _places_left(config)
        self.classifier = nn.Sequential(
            nn.Dropout(config.head_dropout),
            nn.Linear(read * config.channels, config.channels),
            nn.GELU(),
            nn.Dropout(config.head_dropout),
            nn.Linear(config.channels, config.num_labels),
        )
        self.post_init()

    def _init_weights(self, module: nn.Module) -> None:
        """Leave torch's own start."""

    def forward(self, input_ids: Tensor, **rest: Any) -> SequenceClassifierOutput:
        """Answer to k-mer tokens; padding is unknown letters."""
        places = letters(input_ids, self.k)
        if self.training and self.config.hidden_letters:
            places = places.masked_fill(torch.rand(places.shape) < self.config.hidden_letters, _UNKNOWN)
        if self.config.places is not None:
            places = self._of_one_length(places)
        one_hot = nn.functional.one_hot(places, _UNKNOWN + 1)[:, :, :_UNKNOWN].transpose(1, 2)
        return SequenceClassifierOutput(logits=self.classifier(self.network(one_hot.float())))

    def _of_one_length(self, places: Tensor) -> Tensor:
        """Cut what no k-mer reaches, or fill up with unknown letters."""
        missing = self.config.places - places.shape[1]
        if missing < 0 and bool((places[:, missing:] != _UNKNOWN).any()):
            raise ValueError(
                f"Expected at most {self.config.places} nucleotides, whose places the network reads; "
                f"got {places.shape[1]}."
            )
        return nn.functional.pad(places, (0, missing), value=_UNKNOWN)


def _places_left(shape: _Shape) -> int:
    """Count the places after all maxima."""
    assert shape.places is not None
    left = math.ceil(shape.places / shape.pool)
    for _ in range(shape.blocks):
        left = math.ceil(left / 3)
    return left


AutoConfig.register(_Shape.model_type, _Shape)
AutoModelForSequenceClassification.register(_Shape, Network)


def convolutional_network(config: FinetuneConfig, classes: Sequence[str]) -> Network:
    """Make the network of a recipe, or put a new head on the convolutions of its base.

    Args:
        config: A `ConvolutionalConfig`.
        classes: Names of the outputs.

    Raises:
        ConfigError: The recipe of another network.
        CheckpointError: ``base`` is of another shape.

    Example:
        Hand it to `kmerit.training.finetune` as ``network=convolutional_network``.

        >>> config = ConvolutionalConfig.parse({"task": "ienhancer_2l", "k": 3, "channels": 8, "blocks": 1})
        >>> network = convolutional_network(config, ["other", "enhancer"])
        >>> network(torch.tensor([[2, 5, 6, 7, 3]])).logits.shape
        torch.Size([1, 2])
    """
    if not isinstance(config, ConvolutionalConfig):
        raise ConfigError(f"Expected a ConvolutionalConfig, got a {type(config).__name__}.")
    shape = _Shape(
        vocab_size=4**config.k + _SPECIAL,
        channels=config.channels,
        filter=config.filter,
        pool=config.pool,
        blocks=config.blocks,
        places=config.places,
        hidden_letters=config.hidden_letters,
        dropout=config.hidden_dropout,
        head_dropout=config.hidden_dropout if config.head_dropout is None else config.head_dropout,
        max_position_embeddings=config.max_tokens,
        id2label=dict(enumerate(classes)),
        label2id={name: i for i, name in enumerate(classes)},
        problem_type=config.problem_type,
    )
    model = Network(shape)
    if config.base is not None:
        base = AutoModelForSequenceClassification.from_pretrained(
            config.base, dtype=torch.float32, trust_remote_code=False
        )
        for what in ("channels", "filter", "pool", "blocks", "places"):
            if (found := getattr(base.config, what, None)) != (asked := getattr(shape, what)):
                raise CheckpointError(
                    f"{config.base}: its convolutions have {what} {found}, the recipe asks for {asked}. Give the "
                    f"recipe the base's shape, or leave base out."
                )
        model.network.load_state_dict(base.network.state_dict())
    return model
