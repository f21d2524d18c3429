"""Motifs: MEME's format, probabilities per position, and where they occur.

MEME's motif format, as its programs write it: minimal files, and their longer text output. A motif is a line ``MOTIF
identifier name``, and behind it a ``letter-probability matrix:`` of one row a position. Other lines (background,
strands, URL, log-odds, descriptions) are no part of what is read here.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from importlib.resources import files
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np

from kmerit.errors import FormatError, SequenceError, UnknownName, UsageError, short
from kmerit.formats import percent
from kmerit.io.files import read_text
from kmerit.sequences import Bool, Floats, Int8, N, Sequences

_MATRIX = "letter-probability matrix"
_SETTING = re.compile(r"\b(alength|w)\s*=\s*(\S+)")
_LINE_END = re.compile(r"\r\n|\r|\n")
_CAPTION = re.compile(r"\s+width\s*=.*")
"""What MEME's text output says behind the name of a motif."""
_WIDTH = re.compile(r"[0-9]{1,9}")
_END = re.compile(r"\s*$|\s*(-{3,}|\*{3,}|//|URL\b|MOTIF\b|BL\b|log-odds|letter-probability)")
"""A line at which a matrix of unknown width ends."""
_ROUNDED = 0.01
"""By how much a row of rounded probabilities may miss 1."""


class Meme(NamedTuple):
    """A motif of a file: its identifier, its name, and ``[position, base]``, bases in the order ACGT."""

    identifier: str
    name: str
    rows: Floats


class _Head(NamedTuple):
    line: int
    identifier: str
    name: str


def parse_meme(text: str, path: Path) -> list[Meme]:
    """Read the motifs of a MEME file.

    Raises:
        FormatError: No motifs; one without a matrix, or with two; one that is there twice; a matrix that is cut off, or
            not of A, C, G and T; a row that is no four probabilities. With the line.
    """
    lines = _LINE_END.split(text)
    motifs: list[Meme] = []
    first_lines: dict[str, int] = {}
    head: _Head | None = None
    at = 0
    while at < len(lines):
        line, number = lines[at].strip(), at + 1
        at += 1
        word = line.split(maxsplit=1)[0] if line else ""
        if word == "MOTIF":
            _refuse_without_matrix(head, motifs, path, f"line {number} begins the next motif")
            head = _head(line, number, path)
            if (first := first_lines.setdefault(head.identifier, number)) != number:
                raise FormatError(
                    f"{path}, line {number}: the motif {short(head.identifier)} occurs twice (first: line {first}). "
                    f"Rename or remove one."
                )
        elif word.startswith("ALPHABET"):
            _check_alphabet(lines, number, path)
        elif line.startswith(_MATRIX):
            if head is None or _has_matrix(head, motifs):
                before = "no line 'MOTIF identifier' is before it" if head is None else "its motif has one already"
                raise FormatError(f"{path}, line {number}: a {_MATRIX} of no motif: {before}.")
            rows, at = _rows(lines, at, path)
            motifs.append(Meme(head.identifier, head.name or head.identifier, rows))
        elif line.startswith("log-odds matrix"):
            while at < len(lines) and _are_numbers(lines[at]):
                at += 1
        elif line.lower().startswith(("<!doctype", "<html", "<?xml")):
            raise FormatError(f"{path}, line {number}: this is HTML or XML; give MEME's text file (.txt or .meme).")
        elif head is not None and _are_numbers(line):
            raise FormatError(
                f"{path}, line {number}: four numbers outside a matrix. Remove the blank line before them, or correct "
                f"the width of the matrix (w=)."
            )
    _refuse_without_matrix(head, motifs, path, "the file ends")
    if not motifs:
        raise FormatError(f"{path}: expected motifs in MEME format (lines 'MOTIF ...'), found none.")
    return motifs


def _are_numbers(line: str) -> bool:
    """Return whether a line looks like a row of a matrix."""
    return len(cells := line.split()) == 4 and all(_number(cell) is not None for cell in cells)


def _head(line: str, number: int, path: Path) -> _Head:
    words = _CAPTION.sub("", line).split(maxsplit=2)[1:]
    if not words:
        raise FormatError(f"{path}, line {number}: expected an identifier behind MOTIF.")
    return _Head(number, words[0], words[1] if len(words) > 1 else "")


def _has_matrix(head: _Head, motifs: list[Meme]) -> bool:
    return bool(motifs) and motifs[-1].identifier == head.identifier


def _refuse_without_matrix(head: _Head | None, motifs: list[Meme], path: Path, where: str) -> None:
    if head is not None and not _has_matrix(head, motifs):
        raise FormatError(
            f"{path}, line {head.line}: the motif {short(head.identifier)} has no {_MATRIX} ({where}). Add it, or "
            f"remove the motif."
        )


