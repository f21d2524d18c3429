"""FASTA and FASTQ: names, bases, and what kmerit writes behind the name.

FASTA: names, bases, and what kmerit writes behind the name. A header is ``>name label=1 locus=chr1:100-351:+``: the
name ends at the first white space; ``label`` (a class, by its number or name), ``value`` (to regress on) and
``locus`` (0-based, half-open; ``.`` for none) are optional, other words are ignored. A name that is itself a locus,
as bedtools and samtools write it, is read as one, unless some header of the file has a ``locus``.
"""

from __future__ import annotations

import logging
import re
from array import array
from collections.abc import Iterable, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kmerit.errors import FormatError, LabelError, SequenceError, short
from kmerit.io.files import (
    REFUSED,
    Case,
    Where,
    assemble,
    code_table,
    distinct_names,
    empty,
    encode_strings,
    is_number,
    log_lower,
    not_utf8,
    open_to_write,
    read_labels,
    read_text,
    read_text_bytes,
    refused,
    unix_lines,
    without_ambiguity,
)
from kmerit.sequences import Int8, Int64, Locus, Sequences, parse_locus, spell_locus, split_locus

_LOG = logging.getLogger(__name__)
_NOT_BLANK = re.compile(rb"[^\n]")
_RECORD = re.compile(rb"\n>")
_DIGITS = 18
"""Of a position; it fits into 64 bits."""
_FIELD = re.compile(r"(?:^|\s)(label|value|locus)=(\S*)")


def read_fasta(
    path: Path,
    case: Case = "upper",
    *,
    ambiguous_as_n: bool = False,
    rename: bool = False,
    classes: Sequence[str] | None = None,
    coordinates: bool = True,
) -> Sequences:
    """Read a FASTA file, compressed or not, with a few bytes of memory per nucleotide.

    Args:
        path: The file.
        case: ``"upper"`` reads lower case as upper case, and logs it; ``"exact"`` refuses it.
        ambiguous_as_n: Whether the file is a genome: IUPAC letters that stand for several bases are read as N, lower
            case is not logged, and names are no loci.
        rename: Whether names that occur twice are numbered.
        classes: Names of the classes, in their order.
        coordinates: Whether loci are read, in headers and names.

    Raises:
        FormatError: No FASTA file, no records, damaged gzip, a locus that is not as long as its letters.
        SequenceError: A refused letter, an empty sequence, a name missing or twice.
        LabelError: Labels that cannot be understood, or not in every header.
    """
    text = unix_lines(read_text_bytes(path)) + b"\n"
    heads, ends = _headers(text, path)

    def where(row: int) -> str:
        return f"{path}, line {_line(text, heads[row])}"

    names, descriptions = _names(_header(text, a + 1, b, path) for a, b in zip(heads, ends, strict=True))
    names = distinct_names(names, where, str(path), rename)

    bodies = (text[a:b] for a, b in zip(ends, chain(heads[1:], [len(text)]), strict=True))
    bases, offsets, lower = _numbered((without_ambiguity(body) if ambiguous_as_n else body for body in bodies), case)
    if 0 in (lengths := np.diff(offsets)):
        raise empty(int(np.argmin(lengths)), names, where)
    if bases.min() < 0:
        row = int(np.searchsorted(offsets, int(np.argmin(bases >= 0)), side="right")) - 1
        body = text[ends[row] : heads[row + 1] if row + 1 < len(heads) else len(text)]
        raise _refused(body, case, path, _line(text, heads[row]), names[row])
    labels, class_names, loci = _descriptions(descriptions, where, str(path), classes, coordinates)
    if not ambiguous_as_n:
        log_lower(lower, len(names), str(path))
        if coordinates and loci is None:
            loci = _named_loci(names, lengths.tolist(), str(path))
    return assemble(names, bases, offsets, labels, loci, where, class_names)


def write_fasta(sequences: Sequences, path: Path, width: int = 80) -> None:
    """Write a FASTA file, gzipped if the suffix says so, that :func:`read_fasta` reads back alike."""
    with open_to_write(path) as file:
        for i, name in enumerate(sequences.names):
            string = sequences.string(i)
            lines = [string[a : a + width] for a in range(0, len(string), width)]
            file.write("\n".join([">" + " ".join([name, *_fields(sequences, i)]), *lines, ""]).encode())


