"""The one-hot bridge: a k-mer model as an exact, differentiable function of one-hot nucleotides.

For stride-1 k-mers the embedding lookup is multilinear in the k one-hot nucleotides under a token: the embedding is the
sum, over all k-mers, of the product of k one-hot entries times the k-mer's embedding. Tools that want a torch module
over one-hot input (gradients, saturation mutagenesis, marginalisation) therefore apply exactly.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from kmerit.errors import LengthError, SequenceError, UnsupportedMethod
from kmerit.models import kmer
from kmerit.models.encoder import Encoder
from kmerit.models.model import Model
from kmerit.models.modules import EncoderModules, Product, Products
from kmerit.models.wrap import OneHotNetwork


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
        self.register_buffer("special", encoder.words[[kmer.CLS, kmer.SEP]])
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
    """A wrapped module with what was made of its outputs: one of them, or a question."""

    def __init__(self, network: OneHotNetwork) -> None:
        super().__init__()
        self.module, self.network = network.module, network

    def forward(self, one_hot: Tensor) -> Tensor:
        return self.network.classify(one_hot.transpose(1, 2), one_hot)


def one_hot_model(model: Model, product: Products = Product) -> nn.Module:
    """Make a torch module from one-hot nucleotides to logits, equal to the k-mer model's; of a wrapped module, itself.

    Args:
        model: Of a family with overlapping k-mers, stride 1; or from ``wrap``.
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
    if model.family != "dnabert" or not isinstance(model.encoder, Encoder):
        raise UnsupportedMethod(
            f"The one-hot bridge is exact for overlapping k-mers, stride 1; {model.family} has none. Use ism instead."
        )
    return OneHotModel(model.encoder, model.shortest, product)


def _ids_in_order_of_bases(k: int) -> Tensor:
    """Ids of all k-mers, counted in the order ACGT."""
    ids = torch.zeros(1, dtype=torch.int64)
    for _ in range(k):
        ids = (ids[:, None] * 4 + torch.tensor([kmer.LETTERS.index(base) for base in "ACGT"])).flatten()
    return ids + len(kmer.SPECIAL)
