"""From an ESM checkpoint's tensors to an encoder."""

from __future__ import annotations

from typing import Any

import torch

from kmerit.errors import CheckpointError
from kmerit.models.checkpoint import Checkpoint
from kmerit.models.encoder import Encoder
from kmerit.models.layers import Layer
from kmerit.models.positions import Rotation
from kmerit.models.token_dropout import TokenDropout
from kmerit.models.weights import Weights

UNUSED = r"esm\.embeddings\.position_embeddings\.weight"
"""Learned positions lie in every ESM; one with rotary positions does not read them."""
_PLAIN: dict[str, Any] = {
    "esmfold_config": None,
    "is_folding_model": False,
    "rope_parameters": None,
    "rope_scaling": None,
    "vocab_list": None,
}
"""What an ESM of nucleotides does not set; none of it is computed here."""


def is_esm(checkpoint: Checkpoint) -> bool:
    """Tell by its tensors whether a checkpoint's layers are ESM's; its config.json must not say otherwise."""
    first = "esm.encoder.layer.0.attention.self.query.weight"
    return checkpoint.config.get("model_type") in (None, "esm") and first in checkpoint.tensors


def usable_positions(checkpoint: Checkpoint) -> int:
    """Count the tokens that fit: ESM counts positions from the padding token's id, plus one."""
    return checkpoint.size("max_position_embeddings") - checkpoint.size("pad_token_id") - 1


def esm_encoder(checkpoint: Checkpoint) -> Encoder:
    """Gather the weights of an ``EsmForSequenceClassification``.

    Positions are learned or rotary. A feed-forward whose first layer is twice as wide as the configuration says is
    gated by SiLU, as in the second version of Nucleotide Transformer.

    Raises:
        CheckpointError: No classification head, a tensor missing or of another shape, or a variant that is not
            computed.

    Source: lin2023 for the layers, dallatorre2025 for the gate.
    """
    kind = checkpoint.choice("position_embedding_type", "absolute", "rotary")
    for key, value in _PLAIN.items():
        checkpoint.choice(key, value, None)
    tables = [key for key in checkpoint.tensors if key.endswith("rotary_embeddings.inv_freq")]
    if tables and kind == "absolute":
        raise CheckpointError(
            f"{checkpoint.name}: position_embedding_type is 'absolute' in config.json, but {tables[0]!r} is of rotary "
            f"positions. Correct config.json."
        )
    hidden, inner = checkpoint.size("hidden_size"), checkpoint.size("intermediate_size")
    heads, positions = checkpoint.heads(hidden), checkpoint.size("max_position_embeddings")
    weights = Weights(checkpoint, hidden, checkpoint.number("layer_norm_eps", 1e-12))
    classifier = weights.head("classifier.out_proj", "with transformers")
    checkpoint.choice("hidden_act", "gelu", "silu", None)  # which of them, the width of the feed-forward says
    biased, base = checkpoint.config.get("add_bias_fnn"), checkpoint.number("rope_theta", 10000.0)

    names = checkpoint.tensors

    def layer(index: int) -> Layer:
        key = f"esm.encoder.layer.{index}"
        up = f"{key}.intermediate.dense.weight"
        gated = up in names and names.shape(up)[:1] == (2 * inner,)
        bias = f"{key}.intermediate.dense.bias" in names if biased is None else checkpoint.flag("add_bias_fnn")
        return Layer(
            qkv=weights.qkv(f"{key}.attention.self"),
            output=weights.linear(f"{key}.attention.output.dense", hidden, hidden),
            up=weights.linear(f"{key}.intermediate.dense", 2 * inner if gated else inner, hidden, bias),
            down=weights.linear(f"{key}.output.dense", hidden, inner, bias),
            before_attention=weights.norm(f"{key}.attention.LayerNorm"),
            before_feed=weights.norm(f"{key}.LayerNorm"),
            activation="silu" if gated else "gelu",
            gated=gated,
        )

    embeddings = "esm.embeddings"
    first = checkpoint.size("pad_token_id") + 1
    return Encoder(
        words=weights.tensor(f"{embeddings}.word_embeddings.weight", checkpoint.size("vocab_size"), hidden),
        added=(weights.tensor(f"{embeddings}.position_embeddings.weight", positions, hidden)[first:],)
        if kind == "absolute"
        else (),
        norm=weights.norm(f"{embeddings}.layer_norm") if checkpoint.flag("emb_layer_norm_before") else None,
        layers=tuple(layer(index) for index in range(checkpoint.size("num_hidden_layers"))),
        pooler=weights.linear("classifier.dense", hidden, hidden),
        classifier=classifier,
        heads=heads,
        last_norm=weights.norm("esm.encoder.emb_layer_norm_after"),
        rotation=None if kind == "absolute" else _rotation(checkpoint, tables, positions, hidden // heads, base),
        dropout=TokenDropout(checkpoint.size("mask_token_id")) if checkpoint.flag("token_dropout") else None,
    )


def _rotation(checkpoint: Checkpoint, tables: list[str], positions: int, size: int, base: float) -> Rotation:
    """Make the tables of rotary positions; frequencies that lie among the weights must be theirs."""
    if size % 2:
        raise CheckpointError(f"{checkpoint.name}: its heads have {size} units; rotary positions turn pairs of them.")
    frequencies = base ** (-torch.arange(0, size, 2, dtype=torch.float64) / size)
    for key in tables:
        saved = checkpoint.tensors[key].double()
        if saved.shape != frequencies.shape or not torch.allclose(saved, frequencies, rtol=1e-2, atol=0):
            raise CheckpointError(f"{checkpoint.name}: {key!r} has other frequencies than {base:g} ** (-i / {size}).")
    return Rotation.of(positions, size, base)
