"""Flanks: the letters behind each sequence on its genome, which move in where letters are taken out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256

import numpy as np

from kmerit.errors import FormatError, SequenceError, short
from kmerit.io.crops import crop_locus
from kmerit.io.genome import Genome
from kmerit.sequences import Float, Int8, N, Sequences, spell_locus


@dataclass(frozen=True, eq=False)
class Flanks:
    """The flank of each sequence, as long as it.

    Attributes:
        letters: By the name of a sequence, ``int8 [position]``: what follows it on its own strand.
    """

    letters: Mapping[str, Int8]

    @classmethod
    def of(cls, path: str, sequences: Sequences) -> Flanks:
        """Read them from a genome.

        Args:
            path: FASTA of the genome, or of pieces of it.
            sequences: With loci.

        Raises:
            SequenceError: A sequence without a locus, or whose flank is not whole and without N in the genome, as at a
                chromosome's end.
            FormatError: No FASTA, or one with other letters where a sequence lies.
        """
        genome = Genome.open(path)
        letters = {}
        for i, (name, bases) in enumerate(zip(sequences.names, sequences.rows(), strict=True)):
            locus = None if sequences.loci is None else sequences.loci[i]
            if locus is None:
                raise SequenceError(
                    f"delete({path}): expected a locus for every sequence, {short(name)} has none. Give sequences with "
                    f"coordinates, or use delete, which draws the letters."
                )
            both = crop_locus(locus, 0, 2 * bases.size)
            inside = both.start >= 0 and genome.find([both])[0] >= 0
            whole = next(iter(genome.cut([both], [name], np.zeros(1, dtype=np.int64)).rows())) if inside else bases[:0]
            if inside and not np.array_equal(whole[: bases.size], bases):
                raise FormatError(
                    f"{path}: at {spell_locus(locus)} expected the letters of {short(name)}, got others: another "
                    f"assembly? Give the genome that the coordinates refer to."
                )
            flank = whole[bases.size :]
            if not inside or (flank == N).any():
                raise SequenceError(
                    f"delete({path}): expected {bases.size} nt without N behind {short(name)} ({spell_locus(locus)}); "
                    f"the genome has fewer. Leave it out, or use delete, which draws the letters."
                )
            letters[name] = flank
        return cls(letters)

    @property
    def digest(self) -> str:
        """Of all flanks, sha256."""
        digest = sha256()
        for name, flank in self.letters.items():
            digest.update(name.encode())
            digest.update(flank.tobytes())
        return digest.hexdigest()

    def answers(self, sequences: Sequences) -> list[Float]:
        """Return each sequence's flank as the share of each base, ``[position, base]``."""
        return [np.eye(4)[self.letters[name]] for name in sequences.names]
