"""First-order in-silico mutagenesis: the effect of every substitution from one gradient at the word embeddings.

For stride-1 k-mers the embeddings are a multilinear function of the nucleotides' one-hot vectors, so the first-order
effect of a substitution is the sum, over the k-mers that cover it, of (E[new k-mer] - E[old k-mer]) . gradient.
Source: sasse2024.
"""

import numpy as np

from kmerit.attribution.method import Batch, Method, NucleotideScores, Options, word_gradient
from kmerit.errors import UnsupportedMethod
from kmerit.models import tokenizers
from kmerit.models.encoder import Encoder
from kmerit.models.family import Ability


def ask(batch: Batch, options: Options) -> NucleotideScores:
    """Minus the mean first-order effect of the three substitutions at each position; all of them are kept."""
    model = batch.model
    if Ability.KMERS not in model.abilities or not isinstance(model.encoder, Encoder):
        raise UnsupportedMethod(
            f"ism_first_order needs overlapping k-mers, stride 1; {model.family} has none. Use ism, which is exact."
        )
    k = model.shortest
    _, gradient = word_gradient(batch, batch.trace.words)
    along = (gradient @ model.encoder.words.T).cpu().numpy()  # [sequence, token, word]: what each word would add
    effect = np.zeros((*batch.bases.shape, 4), dtype=along.dtype)
    row, token = np.nonzero(batch.tokens.spans[..., 1] > batch.tokens.spans[..., 0])
    start, old = batch.tokens.spans[row, token, 0], batch.tokens.ids[row, token]
    for offset in range(k):
        position = start + offset
        for base in range(4):
            new = tokenizers.substitute(old, offset, base, k)
            effect[row, position, base] += along[row, token, new] - along[row, token, old]
    return NucleotideScores(-effect.sum(-1) / 3, effect)


METHOD = Method(
    name="ism_first_order",
    summary="first-order estimate of ism from one gradient",
    cites="sasse2024",
    signed=True,
    cost=2,
    ask=ask,
    level="nucleotide",
    requires=frozenset({Ability.KMERS}),
)
