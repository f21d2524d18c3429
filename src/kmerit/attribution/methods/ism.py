"""In-silico mutagenesis: every single substitution, exactly. Source: alipanahi2015."""

import numpy as np

from kmerit.attribution.method import Batch, Method, NucleotideScores, Options, logits_of


def ask(batch: Batch, options: Options) -> NucleotideScores:
    """Mean drop of the explained logit over the three substitutions at each position; all of them are kept."""
    width = batch.bases.shape[1]
    row, position, base = np.nonzero(
        (np.arange(width) < batch.lengths[:, None])[:, :, None] & (batch.bases[:, :, None] != np.arange(4))
    )
    effect = np.zeros((len(batch.bases), width, 4), dtype=str(batch.model.dtype).removeprefix("torch."))
    before = batch.trace.logits.cpu().numpy()
    target = batch.trace.target.cpu().numpy()
    step = batch.model.micro_batch
    for start in range(0, row.size, step):
        r, p, b = (index[start : start + step] for index in (row, position, base))
        mutants = batch.bases[r]
        mutants[np.arange(r.size), p] = b
        after = logits_of(batch.model, mutants, batch.lengths[r], [f"a mutant of {batch.names[i]}" for i in r])
        effect[r, p, b] = (after - before[r])[np.arange(r.size), target[r]]
    return NucleotideScores(-effect.sum(-1) / 3, effect)


METHOD = Method(
    name="ism",
    summary="mean drop of the logit over the three substitutions of each nucleotide",
    cites="alipanahi2015",
    signed=True,
    cost="3 per nucleotide",
    ask=ask,
    level="nucleotide",
)
