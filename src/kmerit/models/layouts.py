"""From the tensors of published BERT and ESM checkpoints to an encoder."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from kmerit.errors import CheckpointError
from kmerit.models.checkpoint import Checkpoint
from kmerit.models.encoder import Encoder
from kmerit.models.layers import Layer, Linear, Norm, Rotation, TokenDropout


@dataclass(frozen=True, eq=False)
class Weights:
    """A checkpoint, and the sizes by which its tensors are checked.

    Raises:
        CheckpointError: From each of its functions, for a tensor that is missing or of another shape.
    """

    checkpoint: Checkpoint
    hidden: int
    eps: float

    def tensor(self, key: str, *shape: int) -> Tensor:
        """Take a tensor; -1 for any size."""
        return self.checkpoint.tensor(key, *shape)

    def linear(self, key: str, n_out: int, n_in: int, bias: bool = True) -> Linear:
        """Take a weight and its bias; a layer without one gets zeros."""
        weight = self.tensor(f"{key}.weight", n_out, n_in)
        return Linear(weight, self.tensor(f"{key}.bias", len(weight)) if bias else weight.new_zeros(len(weight)))

    def norm(self, key: str) -> Norm:
        """Take a LayerNorm."""
        return Norm(self.tensor(f"{key}.weight", self.hidden), self.tensor(f"{key}.bias", self.hidden), self.eps)

    def qkv(self, key: str) -> Linear:
        """Join query, key and value."""
        weight, bias, size = torch.empty(0), torch.empty(0), self.hidden
        for i, part in enumerate(("query", "key", "value")):  # one by one: no more than one lies in memory twice
            one = self.linear(f"{key}.{part}", size, size)
            if i == 0:
                weight, bias = one.weight.new_empty(3 * size, size), one.bias.new_empty(3 * size)
            weight[i * size : (i + 1) * size], bias[i * size : (i + 1) * size] = one.weight, one.bias
            del one
            self.checkpoint.tensors.forget(f"{key}.{part}.weight")
        return Linear(weight, bias)

    def head(self, key: str, remedy: str = "kmerit finetune --base, or with transformers") -> Linear:
        """Take the last layer of the classification head.

        Args:
            key: Its name.
            remedy: What fine-tunes such models.
        """
        if f"{key}.weight" not in self.checkpoint.tensors:
            raise self.checkpoint.headless(
                f"has no classification head, it is a pre-trained encoder. Fine-tune it first: {remedy}."
            )
        return self.linear(key, -1, self.hidden)


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
        stored = checkpoint.tensors[key].double()
        if stored.shape != frequencies.shape or not torch.allclose(stored, frequencies, rtol=1e-2, atol=0):
            raise CheckpointError(f"{checkpoint.name}: {key!r} has other frequencies than {base:g} ** (-i / {size}).")
    return Rotation.of(positions, size, base)
