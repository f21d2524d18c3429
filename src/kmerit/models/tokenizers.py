"""Tokenisers: their interface, k-mers, and subwords (BPE, single characters, 6-mers) as published."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np
import tokenizers
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Split
from tokenizers.processors import TemplateProcessing

from kmerit.errors import CheckpointError, SequenceError
from kmerit.models.checkpoint import Checkpoint, check_rows, first_difference, refuse_pointer
from kmerit.sequences import ALPHABET, Bool, Int8, Int32, Int64, N, Sequences, Tokens, decode, kmers


class Survey(NamedTuple):
    """Token counts of sequences, and letters without a token.

    Attributes:
        tokens: ``int64 [sequence]``, special tokens included.
        unknown: The first nucleotide that the vocabulary lacks, as sequence and position; None if there is none.
    """

    tokens: Int64
    unknown: tuple[int, int] | None


class Tokenizer(Protocol):
    """From numbered bases to ids and spans."""

    @property
    def shortest(self) -> int:
        """Nucleotides a sequence needs at least."""

    @property
    def special(self) -> int:
        """Special tokens that each sequence gets."""

    @property
    def mask_id(self) -> int | None:
        """Id of the mask token; None if the vocabulary has none."""

    def __call__(self, bases: Int8, lengths: Int64) -> Tokens:
        """Tokenise a micro-batch: bases ``int8 [sequence, position]``, -1 beyond each length."""

    def survey(self, sequences: Sequences) -> Survey:
        """Count the tokens of sequences, and look for letters without a token."""


SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
PAD, UNK, CLS, SEP, MASK = range(len(SPECIAL))
LETTERS = "ATCG"
"""The order in which DNABERT's vocabulary counts; bases here are numbered in the order ACGT."""

_DIGIT: Int8 = np.array([LETTERS.index(base) for base in "ACGT"] + [4], dtype=np.int8)


def vocabulary(k: int) -> list[str]:
    """List DNABERT's tokens in the order of their ids.

    Example:
        >>> vocabulary(3)[5:9], len(vocabulary(3))
        (['AAA', 'AAT', 'AAC', 'AAG'], 69)
    """
    return [*SPECIAL, *map("".join, product(LETTERS, repeat=k))]


def check_vocabulary(checkpoint: Checkpoint, k: int) -> None:
    """Check that a checkpoint's files number the k-mers as here; words that no sequence yields may follow them.

    Raises:
        CheckpointError: vocab.txt or tokenizer.json has them in another order, or lacks some.
    """
    words, lines = vocabulary(k), checkpoint.lines("vocab.txt")
    if lines is not None and (at := first_difference(lines, words)) is not None:
        raise CheckpointError(
            f"{checkpoint.folder / 'vocab.txt'}: expected DNABERT's {k}-mers in their order (AAA, AAT, AAC ...), "
            f"{words[at] if at < len(words) else 'no further one'} as number {at}; got "
            f"{lines[at] if at < len(lines) else 'nothing'}. Take the vocab.txt that belongs to the model."
        )
    checkpoint.check_token_ids(words)
    check_rows(checkpoint, words, lines)


def token_ids(bases: Int8, lengths: Int64, k: int) -> Tokens:
    """Tokenise a micro-batch: [CLS], every k-mer, [SEP], padding.

    Args:
        bases: ``int8 [sequence, position]``, -1 (or anything) beyond a sequence's length.
        lengths: ``int64 [sequence]``.
        k: Word length.

    Returns:
        Tokens; a k-mer with an N in it is [UNK]. Token ``1 + i`` spans nucleotides ``i .. i + k``.

    Raises:
        SequenceError: A sequence shorter than k.
    """
    if lengths.size and lengths.min() < k:
        at = int(np.argmin(lengths))
        raise SequenceError(
            f"Sequence {at} of this batch has {lengths[at]} nt; a {k}-mer model needs at least {k}. "
            f"Drop it with --min-length {k}."
        )
    words = kmers(_DIGIT[np.where(bases < 0, 4, bases)], k)
    count = (lengths - k + 1)[:, None]
    ids = np.full((bases.shape[0], int(count.max(initial=0)) + 2), PAD, dtype=np.int64)
    token = np.arange(ids.shape[1])
    word = (token >= 1) & (token <= count)
    ids[:, 0] = CLS
    inner = np.where(words < 0, UNK, words + len(SPECIAL))[:, : ids.shape[1] - 2]
    ids[:, 1 : 1 + inner.shape[1]] = inner
    ids[~word & (token > 0)] = PAD
    ids[np.arange(len(ids)), count[:, 0] + 1] = SEP
    spans = np.zeros((*ids.shape, 2), dtype=np.int32)
    start = np.where(word, token - 1, 0)
    spans[..., 0] = start
    spans[..., 1] = np.where(word, start + k, 0)
    return Tokens(ids, token <= count + 1, spans)


def substitute(ids: Int64, offset: int, base: int, k: int) -> Int64:
    """Return the k-mers that differ from these in one nucleotide.

    Args:
        ids: Of k-mers, no special tokens.
        offset: Which of the k nucleotides, from the left.
        base: What it becomes, ACGT = 0..3.
        k: Word length.

    Example:
        >>> words = vocabulary(3)
        >>> words[substitute(np.array([words.index("AAC")]), 2, 3, 3)[0]]
        'AAT'
    """
    place = 4 ** (k - 1 - offset)
    old = (ids - len(SPECIAL)) // place % 4
    return np.asarray(ids + (int(_DIGIT[base]) - old) * place)


