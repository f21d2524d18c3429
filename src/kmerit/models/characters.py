"""One token a nucleotide, with the fixed vocabulary that HyenaDNA and Caduceus share.

Source: nguyen2023, and the tokeniser that its authors publish: no file, no [CLS], a [SEP] at the end.
"""

from __future__ import annotations

import tokenizers
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Split
from tokenizers.processors import TemplateProcessing

from kmerit.errors import CheckpointError
from kmerit.models.checkpoint import Checkpoint
from kmerit.models.subwords import Subwords

VOCABULARY = ("[CLS]", "[SEP]", "[BOS]", "[MASK]", "[PAD]", "[RESERVED]", "[UNK]", "A", "C", "G", "T", "N")
"""The tokens in the order of their ids."""
_NUMBER = {word: number for number, word in enumerate(VOCABULARY)}
_CLASSES = ("HyenaDNATokenizer", "CaduceusTokenizer", "CharacterTokenizer")


def read_characters(checkpoint: Checkpoint) -> Subwords:
    """Make the tokeniser of a checkpoint.

    Raises:
        CheckpointError: The checkpoint names another tokeniser, or numbers its special tokens otherwise.
    """
    if (checkpoint.folder / "tokenizer.json").is_file():
        raise CheckpointError(
            f"{checkpoint.name}: expected HyenaDNA's characters, which have no file; found a tokenizer.json. "
            f"Remove it, or give the checkpoint that belongs to it."
        )
    settings = checkpoint.json("tokenizer_config.json")
    kind = settings.get("tokenizer_class", _CLASSES[0])
    if kind not in _CLASSES:
        raise CheckpointError(f"{checkpoint.name}: tokenizer_class is {kind!r}; expected one of {', '.join(_CLASSES)}.")
    for number, token in (settings.get("added_tokens_decoder") or {}).items():
        word = token.get("content") if isinstance(token, dict) else token
        if not str(number).isdigit() or int(number) >= len(VOCABULARY) or VOCABULARY[int(number)] != word:
            raise CheckpointError(
                f"{checkpoint.name}: tokenizer_config.json numbers {word!r} {number}; "
                f"expected {', '.join(f'{i} {each}' for i, each in enumerate(VOCABULARY))}."
            )
    backend = tokenizers.Tokenizer(WordLevel(_NUMBER, unk_token="[UNK]"))
    backend.pre_tokenizer = Split(tokenizers.Regex("."), "isolated")
    backend.post_processor = TemplateProcessing(single="$A [SEP]", special_tokens=[("[SEP]", _NUMBER["[SEP]"])])
    return Subwords(backend, _NUMBER["[PAD]"], _NUMBER["[UNK]"], _NUMBER["[MASK]"])
