"""Tokenizers over subwords (BPE and the like) and single characters, with exact spans.

One token a nucleotide, with the fixed vocabulary that HyenaDNA and Caduceus share. Source: nguyen2023, and the
tokeniser that its authors publish: no file, no [CLS], a [SEP] at the end.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
import tokenizers
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Split
from tokenizers.processors import TemplateProcessing

from kmerit.errors import CheckpointError, SequenceError
from kmerit.models.checkpoint import Checkpoint, refuse_pointer
from kmerit.models.tokenizers.tokenizer import Survey
from kmerit.sequences import ALPHABET, Bool, Int8, Int32, Int64, Sequences, Tokens, decode

logger = logging.getLogger(__name__)

_SURVEYED = 1024
"""Sequences that a survey tokenises at once."""
_YIELDED = re.compile(r"(##|\u2581|\u0120)?[ACGTNacgtn]+(</w>)?")
"""A word of nucleotides, with the marks that tokenisers put at the ends of words."""
_PROBE = "ACGTTGCAAACCCGGGTTTACGATCAGCTA"


class Subwords:
    """A tokeniser of the ``tokenizers`` library for nucleotides, each of which must lie under exactly one token."""

    shortest = 1

    def __init__(self, backend: tokenizers.Tokenizer, pad_id: int, unknown_id: int | None, mask_id: int | None) -> None:
        """Take a tokeniser and the ids of its special tokens."""
        backend.no_padding()
        backend.no_truncation()
        self.backend, self.pad_id, self.unknown_id, self.mask_id = backend, pad_id, unknown_id, mask_id
        marks = _encoded(backend, ["A"])[0].special_tokens_mask
        self.special, self.leads = sum(marks), bool(marks and marks[0])
        alone = self._tokens(list(ALPHABET))
        uncovered = ~_tiles(alone.spans, np.ones(len(ALPHABET), dtype=np.int64))
        self._lacks = uncovered | (alone.ids == unknown_id).any(1)  # of A, C, G, T and N

    def __call__(self, bases: Int8, lengths: Int64) -> Tokens:
        """Tokenise a micro-batch.

        Raises:
            SequenceError: A nucleotide that the vocabulary lacks.
            CheckpointError: Nucleotides under no token or under two.
        """
        tokens = self._tokens([decode(row[:length]) for row, length in zip(bases, lengths, strict=True)])
        tiled = _tiles(tokens.spans, lengths)
        if not tiled.all():
            i = int(np.argmin(tiled))
            raise CheckpointError(
                f"The tokeniser puts nucleotides of {decode(bases[i, : lengths[i]])[:20]}... under no token, or "
                f"under two. Scores could not be projected to nucleotides; expected a tokeniser for DNA."
            )
        unknown = self._unknown(tokens)
        if unknown is not None:
            raise SequenceError(
                f"Sequence {unknown[0]} of this batch has letters without a token, from position {unknown[1]}."
            )
        return tokens

    def survey(self, sequences: Sequences) -> Survey:
        """Count tokens, and look for letters without one."""
        counts, first = [], None
        for start in range(0, len(sequences), _SURVEYED):
            part = sequences.take(slice(start, start + _SURVEYED))
            tokens = self._tokens(part.strings())
            counts.append(tokens.mask.sum(1))
            fault = self._missing(part) or self._unknown(tokens)
            if first is None and fault is not None:
                first = (start + fault[0], fault[1])
        return Survey(np.concatenate(counts), first)

    def _tokens(self, texts: Sequence[str]) -> Tokens:
        encodings = _encoded(self.backend, texts)
        shape = (len(encodings), max(len(each) for each in encodings))
        ids, mask = np.full(shape, self.pad_id, dtype=np.int64), np.zeros(shape, dtype=np.bool_)
        spans = np.zeros((*shape, 2), dtype=np.int32)
        for row, each in enumerate(encodings):
            covers = np.array(each.special_tokens_mask) == 0
            ids[row, : len(each)], mask[row, : len(each)] = each.ids, True
            spans[row, : len(each)][covers] = _spread(texts[row], np.array(each.offsets, dtype=np.int32)[covers])
        return Tokens(ids, mask, spans)

    def _missing(self, sequences: Sequences) -> tuple[int, int] | None:
        """Find the first letter that the vocabulary lacks, as sequence and position."""
        positions = np.flatnonzero(self._lacks[sequences.bases])
        if not positions.size:
            return None
        row = int(np.searchsorted(sequences.offsets, positions[0], side="right")) - 1
        return row, int(positions[0] - sequences.offsets[row])

    def _unknown(self, tokens: Tokens) -> tuple[int, int] | None:
        """Find the first nucleotide under an unknown token, as sequence and position."""
        if self.unknown_id is None:
            return None
        rows, columns = np.nonzero((tokens.ids == self.unknown_id) & (tokens.spans[..., 1] > tokens.spans[..., 0]))
        return (int(rows[0]), int(tokens.spans[rows[0], columns[0], 0])) if rows.size else None


def _encoded(backend: tokenizers.Tokenizer, texts: Iterable[str]) -> list[tokenizers.Encoding]:
    """Tokenise texts.

    Raises:
        CheckpointError: The library fails: the tokeniser contradicts itself.
    """
    try:
        return backend.encode_batch(list(texts))
    except BaseException as error:  # a panic of the library, which is in Rust, is not even an Exception
        if not (isinstance(error, Exception) or type(error).__name__ == "PanicException"):
            raise
        raise CheckpointError(
            f"The tokeniser cannot tokenise DNA ({str(error)[:120]}). Take tokenizer.json from where the model is "
            f"published."
        ) from error


def _spread(text: str, spans: Int32) -> Int32:
    """Let a token that stands for a run of N, as GENA-LM's does for ten and more, cover all of the run."""
    if "NN" in text:
        end = 0
        for i, (start, stop) in enumerate(spans.tolist()):
            if start > end and set(text[end:stop]) == {"N"}:
                spans[i, 0] = end
            end = stop
    return spans


