"""DNABERT's own files: sequences as overlapping k-mers with spaces between."""

from __future__ import annotations

from collections.abc import Sequence

from kmerit.data.letters import Where
from kmerit.errors import SequenceError, short


def join_kmers(strings: Sequence[str], where: Where) -> tuple[list[str], int] | None:
    """Join overlapping k-mers to the letters that they were cut from.

    Args:
        strings: As files have them: ``"ACG CGT GTT"``.
        where: The place of each.

    Returns:
        The letters, and k; None where no string has a space between its letters.

    Raises:
        SequenceError: Words of several lengths, or one that does not follow from the one before.

    Example:
        >>> join_kmers(["ACG CGT GTT", "TTA TAC"], str)
        (['ACGTT', 'TTAC'], 3)
    """
    words = [string.split() for string in strings]
    first = next((row for row, kmers in enumerate(words) if len(kmers) > 1), None)
    if first is None:
        return None
    k = len(words[first][0])
    letters = []
    for row, kmers in enumerate(words):
        if other := next((word for word in kmers if len(word) != k), None):
            raise SequenceError(
                f"{where(row)}: expected overlapping {k}-mers with spaces between, found {short(other)}. Write the "
                f"letters without spaces, or k-mers of one k throughout."
            )
        for i in range(1, len(kmers)):
            if kmers[i - 1][1:] != kmers[i][:-1]:
                raise SequenceError(
                    f"{where(row)}: the {k}-mers do not overlap: {kmers[i - 1]!r} is not followed by {kmers[i]!r} "
                    f"(word {i + 1}). Write each {k}-mer one letter further than the one before."
                )
        letters.append("".join([*kmers[:1], *(word[-1] for word in kmers[1:])]))
    return letters, k