def _numbered(bodies: Iterable[bytes], case: Case) -> tuple[Int8, Int64, int]:
    """Number the bases of all records, line ends left out; with offsets, and how many have lower-case letters."""
    exact, table = code_table("exact"), code_table(case)
    bases, sizes, lower = bytearray(), array("q", [0]), 0
    for body in bodies:
        part = body.translate(exact, b"\n")
        if case == "upper" and REFUSED in part:
            part = body.translate(table, b"\n")
            lower += 1
        bases += part
        sizes.append(len(part))
    return np.frombuffer(bases, dtype=np.int8), np.cumsum(sizes, dtype=np.int64), lower


def _named_loci(names: Sequence[str], lengths: Sequence[int], source: str) -> list[Locus | None]:
    """Parse names that are loci, if the number of letters agrees."""
    loci: list[Locus | None] = []
    counts = {"bedtools": 0, "samtools": 0, "": 0}
    for name, length in zip(names, lengths, strict=True):
        locus, writer = _named_locus(name, length)
        loci.append(locus)
        if writer is not None:
            counts[writer] += 1
    if counts["bedtools"]:
        _LOG.warning(
            f"{source}: names are loci, 0-based and half-open as bedtools writes them: {counts['bedtools']:,}."
        )
    if counts["samtools"]:
        _LOG.warning(
            f"{source}: names are loci, 1-based and with both ends as samtools and browsers write them: "
            f"{counts['samtools']:,}. Their starts are one less in 0-based coordinates."
        )
    if counts[""]:
        _LOG.warning(f"{source}: names look like loci, of another length than the letters': {counts['']:,}; not used.")
    return loci


def _named_locus(name: str, length: int) -> tuple[Locus | None, str | None]:
    """Read a name such as ``chr1:100-200(+)`` or ``peak7::chr1:100-200``; and say who writes such coordinates."""
    cells = split_locus(name.rpartition("::")[2])
    if cells is None or max(len(cells[1]), len(cells[2])) > _DIGITS:
        return None, None
    chrom, start, end = cells[0], int(cells[1]), int(cells[2])
    strand = "-" if cells[3] == "-" else "+"
    if end - start == length:
        return Locus(chrom, start, end, strand), "bedtools"
    if end - start + 1 == length and start > 0:
        return Locus(chrom, start - 1, end, strand), "samtools"
    return None, ""


def _headers(text: bytes, path: Path) -> tuple[array[int], array[int]]:
    """Find where the header lines begin and end."""
    first = next(_NOT_BLANK.finditer(text)).start()
    if text[first : first + 1] != b">":
        line = text[first : text.index(b"\n", first)][:40].decode("utf-8", "replace").strip()
        raise FormatError(
            f"{path}, line {_line(text, first)}: expected a FASTA record ('>name'), found {line!r}: no records."
        )
    heads = array("q", chain([first], (match.start() + 1 for match in _RECORD.finditer(text, first))))
    return heads, array("q", (text.index(b"\n", head) for head in heads))


def _header(text: bytes, start: int, end: int, path: Path) -> str:
    try:
        return text[start:end].decode().strip()
    except UnicodeDecodeError as error:
        raise not_utf8(path, text, error, start) from None


def _refused(body: bytes, case: Case, path: Path, header_line: int, name: str) -> SequenceError:
    """Explain the first refused letter of a record, down to its line; the body begins with the header's line end."""
    lines = body.split(b"\n")
    bad = (REFUSED in line.translate(code_table(case)) for line in lines)
    line = header_line + list(bad).index(True)
    return refused(b"".join(lines).decode("utf-8", "replace"), case, 0, [name], lambda _: f"{path}, line {line}")


def _line(text: bytes, position: int) -> int:
    return text.count(b"\n", 0, position) + 1


def _names(headers: Iterable[str]) -> tuple[list[str], list[str]]:
    names, descriptions = [], []
    for header in headers:
        name, *rest = header.split(maxsplit=1) or [""]
        names.append(name)
        descriptions.append(rest[0] if rest else "")
    return names, descriptions


