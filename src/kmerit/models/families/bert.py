"""BERT with a subword or character vocabulary, as GROVER and GENA-LM. Source: devlin2019, sanabria2024, fishman2025."""

from __future__ import annotations

from kmerit.models.checkpoint import Checkpoint
from kmerit.models.family import OWN, Family, Head, Parts
from kmerit.models.layouts import RECURRENT, bert_encoder, is_bert, pooled_head
from kmerit.models.tokenizers import read_leading


def build(checkpoint: Checkpoint) -> Parts:
    """Read the weights and the tokeniser."""
    encoder = bert_encoder(checkpoint)
    return Parts(
        encoder=encoder,
        tokenizer=read_leading(checkpoint, len(encoder.words)),
        max_tokens=checkpoint.size("max_position_embeddings"),
        abilities=OWN,
        ignored=RECURRENT,
    )


HEAD = Head(architecture="BertForSequenceClassification", stem="bert.", shapes=pooled_head, network=bert_encoder)

FAMILY = Family(
    name="bert",
    summary="BERT with a subword (BPE) or character vocabulary, as GROVER and GENA-LM",
    cites="devlin2019",
    fits=is_bert,
    build=build,
    head=HEAD,
    breadth=1,
)
