"""The one-hot bridge: a k-mer model as an exact, differentiable function of one-hot nucleotides.

For stride-1 k-mers the embedding lookup is multilinear in the k one-hot nucleotides under a token: the embedding is the
sum, over all k-mers, of the product of k one-hot entries times the k-mer's embedding. Tools that want a torch module
over one-hot input (gradients, saturation mutagenesis, marginalisation) therefore apply exactly.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from kmerit.errors import UnsupportedMethod
from kmerit.models import kmer
from kmerit.models.encoder import Encoder
from kmerit.models.model import Model


class OneHotModel(nn.Module):
    """A k-mer classifier over one-hot input.

    Gradients flow to single nucleotides; the weights are constants.

    Attributes:
        k: Word length.
    """

    def __init__(self, encoder: Encoder, k: int) -> None:
        """Take an encoder over k-mers."""
        super().__init__()
        self.encoder, self.k = encoder, k
        self.table = encoder.words[_ids_in_order_of_bases(k)]  # [4**k, H], k-mers counted in the order ACGT

    def forward(self, one_hot: Tensor) -> Tensor:
        """Classify.

        Args:
            one_hot: [sequence, 4, nucleotide], bases in the order ACGT; all of one length. Any numbers will do, as
                averages of sequences or interpolations do.

        Returns:
            Logits [sequence, class].
        """
        base = one_hot.to(self.table.dtype).transpose(1, 2)  # [B, L, 4]
        tokens = base.shape[1] - self.k + 1
        product = base[:, :tokens]
        for offset in range(1, self.k):
            following = base[:, offset : offset + tokens]
            product = (product[..., :, None] * following[..., None, :]).flatten(2)  # [B, tokens, 4**(offset + 1)]
        special = self.encoder.words[torch.tensor([kmer.CLS, kmer.SEP], device=base.device)].expand(len(base), 2, -1)
        words = torch.cat((special[:, :1], product @ self.table, special[:, 1:]), 1)
        mask = torch.ones(words.shape[:2], dtype=torch.bool, device=base.device)
        return self.encoder.classify(self.encoder.embed(words), mask)


def one_hot_model(model: Model) -> OneHotModel:
    """Make a torch module from one-hot nucleotides to logits, equal to the k-mer model's.

    Args:
        model: Of a family with overlapping k-mers, stride 1.

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
    if model.family != "dnabert" or not isinstance(model.encoder, Encoder):
        raise UnsupportedMethod(
            f"The one-hot bridge is exact for overlapping k-mers, stride 1; {model.family} has none. Use ism instead."
        )
    return OneHotModel(model.encoder, model.shortest)


def _ids_in_order_of_bases(k: int) -> Tensor:
    """Ids of all k-mers, counted in the order ACGT."""
    ids = torch.zeros(1, dtype=torch.int64)
    for _ in range(k):
        ids = (ids[:, None] * 4 + torch.tensor([kmer.LETTERS.index(base) for base in "ACGT"])).flatten()
    return ids + len(kmer.SPECIAL)
