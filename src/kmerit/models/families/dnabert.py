"""DNABERT: BERT over overlapping k-mers, k = 3, 4, 5 or 6. Source: ji2021."""

from __future__ import annotations

from kmerit.models import tokenizers
from kmerit.models.checkpoint import Checkpoint
from kmerit.models.family import OWN, Ability, Family, Parts
from kmerit.models.layouts import RECURRENT, bert_encoder, is_bert

SIZES = {4**k + len(tokenizers.SPECIAL): k for k in (3, 4, 5, 6)}


def fits(checkpoint: Checkpoint) -> bool:
    """A BERT with DNABERT's k-mers in its vocabulary, or one of that size, and no tokeniser that cuts otherwise."""
    k = _word_length(checkpoint) if is_bert(checkpoint) else None
    if k is None:
        return False
    ids = checkpoint.token_ids()
    return ids is None or set(tokenizers.vocabulary(k)) <= ids.keys()


def _word_length(checkpoint: Checkpoint) -> int | None:
    """Find k by the number of embeddings; where that is no vocabulary's, as in a padded table, by vocab.txt's words."""
    size, words = checkpoint.config.get("vocab_size", 0), set(checkpoint.lines("vocab.txt") or ())
    if not isinstance(size, int) or size in SIZES:
        return SIZES[size] if isinstance(size, int) else None
    return next(
        (k for k in SIZES.values() if words.issuperset(tokenizers.vocabulary(k)[len(tokenizers.SPECIAL) :])), None
    )


def build(checkpoint: Checkpoint) -> Parts:
    """Read the weights; check the vocabulary where there is one: words that no sequence yields may follow its own."""
    k = _word_length(checkpoint) or 0
    tokenizers.check_vocabulary(checkpoint, k)
    return Parts(
        encoder=bert_encoder(checkpoint, f"kmerit finetune --base {checkpoint.name} ..."),
        tokenizer=tokenizers.Overlapping(k),
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