def _descriptions(
    descriptions: Sequence[str], where: Where, source: str, classes: Sequence[str] | None, coordinates: bool
) -> tuple[NDArray[Any] | None, tuple[str, ...] | None, list[Locus | None] | None]:
    """Read labels, names of classes, and loci; labels must stand in every header or in none."""
    if not any("=" in description for description in descriptions):
        return None, None, None
    values: dict[str, list[str | None]] = {"label": [], "value": []}
    located, loci = False, list[Locus | None]()
    for row, description in enumerate(descriptions):
        pairs = _FIELD.findall(description)
        field = dict(pairs)
        if len(field) < len(pairs):
            raise FormatError(f"{where(row)}: the header says label=, value= or locus= twice. Keep one of each.")
        if not coordinates:
            field.pop("locus", None)
        cells = split_locus(field["locus"]) if "locus" in field else None
        if field.get("locus", ".") != "." and cells is None:
            raise FormatError(
                f"{where(row)}: expected locus=chrom:start-end:strand, found {short(field['locus'])}. Correct it, or "
                f"read without coordinates: --ignore-coordinates (coordinates=False)."
            )
        loci.append(None if cells is None else parse_locus(cells, where(row)))
        located = located or "locus" in field
        for key, each in values.items():
            each.append(field.get(key))
    known_loci = loci if located else None
    keys = [key for key, each in values.items() if any(label is not None for label in each)]
    if not keys:
        return None, None, known_loci
    if len(keys) == 2:
        raise LabelError(f"{where(0)}: headers have label= and value=; expected one of them throughout the file.")
    (key,) = keys
    labels, class_names = read_labels(values[key], where, source, regression=key == "value", classes=classes)
    return labels, class_names, known_loci


def _fields(sequences: Sequences, i: int) -> list[str]:
    fields = []
    if sequences.labels is not None:
        label = sequences.labels[i].item()
        if sequences.classes is not None and not any(map(is_number, sequences.classes)):
            label = sequences.classes[label]
        fields.append(f"value={label!r}" if isinstance(label, float) else f"label={label}")
    locus = None if sequences.loci is None else sequences.loci[i]
    if locus is not None:
        fields.append(f"locus={spell_locus(locus)}")
    elif _named_locus(sequences.names[i], int(sequences.lengths[i]))[0] is not None:
        fields.append("locus=.")  # so that the name is not read as one
    return fields


def read_fastq(path: Path, case: Case = "upper", *, rename: bool = False) -> Sequences:
    """Read a FASTQ file of records of four lines; that its qualities are not used is logged.

    Args:
        path: The file, compressed or not.
        case: ``"upper"`` reads lower case as upper case, and logs it; ``"exact"`` refuses it.
        rename: Whether names that occur twice are numbered.

    Raises:
        FormatError: A record without its ``@``, ``+`` or as many qualities as letters.
        SequenceError: A refused letter, an empty sequence, a name missing or twice.
    """
    lines = read_text(path).replace("\r\n", "\n").replace("\r", "\n").rstrip("\n").split("\n")
    names, strings = _records(lines, path)

    def where(row: int) -> str:
        return f"{path}, line {4 * row + 1}"

    names = distinct_names(names, where, str(path), rename)
    bases, offsets, lower = encode_strings(strings, case, names, where)
    log_lower(lower, len(names), str(path))
    _LOG.warning(f"{path}: the qualities of the {len(names):,} reads are not used.")
    return assemble(names, bases, offsets, None, None, where)


def _records(lines: Sequence[str], path: Path) -> tuple[list[str], list[str]]:
    names, strings = [], []
    for first in range(0, len(lines), 4):
        head, letters, plus, qualities = [line.rstrip() for line in [*lines[first : first + 4], "", "", ""][:4]]
        if not head.startswith("@") or not plus.startswith("+") or len(letters) != len(qualities):
            raise FormatError(
                f"{path}, line {first + 1}: expected four lines, @name, letters, + and as many qualities as letters, "
                f"found {short(head)}. Letters of a record must be on one line."
            )
        names.append((head[1:].split(maxsplit=1) or [""])[0])
        strings.append(letters)
    return names, strings
