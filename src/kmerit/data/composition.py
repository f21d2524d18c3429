"""Planted truth without a position: two classes that differ in letter or dinucleotide frequencies."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from kmerit.data.backgrounds import Background
from kmerit.draws import generator
from kmerit.types import Floats, Int8


@dataclass(frozen=True, eq=False)
class Composition:
    """Two first-order Markov chains over the letters.

    Attributes:
        first: Per class the shares of the first letter, ``[class, base]``; of dinucleotides alike in both.
        following: Per class the shares of the next letter, ``[class, base, next]``; where the letters are
            independent, all rows of a class are alike.
        pairs: Whether the shares depend on the letter before.
    """

    first: Floats
    following: Floats
    pairs: bool

    @classmethod
    def tilted(cls, background: Background, unit: str, strength: float, seed: int) -> Composition:
        """Make class 0 of the background, and class 1 of it tilted by random log-odds.

        Args:
            background: Whose frequencies class 0 has.
            unit: ``"base"`` or ``"dinucleotide"``.
            strength: Standard deviation of the tilt in class 0, in nats.
            seed: Of the tilt.
        """
        singles, conditional = background.frequencies()
        pairs = unit == "dinucleotide"
        zero = conditional if pairs else np.broadcast_to(singles, (4, 4))
        tilt = generator(seed, "tilt", 0, unit).normal(size=(4, 4) if pairs else (1, 4))
        tilt = np.broadcast_to(tilt, (4, 4))
        mean = (zero * tilt).sum(axis=1, keepdims=True)
        spread = np.sqrt((singles[:, None] * zero * (tilt - mean) ** 2).sum())
        one = zero * np.exp(tilt / spread * strength)
        one = one / one.sum(axis=1, keepdims=True)
        first = np.stack([singles, singles if pairs else one[0]])
        return cls(first, np.stack([zero, one]), pairs)

    @property
    def table(self) -> Floats:
        """Log-odds of class 1 against class 0 for a letter after another, in nats, ``[base, next]``."""
        return np.asarray(np.log(self.following[1] / self.following[0]))

    def log_odds(self, bases: Int8) -> Floats:
        """Return what each nucleotide adds to the log-odds of class 1, in nats.

        A dinucleotide's log-odds is shared by its two letters. Over a sequence they sum to its log-likelihood ratio.

        Args:
            bases: ``[sequence, position]``.
        """
        following = self.table[bases[:, :-1], bases[:, 1:]]
        shares = np.zeros(bases.shape)
        shares[:, 0] = np.log(self.first[1] / self.first[0])[bases[:, 0]]
        shares[:, 1:] = following / 2 if self.pairs else following
        if self.pairs:
            shares[:, :-1] += following / 2
        return shares

    def draw(self, label: int, length: int, rng: np.random.Generator) -> Int8:
        """Draw a sequence of a class, ``int8 [position]``."""
        upto = np.cumsum(self.following[label], axis=1)[:, :3]
        uniform = rng.random(length)
        bases = [int((uniform[0] >= np.cumsum(self.first[label])[:3]).sum())]
        for u in uniform[1:].tolist():
            bases.append(int((u >= upto[bases[-1]]).sum()))
        return np.array(bases, dtype=np.int8)

    def draw_rows(self, names: Sequence[str], length: int, seed: int) -> tuple[Int8, Int8, Int8]:
        """Draw sequences of class 0 and 1, alternating.

        Returns:
            The sequences; for class 1 a sequence of class 0 that stands for what was there before, and another that
            stands for the scrubbed one; for class 0 the sequence itself. All ``[sequence, position]``.
        """
        rows = []
        for i, name in enumerate(names):
            rng = generator(seed, "composition", 0, name)
            own = self.draw(i % 2, length, rng)
            rows.append((own, self.draw(0, length, rng), self.draw(0, length, rng)) if i % 2 else (own, own, own))
        bases, background, scrubbed = (np.stack(part) for part in zip(*rows, strict=True))
        return bases, background, scrubbed
