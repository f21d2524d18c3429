"""DNABERT-2: MosaicBERT (ALiBi, gated feed-forward) over byte-pair encoding. Source: zhou2024, portes2023."""

from __future__ import annotations

from kmerit.errors import CheckpointError
from kmerit.models.checkpoint import Checkpoint
from kmerit.models.encoder import Encoder
from kmerit.models.family import OWN, Family, Parts
from kmerit.models.layers import Layer
from kmerit.models.positions import alibi_slopes
from kmerit.models.subwords import read_subwords
from kmerit.models.weights import Weights


def fits(checkpoint: Checkpoint) -> bool:
    """A BERT whose query, key and value are one matrix, as in MosaicBERT."""
    return checkpoint.config.get("model_type") == "bert" and any(".Wqkv." in key for key in checkpoint.tensors)


def build(checkpoint: Checkpoint) -> Parts:
    """Read the weights and the tokeniser.

    ALiBi itself has no last position; the limit is the ``max_position_embeddings`` of the configuration.
    """
    encoder = _encoder(checkpoint)
    tokenizer = read_subwords(checkpoint, len(encoder.words))
    if not tokenizer.leads:
        raise CheckpointError(
            f"{checkpoint.name}: its tokeniser puts no [CLS] first, which the classification head reads. "
            f"Give tokenizer.json a post-processor."
        )
    limit = checkpoint.size("max_position_embeddings")
    return Parts(encoder=encoder, tokenizer=tokenizer, max_tokens=limit, abilities=OWN)


def _encoder(checkpoint: Checkpoint) -> Encoder:
    config = checkpoint.config
    if config.get("hidden_act", "gelu") != "gelu":
        raise CheckpointError(f"{checkpoint.name}: hidden_act is {config['hidden_act']!r}; expected 'gelu'.")
    hidden, inner, heads = (checkpoint.size(key) for key in ("hidden_size", "intermediate_size", "num_attention_heads"))
    weights = Weights(checkpoint, "bert", hidden, float(config.get("layer_norm_eps", 1e-12)))
    classifier = weights.head("classifier", "with transformers")

    def layer(index: int) -> Layer:
        key = f"bert.encoder.layer.{index}"
        return Layer(
            qkv=weights.linear(f"{key}.attention.self.Wqkv", 3 * hidden, hidden),
            output=weights.linear(f"{key}.attention.output.dense", hidden, hidden),
            up=weights.linear(f"{key}.mlp.gated_layers", 2 * inner, hidden, bias=False),
            down=weights.linear(f"{key}.mlp.wo", hidden, inner),
            after_attention=weights.norm(f"{key}.attention.output.LayerNorm"),
            after_feed=weights.norm(f"{key}.mlp.layernorm"),
            gated=True,
        )

    embeddings = "bert.embeddings"
    return Encoder(
        words=weights.tensor(f"{embeddings}.word_embeddings.weight", checkpoint.size("vocab_size"), hidden),
        added=(weights.tensor(f"{embeddings}.token_type_embeddings.weight", -1, hidden)[:1],),
        norm=weights.norm(f"{embeddings}.LayerNorm"),
        layers=tuple(layer(index) for index in range(checkpoint.size("num_hidden_layers"))),
        pooler=weights.linear("bert.pooler.dense", hidden, hidden),
        classifier=classifier,
        heads=heads,
        slopes=alibi_slopes(heads),
    )


FAMILY = Family(
    name="dnabert2",
    summary="DNABERT-2 and its descendants: MosaicBERT (ALiBi, gated feed-forward) over byte-pair encoding",
    cites="zhou2024",
    fits=fits,
    build=build,
)
