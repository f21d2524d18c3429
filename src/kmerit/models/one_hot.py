"""The one-hot bridge: a k-mer model as an exact, differentiable function of one-hot nucleotides, as a tree of torch
modules.

The encoder as a tree of torch modules, for tools that attach their own rules to module types. DeepLIFT replaces the
gradient of each nonlinearity; a tool can do so only where the nonlinearity is a module that it knows. A functional
call silently becomes a plain gradient. Here softmax, GELU, SiLU, tanh and LayerNorm are torch's modules, and every
product of two tensors is a module of the tool's choice.

The one-hot bridge: a k-mer model as an exact, differentiable function of one-hot nucleotides. For stride-1 k-mers the
embedding lookup is multilinear in the k one-hot nucleotides under a token: the embedding is the sum, over all k-mers,
of the product of k one-hot entries times the k-mer's embedding. Tools that want a torch module over one-hot input
(gradients, saturation mutagenesis, marginalisation) therefore apply exactly.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import torch
from torch import Tensor, nn

from kmerit.errors import LengthError, SequenceError, UnsupportedMethod
from kmerit.models import tokenizers
from kmerit.models.encoder import Encoder
from kmerit.models.layers import Layer, Linear, Norm, Rotation, alibi
from kmerit.models.model import Model
from kmerit.models.sequence_to_function import SequenceToFunction
from kmerit.models.wrap import OneHotNetwork

_Weighted = TypeVar("_Weighted", nn.Linear, nn.LayerNorm)
_ACTIVATIONS: dict[str, type[nn.Module]] = {"gelu": nn.GELU, "silu": nn.SiLU}

Products = Callable[[str | None], nn.Module]
"""Makes the module of one product: ``a @ b``, or what an einsum equation says."""

ELEMENT_WISE = "...,...->..."


class Product(nn.Module):
    """The product of two tensors: ``a @ b``, or what an einsum equation says."""

    def __init__(self, equation: str | None = None) -> None:
        """Take the equation, or None for a matrix product."""
        super().__init__()
        self.equation = equation

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        """Multiply."""
        return a @ b if self.equation is None else torch.einsum(self.equation, a, b)


class _Block(nn.Module):
    """One transformer layer; in the last one only [CLS] asks."""

    def __init__(self, layer: Layer, encoder: Encoder, cls_only: bool, product: Products) -> None:
        super().__init__()
        self.heads, self.rotation, self.cls_only = encoder.heads, encoder.rotation, cls_only
        self.before_attention, self.after_attention = _norm(layer.before_attention), _norm(layer.after_attention)
        self.before_feed, self.after_feed = _norm(layer.before_feed), _norm(layer.after_feed)
        self.query, self.key_value = _linear(layer.query), _linear(layer.key_value)
        self.compare, self.softmax, self.mix = product(None), nn.Softmax(-1), product(None)
        self.output, self.up, self.down = _linear(layer.output), _linear(layer.up), _linear(layer.down)
        self.activation = _ACTIVATIONS[layer.activation]()
        self.gate = product(ELEMENT_WISE) if layer.gated else None

    def forward(self, x: Tensor, bias: Tensor) -> Tensor:
        attended = self.before_attention(x)
        asking = attended[:, :1] if self.cls_only else attended  # [B, Q, H]
        q, k, v = (self._split(part) for part in (self.query(asking), *self.key_value(attended).chunk(2, -1)))
        scores = self.compare(_turned(self.rotation, q), _turned(self.rotation, k).transpose(-1, -2))  # [B, h, Q, T]
        attention = self.softmax(scores * q.shape[-1] ** -0.5 + bias[:, :, : q.shape[2]])
        mixed = self.mix(attention, v).transpose(1, 2).flatten(2)  # [B, Q, H]
        y = self.after_attention(x[:, : mixed.shape[1]] + self.output(mixed))
        out: Tensor = self.after_feed(y + self.down(self._feed(self.up(self.before_feed(y)))))
        return out

    def _feed(self, raised: Tensor) -> Tensor:
        if self.gate is None:
            active: Tensor = self.activation(raised)
            return active
        own_half, other = raised.chunk(2, -1)
        gated: Tensor = self.gate(self.activation(own_half), other)
        return gated

    def _split(self, x: Tensor) -> Tensor:
        return x.view(*x.shape[:2], self.heads, -1).transpose(1, 2)


class EncoderModules(nn.Module):
    """A classifier over word embeddings, with the encoder's logits; its weights are constants."""

    def __init__(self, encoder: Encoder, product: Products = Product) -> None:
        """Take an encoder, whose tensors are shared, and what makes the products' modules."""
        super().__init__()
        self.added, self.slopes = encoder.added, encoder.slopes
        last = len(encoder.layers) - 1
        self.norm, self.last_norm = _norm(encoder.norm), _norm(encoder.last_norm)
        self.blocks = nn.ModuleList(
            _Block(layer, encoder, depth == last, product) for depth, layer in enumerate(encoder.layers)
        )
        self.pooler, self.tanh, self.classifier = _linear(encoder.pooler), nn.Tanh(), _linear(encoder.classifier)

    def forward(self, words: Tensor, mask: Tensor) -> Tensor:
        """Classify word embeddings [B, T, H], mask [B, T] zero on padding: logits [B, C]."""
        # Finite, for a rule compares two passes, and inf - inf is no number; as good as -inf in a softmax.
        bias = (mask == 0).to(words.dtype)[:, None, None] * (torch.finfo(words.dtype).min / 2)
        if self.slopes is not None:
            bias = bias + alibi(self.slopes.to(words), words.shape[1])
        for embedding in self.added:
            words = words + embedding[: words.shape[1]].to(words)
        x = self.norm(words)
        for block in self.blocks:
            x = block(x, bias)
        logits: Tensor = self.classifier(self.tanh(self.pooler(self.last_norm(x[:, 0]))))
        return logits