def _tiles(spans: Int32, lengths: Int64) -> Bool:
    """Return whether the spans of each sequence follow one another from its start to its end: ``bool [sequence]``."""
    width = spans[..., 1] - spans[..., 0]
    before = np.cumsum(width, axis=1) - width
    return np.asarray(
        ((spans[..., 0] == before) | (width == 0)).all(1) & (width.sum(1) == lengths) & (width >= 0).all(1)
    )


def read_subwords(checkpoint: Checkpoint, embeddings: int, pad_id: int | None = None) -> Subwords:
    """Read the tokeniser of a checkpoint: tokenizer.json, or a vocab.txt of single letters.

    Args:
        checkpoint: Its folder has the files.
        embeddings: How many tokens the model knows.
        pad_id: What fills up; by default the tokeniser's own padding token.

    Raises:
        CheckpointError: No such file, one that cannot be read, or one of another model.
    """
    backend, file = _backend(checkpoint)
    vocabulary = backend.get_vocab()
    special_ids = _special_ids(checkpoint, vocabulary)
    pad = pad_id if pad_id is not None else special_ids["pad"]
    try:
        _check_contained(backend, vocabulary, embeddings, special_ids["unk"], file)
        subwords = Subwords(backend, 0 if pad is None else pad, special_ids["unk"], special_ids["mask"])
    except CheckpointError as error:
        raise CheckpointError(f"{file}: {str(error).removeprefix(f'{file}: ')}") from error
    try:
        subwords(*Sequences.from_strings([_PROBE]).padded())
    except SequenceError:
        pass  # a letter is missing; the sequences that have it will be refused
    except CheckpointError as error:
        raise CheckpointError(f"{file}: {error}") from error
    return subwords


def read_leading(checkpoint: Checkpoint, embeddings: int) -> Subwords:
    """Read a tokeniser that puts first the token which the classification head reads.

    Raises:
        CheckpointError: As ``read_subwords``, or it puts none there.
    """
    tokenizer = read_subwords(checkpoint, embeddings)
    if not tokenizer.leads:
        raise CheckpointError(
            f"{checkpoint.name}: its tokeniser puts no [CLS] first, which the classification head reads. "
            f"Give tokenizer.json a post-processor."
        )
    return tokenizer


def refuse_padding_with_a_word(checkpoint: Checkpoint, tokenizer: Subwords) -> None:
    """Refuse a model whose head reads the last token but the padding, and whose padding is a word of sequences.

    Raises:
        CheckpointError: It is.
    """
    word = tokenizer.backend.id_to_token(tokenizer.pad_id)
    if word is not None and _YIELDED.fullmatch(word):
        raise CheckpointError(
            f"{checkpoint.name}: pad_token_id is {tokenizer.pad_id} in config.json, which is {word!r} in the "
            f"vocabulary; the head would take it for padding. Set pad_token_id to the padding token's id."
        )


