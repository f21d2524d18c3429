"""Decoders of Llama's kind, with a head that reads the last token: Llama and Mistral. Source: touvron2023.

Rotary positions, normalisation by the root mean square, a feed-forward gated by SiLU, causal attention; with Mistral
also over a window. GENERator, GenomeOcean and others are of this kind.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor

from kmerit.errors import CheckpointError
from kmerit.models.checkpoint import Checkpoint
from kmerit.models.differentiable import Affine, Differentiable, Operations, RMSNorm, attended, heads, last_token, near
from kmerit.models.family import Ability, Family, Head, Parts
from kmerit.models.layers import Rotation
from kmerit.models.tokenizers import read_subwords, refuse_padding_with_a_word

_KINDS = ("llama", "mistral")
_IGNORED = frozenset(("pretraining_tp", "rope_theta"))
"""In how many pieces products are computed; a base that newer settings repeat."""


@dataclass(frozen=True, eq=False)
class DecoderLayer:
    """Causal attention and a gated feed-forward, a norm before each."""

    before_attention: RMSNorm
    query: Affine
    key: Affine
    value: Affine
    output: Affine
    before_feed: RMSNorm
    gate: Affine
    up: Affine
    down: Affine


@dataclass(frozen=True, eq=False)
class Decoder(Differentiable):
    """A decoder with a head for the last token."""

    layers: tuple[DecoderLayer, ...]
    last_norm: RMSNorm
    rotation: Rotation
    count: int  # heads of queries
    shared: int  # heads of keys and values
    reach: int | None  # how many tokens back attention reaches

    def run(self, x: Tensor, mask: Tensor, ops: Operations, attentions: list[Tensor]) -> Tensor:
        """Compute outputs [B, C]."""
        visible = near(x.shape[1], self.reach, x.device).tril() & mask[:, None, None]
        for layer in self.layers:
            before = layer.before_attention(x, ops)
            q = heads(layer.query(before), self.count)
            k, v = heads(layer.key(before), self.shared), heads(layer.value(before), self.shared)
            x = x + layer.output(attended(q, k, v, self.rotation, visible, ops, attentions))
            before = layer.before_feed(x, ops)
            x = x + layer.down(ops.gate(ops.activate(F.silu, layer.gate(before)), layer.up(before)))
        return self.head(self.last_norm(last_token(x, mask), ops))


def fits(checkpoint: Checkpoint) -> bool:
    """Layers with Llama's gated feed-forward, in a configuration of a kind that is computed here."""
    return checkpoint.config.get("model_type") in _KINDS and "model.layers.0.mlp.gate_proj.weight" in checkpoint.tensors


def build(checkpoint: Checkpoint) -> Parts:
    """Read the weights and the tokeniser.

    Raises:
        CheckpointError: No head, a tensor missing or of another shape, or a setting that is not computed.
    """
    network = _network(checkpoint)
    pad_id = checkpoint.config.get("pad_token_id")
    tokenizer = read_subwords(checkpoint, len(network.words), pad_id)
    last = tokenizer.backend.encode("A").ids[-1]
    if last == pad_id:
        raise CheckpointError(
            f"{checkpoint.name}: its tokeniser ends a sequence with id {last}, which is pad_token_id in config.json; "
            f"the head would take it for padding. Set pad_token_id to a token of its own, and fine-tune again."
        )
    refuse_padding_with_a_word(checkpoint, tokenizer)
    limit = checkpoint.size("max_position_embeddings")
    return Parts(network, tokenizer, limit, frozenset({Ability.MODIFIED_GRADIENTS}), ignored=_IGNORED)


def _network(checkpoint: Checkpoint) -> Decoder:
    config, name = checkpoint.config, checkpoint.name
    checkpoint.choice("hidden_act", "silu")
    checkpoint.choice("is_causal", True, None)
    hidden, inner, count = (checkpoint.size(k) for k in ("hidden_size", "intermediate_size", "num_attention_heads"))
    head = Affine.head_of(
        checkpoint, "score", hidden
    )  # before the rest: a pre-trained model lacks it, and has other names
    shared, size = config.get("num_key_value_heads") or count, config.get("head_dim") or hidden // count
    if count % shared:
        raise CheckpointError(f"{name}: {shared} heads of keys and values do not divide {count} heads of queries.")
    if not config.get("head_dim") and hidden % count:
        raise CheckpointError(f"{name}: {count} heads do not divide hidden_size, {hidden}, and there is no head_dim.")
    eps = float(config.get("rms_norm_eps", 1e-6))

    def affine(key: str, n_out: int, n_in: int, bias: object = False) -> Affine:
        return Affine.of(checkpoint, key, n_out, n_in, bias)

    def norm(key: str) -> RMSNorm:
        return RMSNorm(checkpoint.tensor(f"{key}.weight", hidden), eps)

    def layer(index: int) -> DecoderLayer:
        key, biased = f"model.layers.{index}", config.get("attention_bias")
        return DecoderLayer(
            before_attention=norm(f"{key}.input_layernorm"),
            query=affine(f"{key}.self_attn.q_proj", count * size, hidden, biased),
            key=affine(f"{key}.self_attn.k_proj", shared * size, hidden, biased),
            value=affine(f"{key}.self_attn.v_proj", shared * size, hidden, biased),
            output=affine(f"{key}.self_attn.o_proj", hidden, count * size, biased),
            before_feed=norm(f"{key}.post_attention_layernorm"),
            gate=affine(f"{key}.mlp.gate_proj", inner, hidden, config.get("mlp_bias")),
            up=affine(f"{key}.mlp.up_proj", inner, hidden, config.get("mlp_bias")),
            down=affine(f"{key}.mlp.down_proj", hidden, inner, config.get("mlp_bias")),
        )

    window = checkpoint.window("sliding_window", None) if config.get("model_type") == "mistral" else None
    return Decoder(
        words=checkpoint.tensor("model.embed_tokens.weight", checkpoint.size("vocab_size"), hidden),
        head=head,
        layers=tuple(layer(index) for index in range(checkpoint.size("num_hidden_layers"))),
        last_norm=norm("model.norm"),
        rotation=Rotation.of(checkpoint.size("max_position_embeddings"), size, _base(checkpoint)),
        count=count,
        shared=shared,
        reach=None if window is None else window - 1,
    )


def _base(checkpoint: Checkpoint) -> float:
    """Return the base of the rotation's frequencies, as either generation of configurations writes it."""
    base = checkpoint.rotary_base()
    return float(checkpoint.config.get("rope_theta", 10000.0)) if base is None else base


def shapes(checkpoint: Checkpoint) -> dict[str, tuple[int, ...]]:
    """Name the tensors of the head."""
    return {"score.weight": (-1, checkpoint.size("hidden_size"))}


HEAD = Head(architecture="LlamaForSequenceClassification", stem="model.", shapes=shapes, network=_network)

FAMILY = Family(
    name="llama",
    summary="decoders of Llama's and Mistral's kind whose head reads the last token, as GENERator and GenomeOcean",
    cites="touvron2023",
    fits=fits,
    build=build,
    head=HEAD,
)
