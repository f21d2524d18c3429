"""From a BERT checkpoint's tensors to an encoder."""

from __future__ import annotations

from kmerit.errors import CheckpointError
from kmerit.models.checkpoint import Checkpoint
from kmerit.models.encoder import Encoder
from kmerit.models.layers import Layer
from kmerit.models.weights import Weights

RECURRENT = frozenset(("num_rnn_layer", "rnn", "rnn_dropout", "rnn_hidden", "split"))
"""Keys of DNABERT's dnalong in every config.json of DNABERT and GROVER; without its tensors they mean nothing."""


def is_bert(checkpoint: Checkpoint) -> bool:
    """Tell by its tensors whether a checkpoint's layers are BERT's; its config.json must not say otherwise."""
    first = "bert.encoder.layer.0.attention.self.query.weight"
    return checkpoint.config.get("model_type") in (None, "bert") and first in checkpoint.tensors


def bert_encoder(checkpoint: Checkpoint, tuner: str = "with transformers") -> Encoder:
    """Gather the weights of a ``BertForSequenceClassification``.

    Also of one that normalises before attention and feed-forward (``pre_layer_norm``), as GENA-LM does.

    Args:
        checkpoint: Its tensors have the names that transformers gives them.
        tuner: What makes such a model of a pre-trained encoder, for an error.

    Raises:
        CheckpointError: No classification head, a tensor missing or of another shape, or a variant of BERT that the
            encoder does not compute.

    Source: devlin2019.
    """
    config, name = checkpoint.config, checkpoint.name
    checkpoint.choice("hidden_act", "gelu")
    checkpoint.choice("position_embedding_type", "absolute")
    if config.get("sparse_attention") or config.get("sparse_config_cls"):
        raise CheckpointError(f"{name}: its attention is sparse; only dense attention is supported for BERT.")
    if config.get("is_decoder") or config.get("add_cross_attention"):
        raise CheckpointError(f"{name}: is a decoder; expected a BERT encoder with a classification head.")
    before = checkpoint.flag("pre_layer_norm")
    last = checkpoint.flag("last_layer_norm", before)
    if last and not before:
        raise CheckpointError(f"{name}: last_layer_norm is true in config.json, but pre_layer_norm is not.")
    hidden, inner = checkpoint.size("hidden_size"), checkpoint.size("intermediate_size")
    heads = checkpoint.heads(hidden)
    weights = Weights(checkpoint, hidden, checkpoint.number("layer_norm_eps", 1e-12))
    classifier = weights.head("classifier", tuner)

    def layer(index: int) -> Layer:
        key = f"bert.encoder.layer.{index}"
        return Layer(
            qkv=weights.qkv(f"{key}.attention.self"),
            output=weights.linear(f"{key}.attention.output.dense", hidden, hidden),
            up=weights.linear(f"{key}.intermediate.dense", inner, hidden),
            down=weights.linear(f"{key}.output.dense", hidden, inner),
            before_attention=weights.norm(f"{key}.pre_attention_ln") if before else None,
            after_attention=None if before else weights.norm(f"{key}.attention.output.LayerNorm"),
            before_feed=weights.norm(f"{key}.post_attention_ln") if before else None,
            after_feed=None if before else weights.norm(f"{key}.output.LayerNorm"),
        )

    embeddings = "bert.embeddings"
    types = checkpoint.size("type_vocab_size") if "type_vocab_size" in config else -1
    return Encoder(
        words=weights.tensor(f"{embeddings}.word_embeddings.weight", checkpoint.size("vocab_size"), hidden),
        added=(
            weights.tensor(f"{embeddings}.token_type_embeddings.weight", types, hidden)[:1],
            weights.tensor(
                f"{embeddings}.position_embeddings.weight", checkpoint.size("max_position_embeddings"), hidden
            ),
        ),
        norm=weights.norm(f"{embeddings}.LayerNorm"),
        layers=tuple(layer(index) for index in range(checkpoint.size("num_hidden_layers"))),
        pooler=weights.linear("bert.pooler.dense", hidden, hidden),
        classifier=classifier,
        heads=heads,
        last_norm=weights.norm("bert.encoder.last_layer_ln") if last else None,
    )


def pooled_head(checkpoint: Checkpoint) -> dict[str, tuple[int, ...]]:
    """Name the tensors of BERT's pooler and classifier, and their shapes; -1 for the outputs."""
    hidden = checkpoint.size("hidden_size")
    return {
        "bert.pooler.dense.weight": (hidden, hidden),
        "bert.pooler.dense.bias": (hidden,),
        "classifier.weight": (-1, hidden),
        "classifier.bias": (-1,),
    }