@dataclass(frozen=True)
class Overlapping:
    """The tokeniser of one word length.

    Attributes:
        k: Word length.
    """

    k: int
    special: int = 2
    mask_id: int = MASK

    @property
    def shortest(self) -> int:
        """One word."""
        return self.k

    def __call__(self, bases: Int8, lengths: Int64) -> Tokens:
        """Tokenise a micro-batch; see ``token_ids``."""
        return token_ids(bases, lengths, self.k)

    def survey(self, sequences: Sequences) -> Survey:
        """Count tokens, and look for an N, under which every k-mer is unknown.

        Example:
            >>> Overlapping(3).survey(Sequences.from_strings(["ACGT", "ACGNT"]))
            Survey(tokens=array([4, 5]), unknown=(1, 3))
        """
        unknown, first = np.flatnonzero(sequences.bases == N), None
        if unknown.size:
            i = int(np.searchsorted(sequences.offsets, unknown[0], side="right")) - 1
            first = (i, int(unknown[0] - sequences.offsets[i]))
        return Survey(sequences.lengths - self.k + 3, first)


def layout(k: int, ends: bool) -> list[str]:
    """List the tokens in the order of their ids.

    Args:
        k: Word length.
        ends: Whether <eos> and <bos> are among them, as from version 2 on.

    Example:
        >>> layout(6, ends=False)[3:6], len(layout(6, ends=False)), len(layout(6, ends=True))
        (['<cls>', 'AAAAAA', 'AAAAAT'], 4105, 4107)
    """
    special = ["<unk>", "<pad>", "<mask>", "<cls>", *(["<eos>", "<bos>"] if ends else [])]
    return [*special, *map("".join, product("ATCG", repeat=k)), *"ATCGN"]


class _Pieces(NamedTuple):
    """Where tokens start in a micro-batch, ``[sequence, position]``, and which nucleotides they hold."""

    starts: Bool
    width: Int64
    ids: Int64


@dataclass(frozen=True, eq=False)
class Blocks:
    """Cut each run of A, C, G and T from its left into words of k; what is left over, and N, are single tokens.

    Attributes:
        vocabulary: The tokens in the order of their ids.
        k: Word length.
        end: The token that closes a sequence; None for none.
    """

    vocabulary: Sequence[str]
    k: int
    end: str | None = None

    @property
    def shortest(self) -> int:
        """One nucleotide will do."""
        return 1

    @property
    def special(self) -> int:
        """<cls>, and perhaps one at the end."""
        return 1 + (self.end is not None)

    @property
    def mask_id(self) -> int:
        """Id of <mask>."""
        return self._number["<mask>"]

    @cached_property
    def _number(self) -> dict[str, int]:
        return {word: number for number, word in enumerate(self.vocabulary)}

    @cached_property
    def _words(self) -> Int64:
        """Ids of all words of k, counted in the order ACGT."""
        return np.array([self._number["".join(word)] for word in product("ACGT", repeat=self.k)], dtype=np.int64)

    @cached_property
    def _letters(self) -> Int64:
        """Ids of A, C, G, T and N."""
        return np.array([self._number[letter] for letter in ALPHABET], dtype=np.int64)

    def __call__(self, bases: Int8, lengths: Int64) -> Tokens:
        """Tokenise a micro-batch: <cls>, the pieces, the token at the end if there is one, padding."""
        pieces = self._pieces(bases, lengths)
        count = pieces.starts.sum(1)
        total = count + self.special
        shape = (len(bases), int(total.max(initial=self.special)))
        ids = np.full(shape, self._number["<pad>"], dtype=np.int64)
        spans = np.zeros((*shape, 2), dtype=np.int32)
        row, position = np.nonzero(pieces.starts)
        token = pieces.starts.cumsum(1)[row, position]  # from 1: <cls> is 0
        ids[:, 0] = self._number["<cls>"]
        ids[row, token] = pieces.ids[row, position]
        spans[row, token, 0] = position
        spans[row, token, 1] = position + pieces.width[row, position]
        if self.end is not None:
            ids[np.arange(len(ids)), count + 1] = self._number[self.end]
        return Tokens(ids, np.arange(shape[1]) < total[:, None], spans)

    def survey(self, sequences: Sequences) -> Survey:
        """Count tokens; no letter lacks one."""
        counts = [self._pieces(bases[None], np.array([bases.size])).starts.sum() for bases in sequences.rows()]
        return Survey(np.array(counts, dtype=np.int64) + self.special, None)

    def _pieces(self, bases: Int8, lengths: Int64) -> _Pieces:
        place = np.arange(bases.shape[1])
        inside = place < lengths[:, None]
        stop = ~inside | (bases == N)
        start = np.maximum.accumulate(np.where(stop, place, -1), axis=1) + 1  # of the run a position lies in
        end = np.minimum.accumulate(np.where(stop, place, bases.shape[1])[:, ::-1], axis=1)[:, ::-1]
        in_word = ~stop & (place - start < (end - start) // self.k * self.k)
        first = in_word & ((place - start) % self.k == 0)
        ids = self._letters[np.where(inside, bases, N)]
        words = kmers(bases, self.k)
        ids[first] = self._words[np.pad(words, ((0, 0), (0, bases.shape[1] - words.shape[1])))[first]]
        return _Pieces(first | (inside & ~in_word), np.where(first, self.k, 1), ids)


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
        problem = f"has {longer[0]!r}, which is not a single letter" if longer else f"lacks {missing[0]}"
        raise CheckpointError(
            f"{file}: {problem}. Its tokenisation must be defined by a tokenizer.json; save it with the tokenizer's "
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
