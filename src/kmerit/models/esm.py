"""From an ESM checkpoint's tensors to an encoder."""

from __future__ import annotations

from kmerit.errors import CheckpointError
from kmerit.models.checkpoint import Checkpoint
from kmerit.models.encoder import Encoder
from kmerit.models.layers import Layer
from kmerit.models.positions import Rotation
from kmerit.models.token_dropout import TokenDropout
from kmerit.models.weights import Weights


def usable_positions(checkpoint: Checkpoint) -> int:
    """Count the tokens that fit: ESM counts positions from the padding token's id, plus one."""
    return checkpoint.size("max_position_embeddings") - checkpoint.size("pad_token_id") - 1


def esm_encoder(checkpoint: Checkpoint) -> Encoder:
    """Gather the weights of an ``EsmForSequenceClassification``.

    Positions are learned or rotary. A feed-forward whose first layer is twice as wide as the configuration says is
    gated by SiLU, as in the second version of Nucleotide Transformer.

    Raises:
        CheckpointError: No classification head, a tensor missing or of another shape, or other positions.

    Source: lin2023 for the layers, dallatorre2025 for the gate.
    """
    config, name = checkpoint.config, checkpoint.name
    kind = config.get("position_embedding_type", "absolute")
    if kind not in ("absolute", "rotary"):
        raise CheckpointError(f"{name}: position_embedding_type is {kind!r}; expected 'absolute' or 'rotary'.")
    hidden, inner = checkpoint.size("hidden_size"), checkpoint.size("intermediate_size")
    heads, positions = checkpoint.size("num_attention_heads"), checkpoint.size("max_position_embeddings")
    weights = Weights(checkpoint, "esm", hidden, float(config.get("layer_norm_eps", 1e-12)))
    classifier = weights.head("classifier.out_proj", "with transformers")

    def layer(index: int) -> Layer:
        key = f"esm.encoder.layer.{index}"
        gated = weights.tensor(f"{key}.intermediate.dense.weight", -1, hidden).shape[0] == 2 * inner
        bias = f"{key}.intermediate.dense.bias" in checkpoint.tensors
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
        norm=weights.norm(f"{embeddings}.layer_norm") if config.get("emb_layer_norm_before") else None,
        layers=tuple(layer(index) for index in range(checkpoint.size("num_hidden_layers"))),
        pooler=weights.linear("classifier.dense", hidden, hidden),
        classifier=classifier,
        heads=heads,
        last_norm=weights.norm("esm.encoder.emb_layer_norm_after"),
        rotation=None if kind == "absolute" else _rotation(checkpoint, positions, hidden // heads),
        dropout=TokenDropout(checkpoint.size("mask_token_id")) if config.get("token_dropout") else None,
    )


def _rotation(checkpoint: Checkpoint, positions: int, size: int) -> Rotation:
    return Rotation.of(positions, size, float(checkpoint.config.get("rope_theta", 10000.0)))
