"""A genome: cut sequences out of a FASTA, draw from it, and find where sequences lie in it."""

from __future__ import annotations

import gzip
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from kmerit.errors import FormatError, MissingExtra, short
from kmerit.io.fasta import read_fasta
from kmerit.io.files import GZIP, assemble, encode_strings, is_bgzip, without_ambiguity
from kmerit.io.tables import first_line
from kmerit.sequences import (
    Int8,
    Int64,
    Locus,
    Sequences,
    canonical_kmers,
    decode,
    encode,
    reverse_complement,
    spell_locus,
    split_locus,
)

if TYPE_CHECKING:
    import pyfaidx


_HEADER = 1 << 16
"""Bytes of a header, at most, that are looked through for its name."""
CHR20_LENGTHS = {"GRCh37": 63_025_520, "GRCh38": 64_444_167, "T2T-CHM13": 66_210_255}
"""Length of chromosome 20, which distinguishes the assemblies of the human genome."""


@dataclass(frozen=True, eq=False)
class Genome:
    """Pieces of chromosomes.

    Attributes:
        path: The file.
        names: Of the records; one like ``chr20:60000-119959`` is a piece, any other a whole chromosome.
        chrom: ``[piece]``, as the file names it.
        start: ``int64 [piece]``, on the chromosome.
        length: ``int64 [piece]``.
    """

    path: Path
    names: tuple[str, ...]
    chrom: tuple[str, ...]
    start: Int64
    length: Int64
    _letters: Any

    @classmethod
    def open(cls, path: str | Path) -> Genome:
        """Open a FASTA: a gzipped one is read into memory; a plain or bgzipped one is indexed, and read at random.

        Raises:
            FormatError: No FASTA.
            MissingExtra: pyfaidx is not installed, and the file is not gzipped.
        """
        path = Path(path)
        letters: Any
        if path.is_file() and _is_packed(path):
            letters = read_fasta(path, "upper", ambiguous_as_n=True, coordinates=False)
            sizes = dict(zip(letters.names, letters.lengths.tolist(), strict=True))
        else:
            letters = open_genome(path, None)
            sizes = {name: len(letters[name]) for name in letters.keys()}  # noqa: SIM118 - pyfaidx iterates records
        places = [_place(name, size) for name, size in sizes.items()]
        chrom = tuple(name for name, _ in places)
        start, length = np.array([at for _, at in places]), np.array(list(sizes.values()))
        return cls(path, tuple(sizes), chrom, start, length, letters)

    @cached_property
    def _index(self) -> dict[str, Int64]:
        """List the pieces of every chromosome from its beginning to its end."""
        pieces: dict[str, list[int]] = {}
        for i in np.argsort(self.start, kind="stable").tolist():
            pieces.setdefault(bare_name(self.chrom[i]), []).append(i)
        return {chrom: np.array(mine, dtype=np.int64) for chrom, mine in pieces.items()}

    def letters(self, piece: int, start: int, length: int) -> Int8:
        """Read letters of a piece, counted from its own beginning; letters for several bases (R, Y, ...) are N."""
        if isinstance(self._letters, Sequences):
            at = int(self._letters.offsets[piece]) + start
            return self._letters.bases[at : at + length]
        name = self.names[piece]
        return encode(genome_letters(self._letters, name, start, start + length, self.path), name)

    def find(self, loci: Iterable[Locus]) -> Int64:
        """Find the piece that holds each locus whole; -1 where none does."""
        hits = []
        for locus in loci:
            rows = self._index.get(bare_name(locus.chrom), np.zeros(0, dtype=np.int64))
            at = int(np.searchsorted(self.start[rows], locus.start, side="right")) - 1
            inside = at >= 0 and locus.end <= self.start[rows[at]] + self.length[rows[at]]
            hits.append(int(rows[at]) if inside else -1)
        return np.array(hits, dtype=np.int64)

    def has(self, chrom: str) -> bool:
        """Return whether there is a piece of a chromosome, with or without ``chr`` in front."""
        return bare_name(chrom) in self._index

    @property
    def listed(self) -> str:
        """Chromosomes, as text for messages."""
        names = list(dict.fromkeys(self.chrom))
        return ", ".join(names[:8]) + (f", ... ({len(names):,})" if len(names) > 8 else "")

    def cut(self, loci: list[Locus], names: list[str], labels: Int64) -> Sequences:
        """Extract loci; minus strands are reverse-complemented.

        Raises:
            FormatError: A locus that is not inside one piece.
        """
        strings = []
        for locus, piece in zip(loci, self.find(loci).tolist(), strict=True):
            if piece < 0:
                raise FormatError(
                    f"{self.path}: {locus.chrom}:{locus.start}-{locus.end} is not in this genome, or extends beyond "
                    f"a chromosome: another assembly, or a part of it?"
                )
            bases = self.letters(piece, locus.start - int(self.start[piece]), locus.end - locus.start)
            strings.append(decode(reverse_complement(bases) if locus.strand == "-" else bases))
        return Sequences.from_strings(strings, labels, names, loci)


