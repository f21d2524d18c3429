"""ModernBERT: rotary positions, a gated feed-forward, local attention in two of three layers. Source: warner2025.

ModernGENA is of this kind.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor

from kmerit.errors import CheckpointError
from kmerit.models.checkpoint import Checkpoint
from kmerit.models.differentiable import Affine, Differentiable, LayerNorm, Operations, attended, heads, near
from kmerit.models.family import Ability, Family, Head, Parts
from kmerit.models.layers import Rotation
from kmerit.models.tokenizers import read_subwords

_IGNORED = frozenset(
    """
    decoder_bias deterministic_flash_attn embedding_dropout global_attn_every_n_layers global_rope_theta
    initializer_cutoff_factor layer_norm_eps local_rope_theta mlp_dropout position_embedding_type reference_compile
    repad_logits_with_grad sparse_pred_ignore_index sparse_prediction
    """.split()  # noqa: SIM905
)
"""Settings of the training and of the masked head, what newer settings repeat, and what no ModernBERT reads."""
_BASES = {"full_attention": ("global_rope_theta", 160_000.0), "sliding_attention": ("local_rope_theta", 10_000.0)}


@dataclass(frozen=True, eq=False)
class ModernLayer:
    """Attention and a gated feed-forward, a norm before each; the first layer's attention has none."""

    before_attention: LayerNorm | None
    qkv: Affine
    output: Affine
    before_feed: LayerNorm
    up: Affine  # [2I, H]: what is activated, and the gate
    down: Affine
    rotation: Rotation
    reach: int | None  # how far attention reaches on either side


@dataclass(frozen=True, eq=False)
class ModernBert(Differentiable):
    """ModernBERT with its classification head."""

    norm: LayerNorm
    layers: tuple[ModernLayer, ...]
    last_norm: LayerNorm
    dense: Affine
    head_norm: LayerNorm
    count: int  # heads
    pooling: str  # "cls" or "mean"

    def run(self, x: Tensor, mask: Tensor, ops: Operations, attentions: list[Tensor]) -> Tensor:
        """Compute outputs [B, C]."""
        x = self.norm(x, ops)
        for layer in self.layers:
            before = x if layer.before_attention is None else layer.before_attention(x, ops)
            q, k, v = (heads(part, self.count) for part in layer.qkv(before).chunk(3, -1))
            visible = near(x.shape[1], layer.reach, x.device) & mask[:, None, None]
            x = x + layer.output(attended(q, k, v, layer.rotation, visible, ops, attentions))
            own_half, gate = layer.up(layer.before_feed(x, ops)).chunk(2, -1)
            x = x + layer.down(ops.gate(ops.activate(F.gelu, own_half), gate))
        x = self.last_norm(x, ops)
        pooled = x[:, 0] if self.pooling == "cls" else (x * mask[..., None]).sum(1) / mask.sum(1, keepdim=True)
        return self.head(self.head_norm(ops.activate(F.gelu, self.dense(pooled)), ops))


def fits(checkpoint: Checkpoint) -> bool:
    """Layers with one matrix for query, key and value, and a joint ``Wi`` of the gated feed-forward."""
    return (
        "model.layers.0.attn.Wqkv.weight" in checkpoint.tensors and "model.layers.0.mlp.Wi.weight" in checkpoint.tensors
    )


def build(checkpoint: Checkpoint) -> Parts:
    """Read the weights and the tokeniser.

    Raises:
        CheckpointError: No head, a tensor missing or of another shape, or a setting that is not computed.
    """
    network = _network(checkpoint)
    tokenizer = read_subwords(checkpoint, len(network.words))
    if network.pooling == "cls" and not tokenizer.leads:
        raise CheckpointError(
            f"{checkpoint.name}: its tokeniser puts no [CLS] first, which the classification head reads. "
            f"Give tokenizer.json a post-processor."
        )
    abilities = {Ability.MODIFIED_GRADIENTS} | ({Ability.ATTENTION} if network.pooling == "cls" else set())
    limit = checkpoint.size("max_position_embeddings")
    return Parts(network, tokenizer, limit, frozenset(abilities), ignored=_IGNORED)


