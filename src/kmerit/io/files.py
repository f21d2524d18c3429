"""Files of a user: their bytes and lines, letters to numbered bases, names of classes to numbered labels."""

from __future__ import annotations

import bz2
import gzip
import logging
import lzma
import os
import re
import sys
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache, partial
from io import BufferedIOBase
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from kmerit.errors import ConfigError, FormatError, LabelError, SequenceError, short
from kmerit.sequences import ALPHABET, MOST_CLASSES, Int8, Int64, Locus, Sequences, all_distinct, encode, misfit

GZIP = b"\x1f\x8b"
"""How every gzipped file begins."""
STDIN = Path("-")
"""Stands for standard input."""
PACKED = (".gz", ".bgz", ".bz2", ".xz", ".zst")
"""Suffixes of compressed files."""
_BOM = b"\xef\xbb\xbf"
_LINE_END = re.compile(rb"\r\n|\r|\n")
_PARQUET = b"PAR1"
_BINARY = {
    b"PK\x03\x04": "a zip archive (or an Excel workbook). Unpack it, or save the table as CSV",
    _PARQUET: "a Parquet file. Give it the suffix .parquet",
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
    streams = []
    while data:
        stream = one()
        streams.append(stream.decompress(data))
        if not stream.eof:
            raise EOFError("the last stream has no end")
        data = stream.unused_data.lstrip(b"\0")  # with which xz fills up
    return b"".join(streams)


_COMPRESSED: dict[bytes, tuple[str, Callable[[bytes], bytes]]] = {
    GZIP: ("gzip", gzip.decompress),
    b"BZh": ("bzip2", partial(_streams, bz2.BZ2Decompressor)),
    b"\xfd7zXZ\0": ("xz", partial(_streams, lzma.LZMADecompressor)),
    b"\x28\xb5\x2f\xfd": ("zstandard", _unpack_zstandard),
}
"""How compressed files begin, and what unpacks them."""


def is_parquet(path: str | os.PathLike[str]) -> bool:
    """Return whether a file begins as every Parquet file does; a folder does not.

    Example:
        >>> is_parquet(".")
        False
    """
    if not os.path.isfile(path):
        return False
    with open(path, "rb") as file:
        return file.read(len(_PARQUET)) == _PARQUET


def is_bgzip(start: bytes) -> bool:
    """Return whether a gzip file that begins like this (16 bytes) is one of blocks, by bgzip.

    Example:
        >>> is_bgzip(bytes.fromhex("1f8b08040000000000ff060042430200")), is_bgzip(gzip.compress(b"ACGT"))
        (True, False)
    """
    return start[:4] == b"\x1f\x8b\x08\x04" and start[12:16] == b"BC\x02\0"


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
    return read_utf8(path).decode()


def read_utf8(path: Path) -> bytes:
    """Read a text file as bytes that are UTF-8, without a byte-order mark; see :func:`read_text`."""
    data = read_text_bytes(path)
    if not data.isascii():
        try:
            data.decode()
        except UnicodeDecodeError as error:
            raise not_utf8(path, data, error) from None
    return data


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


_LOG = logging.getLogger(__name__)
Case = Literal["exact", "upper"]
Where = Callable[[int], str]
"""Says where record ``i`` stands, for an error: ``reads.fa, line 12``."""

REFUSED = 255
"""The number of a byte that is no base; -1 as int8."""


def _table(letters: str) -> bytes:
    table = bytearray([REFUSED]) * 256
    for i, letter in enumerate(letters):
        table[ord(letter)] = i % len(ALPHABET)
    return bytes(table)


_LOWER = ALPHABET.lower()
_EXACT, _UPPER = _table(ALPHABET), _table(ALPHABET + _LOWER)


def code_table(case: Case) -> bytes:
    """Return the number of every byte, for ``bytes.translate``, which costs one byte per letter.

    Args:
        case: ``"exact"`` refuses lower case, ``"upper"`` reads it as upper case.

    Raises:
        ConfigError: Another ``case``.
    """
    if case not in ("exact", "upper"):
        raise ConfigError(f"case: expected 'exact' or 'upper', got {case!r}.")
    return _EXACT if case == "exact" else _UPPER


def without_ambiguity(text: bytes) -> bytes:
    """Write N for every IUPAC letter that stands for several bases, in upper or lower case.

    Example:
        >>> without_ambiguity(b"ACRYn-")
        b'ACNNn-'
    """
    return text.translate(_PLAIN)


_AMBIGUOUS = b"RYSWKMBDHVryswkmbdhv"
_PLAIN = bytes.maketrans(_AMBIGUOUS, b"N" * len(_AMBIGUOUS))


_TOGETHER = 2**12
"""Strings that are numbered at a time."""


def encode_strings(strings: Sequence[str], case: Case, names: Sequence[str], where: Where) -> tuple[Int8, Int64, int]:
    """Number the bases of many strings; see :func:`encode_blocks`."""
    starts = range(0, len(strings), _TOGETHER)
    return encode_blocks((strings[start : start + _TOGETHER] for start in starts), case, names, where)


def encode_blocks(
    blocks: Iterable[Sequence[str]], case: Case, names: Sequence[str], where: Where
) -> tuple[Int8, Int64, int]:
    """Number the bases of strings that come some at a time, each time in one sweep over their joined text.

    Args:
        blocks: Some strings at a time, all of them in the end.
        case: Whether lower case is refused, see :func:`code_table`.
        names: Of all strings.
        where: The place of each.

    Returns:
        The flat bases, the offsets of `Sequences`, and how many strings have lower-case letters.

    Raises:
        SequenceError: At the first empty string or refused letter of a block, with its place.
    """
    exact, table = code_table("exact"), code_table(case)
    bases, sizes, row, lower = bytearray(), [np.zeros(1, dtype=np.int64)], 0, 0
    for strings in blocks:
        lengths = np.fromiter(map(len, strings), dtype=np.int64, count=len(strings))
        if lengths.size and lengths.min() == 0:
            raise empty(row + int(np.argmin(lengths)), names, where)
        ends = np.cumsum(lengths)
        # One character stays one byte, so that offsets count both; '?' is refused as every other strange letter is.
        text = "".join(strings).encode("ascii", "replace")
        part = text.translate(exact)
        if case == "upper" and REFUSED in part:
            other = np.flatnonzero(np.frombuffer(part, dtype=np.uint8) == REFUSED)
            lower += np.unique(np.searchsorted(ends, other, side="right")).size
            part = text.translate(table)
        if (at := part.find(REFUSED)) >= 0:
            i = int(np.searchsorted(ends, at, side="right"))
            raise refused(strings[i], case, row + i, names, where)
        bases += part
        sizes.append(lengths)
        row += len(strings)
    return np.frombuffer(bases, dtype=np.int8), np.cumsum(np.concatenate(sizes)), lower


def refused(text: str, case: Case, row: int, names: Sequence[str], where: Where) -> SequenceError:
    """Explain the first refused letter of record ``row``, whose letters are ``text``."""
    if case == "upper":
        text = "".join(letter.upper() if letter in _LOWER else letter for letter in text)
    try:
        encode(text, names[row])
    except SequenceError as error:
        return SequenceError(f"{where(row)}: {error}")
    raise AssertionError(f"{text!r} was refused without cause")


def empty(row: int, names: Sequence[str], where: Where) -> SequenceError:
    """Explain that record ``row`` has no letters."""
    name = short(names[row])
    return SequenceError(f"{where(row)}: {name} is empty; expected at least one nucleotide. Remove the record.")


def log_lower(lower: int, rows: int, source: str) -> None:
    """Log that lower-case letters were read as upper case, if any were."""
    if lower:
        _LOG.warning(
            f"{source}: lower-case (soft-masked) letters are read as upper case, in {lower:,} of {rows:,} sequences; "
            f"--case exact (case='exact') refuses them."
        )


def distinct_names(names: Sequence[str], where: Where, source: str, rename: bool = False) -> list[str]:
    """Refuse names that are empty or occur twice; or number the latter.

    Args:
        names: As they were read.
        where: The place of each.
        source: What to call the file in the log.
        rename: Whether the second ``a`` becomes ``a_2``, the third ``a_3``; that is logged.

    Raises:
        SequenceError: With the place of the second one.

    Example:
        >>> distinct_names(["a", "a", "a_2", "a"], str, "x.fa", rename=True)
        ['a', 'a_3', 'a_2', 'a_4']
    """
    if all(names) and all_distinct(names):
        return list(names)
    originals = set(names)
    renamed: list[str] = []
    counts: dict[str, int] = {}
    count: dict[str, int] = {}
    for row, name in enumerate(names):
        if not name:
            raise SequenceError(f"{where(row)}: the name is empty; every record needs one.")
        if name in counts and not rename:
            raise SequenceError(
                f"{where(row)}: the name {short(name)} occurs twice (first: {where(counts[name])}). Rename it, or let "
                f"all such names be numbered: --rename (rename=True)."
            )
        counts.setdefault(name, row)
        count[name] = count.get(name, 0) + 1
        new = name
        if count[name] > 1:
            while (new := f"{name}_{count[name]}") in originals:
                count[name] += 1
            originals.add(new)
        renamed.append(new)
    renames = [(old, new) for old, new in zip(names, renamed, strict=True) if old != new]
    example = f"{short(renames[0][0])} is now {short(renames[0][1])}"
    _LOG.warning(f"{source}: names that occurred before were numbered ({len(renames):,}); the first: {example}.")
    return renamed


def parse_labels(values: Sequence[Any], where: Where, regression: bool = False) -> NDArray[Any]:
    """Understand labels: whole numbers are classes, anything else that is a number is a value to regress on.

    Args:
        values: Numbers, or their text.
        where: The place of each.
        regression: Whether whole numbers are values too.

    Returns:
        ``int64 [sequence]`` classes or ``float64 [sequence]`` values.

    Raises:
        LabelError: A label is missing, not a number, not finite, or a class that is negative or too large.

    Example:
        >>> parse_labels(["1", "0"], str)
        array([1, 0])
        >>> parse_labels([0.5, 2], str)
        array([0.5, 2. ])
    """
    numbers = np.empty(len(values), dtype=np.float64)
    for row, value in enumerate(values):
        if value is None or value == "":
            raise LabelError(f"{where(row)}: the label is missing; every sequence needs one, or none has one.")
        try:
            numbers[row] = float("" if isinstance(value, str) and "_" in value else value)
        except (TypeError, ValueError, OverflowError):
            numbers[row] = np.nan
        if not np.isfinite(numbers[row]):
            raise LabelError(
                f"{where(row)}: expected a number as label, found {short(value)}. Number the classes 0, 1, 2, ..."
            )
    if regression or (numbers != np.floor(numbers)).any():
        return numbers
    outside = (numbers < 0) | (numbers >= MOST_CLASSES)
    if outside.any():
        row = int(np.argmax(outside))
        what = "negative" if numbers[row] < 0 else "too large"
        raise LabelError(
            f"{where(row)}: the class {short(values[row])} is {what}; classes are numbered 0, 1, 2, ... "
            f"Values for regression belong in a column 'value', in FASTA after value=."
        )
    return numbers.astype(np.int64)


def assemble(
    names: Sequence[str],
    bases: Int8,
    offsets: Int64,
    labels: NDArray[Any] | None,
    loci: Sequence[Locus | None] | None,
    where: Where,
    classes: tuple[str, ...] | None = None,
    outputs: tuple[str, ...] | None = None,
) -> Sequences:
    """Make the sequences; loci that are all unknown become None.

    Raises:
        FormatError: A locus that is not as long as its letters, with its place.
    """
    known_loci = None if loci is None or not any(locus is not None for locus in loci) else tuple(loci)
    if known_loci is not None and (wrong := misfit(known_loci, np.diff(offsets))) is not None:
        row, what = wrong
        raise FormatError(
            f"{where(row)}: {short(names[row])}: {what} Correct it, or read without coordinates: --ignore-coordinates "
            f"(coordinates=False)."
        )
    return Sequences(tuple(names), bases, offsets, labels, known_loci, classes=classes, outputs=outputs)


_ALMOST = re.compile(r"[+-]?\d[\d.,_ ]*%?")
_LISTED = 20
"""Class names in a message."""


def read_labels(
    values: Sequence[Any],
    where: Where,
    source: str,
    *,
    regression: bool = False,
    classes: Sequence[str] | None = None,
) -> tuple[NDArray[Any], tuple[str, ...] | None]:
    """Understand labels: numbers, or names of classes, which are numbered in alphabetical order.

    The order of names is logged, and returned.

    Args:
        values: Numbers or names, not both.
        where: The place of each.
        source: What to call the file in the log.
        regression: Whether whole numbers are values too; names are refused then.
        classes: The names in their order, where it is known.

    Returns:
        ``int64 [sequence]`` classes or ``float64 [sequence]`` values, and the classes' names where labels are names.

    Raises:
        LabelError: A label is missing, is not among the classes, or a number among names.

    Example:
        >>> read_labels(["peak", "background", "peak"], str, "x.csv")
        (array([1, 0, 1]), ('background', 'peak'))
    """
    class_names = None if classes is None else tuple(classes)
    names = _names(values)
    if names is None or regression:
        return parse_labels(values, where, regression), None
    for row, name in enumerate(names):
        if not name:
            raise LabelError(f"{where(row)}: the label is missing; every sequence needs one, or none has one.")
        if class_names is None and _ALMOST.fullmatch(name):
            raise LabelError(f"{where(row)}: expected a number or a name as label, found {name!r}. Write 0.5 for 0,5.")
        if class_names is not None and name not in class_names:
            raise LabelError(
                f"{where(row)}: the label {short(name)} is not one of the classes {listed(class_names)}. Correct it, "
                f"or name all classes."
            )
    order = class_names or tuple(sorted(set(names)))
    numbers = {name: i for i, name in enumerate(order)}
    if not _plain(order):
        in_order = ", in alphabetical order" if class_names is None else ""
        _LOG.warning(f"{source}: the labels are names; the classes{in_order}: {listed(order, numbered=True)}.")
    return np.array([numbers[name] for name in names], dtype=np.int64), None if _plain(order) else order


def listed(classes: Sequence[str], numbered: bool = False) -> str:
    """List names of classes for people.

    Example:
        >>> listed(["background", "peak"], numbered=True)
        '0 background, 1 peak'
    """
    entries = [f"{i} {name}" if numbered else name for i, name in enumerate(classes[:_LISTED])]
    return ", ".join(entries) + (f", ... ({len(classes)})" if len(classes) > _LISTED else "")


def is_number(text: str) -> bool:
    """Return whether a text is read as a number.

    Example:
        >>> is_number("1e3"), is_number("promoter")
        (True, False)
    """
    try:
        float(text)
    except ValueError:
        return False
    return True


def _names(values: Sequence[Any]) -> list[str] | None:
    """Take labels as names, unless one of them is a number."""
    if not any(isinstance(value, str) and value.strip() for value in values):
        return None
    if not all(isinstance(value, str | None) for value in values):
        return None
    names = [(value or "").strip() for value in values]
    return None if any(is_number(name) for name in names if name) else names


def _plain(classes: Sequence[str]) -> bool:
    """Return whether the class names are numbers."""
    return all(name == str(i) for i, name in enumerate(classes))
