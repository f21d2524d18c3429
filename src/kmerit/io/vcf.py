"""VCF, read and written row by row: plain, gzipped or bgzipped; every byte of a row that is not added to is kept.

An own reader: htslib's (pysam, cyvcf2) mends or drops what it does not understand, and says so on the process's
standard error; here a row is kept as it is, or refused with its line.
"""

from __future__ import annotations

import gzip
import re
import struct
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, NamedTuple

from kmerit.errors import FormatError, short
from kmerit.io.files import GZIP, STDIN, is_bgzip

COLUMNS = ("#CHROM", "POS", "ID", "REF", "ALT", "QUAL", "FILTER", "INFO")
"""The columns that every VCF has; FORMAT and samples may follow."""
MISSING = "."
_INFO = COLUMNS.index("INFO")
_CONTIG = re.compile(r"##contig=<(?:[^>]*,)?ID=([^,>]+)")
_LENGTH = re.compile(r"[<,]length=([0-9]+)[,>]")
_ID = re.compile(r"##INFO=<ID=([^,>]+)")
_BLOCK = 0xFF00
"""Bytes that a block of bgzip holds at most."""
_HEAD = struct.Struct("<4BI2BH2B2H")
_END = bytes.fromhex("1f8b08040000000000ff0600424302001b0003000000000000000000")
"""The empty block that ends a bgzip file (SAM specification, section 4.1.2)."""
_OTHERS = {
    b"BCF": "BCF; convert it: bcftools view -O z",
    b"\xfd7zXZ\0": "xz",
    b"BZh": "bzip2",
    b"(\xb5/\xfd": "zstandard",
}


class Row(NamedTuple):
    """A row of a VCF.

    Attributes:
        line: Its number in the file, from 1.
        chrom: The chromosome, as the file names it.
        start: Where its reference allele begins, 0-based; negative where the file's POS is below 1.
        id: Its names; ``.`` without.
        ref: The reference allele, in upper case.
        alts: Its other alleles as the file has them; none where ALT is ``.``.
        text: The whole row, without its line end.
    """

    line: int
    chrom: str
    start: int
    id: str
    ref: str
    alts: tuple[str, ...]
    text: str

    @property
    def fields(self) -> set[str]:
        """INFO fields that the row has."""
        cells = self.text.split("\t", _INFO + 1)
        return {each.partition("=")[0] for each in cells[_INFO].split(";")} if len(cells) > _INFO else set()


@dataclass(frozen=True)
class Vcf:
    """A VCF, its header read and its rows left in the file.

    Attributes:
        path: The file.
        header: Its lines up to ``#CHROM``, without line ends.
        contigs: Length of each chromosome that the header gives one for.
    """

    path: Path
    header: tuple[str, ...]
    contigs: Mapping[str, int]

    @classmethod
    def open(cls, path: str | Path) -> Vcf:
        """Read the header.

        Raises:
            FormatError: No VCF, or a compressed one that is neither gzip nor bgzip.
        """
        path = Path(path)
        header, contigs = [], {}
        for number, line in _lines(path):
            header.append(line)
            if number == 1 and not line.startswith("##fileformat=VCF"):
                raise FormatError(f"{path}: expected a VCF, '##fileformat=VCFv4...', found {short(line, 40)}.")
            if not line.startswith("##"):
                break
            name, length = _CONTIG.match(line), _LENGTH.search(line)
            if name and length:
                contigs[name[1]] = int(length[1])
        columns = tuple(header[-1].split("\t"))[: len(COLUMNS)] if header else ()
        if columns != COLUMNS:
            raise FormatError(
                f"{path}, line {len(header)}: expected the columns {' '.join(COLUMNS)} with tabs between, found "
                f"{short(header[-1] if header else '', 60)}."
            )
        return cls(path, tuple(header), contigs)

    @property
    def fields(self) -> set[str]:
        """INFO fields that the header declares."""
        return {name[1] for line in self.header if (name := _ID.match(line))}

    def rows(self) -> Iterator[Row]:
        """Read row after row.

        Raises:
            FormatError: A row with too few columns, without a whole number as POS or without REF, or a file that was
                cut off.
        """
        wide = self.header[-1].count("\t") + 1
        for number, line in _lines(self.path):
            if number <= len(self.header):
                continue
            cells = line.split("\t")
            if len(cells) != wide:
                raise FormatError(
                    f"{self.path}, line {number}: expected {wide} columns as in the header, found {len(cells)}; is the "
                    f"file whole?"
                )
            chrom, pos, names, ref, alts = cells[:5]
            if not re.fullmatch(r"-?[0-9]{1,18}", pos) or ref in ("", MISSING) or not chrom:
                raise FormatError(
                    f"{self.path}, line {number}: expected a chromosome, a whole number as POS, and letters as REF; "
                    f"found {short(chrom, 20)}, {short(pos, 20)}, {short(ref, 20)}."
                )
            alt_alleles = () if alts == MISSING else tuple(alts.split(","))
            yield Row(number, chrom, int(pos) - 1, names, ref.upper(), alt_alleles, line)


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    """Number the lines of a text, unpacked."""
    if path == STDIN:
        raise FormatError("A VCF is read twice, to check it first; save it to a file.")
    try:
        with _open(path) as file:
            number, line = 0, b"\n"
            for number, line in enumerate(file, 1):
                try:
                    yield number, line.rstrip(b"\r\n").decode()
                except UnicodeDecodeError:
                    raise FormatError(f"{path}, line {number}: this is not UTF-8 text.") from None
            if not number:
                raise FormatError(f"{path}: the file is empty.")
            if not line.endswith(b"\n"):
                raise FormatError(
                    f"{path}, line {number}: the last line has no line end, as in a file that was cut off. Copy the "
                    f"file again; if it is whole, end it: echo >> {path.name}"
                )
    except FileNotFoundError:
        raise FormatError(f"{path}: no such file. Check the path; it is relative to {Path.cwd()}.") from None
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise FormatError(f"{path}: the gzip file is truncated or damaged ({error}). Copy it again.") from None
    except OSError as error:
        raise FormatError(f"{path}: cannot be read: {error.strerror}.") from None