def bare_name(chrom: str) -> str:
    """Normalise the name of a chromosome: ``chr1`` and ``1``, ``chrM`` and ``MT``.

    Example:
        >>> bare_name("chr1"), bare_name("MT")
        ('1', 'M')
    """
    bare = chrom.removeprefix("chr")
    return "M" if bare == "MT" else bare


def _is_packed(path: Path) -> bool:
    """Return whether a file is compressed so that it cannot be read at random, with what is installed."""
    with path.open("rb") as file:
        start = file.read(16)
    return start[:2] == GZIP and not (is_bgzip(start) and find_spec("Bio") and find_spec("pyfaidx"))


def _place(name: str, length: int) -> tuple[str, int]:
    locus = split_locus(name)
    if locus is not None and int(locus[2]) - int(locus[1]) == length:
        return locus[0], int(locus[1])
    return name, 0


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


def open_genome(path: Path, assembly: str | None) -> pyfaidx.Fasta:
    """Open an indexed FASTA and make sure that it is not another assembly than the one asked for, if any is.

    Raises:
        MissingExtra: pyfaidx is not installed.
        FormatError: No such file, no FASTA, one that is compressed other than by bgzip, or one of another assembly.
    """
    try:
        import pyfaidx
    except ImportError:
        raise MissingExtra("pyfaidx", "genome", "Cutting sequences out of a genome") from None
    if not path.is_file():
        raise FormatError(f"{path}: no such genome file; expected a FASTA of {assembly or 'the genome'}.")
    with path.open("rb") as file:
        start = file.read(16)
    packed = start[:2] == GZIP
    if packed and not is_bgzip(start):
        raise FormatError(
            f"{path}: a compressed FASTA cannot be read at random. Unpack it first, or pack it with bgzip."
        )
    if packed and find_spec("Bio") is None:
        raise MissingExtra("biopython", "genome", "Reading a bgzipped genome")
    if path.suffix in (".gz", ".bgz") and not packed:
        raise FormatError(f"{path}: the name is that of a compressed file, but it is not compressed. Rename it.")
    try:
        genome = pyfaidx.Fasta(str(path), as_raw=True, sequence_always_upper=True)
    except Exception as error:  # pyfaidx raises a dozen unrelated classes
        raise FormatError(f"{path}: no FASTA that can be indexed: {first_line(error)}.") from None
    _check_index(genome, path, _Blocks.of(genome, path) if packed else None)
    chr20 = next((len(genome[key]) for key in ("chr20", "20") if key in genome), None)
    known = next((name for name, length in CHR20_LENGTHS.items() if length == chr20), None)
    if assembly is not None and known is not None and known != assembly:
        raise FormatError(f"{path}: this is {known} (chromosome 20 has {chr20:,} nt); the intervals are on {assembly}.")
    return genome


@dataclass(frozen=True, eq=False)
class _Blocks:
    """The blocks of a bgzipped file: where each begins in the file and in the unpacked text, and the ends of both."""

    packed: Int64
    unpacked: Int64

    @classmethod
    def of(cls, genome: pyfaidx.Fasta, path: Path) -> _Blocks:
        """Go from block to block of an open genome by what their heads say, and compare that with its index."""
        places = [(0, 0)]
        with path.open("rb") as file:
            size = file.seek(0, 2)
            while places[-1][0] < size:
                start, letters = places[-1]
                file.seek(start)
                head = file.read(18)
                end = start + int.from_bytes(head[16:18], "little") + 1
                file.seek(end - 4)
                count = file.read(4)
                if not is_bgzip(head) or len(count) < 4:
                    raise FormatError(f"{path}: damaged, or cut off, at byte {start:,}. Pack it with bgzip again.")
                places.append((end, letters + int.from_bytes(count, "little")))
        listed = {(block.cstart, block.ustart) for block in genome.faidx.gzi_index}
        with_letters = {place for place, after in pairwise(places) if place[1] < after[1]}
        if not with_letters <= listed or not listed <= {*places}:  # the empty last block may be listed, or not
            raise FormatError(f"{path}: {path.name}.gzi is not the index of this file. Remove it, and {path.name}.fai.")
        packed, unpacked = np.array(places, dtype=np.int64).T
        return cls(packed, unpacked)

    def read(self, file: BinaryIO, start: int, end: int) -> bytes:
        """Read unpacked text."""
        first, last = np.searchsorted(self.unpacked, [start, end], side="right").tolist()
        first, last = first - 1, min(last, self.packed.size - 1)
        file.seek(int(self.packed[first]))
        text = gzip.decompress(file.read(int(self.packed[last] - self.packed[first])))
        return text[start - int(self.unpacked[first]) :][: end - start]