def _network(checkpoint: Checkpoint) -> ModernBert:
    config, name = checkpoint.config, checkpoint.name
    for key in ("hidden_activation", "classifier_activation"):
        if config.get(key, "gelu") != "gelu":
            raise CheckpointError(f"{name}: {key} is {config[key]!r} in config.json; only 'gelu' is supported.")
    pooling = config.get("classifier_pooling", "cls")
    if pooling not in ("cls", "mean"):
        raise CheckpointError(f"{name}: classifier_pooling is {pooling!r} in config.json; expected 'cls' or 'mean'.")
    hidden, inner, count = (checkpoint.size(k) for k in ("hidden_size", "intermediate_size", "num_attention_heads"))
    head = Affine.head_of(
        checkpoint, "classifier", hidden, bias=True
    )  # before the rest: a pre-trained model lacks it, and has other names
    depth, positions = checkpoint.size("num_hidden_layers"), checkpoint.size("max_position_embeddings")
    eps = float(config.get("norm_eps", 1e-5))
    if hidden % count:
        raise CheckpointError(f"{name}: {count} heads do not divide hidden_size, {hidden}.")

    def affine(key: str, n_out: int, n_in: int, bias: object = False) -> Affine:
        return Affine.of(checkpoint, key, n_out, n_in, bias)

    def norm(key: str) -> LayerNorm:
        bias = checkpoint.tensor(f"{key}.bias", hidden) if config.get("norm_bias") else None
        return LayerNorm(checkpoint.tensor(f"{key}.weight", hidden), bias, eps)

    kinds, window = _kinds(checkpoint, depth), checkpoint.window("local_attention", 128) or 128
    rotations = {kind: Rotation.of(positions, hidden // count, _base(checkpoint, kind)) for kind in set(kinds)}

    def layer(index: int, kind: str) -> ModernLayer:
        key = f"model.layers.{index}"
        return ModernLayer(
            before_attention=norm(f"{key}.attn_norm") if index else None,
            qkv=affine(f"{key}.attn.Wqkv", 3 * hidden, hidden, config.get("attention_bias")),
            output=affine(f"{key}.attn.Wo", hidden, hidden, config.get("attention_bias")),
            before_feed=norm(f"{key}.mlp_norm"),
            up=affine(f"{key}.mlp.Wi", 2 * inner, hidden, config.get("mlp_bias")),
            down=affine(f"{key}.mlp.Wo", hidden, inner, config.get("mlp_bias")),
            rotation=rotations[kind],
            reach=None if kind == "full_attention" else window // 2,
        )

    return ModernBert(
        words=checkpoint.tensor("model.embeddings.tok_embeddings.weight", checkpoint.size("vocab_size"), hidden),
        head=head,
        norm=norm("model.embeddings.norm"),
        layers=tuple(layer(index, kind) for index, kind in enumerate(kinds)),
        last_norm=norm("model.final_norm"),
        dense=affine("head.dense", hidden, hidden, config.get("classifier_bias")),
        head_norm=norm("head.norm"),
        count=count,
        pooling=pooling,
    )


def _kinds(checkpoint: Checkpoint, depth: int) -> list[str]:
    """Return each layer's attention: every n-th layer is global, or those that the config lists."""
    kinds = checkpoint.config.get("layer_types")
    if kinds is None:
        every = int(checkpoint.config.get("global_attn_every_n_layers", 3))
        kinds = ["sliding_attention" if index % every else "full_attention" for index in range(depth)]
    if len(kinds) != depth or not set(kinds) <= set(_BASES):
        raise CheckpointError(
            f"{checkpoint.name}: layer_types is {kinds!r} in config.json; expected {depth} of {', '.join(_BASES)}."
        )
    return list(kinds)


def _base(checkpoint: Checkpoint, kind: str) -> float:
    """Return the base of the rotation's frequencies, as either generation of configurations writes it."""
    config, (key, default) = checkpoint.config, _BASES[kind]
    base = checkpoint.rotary_base(kind)
    if base is not None:
        return base
    if key in config and config[key] is None and kind != "full_attention":
        return _base(checkpoint, "full_attention")  # as transformers 4 reads it
    value = config.get(key)
    return float(default if value is None else value)


def shapes(checkpoint: Checkpoint) -> dict[str, tuple[int, ...]]:
    """Name the tensors of the head."""
    hidden = checkpoint.size("hidden_size")
    biased = checkpoint.flag("classifier_bias")
    return {
        "head.dense.weight": (hidden, hidden),
        **({"head.dense.bias": (hidden,)} if biased else {}),
        "head.norm.weight": (hidden,),
        **({"head.norm.bias": (hidden,)} if checkpoint.flag("norm_bias") else {}),
        "classifier.weight": (-1, hidden),
        "classifier.bias": (-1,),
    }


HEAD = Head(
    architecture="ModernBertForSequenceClassification",
    stem="model.",
    shapes=shapes,
    network=_network,
    leftovers=r"decoder\.(weight|bias)",
)

FAMILY = Family(
    name="modernbert",
    summary="ModernBERT, as ModernGENA: rotary positions, gated feed-forward, local and global attention",
    cites="warner2025",
    fits=fits,
    build=build,
    head=HEAD,
)