def _turned(rotation: Rotation | None, x: Tensor) -> Tensor:
    return x if rotation is None else rotation(x)


def _linear(layer: Linear) -> nn.Linear:
    module = nn.Linear(layer.weight.shape[1], layer.weight.shape[0], device="meta")
    return _with_weights(module, layer.weight, layer.bias)


def _norm(layer: Norm | None) -> nn.Module:
    if layer is None:
        return nn.Identity()
    return _with_weights(nn.LayerNorm(layer.weight.shape, layer.eps, device="meta"), layer.weight, layer.bias)


def _with_weights(module: _Weighted, weight: Tensor, bias: Tensor) -> _Weighted:
    module.weight = nn.Parameter(weight, requires_grad=False)
    module.bias = nn.Parameter(bias, requires_grad=False)
    return module


class OneHotModel(nn.Module):
    """A k-mer classifier over one-hot input.

    Gradients flow to single nucleotides; the weights are constants, and move with ``to`` as any module's do.

    Attributes:
        k: Word length.
        longest: Nucleotides it takes at most.
    """

    special: Tensor

    def __init__(self, encoder: Encoder, k: int, product: Products = Product) -> None:
        """Take an encoder over k-mers, and what makes the modules of products."""
        super().__init__()
        self.k = k
        self.longest = max(len(embedding) for embedding in encoder.added) - 2 + k - 1
        # A parameter, not a buffer: by the first parameter tools know in which dtype a model computes.
        self.table = nn.Parameter(encoder.words[_ids_in_order_of_bases(k)], requires_grad=False)  # [4**k, H], ACGT
        self.register_buffer("special", encoder.words[[tokenizers.CLS, tokenizers.SEP]])
        self.extend = nn.ModuleList(product("btx,bty->btxy") for _ in range(k - 1))
        self.encoder = EncoderModules(encoder, product)

    def forward(self, one_hot: Tensor) -> Tensor:
        """Classify.

        Args:
            one_hot: [sequence, 4, nucleotide], bases in the order ACGT; all of one length. Any numbers will do, as
                averages of sequences or interpolations do.

        Returns:
            Logits [sequence, class].

        Raises:
            SequenceError: Another shape, or fewer than k nucleotides.
            LengthError: More tokens than the model has positions for.
        """
        self._check(one_hot)
        base = one_hot.to(self.table.dtype).transpose(1, 2)  # [B, L, 4]
        tokens = base.shape[1] - self.k + 1
        product = base[:, :tokens]
        for offset, extend in enumerate(self.extend, 1):
            product = extend(product, base[:, offset : offset + tokens]).flatten(2)  # [B, tokens, 4**(offset + 1)]
        special = self.special.expand(len(base), 2, -1)
        words = torch.cat((special[:, :1], product @ self.table, special[:, 1:]), 1)
        logits: Tensor = self.encoder(words, torch.ones(words.shape[:2], device=base.device))
        return logits

    def _check(self, one_hot: Tensor) -> None:
        if one_hot.ndim != 3 or one_hot.shape[1] != 4 or one_hot.shape[2] < self.k:
            raise SequenceError(
                f"One-hot input: expected [sequence, 4, nucleotide] with at least {self.k} nucleotides, bases in the "
                f"order ACGT; got {list(one_hot.shape)}."
            )
        if one_hot.shape[2] > self.longest:
            raise LengthError(f"One-hot input: {one_hot.shape[2]} nt; the model takes at most {self.longest}. Crop it.")


