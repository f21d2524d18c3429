"""BERT with a subword or character vocabulary, as GROVER and GENA-LM. Source: devlin2019, sanabria2024, fishman2025."""

from __future__ import annotations

from kmerit.errors import CheckpointError
from kmerit.models.bert import bert_encoder
from kmerit.models.checkpoint import Checkpoint
from kmerit.models.family import OWN, Family, Parts
from kmerit.models.subwords import read_subwords


def fits(checkpoint: Checkpoint) -> bool:
    """Any BERT whose layers are BERT's."""
    return checkpoint.config.get("model_type") == "bert" and not any(".Wqkv." in key for key in checkpoint.tensors)


def build(checkpoint: Checkpoint) -> Parts:
    """Read the weights and the tokeniser."""
    encoder = bert_encoder(checkpoint)
    tokenizer = read_subwords(checkpoint, len(encoder.words))
    if not tokenizer.leads:
        raise CheckpointError(
            f"{checkpoint.name}: its tokeniser puts no [CLS] first, which the classification head reads. "
            f"Give tokenizer.json a post-processor."
        )
    return Parts(
        encoder=encoder,
        tokenizer=tokenizer,
        max_tokens=checkpoint.size("max_position_embeddings"),
        abilities=OWN,
    )


FAMILY = Family(
    name="bert",
    summary="BERT with a subword (BPE) or character vocabulary, as GROVER and GENA-LM",
    cites="devlin2019",
    fits=fits,
    build=build,
    breadth=1,
)
