"""From a BERT checkpoint's tensors to an encoder."""

from __future__ import annotations

import torch

from kmerit.errors import CheckpointError
from kmerit.models.checkpoint import Checkpoint
from kmerit.models.encoder import Encoder, Layer, Norm
from kmerit.models.linear import Linear

_EXPECTED = {"hidden_act": "gelu", "position_embedding_type": "absolute"}


def bert_encoder(checkpoint: Checkpoint) -> Encoder:
    """Gather the weights of a ``BertForSequenceClassification``.

    Raises:
        CheckpointError: No classification head, a tensor missing or of another shape, or a variant of BERT that the
            encoder does not compute.
    """
    config, name = checkpoint.config, checkpoint.name
    for key, value in _EXPECTED.items():
        if config.get(key, value) != value:
            raise CheckpointError(f"{name}: {key} is {config[key]!r}; only {value!r} is supported for BERT.")
    if config.get("is_decoder") or config.get("add_cross_attention"):
        raise CheckpointError(f"{name}: is a decoder; expected a BERT encoder with a classification head.")
    if "classifier.weight" not in checkpoint.tensors:
        raise CheckpointError(
            f"{name}: has no classification head, it is a pre-trained encoder. "
            f"Fine-tune it first: kmerit finetune --base {name} ..."
        )
    hidden, eps = int(config["hidden_size"]), float(config.get("layer_norm_eps", 1e-12))

    def linear(key: str, n_out: int, n_in: int) -> Linear:
        return Linear(checkpoint.tensor(f"{key}.weight", n_out, n_in), checkpoint.tensor(f"{key}.bias", n_out))

    def norm(key: str) -> Norm:
        key = f"{key}.LayerNorm"
        return Norm(checkpoint.tensor(f"{key}.weight", hidden), checkpoint.tensor(f"{key}.bias", hidden), eps)

    def layer(index: int) -> Layer:
        key, inner = f"bert.encoder.layer.{index}", int(config["intermediate_size"])
        parts = [linear(f"{key}.attention.self.{part}", hidden, hidden) for part in ("query", "key", "value")]
        return Layer(
            qkv=Linear(torch.cat([part.weight for part in parts]), torch.cat([part.bias for part in parts])),
            output=linear(f"{key}.attention.output.dense", hidden, hidden),
            output_norm=norm(f"{key}.attention.output"),
            up=linear(f"{key}.intermediate.dense", inner, hidden),
            down=linear(f"{key}.output.dense", hidden, inner),
            down_norm=norm(f"{key}.output"),
        )

    return Encoder(
        words=checkpoint.tensor("bert.embeddings.word_embeddings.weight", int(config["vocab_size"]), hidden),
        positions=checkpoint.tensor(
            "bert.embeddings.position_embeddings.weight", int(config["max_position_embeddings"]), hidden
        ),
        kinds=checkpoint.tensor("bert.embeddings.token_type_embeddings.weight", -1, hidden),
        norm=norm("bert.embeddings"),
        layers=tuple(layer(index) for index in range(int(config["num_hidden_layers"]))),
        pooler=linear("bert.pooler.dense", hidden, hidden),
        classifier=linear("classifier", int(checkpoint.tensor("classifier.weight", -1, hidden).shape[0]), hidden),
        heads=int(config["num_attention_heads"]),
    )