def _check_alphabet(lines: list[str], number: int, path: Path) -> None:
    """Refuse another alphabet than DNA's: ``ALPHABET= ACGT``, or symbols line by line up to ``END ALPHABET``.

    ``ALPHABET DNA`` without such lines, as some programs write it, says the same.
    """
    alphabet = lines[number - 1].strip().removeprefix("ALPHABET").lstrip()
    if alphabet.startswith("="):
        letters = alphabet.removeprefix("=").strip()
    else:
        symbols = (line.strip() for line in lines[number:])
        block = list(_until(symbols, ("END ALPHABET", "MOTIF")))
        if not any(line.strip().startswith("END ALPHABET") for line in lines[number : number + len(block) + 1]):
            if alphabet.strip('"').upper() == "DNA":
                return
            raise FormatError(
                f"{path}, line {number}: expected ALPHABET= ACGT, or the symbols line by line up to END ALPHABET, "
                f"found {short(lines[number - 1].strip())}."
            )
        letters = "".join(sorted(letter for line in block if "=" not in line for letter in _core(line)))
    if letters != "ACGT":
        raise FormatError(f"{path}, line {number}: expected DNA's alphabet, ACGT, found {short(letters)}.")


def _until(lines: Iterator[str], last: tuple[str, ...]) -> Iterator[str]:
    for line in lines:
        if line.startswith(last):
            return
        yield line


def _core(line: str) -> str:
    """Name the letters that a line of an alphabet defines: ``A "Adenine" CC0000 ~ T "Thymine" 008000`` has two."""
    if not line or line.startswith("#"):
        return ""
    one, _, other = line.partition("~")
    return one.strip()[:1] + other.strip()[:1]


def _rows(lines: list[str], at: int, path: Path) -> tuple[Floats, int]:
    """Read the rows of a matrix whose header is the line before ``at``; and where what follows begins."""
    head = dict(_SETTING.findall(lines[at - 1]))
    width = int(head["w"]) if _WIDTH.fullmatch(head.get("w", "")) else None
    if ("w" in head and not width) or head.get("alength", "4") != "4":
        raise FormatError(
            f"{path}, line {at}: expected a matrix of alength= 4 letters and w= 1 positions or more, found "
            f"{short(lines[at - 1].strip())}."
        )
    rows: list[list[float]] = []
    number = at
    while len(rows) != width:
        line = lines[at] if at < len(lines) else ""
        blank_below_header = not rows and not line.strip() and at < len(lines)
        if blank_below_header or line.lstrip().startswith("#"):  # a comment
            at += 1
            continue
        if _END.match(line):
            if width is not None or not rows:
                raise FormatError(
                    f"{path}, line {number}: the matrix is cut off: expected {width or 'some'} rows, found {len(rows)}."
                )
            break
        rows.append(_row(line, at + 1, path))
        at += 1
    table = np.array(rows)
    return table / table.sum(axis=1, keepdims=True), at


def _row(line: str, number: int, path: Path) -> list[float]:
    cells = line.split()
    row = [_number(cell) for cell in cells]
    values = [value for value in row if value is not None]
    if len(values) != 4 or len(row) != 4 or min(values) < 0 or not abs(sum(values) - 1) <= _ROUNDED:
        raise FormatError(
            f"{path}, line {number}: expected the probabilities of A, C, G and T, which sum to 1, found "
            f"{short(line.strip())}."
        )
    return values


def _number(cell: str) -> float | None:
    try:
        value = float(cell)
    except ValueError:
        return None
    return value if math.isfinite(value) and "_" not in cell else None


_PSEUDO = 0.01
"""Share of the uniform distribution mixed into every column, so that no log-odds is infinite."""
_DRAWS = 1000


