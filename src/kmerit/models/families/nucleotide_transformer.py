"""Nucleotide Transformer: ESM's layers over 6-mers side by side. Source: dallatorre2025.

Version 1 has learned positions; version 2 rotates, and gates its feed-forward.
"""

from __future__ import annotations

from typing import Any

from kmerit.errors import CheckpointError
from kmerit.models.blocks import Blocks, layout
from kmerit.models.checkpoint import Checkpoint
from kmerit.models.esm import esm_encoder, usable_positions
from kmerit.models.family import OWN, Family, Parts

LAYOUTS = {len(layout(k, ends)): (k, ends) for k in (3, 4, 5, 6) for ends in (False, True)}
"""Word length, and whether <eos> and <bos> are in the vocabulary, by its size."""


def fits(checkpoint: Checkpoint) -> bool:
    """An ESM whose vocabulary has the size of all k-mers."""
    config = checkpoint.config
    return config.get("model_type") == "esm" and config.get("vocab_size") in LAYOUTS


def build(checkpoint: Checkpoint) -> Parts:
    """Read the weights; take the vocabulary from vocab.txt where there is one."""
    k, ends = LAYOUTS[checkpoint.config["vocab_size"]]
    vocabulary, file = layout(k, ends), checkpoint.folder / "vocab.txt"
    if file.is_file():
        found = file.read_text(encoding="utf-8").split()
        if sorted(found) != sorted(vocabulary):
            raise CheckpointError(f"{file}: expected Nucleotide Transformer's {k}-mers and single letters; it differs.")
        vocabulary = found
    for key, token in (("pad_token_id", "<pad>"), ("mask_token_id", "<mask>")):
        if checkpoint.config.get(key) != vocabulary.index(token):
            raise CheckpointError(
                f"{checkpoint.name}: {key} is {checkpoint.config.get(key)!r} in config.json; the vocabulary has "
                f"{token} at {vocabulary.index(token)}. Take the vocab.txt that belongs to the model."
            )
    settings: dict[str, Any] = checkpoint.json("tokenizer_config.json")
    tokenizer = Blocks(vocabulary, k, ends=ends and settings.get("eos_token") is not None)
    encoder = esm_encoder(checkpoint)
    return Parts(encoder=encoder, tokenizer=tokenizer, max_tokens=usable_positions(checkpoint), abilities=OWN)


FAMILY = Family(
    name="nucleotide_transformer",
    summary="Nucleotide Transformer, versions 1 and 2: ESM over 6-mers side by side, single letters where none fits",
    cites="dallatorre2025",
    fits=fits,
    build=build,
)