@contextmanager
def _open(path: Path) -> Iterator[BinaryIO | gzip.GzipFile]:
    with path.open("rb") as raw:
        start = raw.read(16)
        for magic, kind in _OTHERS.items():
            if start.startswith(magic):
                raise FormatError(f"{path}: expected a VCF, plain, gzipped or bgzipped; found {kind}.")
        if not start.startswith(GZIP):
            raw.seek(0)
            yield raw
            return
        if is_bgzip(start):
            raw.seek(-min(len(_END), raw.seek(0, 2)), 2)
            if raw.read() != _END:
                raise FormatError(f"{path}: the bgzip file has no end block: it was cut off. Copy it again.")
        raw.seek(0)
        with gzip.GzipFile(fileobj=raw) as unpacked:
            yield unpacked


def with_fields(header: Sequence[str], lines: Sequence[str]) -> list[str]:
    """Put lines into a header, above ``#CHROM``."""
    return [*header[:-1], *lines, header[-1]]


def with_info(text: str, values: Mapping[str, str]) -> str:
    r"""Add INFO fields to a row, behind those that it has.

    Example:
        >>> with_info("1\t5\t.\tA\tG\t.\t.\tDP=3", {"KM": "0.5"})
        '1\t5\t.\tA\tG\t.\t.\tDP=3;KM=0.5'
    """
    cells = text.split("\t")
    present = [] if cells[_INFO] in ("", MISSING) else [cells[_INFO]]
    cells[_INFO] = ";".join([*present, *(f"{name}={value}" for name, value in values.items())]) or MISSING
    return "\t".join(cells)


class BgzipWriter:
    """Write text as bgzip, which tabix can index; equal texts give equal bytes.

    Source: SAM specification, section 4.1.

    Example:
        >>> import io
        >>> file = io.BytesIO()
        >>> with BgzipWriter(file) as writer:
        ...     writer.write("ACGT" * 40_000)
        >>> len(gzip.decompress(file.getvalue())), is_bgzip(file.getvalue())
        (160000, True)
    """

    def __init__(self, file: BinaryIO) -> None:
        self.file, self._rest = file, bytearray()

    def __enter__(self) -> BgzipWriter:
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        if kind is None:
            self._flush(1)
            self.file.write(_END)

    def write(self, text: str) -> None:
        """Write some text."""
        self._rest += text.encode()
        self._flush(_BLOCK)

    def _flush(self, least: int) -> None:
        """Write blocks while at least this many bytes are left."""
        while len(self._rest) >= least:
            block = bytes(self._rest[:_BLOCK])
            del self._rest[:_BLOCK]
            for level in (6, 0):  # stored, where letters at random grow by being compressed
                packer = zlib.compressobj(level, zlib.DEFLATED, -15)
                packed = packer.compress(block) + packer.flush()
                if len(packed) + _HEAD.size + 8 <= 1 << 16:
                    break
            size = len(packed) + _HEAD.size + 8 - 1
            self.file.write(_HEAD.pack(31, 139, 8, 4, 0, 0, 255, 6, 66, 67, 2, size))
            self.file.write(packed + struct.pack("<2I", zlib.crc32(block), len(block)))
