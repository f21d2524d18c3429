"""Files of a user, read whole and checked."""

from __future__ import annotations

import bz2
import gzip
import lzma
import re
import sys
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache, partial
from io import BufferedIOBase
from pathlib import Path

from kmerit.errors import FormatError

GZIP = b"\x1f\x8b"
"""How every gzipped file begins."""
STDIN = Path("-")
"""Stands for standard input."""
PACKED = (".gz", ".bgz", ".bz2", ".xz", ".zst")
"""Suffixes of compressed files."""
_BOM = b"\xef\xbb\xbf"
_LINE_END = re.compile(rb"\r\n|\r|\n")
_BINARY = {
    b"PK\x03\x04": "a zip archive (or an Excel workbook). Unpack it, or save the table as CSV",
    b"PAR1": "a Parquet file. Give it the suffix .parquet",
    b"%PDF": "a PDF",
}
"""How some files begin that are no text, and what they are."""


def read_bytes(path: Path) -> bytes:
    """Read a file, or standard input for :data:`STDIN`; unpacked if it is compressed.

    Gzip, bzip2, xz and zstandard are recognised by how they begin, not by the suffix.

    Raises:
        FormatError: The file is missing, a folder, unreadable, empty, or a damaged compressed file.
    """
    try:
        data = _stdin() if path == STDIN else path.read_bytes()
    except FileNotFoundError:
        raise FormatError(f"{path}: no such file. Check the path; it is relative to {Path.cwd()}.") from None
    except IsADirectoryError:
        raise FormatError(f"{path}: this is a folder; expected a file. Name one of the files in it.") from None
    except (OSError, ValueError) as error:  # ValueError: the path holds a NUL
        reason = error.strerror if isinstance(error, OSError) else error
        raise FormatError(f"{str(path)!r}: cannot be read: {reason}.") from None
    for magic, (kind, unpack) in _COMPRESSED.items():
        if data.startswith(magic):
            try:
                data = unpack(data)
            except (EOFError, OSError, ValueError, zlib.error, lzma.LZMAError) as error:
                raise FormatError(
                    f"{path}: the {kind} file is truncated or damaged ({error}). Copy it again."
                ) from None
            break
    if not data:
        raise FormatError(f"{path}: the file is empty.")
    return data


@cache
def _stdin() -> bytes:
    """Read standard input, once."""
    return sys.stdin.buffer.read()


def _unpack_zstandard(data: bytes) -> bytes:
    import pyarrow as pa

    return bytes(pa.input_stream(pa.BufferReader(data), compression="zstd").read())


def _streams(one: Callable[[], bz2.BZ2Decompressor | lzma.LZMADecompressor], data: bytes) -> bytes:
    """Decompress concatenated streams; trailing bytes that are no stream are an error."""
    found = []
    while data:
        stream = one()
        found.append(stream.decompress(data))
        if not stream.eof:
            raise EOFError("the last stream has no end")
        data = stream.unused_data.lstrip(b"\0")  # with which xz fills up
    return b"".join(found)


_COMPRESSED: dict[bytes, tuple[str, Callable[[bytes], bytes]]] = {
    GZIP: ("gzip", gzip.decompress),
    b"BZh": ("bzip2", partial(_streams, bz2.BZ2Decompressor)),
    b"\xfd7zXZ\0": ("xz", partial(_streams, lzma.LZMADecompressor)),
    b"\x28\xb5\x2f\xfd": ("zstandard", _unpack_zstandard),
}
"""How compressed files begin, and what unpacks them."""


def unpacked_name(path: Path) -> str:
    """Return the name of a file without the suffix of a compression.

    Example:
        >>> unpacked_name(Path("a/x.csv.zst")), unpacked_name(Path("x.fa"))
        ('x.csv', 'x.fa')
    """
    return path.stem if path.suffix.lower() in PACKED else path.name


def read_text_bytes(path: Path) -> bytes:
    """Read a text file as bytes without a byte-order mark, line ends as they are; see :func:`read_bytes`.

    Raises:
        FormatError: As :func:`read_bytes`; or the text is UTF-16; or it is not text at all.
    """
    data = read_bytes(path)
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise FormatError(f"{path}: the text is UTF-16; expected UTF-8. Save it again as UTF-8.")
    if (kind := next((kind for magic, kind in _BINARY.items() if data.startswith(magic)), None)) is not None:
        raise FormatError(f"{path}: expected text, found {kind}.")
    data = data.removeprefix(_BOM)
    if (at := data.find(b"\0")) >= 0:
        raise FormatError(
            f"{path}, line {line_number(data, at)}: expected text, found a binary file (a NUL byte), or UTF-16. "
            f"Save it again as UTF-8."
        )
    if not data.strip():
        raise FormatError(f"{path}: the file is empty.")
    return data


def read_text(path: Path) -> str:
    """Read a UTF-8 text file without a byte-order mark, line ends as they are; see :func:`read_text_bytes`.

    Raises:
        FormatError: As :func:`read_text_bytes`; or it is not UTF-8.
    """
    data = read_text_bytes(path)
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise not_utf8(path, data, error) from None


def not_utf8(path: Path, data: bytes, error: UnicodeDecodeError, start: int = 0) -> FormatError:
    """Explain where a text, from ``start`` on, is not UTF-8."""
    at = start + error.start
    return FormatError(
        f"{path}, line {line_number(data, at)}: the byte 0x{data[at]:02x} is not UTF-8 text; perhaps the file is "
        f"Latin-1. Save it again as UTF-8."
    )


def unix_lines(text: bytes) -> bytes:
    r"""End every line with a line feed, as on Unix, whether it was written there, on Windows or on an old Mac.

    Example:
        >>> unix_lines(b"a\r\nb\rc\n")
        b'a\nb\nc\n'
    """
    return text.replace(b"\r\n", b"\n").replace(b"\r", b"\n") if b"\r" in text else text


def line_number(text: bytes, position: int) -> int:
    """Return the number of the line that holds a position, from 1."""
    return len(_LINE_END.findall(text, 0, position)) + 1


@contextmanager
def open_to_write(path: Path) -> Iterator[BufferedIOBase]:
    """Open a binary file to write, compressed if the suffix says so; equal contents give equal bytes.

    A gzip header has neither the file's name nor the time.
    """
    suffix = path.suffix.lower()
    with path.open("wb") as raw:
        if suffix in (".gz", ".bgz"):
            with gzip.GzipFile("", "wb", 6, raw, 0) as packed:
                yield packed
        elif suffix == ".bz2":
            with bz2.BZ2File(raw, "wb") as packed:
                yield packed
        elif suffix == ".xz":
            with lzma.LZMAFile(raw, "wb") as packed:
                yield packed
        elif suffix == ".zst":
            import pyarrow as pa

            with pa.CompressedOutputStream(raw, "zstd") as packed:
                yield packed
        else:
            yield raw