class _Output(nn.Module):
    """A network over one-hot nucleotides with what was made of its outputs: one of them, or a question."""

    def __init__(self, network: OneHotNetwork | SequenceToFunction) -> None:
        super().__init__()
        self.network = network
        if isinstance(network, OneHotNetwork):
            self.module = network.module

    def forward(self, one_hot: Tensor) -> Tensor:
        return self.network.classify(one_hot.transpose(1, 2), one_hot)  # neither of the two reads a mask


def one_hot_model(model: Model, product: Products = Product) -> nn.Module:
    """Make a torch module from one-hot nucleotides to logits, equal to the k-mer model's; of a wrapped module, itself.

    Args:
        model: Of a family with overlapping k-mers, stride 1, or over single nucleotides, as a model of tracks whose
            target was named; or from ``wrap``.
        product: What makes the module of each product of two tensors, attention's and the k-mers'. A tool with a rule
            for products gives its own, such as tangermeme's ``BilinearOp``; then DeepLIFT converges.

    Raises:
        UnsupportedMethod: Another family; there is no exact bridge for it.

    Example:
        >>> import torch
        >>> import kmerit as km
        >>> bridge = km.one_hot_model(km.load_model("bundled:promoter"))
        >>> one_hot = torch.nn.functional.one_hot(torch.tensor([[0, 1, 2, 3, 0, 1, 2, 3]]), 4).transpose(1, 2)
        >>> bridge(one_hot.float()).shape
        torch.Size([1, 2])
    """
    if isinstance(model.encoder, OneHotNetwork):
        return model.encoder.module if model.encoder.chosen is None else _Output(model.encoder)
    if isinstance(model.encoder, SequenceToFunction):
        return _Output(model.encoder)
    if model.family != "dnabert" or not isinstance(model.encoder, Encoder):
        raise UnsupportedMethod(
            f"The one-hot bridge is exact for overlapping k-mers, stride 1; {model.family} has none. Use ism instead."
        )
    return OneHotModel(model.encoder, model.shortest, product)


def _ids_in_order_of_bases(k: int) -> Tensor:
    """Ids of all k-mers, counted in the order ACGT."""
    ids = torch.zeros(1, dtype=torch.int64)
    for _ in range(k):
        ids = (ids[:, None] * 4 + torch.tensor([tokenizers.LETTERS.index(base) for base in "ACGT"])).flatten()
    return ids + len(tokenizers.SPECIAL)