@dataclass(frozen=True, eq=False)
class Motif:
    """A motif.

    Attributes:
        name: As in the file: ``CTCF``.
        identifier: Its accession: ``MA0139.2``.
        probabilities: ``[position, base]``, bases in the order ACGT; every row sums to 1.
    """

    name: str
    identifier: str
    probabilities: Floats

    def __len__(self) -> int:
        return len(self.probabilities)

    @cached_property
    def log_odds(self) -> Floats:
        """Log-odds against equally frequent bases, in bits, ``[position, base]``."""
        return np.asarray(np.log2(4 * ((1 - _PSEUDO) * self.probabilities + _PSEUDO / 4)))

    @cached_property
    def highest(self) -> float:
        """The highest score that letters can have, in bits."""
        return float(self.log_odds.max(axis=1).sum())

    def scores(self, bases: Int8) -> Floats:
        """Score every window on both strands, in bits.

        Args:
            bases: ``int8 [position]``, 0..3.

        Returns:
            ``[strand, window]``: as read, and on the other strand.
        """
        table = np.stack([self.log_odds, self.log_odds[::-1, ::-1]])
        if bases.size < len(self):
            return np.zeros((2, 0))
        windows = np.lib.stride_tricks.sliding_window_view(bases, len(self))
        return np.asarray(table[:, np.arange(len(self)), windows].sum(axis=-1))

    def hits(self, bases: Int8, match: float) -> Bool:
        """Tell where either strand scores at least ``match`` of the highest score, ``bool [window]``."""
        return np.asarray((self.scores(bases) >= match * self.highest).any(axis=0))

    def draw(self, generator: np.random.Generator, match: float) -> Int8:
        """Draw letters that score at least ``match`` of the highest score.

        Raises:
            SequenceError: The motif's own letters hardly ever score so high.
        """
        upto = np.cumsum(self.probabilities, axis=1)
        for _ in range(_DRAWS):
            letters = (generator.random(len(self))[:, None] >= upto[:, :3]).sum(axis=1).astype(np.int8)
            if self.scores(letters)[0, 0] >= match * self.highest:
                return np.asarray(letters, dtype=np.int8)
        raise SequenceError(
            f"Motif {self.name!r}: of {_DRAWS} drawn instances none scores {percent(match)} of the highest score. "
            f"Lower match (--match)."
        )


@dataclass(frozen=True)
class Occurrence:
    """A motif on a sequence.

    Attributes:
        sequence: Its name.
        start: First nucleotide, from 0.
        end: One past the last.
        motif: The motif's name.
        strand: ``+`` as read, ``-`` on the other strand; of a window that scores on both, the better one.
        score: In bits.
    """

    sequence: str
    start: int
    end: int
    motif: str
    strand: Literal["+", "-"]
    score: float


def occurrences(sequences: Sequences, motifs: Iterable[Motif], match: float) -> Iterator[Occurrence]:
    """Find motifs on sequences: windows without N that score at least ``match`` of a motif's highest score.

    Args:
        sequences: Where to look.
        motifs: What to look for.
        match: Share of the highest score, 0 to 1.

    Example:
        >>> ctcf = find_motif(read_motifs(), "CTCF")
        >>> best = Sequences.from_strings(["TT" + "".join("ACGT"[i] for i in ctcf.log_odds.argmax(axis=1))])
        >>> [(hit.start, hit.end - hit.start == len(ctcf), hit.strand) for hit in occurrences(best, [ctcf], 0.9)]
        [(2, True, '+')]
    """
    chosen_motifs = list(motifs)
    for i, name in enumerate(sequences.names):
        bases = sequences.bases[sequences.offsets[i] : sequences.offsets[i + 1]]
        unknown = np.concatenate([[0], np.cumsum(bases == N)])
        for motif in chosen_motifs:
            scores = motif.scores(np.where(bases == N, 0, bases).astype(np.int8))
            whole = unknown[len(motif) :] == unknown[: scores.shape[1]]
            for start in np.flatnonzero((scores.max(axis=0) >= match * motif.highest) & whole).tolist():
                other = bool(scores[1, start] > scores[0, start])
                score = round(float(scores[int(other), start]), 3)
                yield Occurrence(name, start, start + len(motif), motif.name, "-" if other else "+", score)


def bundled_motifs() -> Path:
    """Name the MEME file that comes with kmerit: twelve motifs of vertebrates. Source: jaspar2024."""
    return Path(str(files("kmerit") / "assets" / "motifs" / "jaspar2024_vertebrates.meme"))


def read_motifs(path: str | Path | None = None) -> dict[str, Motif]:
    """Read the motifs of a MEME file.

    Args:
        path: The file; by default the one that comes with kmerit.

    Returns:
        Motifs by identifier.

    Raises:
        FormatError: Not a MEME file of DNA motifs; see :func:`kmerit.io.motifs.parse_meme`.

    Example:
        >>> read_motifs()["MA0139.2"].name
        'CTCF'
    """
    path = bundled_motifs() if path is None else Path(path)
    return {each.identifier: Motif(each.name, each.identifier, each.rows) for each in parse_meme(read_text(path), path)}


def find_motif(motifs: Mapping[str, Motif], name: str) -> Motif:
    """Find a motif by its identifier or its name.

    Raises:
        UnknownName: With the nearest name.
        UsageError: Several motifs have the name.

    Example:
        >>> find_motif(read_motifs(), "CTCF").identifier
        'MA0139.2'
    """
    if name in motifs:
        return motifs[name]
    matches = [motif for motif in motifs.values() if motif.name == name]
    if not matches:
        raise UnknownName("motif", name, [*motifs, *(motif.name for motif in motifs.values())])
    if len(matches) > 1:
        identifiers = ", ".join(motif.identifier for motif in matches)
        raise UsageError(f"The name {name!r} is that of {len(matches)} motifs: {identifiers}. Give an identifier.")
    return matches[0]
