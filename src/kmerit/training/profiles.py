"""A small Enformer to be trained from scratch: batch norm learns its statistics, and dropout is none.

Its tensors have the published names, so that its state dict is a checkpoint of the family ``enformer``. Source:
avsec2021.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kmerit.errors import ConfigError
from kmerit.models.families.enformer import decays, gamma_features, masks
from kmerit.models.sequence_to_function import distances, one_hot_rows, signed
from kmerit.training.recipe import FinetuneConfig

TRACKS = "tracks"
"""The one head's name."""
_WIDEST = 4
"""By how much the attention's keys are narrower than its values at most."""


class Gelu(nn.Module):
    """x times the logistic function of 1.702 x."""

    def forward(self, x: Tensor) -> Tensor:
        """Apply it."""
        return x * torch.sigmoid(1.702 * x)


class Residual(nn.Module):
    """What is computed, added to what it is computed of."""

    def __init__(self, fn: nn.Module) -> None:
        super().__init__()
        self.fn = fn

    def forward(self, x: Tensor) -> Tensor:
        """Add both."""
        total: Tensor = x + self.fn(x)
        return total


class Halved(nn.Module):
    """The mean of two neighbours, unit by unit, weighted by a softmax of what they are; it starts at the larger."""

    def __init__(self, units: int) -> None:
        super().__init__()
        self.to_attn_logits = nn.Conv2d(units, units, 1, bias=False)
        nn.init.zeros_(self.to_attn_logits.weight)
        with torch.no_grad():
            self.to_attn_logits.weight[..., 0, 0] += 2 * torch.eye(units)

    def forward(self, x: Tensor) -> Tensor:
        """Halve the places of [B, H, N], N even."""
        pairs = x.reshape(*x.shape[:2], -1, 2)
        pooled: Tensor = (pairs * self.to_attn_logits(pairs).softmax(-1)).sum(-1)
        return pooled


class Relative(nn.Module):
    """Attention whose scores have a part for what is compared, and a part for how far apart it is."""

    def __init__(self, hidden: int, heads: int, key: int) -> None:
        super().__init__()
        self.heads, self.features = heads, hidden // heads
        self.to_q, self.to_k = (nn.Linear(hidden, heads * key, bias=False) for _ in range(2))
        self.to_v = nn.Linear(hidden, hidden, bias=False)
        self.to_out = nn.Linear(hidden, hidden)
        self.to_rel_k = nn.Linear(self.features, heads * key, bias=False)
        self.rel_content_bias, self.rel_pos_bias = (nn.Parameter(torch.randn(1, heads, 1, key)) for _ in range(2))

    def forward(self, x: Tensor) -> Tensor:
        """Attend: [B, N, H]."""
        bins, size = x.shape[1], self.features // 6
        q, k, v = (
            part(x).unflatten(-1, (self.heads, -1)).transpose(1, 2) for part in (self.to_q, self.to_k, self.to_v)
        )
        q = q * q.shape[-1] ** -0.5
        away = distances(bins)
        parts = [decays(away, size, bins), masks(away, size), gamma_features(away, size, bins, False)]
        places = self.to_rel_k(signed(torch.cat(parts, -1), away).to(x)).unflatten(-1, (self.heads, -1)).transpose(0, 1)
        content = (q + self.rel_content_bias) @ k.transpose(-1, -2)
        by_distance = (q + self.rel_pos_bias) @ places.transpose(-1, -2)
        place = torch.arange(bins, device=x.device)
        row = (place[None] - place[:, None] + bins - 1).expand(*content.shape)
        scores = content + by_distance.gather(-1, row)
        mixed: Tensor = self.to_out((scores.softmax(-1) @ v).transpose(1, 2).flatten(2))
        return mixed


def _block(n_in: int, n_out: int, kernel: int) -> nn.Sequential:
    return nn.Sequential(nn.BatchNorm1d(n_in), Gelu(), nn.Conv1d(n_in, n_out, kernel, padding=kernel // 2))


class SmallEnformer(nn.Module):
    """Enformer of any size, from ids of nucleotides to the values of its tracks.

    Attributes:
        by_bin: Its outputs are the bins of one track; else the means over all bins of each track.
    """

    def __init__(self, config: FinetuneConfig, outputs: int) -> None:
        """Make new weights.

        Raises:
            ConfigError: Positions cannot be encoded in the width of a head, or a stage would have no unit.
        """
        super().__init__()
        hidden, stages = config.hidden, config.downsamples
        if hidden % (6 * config.heads):
            raise ConfigError(
                f"hidden is {hidden} and heads {config.heads}; an Enformer needs a multiple of 6 units for each "
                f"head, since three kinds of functions encode a distance, each with and without its sign. "
                f"Set hidden={6 * config.heads * max(hidden // (6 * config.heads), 1)}."
            )
        self.by_bin, self.width = config.bins is not None, 2**stages
        self.key = max(hidden // config.heads // _WIDEST, 1)
        widths = [hidden // 2 + round((hidden - hidden // 2) * i / max(stages - 1, 1)) for i in range(stages)]
        self.stem = nn.Sequential(
            nn.Conv1d(4, widths[0], 15, padding=7), Residual(_block(widths[0], widths[0], 1)), Halved(widths[0])
        )
        self.conv_tower = nn.Sequential(
            *(
                nn.Sequential(_block(n_in, n_out, 5), Residual(_block(n_out, n_out, 1)), Halved(n_out))
                for n_in, n_out in zip(widths, [*widths[1:-1], hidden], strict=False)
            )
        )
        self.transformer = nn.Sequential(
            *(
                nn.Sequential(
                    Residual(nn.Sequential(nn.LayerNorm(hidden), Relative(hidden, config.heads, self.key))),
                    Residual(
                        nn.Sequential(
                            nn.LayerNorm(hidden),
                            nn.Linear(hidden, 2 * hidden),
                            nn.Identity(),
                            nn.ReLU(),
                            nn.Linear(2 * hidden, hidden),
                        )
                    ),
                )
                for _ in range(config.layers)
            )
        )
        self.final_pointwise = nn.Sequential(nn.Identity(), _block(hidden, 2 * hidden, 1), Gelu())
        self._heads = nn.ModuleDict({TRACKS: nn.Sequential(nn.Linear(2 * hidden, 1 if self.by_bin else outputs))})
        self.register_buffer("letters", one_hot_rows(torch.float32), persistent=False)

    def forward(self, input_ids: Tensor, attention_mask: Tensor | None = None) -> dict[str, Tensor]:
        """Compute outputs [sequence, output], above 0, of ids [sequence, nucleotide], under ``logits``."""
        x = F.embedding(input_ids, self.get_buffer("letters")).transpose(1, 2)
        x = self.transformer(self.conv_tower(self.stem(x)).transpose(1, 2))
        values = F.softplus(self._heads[TRACKS](self.final_pointwise(x.transpose(1, 2)).transpose(1, 2)))
        return {"logits": values[..., 0] if self.by_bin else values.mean(1)}

    def settings(self, config: FinetuneConfig, outputs: int) -> dict[str, Any]:
        """Describe it as config.json of the package enformer-pytorch does."""
        return {
            "architectures": ["Enformer"],
            "model_type": "enformer",
            "dim": config.hidden,
            "depth": config.layers,
            "heads": config.heads,
            "attn_dim_key": self.key,
            "num_downsamples": config.downsamples,
            "target_length": -1,
            "use_convnext": False,
            "use_tf_gamma": False,
            "output_heads": {TRACKS: 1 if self.by_bin else outputs},
            "dtype": "float32",
        }
