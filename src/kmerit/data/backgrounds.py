"""Backgrounds to plant in: windows of real sequences, unchanged or shuffled."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from kmerit.data.groups import in_validation
from kmerit.data.readers import read_sequences
from kmerit.data.registry import SPLITS, load_task, tasks
from kmerit.errors import SequenceError
from kmerit.sequence import dinucleotide_shuffle, kmers
from kmerit.store import sha256
from kmerit.types import Floats, Int8, N, Sequences


@dataclass(frozen=True, eq=False)
class Background:
    """Source of windows.

    Attributes:
        sources: Sequences without N, of at least the windows' length.
        length: Of the windows, in nucleotides.
        shuffled: Whether their dinucleotides are shuffled.
    """

    sources: Sequences
    length: int
    shuffled: bool

    def draw(self, generator: np.random.Generator) -> Int8:
        """Draw a window, ``int8 [position]``."""
        row = int(generator.integers(len(self.sources)))
        start = int(self.sources.offsets[row] + generator.integers(self.sources.lengths[row] - self.length + 1))
        window = self.sources.bases[start : start + self.length]
        return dinucleotide_shuffle(window, generator) if self.shuffled else window.copy()

    def frequencies(self) -> tuple[Floats, Floats]:
        """Count letters and dinucleotides of all sources.

        Returns:
            Shares ``[base]``, and of each letter the shares of the next one, ``[base, next]``. One is added to each
            count.
        """
        singles = np.bincount(self.sources.bases, minlength=4)[:4] + 1.0
        pairs = np.ones((4, 4))
        for bases in self.sources:
            pairs += np.bincount(kmers(bases, 2), minlength=16).reshape(4, 4)
        return singles / singles.sum(), pairs / pairs.sum(axis=1, keepdims=True)


def read_backgrounds(source: str, length: int, shuffled: bool) -> dict[str, Background]:
    """Read sources of windows, separate for each split, so that windows of different splits never overlap.

    Args:
        source: Name of a task, whose class 0 is taken from its own splits; or a file of sequences, of which a tenth
            each goes to validation and test by the hash of their names.
        length: Of the windows, in nucleotides.
        shuffled: Whether their dinucleotides are shuffled.

    Returns:
        By split: ``train``, ``validation``, ``test``.

    Raises:
        SequenceError: No sequence of a split is long enough and without N.
        FormatError: The file cannot be read.

    Example:
        >>> backgrounds = read_backgrounds("human_enhancers_dedup", 100, shuffled=False)
        >>> backgrounds["test"].draw(np.random.default_rng(0)).shape
        (100,)
    """
    backgrounds = {}
    for split, sequences in _by_split(source).items():
        usable = [i for i, bases in enumerate(sequences) if bases.size >= length and not (bases == N).any()]
        if not usable:
            raise SequenceError(
                f"{source}, {split}: none of {len(sequences)} sequences has {length} nt without N to plant in. "
                f"Provide more or longer ones (--source), or a smaller --length."
            )
        backgrounds[split] = Background(sequences.take(usable), length, shuffled)
    return backgrounds


def source_digest(source: str) -> str:
    """Identify a source: a task by its checksums, a file by its sha256."""
    return source if source in tasks() else sha256(Path(source))


def _by_split(source: str) -> dict[str, Sequences]:
    if source in tasks():
        parts = {split: load_task(source, split) for split in SPLITS}
        return {split: part.take(np.asarray(part.labels) == 0) for split, part in parts.items()}
    whole = read_sequences(source)
    test = np.array([in_validation(f"test {name}") for name in whole.names], dtype=np.bool_)
    validation = np.array([in_validation(f"validation {name}") for name in whole.names], dtype=np.bool_) & ~test
    return {"train": whole.take(~test & ~validation), "validation": whole.take(validation), "test": whole.take(test)}