def _check_index(genome: pyfaidx.Fasta, path: Path, blocks: _Blocks | None) -> None:
    """Refuse an index that is not this file's, or that does not find all letters, whose lines may be of any length."""
    records = sorted(genome.faidx.index.items(), key=lambda item: item[1].offset)
    if not records:
        raise FormatError(f"{path}: expected FASTA records ('>name'), found none.")
    end = 0
    with path.open("rb") as file:
        size = file.seek(0, 2) if blocks is None else int(blocks.unpacked[-1])

        def read(start: int, stop: int) -> bytes:
            start, stop = min(start, size), min(stop, size)
            if blocks is not None:
                return blocks.read(file, start, stop) if start < stop else b""
            file.seek(start)
            return file.read(max(0, stop - start))

        for name, record in records:
            if record.rlen < 1:
                raise FormatError(
                    f"{path}: {short(name)} has no letters. Remove the record; or end the lines as on Unix (LF)."
                )
            # Between a record's last letter and the next one's stand blank lines and a header, and nothing else.
            header = read(max(end, record.offset - _HEADER), record.offset).lstrip()
            words = header.removeprefix(b">").split(maxsplit=1)
            ends = header.removesuffix(b"\n").removesuffix(b"\r")
            valid = header.startswith(b">") and words[:1] == [name.encode()] and not {*b"\r\n"} & {*ends}
            if not valid or record.bend > size + record.lenb:
                raise _foreign_index(path)
            end = min(record.bend, size)
        if read(end, end + _HEADER).strip():
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


_K = 32
_CHUNK = 1 << 22


def locate(sequences: Sequences, pieces: Sequences) -> tuple[Int64, Int64]:
    """Find each sequence in pieces of a genome: its first occurrence, whole and exact.

    Args:
        sequences: Of at least 32 nt, the first 32 of them known.
        pieces: Of a genome.

    Returns:
        Places in the flat bases of the pieces, ``int64 [sequence]``, -1 where a sequence is not found; and strands, 1
        or -1.

    Example:
        >>> genome = Sequences.from_strings(["ACGTTGCAAC" * 2 + "GGATTACAGATTACACCAGTGTTTACCGGTAGACCA"])
        >>> place, strand = locate(Sequences.from_strings(["TGGTCTACCGGTAAACACTGGTGTAATCTGTAATCC"]), genome)
        >>> place.tolist(), strand.tolist()
        ([20], [-1])
    """
    place = np.full(len(sequences), -1, dtype=np.int64)
    strand = np.ones(len(sequences), dtype=np.int64)
    long = [i for i in range(len(sequences)) if sequences.lengths[i] >= _K]
    heads = [canonical_kmers(sequences.bases[sequences.offsets[i] : sequences.offsets[i] + _K], _K) for i in long]
    owners: dict[int, list[int]] = {}
    for i, (word, valid) in zip(long, heads, strict=True):
        if valid[0]:
            owners.setdefault(int(word[0]), []).append(i)
    first_words = np.array(sorted(owners), dtype=np.uint64)
    if not first_words.size:
        return place, strand
    for start in range(0, pieces.bases.size, _CHUNK):
        words, valid = canonical_kmers(pieces.bases[start : start + _CHUNK + _K - 1], _K)
        at = np.minimum(np.searchsorted(first_words, words), first_words.size - 1)
        for position in np.flatnonzero((first_words[at] == words) & valid).tolist():
            for i in owners[int(words[position])]:
                if place[i] < 0:
                    _try(sequences, pieces, i, start + position, place, strand)
    return place, strand


def _try(sequences: Sequences, pieces: Sequences, i: int, position: int, place: Int64, strand: Int64) -> None:
    """Compare all letters: the head lies at ``position``, read forwards or backwards."""
    bases = sequences.bases[sequences.offsets[i] : sequences.offsets[i + 1]]
    piece = int(np.searchsorted(pieces.offsets, position, side="right")) - 1
    for sign, begin, letters in (
        (1, position, bases),
        (-1, position + _K - bases.size, reverse_complement(bases)),
    ):
        inside = pieces.offsets[piece] <= begin and begin + bases.size <= pieces.offsets[piece + 1]
        if inside and np.array_equal(pieces.bases[begin : begin + bases.size], letters):
            place[i], strand[i] = begin, sign
            return
