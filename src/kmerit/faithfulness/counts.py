"""How many nucleotides a trial may be asked to substitute."""

from __future__ import annotations

from collections.abc import Sequence

from kmerit.errors import CountError


def check_counts(counts: Sequence[int | str], shortest: int, name: str, *, key: str = "counts") -> None:
    """Refuse counts that are negative, not numbers, or above the shortest sequence's length.

    Args:
        counts: Whole numbers, or ``all``.
        shortest: Length of the shortest sequence, nt.
        name: Of that sequence.
        key: What the counts are called where they were given.

    Raises:
        CountError: With the sequence that is too short.
    """
    for count in counts:
        if count == "all":
            continue
        if not isinstance(count, int) or isinstance(count, bool) or count < 0:
            raise CountError(f"{key}: expected whole numbers from 0, or 'all', got {count!r}.")
        if count > shortest:
            raise CountError(
                f"{key}: cannot substitute {count} nucleotides in {name!r}, which has {shortest}. "
                f"Lower it, or use 'all'."
            )
