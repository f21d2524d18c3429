"""Official data sets as intervals: cut the sequences out of the user's own genome.

The folder is one of ``datasets/`` of genomic_benchmarks: ``train/positive.csv.gz`` and so on, with the columns ``id,
region, start, end, strand``, 0-based and half-open; minus strands are reverse-complemented.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from kmerit.data.files import GZIP
from kmerit.data.letters import assemble, encode_strings, without_ambiguity
from kmerit.data.loci import parse_locus, spell_locus
from kmerit.data.tables import first_line, read_csv
from kmerit.data.task import Task
from kmerit.errors import FormatError, MissingExtra, short
from kmerit.sequence import reverse_complement
from kmerit.store import sha256
from kmerit.types import Int64, Locus, Sequences

if TYPE_CHECKING:
    import pyfaidx

CLASS_FILES = ("negative", "positive")
"""File of each class; the index is the label."""
COLUMNS = ("id", "region", "start", "end", "strand")
_HEADER = 1 << 16
"""Bytes of a header, at most, that are looked through for its name."""
CHR20_LENGTHS = {"GRCh37": 63_025_520, "GRCh38": 64_444_167, "T2T-CHM13": 66_210_255}
"""Length of chromosome 20, which tells the assemblies of the human genome apart."""


@dataclass(frozen=True)
class Intervals:
    """Where official sequences can be cut out.

    Attributes:
        folder: The folder of a data set in genomic_benchmarks, with ``train/positive.csv.gz`` and so on.
        genome: FASTA of the task's assembly, not compressed; an index (``.fai``) is written next to it once.
    """

    folder: str | Path
    genome: str | Path


def read_intervals(task: Task, split: str, source: Intervals) -> Sequences:
    """Cut a published split out of a genome.

    Args:
        task: Whose checksums the interval files must have.
        split: ``"train"`` or ``"test"``.
        source: The files.

    Returns:
        Named ``train_neg_17`` and so on, negatives first; upper case, also where the genome is soft-masked. The few
        IUPAC letters of an assembly that stand for several bases are read as N.

    Raises:
        MissingExtra: pyfaidx is not installed.
        FormatError: Interval files that are missing or changed; a genome of another assembly, without a chromosome,
            or too short.
        SequenceError: A letter in the genome that is neither a base nor stands for several.
    """
    genome = open_genome(Path(source.genome), task.assembly)
    names: list[str] = []
    loci: list[Locus] = []
    labels: list[int] = []
    for label, stem in enumerate(CLASS_FILES):
        ids, intervals = _read_class(Path(source.folder), f"{split}/{stem}.csv.gz", task)
        names += [f"{split}_{stem[:3]}_{name}" for name in ids]
        loci += intervals
        labels += [label] * len(ids)
    return cut_sequences(genome, loci, names, np.array(labels, dtype=np.int64), source.genome)


def cut_sequences(
    genome: pyfaidx.Fasta, loci: Sequence[Locus], names: Sequence[str], labels: Int64, path: str | Path
) -> Sequences:
    """Cut intervals out of an open genome, minus strands reverse-complemented; letters for several bases become N.

    Raises:
        FormatError: A chromosome that the genome lacks, or that is too short.
        SequenceError: A letter that is neither a base nor stands for several.
    """
    keys = _chromosome_keys(genome, {locus.chrom for locus in loci}, path)
    strings = [_cut(genome, keys[locus.chrom], locus, path) for locus in loci]

    def where(row: int) -> str:
        return f"{path}, {spell_locus(loci[row])}"

    bases, offsets, _ = encode_strings(strings, "upper", names, where)
    bases = bases.copy()
    for i in np.flatnonzero([locus.strand == "-" for locus in loci]):
        part = slice(offsets[i], offsets[i + 1])
        bases[part] = reverse_complement(bases[part])
    return assemble(names, bases, offsets, labels, loci, where)


def _read_class(folder: Path, name: str, task: Task) -> tuple[list[str], list[Locus]]:
    """Read one interval file, if it is the published one."""
    path = folder / name
    if (expected := task.checksums.get(name)) is not None and path.is_file() and sha256(path) != expected:
        raise FormatError(f"{path}: not the published file of {task.name} (its sha256 differs). Copy it again.")
    return read_interval_file(path)


def read_interval_file(path: Path) -> tuple[list[str], list[Locus]]:
    """Read a file of intervals: their ids and loci.

    Raises:
        FormatError: Columns or intervals that are missing, or no intervals.
    """
    table, where = read_csv(path)
    if missing := [column for column in COLUMNS if column not in table.column_names]:
        raise FormatError(f"{path}: expected the columns {', '.join(COLUMNS)}; {missing[0]!r} is missing.")
    ids, *places = (table.column(column).to_pylist() for column in COLUMNS)
    loci = []
    for row, place in enumerate(zip(*places, strict=True)):
        locus = parse_locus(place, where(row))
        if locus is None:
            raise FormatError(f"{where(row)}: the interval is missing.")
        loci.append(locus)
    if not loci:
        raise FormatError(f"{path}: the file has no rows; expected intervals.")
    return ids, loci


def open_genome(path: Path, assembly: str | None) -> pyfaidx.Fasta:
    """Open an indexed FASTA and make sure that it is not another assembly than the one asked for, if any is.

    Raises:
        MissingExtra: pyfaidx is not installed.
        FormatError: No such file, no FASTA, a compressed one, or one of another assembly.
    """
    try:
        import pyfaidx
    except ImportError:
        raise MissingExtra("pyfaidx", "genome", "Cutting sequences out of a genome") from None
    if not path.is_file():
        raise FormatError(f"{path}: no such genome file; expected a FASTA of {assembly or 'the genome'}.")
    with path.open("rb") as file:
        start = file.read(2)
    if start == GZIP:
        raise FormatError(f"{path}: a compressed FASTA cannot be read at random. Unpack it first.")
    if path.suffix in (".gz", ".bgz"):
        raise FormatError(f"{path}: the name says that it is compressed, and it is not. Rename it.")
    try:
        genome = pyfaidx.Fasta(str(path), as_raw=True, sequence_always_upper=True)
    except Exception as error:  # pyfaidx raises a dozen unrelated classes
        raise FormatError(f"{path}: no FASTA that can be indexed: {first_line(error)}.") from None
    _check_index(genome, path)
    chr20 = next((len(genome[key]) for key in ("chr20", "20") if key in genome), None)
    found = next((name for name, length in CHR20_LENGTHS.items() if length == chr20), None)
    if assembly is not None and found is not None and found != assembly:
        raise FormatError(f"{path}: this is {found} (chromosome 20 has {chr20:,} nt); the intervals are on {assembly}.")
    return genome


def _check_index(genome: pyfaidx.Fasta, path: Path) -> None:
    """Refuse an index that is not this file's, or that does not find all letters, whose lines may be of any length."""
    records = sorted(genome.faidx.index.items(), key=lambda item: item[1].offset)
    if not records:
        raise FormatError(f"{path}: expected FASTA records ('>name'), found none.")
    end = 0
    with path.open("rb") as file:
        size = file.seek(0, 2)
        for name, record in records:
            if record.rlen < 1:
                raise FormatError(
                    f"{path}: {short(name)} has no letters. Remove the record; or end the lines as on Unix (LF)."
                )
            # Between a record's last letter and the next one's stand blank lines and a header, and nothing else.
            file.seek(max(end, record.offset - _HEADER))
            header = file.read(max(0, record.offset - file.tell())).lstrip()
            words = header.removeprefix(b">").split(maxsplit=1)
            ends = header.removesuffix(b"\n").removesuffix(b"\r")
            valid = header.startswith(b">") and words[:1] == [name.encode()] and not {*b"\r\n"} & {*ends}
            if not valid or record.bend > size + record.lenb:
                raise _foreign_index(path)
            end = min(record.bend, size)
        file.seek(end)
        if file.read(_HEADER).strip():
            raise _foreign_index(path)


