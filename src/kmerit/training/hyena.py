"""A small HyenaDNA to be trained from scratch: the checkpoint that a training begins with, under the published names.

Source: nguyen2023; poli2023, section 3.3 and appendix D, for the filters.
"""

from __future__ import annotations

import math
import os
from pathlib import Path

import torch
from torch import Tensor

from kmerit.models.checkpoint import Checkpoint, Settings, Tensors
from kmerit.models.tokenizers import VOCABULARY
from kmerit.training.recipe import FinetuneConfig

_STD = 0.02
_ORDER = 64
"""Width of the network of sines that makes a filter of the positions."""
_SINES = 2
"""Layers of it between the first and the last."""
_BANDS = 16
"""Frequencies by which it reads a position."""
_FREQUENCY = 10.0
_FAST, _SLOW, _TARGET = 0.3, 1.5, 1e-2
"""Shares of the positions after which the fastest and the slowest filter have fallen to the target."""


def new_hyenadna(config: FinetuneConfig) -> Checkpoint:
    """Draw the weights of a HyenaDNA of the recipe's width, layers and tokens, without a head.

    A filter is a function of the share of ``max_tokens`` that it reaches back: models to be compared have it equal.

    Args:
        config: Of which ``hidden``, ``intermediate``, ``layers``, ``max_tokens`` and ``seed`` count.

    Example:
        >>> small = {"architecture": "hyenadna", "hidden": 6, "layers": 1, "max_tokens": 50}
        >>> checkpoint = new_hyenadna(FinetuneConfig.parse(small))
        >>> checkpoint.config["max_seq_len"], checkpoint.tensors.shape("hyena.backbone.ln_f.weight")
        (50, (6,))
    """
    rng = torch.Generator().manual_seed(config.seed)
    hidden, inner, tokens = config.hidden, config.intermediate, config.max_tokens
    features = 2 * _BANDS + 1
    vocabulary = math.ceil(len(VOCABULARY) / 8) * 8
    settings = {
        "architectures": ["HyenaDNAModel"],
        "model_type": "hyenadna",
        "d_model": hidden,
        "d_inner": inner,
        "n_layer": config.layers,
        "emb_dim": features,
        "filter_order": _ORDER,
        "num_inner_mlps": _SINES,
        "hyena_order": 2,
        "short_filter_order": 3,
        "use_bias": True,
        "train_freq": True,
        "activation_freq": _FREQUENCY,
        "layer_norm_epsilon": 1e-5,
        "max_seq_len": tokens,
        "vocab_size": len(VOCABULARY),
        "pad_vocab_size_multiple": 8,
    }

    def normal(*shape: int, scale: float = _STD) -> Tensor:
        return torch.randn(shape, generator=rng) * scale

    def uniform(outputs: int, inputs: int) -> Tensor:
        return torch.empty(outputs, inputs).uniform_(-(inputs**-0.5), inputs**-0.5, generator=rng)

    leaving = _STD / math.sqrt(2 * config.layers)  # two parts of a layer add to the stream
    tensors = {"hyena.backbone.embeddings.word_embeddings.weight": normal(vocabulary, hidden)}
    for index in range(config.layers):
        key = f"hyena.backbone.layers.{index}"
        for norm in ("norm1", "norm2"):
            tensors |= {f"{key}.{norm}.weight": torch.ones(hidden), f"{key}.{norm}.bias": torch.zeros(hidden)}
        for name, outputs, inputs, scale in (
            ("mixer.in_proj", 3 * hidden, hidden, _STD),
            ("mixer.out_proj", hidden, hidden, leaving),
            ("mlp.fc1", inner, hidden, _STD),
            ("mlp.fc2", hidden, inner, leaving),
        ):
            tensors |= {
                f"{key}.{name}.weight": normal(outputs, inputs, scale=scale),
                f"{key}.{name}.bias": torch.zeros(outputs),
            }
        tensors |= {
            f"{key}.mixer.short_filter.weight": uniform(3 * hidden, 3)[:, None],
            f"{key}.mixer.short_filter.bias": torch.zeros(3 * hidden),
        }
        stem = f"{key}.mixer.filter_fn"
        for layer in range(_SINES + 1):
            tensors |= {
                f"{stem}.implicit_filter.{2 * layer}.weight": uniform(_ORDER, _ORDER if layer else features),
                f"{stem}.implicit_filter.{2 * layer}.bias": torch.zeros(_ORDER),
            }
        place = torch.arange(tokens) * (2 * math.pi / tokens)
        phase = place[:, None] * torch.linspace(1e-4, _BANDS - 1, _BANDS)
        time = torch.linspace(0, 1, tokens)[None, :, None]
        decays = torch.linspace(math.log(_TARGET) / _SLOW, math.log(_TARGET) / _FAST, hidden)
        tensors |= {
            f"{stem}.implicit_filter.{2 * _SINES + 2}.weight": uniform(hidden, _ORDER),
            f"{stem}.implicit_filter.1.freq": torch.full((1, _ORDER), _FREQUENCY),
            f"{stem}.modulation.deltas": decays[None, None],
            f"{stem}.pos_emb.t": time,
            f"{stem}.pos_emb.z": torch.cat([time, phase.cos()[None], -phase.sin()[None]], dim=-1),
            f"{stem}.bias": normal(hidden, scale=1.0),
        }
    tensors |= {"hyena.backbone.ln_f.weight": torch.ones(hidden), "hyena.backbone.ln_f.bias": torch.zeros(hidden)}
    # No folder: HyenaDNA's characters have no file, and there is nothing else to be read.
    return Checkpoint("a new hyenadna", Path(os.devnull), Settings(settings), Tensors.of(tensors), torch.float32)
