"""DNABERT: BERT over overlapping k-mers, k = 3, 4, 5 or 6. Source: ji2021."""

from __future__ import annotations

from functools import partial

from kmerit.errors import CheckpointError
from kmerit.models import kmer
from kmerit.models.bert import bert_encoder
from kmerit.models.checkpoint import Checkpoint
from kmerit.models.family import Family, Parts

SIZES = {4**k + len(kmer.SPECIAL): k for k in (3, 4, 5, 6)}


def fits(checkpoint: Checkpoint) -> bool:
    """A BERT whose vocabulary has the size of DNABERT's."""
    return checkpoint.config.get("model_type") == "bert" and checkpoint.config.get("vocab_size") in SIZES


def build(checkpoint: Checkpoint) -> Parts:
    """Read the weights; check the vocabulary where there is one."""
    k = SIZES[checkpoint.config["vocab_size"]]
    file = checkpoint.folder / "vocab.txt"
    if file.is_file() and file.read_text(encoding="utf-8").split() != kmer.vocabulary(k):
        raise CheckpointError(f"{file}: expected DNABERT's {k}-mers in their order (AAA, AAT, AAC ...); it differs.")
    return Parts(
        encoder=bert_encoder(checkpoint),
        tokenizer=partial(kmer.token_ids, k=k),
        shortest=k,
        token_count=lambda lengths: lengths - k + 3,
        max_tokens=int(checkpoint.config["max_position_embeddings"]),
        mask_id=kmer.MASK,
    )


FAMILY = Family(
    name="dnabert",
    summary="DNABERT and its descendants: BERT over overlapping k-mers, k = 3 to 6",
    cites="ji2021",
    fits=fits,
    build=build,
)
