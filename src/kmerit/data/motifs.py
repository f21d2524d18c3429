"""Motifs as probabilities per position: read from MEME files, looked for, and drawn."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from importlib.resources import files
from pathlib import Path
from typing import Literal

import numpy as np

from kmerit.data.files import read_text
from kmerit.data.meme import parse_meme
from kmerit.errors import SequenceError, UnknownName, UsageError
from kmerit.types import Bool, Floats, Int8, N, Sequences

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
            f"Motif {self.name!r}: of {_DRAWS} drawn instances none scores {match:.0%} of the highest score. "
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
        FormatError: Not a MEME file of DNA motifs; see :func:`kmerit.data.meme.parse_meme`.

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