def _foreign_index(path: Path) -> FormatError:
    return FormatError(
        f"{path}: {path.name}.fai is not the index of this file, or its lines do not end alike. Remove the index; if "
        f"that does not help, rewrite the FASTA with lines of one length."
    )


def genome_letters(genome: pyfaidx.Fasta, key: str, start: int, end: int, path: str | Path) -> str:
    """Read letters of an open genome, in upper case; those that stand for several bases become N.

    Raises:
        FormatError: The lines of the file are not what its index says.
    """
    try:
        text = str(genome[key][start:end])
    except Exception as error:  # pyfaidx raises a dozen unrelated classes
        raise FormatError(f"{path}: {short(key)} cannot be read at {start:,}: {first_line(error)}.") from None
    if len(text) != end - start:
        raise FormatError(
            f"{path}: {short(key)} has {len(text):,} letters from {start:,} to {end:,}; are its lines of one length?"
        )
    return without_ambiguity(text.encode("ascii", "replace")).decode("ascii")


def _chromosome_keys(genome: pyfaidx.Fasta, names: set[str], path: str | Path) -> dict[str, str]:
    """Map the intervals' names of chromosomes to the genome's; none may be missing."""
    keys = {}
    for chrom in sorted(names):
        key = chromosome_key(genome, chrom)
        if key is None:
            bare = chrom.removeprefix("chr")
            raise FormatError(f"{path}: no chromosome {chrom!r} (or {bare!r}) in this genome. Give the whole genome.")
        keys[chrom] = key
    return keys


def chromosome_key(genome: pyfaidx.Fasta, chrom: str) -> str | None:
    """Find what the genome calls a chromosome: ``chr1`` or ``1``, ``chrM`` or ``MT``; None if it lacks it."""
    bare = chrom.removeprefix("chr")
    spellings = [chrom, bare, f"chr{bare}", *(["MT", "chrM"] if bare in ("M", "MT") else [])]
    return next((spelling for spelling in spellings if spelling in genome), None)


def _cut(genome: pyfaidx.Fasta, key: str, locus: Locus, path: str | Path) -> str:
    if locus.end > (length := len(genome[key])):
        raise FormatError(f"{path}: {spell_locus(locus)} lies past the end of {key} ({length:,} nt): another assembly?")
    return genome_letters(genome, key, locus.start, locus.end, path)
