"""Where a word of a few letters occurs."""

from __future__ import annotations

import numpy as np

from kmerit.biology.feature import Feature
from kmerit.errors import ConfigError
from kmerit.sequences import Floats, N, Sequences, encode, reverse_complement


class Kmer(Feature):
    """Nucleotides inside an occurrence of a word.

    Attributes:
        word: Letters A, C, G, T.
        both_strands: Whether its reverse complement counts, too.
    """

    name = "kmer"
    summary = "occurrences of a word"
    word: str
    both_strands: bool = False

    @property
    def title(self) -> str:
        """What it is called in results."""
        return self.label or f"kmer {self.word}"

    def read(self, windows: Sequences) -> Floats:
        """Find it."""
        word = encode(self.word, "word")
        if not word.size or (word == N).any():
            raise ConfigError(f"{self.title}: expected letters A, C, G, T, got {self.word!r}.")
        bases = windows.padded()[0]
        track = np.zeros(bases.shape)
        for letters in (word, reverse_complement(word))[: 1 + self.both_strands]:
            places = bases.shape[1] - word.size + 1
            matches = np.ones((len(bases), max(places, 0)), dtype=np.bool_)
            for i, letter in enumerate(letters):
                matches &= bases[:, i : i + matches.shape[1]] == letter
            for row, start in np.argwhere(matches):
                track[row, start : start + word.size] = 1
        return track


FEATURE = Kmer
