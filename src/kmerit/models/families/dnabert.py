"""DNABERT: BERT over overlapping k-mers, k = 3, 4, 5 or 6. Source: ji2021."""

from __future__ import annotations

from kmerit.errors import CheckpointError
from kmerit.models import kmer
from kmerit.models.bert import RECURRENT, bert_encoder, is_bert
from kmerit.models.checkpoint import Checkpoint
from kmerit.models.family import OWN, Family, Parts
from kmerit.models.network import Ability

SIZES = {4**k + len(kmer.SPECIAL): k for k in (3, 4, 5, 6)}


def fits(checkpoint: Checkpoint) -> bool:
    """A BERT whose vocabulary has the size of DNABERT's, and no tokeniser that cuts otherwise."""
    size = checkpoint.config.get("vocab_size", 0)
    k = SIZES.get(size) if isinstance(size, int) else None
    if k is None or not is_bert(checkpoint):
        return False
    ids = checkpoint.token_ids()
    return ids is None or set(kmer.vocabulary(k)) <= ids.keys()


def build(checkpoint: Checkpoint) -> Parts:
    """Read the weights; check the vocabulary where there is one."""
    k = SIZES[checkpoint.config["vocab_size"]]
    if checkpoint.lines("vocab.txt") not in (None, kmer.vocabulary(k)):
        file = checkpoint.folder / "vocab.txt"
        raise CheckpointError(f"{file}: expected DNABERT's {k}-mers in their order (AAA, AAT, AAC ...); it differs.")
    checkpoint.check_token_ids(kmer.vocabulary(k))
    return Parts(
        encoder=bert_encoder(checkpoint, f"kmerit finetune --base {checkpoint.name} ..."),
        tokenizer=kmer.Overlapping(k),
        max_tokens=checkpoint.size("max_position_embeddings"),
        abilities=OWN | {Ability.KMERS},
        ignored=RECURRENT,
    )


FAMILY = Family(
    name="dnabert",
    summary="DNABERT and its descendants: BERT over overlapping k-mers, k = 3 to 6",
    cites="ji2021",
    fits=fits,
    build=build,
)
