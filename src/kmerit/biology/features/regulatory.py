"""Regulatory elements, or any other intervals of a BED file."""

from __future__ import annotations

from kmerit.biology.feature import Listed


class Regulatory(Listed):
    """Regulatory elements, or any other intervals of a BED file.

    Attributes:
        path: BED; chromosomes that the file does not have are missing.
        named: Only intervals with one of these names (column 4); all by default.
    """

    name = "regulatory"
    summary = "intervals of a BED file, as of a regulatory build"


FEATURE = Regulatory