def _check_contained(
    backend: tokenizers.Tokenizer, vocabulary: Mapping[str, int], embeddings: int, unknown_id: int | None, file: Path
) -> None:
    """Refuse a vocabulary that may give an id without an embedding; words that no sequence yields do no harm."""
    ends = {id_ for encoding in _encoded(backend, ALPHABET) for id_ in encoding.ids} | {unknown_id}
    for word, number in vocabulary.items():
        if number >= embeddings and (number in ends or _YIELDED.fullmatch(word)):
            raise CheckpointError(
                f"{file}: numbers its tokens up to {max(vocabulary.values())}; the model has {embeddings} embeddings, "
                f"none for {word!r}. Use the model's own tokeniser."
            )


def _backend(checkpoint: Checkpoint) -> tuple[tokenizers.Tokenizer, Path]:
    file = checkpoint.folder / "tokenizer.json"
    if file.is_file():
        refuse_pointer(file)
        try:
            return _unchanging(tokenizers.Tokenizer.from_file(str(file)), file), file
        except Exception as error:  # the library raises nothing more special
            raise CheckpointError(f"{file}: not readable as a tokeniser ({str(error)[:120]}).") from error
    file = checkpoint.folder / "vocab.txt"
    if file.is_file():
        return _characters(file), file
    if (link := checkpoint.folder / "tokenizer.json").is_symlink():
        raise CheckpointError(f"{link}: a link to {link.readlink()}, which is not there. Copy what it links to.")
    raise CheckpointError(
        f"{checkpoint.name}: no tokenizer file. Expected tokenizer.json, or a vocab.txt of single letters, in "
        f"{checkpoint.folder}; save it there with the tokenizer's save_pretrained."
    )


def _unchanging(backend: tokenizers.Tokenizer, file: Path) -> tokenizers.Tokenizer:
    """Take dropout, which belongs to training, out of a tokeniser."""
    if getattr(backend.model, "dropout", None):
        logger.warning(
            "%s has a dropout of %s, which tokenises a sequence differently each time; it is ignored, as it belongs to "
            "training.", file, backend.model.dropout,
        )  # fmt: skip
        backend.model.dropout = None
    return backend


def _characters(file: Path) -> tokenizers.Tokenizer:
    """Make a tokeniser of one token per nucleotide between [CLS] and [SEP]."""
    vocabulary = {word: number for number, word in enumerate(file.read_text(encoding="utf-8").split())}
    if "<cls>" in vocabulary:
        raise CheckpointError(
            f"{file}: is ESM's vocabulary, with <cls>; of ESM those over k-mers are supported (Nucleotide "
            f"Transformer), and any model with a tokenizer.json."
        )
    longer = [word for word in vocabulary if len(word) > 1 and word.isalpha()]
    missing = [word for word in ("[UNK]", "[CLS]", "[SEP]", "[PAD]") if word not in vocabulary]
    if longer or missing:
        what = f"has {longer[0]!r}, which is no single letter" if longer else f"lacks {missing[0]}"
        raise CheckpointError(
            f"{file}: {what}. Its tokenisation must be defined by a tokenizer.json; save it with the tokenizer's "
            f"save_pretrained."
        )
    backend = tokenizers.Tokenizer(WordLevel(vocabulary, unk_token="[UNK]"))
    backend.pre_tokenizer = Split(tokenizers.Regex("."), "isolated")
    ends = [(word, vocabulary[word]) for word in ("[CLS]", "[SEP]")]
    backend.post_processor = TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=ends)
    return backend


def _special_ids(checkpoint: Checkpoint, vocabulary: Mapping[str, int]) -> dict[str, int | None]:
    """Find the special tokens by their names: those that the checkpoint's files tell, or the customary ones."""
    tokens = checkpoint.special_tokens()
    ids = {}
    for kind in ("pad", "unk", "mask"):
        names = [str(tokens.get(f"{kind}_token")), f"[{kind.upper()}]", f"<{kind}>"]
        ids[kind] = next((vocabulary[name] for name in names if name in vocabulary), None)
    return ids


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
