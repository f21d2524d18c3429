"""Scores for other programs: NPZ for TF-MoDISco, and BED, bedGraph and bigWig for genome browsers."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple, get_args

import numpy as np

from kmerit.data.files import open_to_write, read_text
from kmerit.data.sources import SequencesLike, as_sequences
from kmerit.errors import DataError, FormatError, MissingExtra, SequenceError, UsageError, Withheld, short
from kmerit.sequence import one_hot
from kmerit.store import atomic_write, put_together, staged
from kmerit.types import Attribution, ExportFormat, Float, Locus, N, Sequences

_LENGTH = re.compile(r"[0-9]{1,18}")
_NPZ = ("ohe.npz", "shap.npz")


class Track(NamedTuple):
    """The scores of one sequence along the plus strand of its chromosome."""

    name: str
    locus: Locus
    values: Float


def export(
    attribution: Attribution,
    sequences: SequencesLike,
    out: str | os.PathLike[str],
    to: ExportFormat,
    *,
    chrom_sizes: str | os.PathLike[str] | None = None,
) -> Path:
    """Write one method's scores for another program.

    * ``npz``: a folder with ``ohe.npz`` and ``shap.npz``, which appear both or not at all, arrays
      ``[sequence, 4, position]`` in the order ACGT, for ``modisco motifs -s ohe.npz -a shap.npz``. Hypothetical
      contributions where the method knows substitutions (``ism``, ``ism_first_order``): their effects, centred at each
      position; else the score at the base that is there.
    * ``bed``: one row a nucleotide: the sequence's name, ``|score|`` scaled to 0..1000 over the file, the strand, and
      the score itself in a seventh column. Sequences may overlap.
    * ``bedgraph``, ``bigwig``: the score of each nucleotide on its chromosome. Sequences may not overlap.

    A sequence of the minus strand runs backwards along the genome. A nucleotide that no token covers has no row.
    Scores are found by their letters: reordered sequences get their own, other letters are refused.

    Args:
        attribution: Scores of nucleotides.
        sequences: Those explained, with loci for all but ``npz``.
        out: The file, or for ``npz`` the folder.
        to: The format.
        chrom_sizes: For ``bigwig``: a file with name and length of each chromosome (a ``.fai`` will do). By default a
            chromosome ends where the last sequence on it ends.

    Returns:
        ``out``.

    Raises:
        UsageError: An unknown format, or scores of tokens.
        SequenceError: Scores of other letters or loci; sequences without loci; for ``npz``, of different lengths, or
            with an N.
        DataError: For ``bedgraph`` and ``bigwig``: two sequences overlap.
        FormatError: ``chrom_sizes`` lacks a chromosome, or has it too short.
        Withheld: The scores were withheld; for ``npz``, those of any sequence.
        MissingExtra: ``bigwig`` without pyBigWig.

    Example:
        >>> import tempfile
        >>> import kmerit as km
        >>> sequences = km.Sequences.from_strings(["TATAAAGGCGCGCC"], loci=[km.Locus("chr1", 100, 114, "-")])
        >>> scores = km.attribute(km.load_model("bundled:promoter"), sequences, ["random"])["random"]
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     km.export(scores, sequences, f"{folder}/scores.bedgraph", "bedgraph").read_text().count("chr1")
        14
    """
    if to not in get_args(ExportFormat):
        raise UsageError(f"to: expected one of {', '.join(get_args(ExportFormat))}, got {to!r}.")
    if attribution.usable().level != "nucleotide":
        raise UsageError(f"Expected scores of nucleotides, got {attribution.level}s. Attribute at level 'nucleotide'.")
    sequences = as_sequences(sequences)
    attribution = attribution.of(sequences)
    path = Path(out)
    if to == "npz":
        return _npz(attribution, sequences, path)
    tracks = list(_tracks(attribution, sequences))
    if to == "bed":
        return _lines(path, _bed(tracks))
    tracks.sort(key=lambda track: track.locus)
    _refuse_overlaps(tracks)
    return _lines(path, _bedgraph(tracks)) if to == "bedgraph" else _bigwig(tracks, path, chrom_sizes)


def _npz(attribution: Attribution, sequences: Sequences, folder: Path) -> Path:
    lengths = sequences.lengths
    if (lengths != lengths[0]).any():
        raise SequenceError(
            f"TF-MoDISco reads sequences of one length; these have {lengths.min()} to {lengths.max()} nt. "
            f"Crop them before attributing (--crop {lengths.min()} --min-length {lengths.min()})."
        )
    if (sequences.bases == N).any():
        raise SequenceError("TF-MoDISco reads A, C, G and T; a sequence has an N. Drop such sequences with --drop-n.")
    if attribution.withheld is not None:
        name = sequences.names[int(np.argmax(attribution.withheld_rows))]
        raise Withheld(
            f"{attribution.method} was withheld: {attribution.withheld} (first: {name!r}); an array "
            f"has no place for that. Leave those sequences out, or attribute with more samples."
        )
    bases, _ = sequences.padded()
    encoded = one_hot(bases)
    if attribution.substitutions is not None:
        effects = attribution.substitutions.transpose(0, 2, 1)
        contributions = (effects - effects.mean(1, keepdims=True))[..., : lengths[0]]
    else:
        contributions = encoded * np.nan_to_num(attribution.scores)[:, None, : lengths[0]]
    with staged(folder, _NPZ.__contains__) as place:
        for name, array in zip(_NPZ, (encoded, contributions.astype(np.float32)), strict=True):
            with atomic_write(place / name) as temporary:
                np.savez_compressed(temporary, array)
        put_together(place, folder, _NPZ, _NPZ[-1])
    return folder


def _tracks(attribution: Attribution, sequences: Sequences) -> Iterator[Track]:
    loci = sequences.loci or (None,) * len(sequences)
    for name, locus, length, scores in zip(sequences.names, loci, sequences.lengths, attribution.scores, strict=True):
        if locus is None:
            raise SequenceError(
                f"{name!r} has no coordinates. Give them as columns chrom, start, end, strand, or in FASTA as "
                f"locus=chr1:100-300:+ behind the name."
            )
        yield Track(name, locus, scores[:length][:: -1 if locus.strand == "-" else 1])


def _refuse_overlaps(tracks: list[Track]) -> None:
    """A track has one value a nucleotide, and a mean over strands or classes would be nobody's score."""
    for before, after in pairwise(tracks):
        if before.locus.chrom == after.locus.chrom and after.locus.start < before.locus.end:
            raise DataError(
                f"{before.name!r} and {after.name!r} overlap on {after.locus.chrom}; a bedGraph or bigWig has one "
                f"value a nucleotide. Export them apart, or write BED."
            )


