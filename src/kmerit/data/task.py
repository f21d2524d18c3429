"""What a task is: a labelled data set with its classes, filters, origin and checksums."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from kmerit.data.filters import Crop

GENOMIC_BENCHMARKS = "genomic_benchmarks (Gresova et al. 2023, doi:10.1186/s12863-023-01123-8), commit 605d853"
"""Where the official sets are published."""
PAPER_CROP = Crop(200, "left")
"""What the paper's models see, less three nucleotides: its limit of 200 tokens is 203 nt."""


@dataclass(frozen=True)
class Task:
    """A labelled data set that kmerit knows by name.

    Attributes:
        name: Also the name of its file in ``data/tasks/``.
        classes: Names of the classes; the index is the label. Never taken from the order of folders.
        description: What is to be told apart, in one sentence.
        source: Where the sequences come from, and who published them.
        licence: Terms of the data.
        assembly: The genome that coordinates refer to.
        crop: The part of each sequence that models see unless told otherwise.
        min_length: Fewest nucleotides, before the crop.
        drop_n: Whether sequences with an N are dropped.
        rows: Sequences per published split and class, ``{"train": (background, regulatory)}``; checked when read.
        checksums: sha256 of the files that are read: ``train.parquet`` and ``test.parquet`` of a packed task,
            ``train/positive.csv.gz`` and so on of official intervals, as far as they are known.
        hub: Name of the data set on the Hugging Face hub; None for a packed task.
        near: Loci of one group lie at most this many nucleotides apart; see :mod:`kmerit.data.groups`.
    """

    name: str
    classes: tuple[str, ...]
    description: str
    source: str
    licence: str
    assembly: str
    rows: Mapping[str, tuple[int, ...]]
    crop: Crop | None = PAPER_CROP
    min_length: int = 200
    drop_n: bool = True
    checksums: Mapping[str, str] = field(default_factory=dict)
    hub: str | None = None
    near: int = 1000

    @property
    def packed(self) -> bool:
        """Return whether the sequences come with kmerit."""
        return self.hub is None
