"""DNABERT-2: MosaicBERT (ALiBi, gated feed-forward) over byte-pair encoding. Source: zhou2024, portes2023."""

from __future__ import annotations

from kmerit.models.checkpoint import Checkpoint
from kmerit.models.encoder import Encoder
from kmerit.models.family import OWN, Family, Head, Parts
from kmerit.models.layers import Layer, alibi_slopes
from kmerit.models.layouts import Weights, pooled_head
from kmerit.models.tokenizers import read_leading


def fits(checkpoint: Checkpoint) -> bool:
    """A BERT whose query, key and value are one matrix, as in MosaicBERT; its config.json need not say what it is."""
    layer = "bert.encoder.layer.0"
    names = (f"{layer}.attention.self.Wqkv.weight", f"{layer}.mlp.gated_layers.weight")
    return checkpoint.config.get("model_type") in (None, "bert") and all(name in checkpoint.tensors for name in names)


def build(checkpoint: Checkpoint) -> Parts:
    """Read the weights and the tokeniser.

    ALiBi itself has no last position; the limit is the ``max_position_embeddings`` of the configuration.
    """
    encoder = _encoder(checkpoint)
    tokenizer = read_leading(checkpoint, len(encoder.words))
    limit = checkpoint.size("max_position_embeddings")
    return Parts(encoder=encoder, tokenizer=tokenizer, max_tokens=limit, abilities=OWN, ignored=_SIZES)


_SIZES = frozenset({"alibi_starting_size"})
"""How large a table of biases is made at first; it grows."""


def _encoder(checkpoint: Checkpoint) -> Encoder:
    checkpoint.choice("hidden_act", "gelu")
    checkpoint.choice("position_embedding_type", "absolute", "alibi")  # neither is read: ALiBi it is
    checkpoint.choice("use_glu_mlp", True)
    hidden, inner = checkpoint.size("hidden_size"), checkpoint.size("intermediate_size")
    heads = checkpoint.heads(hidden)
    weights = Weights(checkpoint, hidden, checkpoint.number("layer_norm_eps", 1e-12))
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
    types = checkpoint.size("type_vocab_size") if "type_vocab_size" in checkpoint.config else -1
    return Encoder(
        words=weights.tensor(f"{embeddings}.word_embeddings.weight", checkpoint.size("vocab_size"), hidden),
        added=(weights.tensor(f"{embeddings}.token_type_embeddings.weight", types, hidden)[:1],),
        norm=weights.norm(f"{embeddings}.LayerNorm"),
        layers=tuple(layer(index) for index in range(checkpoint.size("num_hidden_layers"))),
        pooler=weights.linear("bert.pooler.dense", hidden, hidden),
        classifier=classifier,
        heads=heads,
        slopes=alibi_slopes(heads),
    )


HEAD = Head(architecture="BertForSequenceClassification", stem="bert.", shapes=pooled_head, network=_encoder)

FAMILY = Family(
    name="dnabert2",
    summary="DNABERT-2 and its descendants: MosaicBERT (ALiBi, gated feed-forward) over byte-pair encoding",
    cites="zhou2024",
    fits=fits,
    build=build,
    head=HEAD,
)