def _positions(track: Track) -> Iterator[tuple[int, float]]:
    for offset in np.flatnonzero(np.isfinite(track.values)):
        yield track.locus.start + int(offset), float(track.values[offset])


def _bed(tracks: list[Track]) -> Iterator[str]:
    top = max((float(np.nanmax(np.abs(track.values), initial=0)) for track in tracks), default=0.0) or 1.0
    for track in tracks:
        chrom, strand = track.locus.chrom, track.locus.strand
        if "\t" in track.name or "\n" in track.name:
            raise SequenceError(f"{track.name!r} has a tab or a line end in it, which BED cannot hold. Rename it.")
        for at, value in _positions(track):
            yield f"{chrom}\t{at}\t{at + 1}\t{track.name}\t{round(1000 * abs(value) / top)}\t{strand}\t{value:.9g}\n"


def _bedgraph(tracks: list[Track]) -> Iterator[str]:
    for track in tracks:
        for at, value in _positions(track):
            yield f"{track.locus.chrom}\t{at}\t{at + 1}\t{value:.9g}\n"


def _lines(path: Path, lines: Iterator[str]) -> Path:
    with atomic_write(path) as temporary, open_to_write(temporary) as file:
        for line in lines:
            file.write(line.encode())
    return path


def _bigwig(tracks: list[Track], path: Path, chrom_sizes: str | os.PathLike[str] | None) -> Path:
    try:
        import pyBigWig
    except ImportError:
        raise MissingExtra("pyBigWig", "genome", "Writing bigWig") from None
    sizes = _ends(tracks)
    if chrom_sizes is not None:
        sizes = _read_sizes(Path(chrom_sizes), sizes)
    if (far := next((chrom for chrom, size in sizes.items() if size >= 2**32), None)) is not None:
        raise FormatError(
            f"{path}: {short(far)} has {sizes[far]:,} nt; a bigWig holds less than 2**32. Write bedGraph."
        )
    with atomic_write(path) as temporary:
        file = pyBigWig.open(str(temporary), "w")
        try:
            file.addHeader(sorted(sizes.items()))
            for track in tracks:
                at = track.locus.start + np.flatnonzero(np.isfinite(track.values))
                values = track.values[np.isfinite(track.values)].astype(np.float64)
                if at.size:
                    file.addEntries(track.locus.chrom, at.tolist(), values=values.tolist(), span=1)
        finally:
            file.close()
    return path


def _ends(tracks: list[Track]) -> dict[str, int]:
    ends: dict[str, int] = {}
    for track in tracks:
        ends[track.locus.chrom] = max(ends.get(track.locus.chrom, 0), track.locus.end)
    return ends


def _read_sizes(path: Path, ends: Mapping[str, int]) -> dict[str, int]:
    sizes: dict[str, int] = {}
    for number, line in enumerate(read_text(path).splitlines(), 1):
        fields = line.split()
        if not fields:
            continue
        if len(fields) < 2 or not _LENGTH.fullmatch(fields[1]):
            raise FormatError(f"{path}, line {number}: expected a chromosome's name and length, found {short(line)}.")
        if sizes.setdefault(fields[0], int(fields[1])) != int(fields[1]):
            raise FormatError(f"{path}, line {number}: {short(fields[0])} has two lengths. Remove one.")
    for chrom, end in ends.items():
        if sizes.get(chrom, 0) < end:
            raise FormatError(
                f"{path}: {chrom} {f'has {sizes[chrom]} nt' if chrom in sizes else 'is missing'}; a sequence ends at "
                f"{end}. Give the sizes of the genome that the coordinates are of."
            )
    return sizes
