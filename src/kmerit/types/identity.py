"""Which sequences something belongs to: by their letters, not by their names alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from kmerit.errors import SequenceError
from kmerit.types.arrays import Int64
from kmerit.types.sequences import Locus, Sequences, Window


@dataclass(frozen=True, eq=False)
class Identity:
    """The sequences that scores belong to.

    Attributes:
        names: One per sequence.
        digests: sha256 of each one's letters.
        windows: Which part of what was read each one is.
        loci: ``Locus`` or None per sequence.

    Example:
        >>> left = Sequences.from_strings(["ACGT", "TTTA"], names=["a", "b"])
        >>> Identity.of(left).rows_of(left.take([1, 0]), "x.parquet").tolist()
        [1, 0]
        >>> Identity.of(left).rows_of(Sequences.from_strings(["ACGT", "TTTT"], names=["a", "b"]), "x.parquet")
        Traceback (most recent call last):
        kmerit.errors.SequenceError: x.parquet has scores of other letters than these of 'b'. ...
    """

    names: tuple[str, ...]
    digests: tuple[str, ...]
    windows: tuple[Window, ...]
    loci: tuple[Locus | None, ...]

    def __repr__(self) -> str:
        return f"<Identity of {len(self.names)} sequences>"

    @classmethod
    def of(cls, sequences: Sequences) -> Identity:
        """Identify sequences."""
        windows = sequences.windows or tuple(Window(0, n, n) for n in sequences.lengths.tolist())
        return cls(sequences.names, sequences.digests, windows, sequences.loci or (None,) * len(sequences))

    @classmethod
    def joined(cls, parts: Sequence[Identity]) -> Identity:
        """Concatenate the identities of consecutive sequences."""
        return cls(
            *(
                tuple(value for part in parts for value in getattr(part, field))
                for field in ("names", "digests", "windows", "loci")
            )
        )

    def take(self, rows: Int64) -> Identity:
        """Select by index, in the given order."""
        names, digests, windows, loci = (
            tuple(values[i] for i in rows) for values in (self.names, self.digests, self.windows, self.loci)
        )
        return Identity(names, digests, windows, loci)

    def rows_of(self, sequences: Sequences, what: str) -> Int64:
        """Find the rows of sequences among these, in any order: equal names, letters and loci.

        Args:
            sequences: What scores are asked for.
            what: Where these stand, for an error.

        Returns:
            ``int64 [sequence]``, the row of each.

        Raises:
            SequenceError: Another number of sequences, other names, letters or places on the genome.
        """
        identity = Identity.of(sequences)
        if len(self.names) != len(identity.names):
            raise SequenceError(
                f"{what} has scores of {len(self.names)} sequences; expected those of {len(identity.names)}. "
                f"Attribute these sequences."
            )
        at = {name: row for row, name in enumerate(self.names)}
        if unknown := set(identity.names) - set(at):
            i = next(i for i, name in enumerate(identity.names) if name in unknown)
            raise SequenceError(
                f"{what} has scores of {self.names[i]!r} where {identity.names[i]!r} is expected. "
                f"Attribute these very sequences."
            )
        rows = np.array([at[name] for name in identity.names], dtype=np.int64)
        for i, row in enumerate(rows.tolist()):
            if self.digests[row] != identity.digests[i]:
                raise self._other_letters(row, identity, i, what)
            theirs, ours = self.loci[row], identity.loci[i]
            if theirs is not None and ours is not None and theirs != ours:
                raise SequenceError(
                    f"{what} has scores of {identity.names[i]!r} at {theirs}; these letters are at {ours}. "
                    f"Give the coordinates that were attributed, or attribute these sequences."
                )
        return rows

    def _other_letters(self, row: int, identity: Identity, i: int, what: str) -> SequenceError:
        message = f"{what} has scores of other letters than these of {identity.names[i]!r}"
        if self.windows[row] != identity.windows[i]:
            return SequenceError(
                f"{message}: they were made with {self.windows[row]}, these are {identity.windows[i]}. "
                f"Crop as then, or attribute these sequences."
            )
        if identity.digests[i] in self.digests:
            message += f"; those stand under {self.names[self.digests.index(identity.digests[i])]!r} there"
        return SequenceError(f"{message}. Give the sequences that were attributed, or attribute these.")
