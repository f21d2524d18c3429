"""Features of DNA as tracks: their definition, their registry, and what those of gene annotation share."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np

from kmerit.biology import features as package
from kmerit.config import Several, Table, discover
from kmerit.errors import ConfigError, SequenceError, UnknownName, short
from kmerit.io.annotation import Transcript, read_annotation
from kmerit.io.bed import are_intervals, read_bed
from kmerit.io.tracks import mask_of, read_mask
from kmerit.sequences import Floats, Locus, Sequences


class Feature(Table):
    """A feature: its fields are its options, and it makes one or several tracks of windows.

    A feature of your own is a class like this one with its own ``read``, and a file of its own: kmerit finds it as
    ``FEATURE`` in ``biology/features``, or in the entry-point group ``kmerit.features`` of another package.

    Attributes:
        name: Its registered name, which is the name of its file.
        summary: One line for people.
        mask: Whether its tracks are 0 and 1; else they are values.
        itself: Which of ``gc``, ``position`` and ``kmers`` it is itself, so that it is not adjusted for them.
        label: What it is called in results; its name by default.

    Example:
        >>> class Purines(Feature):
        ...     name = "purines"
        ...     summary = "A or G"
        ...     def read(self, windows):
        ...         return np.isin(windows.padded()[0], [0, 2])
        >>> Purines().tracks(Sequences.from_strings(["ACGT"]))
        {'purines': array([[1., 0., 1., 0.]])}
    """

    name: ClassVar[str]
    summary: ClassVar[str]
    mask: ClassVar[bool] = True
    itself: ClassVar[frozenset[str]] = frozenset()
    label: str | None = None

    @abstractmethod
    def read(self, windows: Sequences) -> Any:
        """Return the values of each nucleotide ``[window, position]``, NaN where missing; or several by their names."""

    @property
    def title(self) -> str:
        """What it is called in results."""
        return self.label or self.name

    def tracks(self, windows: Sequences) -> dict[str, Floats]:
        """Return its tracks of windows by name, ``[window, position]`` each, NaN where missing.

        Raises:
            ConfigError: What it read does not fit the windows, or a mask has other values than 0 and 1.
        """
        read = self.read(windows)
        shape = (len(windows), int(windows.lengths.max()))
        tracks = {}
        for name, values in (read if isinstance(read, Mapping) else {self.title: read}).items():
            track = np.asarray(values, dtype=np.float64)
            if track.shape != shape:
                raise ConfigError(f"{name}: expected values {list(shape)} [window, position], got {list(track.shape)}.")
            if np.isinf(track).any() or (self.mask and not np.isin(track[~np.isnan(track)], (0, 1)).all()):
                raise ConfigError(f"{name}: expected {'0, 1' if self.mask else 'numbers'} or NaN (missing).")
            tracks[name] = track
        return tracks

    def intervals(self) -> list[Locus]:
        """List its intervals along the genome, where windows can be drawn around it.

        Raises:
            ConfigError: It has none.
        """
        raise ConfigError(f"{self.title}: has no intervals of its own around which windows could be drawn.")

    def files(self) -> list[str]:
        """Name the files that it reads: its options ``path``, ``genome`` and ``meme``."""
        values = (getattr(self, key, None) for key in ("path", "genome", "meme"))
        return [value for value in values if value is not None]


@cache
def features() -> dict[str, type[Feature]]:
    """List the features: one file each in ``biology/features``, and those that other packages register.

    Example:
        >>> features()["exons"].summary
        'exons of any transcript'
    """
    return discover(package, "FEATURE", "kmerit.features")


def parse_features(tables: Sequence[Mapping[str, Any] | str]) -> list[Feature]:
    """Make features of the tables of a config, each with its registered name under ``feature``, or of names alone.

    Raises:
        ConfigError: No name, or an option that the feature does not have.
        UnknownName: No such feature.

    Example:
        >>> parse_features([{"feature": "gc", "width": 101}])
        [Gc(label=None, width=101)]
    """
    configured = []
    for number, entry in enumerate(tables):
        table = {"feature": entry} if isinstance(entry, str) else entry
        if not isinstance(table, Mapping):
            raise ConfigError(f"features[{number}]: expected a table, a name or a Feature, got {short(table)}.")
        name = table.get("feature")
        if not isinstance(name, str):
            raise ConfigError(f"features[{number}]: expected the name of a feature under 'feature', got {name!r}.")
        if name not in features():
            raise UnknownName("feature", name, features())
        options = {key: value for key, value in table.items() if key != "feature"}
        configured.append(features()[name].parse(options, f"features[{number}]"))
    return configured


def loci_of_windows(windows: Sequences, feature: str) -> list[Locus]:
    """Return the locus of every window.

    Raises:
        SequenceError: One is not known.
    """
    loci = [locus for locus in windows.loci or () if locus is not None]
    if len(loci) < len(windows):
        raise SequenceError(f"{feature}: expected a locus for each window, since it is read along the genome.")
    return loci


class Listed(Feature):
    """A mask made of the intervals of a BED file, or of the lower-case letters of a genome.

    Attributes:
        path: BED or soft-masked FASTA; chromosomes that the file does not have are missing.
        named: Only intervals with one of these names (column 4); all by default.
    """

    path: str
    named: Several[str] = ()

    def read(self, windows: Sequences) -> Floats:
        """Look up windows."""
        return read_mask(self.path, self.named).over(loci_of_windows(windows, self.title))

    def intervals(self) -> list[Locus]:
        """List those of a BED file."""
        if not are_intervals(self.path):
            return super().intervals()
        read = read_bed(Path(self.path), summits=False)
        return [each for each, name in zip(read.loci, read.names, strict=True) if not self.named or name in self.named]


class Annotated(Feature):
    """A mask made of gene annotation.

    Attributes:
        path: GTF, GFF3 or BED12.
        strand: ``both``, or only transcripts on the ``same`` strand as the window, or on the ``other``.
    """

    path: str
    strand: Literal["both", "same", "other"] = "both"

    @abstractmethod
    def of_transcript(self, transcript: Transcript) -> Iterable[tuple[int, int]]:
        """List its intervals of one transcript, along the chromosome; parts before 0 are cut off."""

    def read(self, windows: Sequences) -> Floats:
        """Look up windows; chromosomes without any transcript are missing."""
        loci = loci_of_windows(windows, self.title)
        if self.strand == "both":
            return self._over(loci, "+-")
        out = np.empty((len(loci), loci[0].end - loci[0].start))
        for own, other in ("+-", "-+"):
            rows = [i for i, locus in enumerate(loci) if locus.strand == own]
            if rows:
                out[rows] = self._over([loci[i] for i in rows], own if self.strand == "same" else other)
        return out

    def _over(self, loci: Sequence[Locus], strands: str) -> Floats:
        transcripts = read_annotation(self.path)
        return mask_of(self._places(strands), {each.locus.chrom for each in transcripts}).over(loci)

    def _places(self, strands: str) -> Iterator[Locus]:
        for each in read_annotation(self.path):
            if each.locus.strand in strands:
                for start, end in self.of_transcript(each):
                    if end > max(start, 0):
                        yield Locus(each.locus.chrom, max(start, 0), end, each.locus.strand)

    def intervals(self) -> list[Locus]:
        """List its intervals along the genome."""
        return list(dict.fromkeys(self._places("+-")))


def around(place: int, before: int, after: int, strand: str) -> tuple[int, int]:
    """Return the interval from ``before`` nt upstream of a border to ``after`` nt downstream of it.

    Args:
        place: The border lies before this nucleotide.
        before: Nucleotides upstream, on the strand.
        after: Nucleotides downstream.
        strand: ``+`` or ``-``.

    Example:
        >>> around(100, 3, 6, "+"), around(100, 3, 6, "-")
        ((97, 106), (94, 103))
    """
    return (place - before, place + after) if strand == "+" else (place - after, place + before)
