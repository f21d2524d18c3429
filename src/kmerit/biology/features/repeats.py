"""Repeats: lower-case letters of a soft-masked genome, or a BED file."""

from __future__ import annotations

from kmerit.biology.feature import Listed


class Repeats(Listed):
    """Repeats: lower-case letters of a soft-masked genome, or a BED file.

    Attributes:
        path: BED or soft-masked FASTA; chromosomes that the file does not have are missing.
        named: Only intervals with one of these names (column 4); all by default.
    """

    name = "repeats"
    summary = "repeats: soft-masked letters, or a BED file"


FEATURE = Repeats
