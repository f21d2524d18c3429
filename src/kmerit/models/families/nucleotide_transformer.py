"""Nucleotide Transformer: ESM's layers over 6-mers side by side. Source: dallatorre2025.

Version 1 has learned positions; version 2 rotates, and gates its feed-forward.
"""

from __future__ import annotations

from kmerit.errors import CheckpointError
from kmerit.models.checkpoint import Checkpoint, check_rows, first_difference
from kmerit.models.family import OWN, Family, Head, Parts
from kmerit.models.layouts import UNUSED, esm_encoder, is_esm, usable_positions
from kmerit.models.tokenizers import Blocks, layout

LAYOUTS = {len(layout(k, ends)): (k, ends) for k in (3, 4, 5, 6) for ends in (False, True)}
"""Word length, and whether <eos> and <bos> have embeddings, by the number of embeddings."""


def fits(checkpoint: Checkpoint) -> bool:
    """An ESM whose vocabulary holds all k-mers, or has their number."""
    return is_esm(checkpoint) and _layout(checkpoint) is not None


def _layout(checkpoint: Checkpoint) -> tuple[int, bool] | None:
    """Find word length and ends by the number of embeddings; of a padded table by vocab.txt's words."""
    size, words = checkpoint.config.get("vocab_size"), checkpoint.lines("vocab.txt") or []
    if not isinstance(size, int) or size in LAYOUTS:
        return LAYOUTS[size] if isinstance(size, int) else None
    return next((LAYOUTS[n] for n in sorted(LAYOUTS, reverse=True) if words[:n] == layout(*LAYOUTS[n])), None)


def build(checkpoint: Checkpoint) -> Parts:
    """Read the weights; check the vocabulary where there is one."""
    k, ends = _layout(checkpoint) or (0, False)
    vocabulary = layout(k, ends)
    words = checkpoint.lines("vocab.txt") or vocabulary
    for key, token in (("pad_token_id", "<pad>"), ("mask_token_id", "<mask>")):
        if token in words and checkpoint.config.get(key) != words.index(token):
            raise CheckpointError(
                f"{checkpoint.name}: {key} is {checkpoint.config.get(key)!r} in config.json; the vocabulary has "
                f"{token} at {words.index(token)}. Take the vocab.txt that belongs to the model."
            )
    _check_vocabulary(checkpoint, words, vocabulary, k)
    checkpoint.check_token_ids(vocabulary)
    check_rows(checkpoint, vocabulary, words)
    encoder = esm_encoder(checkpoint)
    return Parts(
        encoder=encoder,
        tokenizer=Blocks(vocabulary, k, _end(checkpoint, vocabulary)),
        max_tokens=usable_positions(checkpoint),
        abilities=OWN,
        unused="" if encoder.added else UNUSED,
    )


def _check_vocabulary(checkpoint: Checkpoint, words: list[str], vocabulary: list[str], k: int) -> None:
    """Compare the vocabulary of the folder, id by id; words that no sequence yields may follow, also unembedded."""
    at = first_difference(words, vocabulary)
    if at is None:
        return
    raise CheckpointError(
        f"{checkpoint.folder / 'vocab.txt'}: expected Nucleotide Transformer's {k}-mers and single letters, "
        f"{vocabulary[at] if at < len(vocabulary) else 'nothing more'} as number {at}; got "
        f"{words[at] if at < len(words) else 'nothing'}. Take the vocab.txt that belongs to the model."
    )


def _end(checkpoint: Checkpoint, vocabulary: list[str]) -> str | None:
    """Find the token at the end of each sequence: the one that the tokeniser's files name, unless it is padding."""
    tokens = checkpoint.special_tokens()
    for kind in ("cls", "pad", "mask", "unk"):
        if tokens.get(f"{kind}_token") not in (None, f"<{kind}>"):
            raise CheckpointError(
                f"{checkpoint.name}: its tokeniser's files name {tokens[f'{kind}_token']!r} as {kind}_token; expected "
                f"<{kind}>."
            )
    end = tokens.get("eos_token")
    if end == "<pad>":  # it is masked like any padding
        return None
    if end is not None and end not in vocabulary:
        raise CheckpointError(
            f"{checkpoint.name}: its tokeniser ends sequences with {end!r}, which has no embedding. Set eos_token to "
            f"null in tokenizer_config.json and special_tokens_map.json, if the model was trained so."
        )
    return end


def shapes(checkpoint: Checkpoint) -> dict[str, tuple[int, ...]]:
    """Name the tensors of the head."""
    hidden = checkpoint.size("hidden_size")
    return {
        "classifier.dense.weight": (hidden, hidden),
        "classifier.dense.bias": (hidden,),
        "classifier.out_proj.weight": (-1, hidden),
        "classifier.out_proj.bias": (-1,),
    }


HEAD = Head(architecture="EsmForSequenceClassification", stem="esm.", shapes=shapes, network=esm_encoder)

FAMILY = Family(
    name="nucleotide_transformer",
    summary="Nucleotide Transformer, versions 1 and 2: ESM over 6-mers side by side, single letters where none fits",
    cites="dallatorre2025",
    fits=fits,
    build=build,
    head=HEAD,
)
